"""A grid of characters with styles, and the widget that shows one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import ClassVar

import numpy as np
from rich.cells import cell_len, get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tuilab.blocks.arrays import HostArray
from tuilab.text import clean_text


class Canvas:
    """height × width cells, each one character and the name of its style; "" is the style of the widget.

    A character two cells wide stands in the first of its cells; the second holds nothing.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(width, 0), max(height, 0)
        self.characters = np.full((self.height, self.width), " ", dtype="<U1")
        self.styles = np.zeros((self.height, self.width), dtype=np.int32)
        self.names: list[str | Style] = [""]

    def style(self, name: str | Style) -> int:
        """Return the number of a style: a component class's name without its widget, or a style as it is."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def write(self, x: int, y: int, text: str, style: str | Style = "") -> None:
        """Write a text from a cell on to the right, as far as there is room."""
        if not 0 <= y < self.height:
            return
        number = self.style(style)
        for character in clean_text(text, 500):
            size = get_character_cell_size(character)
            if size == 0 or x < 0:
                x += size
                continue
            if x + size > self.width:
                return
            self.characters[y, x] = character
            self.styles[y, x : x + size] = number
            if size == 2:
                self.characters[y, x + 1] = ""
            x += size

    def put(self, y: int, x: int, characters: HostArray, style: str | Style, where: HostArray) -> None:
        """Put a block of characters where a mask of the same shape (rows, columns) is true."""
        rows, columns = where.shape
        at = slice(y, y + rows), slice(x, x + columns)
        np.copyto(self.characters[at], characters, where=where)
        np.copyto(self.styles[at], self.style(style), where=where)

    def rows(self) -> Iterator[list[tuple[str, str | Style]]]:
        """Give every row as stretches of one style, as few as may be: cells that show nothing go with those before
        them, since component classes colour only what is written."""
        blank = (self.characters == " ") & (self.styles == 0)
        written = np.maximum.accumulate(np.where(blank, 0, np.arange(self.width)), axis=1)
        before = np.take_along_axis(self.styles, written, axis=1)
        plain = np.array([isinstance(name, str) for name in self.names])
        joined = np.where(blank & plain[before], before, self.styles)
        for characters, styles in zip(self.characters.tolist(), joined.tolist(), strict=True):
            cells = zip(characters, styles, strict=True)
            yield [
                ("".join(character for character, _ in run), self.names[style])
                for style, run in ((style, list(run)) for style, run in groupby(cells, key=lambda cell: cell[1]))
            ]

    def differences(self, before: Canvas) -> Iterator[tuple[int, int, int]]:
        """Give for every row that another canvas of the same size shows otherwise where that begins and ends."""
        names = [*dict.fromkeys([*self.names, *before.names])]
        mine, others = (np.array([names.index(name) for name in canvas.names]) for canvas in (self, before))
        other = (self.characters != before.characters) | (mine[self.styles] != others[before.styles])
        for y in np.flatnonzero(other.any(axis=1)).tolist():
            columns = np.flatnonzero(other[y])
            yield y, *self._whole(y, int(columns[0]), int(columns[-1]) + 1)

    def _whole(self, y: int, start: int, end: int) -> tuple[int, int]:
        """Return a stretch that cuts no character that is two cells wide."""
        while start and not self.characters[y, start]:
            start -= 1
        while end < self.width and not self.characters[y, end]:
            end += 1
        return start, end

    def text(self) -> str:
        """Return the picture without its styles."""
        return "\n".join("".join(row) for row in self.characters.tolist())


class Drawing(Widget):
    """A widget that shows a canvas, drawn anew only when its size or what it shows has changed."""

    PART: ClassVar[str] = ""
    """What the names of its component classes begin with."""
    help_text = ""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._canvas: Canvas | None = None
        self._rows: list[list[tuple[str, str | Style]]] = []

    def draw(self, width: int, height: int) -> Canvas:
        raise NotImplementedError  # abstract

    def changed(self) -> None:
        """What it shows is another: write the cells that differ, and no others."""
        before = self._canvas
        if before is None or (before.width, before.height) != self.size:
            self._canvas = None
            self.refresh()
            return
        self._draw(*self.size)
        assert self._canvas is not None
        for y, start, end in self._canvas.differences(before):
            self.refresh(Region(start, y, end - start, 1))

    def _draw(self, width: int, height: int) -> None:
        self._canvas = self.draw(width, height)
        self._rows = list(self._canvas.rows())

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if self._canvas is None or (self._canvas.width, self._canvas.height) != (width, height):
            self._draw(width, height)
        rows = self._rows
        base = self.rich_style
        if y >= len(rows):
            return Strip.blank(width, base)
        return Strip([Segment(text, base + self._style(name)) for text, name in rows[y]], width)

    def _style(self, name: str | Style) -> Style:
        if isinstance(name, Style):
            return name
        return self.get_component_rich_style(f"{self.PART}--{name}", partial=True) if name else Style()


def fit(text: str, width: int) -> str:
    """Return a text cut to a number of cells."""
    text = clean_text(text, 500)
    while text and cell_len(text) > width:
        text = text[:-1]
    return text


def same(one: object, other: object) -> bool:
    """Whether two things to show are the same, arrays and tuples of arrays included."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)) or one.shape != other.shape:
            return False
        kinds = one.dtype.kind + other.dtype.kind
        return bool(np.array_equal(one, other, equal_nan=set(kinds) <= set("fiub")))
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
