"""A worker that is killed with SIGKILL at any moment: nothing told is lost, and the run ends as if undisturbed."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import psutil
import pytest

from tests.faults.conftest import MODEL, OFTEN, Studio, alive, kill, over, record, timeless, wait
from tuilab.runs.checkpoints import resumable_checkpoints
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import following, overview

THINNED = """
from tuilab.runs import recorder, series
series.MOST_BINS, recorder.MOST_LAYER_ROWS = 256, 100
"""
"""So that a short run joins bins and drops looks as a long one does."""

EVERY_STEP = """
from tuilab.engine import trainer
trainer.SECONDS_BETWEEN_EVENTS = 0.0
"""
"""So that what is recorded with every event does not depend on the clock either."""

ACCUMULATING = MODEL.replace('type = "adam"', 'type = "adam", gradient_accumulation_steps = 3')

Row: TypeAlias = tuple[Any, ...]
"""kind, step, what thinning goes by, and the rest of the row."""


def rows(run: RunDirectory) -> set[Row]:
    """Return what is committed, as far as it does not change any more; it ends with the step that the status tells."""
    bins = """
    SELECT 'bin', step, level, bins.* FROM bins JOIN series ON id = series WHERE name = 'loss' AND count = 1 << level
    """
    last = "SELECT coalesce(max(step), 0) FROM bins JOIN series ON id = series WHERE name = 'loss'"
    with following(run) as reader:
        reader.connection.execute("BEGIN")
        assert reader.connection.execute(last).fetchone() == (reader.status().step,)
        found = set(reader.connection.execute(bins))
        found |= set(reader.connection.execute("SELECT 'look', step, look, * FROM layers"))
        found |= {("epoch", epoch.step, 0, str(timeless(epoch))) for epoch in reader.epochs()}
        found |= {("message", 0, 0, message.id, message.time, message.text) for message in reader.messages()}
    return found


def lost(run: RunDirectory, seen: set[Row]) -> set[Row]:
    """Return the rows that were seen, belong to steps before the newest checkpoint and are not there any more."""
    now, folders = rows(run), resumable_checkpoints(run)
    newest = int(folders[0].name[5:]) if folders else 0
    level = max((row[2] for row in now if row[0] == "bin"), default=0)
    stride = min((row[2] for row in now if row[0] == "look" and row[2]), default=1)

    def kept(kind: str, step: int, thinned_by: int) -> bool:
        thinned = (kind == "bin" and thinned_by != level) or (kind == "look" and thinned_by % stride != 0)
        return step <= newest and not thinned

    return {row for row in seen - now if kept(*row[:3])}


@dataclass
class Deaths:
    """Kills workers at random, and knows what they were doing."""

    moments: random.Random
    phases: Counter[str] = field(default_factory=Counter)

    def kill(self, run: RunDirectory, pid: int, within: float) -> None:
        """Kill the worker of a run within so many seconds."""
        until = time.monotonic() + self.moments.uniform(0, within)
        seen: set[Row] = set()
        while time.monotonic() < until and alive(pid):
            seen |= rows(run)
            time.sleep(0.01)
        if kill(pid):
            self.phases[phase(run, pid)] += 1
        assert overview(run).state in ("failed", "finished")
        assert not lost(run, seen)


def phase(run: RunDirectory, pid: int) -> str:
    """Return what a worker was doing when it was killed."""
    status = overview(run).status
    if status.pid != pid:
        return "starting"
    if list(run.path.glob("checkpoints/.*.part")):
        return "writing a checkpoint"
    return "ending" if status.epoch == status.epochs else "training"


def worker_of(command: subprocess.Popen[str]) -> int:
    """Return the process of the worker that a command starts, as soon as it is there."""
    children: list[psutil.Process] = []

    def started() -> bool:
        children[:] = psutil.Process(command.pid).children()
        return bool(children)

    wait(started)
    return children[0].pid


@pytest.mark.parametrize(
    ("model", "worker", "series"),
    [(MODEL, "", ["loss"]), (ACCUMULATING, EVERY_STEP, ["loss", "accuracy", "learning_rate"])],
    ids=["as usual", "every step recorded"],
)
def test_runs_that_are_killed_again_and_again(
    studio: Studio, request: pytest.FixtureRequest, model: str, worker: str, series: list[str]
) -> None:
    kills = request.config.getoption("faults_kills", default=8) // 2
    studio.worker = OFTEN + THINNED + worker
    path = studio.model(model)
    undisturbed, _ = studio.detached("train", path)
    over(undisturbed)
    deaths, began = Deaths(random.Random(kills)), time.monotonic()
    while deaths.phases.total() < kills:
        run, pid = studio.detached("train", path)
        deaths.kill(run, pid, within=0.5)
        while overview(run).state != "finished":
            if deaths.phases.total() == kills:
                studio("resume", run.name)
            elif deaths.phases.total() % 2:
                _, pid = studio.detached("resume", run.name)  # which trains by now
                deaths.kill(run, pid, within=0.5)
            else:
                command = studio.start("resume", run.name)
                deaths.kill(run, worker_of(command), within=1.0)  # at any moment since it was started
                command.communicate(timeout=60)
                assert command.returncode in (0, 4)
        over(run)
        assert record(run, *series) == record(undisturbed, *series)
    print(f"{deaths.phases.total()} kills in {time.monotonic() - began:.0f} s: {dict(deaths.phases)}")
