"""The runs of a folder as rows of a table: what each one has to say of itself, read when it is asked for."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tuilab.errors import TuilabError, UsageError
from tuilab.runs.directory import RunDirectory, run_names
from tuilab.runs.notes import Notes, read_notes
from tuilab.runs.reader import Epoch, Overview, overview
from tuilab.runs.settings import Setting, read_settings
from tuilab.runs.status import Results
from tuilab.text import clean_text

LONGEST_TEXT = 4096
"""Of a path, or a note."""


@dataclass(frozen=True)
class Row:
    """One run, whether it can be read or not."""

    run: RunDirectory
    overview: Overview | None
    trouble: str = ""
    """Why it cannot be read."""

    @property
    def state(self) -> str:
        return self.overview.state if self.overview else "damaged"

    @property
    def age(self) -> float | None:
        """Seconds since the run was begun."""
        return max(time.time() - self.overview.status.created, 0.0) if self.overview else None

    @cached_property
    def notes(self) -> Notes:
        """Tags and note; none where they cannot be read."""
        try:
            return read_notes(self.run)
        except UsageError:
            return Notes()

    @cached_property
    def size(self) -> int:
        """Bytes of all files of the run."""
        total, folders = 0, [os.fspath(self.run.path)]
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
            except OSError:  # it vanishes while we look, or may not be read
                continue
        return total

    @cached_property
    def settings(self) -> dict[str, Setting]:
        """Every setting by its place."""
        return read_settings(self.run)

    @property
    def latest(self) -> Results:
        """The results of the best epoch; before there is one, those of the epoch so far."""
        if self.overview is None:
            return {}
        status = self.overview.status
        return status.best.results if status.best else status.results

    @cached_property
    def results(self) -> dict[str, float | None]:
        """All results by name: `val_loss` (see `latest`), `best_epoch`, and of the final weights `test.accuracy`."""
        if self.overview is None:
            return {}
        status = self.overview.status
        parts = {"train": status.train, "validation": status.validation, "test": status.test}
        final = {f"{part}.{name}": value for part, found in parts.items() for name, value in (found or {}).items()}
        return {"best_epoch": status.best.epoch if status.best else None, **self.latest, **final}

    def main_results(self) -> list[str]:
        """Return the names of the results that say most: the loss, and the first metric, on the validation part where
        there is one."""
        names = dict.fromkeys(name.removeprefix("val_") for name in self.latest)  # the loss comes first
        return [f"val_{name}" if f"val_{name}" in self.latest else name for name in list(names)[:2]]


def read_rows(folder: Path) -> list[Row]:
    """Return a row for every run in `folder`, by name."""
    rows = (read_row(RunDirectory(folder / name)) for name in run_names(folder))
    return [row for row in rows if row.overview or row.run.experiment_file.exists()]  # not deleted while we read


def read_row(run: RunDirectory) -> Row:
    """Return the row of a run, also where it cannot be read."""
    try:
        return Row(run, overview(run))
    except TuilabError as error:
        return Row(run, None, str(error))


def describe(row: Row) -> dict[str, Any]:
    """Return what a row says as plain values that JSON holds and a terminal bears; times are seconds since 1970."""
    path = os.path.abspath(row.run.path)
    if row.overview is None:
        return {"run": printable(row.run.name), "state": row.state, "reason": row.trouble, "path": printable(path)}
    status, owner = row.overview.status, row.overview.owner if row.overview.alive else None
    facts: dict[str, Any] = printable(
        {
            "run": row.run.name,
            "name": status.experiment,
            "state": row.state,
            "reason": row.overview.reason,
            "pid": owner.pid if owner else status.pid or None,
            "host": owner.host if owner else status.host or None,
            "device": status.device or None,
            "threads": status.threads or None,
            "parameters": status.parameters,
            "epoch": status.epoch,
            "epochs": status.epochs,
            "step": status.step,
            "seconds": round(status.seconds, 3),
            "samples_per_second": status.samples_per_second and round(status.samples_per_second, 1),
            "learning_rate": status.learning_rate,
            "results": status.results,
            "best": {"epoch": status.best.epoch, **status.best.results} if status.best else None,
            "train": status.train,
            "validation": status.validation,
            "test": status.test,
            "checkpoints": [int(path.name[5:]) for path in row.run.checkpoints()],
            "size": row.size,
            "created": status.created,
            "heartbeat": status.heartbeat,
            "tags": list(row.notes.tags),
            "note": row.notes.note,
            "path": path,
        }
    )
    return facts


def describe_epoch(epoch: Epoch) -> dict[str, Any]:
    """Return an epoch as plain values, its results by name beside the rest."""
    numbers = {name: value for name, value in vars(epoch).items() if name != "results"}
    facts: dict[str, Any] = printable({**numbers, **epoch.results})
    return facts


def printable(value: Any) -> Any:
    """Return a value of dictionaries and lists with clean texts, and None for NaN and infinity."""
    if isinstance(value, str):
        return "\n".join(clean_text(line, LONGEST_TEXT) for line in value.splitlines())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {clean_text(name): printable(item) for name, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value
