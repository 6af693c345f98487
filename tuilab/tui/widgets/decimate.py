"""A million points to the columns of a drawing: every column keeps its least and its most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuilab.blocks.arrays import HostArray


@dataclass(frozen=True)
class Columns:
    """What a curve is in those columns that hold points, each array (m,)."""

    column: HostArray
    """Which columns, rising."""
    least: HostArray
    most: HostArray
    first: HostArray
    """The y of the first point in the column, …"""
    last: HostArray
    """… and of the last one."""
    joined: HostArray
    """Whether the curve goes on from the column before in this list without a gap."""


def columns_of(x: HostArray, y: HostArray, low: float, high: float, columns: int, log: bool = False) -> Columns:
    """Return the points (n,) with x from `low` to `high` by column; the middle of the first column is at `low`, that of
    the last at `high`.

    x rises. A y that is not finite makes a gap, with `log` also one that is not above zero. A curve that crosses an end
    of the range begins or ends there.
    """
    x, y = cut(x, y, low, high, log)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(y) & (y > 0) if log else np.isfinite(y)
    number = None
    if not good.all():
        number = np.flatnonzero(good)  # of each point, to see whether there was one between two others
        x, y = x[number], y[number]
    edges = low + (np.arange(max(columns, 0) + 1) - 0.5) / max(columns - 1, 1) * (high - low)
    edges[[0, -1]] = -np.inf, np.inf
    bounds = np.searchsorted(x, edges)
    column = np.flatnonzero(np.diff(bounds))
    if not len(column):
        nothing = np.zeros(0)
        return Columns(column, nothing, nothing, nothing, nothing, nothing.astype(bool))
    start, end = bounds[column], bounds[column + 1] - 1
    y = y[: end[-1] + 1]
    first, last = (start, end) if number is None else (number[start], number[end])
    joined = np.append(False, first[1:] == last[:-1] + 1)
    return Columns(column, np.minimum.reduceat(y, start), np.maximum.reduceat(y, start), y[start], y[end], joined)


def rising(x: HostArray, y: HostArray) -> tuple[HostArray, HostArray]:
    """Return points as numbers in the order of x, without those that have none."""
    x, y = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    with np.errstate(invalid="ignore"):
        if not len(x) or (np.isfinite(x[[0, -1]]).all() and (x[1:] >= x[:-1]).all()):
            return x, y
    good = np.isfinite(x)
    x, y = x[good], y[good]
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def cut(x: HostArray, y: HostArray, low: float, high: float, log: bool) -> tuple[HostArray, HostArray]:
    """Return the points with x from `low` to `high`; where a line between two of them crosses an end, also the place
    where it does."""
    first, behind = int(np.searchsorted(x, low, "left")), int(np.searchsorted(x, high, "right"))
    inner_x, inner_y = x[first:behind], y[first:behind]
    before, after = [], []
    if 0 < first < len(x) and x[first] > low:
        before = [(low, _between(x, y, first, low, log))]
    if 0 < behind < len(x) and x[behind - 1] < high:
        after = [(high, _between(x, y, behind, high, log))]
    if not before and not after:
        return inner_x, inner_y
    x_ends, y_ends = (np.array([point[axis] for point in before]) for axis in (0, 1))
    x_after, y_after = (np.array([point[axis] for point in after]) for axis in (0, 1))
    return np.concatenate([x_ends, inner_x, x_after]), np.concatenate([y_ends, inner_y, y_after])


def _between(x: HostArray, y: HostArray, index: int, at: float, log: bool) -> float:
    """Return y at a place between the points index − 1 and index; NaN where one of them has none."""
    with np.errstate(all="ignore"):
        share = (at - x[index - 1]) / (x[index] - x[index - 1])
        before, after = np.log(y[index - 1 : index + 1]) if log else y[index - 1 : index + 1]
        between = before * (1 - share) + after * share
        return float(np.exp(between) if log else between)


def peaks(values: HostArray, count: int) -> HostArray:
    """Return the largest value of each of `count` stretches along the last axis, NaN where none in it is finite: a
    spike of one value is still seen."""
    starts = np.arange(count) * values.shape[-1] // count
    found = np.maximum.reduceat(np.where(np.isfinite(values), values, -np.inf), starts, axis=-1)
    return np.where(np.isfinite(found), found, np.nan)


def means(values: HostArray, count: int) -> HostArray:
    """Return the mean of each of `count` stretches of finite values along the last axis."""
    bounds = np.arange(count + 1) * values.shape[-1] // count
    found: HostArray = np.add.reduceat(values, bounds[:-1], axis=-1) / np.diff(bounds)
    return found
