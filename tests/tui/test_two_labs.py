"""Two labs that watch and steer one run: each sees what the other does, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.screens.trained import training
from tests.tui.window import ENTER, ESCAPE, QUIT, Window
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import look
from tuilab.runs.reader import following, overview

LONG = "training.epochs=100000"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    with training(tmp_path / "runs", "shared", LONG, model="digits-mlp") as run:
        yield run
        life, owner = look(run.path)
        if life == "alive" and owner is not None:  # a worker that a lab has started
            os.kill(owner.pid, signal.SIGKILL)


@pytest.fixture
def labs(tmp_path: Path, run: RunDirectory) -> Iterator[tuple[Window, Window]]:
    """Two labs that show the run, each with a configuration of its own."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    runs = str(run.path.parent)
    with (
        Window.opened(folders[0], TUILAB_RUNS=runs) as one,
        Window.opened(folders[1], TUILAB_RUNS=runs) as two,
    ):
        for lab in (one, two):
            lab.until_shown("dense")
            lab.press("3")
            lab.until_shown("shared", "1 running")
            lab.press(ENTER)
            lab.until_shown("2 Train", "━ train", "running")
        yield one, two


def shown(labs: tuple[Window, Window], *texts: str) -> None:
    for lab in labs:
        lab.until_shown(*texts)


def read(labs: tuple[Window, Window], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for lab in labs:
            lab.read(0.02)


def messages(run: RunDirectory, text: str) -> int:
    """Return how often the run has said something."""
    with following(run) as reader:
        return sum(text in message.text for message in reader.messages(0, 1000))


def test_each_lab_sees_what_the_other_does(labs: tuple[Window, Window], run: RunDirectory) -> None:
    one, two = labs
    one.press(" ")
    shown(labs, "paused")
    paused_at = overview(run).status.step
    two.press(".")
    shown(labs, f"{paused_at + 1:,}/")
    two.press("]")
    shown(labs, "learning rate 0.002 → 0.004")
    one.press("[")
    shown(labs, "learning rate 0.004 → 0.002")
    two.press(" ")
    shown(labs, "running")
    one.press("x")
    shown(labs, "stopped: it was asked to stop")
    assert messages(run, "learning rate") == 2


def test_what_both_ask_for_at_once_is_done(labs: tuple[Window, Window], run: RunDirectory) -> None:
    one, two = labs

    def both_press(key: str) -> None:
        for lab in labs:
            os.write(lab.terminal, key.encode())

    one.press(" ")
    shown(labs, "paused")
    step = overview(run).status.step
    both_press(".")
    shown(labs, f"does step {step + 1:,} and pauses")
    one.until(lambda: messages(run, "and pauses") >= 2)
    read(labs, 1.0)
    assert messages(run, "and pauses") == 2
    assert step + 1 <= overview(run).status.step <= step + 2, "the same step, or one for each"
    both_press("c")
    shown(labs, "checkpoint after step")
    both_press("x")
    shown(labs, "stopped: it was")
    read(labs, 0.5)
    assert one.alive()
    assert two.alive()


def test_both_go_on_with_a_run_and_one_worker_does(labs: tuple[Window, Window], run: RunDirectory) -> None:
    one, two = labs
    one.press("x")
    shown(labs, "stopped")
    stopped_at = overview(run).status.step
    for lab in labs:
        lab.press(" ")
    one.until(lambda: messages(run, f"goes on after step {stopped_at:,}"))
    shown(labs, "running")
    read(labs, 2.0)
    assert messages(run, f"goes on after step {stopped_at:,}") == 1
    shown(labs, "running")
    two.press(QUIT)
    two.until_shown("Leave it running")
    two.press(ENTER)
    two.until_ended()
    step = overview(run).status.step
    one.until(lambda: overview(run).status.step > step)


def test_one_deletes_what_the_other_watches(labs: tuple[Window, Window]) -> None:
    one, two = labs
    one.press("x")
    shown(labs, "stopped")
    one.press("3")
    one.until_shown("shared", "stopped", "D delete")
    one.press("D")
    one.until_shown("for good")
    one.press("y")
    two.until_shown("run shared is gone", "unreadable")
    one.until_shown("There are no runs yet")
    two.press(" ", "c", "3")
    two.until_shown("There are no runs yet")
    two.press("2", ESCAPE)
    two.until_shown("run shared is gone")
