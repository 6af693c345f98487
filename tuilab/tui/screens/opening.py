"""The first picture: the frame, before there is anything in it."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Static

from tuilab.tui.screens.frame import TopBar


class OpeningScreen(Screen[None]):
    """Stands for the fraction of a second in which the rest of the lab is loaded, and keeps what is typed meanwhile."""

    DEFAULT_CSS = """
    OpeningScreen .foot { height: 1; dock: bottom; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.typed: list[events.Key] = []

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.typed.append(event)

    def compose(self) -> ComposeResult:
        yield TopBar("build")
        yield Static(classes="foot")
