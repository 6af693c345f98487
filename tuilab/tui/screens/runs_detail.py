"""Below the list of runs: the run under the cursor with its curve, or the curves of those that are marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from tuilab.runs.table import Row
from tuilab.text import clean_text
from tuilab.tui.listing import cut, shorten, wrapped
from tuilab.tui.numbers import number
from tuilab.tui.run_curves import SIGNS, Curves, Marked, differences, read_curves, result_names
from tuilab.tui.run_list import progress, trouble
from tuilab.tui.screens.runs_chart import RunsChart
from tuilab.tui.widgets.panel import Panel

SECONDS_TO_SETTLE = 0.1
"""The cursor must stay this long before curves are read."""
LABEL = 6


class RunDetail(Panel):
    """What one run has to say of itself, or several together."""

    help_text = "The run under the cursor; with runs that are marked, their curves over each other."

    @dataclass
    class Read(Message):
        """Curves were read."""

        shown: tuple[Row | None, tuple[Marked, ...]]
        curves: list[Curves]
        differ: str

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.row: Row | None = None
        self.marked: tuple[Marked, ...] = ()
        self._settling: Timer | None = None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(id="detail-facts", markup=False)
            yield RunsChart(id="detail-chart")

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.on_resize())

    def show(self, row: Row | None, marked: Sequence[Marked]) -> None:
        """Show a run, or the marked ones where there are some. What is shown already is not read again."""
        if row is self.row and tuple(marked) == self.marked:
            return
        moved = row is None or self.row is None or row.run != self.row.run
        self.row, self.marked = row, tuple(marked)
        self._show_facts()
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SECONDS_TO_SETTLE if moved else 0.01, self._read_now)

    def _read_now(self) -> None:
        self._read((self.row, self.marked))

    @work(thread=True, group="curves")
    def _read(self, shown: tuple[Row | None, tuple[Marked, ...]]) -> None:
        row, marked = shown
        curves = [read_curves(run.row) for run in marked] or ([read_curves(row)] if row else [])
        self.post_message(self.Read(shown, curves, differences(marked) if len(marked) > 1 else ""))

    def on_run_detail_read(self, event: Read) -> None:
        if event.shown != (self.row, self.marked):
            return  # the cursor has gone on
        chart = self.query_one(RunsChart)
        if self.marked:
            name = next(iter(result_names(event.curves)), "")
            signs = " ".join(SIGNS[run.sign] for run in self.marked)
            self.entitle(f"overlay {signs}", event.differ)
            chart.show_overlay(
                name, [(run.sign, curves) for run, curves in zip(self.marked, event.curves, strict=True)]
            )
        elif self.row is not None:
            chart.show_run(event.curves[0])

    def _show_facts(self) -> None:
        width = self.query_one("#detail-facts").size.width or 30
        if self.marked:
            text = self._legend(width)
        else:
            self.entitle(self.row.run.name if self.row else "")
            text = Text("") if self.row is None else facts_of(self.row, width)
        self.query_one("#detail-facts", Static).update(text, layout=False)

    def _legend(self, width: int) -> Text:
        return legend(self.query_one(RunsChart), self.marked, width)

    def on_resize(self) -> None:
        self._show_facts()


def legend(chart: RunsChart, runs: Sequence[Marked], width: int) -> Text:
    """Return the names of runs behind their signs, in the colours of their curves."""
    lines = [
        Text.assemble((SIGNS[run.sign], chart.colour(run.sign)), " ", shorten(clean_text(run.row.run.name), width - 2))
        for run in runs
    ]
    return Text("\n", no_wrap=True).join(lines)


def facts_of(row: Row, width: int) -> Text:
    """Return what a run has to say of itself."""
    if row.overview is None:
        return Text("\n".join(wrapped(f"damaged: {trouble(row)}", width, 7)))
    status, reason, room = row.overview.status, trouble(row), width - LABEL
    lines = [("state", part) for part in wrapped(f"{row.state}: {reason}" if reason else row.state, room, 2)]
    lines.append(("done", f"epoch {progress(row)}, step {status.step:,}"))
    if status.best:
        lines.append(("best", f"epoch {status.best.epoch:,}  {_first(row.results, row.main_results())}"))
    if status.test:
        lines.append(("test", _first(status.test, [name for name in status.test if name != "loss"])))
    lines.append(("net", f"{status.parameters:,} parameters"))
    if row.notes.tags:
        lines.append(("tags", " ".join(row.notes.tags)))
    lines += [("note", part) for part in wrapped(row.notes.note, room, 3)]
    text, before = Text(no_wrap=True), ""
    for label, value in lines:
        text.append(f"{label if label != before else '':<{LABEL}}", "dim")
        text.append(cut(clean_text(value, 400), room) + "\n")
        before = label
    return text


def _first(results: Mapping[str, float | None], names: Sequence[str]) -> str:
    """Return the first of these results, or any."""
    name = next(iter([*names, *results]), "")
    return f"{name} {number(results.get(name))}"
