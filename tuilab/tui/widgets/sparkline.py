"""A curve in one line: eighths of a cell, the newest value at the right."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, same
from tuilab.tui.widgets.scale import scale_of

EIGHTHS = np.array(list("▁▂▃▄▅▆▇█"))


class Sparkline(Drawing):
    """The way of one number, without axes."""

    PART = "sparkline"
    COMPONENT_CLASSES = {"sparkline--line"}
    DEFAULT_CSS = """
    Sparkline { height: 1; }
    Sparkline .sparkline--line { color: $train; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.values: HostArray = np.zeros(0)
        self.options: tuple[bool, float | None, float | None] = (False, None, None)

    def update(self, values: HostArray, log: bool = False, low: float | None = None, high: float | None = None) -> None:
        """Show these values, between fixed ends where given."""
        if not same((values, (log, low, high)), (self.values, self.options)):
            self.values, self.options = values, (log, low, high)
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        canvas = Canvas(width, height)
        if height:
            canvas.write(0, height - 1, spark(self.values, width, *self.options), "line")
        return canvas


def spark(values: HostArray, width: int, log: bool = False, low: float | None = None, high: float | None = None) -> str:
    """Return values as `width` characters, the newest at the right; more values than that are averaged."""
    values = np.asarray(values, dtype=np.float64)
    if width < 1:
        return ""
    if len(values) > width:
        values = means(values, width)
    places = scale_of(values, log, low, high).place(values)
    blank = np.isnan(places)
    index = np.clip(np.nan_to_num(places) * len(EIGHTHS), 0, len(EIGHTHS) - 1).astype(np.int64)
    return "".join(np.where(blank, " ", EIGHTHS[index]).tolist()).rjust(width)


def means(values: HostArray, count: int) -> HostArray:
    """Return the means of `count` stretches of values along the last axis, NaN where a stretch holds no finite one."""
    starts = np.arange(count) * values.shape[-1] // count
    good = np.isfinite(values)
    sizes = np.add.reduceat(good, starts, axis=-1)
    with np.errstate(all="ignore"):
        sums = np.add.reduceat(np.where(good, values, 0.0), starts, axis=-1)
        return np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)
