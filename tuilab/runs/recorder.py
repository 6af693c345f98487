"""Writes what a training tells into the database of its run, and takes at most a hundredth of its time."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from pydantic_core import to_json

from tuilab.engine.distributions import LayerDistributions
from tuilab.engine.events import EpochDone, Event, LayersSeen, StepsDone, TrainingStarted
from tuilab.engine.statistics import LayerState
from tuilab.errors import UsageError
from tuilab.runs import database
from tuilab.runs.series import DROP_JOINED, JOIN, Series, checked_level
from tuilab.runs.status import BestEpoch, State, Status, finite, storable
from tuilab.text import clean_text

if TYPE_CHECKING:
    from tuilab.engine.sensors import Sensors

LOG = logging.getLogger("tuilab.run")
MOST_LAYER_ROWS = 65_536
SHORTEST_INTERVAL, LONGEST_INTERVAL = 0.2, 10.0
"""Seconds between two transactions."""
SHARE = 0.005
"""Of the time that writing may take: where a transaction is slow, there are fewer."""
SECONDS_BETWEEN_LOADS = 1.0
MOST_EVENTS = 10_000
"""That wait for a transaction."""
GPU_SERIES = {
    "gpu_percent": "load_percent",
    "gpu_memory_bytes": "memory_bytes",
    "gpu_watts": "watts",
    "gpu_celsius": "celsius",
}
"""Series of a run that a GPU trains, and what the sensors call them."""
LARGEST = 1e300
"""Value in a series, so that no sum of them overflows."""

Kind: TypeAlias = Literal["state", "command", "checkpoint"]

BINS = "REPLACE INTO bins VALUES (?, ?, ?, ?, ?, ?, ?)"
EPOCHS = "REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?)"
DISTRIBUTIONS = "REPLACE INTO distributions VALUES (?, ?, ?, ?, ?, ?)"
LAYERS = "REPLACE INTO layers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
LAYER_NUMBERS = attrgetter(*(column.name for column in fields(LayerState)[1:]))


class Recorder:
    """The writer of one run's database.

    Rows wait in memory until a transaction takes them; where that fails, they wait on, and `write` may be called again.
    """

    def __init__(self, run: Path, status: Status) -> None:
        self.connection = database.open_for_writing(run)
        self.run = run
        self.series: dict[str, Series] = {}
        self.looks = 0
        """How often the layers were looked at."""
        self.looks_level = 0
        """Every 2^looks_level-th look is kept."""
        self.loads = _Load()
        self._status = status
        self._events: list[Event] = []
        """Not looked at yet."""
        self._waiting: list[tuple[str, list[Any]]] = []
        """Statements for the next transaction, with their rows."""
        self._taken = 0.0
        """Seconds that a transaction takes, about."""
        self._next_write = 0.0
        self._next_load = 0.0
        self._last: StepsDone | None = None
        try:
            self._load_levels()
        except BaseException:
            self.close()
            raise

    @property
    def status(self) -> Status:
        """Where the run stands, with everything that was recorded."""
        self._take_in()
        return self._status

    def close(self) -> None:
        """Leave everything in the one file, whoever still reads it."""
        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()

    def watch(self, bus: str) -> None:
        """Record what the GPU that is plugged in there tells, too."""
        self.loads.watch(bus)

    def record(self, event: Event) -> None:
        """Take an event; it is written when it is time."""
        self._events.append(event)

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._next_write or len(self._events) >= MOST_EVENTS

    def write(self, durable: bool = False) -> None:
        """Write all that waits in one transaction; `durable`: so that it outlives a power cut.

        Raises DiskFullError where there is no space and BusyError where another program keeps the database locked;
        then what waits is kept.
        """
        self.update(heartbeat=time.time())
        status = self.status.model_dump_json()
        with database.told(self.run / database.FILE):
            self.connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            try:
                started = time.perf_counter()
                self.connection.execute("BEGIN IMMEDIATE")
                begun = time.perf_counter()
                for statement, rows in self._waiting:
                    self.connection.executemany(statement, rows)
                self.connection.execute("REPLACE INTO status VALUES (1, ?)", (status,))
                all_there = time.perf_counter()
                self.connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                raise
        self._waiting.clear()
        # without the rows, which take as long in few transactions as in many
        taken = begun - started + time.perf_counter() - all_there
        self._taken += (taken - self._taken) / 4
        self._next_write = time.monotonic() + min(max(self._taken / SHARE, SHORTEST_INTERVAL), LONGEST_INTERVAL)

    def update(self, **changes: Any) -> None:
        """Change what the status says; it is written with the next transaction."""
        self._take_in()
        self._status = self._status.model_copy(update=changes)

    def enter(self, state: State, reason: str = "") -> None:
        """Put the run into a state; it is written with the next transaction."""
        if (state, reason) != (self.status.state, self.status.reason):
            self.update(state=state, reason=reason)
            self.tell("state", f"{state}: {reason}" if reason else state)

    def tell(self, kind: Kind, text: str) -> None:
        """Note what happened, for everybody who follows the run."""
        LOG.info(clean_text(text, 1000))
        self._add(
            "INSERT INTO messages(time, step, kind, text) VALUES (?, ?, ?, ?)",
            [(time.time(), self.status.step, kind, text)],
        )

    def answer(self, name: str, command: str, accepted: bool, answer: str) -> None:
        """Note what became of a command."""
        values = (name, time.time(), self.status.step, command, accepted, answer)
        self._add("REPLACE INTO commands VALUES (?, ?, ?, ?, ?, ?)", [values])
        self.tell("command", answer if accepted else f"{command} was refused: {answer}")

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold, so that recording goes on as if nothing had happened."""
        self._take_in()
        series = {name: series.to_json() for name, series in self.series.items()}
        return {"series": series, "looks": self.looks, "looks_level": self.looks_level}

    def rewind(self, state: Mapping[str, Any], history: Sequence[EpochDone]) -> None:
        """Forget everything after the checkpoint that holds `state`; `history`: all epochs before it.

        Raises UsageError, and forgets nothing, where `state` is none.
        """
        try:
            wanted = {name: Series.from_json(stored) for name, stored in state["series"].items()}
            looks, looks_level = int(state["looks"]), checked_level(state["looks_level"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise UsageError("the checkpoint does not say how recording goes on: it is damaged or foreign") from None
        self._take_in()
        for name in self.series.keys() - wanted.keys():
            gone = self.series.pop(name)
            self._add("DELETE FROM bins WHERE series = ?", [(gone.id,)])
            self._add("DELETE FROM series WHERE id = ?", [(gone.id,)])
        for name, series in wanted.items():
            known = self._known(name)
            series.id = known.id
            self.series[name] = series
            for level in range(known.level + 1, series.level + 1):
                self._set_level(series, level)
            series.level = max(series.level, known.level)
            whole = series.count >> series.level << series.level
            self._add("DELETE FROM bins WHERE series = ? AND first >= ?", [(series.id, whole)])
            self._add(BINS, series.unfinished())
        self.looks, self.looks_level = looks, max(looks_level, self.looks_level)
        self._add("DELETE FROM layers WHERE look >= ?", [(self.looks,)])
        self._add("DELETE FROM distributions", [()])  # the next step brings them again
        self._add("DELETE FROM epochs", [()])
        self.update(**{"best": None, **self._epochs(history)})

    def _take_in(self) -> None:
        """Make rows and a status of the events since the last time: many at once cost little more than one."""
        kinds: dict[type, list[Any]] = {kind: [] for kind in get_args(Event)}
        for event in self._events:
            kinds[type(event)].append(event)
        self._events.clear()
        changes: dict[str, Any] = {}
        for started in kinds[TrainingStarted]:
            changes |= {
                "device": started.device,
                "parameters": started.parameters,
                "epochs": started.epochs,
                "steps_per_epoch": started.steps_per_epoch,
                "samples_per_epoch": started.samples,
            }
        for seen in kinds[LayersSeen]:
            self._layers(seen)
            changes["layers"] = [layer.name for layer in seen.layers]
            for index, layer in enumerate(seen.distributions):
                self._add(DISTRIBUTIONS, list(_distributions(seen.step, index, layer)))
        changes |= self._epochs(kinds[EpochDone])
        if kinds[StepsDone]:
            changes |= self._steps(kinds[StepsDone])
        self._status = self._status.model_copy(update=changes)

    def _steps(self, events: list[StepsDone]) -> dict[str, Any]:
        last = [event.step for event in events]
        losses = [loss for event in events for loss in event.losses]
        self._gather("loss", losses, [step for event in events for step in _steps_of(event)])
        for name in events[-1].results:
            if name != "loss":
                self._gather(name, [event.results[name] for event in events], last)
        self._gather("learning_rate", [event.learning_rate for event in events], last)
        speeds = [_speed(before, event) for before, event in pairwise([self._last or events[0], *events])]
        self._gather("samples_per_second", speeds, last)
        newest = self._last = events[-1]
        if time.monotonic() >= self._next_load:
            self._next_load = time.monotonic() + SECONDS_BETWEEN_LOADS
            for name, value in self.loads.now().items():
                self._gather(name, [value], [newest.step])
        return {
            "step": newest.step,
            "seconds": newest.seconds,
            "samples_per_second": newest.samples / newest.seconds if newest.seconds else None,
            "learning_rate": newest.learning_rate,
            "results": finite(newest.results),
        }

    def _layers(self, event: LayersSeen) -> None:
        look, self.looks = self.looks, self.looks + 1
        if look % (1 << self.looks_level):
            return
        numbers = (map(storable, LAYER_NUMBERS(layer)) for layer in event.layers)
        self._add(LAYERS, [(look, index, event.step, *values) for index, values in enumerate(numbers)])
        if (look >> self.looks_level) * len(event.layers) > MOST_LAYER_ROWS:
            self.looks_level += 1
            self._add("DELETE FROM layers WHERE look % ? <> 0", [(1 << self.looks_level,)])

    def _epochs(self, events: Sequence[EpochDone]) -> dict[str, Any]:
        rows = []
        changes: dict[str, Any] = {}
        for event in events:
            results = to_json(event.results, inf_nan_mode="null").decode()
            numbers = (event.seconds, event.learning_rate, event.samples_per_second)
            rows.append((event.epoch, event.step, *numbers, event.best, results))
            changes["epoch"], changes["step"] = event.epoch, event.step
            if event.best:
                changes["best"] = event
        self._add(EPOCHS, rows)
        if "best" in changes:
            best = changes["best"]
            changes["best"] = BestEpoch(epoch=best.epoch, results=finite(best.results))
        return changes

    def _gather(self, name: str, values: Sequence[float], steps: Sequence[int]) -> None:
        new, at = np.array(values, dtype=np.float64), np.array(steps, dtype=np.int64)
        good = np.abs(new) <= LARGEST  # not NaN either: a metric that is not defined yet
        series = self._known(name)
        while series.too_long(int(np.count_nonzero(good))):
            self._set_level(series, series.level + 1)
        self._add(BINS, series.add(new[good], at[good]))

    def _set_level(self, series: Series, level: int) -> None:
        series.level = level
        size = {"series": series.id, "size": 1 << level}
        self._add(JOIN, [size])
        self._add(DROP_JOINED, [size])
        self._add("UPDATE series SET level = ? WHERE id = ?", [(level, series.id)])

    def _known(self, name: str) -> Series:
        """Return a series, which is made where there is none."""
        if name not in self.series:
            number = max((series.id for series in self.series.values()), default=0) + 1
            self.series[name] = Series(number)
            self._add("INSERT INTO series VALUES (?, ?, 0)", [(number, name)])
        return self.series[name]

    def _add(self, statement: str, rows: list[Any]) -> None:
        if self._waiting and self._waiting[-1][0] == statement:
            self._waiting[-1][1].extend(rows)
        elif rows:
            self._waiting.append((statement, list(rows)))

    def _load_levels(self) -> None:
        with database.told(self.run / database.FILE):
            for number, name, level in self.connection.execute("SELECT id, name, level FROM series"):
                self.series[name] = Series(number, checked_level(level))
            (look,) = self.connection.execute("SELECT min(look) FROM layers WHERE look > 0").fetchone()
            if look is not None:
                self.looks_level = (look & -look).bit_length() - 1


def _distributions(step: int, index: int, layer: LayerDistributions) -> Iterator[tuple[Any, ...]]:
    """Give what the table distributions is to hold of one layer."""
    for kind, found in vars(layer).items():
        if found is not None:
            yield index, kind, step, found.least, found.most, to_json(found.counts).decode()


def _steps_of(event: StepsDone) -> range:
    return range(event.step - len(event.losses) + 1, event.step + 1)


def _speed(before: StepsDone, event: StepsDone) -> float:
    seconds = event.seconds - before.seconds
    return (event.samples - before.samples) / seconds if seconds > 0 else math.nan


class _Load:
    """What the training asks of its machine."""

    def __init__(self) -> None:
        import psutil

        self.process = psutil.Process(os.getpid())
        self.process.cpu_percent()
        self.sensors: Sensors | None = None
        """Of the GPU that trains."""

    def watch(self, bus: str) -> None:
        """Read the GPU that is plugged in there too."""
        from tuilab.engine.sensors import Sensors

        self.sensors = Sensors(bus)

    def now(self) -> dict[str, float]:
        """Return the share of one processor, in percent, since the last call, and the bytes of memory in use; and what
        the GPU tells."""
        found = {"cpu_percent": self.process.cpu_percent(), "memory_bytes": float(self.process.memory_info().rss)}
        if self.sensors is not None:
            reading = self.sensors.read()
            told = {name: getattr(reading, read) for name, read in GPU_SERIES.items()}
            found |= {name: value for name, value in told.items() if value is not None}
        return found
