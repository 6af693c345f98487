"""Real runs to be killed, starved and crowded: started by the real command, and gone when the test is over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.conftest import Outcome, Tuilab
from tuilab.runs.commands import Answer, Command, answer, send
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import Owner, look
from tuilab.runs.reader import Epoch, Overview, following, overview

SECONDS_TO_WAIT = 60.0

collect_ignore = [] if sys.platform == "linux" else ["test_full_disk.py"]  # no mounts without the rights to them

MODEL = """
name = "own"
seed = 4
[data]
dataset = { type = "moons", samples = 2000, noise = 0.2 }
batch_size = 4
[[layers]]
type = "dense"
units = 16
activation = "relu"
[[layers]]
type = "batch_normalization"
[[layers]]
type = "dropout"
rate = 0.2
[[layers]]
type = "dense"
units = 1
activation = "sigmoid"
[training]
epochs = 4
loss = "binary_crossentropy"
metrics = ["accuracy"]
optimizer = { type = "adam", learning_rate = { type = "cosine_decay", initial_learning_rate = 0.01 } }
early_stopping = { monitor = "val_loss", patience = 3 }
"""
"""Everything that a checkpoint must carry: slots, a schedule, moving averages, random numbers, the best epoch."""

LONG = MODEL.replace("epochs = 4", "epochs = 10000").replace("early_stopping", "# early_stopping")

OFTEN = """
from tuilab.runs import training
training.SECONDS_BETWEEN_CHECKPOINTS, training.CHECKPOINT_SHARE = 0.0, 1.0
"""
"""Half of the time of a worker that begins with this goes into checkpoints."""

HELD = """
import os, signal, time
from tuilab.engine.trainer import Trainer
train_batch = Trainer.train_batch
def held(trainer, *arguments, **options):
    while trainer.step >= 500 and os.path.exists("hold"):
        open("held", "w").close()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            open("interrupted", "w").close()
        time.sleep(0.01)
    return train_batch(trainer, *arguments, **options)
Trainer.train_batch = held
"""
"""Every step after the 500th takes as long as there is a file `hold` in the test's folder; see Studio.hold. A file
`interrupted` says that it heard of a SIGINT and that the next one would end it."""

CHANGED = """
import sys
from tuilab.cli import main, train
from tuilab.runs import launch
launch.PROGRAM = sys.argv.pop(1) + launch.PROGRAM
train.SECONDS_TO_SEE_IT_START = 60.0
main.main()
"""
"""The command, but its workers do something of ours before their own program; it waits until they train, however slow
the machine is."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-kills", type=int, default=8, help="SIGKILLs at random moments, in tests/faults.")


def wait(until: Callable[[], Any], seconds: float = SECONDS_TO_WAIT) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@dataclass
class Studio:
    """The command, with runs of its own whose workers may be made to misbehave."""

    tuilab: Tuilab
    worker: str = ""
    """What each worker does before its program."""
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start `tuilab ARGUMENTS` and return the process, its output in pipes."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.tuilab.folder,
            env=self.tuilab.environment(),
        )
        self.started.append(process)
        return process

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-c", CHANGED, self.worker, *map(str, arguments)]

    def __call__(self, *arguments: str | Path, code: int = 0) -> Outcome:
        """Run `tuilab ARGUMENTS`, which must end with `code`, and return what it left."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == code, (arguments, stdout, stderr)
        assert "Traceback" not in stderr, stderr
        return Outcome(process.returncode, stdout, stderr)

    def detached(self, *arguments: str | Path) -> tuple[RunDirectory, int]:
        """Start a worker with `tuilab ARGUMENTS --detach`; return its run and its process."""
        told = self(*arguments, "--detach", "--json").json
        return RunDirectory(self.tuilab.runs / told["run"]), told["pid"]

    def model(self, text: str = MODEL) -> Path:
        return self.tuilab.write("own.toml", text)

    def hold(self) -> None:
        """Let the next worker that is HELD stay in the middle of a step."""
        (self.tuilab.folder / "held").unlink(missing_ok=True)
        (self.tuilab.folder / "hold").touch()

    def wait_until_held(self) -> None:
        wait((self.tuilab.folder / "held").exists)

    def wait_until_interrupted(self) -> None:
        wait((self.tuilab.folder / "interrupted").exists)

    def release(self) -> None:
        (self.tuilab.folder / "hold").unlink()

    def processes(self) -> list[psutil.Process]:
        """Return every process that was started here and still lives, workers and commands."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get("TUILAB_RUNS") == str(self.tuilab.runs)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def clear(self) -> None:
        """Kill what was started here, and what that starts meanwhile."""

        def gone() -> bool:
            living = self.processes()
            for process in living:
                with suppress(psutil.Error):
                    process.kill()
            return not living

        wait(gone)
        for process in self.started:
            process.communicate()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(Tuilab(tmp_path))
    yield studio
    studio.clear()


def dead(run: RunDirectory) -> bool:
    return look(run.path)[0] == "dead"


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> bool:
    """Kill a worker with SIGKILL; return False where it has ended by itself."""
    if not alive(pid):
        return False
    os.kill(pid, signal.SIGKILL)
    wait(lambda: not alive(pid))
    return True


def owner_of(run: RunDirectory) -> Owner:
    """Return what the lock file of a run says."""
    owner = look(run.path)[1]
    assert owner is not None
    return owner


def training(run: RunDirectory) -> bool:
    """Whether the run's worker has done steps."""
    seen = overview(run)
    return seen.state == "running" and seen.status.step > 0


def over(run: RunDirectory, state: str = "finished") -> Overview:
    """Wait for the run's worker to end; it must have left the run in that state."""
    wait(lambda: dead(run))
    seen = overview(run)
    assert seen.state == state, (seen.state, seen.reason)
    return seen


def ask(run: RunDirectory, action: str, key: str = "", value: str = "") -> Answer:
    """Send a command to the worker of a run, and return its answer."""
    name = send(run, Command.model_validate({"action": action, "key": key, "value": value}))
    wait(lambda: answer(run, name) is not None)
    found = answer(run, name)
    assert found is not None
    return found


def end_soon(run: RunDirectory) -> None:
    """Let a run train two more epochs; paused meanwhile, so that it cannot be past them before it hears of it."""
    assert ask(run, "pause").accepted
    wait(lambda: overview(run).state == "paused")
    assert ask(run, "set", "epochs", str(overview(run).status.epoch + 2)).accepted
    assert ask(run, "resume").accepted


@dataclass(frozen=True)
class Record:
    """What a run leaves that must not depend on interruptions."""

    weights: bytes
    results: tuple[Any, ...]
    epochs: list[tuple[Any, ...]]
    bins: dict[str, list[tuple[Any, ...]]]
    layers: list[tuple[Any, ...]]


def record(run: RunDirectory, *series: str) -> Record:
    """Return what a run left, with the bins of these series."""
    with following(run) as reader:
        status = reader.status()
        query = "SELECT bins.* FROM bins JOIN series ON id = series WHERE name = ? ORDER BY first"
        return Record(
            weights=(run.checkpoint() / "weights.safetensors").read_bytes(),
            results=(status.epoch, status.step, status.best, status.train, status.validation, status.test),
            epochs=[timeless(row) for row in reader.epochs()],
            bins={name: [row[1:] for row in reader.connection.execute(query, (name,))] for name in series},
            layers=reader.connection.execute("SELECT * FROM layers ORDER BY look, layer").fetchall(),
        )


def timeless(row: Epoch) -> tuple[Any, ...]:
    """Return an epoch without what depends on the clock."""
    return row.epoch, row.step, row.learning_rate, row.best, row.results
