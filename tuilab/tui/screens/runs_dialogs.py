"""Small questions: a line of text, yes or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from tuilab.text import clean_text
from tuilab.tui.dialog import Dialog

Check = Callable[[str], str]
"""Returns what is wrong with a text, or nothing."""


class AskScreen(Dialog[str | None]):
    """Asks for a line of text; ends with it, or with None where the user does not want to."""

    DEFAULT_CSS = """
    AskScreen .dialog { width: 64; }
    AskScreen Input { background: $panel; margin-bottom: 1; }
    AskScreen .problem { color: $text-error; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "cancel", id="ask.cancel")]

    def __init__(self, title: str, value: str = "", note: str = "", check: Check = lambda text: "") -> None:
        super().__init__()
        self.asked, self.value, self.note, self.check = title, value, note, check
        self.help_text = note

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(Text(clean_text(self.asked)), classes="dialog-title")
            yield Input(self.value, compact=True)
            yield Static(Text(clean_text(self.note)), classes="quiet", id="ask-note")

    def on_input_changed(self, event: Input.Changed) -> None:
        note = self.query_one("#ask-note", Static)
        problem = self.check(event.value)
        note.update(Text(clean_text(problem or self.note)))
        note.set_class(bool(problem), "problem")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if not self.check(event.value):
            self.dismiss(event.value)


class ConfirmScreen(Dialog[bool]):
    """Asks whether something shall be done that cannot be undone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", "no", id="confirm.no"),
        Binding("y", "answer(True)", "yes", id="confirm.yes"),
    ]

    def __init__(self, question: str, no: str, yes: str) -> None:
        super().__init__()
        self.question, self.no, self.yes = question, no, yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(Text(clean_text(self.question)), classes="dialog-title")
            yield OptionList(Option(self.no, id="no"), Option(self.yes, id="yes"), markup=False, compact=True)

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id == "yes")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)
