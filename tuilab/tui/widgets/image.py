"""Pictures in half blocks: two pixels in every cell."""

from __future__ import annotations

import numpy as np
from rich.color import Color
from rich.style import Style

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, same

SHADES = " ░▒▓█"
STEPS = 16
"""Of brightness in each colour: neighbours that look the same make one stretch."""


class Image(Drawing):
    """Grey or coloured pixels."""

    PART = "image"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.pixels: HostArray = np.zeros((0, 0))

    def update(self, pixels: HostArray) -> None:
        """Show pixels (h, w), (h, w, 1) or (h, w, 3): bytes, or floats from 0 to 1."""
        if not same(pixels, self.pixels):
            self.pixels = pixels
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        return draw_image(self.pixels, width, height, plain=self.app.no_color)


def draw_image(pixels: HostArray, width: int, height: int, plain: bool = False) -> Canvas:
    """Draw pixels as large as they fit without distortion; `plain`: as shades, for a terminal without colours."""
    canvas = Canvas(width, height)
    colours = as_bytes(pixels)
    if not colours.size or width < 1 or height < 1:
        return canvas
    rows, columns = colours.shape[:2]
    factor = min(width / columns, 2 * height / rows)
    across, down = max(int(columns * factor), 1), max(int(rows * factor), 1)
    if plain:
        down = max(down // 2, 1)
        grey = _scaled(colours, across, down).mean(axis=-1)
        for y, row in enumerate(grey.tolist()[:height]):
            canvas.write(0, y, "".join(SHADES[min(int(value * len(SHADES) / 256), len(SHADES) - 1)] for value in row))
        return canvas
    shown = _scaled(colours, across, down + down % 2)
    shown = (shown // (256 // STEPS) * (255 // (STEPS - 1))).astype(np.int64)
    for y in range(min(len(shown) // 2, height)):
        above, below = shown[2 * y].tolist(), shown[2 * y + 1].tolist()
        for x, (top, bottom) in enumerate(zip(above[:width], below[:width], strict=True)):
            style = Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*bottom))
            canvas.write(x, y, "▀", style)
    return canvas


def as_bytes(pixels: HostArray) -> HostArray:
    """Return pixels as (h, w, 3) bytes; floats from 0 to 1, NaN is black."""
    pixels = np.asarray(pixels)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        return np.zeros((0, 0, 3), dtype=np.uint8)
    if pixels.dtype != np.uint8:
        pixels = (np.clip(np.nan_to_num(pixels.astype(np.float64)), 0, 1) * 255).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _scaled(pixels: HostArray, across: int, down: int) -> HostArray:
    """Return pixels in another size: means where it is smaller, repeated where it is larger."""
    for axis, size in ((0, down), (1, across)):
        have = pixels.shape[axis]
        if size < have:
            starts = np.arange(size) * have // size
            counts = np.diff(np.append(starts, have)).reshape([-1 if at == axis else 1 for at in range(3)])
            pixels = np.add.reduceat(pixels.astype(np.float64), starts, axis=axis) / counts
        elif size > have:
            pixels = np.take(pixels, np.arange(size) * have // size, axis=axis)
    return np.asarray(pixels)
