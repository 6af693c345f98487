"""Reads what a run tells, while its worker writes: for screens and commands that follow it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tuilab.errors import TuilabError
from tuilab.runs.database import limit_time, reading
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import Life, Owner, look, looking
from tuilab.runs.status import State, Status
from tuilab.text import clean_text

if TYPE_CHECKING:
    from tuilab.blocks.arrays import HostArray
    from tuilab.engine.distributions import Distribution
    from tuilab.runs.series import Curve

SECONDS_TO_START = 10.0
"""A run this young whose worker is not there yet is not called dead."""

MOST_LAYER_ROWS = 131_072
"""Twice as many as any run keeps."""
EVERY = """
WITH RECURSIVE wanted(epoch) AS (
  SELECT ? UNION ALL SELECT epoch + ? FROM wanted WHERE epoch < (SELECT max(epoch) FROM epochs)
)
"""
"""Every so many epochs from one on."""

Seen: TypeAlias = State | Literal["unknown"]


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch."""

    epoch: int
    step: int
    seconds: float
    learning_rate: float
    samples_per_second: float
    best: bool
    """Whether it was the best until then."""
    results: dict[str, float | None]


@dataclass(frozen=True)
class Message:
    """Something that happened."""

    id: int
    time: float
    step: int
    kind: str
    text: str


@dataclass(frozen=True)
class LayerRow:
    """The statistics of one layer at one step; see engine.statistics.LayerState."""

    step: int
    layer: int
    gradient_norm: float | None
    weight_norm: float | None
    update_ratio: float | None
    activation_mean: float | None
    activation_deviation: float | None
    dead: float | None
    saturated: float | None


class RunReader:
    """An open database of a run. Its methods raise UsageError through `following` where it is damaged."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def status(self) -> Status:
        (value,) = self._rows("SELECT value FROM status WHERE id = 1").fetchone()
        return Status.model_validate_json(value)

    def epochs(self, after: int = 0, every: int = 1) -> list[Epoch]:
        """Return the results of all epochs after that one, or of every so many."""
        columns = "epoch, step, seconds, learning_rate, samples_per_second, best, results"
        if every == 1:
            rows = self._rows(f"SELECT {columns} FROM epochs WHERE epoch > ? ORDER BY epoch", after)
        else:  # one by one: a million of them would take seconds to look through
            rows = self._rows(f"{EVERY} SELECT {columns} FROM wanted JOIN epochs USING (epoch)", after + every, every)
        return [
            Epoch(int(epoch), int(step), float(seconds), float(rate), float(speed), bool(best), _results(results))
            for epoch, step, seconds, rate, speed, best, results in rows
        ]

    def messages(self, after: int = 0, most: int = -1) -> list[Message]:
        """Return the messages that were written after the one with that id; of more than `most`, the newest."""
        newest = "SELECT id, time, step, kind, text FROM messages WHERE id > ? ORDER BY id DESC LIMIT ?"
        rows = self._rows(f"SELECT * FROM ({newest}) ORDER BY id", after, most)
        return [
            Message(int(id), float(time), int(step), clean_text(kind), clean_text(text, 1000))
            for id, time, step, kind, text in rows
        ]

    def layers(self, after_step: int = 0) -> list[LayerRow]:
        """Return the statistics of all layers after that step, by step."""
        columns = "step, layer, gradient_norm, weight_norm, update_ratio, activation_mean, activation_deviation"
        query = f"SELECT {columns}, dead, saturated FROM layers WHERE step > ? ORDER BY look, layer"
        return [
            LayerRow(int(step), int(layer), *(None if number is None else float(number) for number in numbers))
            for step, layer, *numbers in self._rows(query, after_step)
        ]

    def layer_table(self, after_look: int = -1) -> HostArray:
        """Return the statistics of all layers after that look, (n, 10): look, layer, step and the numbers of LayerRow,
        NaN where there are none."""
        import numpy as np

        columns = "look, layer, step, gradient_norm, weight_norm, update_ratio, activation_mean, activation_deviation"
        query = f"SELECT {columns}, dead, saturated FROM layers WHERE look > ? ORDER BY look, layer LIMIT ?"
        return np.fromiter(self._rows(query, after_look, MOST_LAYER_ROWS), dtype=(np.float64, 10))

    def distributions(self, layer: int) -> dict[str, tuple[int, Distribution]]:
        """Return how the weights, gradients and outputs of a layer, numbered from 0, were distributed the last time,
        each with its step; those that it has none of are left out."""
        columns = "kind, step, least, most, counts"
        rows = self._rows(f"SELECT {columns} FROM distributions WHERE layer = ? ORDER BY kind LIMIT 9", layer)
        return {clean_text(kind): (int(step), _distribution(*facts)) for kind, step, *facts in rows}

    def first_look(self) -> int:
        """Return the first look at the layers after the very first one, or 0: it changes when looks are thinned."""
        (look,) = self._rows("SELECT min(look) FROM layers WHERE look > 0").fetchone()
        return int(look or 0)

    def series(self) -> list[str]:
        """Return the names of all series: loss, metrics, learning_rate, samples_per_second, …"""
        return [clean_text(name) for (name,) in self._rows("SELECT name FROM series ORDER BY id")]

    def levels(self) -> dict[str, int]:
        """Return for each series how often its bins were joined: one holds 2^level values."""
        rows = self._rows("SELECT name, level FROM series ORDER BY id")
        return {clean_text(name): int(level) for name, level in rows}

    def curve(self, name: str, first: int = 0) -> Curve:
        """Return one series as it is drawn, from the bin on that begins with its value of that number."""
        from tuilab.runs.series import CURVE, MOST_BINS, make_curve

        return make_curve(self._rows(CURVE, name, first, 2 * MOST_BINS).fetchall())

    def _rows(self, query: str, *values: Any) -> sqlite3.Cursor:
        limit_time(self.connection)
        return self.connection.execute(query, values)


@contextmanager
def following(run: RunDirectory) -> Iterator[RunReader]:
    """Give the reader of a run; raises UsageError where its database is missing, damaged or another program's."""
    with reading(run.path) as connection:
        yield RunReader(connection)


@dataclass(frozen=True)
class Overview:
    """A run as it stands now."""

    run: RunDirectory
    status: Status
    state: Seen
    """As the worker says, if it lives to say it."""
    reason: str
    owner: Owner | None

    @property
    def alive(self) -> bool:
        """Whether a worker is there, or may be there."""
        return self.state in ("running", "paused", "unknown")


def overview(run: RunDirectory, reader: RunReader | None = None) -> Overview:
    """Return where a run stands; raises UsageError where its database cannot be read."""
    if reader is None:
        with glancing(run) as (_, seen):
            return seen
    life, owner = look(run.path)  # before the database, which the worker writes last
    return _overview(run, reader.status(), life, owner)


@contextmanager
def glancing(run: RunDirectory) -> Iterator[tuple[RunReader, Overview]]:
    """Give the reader of a run and where it stands, for a moment: while it lasts, no worker begins to train the run.

    Raises UsageError where its database cannot be read."""
    with (
        looking(run.path) as (life, owner),
        reading(run.path, at_rest=life == "dead" and owner is not None) as connection,
    ):
        reader = RunReader(connection)
        yield reader, _overview(run, reader.status(), life, owner)


def _overview(run: RunDirectory, status: Status, life: Life, owner: Owner | None) -> Overview:
    state, reason = _judge(status, life, owner)
    return Overview(run, status, state, clean_text(reason, 1000), owner)


def _judge(status: Status, life: str, owner: Owner | None) -> tuple[Seen, str]:
    if status.state not in ("running", "paused"):
        return status.state, status.reason
    if life == "unknown":
        host = clean_text(owner.host if owner else status.host or "another machine")
        return "unknown", f"on {host}, last heartbeat {ago(status.heartbeat)}"
    trouble = owner.trouble if owner else ""
    if life == "alive":
        return ("paused", trouble) if trouble else (status.state, status.reason)
    if not status.step and owner is None and time.time() - status.created < SECONDS_TO_START:
        return "running", "its worker is being started"
    if trouble:
        return "failed", trouble
    if owner is None:
        return "failed", "its worker never started"
    return "failed", f"its worker was killed, or the machine went down, after step {status.step:,}"


def ago(moment: float) -> str:
    """Return how long ago a moment was, as people say it."""
    seconds = max(time.time() - moment, 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def try_overview(run: RunDirectory) -> Overview | str:
    """Return where a run stands, or why that cannot be said."""
    try:
        return overview(run)
    except TuilabError as error:
        return str(error)


def _distribution(least: Any, most: Any, text: str) -> Distribution:
    from tuilab.engine.distributions import LARGEST, Distribution

    counts = json.loads(text)
    if not isinstance(counts, list) or not all(type(count) is int and 0 <= count < 2**53 for count in counts):
        raise ValueError
    if not -LARGEST <= float(least) <= float(most) <= LARGEST:
        raise ValueError
    return Distribution(float(least), float(most), tuple(counts))


def _results(text: str) -> dict[str, float | None]:
    stored = json.loads(text)
    if not isinstance(stored, dict):
        raise ValueError
    return {clean_text(name): None if value is None else float(value) for name, value in stored.items()}
