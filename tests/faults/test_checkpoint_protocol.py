"""A worker that is killed with SIGKILL before each operation on the disk in turn, of a checkpoint and of its start."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.conftest import MODEL, Studio, record
from tests.faults.dying_workers import NOTHING_LEFT
from tuilab.experiment.load import load_experiment
from tuilab.experiment.save import to_toml
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.reader import following

SHORT = MODEL.replace("samples = 2000", "samples = 200")


@dataclass
class Workers:
    """See dying_workers.py."""

    process: subprocess.Popen[str]

    def train(self, run: RunDirectory, at: int = 0, moment: str = "-") -> tuple[int, str]:
        """Train a run; return the exit code, and where it died the operation that was not done any more."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(run.path, at, moment, file=self.process.stdin, flush=True)
        code, _, operation = self.process.stdout.readline().strip().partition(" ")
        return int(code), operation


@pytest.fixture
def workers(studio: Studio) -> Iterator[Workers]:
    program = str(Path(__file__).with_name("dying_workers.py"))
    with subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=studio.tuilab.environment(),
    ) as process:
        yield Workers(process)


def went_on_after(run: RunDirectory) -> int:
    """Return the step after which the last worker of a run went on."""
    with following(run) as reader:
        return [message.step for message in reader.messages() if message.text.startswith("goes on after")][-1]


@pytest.mark.parametrize(
    ("moment", "step", "some"),
    [
        ("new", 1, {"os.mkdir", "os.fsync", "os.rename", "os.remove", "BEGIN IMMEDIATE", "COMMIT"}),
        ("again", 2, {"os.mkdir", "os.fsync", "os.rename", "os.remove", "BEGIN IMMEDIATE", "COMMIT"}),
        ("start", 1, {"open", "os.rmdir", "os.rename", "DELETE FROM epochs", "COMMIT"}),
    ],
    ids=["new", "again", "start"],
)
def test_a_kill_at_each_operation(studio: Studio, workers: Workers, moment: str, step: int, some: set[str]) -> None:
    """The run goes on at least from the last step whose checkpoint was complete, and ends as if undisturbed."""
    experiment = to_toml(load_experiment(str(studio.model(SHORT))))
    undisturbed = create_run(studio.tuilab.runs, "undisturbed", experiment)
    assert workers.train(undisturbed) == (0, "")
    expected, died, at = record(undisturbed), [], 0
    while True:
        at += 1
        run = create_run(studio.tuilab.runs, f"killed-{at}", experiment)
        if moment == "start":  # with something to sweep up and to rewind
            assert workers.train(run, 18, "new") == (-signal.SIGKILL, "os.fsync")
        code, operation = workers.train(run, at, moment)
        if code == NOTHING_LEFT:
            break
        assert code == -signal.SIGKILL
        died.append(operation)
        assert workers.train(run) == (0, ""), died
        assert went_on_after(run) >= step, died
        assert record(run) == expected, died
        assert not list(run.path.glob("checkpoints/.*")), died
        shutil.rmtree(run.path)
    assert some <= set(died), died
