"""From numbers to places in a drawing: ranges, ticks and labels, linear and logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tuilab.blocks.arrays import HostArray

LABEL = 8
"""Cells of a label on the axis, whatever the number: nothing moves when numbers change."""
NARROW = 1e-9
"""Ends nearer to each other, as a part of their size, are taken as equal."""
TINY, HUGE = 1e-290, 1e300
"""Distances below are none; no range goes further than that, so that nothing overflows."""
UNITS = {1.0: "", 1e3: "k", 1e6: "M", 1e9: "G"}


@dataclass(frozen=True)
class Scale:
    """A range of values, linear or logarithmic; low < high."""

    low: float
    high: float
    log: bool = False

    def place(self, values: HostArray | float) -> HostArray:
        """Return where values lie, 0 at the low and 1 at the high end; NaN for what has no place."""
        low, high = self._ends()
        with np.errstate(all="ignore"):
            inner = np.asarray(values, dtype=np.float64)
            inner = np.where(inner > 0, np.log10(inner), np.nan) if self.log else inner
            return np.where(np.isfinite(inner), (inner - low) / (high - low), np.nan)

    def value(self, place: float) -> float:
        """Return the value at a place from 0 to 1."""
        low, high = self._ends()
        inner = low * (1 - place) + high * place
        return 10.0**inner if self.log else inner

    def ticks(self, most: int) -> list[float]:
        """Return round values in the range, rising, at most so many."""
        if most < 1:
            return []
        low, high = self._ends()
        if not self.log or high - low < 1:
            return _multiples(self.low, self.high, most)
        powers = range(math.floor(low), math.ceil(high) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**power for power in powers for digit in digits]
            found = [tick for tick in found if low - NARROW <= math.log10(tick) <= high + NARROW]
            if len(found) <= most:
                return found
        return [10.0**power for power in _multiples(low, high, most, whole=True)]

    def rounded(self) -> Scale:
        """Return a slightly larger range with round ends, so that it moves seldom while values come in."""
        low, high = self._ends()
        step = _round_step((high - low) / 20)
        low, high = math.floor(low / step + NARROW) * step, math.ceil(high / step - NARROW) * step
        return Scale(10.0**low, 10.0**high, True) if self.log else Scale(low, high)

    def _ends(self) -> tuple[float, float]:
        return (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)


def scale_of(values: HostArray, log: bool = False, low: float | None = None, high: float | None = None) -> Scale:
    """Return a scale that shows all finite values (the positive ones, where it is logarithmic), with fixed ends where
    they are given and possible."""
    values = np.asarray(values, dtype=np.float64).ravel()
    good = values[np.isfinite(values)].clip(-HUGE, HUGE)
    good = good[good > 0].clip(1 / HUGE) if log else good
    least = float(good.min()) if good.size else (0.1 if log else 0.0)
    most = float(good.max()) if good.size else 1.0
    fixed_low, fixed_high = _possible(low, log), _possible(high, log)
    if fixed_low is not None:
        least, most = fixed_low, max(most, fixed_low)
    if fixed_high is not None:
        least, most = min(least, fixed_high), fixed_high
    if _wide_enough(least, most, log):
        return Scale(least, most, log)
    below, above = _around(least, most, log)  # values that are all the same lie in the middle
    start = below if fixed_low is None else least
    end = above if fixed_high is None else most
    return Scale(start, end if start < end else above, log)


def label(value: float) -> str:
    """Return a number with few digits, in at most seven characters."""
    size = abs(value)
    if not math.isfinite(value):
        return "–"
    if value == int(value) and size < 1e5:
        return f"{int(value):,}"
    if 1e-3 <= size < 999_500:
        if size < 1:
            return f"{value:.4f}"
        if size < 99.9995:
            return f"{value:.3f}"
        return f"{value:.1f}" if size < 999.95 else f"{value:,.0f}" if size < 99_999.5 else f"{value / 1e3:.0f}k"
    return _power(value)


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Return the labels of an axis, alike in decimals and unit unless that is too long; at most seven characters."""
    if _even(ticks):
        step = ticks[1] - ticks[0]
        for unit, sign in UNITS.items():
            decimals = max(-math.floor(math.log10(step / unit) + 1e-6), 0)
            texts = [f"{tick / unit:,.{min(decimals, LABEL)}f}{sign if tick else ''}" for tick in ticks]
            if decimals < LABEL - 2 and all(len(text) < LABEL for text in texts):
                return texts
    elif all(1e-3 <= abs(tick) < 1e5 or not tick for tick in ticks):
        texts = [f"{tick:,.10g}" for tick in ticks]
        if all(len(text) < LABEL for text in texts):
            return texts
    return [_power(tick).replace(".0e", "e") if tick else "0" for tick in ticks]


def _even(ticks: Sequence[float]) -> bool:
    """Whether ticks are multiples of their distance, which those of a logarithmic axis are not."""
    if len(ticks) < 2:
        return False
    numbers = [tick / (ticks[1] - ticks[0]) for tick in ticks]
    return all(abs(after - before - 1) < 1e-3 for before, after in pairwise(numbers)) and all(
        abs(number - round(number)) < 1e-3 for number in numbers
    )


def _power(value: float) -> str:
    """Return 1.2e-05 as 1.2e-5, or in one digit where that would be too long."""
    for decimals in (1, 0):
        digits, _, power = f"{value:.{decimals}e}".partition("e")
        if len(text := f"{digits}e{int(power)}") < LABEL:
            break
    return text


def _possible(end: float | None, log: bool) -> float | None:
    if end is None or not math.isfinite(end) or (log and end <= 0):
        return None
    return min(max(end, 1 / HUGE if log else -HUGE), HUGE)


def _wide_enough(least: float, most: float, log: bool) -> bool:
    """Whether numbers between the ends can be told apart."""
    if not least < most:
        return False
    if log:
        return math.log10(most) - math.log10(least) > NARROW
    return most - least > max(NARROW * max(abs(least), abs(most)), TINY)


def _around(least: float, most: float, log: bool) -> tuple[float, float]:
    """Return a range around values that are as good as equal."""
    if log:
        return least / 3, most * 3
    middle = (least + most) / 2
    margin = max(abs(middle) * 0.1, TINY) if abs(middle) > TINY else 0.5
    return middle - margin, middle + margin


def _multiples(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Return multiples of a round step between two ends, at most so many."""
    step = _round_step((high - low) / most)
    step = max(step, 1.0) if whole else step
    while True:
        first, last = math.ceil(low / step - NARROW), math.floor(high / step + NARROW)
        if last - first < most:
            return [number * step for number in range(first, last + 1)]
        step = _round_step(step * 1.5)  # fits once more than its share of the range


def _round_step(rough: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next((digit * power for digit in (1, 2, 5) if digit * power >= rough * (1 - NARROW)), 10 * power)
