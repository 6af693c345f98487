"""`?`: what the focused thing is, and the keys that work here."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from tuilab.tui.dialog import Dialog
from tuilab.tui.forms.prose import flowing

NOTHING = "Move the focus with tab; ? explains what has it."


class HelpScreen(Dialog[None]):
    """Explains the widget that has the focus, and lists the keys of the screen below, as the settings name them."""

    BINDINGS = [
        Binding("escape,question_mark,q,enter", "dismiss", "close", id="help.close"),
        Binding("down,j", "scroll(1)", show=False, id="help.down"),
        Binding("up,k", "scroll(-1)", show=False, id="help.up"),
    ]
    DEFAULT_CSS = """
    HelpScreen VerticalScroll { width: 76; max-width: 95%; height: auto; max-height: 90%; border: round $accent;
        background: $surface; padding: 1 2; scrollbar-size-vertical: 1; }
    HelpScreen .keys { margin-top: 1; }
    """

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self.below = below

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Text(help_of(self.below)), markup=False)
            yield Static(self._keys(), classes="keys", markup=False)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def _keys(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for active in self.below.active_bindings.values():
            binding = active.binding
            if binding.description:
                key = self.app.get_key_display(binding)
                table.add_row(Text(key, "bold"), Text(binding.description), Text(binding.id or "", "dim"))
        return table


def help_of(screen: Screen[object]) -> str:
    """Return what the focused widget, or the nearest one around it, has to say of itself."""
    focused = screen.focused or screen
    for node in focused.ancestors_with_self:
        text = getattr(node, "help_text", "")
        if isinstance(text, str) and text:
            return flowing(text)
    return NOTHING
