"""The experiment on the Build screen and its file: opened, saved, kept safe from a crash; and what its data is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.message import Message
from textual.timer import Timer

from tuilab.errors import DataError, TuilabError
from tuilab.experiment.draft import Draft, OnDisk
from tuilab.experiment.ready_made import ready_made
from tuilab.tui.forms.fields import Choice
from tuilab.tui.forms.pick import PickScreen
from tuilab.tui.screens.build_dialogs import AskScreen, FileScreen
from tuilab.tui.screens.frame import LabScreen

if TYPE_CHECKING:
    from tuilab.blocks.datasets import DataInfo
    from tuilab.experiment.document import DataSettings

SECONDS_BEFORE_KEEPING = 0.5


def state_folder() -> Path:
    """Return where unsaved changes are kept: in TUILAB_STATE, else in the user's folder for states."""
    from platformdirs import user_state_path

    folder = os.environ.get("TUILAB_STATE")
    return (Path(folder) if folder else user_state_path("tuilab")) / "unsaved"


class DraftScreen(LabScreen):
    """A screen for the draft of the session; changes that are not saved are never lost silently."""

    def __init__(self) -> None:
        super().__init__()
        self.draft: Draft | None = None
        """What is shown; the session may have another one by now."""
        self._keeping: Timer | None = None
        self._known: dict[str, DataInfo | DataError] = {}
        """What is known of the user's own files."""
        self._reading = ""

    def show_draft(self, anew: bool = False) -> None:
        """Show the draft as it is now; `anew`: another one than before."""
        raise NotImplementedError  # abstract

    def on_mount(self) -> None:
        self.adopt()
        self.call_after_refresh(self._offer_recovered)

    def on_screen_resume(self) -> None:
        self.adopt()

    def on_screen_suspend(self) -> None:
        if self._keeping is not None:
            self._keep()

    def adopt(self) -> None:
        """Show the experiment of the session, which may be another one now."""
        before, draft = self.draft, self.session.draft
        if draft is before:
            return
        self.draft = draft
        draft.describe = self._describe
        draft.look_again()
        self.show_draft(anew=True)
        if before is not None and before.modified:
            answers = {
                "keep": "Keep them for the next start of the lab",
                "back": "Go back to it",
                "discard": "Throw them away",
            }
            question = f"{before.name} has changes that are not saved"
            self.app.push_screen(AskScreen(question, answers), partial(self._replaced, before))

    def _replaced(self, before: Draft, answer: str | None) -> None:
        if answer == "back":
            self.draft, self.session.draft = None, before
            self.adopt()
        elif answer == "discard":
            before.discard()
        else:
            self._keep(before)
            before.leave()

    def _take(self, draft: Draft) -> None:
        """Put another experiment onto this screen; what becomes of the old one is settled."""
        self.session.draft.discard()
        self.draft, self.session.draft = None, draft
        self.adopt()

    # Saving

    def action_save(self, then: Callable[[], object] | None = None) -> None:
        if self.session.draft.path is None:
            self.action_save_as(then)
        else:
            self._save(None, then)

    def action_save_as(self, then: Callable[[], object] | None = None) -> None:
        draft = self.session.draft
        value = str(draft.path) if draft.path else f"{draft.name}.toml"
        self.app.push_screen(FileScreen("Save as", value), partial(self._save_as, then))

    def _save_as(self, then: Callable[[], object] | None, path: Path | None) -> None:
        if path is not None:
            self._save(path if path.suffix else path.with_suffix(".toml"), then)

    def _save(self, path: Path | None, then: Callable[[], object] | None = None, overwrite: bool = False) -> None:
        """Save, and go on with what was to come afterwards."""
        draft = self.session.draft
        try:
            draft.save(path, overwrite)
        except OnDisk as error:
            answers = {"overwrite": "Overwrite it", "other": "Save under another name", "cancel": "Do not save"}
            self.app.push_screen(AskScreen(str(error), answers), partial(self._conflict, path, then))
            return
        except TuilabError as error:
            self.lab.say(str(error), "error")
            return
        self.lab.say(f"saved in {draft.path}")
        self.show_draft()
        if then is not None:
            then()

    def _conflict(self, path: Path | None, then: Callable[[], object] | None, answer: str | None) -> None:
        if answer == "overwrite":
            self._save(path, then, overwrite=True)
        elif answer == "other":
            self.action_save_as(then)

    # Opening

    def action_open(self) -> None:
        self._settle(lambda: self.app.push_screen(FileScreen("Open an experiment"), self._open))

    def _open(self, model: Path | str | None) -> None:
        if model is None:
            return
        try:
            self._take(Draft.open(model))
        except TuilabError as error:
            self.lab.say(str(error), "error")

    def action_new(self) -> None:
        self._settle(lambda: self._take(Draft.new()))

    def action_library(self) -> None:
        """Choose one of the ready-made experiments."""
        import tomllib

        choices = []
        for name, path in ready_made().items():
            text = tomllib.loads(path.read_text(encoding="utf-8")).get("description", "")
            choices.append(Choice(name, text, text))
        self._settle(lambda: self.app.push_screen(PickScreen("Ready-made experiments", choices), self._open))

    def _settle(self, then: Callable[[], object]) -> None:
        """Ask what becomes of unsaved changes before something else takes their place."""
        draft = self.session.draft
        if not draft.modified:
            then()
            return
        answers = {"save": "Save them first", "discard": "Throw them away", "cancel": "Stay here"}
        question = f"{draft.name} has changes that are not saved"
        self.app.push_screen(AskScreen(question, answers), partial(self._settled, then))

    def _settled(self, then: Callable[[], object], answer: str | None) -> None:
        if answer == "discard":
            then()
        elif answer == "save":
            self.action_save(then)

    # Safe from a crash

    def keep_soon(self) -> None:
        """Keep unsaved changes safe from a crash, a moment after the last edit."""
        if self._keeping is not None:
            self._keeping.stop()
        self._keeping = self.set_timer(SECONDS_BEFORE_KEEPING, self._keep)

    def _keep(self, draft: Draft | None = None) -> None:
        draft = draft or self.session.draft
        if self._keeping is not None:
            self._keeping.stop()
            self._keeping = None
        try:
            if draft.modified:
                draft.keep(state_folder())
            else:
                draft.discard()
        except TuilabError as error:
            self.lab.say(str(error), "warning")

    def _offer_recovered(self) -> None:
        """Offer what was not saved when the lab ended last."""
        draft = Draft.recover(state_folder())
        if draft is not None:
            answers = {"take": "Go on with them", "later": "Ask again next time", "discard": "Throw them away"}
            question = f"{draft.name} has changes that were not saved when the lab ended"
            self.app.push_screen(AskScreen(question, answers), partial(self._recovered, draft))

    def _recovered(self, draft: Draft, answer: str | None) -> None:
        if answer == "take":
            self._take(draft)
        elif answer == "discard":
            draft.discard()
        else:
            draft.leave()

    # The data

    def _describe(self, settings: DataSettings) -> DataInfo | None:
        """Return what is known of the data; a file of the user's own is read beside, and then shown."""
        if settings.dataset is not None:
            return settings.dataset.info()
        key = _identity(settings)
        found = self._known.get(key)
        if isinstance(found, DataError):
            raise found
        if found is None and key != self._reading:
            self._reading = key
            self._read_data(key, settings)
        return found

    @work(thread=True, group="data", exclusive=True)
    def _read_data(self, key: str, settings: DataSettings) -> None:
        from tuilab.data.load import describe

        found: DataInfo | DataError
        try:
            found = describe(settings)
        except DataError as error:
            found = error
        self.post_message(self.DataRead(key, found))

    @dataclass
    class DataRead(Message):
        """A file of the user's own was read."""

        key: str
        found: DataInfo | DataError

    def on_draft_screen_data_read(self, event: DataRead) -> None:
        event.stop()
        self._known[event.key] = event.found
        self._reading = ""
        self.session.draft.look_again()
        self.show_draft()


def _identity(settings: DataSettings) -> str:
    """Return what tells one state of the user's own data from another."""
    files = [settings.path, settings.validation_path, settings.test_path]
    changed = [os.stat(file).st_mtime_ns if file and os.path.isfile(file) else 0 for file in files]
    return repr((files, changed, settings.target))
