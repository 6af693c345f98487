"""Numbers that change from step to step, thinned so that a run of any length stays small.

The values of a series are gathered in bins of 2^level consecutive values, each with sum, least and most. A series with
too many bins joins them two by two and goes on at the next level. Sums are always made of two sums of half the length,
so a bin comes out the same to the last bit whenever it was joined, and whether or not the training was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tuilab.blocks.arrays import HostArray

MOST_BINS = 4096
"""A series has half as many to this many, once it has so many values."""

Node: TypeAlias = tuple[float, float, float, int]
"""Sum, least and most of some values, and the step of the last of them."""
Row: TypeAlias = tuple[int, int, int, int, float, float, float]
"""Of the table bins."""


@dataclass
class Series:
    """The bins of one series, as far as they are not complete."""

    id: int = 0
    level: int = 0
    count: int = 0
    """Values so far."""
    open: dict[int, Node] = field(default_factory=dict)
    """For every binary digit of `count` that is 1, the sum of so many values; the largest digit's come first."""

    def add(self, values: HostArray, steps: HostArray) -> list[Row]:
        """Gather values, each of one step, both (n,); return the rows of all bins that have changed."""
        self.count += len(values)
        total = least = most = values
        step = steps
        rows: list[Row] = []
        digit = 0
        while len(total):
            if digit == self.level:
                rows = self._closed(total, least, most, step)
            if digit in self.open:
                before = self.open.pop(digit)
                columns = zip(before, (total, least, most, step), strict=True)
                total, least, most, step = (np.concatenate(([value], new)) for value, new in columns)
            if len(total) % 2:
                self.open[digit] = float(total[-1]), float(least[-1]), float(most[-1]), int(step[-1])
            pairs = slice(0, len(total) // 2 * 2)
            total, least, most, step = total[pairs], least[pairs], most[pairs], step[pairs]
            total = total[::2] + total[1::2]
            least, most = np.minimum(least[::2], least[1::2]), np.maximum(most[::2], most[1::2])
            step = step[1::2]
            digit += 1
        return [*rows, *self.unfinished()]

    def unfinished(self) -> list[Row]:
        """Return the row of the last bin, where it is not complete yet."""
        nodes = [self.open[digit] for digit in range(self.level) if digit in self.open]
        if not nodes:
            return []
        total, least, most, step = nodes[0]
        for node in nodes[1:]:
            total, least, most = node[0] + total, min(least, node[1]), max(most, node[2])
        whole = self.count >> self.level << self.level
        return [(self.id, whole, step, self.count - whole, total, least, most)]

    def too_long(self, more: int = 0) -> bool:
        """Whether there are too many bins, with so many values more."""
        return self.count + more >> self.level > MOST_BINS

    def _closed(self, total: HostArray, least: HostArray, most: HostArray, step: HostArray) -> list[Row]:
        size = 1 << self.level
        start = (self.count >> self.level) - len(total)
        columns = zip(total.tolist(), least.tolist(), most.tolist(), step.tolist(), strict=True)
        return [
            (self.id, (start + at) * size, end, size, sum_, low, high)
            for at, (sum_, low, high, end) in enumerate(columns)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` needs to go on from here."""
        return {"level": self.level, "count": self.count, "open": [[digit, *node] for digit, node in self.open.items()]}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Series:
        """Return a series without its id; raises KeyError, TypeError or ValueError for what `to_json` never gives."""
        open_ = {int(digit): (float(a), float(b), float(c), int(d)) for digit, a, b, c, d in stored["open"]}
        count = int(stored["count"])
        if count >> 62 or sorted(open_) != [digit for digit in range(62) if count >> digit & 1]:
            raise ValueError
        return cls(level=checked_level(stored["level"]), count=count, open=open_)


def checked_level(level: Any) -> int:
    """Return how often something was halved; raises ValueError or TypeError for what no run has come to."""
    if not 0 <= level < 62:
        raise ValueError
    return int(level)


JOIN = """
REPLACE INTO bins SELECT series, first - first % :size, max(step), sum(count), sum(total), min(least), max(most)
FROM bins WHERE series = :series GROUP BY first / :size
"""
DROP_JOINED = "DELETE FROM bins WHERE series = :series AND first % :size <> 0"


@dataclass(frozen=True)
class Curve:
    """A series as it is drawn: one entry a bin."""

    step: HostArray
    """(n,), the step of the last value in each bin."""
    mean: HostArray
    least: HostArray
    most: HostArray


CURVE = """
SELECT bins.step, total / count, least, most FROM bins JOIN series ON series.id = bins.series
WHERE series.name = ? AND first >= ? ORDER BY first LIMIT ?
"""


def make_curve(rows: list[tuple[Any, ...]]) -> Curve:
    """Return a curve from what CURVE selects; it has no entries where the run has no such series."""
    step, mean, least, most = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    if not np.isfinite(step).all():
        raise ValueError("a step is not a number")
    return Curve(step.astype(np.int64), mean, least, most)
