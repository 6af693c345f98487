"""Runs that are recorded, not trained: from any events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tuilab.engine.events import EpochDone, StepsDone
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.reader import following
from tuilab.runs.recorder import Recorder


def new_run(folder: Path) -> RunDirectory:
    return create_run(folder, "own", "name = 'own'")


@contextmanager
def recording(run: RunDirectory) -> Iterator[Recorder]:
    """Give the writer of a run that goes on where its database stands."""
    with following(run) as reader:
        status = reader.status()
    with closing(Recorder(run.path, status)) as recorder:
        yield recorder


def steps_done(last: int, losses: Sequence[float], **results: float) -> StepsDone:
    """Return the event after step `last`: 10 samples a step, 0.1 s each."""
    results = {"loss": sum(losses) / len(losses), **results}
    return StepsDone(1, last, tuple(losses), results, 0.01, samples=10 * last, seconds=0.1 * last)


def epoch_done(epoch: int, step: int, best: bool = False, **results: float) -> EpochDone:
    return EpochDone(epoch, step, {"loss": 1 / epoch, **results}, 0.01, 1.5, 100.0, best)


def rows(run: RunDirectory, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with following(run) as reader:
        return reader.connection.execute(query, values).fetchall()


def bins(run: RunDirectory, name: str) -> list[tuple[Any, ...]]:
    """Return the bins of a series: first, step, count, total, least, most."""
    columns = "first, bins.step, count, total, least, most"
    return rows(run, f"SELECT {columns} FROM bins JOIN series ON id = series WHERE name = ? ORDER BY first", name)
