"""What the screens know of one run: read from its database bit by bit, handed out as snapshots that do not change."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.errors import TuilabError, UsageError
from tuilab.runs.database import FILE, open_for_reading, told
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import MOST_LAYER_ROWS, Epoch, Message, Overview, RunReader, glancing, overview
from tuilab.runs.series import Curve
from tuilab.text import clean_text

MOST_SERIES = 100
MOST_EPOCHS = 2048
"""Of twice as many, every second one is left out: more than any screen has columns for."""
MOST_MESSAGES = 1000
NUMBERS = (
    "gradient_norm",
    "weight_norm",
    "update_ratio",
    "activation_mean",
    "activation_deviation",
    "dead",
    "saturated",
)
"""Of a layer, as its table gives them; see engine.statistics.LayerState."""


@dataclass(frozen=True, eq=False)
class Layers:
    """The statistics of all layers over time."""

    names: tuple[str, ...] = ()
    look: HostArray = field(default_factory=lambda: np.empty(0))
    """(looks,), the number of each look at the layers; of long runs not every look is kept."""
    step: HostArray = field(default_factory=lambda: np.empty(0))
    """(looks,)"""
    numbers: HostArray = field(default_factory=lambda: np.empty((len(NUMBERS), 0, 0)))
    """(numbers, layers, looks), NaN where there is none."""

    def get(self, name: str) -> HostArray:
        """Return one of NUMBERS, (layers, looks)."""
        chosen: HostArray = self.numbers[NUMBERS.index(name)]
        return chosen


@dataclass(frozen=True, eq=False)
class Epochs:
    """The results of the epochs; of very many, of every second or fourth …"""

    rows: tuple[Epoch, ...] = ()
    step: HostArray = field(default_factory=lambda: np.empty(0))
    """(epochs,), the step at the end of each."""
    results: Mapping[str, HostArray] = field(default_factory=dict)
    """(epochs,) by name, with `val_` before it for the validation part; NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A run as it was at one moment."""

    run: RunDirectory
    seen: Overview | None = None
    """Where it stands; None as long as it could not be read."""
    trouble: str = ""
    """Why it cannot be read now; what was read before is still there."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """loss, the metrics, learning_rate, samples_per_second, and what the machine is asked for: cpu_percent, …"""
    epochs: Epochs = field(default_factory=Epochs)
    layers: Layers = field(default_factory=Layers)
    messages: tuple[Message, ...] = ()

    @property
    def steerable(self) -> bool:
        """Whether a worker listens to commands: it is there, and has begun to train."""
        seen = self.seen
        if seen is None or not seen.alive or self.trouble:
            return False
        return seen.status.pid == seen.owner.pid if seen.owner else seen.status.step > 0

    def newest(self, name: str) -> float | None:
        """Return the last value of a series."""
        curve = self.curves.get(name)
        return float(curve.mean[-1]) if curve is not None and len(curve.mean) else None


class RunView:
    """Follows one run, in one thread; a poll reads only what is new."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._connection: sqlite3.Connection | None = None
        """Kept open while a worker writes."""
        self._file: Any = None
        """Which file the connection reads, should another take its place."""
        self._version: Any = None
        """Of the content that was read."""
        self._writer: Any = None
        """Which worker wrote it: the next one goes back to a checkpoint and writes what follows anew."""
        self._levels: dict[str, int] = {}
        self._every = 1
        """Only every so many epochs are kept."""
        self._first_look = 0
        self._snapshot = Snapshot(run)

    def close(self) -> None:
        """Let go of the database; the next poll opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def poll(self, quick: bool = False) -> Snapshot:
        """Return the run as it stands now; the very same object where nothing has changed.

        `quick`: of the layers the names alone, for those of a long run take longer to read than all the rest.
        """
        before = self._snapshot
        try:
            self._read(quick)
        except TuilabError as error:
            self.close()
            self._writer = None
            if before.trouble != str(error):
                self._snapshot = replace(before, trouble=str(error))
        return self._snapshot

    def _read(self, quick: bool) -> None:
        if self._connection is None or self._file != self._stamp()[0]:
            self.close()
            if not self.run.path.is_dir():
                raise UsageError(f"run {clean_text(self.run.name)} is gone: its folder was deleted, moved or renamed")
            with glancing(self.run) as (reader, seen):
                if not seen.alive:
                    self._take(reader, seen, self._stamp(), quick)
                    return
            self._file = self._stamp()[0]
            self._connection = open_for_reading(self.run.path)
        with told(self.run.path / FILE), _transaction(self._connection):
            reader = RunReader(self._connection)
            seen = overview(self.run, reader)
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            self._take(reader, seen, (self._file, version), quick)
        if not seen.alive:
            self.close()

    def _stamp(self) -> tuple[Any, ...]:
        """Return what tells which file the database is, and when it and what waits beside it were last written."""
        found = []
        for ending in ("", "-wal"):
            try:
                facts = os.stat(f"{self.run.path / FILE}{ending}")
                found.append((facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns))
            except OSError:
                found.append((0, 0, 0, 0))
        return found[0][:2], *found

    def _take(self, reader: RunReader, seen: Overview, version: Any, quick: bool) -> None:
        """Read what is new, if anything is."""
        before = self._snapshot
        status, owner = seen.status, seen.owner
        writer = (version[0], status.created, status.pid, owner and (owner.host, owner.pid, owner.started))
        if writer != self._writer:
            self._levels, self._every, self._first_look = {}, 1, 0
            before = Snapshot(self.run)
        elif version == self._version:
            if seen != before.seen or before.trouble:
                self._snapshot = replace(before, seen=seen, trouble="")
            return
        last = before.messages[-1].id if before.messages else 0
        names = tuple(status.layers)
        self._snapshot = Snapshot(
            self.run,
            seen,
            "",
            self._curves(reader, before.curves),
            self._epochs(reader, before.epochs, status.epoch),
            nothing_of(names) if quick else self._layers(reader, before.layers, names),
            _joined(before.messages, reader.messages(last, MOST_MESSAGES))[-MOST_MESSAGES:],
        )
        self._version, self._writer = None if quick else version, writer

    def _curves(self, reader: RunReader, before: Mapping[str, Curve]) -> dict[str, Curve]:
        levels = dict(islice(reader.levels().items(), MOST_SERIES))
        curves = {}
        for name, level in levels.items():
            known = before.get(clean_text(name))
            if known is None or self._levels.get(name) != level or not len(known.step):
                curves[clean_text(name)] = reader.curve(name)
                continue
            whole = len(known.step) - 1  # of the last bin there may be more by now
            new = reader.curve(name, whole << level)
            curves[clean_text(name)] = Curve(
                np.concatenate((known.step[:whole], new.step)),
                np.concatenate((known.mean[:whole], new.mean)),
                np.concatenate((known.least[:whole], new.least)),
                np.concatenate((known.most[:whole], new.most)),
            )
        self._levels = levels
        return curves

    def _epochs(self, reader: RunReader, before: Epochs, done: int) -> Epochs:
        if not before.rows:
            while done // self._every > 2 * MOST_EPOCHS:
                self._every *= 2
        new = reader.epochs(before.rows[-1].epoch if before.rows else 0, self._every)
        if not new:
            return before
        rows = (*before.rows, *new)
        while len(rows) > 2 * MOST_EPOCHS:
            self._every *= 2
            rows = tuple(row for row in rows if row.epoch % self._every == 0)
        names = dict.fromkeys(name for row in (rows[0], rows[-1]) for name in row.results)
        results = {
            name: np.array([row.results.get(name) for row in rows], dtype=np.float64)
            for name in islice(names, MOST_SERIES)
        }
        return Epochs(rows, np.array([row.step for row in rows], dtype=np.float64), results)

    def _layers(self, reader: RunReader, before: Layers, names: tuple[str, ...]) -> Layers:
        first_look = reader.first_look()
        if first_look != self._first_look or names != before.names:
            self._first_look = first_look
            before = nothing_of(names)
        rows = reader.layer_table(int(before.look[-1]) if len(before.look) else -1)
        if not len(rows):
            return before
        look, step, numbers = _by_layer(rows, len(names))
        return Layers(
            names,
            np.concatenate((before.look, look)),
            np.concatenate((before.step, step)),
            np.concatenate((before.numbers, numbers), axis=2),
        )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several queries see the same state."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _joined(before: tuple[Message, ...], new: Sequence[Message]) -> tuple[Message, ...]:
    return (*before, *new) if new else before


def nothing_of(names: tuple[str, ...]) -> Layers:
    """Return layers that were never looked at."""
    return Layers(names, numbers=np.empty((len(NUMBERS), len(names), 0)))


def _by_layer(rows: HostArray, layers: int) -> tuple[HostArray, HostArray, HostArray]:
    """Return look (looks,), step (looks,) and the numbers (numbers, layers, looks) of a table of layers.

    Rows that no run writes are left out, and so are old looks where a damaged table holds too many.
    """
    rows = rows[(rows[:, 1] >= 0) & (rows[:, 1] < layers)]
    looks, at = np.unique(rows[:, 0], return_inverse=True)
    first = max(len(looks) - MOST_LAYER_ROWS // max(layers, 1), 0)
    rows, at, looks = rows[at >= first], at[at >= first] - first, looks[first:]
    numbers = np.full((len(NUMBERS), layers, len(looks)), np.nan)
    numbers[:, rows[:, 1].astype(np.intp), at] = rows[:, 3:].T
    step = np.zeros(len(looks))
    step[at] = rows[:, 2]
    return looks, step, numbers
