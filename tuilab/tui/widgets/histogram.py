"""How often each size of a number occurs, as upright bars."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, same
from tuilab.tui.widgets.scale import label
from tuilab.tui.widgets.sparkline import means

EIGHTHS = np.array(list(" ▁▂▃▄▅▆▇█"))


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


def draw_histogram(counts: HostArray, edges: HostArray, width: int, height: int, log: bool = False) -> Canvas:
    """Draw a bar a cell; counts that do not fit are averaged in stretches. The ends and the middle stand below."""
    canvas = Canvas(width, height)
    counts = np.nan_to_num(np.asarray(counts, dtype=np.float64), posinf=0.0)
    if width < 1 or height < 1 or not len(counts):
        return canvas
    stretched = counts[np.arange(width) * len(counts) // width]
    counts = means(counts, width) if len(counts) > width else stretched
    heights = np.log1p(np.maximum(counts, 0)) if log else np.maximum(counts, 0)
    rows = height - 1 if height > 1 else height
    largest = float(heights.max())
    eighths = np.round(heights / largest * rows * 8) if largest else np.zeros(width)
    eighths = np.where((counts > 0) & (eighths < 1), 1, eighths)
    above = np.arange(rows - 1, -1, -1)[:, None] * 8
    index = np.clip(eighths[None, :] - above, 0, 8).astype(np.int64)
    canvas.put(0, 0, EIGHTHS[index], "bar", index > 0)
    if height > 1 and len(edges) > 1:
        low, high = float(edges[0]), float(edges[-1])
        texts = [label(low), label((low + high) / 2), label(high)]
        places = [0, (width - len(texts[1])) // 2, width - len(texts[2])]
        end = 0
        for at, text in zip(places, texts, strict=True):
            if at >= end:
                canvas.write(at, rows, text, "axis")
                end = at + len(text) + 1
    return canvas
