"""What the Build screen asks: one of a few answers, a number, a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Label

from tuilab.text import clean_text
from tuilab.tui.dialog import Dialog
from tuilab.tui.forms.fields import Choice
from tuilab.tui.forms.lines import Lines
from tuilab.tui.forms.pick import ChoiceLines

MOST_FILES = 500
FILES_SHOWN = 14


class AskScreen(Dialog[str | None]):
    """A question with a few answers; escape gives none of them."""

    BINDINGS = [
        Binding("escape", "leave", "cancel", id="ask.cancel"),
        Binding("down", "move(1)", "down", show=False, id="ask.down"),
        Binding("up", "move(-1)", "up", show=False, id="ask.up"),
        Binding("enter", "choose", "choose", id="ask.choose"),
    ]

    def __init__(self, question: str, answers: Mapping[str, str]) -> None:
        super().__init__()
        self.question = question
        self.answers = dict(answers)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(clean_text(self.question, 400), classes="dialog-title", markup=False)
            lines = ChoiceLines([Choice(text) for text in self.answers.values()])
            lines.styles.height = len(self.answers)
            yield lines

    def action_move(self, by: int) -> None:
        self.query_one(ChoiceLines).action_move(by)

    def action_choose(self) -> None:
        self.dismiss(list(self.answers)[self.query_one(ChoiceLines).cursor])

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        event.stop()
        self.action_choose()

    def action_leave(self) -> None:
        self.dismiss(None)


class TextScreen(Dialog[str | None]):
    """A question that is answered by typing."""

    BINDINGS = [Binding("escape", "leave", "cancel", id="ask.cancel")]

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self.question = question
        self.value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self.question, classes="dialog-title", markup=False)
            yield Input(self.value, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)

    def action_leave(self) -> None:
        self.dismiss(None)


class FileLines(ChoiceLines):
    """The files that begin with what is typed; none is chosen before the cursor goes there."""

    active = False


class FileScreen(Dialog[Path | None]):
    """Asks for an experiment file: typed, or one of those that lie in the folder that is typed."""

    BINDINGS = [
        Binding("escape", "leave", "cancel", id="file.cancel"),
        Binding("down", "move(1)", "down", show=False, id="file.down", priority=True),
        Binding("up", "move(-1)", "up", show=False, id="file.up", priority=True),
        Binding("tab", "take", "complete", id="file.complete", priority=True),
    ]
    help_text = "Type a path, or choose a file with the arrows; tab takes it into the line, enter opens or saves."

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self.question = question
        self.value = value
        self.files: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self.question, classes="dialog-title", markup=False)
            yield Input(self.value, compact=True)
            yield FileLines([])
            hint = Text(f"tab complete   ⏎ done   esc cancel   paths from {shown_folder()}", no_wrap=True)
            yield Label(hint, id="file-hint")

    def on_mount(self) -> None:
        self._list(self.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._list(event.value)

    def _list(self, typed: str) -> None:
        self.files = files_like(typed)
        self.lines.choices = [Choice(name) for name in self.files]
        self.lines.cursor = 0
        self.lines.display = bool(self.files)
        self.lines.styles.height = min(len(self.files), FILES_SHOWN)
        self.chosen = False
        self.lines.renew()

    @property
    def lines(self) -> FileLines:
        return self.query_one(FileLines)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        text = self.files[self.lines.cursor] if self.chosen else event.value.strip()
        if text.endswith(os.sep) and self.chosen:
            self.action_take()
        elif text:
            self.dismiss(Path(text).expanduser())

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        event.stop()
        self.action_take()

    def action_move(self, by: int) -> None:
        """Go down into the list of files, and in it."""
        if self.files:
            self.lines.move_to(self.lines.cursor + by if self.chosen else 0)
            self.chosen = True
            self.lines.refresh()

    @property
    def chosen(self) -> bool:
        """Whether a file in the list is meant, not what is typed."""
        return self.lines.active

    @chosen.setter
    def chosen(self, chosen: bool) -> None:
        self.lines.active = chosen

    def action_take(self) -> None:
        """Put the chosen file, or the first, into the line."""
        if self.files:
            typed = self.query_one(Input)
            typed.value = self.files[self.lines.cursor]
            typed.cursor_position = len(typed.value)

    def action_leave(self) -> None:
        self.dismiss(None)


def shown_folder() -> str:
    """Return the folder from which paths begin, as people write it."""
    folder, home = os.getcwd(), os.path.expanduser("~")
    return clean_text("~" + folder.removeprefix(home) if folder.startswith(home + os.sep) else folder, 200)


def files_like(typed: str) -> list[str]:
    """Return the folders and experiment files that begin with what is typed."""
    folder, beginning = os.path.split(typed)
    found = []
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            for entry in entries:
                hidden = entry.name.startswith(".") and not beginning.startswith(".")
                if hidden or not entry.name.startswith(beginning):
                    continue
                path = os.path.join(folder, entry.name)
                if entry.is_dir():
                    found.append(path + os.sep)
                elif entry.name.endswith(".toml"):
                    found.append(path)
                if len(found) >= MOST_FILES:
                    break
    except (OSError, ValueError):
        return []
    return sorted(found, key=lambda path: (path.endswith(os.sep), path))
