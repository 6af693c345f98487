"""What can be done with one run of the list: open, tag, note, stop, go on with, fork, delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from textual import work
from textual.message import Message
from textual.worker import get_current_worker

from tuilab.errors import TuilabError
from tuilab.runs.commands import Command, send
from tuilab.runs.directory import RunDirectory
from tuilab.runs.launch import Launched
from tuilab.runs.notes import add_tags, read_notes, remove_tags, write_note
from tuilab.runs.table import Row
from tuilab.text import clean_text
from tuilab.tui.numbers import memory
from tuilab.tui.run_list import without_path
from tuilab.tui.screens.frame import LabScreen
from tuilab.tui.screens.runs_dialogs import AskScreen, ConfirmScreen

SECONDS_TO_FAIL = 30.0
"""A worker that is to go on with a run, and cannot, has said so by then."""


class RunActions(LabScreen):
    """A screen on which one run is under the cursor."""

    @dataclass
    class Told(Message):
        """Something that was done in a thread is over."""

        text: str
        severity: str = "information"

    @property
    def row(self) -> Row | None:
        """The run under the cursor."""
        raise NotImplementedError  # abstract

    def look(self) -> None:
        """Look at the runs, now or as soon as the look that lasts is over."""
        raise NotImplementedError  # abstract

    def action_open(self) -> None:
        if self.row is not None:
            self.lab.watch_run(self.row.run)

    @work
    async def action_tags(self) -> None:
        if (row := self.row) is None:
            return
        before = row.notes.tags
        note = "words with spaces between: letters, digits, '-', '_' and '.'"
        text = await self.app.push_screen_wait(AskScreen(f"Tags of {row.run.name}", " ".join(before), note))
        if text is None:
            return
        wanted = text.split()

        def write() -> None:
            known = read_notes(row.run).tags
            add_tags(row.run, [tag for tag in wanted if tag not in known])
            remove_tags(row.run, [tag for tag in before if tag in known and tag not in wanted])

        self._do(write, "")

    @work
    async def action_note(self) -> None:
        if (row := self.row) is None:
            return
        ask = AskScreen(f"Note on {row.run.name}", row.notes.note.replace("\n", " "), "an empty one takes it away")
        text = await self.app.push_screen_wait(ask)
        if text is not None:
            self._do(lambda: write_note(row.run, text), "")

    def action_stop(self) -> None:
        if (row := self.row) is not None:
            self._do(
                lambda: send(row.run, Command(action="stop")), f"{row.run.name} is asked to stop, with a checkpoint"
            )

    @work
    async def action_delete(self) -> None:
        if (row := self.row) is None:
            return
        name = row.run.name
        question = f"Delete {name} ({memory(row.size)}) for good?"
        if await self.app.push_screen_wait(ConfirmScreen(question, "Keep it", "Delete it for good")):
            self._do(lambda: _delete(row.run), f"{name} is deleted")

    @work
    async def action_resume(self) -> None:
        if (row := self.row) is None:
            return
        if row.state == "paused":
            self._do(lambda: send(row.run, Command(action="resume")), f"{row.run.name} goes on")
            return
        overrides = []
        if row.overview is not None and row.state == "finished":
            epochs = row.overview.status.epochs
            title = f"{row.run.name} has done its {epochs:,} epochs. Epochs in all:"
            text = await self.app.push_screen_wait(AskScreen(title, str(2 * epochs), check=_whole_number_above(epochs)))
            if text is None:
                return
            overrides = [f"training.epochs={int(text)}"]
        with self._telling():
            launched = self.session.go_on(row.run, *overrides)
            self.lab.say(f"{row.run.name} goes on; enter watches it")
            self._see_it_start(launched)

    @work(thread=True)
    def _see_it_start(self, launched: Launched) -> None:
        """Tell why a worker has ended at once, if it has."""
        until, worker = time.monotonic() + SECONDS_TO_FAIL, get_current_worker()
        while launched.process.poll() is None and time.monotonic() < until and not worker.is_cancelled:
            time.sleep(0.05)
        if launched.process.poll():
            for line in launched.complaints():
                self.post_message(self.Told(without_path(line, launched.run), "error"))

    def action_fork(self) -> None:
        """Put the experiment of a run on the Build screen."""
        from tuilab.experiment.draft import Draft
        from tuilab.experiment.guard import MOST_BYTES
        from tuilab.runs.plain_file import read_plain

        if (row := self.row) is None:
            return
        name = clean_text(row.run.name)
        try:
            draft = Draft.from_text(read_plain(row.run.experiment_file, MOST_BYTES).decode())
        except (TuilabError, OSError, ValueError) as error:
            self.lab.say(f"{name} has no experiment.toml that can be read: {error}", "error")
            return
        self.lab.edit(draft)

    # Doing something in a thread

    @work(thread=True)
    def _do(self, function: Callable[[], object], said: str) -> None:
        with self._telling():
            function()
            self.post_message(self.Told(said))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (TuilabError, OSError) as error:
            self.post_message(self.Told(str(error), "error"))

    def on_run_actions_told(self, event: Told) -> None:
        if event.text:
            self.lab.say(event.text, event.severity)
        self.look()


def _delete(run: RunDirectory) -> None:
    from tuilab.runs.deletion import check_deletable, delete_run

    check_deletable(run)
    delete_run(run)


def _whole_number_above(least: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        good = text.strip().isdecimal() and least < int(text) < 2**31
        return "" if good else f"write a whole number above {least:,}"

    return check
