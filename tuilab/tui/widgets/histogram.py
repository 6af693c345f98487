"""How often each size of a number occurs, as upright bars."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.blocks import EIGHTHS, upright
from tuilab.tui.widgets.canvas import Canvas, Drawing, same
from tuilab.tui.widgets.decimate import means
from tuilab.tui.widgets.scale import label, scale_of

MOST = 1e300
WIDE = 3
"""Cells of a bar from which on all bars are equally wide; narrower ones fill the width."""


class Histogram(Drawing):
    """Counts between edges."""

    PART = "histogram"
    COMPONENT_CLASSES = {"histogram--bar", "histogram--axis"}
    DEFAULT_CSS = """
    Histogram .histogram--bar { color: $train; }
    Histogram .histogram--axis { color: $quiet; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.counts, self.edges, self.logarithmic = np.zeros(0), np.zeros(0), False

    def update(self, counts: HostArray, edges: HostArray, log: bool = False) -> None:
        """Show counts (n,) between edges (n + 1,), with `log` by their logarithm."""
        if not same((counts, edges, log), (self.counts, self.edges, self.logarithmic)):
            self.counts, self.edges, self.logarithmic = counts, edges, log
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        return draw_histogram(self.counts, self.edges, width, height, self.logarithmic)


def counted(values: HostArray, bins: int) -> tuple[HostArray, HostArray]:
    """Return counts (bins,) of the finite values, and the edges (bins + 1,) between which they lie."""
    values = np.asarray(values, dtype=np.float64).ravel()
    scale = scale_of(values)
    places = scale.place(values)
    index = np.clip(places[~np.isnan(places)] * bins, 0, bins - 1).astype(np.int64)
    edges = np.array([scale.value(number / bins) for number in range(bins + 1)])
    return np.bincount(index, minlength=bins), edges


def draw_histogram(counts: HostArray, edges: HostArray, width: int, height: int, log: bool = False) -> Canvas:
    """Draw a bar for every count; more than fit are averaged in stretches. The ends and the middle stand below."""
    canvas = Canvas(width, height)
    counts = np.nan_to_num(np.asarray(counts, dtype=np.float64).ravel(), posinf=0.0).clip(0, MOST)
    if width < 1 or height < 1 or not len(counts):
        return canvas
    if len(counts) * WIDE <= width:
        width -= width % len(counts)
    counts = means(counts, width) if len(counts) > width else counts[np.arange(width) * len(counts) // width]
    heights = np.log1p(counts) if log else counts
    rows = height - 1 if height > 1 else height
    eighths = np.rint(heights / (heights.max() or 1.0) * rows * len(EIGHTHS))
    bars = upright(np.where((counts > 0) & (eighths < 1), 1, eighths), rows)
    canvas.put(0, 0, bars, "bar", bars != " ")
    if height > 1 and len(edges) > 1:
        _draw_edges(canvas, float(edges[0]), float(edges[-1]), width)
    return canvas


def _draw_edges(canvas: Canvas, low: float, high: float, width: int) -> None:
    texts = [label(low), label((low + high) / 2), label(high)]
    places = [0, (width - len(texts[1])) // 2, width - len(texts[2])]
    end = 0
    for at, text in zip(places, texts, strict=True):
        if at >= end:
            canvas.write(at, canvas.height - 1, text, "axis")
            end = at + len(text) + 1
