"""Curves as dots, and dots as braille: two across and four down in every cell."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.decimate import Columns
from tuilab.tui.widgets.scale import Scale

BLANK = 0x2800
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint32)
"""What each dot of a cell adds to the number of its character."""
FAR = 1e6
"""Rows beyond which it does not matter how far out of sight a point is."""


def trace(points: Columns, scale: Scale, columns: int, rows: int) -> tuple[HostArray, HostArray]:
    """Return the upper and lower row of a curve's dots in each column (columns,), counted from the top; where it has
    none, upper is below lower. Rows out of sight are negative or at least `rows`."""
    upper, lower = np.full(columns, FAR), np.full(columns, -FAR)
    least, most, first, last = (
        np.rint(np.clip((1 - scale.place(values)) * (rows - 1), -FAR + 1, FAR - 1))
        for values in (points.least, points.most, points.first, points.last)
    )
    upper[points.column], lower[points.column] = most, least
    pair = np.flatnonzero(points.joined)
    if not len(pair):
        return upper, lower
    left, right, start, end = points.column[pair - 1], points.column[pair], last[pair - 1], first[pair]
    sizes = right - left + 1
    of = np.repeat(np.arange(len(pair)), sizes)
    step = np.arange(len(of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    slope = ((end - start) / (right - left))[of]
    here, half = start[of] + step * slope, np.abs(slope) / 2
    # a flat line has one dot in every column, a steep one has one in every row
    flat = half < 0.5
    from_row = np.where(flat, np.rint(here), np.ceil(here - half))
    to_row = np.where(flat, from_row, np.ceil(here + half) - 1)
    ends = np.minimum(start, end)[of], np.maximum(start, end)[of]
    np.minimum.at(upper, left[of] + step, np.clip(from_row, *ends))
    np.maximum.at(lower, left[of] + step, np.clip(to_row, *ends))
    return upper, lower


def dots_between(upper: HostArray, lower: HostArray, rows: int) -> HostArray:
    """Return the dots (rows, columns) from the upper to the lower row of every column."""
    row = np.arange(rows)[:, None]
    filled: HostArray = (row >= upper) & (row <= lower)
    return filled


def cells_of(dots: HostArray) -> HostArray:
    """Return the cells (rows, columns) of dots (4 · rows, 2 · columns): numbers of characters above BLANK."""
    rows, columns = dots.shape[0] // 4, dots.shape[1] // 2
    parts = dots.reshape(rows, 4, columns, 2)
    cells = np.zeros((rows, columns), dtype=np.uint32)
    for down in range(4):
        for across in range(2):
            cells += parts[:, down, :, across] * DOTS[down, across]
    return cells


def characters(cells: HostArray) -> HostArray:
    """Return the braille characters of cells."""
    found: HostArray = np.ascontiguousarray(cells + np.uint32(BLANK)).view("<U1")
    return found


def cells_in(characters: HostArray) -> HostArray:
    """Return the cells of characters, 0 for those that are not braille."""
    numbers = np.ascontiguousarray(characters).view(np.uint32).reshape(characters.shape)
    return np.where((numbers >= BLANK) & (numbers < BLANK + 256), numbers - np.uint32(BLANK), np.uint32(0))
