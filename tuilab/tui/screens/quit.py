"""Leaving the lab: what becomes of a run that is going, and of changes that are not saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from tuilab.errors import TuilabError
from tuilab.runs.commands import Command, send
from tuilab.runs.reader import Overview, try_overview
from tuilab.tui.dialog import Dialog

if TYPE_CHECKING:
    from tuilab.tui.app import Lab
    from tuilab.tui.session import Session

Choice = Literal["leave", "stop", "kill", "save", "keep", "discard", "cancel"]

RUNNING: dict[Choice, str] = {
    "leave": "Leave it running",
    "stop": "Stop it, with a checkpoint",
    "kill": "Kill it",
    "cancel": "Stay here",
}
UNSAVED: dict[Choice, str] = {
    "keep": "Keep the changes for the next time",
    "save": "Save them",
    "discard": "Throw them away",
    "cancel": "Stay here",
}


@dataclass
class Question:
    """One thing to decide before leaving."""

    title: str
    choices: dict[Choice, str]


class QuitScreen(Dialog[str | None]):
    """Asks what must be decided, and ends with a paragraph for the scrollback, or None to stay."""

    BINDINGS = [Binding("escape", "stay", "stay", id="quit.stay")]
    help_text = "A run goes on without the lab: tuilab attach follows it, and so does the lab when it is opened again."

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[Question] = []
        self.chosen: list[Choice] = []
        self.seen: Overview | None = None

    @property
    def session(self) -> Session:
        return cast("Lab", self.app).session

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label("", classes="dialog-title", markup=False)
            yield OptionList(markup=False)

    def on_mount(self) -> None:
        session = self.session
        found = try_overview(session.run) if session.run is not None else None
        self.seen = found if isinstance(found, Overview) else None
        if self.seen is not None and self.seen.alive:
            self.questions.append(Question(f"{self.seen.run.name} is {self.seen.state}", RUNNING))
        if session.draft.modified:
            self.questions.append(Question(f"{session.draft.name} has changes that are not saved", UNSAVED))
        self._ask()

    def _ask(self) -> None:
        if len(self.chosen) == len(self.questions):
            self._leave()
            return
        question = self.questions[len(self.chosen)]
        self.query_one(Label).update(question.title)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(text, id=choice) for choice, text in question.choices.items()])
        options.highlighted = 0
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        choice = cast("Choice", event.option.id)
        if choice == "cancel":
            self.action_stay()
            return
        self.chosen.append(choice)
        self._ask()

    def action_stay(self) -> None:
        self.dismiss(None)

    @work
    async def _leave(self) -> None:
        lab = cast("Lab", self.app)
        try:
            said = [self._settle(choice) for choice in self.chosen]
        except TuilabError as error:
            lab.say(str(error), "error")
            self.dismiss(None)
            return
        self.dismiss("\n".join(line for line in said if line))

    def _settle(self, choice: Choice) -> str:
        """Do what was chosen, and return what is to be said about it."""
        draft = self.session.draft
        if choice == "save":
            draft.save()
            return f"{draft.name} is saved in {draft.path}."
        if choice == "keep":
            return f"The changes to {draft.name} are kept for the next time."
        if choice == "discard":
            draft.discard()
            return ""
        assert self.seen is not None
        name, status = self.seen.run.name, self.seen.status
        if choice == "stop":
            send(self.seen.run, Command(action="stop"))
            return f"{name} stops with a checkpoint. Go on: tuilab resume {name}"
        if choice == "kill":
            send(self.seen.run, Command(action="kill"))
            return f"{name} is killed. Go on from its last checkpoint: tuilab resume {name}"
        epoch = min(status.epoch + 1, status.epochs)
        return f"{name} goes on, in epoch {epoch} of {status.epochs}. Follow it: tuilab attach {name}"
