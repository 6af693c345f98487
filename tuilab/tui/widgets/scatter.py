"""Points of two numbers, by class; behind them, if wanted, what a network says of every place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.cells import cell_len

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, same
from tuilab.tui.widgets.palette import numbered
from tuilab.tui.widgets.scale import scale_of

MARKS = "●○×+▲△■□"
"""One a class, so that classes differ without colour."""
FIELD = "·░:▒-~='"


class Points(NamedTuple):
    """Points x, y (n,) of classes (n,), and what lies around them."""

    x: HostArray
    y: HostArray
    classes: HostArray
    names: tuple[str, ...] = ()
    field: HostArray | None = None
    bounds: tuple[float, float, float, float] | None = None


class Scatter(Drawing):
    """Points of up to eight classes."""

    PART = "scatter"
    COMPONENT_CLASSES = {
        "scatter--axis",
        *(f"scatter--{part}-{number}" for part in ("class", "field") for number in range(1, 9)),
    }
    DEFAULT_CSS = f"""
    Scatter .scatter--axis {{ color: $quiet; }}
    {numbered("Scatter", "scatter--class-")}
    {numbered("Scatter", "scatter--field-", "45%")}
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.shown = Points(np.zeros(0), np.zeros(0), np.zeros(0))

    def update(
        self,
        x: HostArray,
        y: HostArray,
        classes: HostArray,
        names: Sequence[str] = (),
        field: HostArray | None = None,
        bounds: tuple[float, float, float, float] | None = None,
    ) -> None:
        """Show points x, y (n,) of classes (n,) from 0; field (rows, columns): a class for every place, from the top
        left; bounds: x and y from, to."""
        shown = Points(x, y, classes, tuple(names), field, bounds)
        if not same(shown, self.shown):
            self.shown = shown
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        return draw_scatter(width, height, *self.shown)


def draw_scatter(
    width: int,
    height: int,
    x: HostArray,
    y: HostArray,
    classes: HostArray,
    names: Sequence[str] = (),
    field: HostArray | None = None,
    bounds: tuple[float, float, float, float] | None = None,
) -> Canvas:
    """Draw points; where several meet in a cell, the class with most of them is shown. The names stand below."""
    canvas = Canvas(width, height)
    rows = height - 1 if names and height > 2 else height
    if width < 1 or rows < 1:
        return canvas
    if field is not None and field.size:
        down, across = np.arange(rows) * field.shape[0] // rows, np.arange(width) * field.shape[1] // width
        behind = _kinds(field)[down][:, across]
        for kind, mark in enumerate(FIELD):
            canvas.put(0, 0, np.array(mark), f"field-{kind + 1}", behind == kind)
    counts = _counts(x, y, _kinds(classes), width, rows, bounds)
    winner, there = counts.argmax(axis=0), counts.any(axis=0)
    for kind, mark in enumerate(MARKS):
        canvas.put(0, 0, np.array(mark), f"class-{kind + 1}", there & (winner == kind))
    at = 0
    for kind, name in enumerate(names[: len(MARKS)] if rows < height else ()):
        canvas.write(at, rows, MARKS[kind], f"class-{kind + 1}")
        canvas.write(at + 2, rows, name, "axis")
        at += 4 + cell_len(name)
    return canvas


def _counts(
    x: HostArray,
    y: HostArray,
    kinds: HostArray,
    width: int,
    rows: int,
    bounds: tuple[float, float, float, float] | None,
) -> HostArray:
    """Return how many points of each class lie in each cell: (classes, rows, width)."""
    left, right, bottom, top = bounds or (None, None, None, None)
    across, up = scale_of(x, low=left, high=right).place(x), scale_of(y, low=bottom, high=top).place(y)
    with np.errstate(invalid="ignore"):
        inside = (across >= 0) & (across <= 1) & (up >= 0) & (up <= 1)
    column = np.rint(across[inside] * (width - 1)).astype(np.int64)
    row = np.rint((1 - up[inside]) * (rows - 1)).astype(np.int64)
    cells = (kinds[inside] * rows + row) * width + column
    return np.bincount(cells, minlength=len(MARKS) * rows * width).reshape(len(MARKS), rows, width)


def _kinds(classes: HostArray) -> HostArray:
    """Return class numbers from 0 to 7; there are no more marks."""
    numbers = np.nan_to_num(np.asarray(classes, dtype=np.float64), posinf=0, neginf=0)
    kinds: HostArray = (np.floor(numbers) % len(MARKS)).astype(np.int64)
    return kinds
