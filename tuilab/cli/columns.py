"""Tables that fit the terminal: with shorter texts, then with fewer columns, and never with folded lines."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tuilab.text import clean_text

ANY_WIDTH = 1000
"""Where the output is no terminal."""


@dataclass
class Column:
    """One column of a table."""

    header: str
    cells: list[str]
    right: bool = True
    """Set to the right, as numbers are."""
    least: int | None = None
    """Characters to which its texts may be shortened, in their middle; None for not at all."""
    rank: int = 0
    """Where there is no room, columns of the highest rank are left out first; those of rank 0 stay."""

    def __post_init__(self) -> None:
        self.header, *self.cells = (clean_text(cell, ANY_WIDTH) for cell in (self.header, *self.cells))
        self.width = max(map(len, (self.header, *self.cells)))

    @property
    def narrowest(self) -> int:
        return self.width if self.least is None else min(self.least, self.width)

    def lay_out(self, cell: str) -> str:
        short = shorten(cell, self.width)
        return short.rjust(self.width) if self.right else short.ljust(self.width)


def room() -> int:
    """Return how many characters a line may have."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else ANY_WIDTH


def print_columns(columns: Sequence[Column], spanning: dict[int, str] | None = None) -> None:
    """Print a table, a header first; `spanning`: texts of lines that take the place of all but the first column."""
    width = room()
    shown = fit(columns, width)
    print("  ".join(column.lay_out(column.header) for column in shown).rstrip())
    for index in range(len(shown[0].cells)):
        laid_out = [column.lay_out(column.cells[index]) for column in shown]
        if spanning and index in spanning:
            text = clean_text(spanning[index], ANY_WIDTH)
            laid_out[1:] = [shorten(text, max(width - len(laid_out[0]) - 2, 10))]
        print("  ".join(laid_out).rstrip())


def fit(columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns that fit into `width` characters, with two between each, as wide as they may be."""
    kept = list(columns)
    while sum(column.narrowest + 2 for column in kept) - 2 > width and any(column.rank for column in kept):
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    while sum(column.width + 2 for column in kept) - 2 > width:
        loose = [column for column in kept if column.width > column.narrowest]
        if not loose:
            break
        max(loose, key=lambda column: column.width).width -= 1
    return kept


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` characters, what is too much left out of its middle."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"
