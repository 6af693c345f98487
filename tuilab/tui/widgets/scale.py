"""From numbers to places in a drawing: ranges, ticks, labels, logarithms; and a million points to a few columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tuilab.blocks.arrays import HostArray

LABEL = 8
"""Cells of a label on the axis, whatever the number: nothing moves when numbers change."""


@dataclass(frozen=True)
class Scale:
    """A range of values, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def place(self, values: HostArray) -> HostArray:
        """Return where values lie, 0 at the low and 1 at the high end; NaN for what has no place."""
        low, high = self._ends()
        inner = _logarithm(values) if self.log else np.asarray(values, dtype=np.float64)
        with np.errstate(all="ignore"):
            return np.where(np.isfinite(inner), (inner - low) / (high - low), np.nan)

    def value(self, place: float) -> float:
        """Return the value at a place from 0 to 1."""
        low, high = self._ends()
        inner = low + place * (high - low)
        return 10.0**inner if self.log else inner

    def ticks(self, most: int) -> list[float]:
        """Return round values in the range, at most so many."""
        if most < 1:
            return []
        low, high = self._ends()
        if self.log and high - low >= 1:
            every = max(math.ceil((high - low) / most), 1)
            return [10.0**exponent for exponent in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1, every)]
        first, last = (10.0**low, 10.0**high) if self.log else (low, high)
        step = _round_step((last - first) / max(most, 1))
        start = math.ceil(first / step - 1e-9)
        count = min(math.floor(last / step + 1e-9) - start + 1, most + 1)
        return [(start + index) * step for index in range(max(count, 0))]

    def _ends(self) -> tuple[float, float]:
        return (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)


def scale_of(values: HostArray, log: bool = False, low: float | None = None, high: float | None = None) -> Scale:
    """Return a scale that shows all finite values (the positive ones, where it is logarithmic), with fixed ends where
    given."""
    values = np.asarray(values, dtype=np.float64).ravel()
    with np.errstate(invalid="ignore"):
        good = values[np.isfinite(values) & (values > 0 if log else True)]
    least = float(good.min()) if good.size else (0.1 if log else 0.0)
    most = float(good.max()) if good.size else 1.0
    least = low if low is not None and (low > 0 or not log) else least
    most = high if high is not None and (high > 0 or not log) else most
    if _too_narrow(least, most, log):
        least, most = _around(least, most, log)
    return Scale(least, most, log)


def columns_of(
    x: HostArray, y: HostArray, scale: Scale, columns: int
) -> tuple[HostArray, HostArray, HostArray, HostArray]:
    """Return for each of `columns` the least, most and last y of the points in it, NaN where there are none, and
    whether the line is broken before it. x rises; a y that is not finite breaks the line."""
    least, most, last = (np.full(columns, np.nan) for _ in range(3))
    broken = np.zeros(columns, dtype=bool)
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not columns or not len(x):
        return least, most, last, broken
    width = (scale.high - scale.low) / max(columns - 1, 1)
    edges = scale.low + (np.arange(columns + 1) - 0.5) * width
    bounds = np.searchsorted(x, edges)  # x rises, so every column is a stretch of it
    at = np.flatnonzero(np.diff(bounds))
    if not len(at):
        return least, most, last, broken
    y = y[: bounds[-1]]
    good, starts = np.isfinite(y), bounds[at]
    everything = bool(good.all())
    low = np.minimum.reduceat(y if everything else np.where(good, y, np.inf), starts)
    high = np.maximum.reduceat(y if everything else np.where(good, y, -np.inf), starts)
    some = np.isfinite(low)
    least[at[some]], most[at[some]] = low[some], high[some]
    end = y[bounds[at + 1] - 1]
    last[at] = np.where(np.isfinite(end), end, np.where(some, high, np.nan))
    if not everything:
        broken[at] = np.logical_or.reduceat(~good, starts)
    return least, most, last, broken


def smooth(values: HostArray, weight: float) -> HostArray:
    """Return the exponential moving average of values, without its bias towards the start: m ← weight·m +
    (1 − weight)·v, divided by 1 − weight^n. NaN stays NaN and is passed over."""
    if not 0 < weight < 1 or not len(values):
        return np.asarray(values, dtype=np.float64)
    out = np.asarray(values, dtype=np.float64).copy()
    mean, correction = 0.0, 1.0
    for index in np.flatnonzero(np.isfinite(out)).tolist():
        mean = weight * mean + (1 - weight) * float(out[index])
        correction *= weight
        out[index] = mean / (1 - correction)
    return out


def label(value: float) -> str:
    """Return a number in at most seven characters."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 1e6:
        if value == int(value):
            return f"{int(value):,}" if size < 1e5 else f"{value / 1e3:,.0f}k"
        return f"{value:.4f}" if size < 1 else f"{value:.3f}" if size < 100 else f"{value:,.1f}"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")


def tick_labels(ticks: list[float]) -> list[str]:
    """Return the labels of an axis, all with the same number of decimals where that is short enough."""
    if len(ticks) < 2 or any(tick and not 1e-3 <= abs(tick) < 1e5 for tick in ticks):
        return [label(tick) for tick in ticks]
    step = min(abs(b - a) for a, b in pairwise(ticks))
    decimals = min(max(-math.floor(math.log10(step) + 1e-9), 0), 4) if step else 0
    texts = [f"{tick:,.{decimals}f}" for tick in ticks]
    return texts if all(len(text) <= LABEL - 1 for text in texts) else [label(tick) for tick in ticks]


def _too_narrow(least: float, most: float, log: bool) -> bool:
    """Whether the ends are too near to each other, or too far apart, for numbers between them to be told apart."""
    if not least < most:
        return True
    if log:
        return math.log10(most) - math.log10(least) < 1e-9
    return not math.isfinite(most - least) or most - least < 1e-9 * max(abs(least), abs(most))


def _around(least: float, most: float, log: bool) -> tuple[float, float]:
    """Return a range around values that are all the same, or too far apart to be told."""
    if log:
        middle = min(max(least, 1e-300), 1e300)
        return middle / 3, middle * 3
    if not math.isfinite(most - least) or not math.isfinite(least) or not math.isfinite(most):
        return -1e300, 1e300
    middle = (least + most) / 2
    margin = max(abs(middle) * 0.1, 1e-300) if middle else 0.5
    return middle - margin, middle + margin


def _logarithm(values: HostArray) -> HostArray:
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        return np.where(values > 0, np.log10(values), np.nan)


def _round_step(rough: float) -> float:
    if not rough > 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10):
        if factor * power >= rough * (1 - 1e-9):
            return factor * power or 5e-324
    return 10 * power
