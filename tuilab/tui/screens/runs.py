"""The Runs screen: every run of the folder, live, to find, compare, go on with, fork and delete."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, Static

from tuilab.runs.table import Row
from tuilab.tui.forms.fields import Choice
from tuilab.tui.forms.pick import PickScreen
from tuilab.tui.listing import Cell
from tuilab.tui.run_curves import MOST_RUNS, SIGNS, Marked
from tuilab.tui.run_list import Found, RunList, View, filter_problem
from tuilab.tui.screens.runs_actions import RunActions
from tuilab.tui.screens.runs_chart import tone_of
from tuilab.tui.screens.runs_compare import CompareScreen
from tuilab.tui.screens.runs_detail import RunDetail
from tuilab.tui.widgets.panel import Panel
from tuilab.tui.widgets.table import Table

SECONDS_BETWEEN_LOOKS, MOST_SECONDS_BETWEEN_LOOKS = 1.0, 10.0
SHARE = 0.05
"""Of the time that looking may take: many runs are looked at less often."""
NO_RUNS = "There are no runs yet.\n\nPress 1 for the experiment, and t there to train it."
HELP = """\
The runs of the folder, the newest first.
A word after / is looked for in the names; a condition compares a setting, a result or a fact:
learning_rate < 0.01, state = finished, tag = baseline, age < 2 h. Several have commas between them.
Mark up to eight runs with space to lay their curves over each other; c shows them large, with what differs."""


class RunsScreen(RunActions):
    """The list, and below it the run under the cursor, or those that are marked."""

    CSS_PATH = "runs.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (19, "-normal"), (34, "-high"), (50, "-highest")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", id="runs.mark"),
        Binding("enter", "open", "open", id="runs.open"),
        Binding("c", "compare", "compare", id="runs.compare"),
        Binding("f", "fork", "fork", id="runs.fork"),
        Binding("r", "resume", "resume", id="runs.resume"),
        Binding("x", "stop", "stop", id="runs.stop"),
        Binding("slash", "filter", "filter", key_display="/", id="runs.filter"),
        Binding("o", "sort", "sort", id="runs.sort"),
        Binding("O", "reverse", "reverse order", show=False, id="runs.reverse"),
        Binding("C", "columns", "columns", id="runs.columns"),
        Binding("number_sign", "tags", "tag", key_display="#", id="runs.tags"),
        Binding("N", "note", "note", id="runs.note"),
        Binding("D", "delete", "delete", id="runs.delete"),
        Binding("escape", "clear", "clear filter and marks", show=False, id="runs.clear"),
    ]
    help_text = HELP

    @dataclass
    class Looked(Message):
        """The runs were looked at."""

        found: Found
        seconds: float

    def __init__(self) -> None:
        super().__init__()
        self.view = View()
        self.found: Found | None = None
        self.marks: dict[str, int] = {}
        """Which sign a run has, by its name."""
        self._looking = False
        self._look_again = False
        self._in_front = False
        self._next_look: Timer | None = None
        self._shown_keys: dict[str, bool] = {}
        """Which actions have something to act on."""

    def compose_body(self) -> ComposeResult:
        with Panel(id="runs"):
            yield Static("Reading the runs…", id="runs-empty", classes="quiet", markup=False)
            yield Table(id="runs-table")
            yield Input(
                id="runs-filter", placeholder="a name, or: learning_rate < 0.01, state = finished", compact=True
            )
        yield RunDetail(id="run-detail")

    def on_mount(self) -> None:
        self.list = RunList(self.session.runs)
        self.table.display = False
        self._filter.display = False
        self.query_one("#runs", Panel).entitle("Runs")

    @property
    def table(self) -> Table:
        return self.query_one("#runs-table", Table)

    @property
    def _filter(self) -> Input:
        return self.query_one("#runs-filter", Input)

    @property
    def row(self) -> Row | None:
        """The run under the cursor."""
        return self.found.rows.get(self.table.key or "") if self.found else None

    # Looking at the runs, in a thread

    def on_screen_resume(self) -> None:
        self._in_front = True
        self.look()

    def on_screen_suspend(self) -> None:
        self._in_front = False
        if self._next_look is not None:
            self._next_look.stop()

    def look(self) -> None:
        """Look at the runs, now or as soon as the look that lasts is over."""
        self._look_again = self._looking
        if self._looking:
            return
        if self._next_look is not None:
            self._next_look.stop()
        self._looking = True
        self._look(self.view)

    @work(thread=True, group="look")
    def _look(self, view: View) -> None:
        started = time.perf_counter()
        found = self.list.look(view)
        self.post_message(self.Looked(found, time.perf_counter() - started))
        if self.found is None:
            self.list.keys()  # reads the settings, so that nobody has to wait for them

    def on_runs_screen_looked(self, event: Looked) -> None:
        self._looking = False
        found = self.found = event.found
        self.marks = {name: sign for name, sign in self.marks.items() if _can_be_read(found.every.get(name))}
        self._show(found)
        if self._look_again:
            self.look()
        elif self._in_front:
            pause = min(max(SECONDS_BETWEEN_LOOKS, event.seconds / SHARE), MOST_SECONDS_BETWEEN_LOOKS)
            self._next_look = self.set_timer(pause, self.look)

    def _show(self, found: Found) -> None:
        empty = self.query_one("#runs-empty", Static)
        self.table.display, empty.display = bool(found.rows), not found.rows
        if not found.rows:
            empty.update(Text(found.problem or ("No run fits." if len(found.every) else NO_RUNS)))
        elif self.focused is None:
            self.table.focus()
        self.table.show(found.listing)
        self._show_marks()
        self._show_titles(found)

    def _show_titles(self, found: Found) -> None:
        view, total = found.view, len(found.every)
        filtered = f"filter: {view.filter}" if view.filter else ""
        sorted_ = "" if (view.sort, view.reverse) == ("age", False) else f"by {view.sort}{' reversed' * view.reverse}"
        count = f"{len(found.rows):,} of {total:,}" if len(found.rows) != total else ""
        title = "  ".join(part for part in ("Runs", filtered, sorted_) if part)
        self.query_one("#runs", Panel).entitle(title, filter_problem(self._filter.value) or found.problem or count)
        running = sum(row.state == "running" for row in found.every.values())
        self.show_subject("1 run" if total == 1 else f"{total:,} runs", f"{running} running" if running else "")

    def on_table_moved(self) -> None:
        self._show_keys()
        self._show_detail()

    def _show_detail(self) -> None:
        if self.found is not None:
            self.query_one(RunDetail).show(self.row, self._marked(self.found))

    def _marked(self, found: Found) -> list[Marked]:
        return [Marked(sign, found.every[name]) for name, sign in self.marks.items()]

    def _show_marks(self) -> None:
        self._show_keys()
        self.table.show_signs({name: Cell(SIGNS[sign], tone_of(sign)) for name, sign in self.marks.items()})
        self._show_detail()

    # What the keys do

    def _allowed(self) -> dict[str, bool]:
        """Return which actions have something to act on."""
        row = self.row
        there, alive = row is not None, row is not None and row.overview is not None and row.overview.alive
        return {
            "open": there,
            "mark": _can_be_read(row),
            "compare": len(self.marks) > 1,
            "fork": there,
            "resume": row is not None and (not alive or row.state == "paused"),
            "stop": alive,
            "tags": there,
            "note": there,
            "delete": row is not None and (not alive or row.state == "unknown"),
        }

    def _show_keys(self) -> None:
        """Show in the footer which keys do something now."""
        allowed = self._allowed()
        if allowed != self._shown_keys:
            self._shown_keys = allowed
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return None if self._shown_keys.get(action) is False else True

    def in_vain(self) -> set[str]:
        return set() if self.view.filter or self.marks else {"clear"}

    def action_mark(self) -> None:
        row = self.row
        if row is None:
            return
        if row.run.name in self.marks:
            del self.marks[row.run.name]
        elif len(self.marks) == MOST_RUNS:
            self.lab.say(f"{MOST_RUNS} runs can be laid over each other; take the mark off one first", "warning")
            return
        else:
            self.marks[row.run.name] = min(set(range(MOST_RUNS)) - set(self.marks.values()))
        self.table.action_move(1)
        self._show_marks()

    def action_clear(self) -> None:
        """Leave the filter, or take it away, or else the marks."""
        if self.view.filter or self._filter.has_focus:
            self._filter.value = ""
            self._leave_filter()
        else:
            self.marks.clear()
            self._show_marks()

    def on_table_clicked(self) -> None:
        self.action_open()

    def action_compare(self) -> None:
        if self.found is not None and len(self.marks) > 1:
            self.app.push_screen(CompareScreen(self._marked(self.found)))

    def action_filter(self) -> None:
        self._filter.display = True
        self.set_focus(self._filter)

    def on_input_changed(self, event: Input.Changed) -> None:
        problem = filter_problem(event.value)
        event.input.set_class(bool(problem), "problem")
        if not problem:
            self._see(replace(self.view, filter=event.value.strip()))
        elif self.found is not None:
            self._show_titles(self.found)

    def on_input_submitted(self) -> None:
        self._leave_filter()

    def _leave_filter(self) -> None:
        if filter_problem(self._filter.value):
            self._filter.value = self.view.filter
        self._filter.display = False
        self.table.focus()

    def _see(self, view: View) -> None:
        if view != self.view:
            self.view = view
            self.look()

    def action_reverse(self) -> None:
        self._see(replace(self.view, reverse=not self.view.reverse))

    @work
    async def action_sort(self) -> None:
        picked = PickScreen("Sort by", await self._choices(), self.view.sort)
        key = await self.app.push_screen_wait(picked)
        if key is not None:
            again = key == self.view.sort
            self._see(replace(self.view, sort=key, reverse=again and not self.view.reverse))

    @work
    async def action_columns(self) -> None:
        """Let columns be chosen, one after the other, until there is enough."""
        key: str | None = ""
        while key is not None:
            picked = PickScreen("Columns: enter puts one in or out", await self._choices(self.view.columns), key)
            key = await self.app.push_screen_wait(picked)
            if key is not None:
                out = tuple(name for name in self.view.columns if name != key)
                columns = out if key in self.view.columns else (*self.view.columns, key)
                self._see(replace(self.view, columns=columns))

    async def _choices(self, chosen: tuple[str, ...] = ()) -> list[Choice]:
        """Return all that runs can be sorted by; those in `chosen` come first and have a sign."""
        keys = await self.run_worker(self.list.keys, thread=True).wait()
        return [
            Choice(key, f"{kind}{'  ✓' * (key in chosen)}")
            for key, kind in sorted(keys.items(), key=lambda item: item[0] not in chosen)
        ]


def _can_be_read(row: Row | None) -> bool:
    return row is not None and row.overview is not None
