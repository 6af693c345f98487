"""Numbers by row and column as shades, which can be told apart without colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, fit, same
from tuilab.tui.widgets.decimate import peaks
from tuilab.tui.widgets.scale import scale_of

SHADES = "·░▒▓█"


class HeatMap(Drawing):
    """A table of numbers at a glance."""

    PART = "heat-map"
    COMPONENT_CLASSES = {"heat-map--label", *(f"heat-map--{number}" for number in range(1, 6))}
    DEFAULT_CSS = """
    HeatMap .heat-map--label { color: $quiet; }
    HeatMap .heat-map--1 { color: $quiet; }
    HeatMap .heat-map--2 { color: $train 50%; }
    HeatMap .heat-map--3 { color: $train 75%; }
    HeatMap .heat-map--4 { color: $train; }
    HeatMap .heat-map--5 { color: $accent; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.values: HostArray = np.zeros((0, 0))
        self.labels: tuple[str, ...] = ()
        self.options: tuple[bool, float | None, float | None, tuple[str, ...]] = (False, None, None, ())

    def update(
        self,
        values: HostArray,
        labels: Sequence[str] = (),
        log: bool = False,
        low: float | None = None,
        high: float | None = None,
        ticks: Sequence[str] = (),
    ) -> None:
        """Show values (rows, columns), a label before each row, ticks spread evenly below the columns; between fixed
        ends where given."""
        options = (log, low, high, tuple(ticks))
        if not same((values, tuple(labels), options), (self.values, self.labels, self.options)):
            self.values, self.labels, self.options = values, tuple(labels), options
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        return draw_heat_map(self.values, self.labels, width, height, *self.options)


def draw_heat_map(
    values: HostArray,
    labels: Sequence[str],
    width: int,
    height: int,
    log: bool = False,
    low: float | None = None,
    high: float | None = None,
    ticks: Sequence[str] = (),
) -> Canvas:
    """Draw values (rows, columns); of rows and columns that do not fit, the largest of every stretch."""
    canvas = Canvas(width, height)
    values = np.atleast_2d(np.asarray(values, dtype=np.float64))
    left = min(max((cell_len(text) for text in labels), default=-1) + 1, width // 3)
    columns, rows = width - left, height - 1 if ticks and height > 1 else height
    if columns < 1 or rows < 1 or not values.size:
        return canvas
    first = np.arange(min(rows, len(values))) * len(values) // min(rows, len(values))
    shown = peaks(values.T, rows).T if len(values) > rows else values
    shown = peaks(shown, columns) if shown.shape[1] > columns else shown
    places = scale_of(shown, log, low, high).place(shown)
    level = np.minimum(np.clip(places, 0, 1) * len(SHADES), len(SHADES) - 1)
    level = np.where(np.isnan(places), -1, level).astype(np.int64)
    level = level[:, np.arange(columns) * level.shape[1] // columns]
    for number, shade in enumerate(SHADES):
        canvas.put(0, left, np.array(shade), f"{number + 1}", level == number)
    for row, of in enumerate(first.tolist()):
        canvas.write(0, row, fit(labels[of], left - 1) if of < len(labels) else "", "label")
    if rows < height:
        _draw_ticks(canvas, ticks, left, len(first))
    return canvas


def _draw_ticks(canvas: Canvas, ticks: Sequence[str], left: int, row: int) -> None:
    room = canvas.width - left
    end = left
    for number, tick in enumerate(ticks):
        text = fit(tick, room)
        at = left + round((room - cell_len(text)) * number / max(len(ticks) - 1, 1))
        if at >= end:
            canvas.write(at, row, text, "label")
            end = at + cell_len(text) + 1
