"""Runs side by side: one result of each over the epochs in one chart, and what differs, setting by setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static

from tuilab.runs.table import read_row
from tuilab.tui.listing import Listing
from tuilab.tui.run_curves import Curves, Marked, comparison, read_curves, result_names
from tuilab.tui.screens.frame import LabScreen
from tuilab.tui.screens.runs_chart import RunsChart
from tuilab.tui.screens.runs_detail import legend
from tuilab.tui.widgets.panel import Panel
from tuilab.tui.widgets.table import Table

SECONDS_BETWEEN_LOOKS = 1.0


class CompareScreen(LabScreen):
    """Two to eight runs, live."""

    CSS_PATH = "runs.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,m", "other(1)", "next result", key_display="→", id="compare.next"),
        Binding("left", "other(-1)", "result before", key_display="←", id="compare.before"),
        Binding("l", "log", "log", id="compare.log"),
        Binding("escape,c", "app.pop_screen", "back", id="compare.back"),
    ]
    help_text = "The curves of the runs that are marked, and the settings in which they differ, with all their results."

    @dataclass
    class Looked(Message):
        """The runs were read."""

        runs: list[Marked]
        curves: list[Curves]
        listing: Listing | None

    def __init__(self, runs: Sequence[Marked]) -> None:
        super().__init__()
        self.runs = list(runs)
        self.curves: list[Curves] = []
        self.results: list[str] = []
        """Results that can be shown."""
        self.result = ""
        self._listing: Listing | None = None
        self._looking = False

    def compose_body(self) -> ComposeResult:
        with Panel(id="compare-curves"), Horizontal():
            yield RunsChart(id="compare-chart")
            yield Static(id="compare-legend", markup=False)
        with Panel(id="compare-values"):
            yield Table(id="compare-table")

    def on_mount(self) -> None:
        self.query_one("#compare-values", Panel).entitle("settings that differ, results")
        self.show_subject(f"{len(self.runs)} runs")
        self.query_one(Table).focus()
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.on_resize())
        self.look()
        self.set_interval(SECONDS_BETWEEN_LOOKS, self.look)

    def look(self) -> None:
        if not self._looking and self.is_current:
            self._looking = True
            self._look(self.runs)

    @work(thread=True)
    def _look(self, before: list[Marked]) -> None:
        """Read the runs; one that is gone or damaged meanwhile is left out."""
        runs = [replace(run, row=read_row(run.row.run)) for run in before]
        runs = [run for run in runs if run.row.overview is not None]
        listing = comparison(runs, self._listing) if runs else None
        self.post_message(self.Looked(runs, [read_curves(run.row) for run in runs], listing))

    def on_compare_screen_looked(self, event: Looked) -> None:
        self._looking = False
        gone = {run.row.run.name for run in self.runs} - {run.row.run.name for run in event.runs}
        self.runs, self.curves = event.runs, event.curves
        for name in sorted(gone):
            self.lab.say(f"{name} is gone or cannot be read any more", "warning")
        if event.listing is None:
            self.app.pop_screen()
            return
        self._listing = event.listing
        self.results = result_names(self.curves)
        if self.result not in self.results:
            self.result = next(iter(self.results), "")
        self.query_one(Table).show(event.listing)
        self._draw()

    def _draw(self) -> None:
        chart = self.query_one(RunsChart)
        at = f"result {self.results.index(self.result) + 1} of {len(self.results)}" if self.result else ""
        self.query_one("#compare-curves", Panel).entitle("over the epochs", at)
        chart.show_overlay(
            self.result, [(run.sign, curves) for run, curves in zip(self.runs, self.curves, strict=True)]
        )
        names = self.query_one("#compare-legend", Static)
        names.update(legend(chart, self.runs, names.size.width or 24), layout=False)

    def on_resize(self) -> None:
        if self.curves:
            self._draw()

    def action_other(self, by: int) -> None:
        if self.result:
            self.result = self.results[(self.results.index(self.result) + by) % len(self.results)]
            self._draw()

    def action_log(self) -> None:
        chart = self.query_one(RunsChart)
        chart.log_scale = not chart.log_scale
        self._draw()
