"""A grid of characters with styles, and the widget that shows one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Self, TypeAlias

import numpy as np
from rich.cells import cell_len, get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from tuilab.blocks.arrays import HostArray
from tuilab.text import clean_text
from tuilab.tui.widgets.selectable import Selectable
from tuilab.tui.widgets.steady import colours_of

LONGEST = 500
"""Characters of a text that are looked at; no screen is wider."""

Row: TypeAlias = list[tuple[str, str | Style]]
"""Stretches of one style, from left to right."""


class Canvas:
    """height × width cells, each one character and the name of its style; "" is the style of the widget.

    A character two cells wide stands in the first of its cells; the second holds nothing.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(width, 0), max(height, 0)
        self.characters = np.full((self.height, self.width), " ", dtype="<U1")
        self.styles = np.zeros((self.height, self.width), dtype=np.int32)
        self._numbers: dict[str | Style, int] = {"": 0}

    @property
    def names(self) -> list[str | Style]:
        """The styles, in the order of their numbers."""
        return list(self._numbers)

    def style(self, name: str | Style) -> int:
        """Return the number of a style: a component class's name without its widget, or a style as it is."""
        return self._numbers.setdefault(name, len(self._numbers))

    def write(self, x: int, y: int, text: str, style: str | Style = "") -> None:
        """Write a text from a cell on to the right, as far as there is room."""
        if not 0 <= y < self.height:
            return
        number = self.style(style)
        for character in clean_text(text, LONGEST):
            size = get_character_cell_size(character)
            if size == 0:  # would be added to the character before it
                continue
            if x + size > self.width:
                return
            if x >= 0:
                self._clear(x, y, size)
                self.characters[y, x] = character
                self.styles[y, x : x + size] = number
                if size == 2:
                    self.characters[y, x + 1] = ""
            x += size

    def _clear(self, x: int, y: int, size: int) -> None:
        """Leave no half of a wide character beside the cells that will be written."""
        if x and not self.characters[y, x]:
            self.characters[y, x - 1] = " "
        if x + size < self.width and not self.characters[y, x + size]:
            self.characters[y, x + size] = " "

    def put(self, y: int, x: int, characters: HostArray, style: str | Style, where: HostArray) -> None:
        """Put a block of characters, each one cell wide, where a mask of the same shape (rows, columns) is true."""
        rows, columns = where.shape
        at = slice(y, y + rows), slice(x, x + columns)
        np.copyto(self.characters[at], characters, where=where)
        np.copyto(self.styles[at], self.style(style), where=where)

    def rows(self) -> Iterator[Row]:
        """Give every row as stretches of one style."""
        names = self.names
        cuts = np.diff(self.styles, axis=1, prepend=-1) != 0
        for characters, styles, cut in zip(self.characters.tolist(), self.styles, cuts, strict=True):
            starts = np.flatnonzero(cut)
            stretches = pairwise([*starts.tolist(), self.width])
            numbers = styles[starts].tolist()
            yield [
                ("".join(characters[start:end]), names[number])
                for (start, end), number in zip(stretches, numbers, strict=True)
            ]

    def differences(self, before: Canvas) -> Iterator[tuple[int, int, int]]:
        """Give for every row that another canvas of the same size shows otherwise where that begins and ends."""
        theirs = np.array([self.style(name) for name in before.names])
        other = (self.characters != before.characters) | (self.styles != theirs[before.styles])
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


class Drawing(Selectable):
    """A widget that shows a canvas, drawn anew only when its size or what it shows has changed."""

    PART: ClassVar[str] = ""
    """What the names of its component classes begin with."""
    help_text = ""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._canvas: Canvas | None = None
        self._rows: list[Row] = []
        self._styles: dict[str | Style, Style] = {}
        """Of the parts of what is being painted: looked up once a picture, not once a stretch."""
        self._painted: object = None
        """The look of what was painted last."""

    def draw(self, width: int, height: int) -> Canvas:
        raise NotImplementedError  # abstract

    def changed(self) -> None:
        """What it shows is another: write the cells that differ, and no others."""
        before = self._canvas
        if before is None or (before.width, before.height) != self.size:
            self._canvas = None
            self.refresh()
            return
        for y, start, end in self._draw(*self.size).differences(before):
            self.refresh(Region(start, y, end - start, 1))

    def _draw(self, width: int, height: int) -> Canvas:
        self._canvas = self.draw(width, height)
        self._rows = list(self._canvas.rows())
        return self._canvas

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Have it painted again, unless the focus alone has come or gone, which does not show."""
        if not regions and not layout and not recompose and self._canvas is not None and self._look() == self._painted:
            return self
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def render_lines(self, crop: Region) -> list[Strip]:
        self._styles.clear()
        strips = super().render_lines(crop)
        self._painted = self._look()
        return strips

    def _look(self) -> object:
        return self._canvas, colours_of(self.app), self.text_selection

    def draw_line(self, y: int) -> Strip:
        width, height = self.size
        if self._canvas is None or (self._canvas.width, self._canvas.height) != (width, height):
            self._draw(width, height)
        if y >= len(self._rows):
            return Strip.blank(width, self._style(""))
        segments: list[Segment] = []
        for text, name in self._rows[y]:
            style = self._style(name)
            if segments and (joined := _joined(segments[-1], text, style)):
                segments[-1] = joined
            else:
                segments.append(Segment(text, style))
        return Strip(segments, width)

    def _style(self, name: str | Style) -> Style:
        if name not in self._styles:
            if not name:
                self._styles[name] = self.rich_style
            else:
                own = name if isinstance(name, Style) else self.get_component_rich_style(f"{self.PART}--{name}")
                self._styles[name] = self._style("") + own
        return self._styles[name]


def _joined(segment: Segment, text: str, style: Style) -> Segment | None:
    """Return a stretch with the next one added, where a screen shows no difference: blanks have no colour of their own,
    and every change of it costs some forty bytes."""
    before = segment.style or Style()
    if before == style:
        return Segment(segment.text + text, style)
    lines = (before.underline, before.reverse, before.strike, style.underline, style.reverse, style.strike)
    if before.bgcolor != style.bgcolor or any(lines):
        return None
    if text.isspace():
        return Segment(segment.text + text, before)
    return Segment(segment.text + text, style) if segment.text.isspace() else None


def fit(text: str, width: int) -> str:
    """Return a text cut to a number of cells."""
    text = clean_text(text, LONGEST)
    while text and cell_len(text) > width:
        text = text[:-1]
    return text


def same(one: object, other: object) -> bool:
    """Whether two things to show are the same, arrays and tuples of arrays included."""
    if one is other:
        return True
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)) or one.shape != other.shape:
            return False
        kinds = one.dtype.kind + other.dtype.kind
        return bool(np.array_equal(one, other, equal_nan=set(kinds) <= set("fiub")))
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
