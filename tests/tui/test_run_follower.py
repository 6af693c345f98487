"""Commands from the thread that follows a run: what is said where the worker does not do them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from tests.tui.screens.trained import training
from tuilab.runs.commands import Command
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import look
from tuilab.tui import run_follower
from tuilab.tui.run_follower import Follower, Reply

STOP, KILL = Command(action="stop"), Command(action="kill")


@contextmanager
def followed(run: RunDirectory) -> Iterator[Follower]:
    follower = Follower(run, 0.02)
    follower.start()
    try:
        wait(lambda: follower.snapshot.seen is not None)
        yield follower
    finally:
        follower.close()
        follower.join(10)
        assert not follower.is_alive()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Follower]:
    """Follows a run that a worker trains."""
    with training(tmp_path, "live", "training.epochs=100000") as run, followed(run) as follower:
        wait(lambda: follower.snapshot.steerable and follower.snapshot.curves)
        yield follower


@pytest.fixture
def frozen(live: Follower, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The process of a worker that does not move, and is soon given up."""
    monkeypatch.setattr(run_follower, "SECONDS_TO_ANSWER", 0.3)
    owner = look(live.run_directory.path)[1]
    assert owner is not None
    os.kill(owner.pid, signal.SIGSTOP)
    yield owner.pid
    os.kill(owner.pid, signal.SIGCONT)


def wait(happened: Callable[[], object]) -> None:
    until = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def reply(follower: Follower) -> Reply:
    return follower.replies.get(timeout=120)


def test_what_is_done_stands_among_the_messages_and_is_no_reply(live: Follower) -> None:
    live.send(Command(action="pause"))
    wait(lambda: live.snapshot.seen is not None and live.snapshot.seen.state == "paused")
    wait(lambda: not live._waiting)
    assert live.snapshot.messages[-1].text == "paused: by a command"
    assert live.replies.empty()


def test_what_is_refused_is_told(live: Follower) -> None:
    live.send(Command(action="set", key="learning_rate", value="-1"))
    told = reply(live)
    assert told.refused
    assert told.text.startswith("set learning_rate=-1 was refused: ")


def test_a_worker_that_takes_its_time_is_told_once(live: Follower, frozen: int) -> None:
    live.send(STOP)
    assert reply(live) == Reply("stop: sent, done at the next step", refused=False)
    time.sleep(0.5)
    assert live.replies.empty()
    os.kill(frozen, signal.SIGCONT)
    wait(lambda: live.snapshot.seen is not None and live.snapshot.seen.state == "stopped")
    assert live.replies.empty()


def test_a_worker_that_does_not_move_is_killed_by_a_signal(live: Follower, frozen: int) -> None:
    live.send(KILL)
    assert reply(live) == Reply(f"SIGKILL was sent to process {frozen}", refused=False)
    wait(lambda: live.snapshot.seen is not None and live.snapshot.seen.state == "failed")
    assert not any((live.run_directory.path / "commands").iterdir())


def test_a_run_that_ended_is_told(live: Follower) -> None:
    live.send(STOP)
    wait(lambda: live.snapshot.seen is not None and live.snapshot.seen.state == "stopped")
    live.send(Command(action="checkpoint"))
    assert reply(live) == Reply("checkpoint: the run ended before it saw this")
    assert not any((live.run_directory.path / "commands").iterdir())


def test_a_folder_that_cannot_be_written_is_told(live: Follower) -> None:
    folder = live.run_directory.path / "commands"
    folder.rmdir()
    folder.write_text("no folder")
    live.send(STOP)
    assert str(folder) in reply(live).text
    assert live.is_alive()


def test_a_run_that_is_deleted_meanwhile_is_told(live: Follower, frozen: int) -> None:
    live.send(STOP)
    wait(lambda: live._waiting)
    path = live.run_directory.path
    shutil.rmtree(path.rename(path.with_name(".gone")))  # at once, whatever the follower does there
    wait(lambda: live.snapshot.trouble)
    assert reply(live).text.startswith("stop")
    assert live.is_alive()


def test_commands_that_were_given_before_the_end_are_sent(live: Follower) -> None:
    live.send(STOP)
    live.close()
    live.join(10)
    wait(lambda: look(live.run_directory.path)[0] == "dead")


def test_it_tells_when_there_is_something_to_see(tmp_path: Path) -> None:
    with training(tmp_path, "live", "training.epochs=100000") as run:
        told = Event()
        follower = Follower(run, 60.0, told.set)
        follower.start()
        assert told.wait(120)
        assert follower.snapshot.seen is not None
        follower.close()
        follower.join(10)
