"""Curves with axes, in braille: two dots across and four down in every cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from rich.cells import cell_len

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.canvas import Canvas, Drawing, fit, same
from tuilab.tui.widgets.scale import LABEL, Scale, columns_of, label, scale_of, smooth, tick_labels

Dash: TypeAlias = Literal["solid", "dashed", "dotted"]
DASHES: dict[Dash, tuple[bool, ...]] = {
    "solid": (True,),
    "dashed": (True, True, True, True, False, False),
    "dotted": (True, False, False),
}
SAMPLES: dict[Dash, str] = {"solid": "━", "dashed": "╍", "dotted": "┅"}
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int64)
"""What each dot of a cell adds to the number of its character."""
LEAST_PLOT = 8
"""Cells of a plot below which the axis is left out."""


@dataclass(frozen=True)
class Line:
    """One curve. x rises; y may have gaps (NaN, infinity); between least and most lies what a point stands for."""

    name: str
    x: HostArray
    y: HostArray
    colour: str = "train"
    dash: Dash = "solid"
    least: HostArray | None = None
    most: HostArray | None = None


@dataclass(frozen=True)
class Chart:
    """All that a chart shows."""

    lines: tuple[Line, ...] = ()
    title: str = ""
    log: bool = False
    last: float | None = None
    smoothing: float = 0.0
    cursor: float | None = None
    low: float | None = None
    high: float | None = None
    end: float | None = None

    def x_scale(self) -> Scale:
        ends = [float(x[np.isfinite(x)][index]) for x in self._xs() for index in (0, -1)]
        high = max([*ends, *([] if self.end is None else [self.end])], default=1.0)
        low = min(ends, default=0.0) if self.last is None else max(high - self.last, min(ends, default=0.0))
        return scale_of(np.array([low, high]))

    def values_at(self, cursor: float) -> tuple[float, dict[str, float]]:
        """Return the x at a place across the plot, from 0 to 1, and every line's newest value up to there."""
        at = self.x_scale().value(min(max(cursor, 0.0), 1.0))
        found = {}
        for line in self.lines:
            x = np.asarray(line.x, dtype=np.float64)
            index = int(np.searchsorted(x, at, side="right")) - 1
            found[line.name] = float(line.y[index]) if 0 <= index < len(line.y) else math.nan
        return at, found

    def newest(self) -> dict[str, float]:
        """Return the last finite value of every line."""
        return {line.name: _newest(np.asarray(line.y, dtype=np.float64)) for line in self.lines}

    def _xs(self) -> list[HostArray]:
        xs = (np.asarray(line.x, dtype=np.float64) for line in self.lines)
        return [x for x in xs if np.isfinite(x).any()]


class LineChart(Drawing):
    """Curves of one quantity over the steps."""

    PART = "line-chart"
    COMPONENT_CLASSES = {
        *(f"line-chart--{name}" for name in ("train", "validation", "axis", "title", "cursor")),
        *(f"line-chart--line-{number}" for number in range(1, 9)),
    }
    DEFAULT_CSS = """
    LineChart { height: 1fr; }
    LineChart .line-chart--train { color: $train; }
    LineChart .line-chart--validation { color: $validation; }
    LineChart .line-chart--axis { color: $quiet; }
    LineChart .line-chart--title { color: $foreground; }
    LineChart .line-chart--cursor { color: $accent; }
    LineChart .line-chart--line-1 { color: $train; }
    LineChart .line-chart--line-2 { color: $validation; }
    LineChart .line-chart--line-3 { color: $accent; }
    LineChart .line-chart--line-4 { color: $success; }
    LineChart .line-chart--line-5 { color: $error; }
    LineChart .line-chart--line-6 { color: $primary; }
    LineChart .line-chart--line-7 { color: $foreground; }
    LineChart .line-chart--line-8 { color: $quiet; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.chart = Chart()

    def update(
        self,
        lines: Sequence[Line],
        *,
        title: str = "",
        log: bool = False,
        last: float | None = None,
        smoothing: float = 0.0,
        cursor: float | None = None,
        low: float | None = None,
        high: float | None = None,
        end: float | None = None,
    ) -> None:
        """Show these curves; the x axis goes on to `end`, should they end before."""
        chart = Chart(tuple(lines), title, log, last, smoothing, cursor, low, high, end)
        if not _same(chart, self.chart):
            self.chart = chart
            self.changed()

    def values_at(self, cursor: float) -> tuple[float, dict[str, float]]:
        return self.chart.values_at(cursor)

    def draw(self, width: int, height: int) -> Canvas:
        return draw_line_chart(self.chart, width, height)


def draw_line_chart(chart: Chart, width: int, height: int) -> Canvas:
    """Draw a chart: a line with title and newest values, the plot, axes where there is room."""
    canvas = Canvas(width, height)
    top = 1 if height >= 4 else 0
    left = LABEL if width >= LABEL + LEAST_PLOT else 0
    bottom = 1 if height >= 6 else 0
    columns, rows = width - left, height - top - bottom
    if columns < 1 or rows < 1:
        return canvas
    x_scale = chart.x_scale()
    drawn = [(line, *columns_of(line.x, smooth(line.y, chart.smoothing), x_scale, 2 * columns)) for line in chart.lines]
    bands = [
        part for line in chart.lines for part in (line.least, line.most) if part is not None and not chart.smoothing
    ]
    shown = [values for _, least, most, _, _ in drawn for values in (least, most)]
    everything = np.concatenate([*shown, *map(np.ravel, bands)]) if shown else np.zeros(0)
    y_scale = scale_of(everything, chart.log, chart.low, chart.high)
    for line, least, most, last, broken in drawn:
        dots = _dots(least, most, last, broken, y_scale, 4 * rows)
        dots &= np.resize(np.array(DASHES[line.dash]), dots.shape[1])
        _put_dots(canvas, dots, left, top, line.colour)
    _draw_axes(canvas, x_scale, y_scale, left, top, rows, columns, bottom)
    if chart.cursor is not None:
        at = left + round(min(max(chart.cursor, 0.0), 1.0) * (columns - 1))
        for y in range(top, top + rows):
            if canvas.characters[y, at] in (" ", "⠀"):
                canvas.write(at, y, "│", "cursor")
    if top:
        _draw_title(canvas, chart, left)
    return canvas


def _dots(
    least: HostArray, most: HostArray, last: HostArray, broken: HostArray, scale: Scale, height: int
) -> HostArray:
    """Return the dots (height, columns) of one curve: in each column from its least to its most, joined to the column
    before."""
    dots = np.zeros((height, len(least)), dtype=bool)
    low, high, end = (_rows(values, scale, height) for values in (least, most, last))
    before: tuple[int, int] | None = None
    for column in np.flatnonzero(high >= 0).tolist():
        top, bottom = int(high[column]), int(low[column])
        if before is not None and not broken[column]:
            _join(dots, before, (column, top if before[1] < top else bottom if before[1] > bottom else before[1]))
        dots[top : bottom + 1, column] = True
        before = column, int(end[column])
    return dots


def _newest(values: HostArray) -> float:
    finite = np.flatnonzero(np.isfinite(values[-1000:]))
    return float(values[-1000:][finite[-1]]) if len(finite) else math.nan


def _join(dots: HostArray, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Draw a straight line of dots between two places (column, row)."""
    count = max(abs(end[0] - start[0]), abs(end[1] - start[1])) + 1
    columns = np.linspace(start[0], end[0], count).round().astype(np.int64)
    rows = np.linspace(start[1], end[1], count).round().astype(np.int64)
    dots[rows, columns] = True


def _rows(values: HostArray, scale: Scale, height: int) -> HostArray:
    """Return the row of dots of every value, from the top; −1 where it has none. What lies outside is at the edge."""
    places = np.clip(scale.place(values), 0, 1)
    with np.errstate(invalid="ignore"):
        rows = np.where(np.isnan(places), -1, (1 - np.nan_to_num(places)) * (height - 1) + 0.5)
    return rows.astype(np.int64)


def _put_dots(canvas: Canvas, dots: HostArray, left: int, top: int, colour: str) -> None:
    rows, columns = dots.shape[0] // 4, dots.shape[1] // 2
    codes = (dots.reshape(rows, 4, columns, 2) * DOTS[None, :, None, :]).sum(axis=(1, 3))
    there = canvas.characters[top : top + rows, left : left + columns]
    old = there.view(np.uint32).reshape(there.shape) if there.flags.c_contiguous else _codes(there)
    merged = np.where(old >= 0x2800, old - 0x2800, 0) | codes
    characters = (merged + 0x2800).astype(np.uint32).view("<U1").reshape(rows, columns)
    canvas.put(top, left, characters, colour, codes > 0)


def _codes(characters: HostArray) -> HostArray:
    return np.ascontiguousarray(characters).view(np.uint32).reshape(characters.shape)


def _draw_axes(
    canvas: Canvas, x_scale: Scale, y_scale: Scale, left: int, top: int, rows: int, columns: int, bottom: int
) -> None:
    if left:
        ticks = y_scale.ticks(max(rows // 3, 1) + 1)
        taken: set[int] = set()
        for tick, text in zip(ticks, tick_labels(ticks), strict=True):
            place = float(y_scale.place(np.array([tick]))[0])
            row = top + round((1 - place) * (rows - 1)) if 0 <= place <= 1 else -1
            if row >= top and row not in taken:
                taken.add(row)
                canvas.write(left - 1 - cell_len(text), row, text, "axis")
    if not bottom:
        return
    end = 0
    for tick in x_scale.ticks(max(columns // 11, 1)):
        text = label(tick)
        place = float(x_scale.place(np.array([tick]))[0])
        at = left + round(place * (columns - 1)) - len(text) // 2
        at = min(max(at, left), canvas.width - len(text))
        if 0 <= place <= 1 and at >= end:
            canvas.write(at, top + rows, text, "axis")
            end = at + len(text) + 2


def _draw_title(canvas: Canvas, chart: Chart, left: int) -> None:
    values: Mapping[str, float]
    at, values = (None, chart.newest()) if chart.cursor is None else chart.values_at(chart.cursor)
    parts = [
        (f"{SAMPLES[line.dash]} ", f"{line.name} ", f"{label(values[line.name]):>7}", line) for line in chart.lines
    ]
    title = f"{chart.title}{' (log)' if chart.log else ''}" + (f"  at {label(at)}" if at is not None else "")
    canvas.write(0, 0, fit(title, canvas.width), "title")
    x, start = canvas.width, cell_len(title) + 2
    for sample, name, value, line in reversed(parts):
        size = cell_len(sample) + cell_len(name) + len(value)
        if x - size < start:
            break
        x -= size
        canvas.write(x, 0, sample, line.colour)
        canvas.write(x + cell_len(sample), 0, name, "axis")
        canvas.write(x + cell_len(sample) + cell_len(name), 0, value, "title")
        x -= 2


def _same(one: Chart, other: Chart) -> bool:
    def facts(chart: Chart) -> list[object]:
        lines = [[line.name, line.x, line.y, line.colour, line.dash, line.least, line.most] for line in chart.lines]
        numbers = [chart.last, chart.smoothing, chart.cursor, chart.low, chart.high, chart.end]
        return [lines, chart.title, chart.log, numbers]

    return same(facts(one), facts(other))
