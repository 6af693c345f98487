"""One layer large: its statistics over the steps, and how its weights are distributed."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import numpy as np
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical
from textual.screen import ModalScreen
from textual.widgets import Label

from tuilab.errors import TuilabError
from tuilab.runs.directory import RunDirectory
from tuilab.text import clean_text
from tuilab.tui.run_health import judge
from tuilab.tui.run_view import Snapshot
from tuilab.tui.run_weights import Distribution, read_distribution
from tuilab.tui.run_words import EXPLANATIONS
from tuilab.tui.widgets.histogram import Histogram
from tuilab.tui.widgets.line_chart import Dash, Line, LineChart

SHARES = "share of units"
CHARTS: dict[str, tuple[str, ...]] = {
    "gradient norm": ("gradient_norm",),
    "update / weight": ("update_ratio",),
    "weight norm": ("weight_norm",),
    "outputs": ("activation_mean", "activation_deviation"),
    SHARES: ("dead", "saturated"),
}
LOGARITHMIC = ("gradient norm", "update / weight")
NAMES = {"activation_mean": "mean", "activation_deviation": "deviation", "dead": "dead", "saturated": "saturated"}
DASHES: tuple[Dash, ...] = ("solid", "dashed")
SECONDS_BETWEEN_WEIGHTS = 5.0


class LayerScreen(ModalScreen[None]):
    """The layer with the cursor; up and down go to the one before and after."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "dismiss", "close", id="layer.close"),
        Binding("down,j", "other(1)", "next layer", id="layer.next"),
        Binding("up,k", "other(-1)", "layer before", id="layer.before"),
    ]
    help_text = """\
The statistics of one layer at the steps where layers are looked at, and the distribution of its weights in the newest
checkpoint. Update / weight is the size of a step beside the weights: about 1e-3 is healthy."""

    def __init__(self, snapshot: Snapshot, layer: int) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.index = layer
        self._charts = {title: LineChart() for title in CHARTS}
        self._weights = Histogram()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog layer-dialog"):
            yield Label("", classes="dialog-title", id="layer-title", markup=False)
            with Grid():
                yield from self._charts.values()
                with Vertical():
                    yield Label("weights", id="layer-weights", markup=False)
                    yield self._weights

    def on_mount(self) -> None:
        self.show(self.snapshot)
        self._read_weights(self.snapshot.run, self._layer_name)
        self.set_interval(SECONDS_BETWEEN_WEIGHTS, lambda: self._read_weights(self.snapshot.run, self._layer_name))

    @property
    def _layer_name(self) -> str:
        return self.snapshot.layers.names[self.index]

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest state of the run."""
        layers = snapshot.layers
        if self.index >= len(layers.names):  # another run, or one that has gone back to its beginning
            return
        self.snapshot = snapshot
        health = judge(layers)[self.index]
        title = f"{self.index + 1} of {len(layers.names)}  {self._layer_name}  {health}  {EXPLANATIONS[health.word]}"
        self.query_one("#layer-title", Label).update(Text(clean_text(title, 300)))
        for title, numbers in CHARTS.items():
            series = {number: layers.get(number)[self.index] for number in numbers}
            lines = [
                Line(NAMES.get(number, "now"), layers.step, values, f"line-{at}", dash)
                for at, ((number, values), dash) in enumerate(zip(series.items(), DASHES, strict=False), start=1)
                if np.isfinite(values).any()
            ]
            chart = self._charts[title]
            chart.update(lines, title=title, log=title in LOGARITHMIC, low=0.0 if title == SHARES else None)

    def action_other(self, by: int) -> None:
        self.index = (self.index + by) % len(self.snapshot.layers.names)
        self.show(self.snapshot)
        self._read_weights(self.snapshot.run, self._layer_name)

    @work(exclusive=True, group="weights")
    async def _read_weights(self, run: RunDirectory, layer: str) -> None:
        try:
            found: Distribution | str = await asyncio.to_thread(read_distribution, run, layer) or "has no weights"
        except TuilabError as error:
            found = str(error)
        self._show_weights(found)

    def _show_weights(self, found: Distribution | str) -> None:
        label = self.query_one("#layer-weights", Label)
        if isinstance(found, str):
            label.update(Text(clean_text(found, 200), style="dim"))
            self._weights.display = False
            return
        label.update(Text(f"{found.name} at step {found.step:,}"))
        self._weights.display = True
        self._weights.update(found.counts, found.edges)
