"""Charts of the Train screen: what is told step by step and epoch by epoch, and the gradients of the layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from tuilab.tui.run_view import Snapshot
from tuilab.tui.run_words import ALONGSIDE, part, power, results, shared_range, steps_ahead
from tuilab.tui.widgets.canvas import Canvas
from tuilab.tui.widgets.heat_map import HeatMap
from tuilab.tui.widgets.line_chart import Line, LineChart
from tuilab.tui.widgets.panel import Panel
from tuilab.tui.widgets.scale import LABEL
from tuilab.tui.widgets.sparkline import spark

SMOOTHINGS = (0.0, 0.6, 0.9)


class CursorChart(LineChart, can_focus=True):
    """A chart with a cursor that reads its values."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "read(-1)", "read values", show=False, id="chart.left"),
        Binding("right", "read(1)", "read values", show=False, id="chart.right"),
        Binding("shift+left", "read(-8)", "read, in large steps", show=False, id="chart.far_left"),
        Binding("shift+right", "read(8)", "read, in large steps", show=False, id="chart.far_right"),
        Binding("home", "read(-1_000_000)", "read the first", show=False, id="chart.first"),
        Binding("end", "read(1_000_000)", "newest values", show=False, id="chart.newest"),
    ]
    help_text = """\
One quantity over the steps: at every step on the training part, after every epoch on the validation part. Where the
validation curve turns up while the training curve still falls, the network begins to learn the samples by heart.
left and right read values, end goes back to the newest. l: logarithmic. s: smoothing. z: the last steps. m: others."""

    @dataclass
    class Read(Message):
        """The cursor was moved; None where the newest values are shown."""

        cursor: float | None

    def draw(self, width: int, height: int) -> Canvas:
        return super().draw(width, height) if self.chart.lines else Canvas(width, height)

    def action_read(self, by: int) -> None:
        """Move the cursor by so many cells; beyond the right end there is none."""
        cells = max(self.size.width - LABEL - 1, 1)
        at = self.chart.cursor
        place = (cells + 1 if at is None else round(at * cells)) + by
        self.post_message(self.Read(None if place > cells else max(place, 0) / cells))

    def on_click(self, event: events.Click) -> None:
        cells = max(self.size.width - LABEL - 1, 1)
        self.post_message(self.Read(min(max(event.x - LABEL, 0) / cells, 1.0)))


class ChartPanel(Panel):
    """One result over the steps, training and validation together."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.result = ""
        """What is shown; empty until the run tells what there is."""
        self.logarithmic = False
        self.smoothing = 0.0
        self.cursor: float | None = None
        self._snapshot: Snapshot | None = None
        self._last: int | None = None

    def compose(self) -> ComposeResult:
        yield CursorChart()

    def forget(self) -> None:
        """Another run comes."""
        self.result, self.cursor, self._snapshot = "", None, None
        self._draw()

    def show(self, snapshot: Snapshot, last: int | None) -> None:
        """Show the newest state, of the last so many steps."""
        self._snapshot, self._last = snapshot, last
        names = results(snapshot)
        if self.result not in names:
            first = ("loss",) if self.id == "watch-loss" else tuple(name for name in names if name != "loss")
            self.result = next((name for name in names if name in first), "")
        self._draw()

    def toggle_log(self) -> None:
        self.logarithmic = not self.logarithmic
        self._draw()

    def next_smoothing(self) -> None:
        self.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.smoothing) + 1) % len(SMOOTHINGS)]
        self._draw()

    def next_result(self) -> None:
        """Show the next of all that is told step by step."""
        names = results(self._snapshot) if self._snapshot else []
        if self.result in names:
            self.result = names[(names.index(self.result) + 1) % len(names)]
            self._draw()

    def read(self, cursor: float | None) -> None:
        self.cursor = cursor
        self._draw()

    def _draw(self) -> None:
        parts = [self.result or "nothing measured yet"]
        parts += [f"smoothed {self.smoothing}"] if self.smoothing else []
        parts += [f"last {self._last:,} steps"] if self._last else []
        self.entitle(" · ".join(parts))
        chart = self.query_one(CursorChart)
        chart.update(
            self._lines(),
            log=self.logarithmic,
            last=self._last,
            smoothing=self.smoothing,
            cursor=self.cursor,
            end=steps_ahead(self._snapshot) if self._snapshot else None,
        )

    def _lines(self) -> list[Line]:
        snapshot = self._snapshot
        if snapshot is None or self.result not in snapshot.curves:
            return []
        curve = snapshot.curves[self.result]
        epochs = snapshot.epochs
        validation = epochs.results.get(f"val_{self.result}")
        if validation is None:
            return [Line("now" if self.result in ALONGSIDE else "train", curve.step, curve.mean, "train")]
        return [
            Line("train", curve.step, curve.mean, "train"),
            Line("validation", epochs.step, validation, "validation", dash="dashed"),
        ]


class HeatPanel(Panel):
    """The gradients of all layers over time, at a glance."""

    help_text = """\
Every row is a layer, every column a moment; the stronger its colour, the larger the norm of the gradients, on a
logarithmic scale that all layers share. Rows that fade from the last layer to the first: vanishing. Rows that flare
up: exploding."""

    def compose(self) -> ComposeResult:
        yield FocusedHeatMap()

    def show(self, snapshot: Snapshot, last: int | None) -> None:
        """Show the newest state, of the last so many steps."""
        layers = snapshot.layers
        learning = np.flatnonzero(np.isfinite(layers.get("weight_norm")).any(axis=1))
        names = [layers.names[index] for index in learning]
        gradients = _gradients(snapshot, last)[learning]
        low, high = shared_range(gradients)
        self.entitle("layer × time", f"gradient norm {power(low)} … {power(high)}" if len(names) else "")
        self.query_one(HeatMap).update(np.maximum(gradients, low), names, log=True, low=low, high=high)


class FocusedHeatMap(HeatMap, can_focus=True):
    """A heat map that tab reaches."""


def trends(snapshot: Snapshot, last: int | None, width: int) -> list[str]:
    """Return for every layer a small chart of its gradients; all share one logarithmic scale."""
    gradients = _gradients(snapshot, last)
    low, high = shared_range(gradients)
    return [spark(np.maximum(row, low), width, log=True, low=low, high=high) for row in gradients]


def _gradients(snapshot: Snapshot, last: int | None) -> np.ndarray:
    layers = snapshot.layers
    newest = snapshot.seen.status.step if snapshot.seen else 0
    chosen: np.ndarray = layers.get("gradient_norm")[:, part(layers.step, last, newest)]
    return chosen
