"""Pictures in half blocks: two pixels in every cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from rich.color import Color
from rich.style import Style

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, same

SHADES = " ░▒▓█"
LEVELS = 12
"""Of brightness in each colour: neighbours that look the same are one stretch."""


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
    factor = int(factor) if factor > 1 else factor  # pixels that are all of one size
    across, down = max(int(columns * factor), 1), max(int(rows * factor), 1)
    if plain:
        grey = scaled(colours, across, (down + 1) // 2).mean(axis=-1)
        shades = np.array(list(SHADES))[np.rint(grey / 255 * (len(SHADES) - 1)).astype(np.int64)]
        canvas.put(0, 0, shades, "", shades != " ")
        return canvas
    shown = np.rint(scaled(colours, across, down) / 255 * (LEVELS - 1)).astype(np.int64).tolist()
    for y in range((down + 1) // 2):
        _draw_row(canvas, y, shown[2 * y], shown[2 * y + 1] if 2 * y + 1 < down else [None] * across)
    return canvas


def _draw_row(canvas: Canvas, y: int, above: list[list[int]], below: Sequence[list[int] | None]) -> None:
    """Draw two rows of pixels. A cell of one colour takes the style of the cell before, where that has this colour: a
    blank for its background, a full block for the other."""
    before: tuple[list[int], list[int] | None] | None = None
    for x, (top, bottom) in enumerate(zip(above, below, strict=True)):
        character = "▀"
        if before and top == bottom and top in before:
            character = " " if top == before[1] else "█"
        else:
            before = top, bottom
        canvas.characters[y, x] = character
        canvas.styles[y, x] = canvas.style(_style(tuple(before[0]), tuple(before[1] or ())))


@lru_cache(maxsize=4096)
def _style(above: tuple[int, ...], below: tuple[int, ...]) -> Style:
    return Style(color=_colour(above), bgcolor=_colour(below) if below else None)


def _colour(levels: tuple[int, ...]) -> Color:
    return Color.from_rgb(*(level * 255 / (LEVELS - 1) for level in levels))


def as_bytes(pixels: HostArray) -> HostArray:
    """Return pixels as (h, w, 3) bytes, from bytes or other whole numbers up to 255, or from floats from 0 to 1; NaN is
    black. An array of another shape is an image of no pixels."""
    pixels = np.asarray(pixels)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        return np.zeros((0, 0, 3), dtype=np.uint8)
    if pixels.dtype.kind in "fb":
        pixels = np.rint(np.clip(np.nan_to_num(pixels.astype(np.float64)), 0, 1) * 255)
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def scaled(pixels: HostArray, across: int, down: int) -> HostArray:
    """Return pixels (h, w, 3) in another size: means where it is smaller, repeated where it is larger."""
    for axis, size in ((0, down), (1, across)):
        have = pixels.shape[axis]
        if size < have:
            starts = np.arange(size) * have // size
            counts = np.diff(np.append(starts, have)).reshape([-1 if at == axis else 1 for at in range(3)])
            pixels = np.add.reduceat(pixels.astype(np.float64), starts, axis=axis) / counts
        elif size > have:
            pixels = np.take(pixels, np.arange(size) * have // size, axis=axis)
    return np.asarray(pixels)
