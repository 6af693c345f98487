"""Points of two numbers, by class; behind them, if wanted, what a network says of every place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, same
from tuilab.tui.widgets.scale import scale_of

MARKS = "●○×+▲△■□"
"""One a class, so that classes differ without colour."""
FIELD = "·:░-=~"


class Scatter(Drawing):
    """Points of up to eight classes."""

    PART = "scatter"
    COMPONENT_CLASSES = {"scatter--axis", *(f"scatter--class-{number}" for number in range(1, 9))}
    DEFAULT_CSS = """
    Scatter .scatter--axis { color: $quiet; }
    Scatter .scatter--class-1 { color: $train; }
    Scatter .scatter--class-2 { color: $validation; }
    Scatter .scatter--class-3 { color: $accent; }
    Scatter .scatter--class-4 { color: $success; }
    Scatter .scatter--class-5 { color: $error; }
    Scatter .scatter--class-6 { color: $primary; }
    Scatter .scatter--class-7 { color: $foreground; }
    Scatter .scatter--class-8 { color: $quiet; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.shown: tuple[object, ...] = ()

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
        shown = (x, y, classes, tuple(names), field, bounds)
        if not same(shown, self.shown):
            self.shown = shown
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        return draw_scatter(width, height, *self.shown) if self.shown else Canvas(width, height)  # type: ignore[arg-type]  # as update took them


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
    """Draw points; where several meet in a cell, the class with most of them is shown."""
    canvas = Canvas(width, height)
    rows = height - 1 if names and height > 2 else height
    if width < 1 or rows < 1:
        return canvas
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kinds = np.asarray(classes).astype(np.int64) % len(MARKS)
    if field is not None and field.size:
        down = np.arange(rows) * field.shape[0] // rows
        across = np.arange(width) * field.shape[1] // width
        behind = np.asarray(field)[down][:, across].astype(np.int64) % len(MARKS)
        for kind in range(len(MARKS)):
            shade = np.full((rows, width), FIELD[kind % len(FIELD)])
            canvas.put(0, 0, shade, f"class-{kind + 1}", behind == kind)
    across_scale = scale_of(x, low=bounds and bounds[0], high=bounds and bounds[1])
    up_scale = scale_of(y, low=bounds and bounds[2], high=bounds and bounds[3])
    px, py = across_scale.place(x), up_scale.place(y)
    with np.errstate(invalid="ignore"):
        inside = (px >= 0) & (px <= 1) & (py >= 0) & (py <= 1)
    column = np.round(px[inside] * (width - 1)).astype(np.int64)
    row = np.round((1 - py[inside]) * (rows - 1)).astype(np.int64)
    counts = np.zeros((len(MARKS), rows, width), dtype=np.int64)
    np.add.at(counts, (kinds[inside], row, column), 1)
    winner, there = counts.argmax(axis=0), counts.any(axis=0)
    for kind, mark in enumerate(MARKS):
        canvas.put(0, 0, np.full((rows, width), mark), f"class-{kind + 1}", there & (winner == kind))
    at = 0
    for kind, name in enumerate(names[: len(MARKS)] if rows < height else ()):
        canvas.write(at, rows, MARKS[kind], f"class-{kind + 1}")
        canvas.write(at + 2, rows, name, "axis")
        at += 4 + cell_len(name)
    return canvas
