"""The Train screen: watch a run learn, and steer it while it does."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from queue import Empty
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Static

from tuilab.errors import TuilabError
from tuilab.runs.commands import Command
from tuilab.runs.directory import RunDirectory
from tuilab.runs.launch import Launched
from tuilab.text import clean_text
from tuilab.tui.run_follower import Follower
from tuilab.tui.run_view import Snapshot
from tuilab.tui.run_words import epochs_problem, happenings, notice, progress, rate_problem, window
from tuilab.tui.screens.frame import LabScreen
from tuilab.tui.screens.runs_dialogs import AskScreen, ConfirmScreen
from tuilab.tui.screens.train_charts import ChartPanel, CursorChart, HeatPanel, trends
from tuilab.tui.screens.train_layer import LayerScreen
from tuilab.tui.screens.train_panels import EventLines, LayerTable, Notice, ProgressLine
from tuilab.tui.session import SECONDS_BETWEEN_FRAMES
from tuilab.tui.widgets.panel import Panel

NOTHING = """\
Nothing to watch yet.

1 shows the experiment, and t there trains it;
3 shows the runs there are, and enter there opens one."""
PANELS = ("watch-loss", "watch-result", "watch-layers", "watch-heat", "watch-events")
CHARTS, BELOW = "watch-charts", "watch-below"
PLACES = {"watch-loss": CHARTS, "watch-result": CHARTS, "watch-heat": BELOW, "watch-events": BELOW}
"""Of the panels that share a place where there is little room."""
ZOOMS = 3
LEAST_BELOW, MOST_BELOW = 7, 12
"""Lines of the heat map and of the events, where they do not share their place with the charts."""
ROOMY = Size(104, 34)
"""A terminal that has room for all panels at once."""
TINY = 8
"""Lines of a terminal that has room for nothing but a panel and the progress."""
PICTURES_SHARE, LONGEST_REST = 0.05, 1.0
"""Of the time, for pictures of a run; and seconds between two of them, however slow the machine is. In the rest of the
time a key is answered at once."""
GOOD_ENDS = (0, 3, 4)
"""Exit codes of a worker that has said in its database how it ended."""
LOOKING = {"log", "smooth", "zoom", "result", "events", "panel", "restart"}
"""What can be done only where there is a run to look at."""
HELP = """\
A run that is being trained, or was. Charts show what was measured at every step on the training part, and on the
validation part after every epoch. The run goes on without this screen, and without the lab."""


class TrainScreen(LabScreen):
    """Shows the run of the session. A thread of its own reads the run and sends commands; this only draws."""

    CSS_PATH = "train.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (ROOMY.width, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (14, "-low"), (ROOMY.height, "-high")]
    AUTO_FOCUS = "#watch-loss LineChart"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "send('pause')", "pause", id="train.pause"),
        Binding("space", "go_on", "go on", id="train.go_on"),
        Binding("full_stop", "send('step')", "step", key_display=".", id="train.step"),
        Binding("left_square_bracket", "rate(0.5)", "rate ÷2", key_display="[", id="train.slower"),
        Binding("right_square_bracket", "rate(2.0)", "rate ×2", key_display="]", id="train.faster"),
        Binding("x", "send('stop')", "stop", id="train.stop"),
        Binding("plus", "more_epochs", "more epochs", key_display="+", id="train.more_epochs"),
        Binding("l", "log", "log", id="train.log"),
        Binding("s", "smooth", "smooth", id="train.smooth"),
        Binding("z", "zoom", "zoom", id="train.zoom"),
        Binding("m", "result", "metric", id="train.result"),
        Binding("e", "events", "events", id="train.events"),
        Binding("c", "send('checkpoint')", "checkpoint", id="train.checkpoint"),
        Binding("L", "ask_rate", "type a rate", id="train.rate"),
        Binding("plus", "ask_epochs", "epochs", key_display="+", id="train.epochs"),
        Binding("X", "send('stop_after_epoch')", "stop after epoch", id="train.stop_after_epoch"),
        Binding("K", "kill", "kill", id="train.kill"),
        Binding("R", "restart", "restart as edited", id="train.restart"),
        Binding("escape", "back", "back", show=False, id="train.back"),
        Binding("tab", "panel(1)", "panel", id="train.panel"),
        Binding("shift+tab", "panel(-1)", "panel before", show=False, id="train.panel_before"),
    ]
    help_text = HELP

    def __init__(self) -> None:
        super().__init__()
        self.follower: Follower | None = None
        self.shown: Snapshot | None = None
        self.zoom = 0
        self.last_steps: int | None = None
        """That the charts show; None for the whole run."""
        self._roomy = False
        self._state = ""
        self._lines = 0
        """Of the table of layers."""
        self._rate: float | None = None
        """That the worker was asked for last, and has not told yet."""
        self._launched: Launched | None = None
        """The worker with which this screen has let a run go on, until it has ended."""
        self._launching = False
        self._rested = 0.0
        """When, by the monotonic clock, the next picture of the same run is due."""

    def compose_body(self) -> ComposeResult:
        yield Static(NOTHING, id="watch-nothing", classes="quiet", markup=False)
        with Vertical(id="watch"):
            with Vertical(id="watch-panels"):
                with Horizontal(id=CHARTS):
                    yield ChartPanel(id="watch-loss")
                    yield ChartPanel(id="watch-result")
                with Panel(id="watch-layers"):
                    yield LayerTable(id="watch-layer-table")
                with Horizontal(id=BELOW):
                    yield HeatPanel(id="watch-heat")
                    with Panel(id="watch-events"):
                        yield EventLines()
            yield Notice()
            yield ProgressLine()

    def on_mount(self) -> None:
        self.query_one("#watch-events", Panel).entitle("events")
        self.query_one("#watch").display = False
        self._bring_forward("watch-result")
        self._bring_forward("watch-heat")
        self._bring_forward("watch-loss")
        self.set_interval(SECONDS_BETWEEN_FRAMES, self._look)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < TINY, "-tiny")
        self.call_after_refresh(self._entitle_layers)
        self._roomy = event.size.width >= ROOMY.width and event.size.height >= ROOMY.height
        self._bring_forward(self.front)

    def on_screen_resume(self) -> None:
        self._look()

    def on_unmount(self) -> None:
        self._follow(None)

    # What is shown

    def _look(self) -> None:
        """Show what the follower has found since the last time."""
        in_front = self in self.app.screen_stack
        if self.follower is not None:
            self.follower.on_screen = in_front
        if not in_front:
            return
        run = self.session.run
        if run != (self.follower and self.follower.run_directory):
            self._follow(run)
        if self.follower is None:
            return
        self._hear(self.follower)
        self._look_after_worker(self.follower)
        if self.follower.snapshot is not self.shown and self._due():
            self._rested = math.inf
            began = time.thread_time()
            self._show(self.follower.snapshot)
            self.call_after_refresh(self._rest, began)

    def _due(self) -> bool:
        """Whether it is time for another picture: of a run that is not all there yet, always; else keys go first."""
        if self.shown is None or not len(self.shown.layers.step):
            return True
        late = time.monotonic() - self._rested
        return late >= LONGEST_REST or (late >= 0 and not self.lab.typing)

    def _rest(self, began: float) -> None:
        """Put the next picture off, by the time that the processor has spent on this one."""
        self._rested = time.monotonic() + min((time.thread_time() - began) / PICTURES_SHARE, LONGEST_REST)

    def _follow(self, run: RunDirectory | None) -> None:
        """Follow another run, or none."""
        if self.follower is not None:
            self.follower.close()
        self.follower, self.shown, self._rate, self._launched = None, None, None, None
        self.zoom, self.last_steps, self._rested = 0, None, 0.0
        if run is None:
            return
        self.follower = Follower(run, SECONDS_BETWEEN_FRAMES, self._look_soon)
        self.follower.start()
        self.query_one("#watch-nothing").display = False
        self.query_one("#watch").display = True
        for chart in self.query(ChartPanel):
            chart.forget()

    def _look_soon(self) -> None:
        """Have the screen look, from another thread."""
        with suppress(RuntimeError):  # the lab has been left meanwhile
            self.call_later(self._look)

    def _hear(self, follower: Follower) -> None:
        while True:
            try:
                reply = follower.replies.get_nowait()
            except Empty:
                return
            self._rate = None
            self.lab.say(reply.text, "warning" if reply.refused else "information")

    def _look_after_worker(self, follower: Follower) -> None:
        """Tell why a worker that was to go on with the run could not; that stands in its log alone."""
        launched = self._launched
        if launched is None or launched.process.poll() is None:
            return
        self._launched = None
        if launched.process.returncode not in GOOD_ENDS:
            follower.complain(launched)

    def _show(self, snapshot: Snapshot) -> None:
        before, self.shown = self.shown, snapshot
        seen = snapshot.seen
        state: str = seen.state if seen else ""
        if snapshot.trouble:
            state = "unreadable"
        elif seen is not None and seen.alive and not snapshot.steerable:
            state = "starting"
        self.show_subject(snapshot.run.name, state)
        if state != self._state:
            self._state = state
            self.refresh_bindings()
        if seen is not None and self._rate is not None and seen.status.learning_rate is not None:
            reached = math.isclose(seen.status.learning_rate, self._rate, rel_tol=1e-5)
            self._rate = None if reached else self._rate
        self._entitle_layers()
        self.query_one(Notice).show(*notice(snapshot))
        self.query_one(ProgressLine).show(progress(snapshot))
        if before is None or before.curves is not snapshot.curves or before.epochs is not snapshot.epochs:
            for chart in self.query(ChartPanel):
                chart.show(snapshot, self.last_steps)
        if before is None or before.layers is not snapshot.layers:
            self._show_layers()
        if before is None or before.messages is not snapshot.messages or before.epochs is not snapshot.epochs:
            self.query_one(EventLines).show(happenings(snapshot.messages, snapshot.epochs.rows))
        if isinstance(self.app.screen, LayerScreen):
            self.app.screen.show(snapshot)

    def _entitle_layers(self) -> None:
        """Where there is no room for the events, show the newest one at the border."""
        messages = self.shown.messages if self.shown is not None else ()
        newest = messages[-1].text if messages and not self.has_class("-high") else ""
        self.query_one("#watch-layers", Panel).entitle("gradient norm by layer", newest)

    def _show_layers(self) -> None:
        snapshot = self.shown
        if snapshot is None:
            return
        table = self.query_one(LayerTable)
        lines = len(snapshot.layers.names)
        table.show_layers(snapshot.layers, lambda width: trends(snapshot, self.last_steps, width))
        if lines != self._lines:
            self._lines = lines
            self.query_one("#watch-layers").styles.height = max(lines, 1) + 3
            self.query_one(f"#{BELOW}").styles.height = min(max(lines, LEAST_BELOW), MOST_BELOW) + 2
        self.query_one(HeatPanel).show(snapshot, self.last_steps)

    # How it is shown

    @property
    def front(self) -> str:
        """The panel with the focus."""
        focused = self.focused
        ancestors = focused.ancestors_with_self if focused is not None else ()
        return next((node.id for node in ancestors if node.id in PANELS), PANELS[0])

    def action_panel(self, by: int) -> None:
        """Go to the next panel, which takes the place of another one where there is little room."""
        self._go_to(PANELS[(PANELS.index(self.front) + by) % len(PANELS)])

    def _go_to(self, panel: str) -> None:
        self._bring_forward(panel)
        self.set_focus(next(widget for widget in self.query(f"#{panel} *").results(Widget) if widget.can_focus))

    def _bring_forward(self, panel: str) -> None:
        if self._roomy:  # nothing takes the place of anything, and nothing needs to be laid out anew
            return
        self.set_class(panel == "watch-layers", "-layers-first")
        place = PLACES.get(panel)
        if place is None:
            return
        for other, where in PLACES.items():
            if where == place:
                self.query_one(f"#{other}").set_class(other == panel, "front")
        for where in (CHARTS, BELOW):
            self.query_one(f"#{where}").set_class(where == place, "front")

    def action_log(self) -> None:
        self._chart.toggle_log()

    def action_smooth(self) -> None:
        for chart in self.query(ChartPanel):
            chart.next_smoothing()

    def action_result(self) -> None:
        """Show another result, or what else is told step by step."""
        self.query_one("#watch-result", ChartPanel).next_result()
        if PLACES.get(self.front) == CHARTS:
            self._go_to("watch-result")

    def action_zoom(self) -> None:
        """Show about the last fifth of the run, then the last 25th, then all of it again."""
        if self.shown is None or self.shown.seen is None:
            return
        self.zoom = (self.zoom + 1) % ZOOMS
        self.last_steps = window(self.shown.seen.status.step, self.zoom)
        if self.last_steps is None:
            self.zoom = 0
        for chart in self.query(ChartPanel):
            chart.show(self.shown, self.last_steps)
        self._show_layers()

    def action_events(self) -> None:
        """Show the events large, or as before."""
        self.toggle_class("-events-only")
        self._go_to("watch-events")

    def action_back(self) -> None:
        self.action_events()

    @property
    def _chart(self) -> ChartPanel:
        name = self.front if PLACES.get(self.front) == CHARTS else "watch-loss"
        return self.query_one(f"#{name}", ChartPanel)

    def on_layer_table_opened(self, event: LayerTable.Opened) -> None:
        if self.shown is not None:
            self.app.push_screen(LayerScreen(self.shown, event.layer))

    def on_cursor_chart_read(self, event: CursorChart.Read) -> None:
        for chart in self.query(ChartPanel):
            chart.read(event.cursor)

    # Steering

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        seen = self.shown.seen if self.shown else None
        if self.follower is None and action in LOOKING:
            return False
        if action in ("send", "rate", "ask_rate", "ask_epochs"):
            paused = seen is not None and seen.state == "paused"
            steerable = self.shown is not None and self.shown.steerable
            return steerable and not (paused and parameters == ("pause",))
        if action == "kill":
            return seen is not None and seen.alive
        if action == "go_on":
            return seen is not None and seen.state not in ("running", "unknown", "finished")
        if action == "more_epochs":
            return seen is not None and not seen.alive
        if action == "back":
            return self.has_class("-events-only")
        return True

    def action_send(self, action: str) -> None:
        self._send(Command.model_validate({"action": action}))

    def _send(self, command: Command) -> None:
        if self.follower is not None:
            self.follower.send(command)

    def action_go_on(self) -> None:
        """Let a paused run go on, or start the worker of one that nobody trains."""
        seen = self.shown.seen if self.shown else None
        if seen is None:
            return
        if seen.alive:
            self._send(Command(action="resume"))
        else:
            self._start_worker(seen.run)

    @work(group="worker")
    async def _start_worker(self, run: RunDirectory, *overrides: str) -> None:
        if self._launching or self._launched is not None:  # it takes a moment until the run says that it goes on
            return
        self._launching = True
        try:
            self._launched = await asyncio.to_thread(self.session.go_on, run, *overrides)
            self.lab.say(f"{run.name} goes on")
        except TuilabError as error:
            self.lab.say(str(error), "error")
        finally:
            self._launching = False

    def action_rate(self, factor: float) -> None:
        """Multiply the learning rate."""
        seen = self.shown.seen if self.shown else None
        rate = self._rate or (seen.status.learning_rate if seen else None)
        if rate:
            self._set_rate(rate * factor)

    def _set_rate(self, rate: float) -> None:
        self._rate = rate
        self._send(Command(action="set", key="learning_rate", value=f"{rate:.6g}"))

    @work(group="question")
    async def action_ask_rate(self) -> None:
        seen = self.shown.seen if self.shown else None
        rate = seen.status.learning_rate if seen else None
        title, note = "Learning rate", "from the next step on"
        answer = await self.app.push_screen_wait(AskScreen(title, f"{rate or 0.001:.6g}", note, rate_problem))
        if answer is not None:
            self._set_rate(float(answer))

    def action_more_epochs(self) -> None:
        self.action_ask_epochs()

    @work(group="question")
    async def action_ask_epochs(self) -> None:
        seen = self.shown.seen if self.shown else None
        if seen is None:
            return
        epochs = seen.status.epochs
        note = f"{epochs} are planned, {seen.status.epoch} are done"
        more = str(epochs + max(epochs // 2, 1))
        answer = await self.app.push_screen_wait(AskScreen("Epochs in all", more, note, epochs_problem))
        if answer is None:
            return
        seen = self.shown.seen if self.shown and self.shown.seen else seen
        if seen.alive:
            self._send(Command(action="set", key="epochs", value=answer.strip()))
        else:
            self._start_worker(seen.run, f"training.epochs={answer.strip()}")

    @work(group="question")
    async def action_kill(self) -> None:
        follower = self.follower
        if follower is None:
            return
        question = f"Kill {clean_text(follower.run_directory.name, 60)}? What it did since its last checkpoint is lost."
        if await self.app.push_screen_wait(ConfirmScreen(question, "Let it run", "Kill it")):
            follower.send(Command(action="kill"))

    def action_restart(self) -> None:
        """Train the experiment of the Build screen as a new run; the one that is being watched stops."""
        seen, follower, before = self.shown.seen if self.shown else None, self.follower, self.session.run
        self.lab.start_training()
        if self.session.run != before and follower is not None and seen is not None and seen.alive:
            follower.send(Command(action="stop"))
            self.lab.say(f"{before.name if before else ''} stops, with a checkpoint")
