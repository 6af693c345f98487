"""Curves with axes, in braille."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.braille import cells_in, cells_of, characters, dots_between, trace
from tuilab.tui.widgets.canvas import Canvas, Drawing, same
from tuilab.tui.widgets.decimate import Columns, columns_of, rising
from tuilab.tui.widgets.frame import Entry, draw_legend, draw_x_axis, draw_y_axis, lay_out
from tuilab.tui.widgets.palette import numbered
from tuilab.tui.widgets.scale import LABEL, Scale, label, scale_of
from tuilab.tui.widgets.smoothing import smooth

Dash: TypeAlias = Literal["solid", "dashed", "dotted"]
DASHES: dict[Dash, tuple[bool, ...]] = {
    "solid": (True,),
    "dashed": (True, True, True, True, False, False),
    "dotted": (True, False, False),
}
SAMPLES: dict[Dash, str] = {"solid": "━", "dashed": "╍", "dotted": "┅"}
LEAST_PLOT = 8
"""Cells of a plot below which the axis is left out."""
ROWS_PER_LEGEND = 6
"""Rows of a chart for every row of its legend."""
FLAT = 1e-4
"""Part of the numbers below which their differences are not drawn large: no label could tell them apart."""


@dataclass(frozen=True)
class Line:
    """One curve. y may have gaps (NaN, infinity); between least and most lies what a point stands for."""

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
    window: tuple[float, float] | None = None
    unit: str = ""

    @cached_property
    def points(self) -> list[tuple[HostArray, HostArray]]:
        """x and y of every line, in the order of x, and smoothed."""
        ordered = (rising(line.x, line.y) for line in self.lines)
        return [(x, smooth(y, self.smoothing)) for x, y in ordered]

    def x_scale(self) -> Scale:
        if self.window is not None:
            return scale_of(np.array(self.window))
        ends = [float(x[index]) for x, _ in self.points for index in (0, -1) if len(x)]
        least = min(ends, default=0.0)
        most = max([*ends, *([] if self.end is None else [self.end])], default=1.0)
        return scale_of(np.array([least if self.last is None else max(most - self.last, least), most]))

    def values_at(self, cursor: float) -> tuple[float, dict[str, float]]:
        """Return the x at a place across the plot, from 0 to 1, and every line's newest value up to there."""
        at = self.x_scale().value(min(max(cursor, 0.0), 1.0))
        return at, dict(zip((line.name for line in self.lines), self._values_until(at), strict=True))

    def values(self) -> list[float]:
        """Return the value of every line at the cursor, or its last one that is finite."""
        if self.cursor is not None:
            return self._values_until(self.x_scale().value(min(max(self.cursor, 0.0), 1.0)))
        return [_newest(y) for _, y in self.points]

    def _values_until(self, at: float) -> list[float]:
        indexes = [int(np.searchsorted(x, at, side="right")) - 1 for x, _ in self.points]
        return [float(y[index]) if index >= 0 else math.nan for index, (_, y) in zip(indexes, self.points, strict=True)]

    def heading(self) -> str:
        """Return title, unit and scale, and where the cursor is."""
        remarks = [remark for remark in (self.unit, "log" if self.log else "") if remark]
        parts = [self.title, f"({', '.join(remarks)})" if remarks else ""]
        if self.cursor is not None:
            parts.append(f" at {label(self.values_at(self.cursor)[0])}")
        return " ".join(part for part in parts if part)


class LineChart(Drawing):
    """Curves of one quantity over the steps."""

    PART = "line-chart"
    COMPONENT_CLASSES = {
        *(f"line-chart--{name}" for name in ("train", "validation", "axis", "title", "cursor")),
        *(f"line-chart--line-{number}" for number in range(1, 9)),
    }
    DEFAULT_CSS = f"""
    LineChart {{ height: 1fr; }}
    LineChart .line-chart--train {{ color: $train; }}
    LineChart .line-chart--validation {{ color: $validation; }}
    LineChart .line-chart--axis {{ color: $quiet; }}
    LineChart .line-chart--title {{ color: $foreground; }}
    LineChart .line-chart--cursor {{ color: $accent; }}
    {numbered("LineChart", "line-chart--line-")}
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
        window: tuple[float, float] | None = None,
        unit: str = "",
    ) -> None:
        """Show these curves: of x the `last` so much or a `window` from one value to another, up to `end` should they
        end before; of y what there is, or from `low` to `high`. cursor: a place across the plot, from 0 to 1."""
        chart = Chart(tuple(lines), title, log, last, smoothing, cursor, low, high, end, window, unit)
        if not same(_facts(chart), _facts(self.chart)):
            self.chart = chart
            self.changed()

    def values_at(self, cursor: float) -> tuple[float, dict[str, float]]:
        return self.chart.values_at(cursor)

    def draw(self, width: int, height: int) -> Canvas:
        return draw_line_chart(self.chart, width, height)


def draw_line_chart(chart: Chart, width: int, height: int) -> Canvas:
    """Draw a chart: title and legend, the plot, axes where there is room."""
    canvas = Canvas(width, height)
    entries = [
        Entry(SAMPLES[line.dash], line.name, label(value), line.colour)
        for line, value in zip(chart.lines, chart.values(), strict=True)
    ]
    legend = lay_out(chart.heading(), entries, width, max(height // ROWS_PER_LEGEND, 1) if height >= 3 else 0)
    top = len(legend.lines)
    left = LABEL if width >= LABEL + LEAST_PLOT else 0
    bottom = 1 if height >= 6 else 0
    columns, rows = width - left, height - top - bottom
    if columns < 1 or rows < 1:
        return canvas
    draw_legend(canvas, legend)
    x_scale = chart.x_scale()
    curves = [columns_of(x, y, x_scale.low, x_scale.high, 2 * columns, chart.log) for x, y in chart.points]
    bands = [_band(chart, line, x_scale, 2 * columns) for line in chart.lines]
    y_scale = _y_scale(chart, [*curves, *(side for band in bands if not chart.smoothing for side in band)])
    if y_scale is None:
        return canvas
    for line, points in zip(chart.lines, curves, strict=True):
        dots = dots_between(*trace(points, y_scale, 2 * columns, 4 * rows), 4 * rows)
        cells = cells_of(dots & np.resize(DASHES[line.dash], 2 * columns) | _thick(dots, points))
        below = cells_in(canvas.characters[top : top + rows, left:])
        canvas.put(top, left, characters(cells | below), line.colour, cells > 0)
    if chart.cursor is not None:
        at = left + round(min(max(chart.cursor, 0.0), 1.0) * (columns - 1))
        free = canvas.characters[top : top + rows, at : at + 1] == " "
        canvas.put(top, at, np.full((rows, 1), "│"), "cursor", free)
    for line, band in zip(chart.lines, bands, strict=True):
        if band:
            upper, lower = (trace(side, y_scale, 2 * columns, 4 * rows)[at] for at, side in enumerate(band))
            if chart.log:  # what is not above zero lies below all that can be shown
                lower = np.where((upper < 4 * rows) & (lower < 0), 4 * rows, lower)
            cells = cells_of(dots_between(upper, lower, 4 * rows) & _sparse(rows, columns))
            free = canvas.characters[top : top + rows, left:] == " "
            canvas.put(top, left, characters(cells), line.colour, (cells > 0) & free)
    if left:
        draw_y_axis(canvas, y_scale, top, rows)
    if bottom:
        draw_x_axis(canvas, x_scale, left, height - 1)
    return canvas


def _band(chart: Chart, line: Line, scale: Scale, columns: int) -> tuple[Columns, ...]:
    """Return the most and the least of what the points of a line stand for, or, where it is smoothed, its points as
    they were; nothing for a line without either."""
    sides = (line.y, line.y) if chart.smoothing else (line.most, line.least)
    ordered = [rising(line.x, side) for side in sides if side is not None]
    found = tuple(columns_of(x, y, scale.low, scale.high, columns, chart.log) for x, y in ordered)
    return found if len(found) == 2 else ()


def _thick(dots: HostArray, points: Columns) -> HostArray:
    """Return points between gaps as four dots each: one alone is too easily missed, or lost in the gap of a dash."""
    alone = ~points.joined
    alone[:-1] &= ~points.joined[1:]
    thick = np.zeros_like(dots)
    thick[:, points.column[alone]] = dots[:, points.column[alone]]
    thick[1:] |= thick[:-1]
    thick[:, 1:] |= thick[:, :-1]
    return thick


def _sparse(rows: int, columns: int) -> HostArray:
    """Return one dot in every cell, as (4 · rows, 2 · columns)."""
    dots = np.zeros((4 * rows, 2 * columns), dtype=bool)
    dots[1::4, ::2] = True
    return dots


def _y_scale(chart: Chart, shown: Sequence[Columns]) -> Scale | None:
    """Return a scale for all that is shown, if anything is; ends that are not fixed are round."""
    values = np.concatenate([np.zeros(0), *(side for points in shown for side in (points.least, points.most))])
    if not len(values):
        return None
    finite = values[np.isfinite(values)]
    if not chart.log and finite.size and finite.max() / 2 - finite.min() / 2 < FLAT / 2 * np.abs(finite).max():
        values = finite[:1]
    exact = scale_of(values, chart.log, chart.low, chart.high)
    wider = exact.rounded()
    low = wider.low if chart.low is None else exact.low
    high = wider.high if chart.high is None else exact.high
    return Scale(low, high, chart.log)


def _newest(values: HostArray) -> float:
    finite = np.flatnonzero(np.isfinite(values[-1000:]))
    return float(values[-1000:][finite[-1]]) if len(finite) else math.nan


def _facts(chart: Chart) -> list[object]:
    lines = [[line.name, line.x, line.y, line.colour, line.dash, line.least, line.most] for line in chart.lines]
    options = (chart.title, chart.log, chart.last, chart.smoothing, chart.cursor, chart.low, chart.high)
    return [lines, options, chart.end, chart.window, chart.unit]
