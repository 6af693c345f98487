"""Numbers by row and column as shades, which can be told apart without colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, fit, same
from tuilab.tui.widgets.scale import scale_of
from tuilab.tui.widgets.sparkline import means

SHADES = np.array(list("·░▒▓█"))


class HeatMap(Drawing):
    """A table of numbers at a glance."""

    PART = "heat-map"
    COMPONENT_CLASSES = {"heat-map--label", *(f"heat-map--{number}" for number in range(1, 6))}
    DEFAULT_CSS = """
    HeatMap .heat-map--label { color: $quiet; }
    HeatMap .heat-map--1 { color: $quiet; }
    HeatMap .heat-map--2 { color: $train 50%; }
    HeatMap .heat-map--3 { color: $train; }
    HeatMap .heat-map--4 { color: $accent; }
    HeatMap .heat-map--5 { color: $error; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.values: HostArray = np.zeros((0, 0))
        self.labels: tuple[str, ...] = ()
        self.options: tuple[bool, float | None, float | None] = (False, None, None)

    def update(
        self,
        values: HostArray,
        labels: Sequence[str] = (),
        log: bool = False,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Show values (rows, columns), a label before each row; between fixed ends where given."""
        options = (log, low, high)
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
) -> Canvas:
    """Draw values (rows, columns); rows and columns that do not fit are averaged in stretches."""
    canvas = Canvas(width, height)
    values = np.atleast_2d(np.asarray(values, dtype=np.float64))
    left = min(max((cell_len(text) for text in labels), default=-1) + 1, width // 3)
    columns = width - left
    if columns < 1 or height < 1 or not values.size:
        return canvas
    if len(values) > height:
        values, labels = means(values.T, height).T, ()
    shown = means(values, columns) if values.shape[1] > columns else values
    places = scale_of(shown, log, low, high).place(shown)
    level = np.clip(np.nan_to_num(places) * len(SHADES), 0, len(SHADES) - 1).astype(np.int64)
    stretch = np.arange(columns) * shown.shape[1] // columns if shown.shape[1] < columns else np.arange(columns)
    level, blank = level[:, stretch], np.isnan(places)[:, stretch]
    for number in range(len(SHADES)):
        canvas.put(0, left, np.broadcast_to(SHADES[number], level.shape), f"{number + 1}", (level == number) & ~blank)
    for row, text in enumerate(labels[: len(values)]):
        canvas.write(0, row, fit(text, left - 1), "label")
    return canvas
