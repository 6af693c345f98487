"""Tables as they are shown: columns that know how narrow they may become, and lines of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from tuilab.text import clean_text

GAP = 2
"""Between two columns."""
LONGEST_CELL = 1000
KEPT = 2
"""Cells that a line keeps whatever is to be said instead of the others."""


class Cell(NamedTuple):
    """A text, and what colours it: a state, or nothing."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    key: str
    header: str
    right: bool = True
    """Set to the right, as numbers are."""
    least: int | None = None
    """Characters to which its texts may be shortened, in their middle; None for not at all."""
    rank: int = 0
    """Where there is no room, columns of the highest rank are left out first; those of rank 0 stay."""
    tone: str = ""
    """Of the header."""


@dataclass(frozen=True)
class Line:
    """One line of a table, which has a cell a column."""

    key: str
    cells: tuple[Cell, ...]
    rest: str = ""
    """Takes the place of all cells but the first `KEPT`, where there is something to say instead."""


@dataclass(frozen=True)
class Placed:
    """A column in its place."""

    index: int
    column: Column
    x: int
    width: int


@dataclass(frozen=True)
class Listing:
    """A table, made by `make_listing`."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    widths: dict[str, int]
    """Characters that every column wants, by its key."""

    @cached_property
    def places(self) -> dict[str, int]:
        """The number of each line by its key."""
        return {line.key: index for index, line in enumerate(self.lines)}

    def fit(self, room: int) -> list[Placed]:
        """Return the columns that fit into `room` characters, as wide as they may be."""
        kept, wide = list(enumerate(self.columns)), dict(self.widths)

        def narrowest(column: Column) -> int:
            return wide[column.key] if column.least is None else min(column.least, wide[column.key])

        while sum(narrowest(column) + GAP for _, column in kept) - GAP > room and any(c.rank for _, c in kept):
            kept.remove(max(reversed(kept), key=lambda pair: pair[1].rank))
        while sum(wide[column.key] + GAP for _, column in kept) - GAP > room:
            loose = [column for _, column in kept if wide[column.key] > narrowest(column)]
            if not loose:
                break
            wide[max(loose, key=lambda column: wide[column.key]).key] -= 1
        placed, x = [], 0
        for index, column in kept:
            placed.append(Placed(index, column, x, wide[column.key]))
            x += wide[column.key] + GAP
        return placed


def make_listing(columns: Sequence[Column], lines: Sequence[Line], before: Listing | None = None) -> Listing:
    """Return a table whose texts may come from anywhere. No column is narrower than `before`, so that nothing jumps."""
    named = tuple(replace(column, header=clean_text(column.header, LONGEST_CELL)) for column in columns)
    clean = tuple(map(_clean, lines))
    known = before.widths if before else {}
    widths = {}
    for index, column in enumerate(named):
        shown = (cell_len(line.cells[index].text) for line in clean if index < KEPT or not line.rest)
        widths[column.key] = max(cell_len(column.header), known.get(column.key, 0), *shown, 1)
    return Listing(named, clean, widths)


def _clean(line: Line) -> Line:
    cells = tuple(Cell(clean_text(text, LONGEST_CELL), tone) for text, tone in line.cells)
    return Line(line.key, cells, clean_text(line.rest, LONGEST_CELL))


def laid_out(text: str, width: int, right: bool) -> str:
    """Return a text in exactly `width` cells of a terminal."""
    short = shorten(text, width)
    return " " * (width - cell_len(short)) + short if right else set_cell_size(short, width)


def cut(text: str, width: int) -> str:
    """Return a text in at most `width` cells, what is too much left out at its end."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + "…" * (width > 0)


def shorten(text: str, width: int) -> str:
    """Return a text in at most `width` cells, what is too much left out of its middle."""
    if cell_len(text) <= width:
        return text
    if width < 2:
        return set_cell_size(text, max(width, 0))
    end = (width - 1) // 2
    start = set_cell_size(text, width - 1 - end).rstrip()
    return f"{start}…{_last(text, end)}"


def _last(text: str, width: int) -> str:
    """Return the end of a text, of at most `width` cells."""
    at, used = len(text), 0
    while at and used + cell_len(text[at - 1]) <= width:
        at -= 1
        used += cell_len(text[at])
    return text[at:]


def wrapped(text: str, width: int, most: int) -> list[str]:
    """Return a text in at most `most` lines of `width` cells, cut where there is more."""
    words = [part for word in clean_text(text, LONGEST_CELL).split() for part in chop_cells(word, max(width, 2))]
    lines: list[str] = []
    for word in words:
        if lines and (len(lines) == most or cell_len(lines[-1]) + 1 + cell_len(word) <= width):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [cut(line, width) for line in lines]
