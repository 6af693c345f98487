"""Follows one run and steers it from a thread of its own, so that no disk, however slow, holds up the keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Thread

from tuilab.errors import DiskFullError, TuilabError
from tuilab.runs import commands
from tuilab.runs.commands import Command
from tuilab.runs.directory import RunDirectory
from tuilab.runs.launch import LOG, Launched
from tuilab.tui.run_view import RunView, Snapshot

SECONDS_TO_ANSWER = 10.0
SECONDS_BETWEEN_LOOKS_AT_REST = 0.5
"""At a run that nobody trains, or one that is not on the screen."""


@dataclass(frozen=True)
class Reply:
    """What is to be said about a command and does not stand among the messages of the run."""

    text: str
    refused: bool = True


@dataclass
class Waiting:
    """A command that was sent and has no answer yet."""

    command: Command
    name: str
    since: float = field(default_factory=time.monotonic)
    told: bool = False
    """Whether it was said that it takes its time."""


class Follower(Thread):
    """Polls a run until it is closed. A daemon: a disk that does not answer must not keep the lab from closing.

    The screen looks at `snapshot`, and takes what there is in `replies`.
    """

    def __init__(
        self, run: RunDirectory, seconds_between_looks: float, ready: Callable[[], object] = lambda: None
    ) -> None:
        """`ready` is called in the thread as soon as there is something to see."""
        super().__init__(name=f"follower of {run.name}", daemon=True)
        self.run_directory = run
        self.snapshot = Snapshot(run)
        self.replies: SimpleQueue[Reply] = SimpleQueue()
        self.on_screen = True
        """A run that nobody sees is looked at less often."""
        self._seconds_between_looks = seconds_between_looks
        self._ready = ready
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._waiting: list[Waiting] = []
        self._wake = Event()
        self._closed = False

    def send(self, command: Command) -> None:
        """Ask the worker for something. What it does stands among the run's messages; a refusal is a reply, too."""
        self.do(lambda: self._send(command))

    def do(self, job: Callable[[], None]) -> None:
        """Do something with files in this thread; a TuilabError is put among the replies."""
        self._jobs.put(job)
        self._wake.set()

    def complain(self, launched: Launched) -> None:
        """Tell what a worker that ended had to say; that stands in its log alone."""

        def read() -> None:
            code = launched.process.returncode
            said = launched.complaints() or [f"the worker ended with code {code}; see {LOG} of the run"]
            self.replies.put(Reply(" ".join(said)))

        self.do(read)

    def close(self) -> None:
        """End the thread, without waiting for it."""
        self._closed = True
        self._wake.set()

    def run(self) -> None:
        view = RunView(self.run_directory)
        try:
            self.snapshot = view.poll(quick=True)
            self._ready()
            while not self._closed:
                self._do_jobs()
                self.snapshot = view.poll()
                self._look_for_answers()
                self._wake.wait(self._pause())
                self._wake.clear()
            self._do_jobs()
        finally:
            view.close()

    def _pause(self) -> float:
        seen = self.snapshot.seen
        alive = seen is not None and seen.alive and not self.snapshot.trouble
        return self._seconds_between_looks if alive and self.on_screen else SECONDS_BETWEEN_LOOKS_AT_REST

    def _do_jobs(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return
            try:
                job()
            except TuilabError as error:
                self.replies.put(Reply(str(error)))

    def _send(self, command: Command) -> None:
        run = self.run_directory
        try:
            self._waiting.append(Waiting(command, commands.send(run, command)))
        except DiskFullError:
            if command.action not in ("stop", "kill"):
                raise
            self._signal(command)

    def _look_for_answers(self) -> None:
        still = []
        for waiting in self._waiting:
            try:
                if not self._settled(waiting):
                    still.append(waiting)
            except TuilabError as error:
                self.replies.put(Reply(f"{waiting.command}: {error}"))
        self._waiting = still

    def _settled(self, waiting: Waiting) -> bool:
        run, command, seen = self.run_directory, waiting.command, self.snapshot.seen
        answer = commands.answer(run, waiting.name)
        if answer is not None:
            if not answer.accepted:
                self.replies.put(Reply(f"{command} was refused: {answer.text}"))
            return True
        late = time.monotonic() - waiting.since > SECONDS_TO_ANSWER
        gone = seen is not None and not seen.alive
        if gone or (late and command.action == "kill"):
            commands.withdraw(run, waiting.name)
            if command.action == "kill":
                self._signal(command)
            else:
                self.replies.put(Reply(f"{command}: the run ended before it saw this"))
            return True
        if late and not waiting.told:
            waiting.told = True
            self.replies.put(Reply(f"{command}: sent, done at the next step", refused=False))
        return False

    def _signal(self, command: Command) -> None:
        answer = commands.signal_worker(self.run_directory, command)
        self.replies.put(Reply(answer.text, not answer.accepted))
