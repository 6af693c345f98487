"""A few samples that are images, side by side, with what they show below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, fit
from tuilab.tui.widgets.image import draw_image

LARGEST = 28
"""Cells across of one image; larger ones are drawn smaller."""
WANTED = 3
"""Images side by side, also where that makes them smaller."""
LEAST = 8
"""Cells across below which nothing can be recognized."""


@dataclass(frozen=True)
class Grid:
    """Where the images go: cells across and down of each, and how many there are beside and below each other."""

    across: int
    down: int
    columns: int
    rows: int


class ImageGrid(Drawing):
    """As many images as there is room for."""

    DEFAULT_CSS = "ImageGrid { height: auto; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.images: list[tuple[HostArray, str]] = []
        self.low, self.high = 0.0, 1.0
        self.most_lines = 12

    def update(self, images: Sequence[tuple[HostArray, str]], low: float, high: float, most_lines: int) -> None:
        """Show images (height, width, channels) with their labels; `low` is black, `high` is white."""
        self.images, self.low, self.high, self.most_lines = list(images), low, high, most_lines
        self.changed()
        self.refresh(layout=True)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        if not self.images:
            return 0
        grid = self._grid(width)
        return grid.rows * (grid.down + 1)

    def _grid(self, width: int) -> Grid:
        height, length = self.images[0][0].shape[:2]
        across = min(length, LARGEST)
        across = min(across, max((width + 1) // WANTED - 1, LEAST))
        down = max(round(height * across / length / 2), 1)
        columns = max((width + 1) // (across + 1), 1)
        rows = min(max(self.most_lines // (down + 1), 1), -(-len(self.images) // columns))
        return Grid(across, down, columns, rows)

    def draw(self, width: int, height: int) -> Canvas:
        canvas = Canvas(width, height)
        if not self.images:
            return canvas
        grid = self._grid(width)
        for index, (pixels, label) in enumerate(self.images[: grid.columns * grid.rows]):
            x, y = index % grid.columns * (grid.across + 1), index // grid.columns * (grid.down + 1)
            drawn = draw_image(self._shades(pixels), grid.across, grid.down, plain=self.app.no_color)
            for row, stretches in enumerate(drawn.rows()):
                at = x
                for text, style in stretches:
                    canvas.write(at, y + row, text, style)
                    at += len(text)
            canvas.write(x, y + grid.down, fit(label, grid.across))
        return canvas

    def _shades(self, pixels: HostArray) -> HostArray:
        """Return pixels from 0 to 1, of one or three channels."""
        if pixels.shape[-1] not in (1, 3):
            pixels = pixels[..., :1]
        return np.clip((pixels.astype(np.float64) - self.low) / (self.high - self.low), 0, 1)
