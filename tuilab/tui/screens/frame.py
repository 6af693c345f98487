"""What every screen of the lab has: the bar at the top, the footer, the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widget import Widget

from tuilab.text import clean_text
from tuilab.tui.painting import PaintedOnce
from tuilab.tui.widgets.key_bar import KeyBar
from tuilab.tui.widgets.steady import colours_of

if TYPE_CHECKING:
    from tuilab.tui.app import Lab
    from tuilab.tui.session import Session

TITLES = {"build": "1 Build", "train": "2 Train", "runs": "3 Runs", "data": "4 Data"}


class LabScreen(PaintedOnce[None]):
    """A screen of the lab, one for each mode; a subclass gives its body in `compose_body`."""

    BINDINGS = [
        Binding("1", "app.switch_mode('build')", "go to Build", show=False, id="mode.build"),
        Binding("2", "app.switch_mode('train')", "go to Train", show=False, id="mode.train"),
        Binding("3", "app.switch_mode('runs')", "go to Runs", show=False, id="mode.runs"),
        Binding("4", "app.switch_mode('data')", "go to Data", show=False, id="mode.data"),
    ]

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """As Textual has it, but the two panels are drawn anew and not the whole screen."""

    _styled_by: object = None

    def __init__(self) -> None:
        super().__init__()
        self._css_update_count = self.app._css_update_count  # the rules are read already, also those for this screen

    @property
    def lab(self) -> Lab:
        return cast("Lab", self.app)

    @property
    def session(self) -> Session:
        return self.lab.session

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield from self.compose_body()
        yield KeyBar()

    def compose_body(self) -> ComposeResult:
        raise NotImplementedError  # abstract

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Have styles looked up again only where the colours have changed: it takes longer than drawing the screen.

        Textual calls this before its own handler of that name.
        """
        colours = colours_of(self.app)
        event.refresh_styles = self._styled_by not in (None, colours)
        self._styled_by = colours

    def in_vain(self) -> set[str]:
        """Return the actions whose keys would only say why they do nothing now; the command palette leaves them out."""
        return set()

    def show_subject(self, subject: str, state: str = "") -> None:
        """Say at the right of the top bar what this screen shows: an experiment, a run; and its state."""
        self.query_one(TopBar).show(subject, state)


class TopBar(Widget):
    """One line: the name of the lab, the four modes, and at the right what the screen shows."""

    COMPONENT_CLASSES = {"top-bar--name", "top-bar--mode", "top-bar--current", "top-bar--subject", "top-bar--state"}
    DEFAULT_CSS = """
    TopBar { height: 1; dock: top; background: $panel; }
    TopBar .top-bar--name { text-style: bold; color: $accent; }
    TopBar .top-bar--mode { color: $text-muted; }
    TopBar .top-bar--current { text-style: bold reverse; }
    TopBar .top-bar--subject { color: $foreground; }
    TopBar .top-bar--state { text-style: bold; }
    """

    def __init__(self, mode: str = "") -> None:
        super().__init__()
        self.mode = mode
        """The mode that is marked; where it is empty, that of the app."""
        self.subject, self.state = "", ""

    def show(self, subject: str, state: str = "") -> None:
        subject, state = clean_text(subject, 80), clean_text(state, 40)
        if (subject, state) != (self.subject, self.state):
            self.subject, self.state = subject, state
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width

        def style(part: str) -> Style:
            return self.get_component_rich_style(f"top-bar--{part}")

        left = [Segment(" tuilab ", style("name"))]
        for mode, title in TITLES.items():
            current = mode == (self.mode or self.app.current_mode)
            left.append(Segment(" ", style("mode")))
            left.append(Segment(f" {title} ", style("current" if current else "mode")))
        used = sum(segment.cell_length for segment in left)
        state = f"  {self.state}" if self.state else ""
        room = width - used - cell_len(state) - 2
        if room < 4:
            return Strip(left).adjust_cell_length(width, style("mode"))
        subject = clean_text(self.subject, room) if cell_len(self.subject) > room else self.subject
        gap = width - used - cell_len(subject) - cell_len(state) - 1
        right = [
            Segment(" " * max(gap, 0), style("mode")),
            Segment(subject, style("subject")),
            Segment(state, style("state")),
        ]
        return Strip([*left, *right]).adjust_cell_length(width, style("mode"))

    def on_click(self, event: object) -> None:
        x = int(getattr(event, "x", -1))
        at = 8
        for mode, title in TITLES.items():
            if at < x <= at + len(title) + 2:
                self.app.switch_mode(mode)
                return
            at += len(title) + 3
