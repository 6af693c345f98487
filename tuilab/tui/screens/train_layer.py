"""One layer large: its statistics over the steps, and how its weights, gradients and outputs are distributed."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import numpy as np
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical
from textual.widgets import Label

from tuilab.engine.distributions import Distribution
from tuilab.errors import TuilabError
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import following
from tuilab.text import clean_text
from tuilab.tui.dialog import Dialog
from tuilab.tui.run_health import judge
from tuilab.tui.run_view import Snapshot
from tuilab.tui.run_words import EXPLANATIONS
from tuilab.tui.widgets.histogram import Histogram
from tuilab.tui.widgets.line_chart import Dash, Line, LineChart

SHARES = "share of units"
CHARTS: dict[str, tuple[str, ...]] = {
    "gradient norm": ("gradient_norm",),
    "weight norm": ("weight_norm",),
    "outputs": ("activation_mean", "activation_deviation"),
    "update / weight": ("update_ratio",),
    SHARES: ("dead", "saturated"),
}
BESIDE = {"gradient norm": "gradients", "weight norm": "weights", "outputs": "outputs"}
"""The distribution that stands at the right of a chart."""
LOGARITHMIC = ("gradient norm", "update / weight")
NAMES = {"activation_mean": "mean", "activation_deviation": "deviation", "dead": "dead", "saturated": "saturated"}
DASHES: tuple[Dash, ...] = ("solid", "dashed")
SECONDS_BETWEEN_DISTRIBUTIONS = 1.0


class LayerScreen(Dialog[None]):
    """The layer with the cursor; up and down go to the one before and after."""

    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-normal")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "dismiss", "close", id="layer.close"),
        Binding("down,j", "other(1)", "next layer", id="layer.next"),
        Binding("up,k", "other(-1)", "layer before", id="layer.before"),
    ]
    help_text = """\
The statistics of one layer at the steps where layers are looked at, and how often each size occurs among its gradients,
weights and outputs of one step, about a second old. Gradients crowded at 0 in the first layers vanish; outputs
crowded at the ends of a sigmoid or tanh are saturated; outputs of a relu at 0 are off.
Update / weight is the size of a step beside the weights: about 1e-3 is healthy."""

    def __init__(self, snapshot: Snapshot, layer: int) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.index = layer
        self._charts = {title: LineChart() for title in CHARTS}
        self._distributions = {kind: DistributionPanel(kind) for kind in BESIDE.values()}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog layer-dialog"):
            yield Label("", classes="dialog-title", id="layer-title", markup=False)
            with Grid():
                for title, chart in self._charts.items():
                    yield chart
                    if title in BESIDE:
                        yield self._distributions[BESIDE[title]]

    def on_mount(self) -> None:
        self.show(self.snapshot)
        self._read()
        self.set_interval(SECONDS_BETWEEN_DISTRIBUTIONS, self._read)

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
        shown = Text(clean_text(title, 300), no_wrap=True, overflow="ellipsis")
        self.query_one("#layer-title", Label).update(shown)
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
        self._read()

    @work(exclusive=True, group="distributions")
    async def _read(self) -> None:
        layer = self.index
        try:
            found = await asyncio.to_thread(_read_distributions, self.snapshot.run, layer)
        except TuilabError:  # said on the screen below
            found = {}
        if layer == self.index:
            for kind, panel in self._distributions.items():
                panel.show(found.get(kind))


class DistributionPanel(Vertical):
    """How often each size occurs among some values of a layer."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._title = Label(kind, markup=False)
        self._histogram = Histogram()

    def compose(self) -> ComposeResult:
        yield self._title
        yield self._histogram

    def show(self, found: tuple[int, Distribution] | None) -> None:
        """Show a distribution and the step it is of, or that there is none."""
        if found is None:
            self._title.update(Text(f"{self.kind}: nothing recorded", style="dim"))
            self._histogram.update(np.zeros(0), np.zeros(0))
            return
        step, seen = found
        self._title.update(Text(f"{self.kind} at step {step:,}"))
        self._histogram.update(np.array(seen.counts), np.linspace(seen.least, seen.most, len(seen.counts) + 1))


def _read_distributions(run: RunDirectory, layer: int) -> dict[str, tuple[int, Distribution]]:
    with following(run) as reader:
        return reader.distributions(layer)
