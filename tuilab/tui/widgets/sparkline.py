"""A curve in one line, in eighths of a cell."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.blocks import ASCII, EIGHTHS, upright
from tuilab.tui.widgets.canvas import Canvas, Drawing, same
from tuilab.tui.widgets.decimate import peaks
from tuilab.tui.widgets.scale import scale_of


class Sparkline(Drawing):
    """The way of one number, without axes; as high as the widget."""

    PART = "sparkline"
    COMPONENT_CLASSES = {"sparkline--line"}
    DEFAULT_CSS = """
    Sparkline { height: 1; }
    Sparkline .sparkline--line { color: $train; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.values: HostArray = np.zeros(0)
        self.options: tuple[bool, float | None, float | None, bool] = (False, None, None, False)

    def update(
        self,
        values: HostArray,
        log: bool = False,
        low: float | None = None,
        high: float | None = None,
        ascii: bool = False,
    ) -> None:
        """Show these values, between fixed ends where given."""
        options = (log, low, high, ascii)
        if not same((values, options), (self.values, self.options)):
            self.values, self.options = values, options
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        return draw_sparkline(self.values, width, height, *self.options)


def draw_sparkline(
    values: HostArray,
    width: int,
    height: int,
    log: bool = False,
    low: float | None = None,
    high: float | None = None,
    ascii: bool = False,
) -> Canvas:
    """Draw a bar a cell, the newest value at the right; of more values than fit, the largest of every stretch."""
    canvas = Canvas(width, height)
    bars = _bars(values, canvas.width, canvas.height, log, low, high, ascii)
    canvas.put(0, canvas.width - bars.shape[1], bars, "line", bars != " ")
    return canvas


def spark(
    values: HostArray,
    width: int,
    log: bool = False,
    low: float | None = None,
    high: float | None = None,
    ascii: bool = False,
) -> str:
    """Return a sparkline of one row as text, `width` cells."""
    bars = _bars(values, max(width, 0), 1, log, low, high, ascii)
    return "".join(bars[0].tolist()).rjust(width)


def _bars(
    values: HostArray, width: int, rows: int, log: bool, low: float | None, high: float | None, ascii: bool
) -> HostArray:
    """Return the characters (rows, at most `width`) of values; what is not finite is blank, the least value is not."""
    steps = ASCII if ascii else EIGHTHS
    values = np.asarray(values, dtype=np.float64).ravel()
    if len(values) > width:
        values = peaks(values, width)
    places = np.clip(scale_of(values, log, low, high).place(values), 0, 1)
    heights = np.where(np.isnan(places), 0, 1 + np.rint(np.nan_to_num(places) * (rows * len(steps) - 1)))
    return upright(heights, rows, steps)
