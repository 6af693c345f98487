"""What stands around a plot: its title, its legend with values, and its axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len

from tuilab.tui.widgets.canvas import Canvas, fit
from tuilab.tui.widgets.scale import LABEL, Scale, tick_labels

BETWEEN = 2
"""Cells between two things in a line."""
NAMES = (24, 5)
"""Cells of a name in the legend; where there is no room for all, shorter ones."""


class Entry(NamedTuple):
    """A curve in the legend."""

    sample: str
    name: str
    value: str
    colour: str

    def size(self) -> int:
        """Return the cells that it takes; a value has the same room whatever it is."""
        return cell_len(self.sample) + 1 + cell_len(self.name) + (LABEL if self.value else 0)


class Legend(NamedTuple):
    """Title and entries, laid out in lines: the title at the left of the first, the entries at the right."""

    title: str
    lines: list[list[tuple[int, Entry]]]
    """Where entries begin, and the entries."""


def lay_out(title: str, entries: Sequence[Entry], width: int, most: int) -> Legend:
    """Return a legend of at most so many lines: one where all fit into it, with short names if need be, otherwise as
    many below the title as it takes, and without values if these would be too many."""
    title = fit(title, width)
    if most < 1 or not (title or entries):
        return Legend(title, [])
    room = width - (cell_len(title) + BETWEEN if title else 0)
    named, short = ([entry._replace(name=fit(entry.name, longest)) for entry in entries] for longest in NAMES)
    unvalued = [entry._replace(value="") for entry in named]
    for shown in (named,) if most > 1 else (named, short, [entry._replace(value="") for entry in short]):
        if (size := _size(shown)) <= room:
            return Legend(title, [_placed(shown, width - size)])
    if most > 1:
        head: list[list[tuple[int, Entry]]] = [[]] if title else []
        for shown in (named, unvalued):
            beside = max((width + BETWEEN) // (max(entry.size() for entry in shown) + BETWEEN), 1)
            lines = [shown[at : at + beside] for at in range(0, len(shown), beside)]
            if len(head) + len(lines) <= most:
                break
        return Legend(title, [*head, *_in_columns(lines[: most - len(head)], width)])
    while _size(short) > room:
        short.pop()
    return Legend(title, [_placed(short, width - _size(short))])


def _size(entries: Sequence[Entry]) -> int:
    return sum(entry.size() + BETWEEN for entry in entries) - BETWEEN


def _placed(entries: Sequence[Entry], x: int) -> list[tuple[int, Entry]]:
    placed = []
    for entry in entries:
        placed.append((x, entry))
        x += entry.size() + BETWEEN
    return placed


def _in_columns(lines: list[list[Entry]], width: int) -> list[list[tuple[int, Entry]]]:
    size = max(entry.size() for line in lines for entry in line)
    left = max(width + BETWEEN - len(lines[0]) * (size + BETWEEN), 0)
    return [[(left + at * (size + BETWEEN), entry) for at, entry in enumerate(line)] for line in lines]


def draw_legend(canvas: Canvas, legend: Legend) -> None:
    """Draw title and entries in the first lines."""
    if legend.lines:
        canvas.write(0, 0, legend.title, "title")
    for row, line in enumerate(legend.lines):
        for x, entry in line:
            canvas.write(x, row, entry.sample, entry.colour)
            canvas.write(x + cell_len(entry.sample) + 1, row, entry.name, "axis")
            canvas.write(x + entry.size() - len(entry.value), row, entry.value, "title")


def draw_y_axis(canvas: Canvas, scale: Scale, top: int, rows: int) -> None:
    """Draw the labels of `rows` cells below `top`, in the first LABEL columns."""
    ticks = scale.ticks(rows // 3 + 1)
    taken = set()
    for tick, text in zip(ticks, tick_labels(ticks), strict=True):
        row = top + round((1 - float(scale.place(tick))) * (rows - 1))
        if top <= row < top + rows and row not in taken:
            taken.add(row)
            canvas.write(LABEL - 1 - len(text), row, text, "axis")


def draw_x_axis(canvas: Canvas, scale: Scale, left: int, row: int) -> None:
    """Draw labels below the columns from `left` to the right end, each with its middle at its place."""
    columns = canvas.width - left
    ticks = scale.ticks(columns // 11 + 1)
    end = 0
    for tick, text in zip(ticks, tick_labels(ticks), strict=True):
        at = left + round(float(scale.place(tick)) * (columns - 1)) - len(text) // 2
        at = max(min(at, canvas.width - len(text)), left)
        if at >= end:
            canvas.write(at, row, text, "axis")
            end = at + len(text) + BETWEEN
