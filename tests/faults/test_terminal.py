"""Terminals that go away, keys that interrupt, signals that schedulers send."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.conftest import HELD, LONG, Studio, end_soon, over, owner_of, record, training, wait
from tuilab.runs.checkpoints import resumable_checkpoints
from tuilab.runs.directory import RunDirectory, find_run, run_names
from tuilab.runs.reader import overview

CTRL_C = b"\x03"

IN_A_SHELL = ["sh", "-c", '"$@"; true', "sh"]

IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal that is its standard input the one that controls it, and becomes another program."""


@dataclass
class Terminal:
    """A terminal with a program in the foreground."""

    process: subprocess.Popen[bytes]
    end: int
    """The terminal's own end of the line."""
    shown: bytes = b""

    def wait(self, until: Callable[[], Any]) -> None:
        """Wait for something to become true, and take in what the program shows."""

        def shown_and_true() -> Any:
            with suppress(BlockingIOError, OSError):  # EIO: nobody writes any more
                self.shown += os.read(self.end, 100_000)
            return until()

        wait(shown_and_true)

    def press(self, key: bytes) -> None:
        os.write(self.end, key)

    def ended(self) -> int:
        """Wait for the program to end; return its exit code."""
        self.wait(lambda: self.process.poll() is not None)
        return self.process.wait()

    def close(self) -> None:
        """Close the window."""
        os.close(self.end)
        self.end = -1


@contextmanager
def terminal(studio: Studio, *arguments: Any, shell: bool = False) -> Iterator[Terminal]:
    """Run `tuilab ARGUMENTS` in the foreground of a terminal."""
    end, line = pty.openpty()
    os.set_blocking(end, False)
    command = [sys.executable, "-c", IN_TERMINAL, *(IN_A_SHELL if shell else []), *studio.command(*arguments)]
    process = subprocess.Popen(
        command,
        stdin=line,
        stdout=line,
        stderr=line,
        start_new_session=True,
        cwd=studio.tuilab.folder,
        env=studio.tuilab.environment(TERM="xterm"),
    )
    os.close(line)
    opened = Terminal(process, end)
    try:
        yield opened
    finally:
        process.kill()
        process.wait()
        if opened.end >= 0:
            opened.close()


def only_run(studio: Studio) -> RunDirectory:
    """Return the run of a studio, as soon as there is one."""
    wait(lambda: run_names(studio.tuilab.runs))
    (name,) = run_names(studio.tuilab.runs)
    return RunDirectory(studio.tuilab.runs / name)


@pytest.mark.parametrize("shell", [False, True], ids=["alone", "under a shell"])
def test_a_run_outlives_its_terminal(studio: Studio, shell: bool) -> None:
    with terminal(studio, "train", studio.model(LONG), shell=shell) as window:
        run = only_run(studio)
        window.wait(lambda: training(run) and b"samples/s" in window.shown)
        window.close()
        wait(lambda: window.process.poll() is not None)
        assert window.process.returncode == -signal.SIGHUP
    before = overview(run).status
    wait(lambda: overview(run).status.step > before.step)
    end_soon(run)
    seen = over(run)
    assert seen.status.test is not None
    assert "Traceback" not in (run.path / "worker.log").read_text()


def test_ctrl_c_stops_with_a_checkpoint(studio: Studio) -> None:
    with terminal(studio, "train", studio.model(LONG)) as window:
        run = only_run(studio)
        window.wait(lambda: training(run))
        window.press(CTRL_C)
        assert window.ended() == 4
        assert f"Go on: tuilab resume {run.name}".encode() in window.shown
        assert b"Traceback" not in window.shown
    seen = over(run, "stopped")
    assert seen.reason == "SIGINT was received"
    assert resumable_checkpoints(run)[0].name == f"step-{seen.status.step:06d}"


def test_the_second_ctrl_c_does_not_wait(studio: Studio) -> None:
    studio.worker = HELD
    studio.hold()
    with terminal(studio, "train", studio.model()) as window:
        studio.wait_until_held()
        window.press(CTRL_C)
        studio.wait_until_interrupted()
        time.sleep(0.3)
        assert window.process.poll() is None, "it wants to finish the step"
        window.press(CTRL_C)
        assert window.ended() == 4, "while the step is still held"
        assert b"Traceback" not in window.shown
    run = only_run(studio)
    assert over(run, "stopped").reason == "interrupted at once, without a checkpoint"
    assert not run.checkpoints()
    assert "Traceback" not in (run.path / "worker.log").read_text()
    studio.release()
    studio("resume", run.name)
    over(run)


def test_signals_to_the_worker(studio: Studio) -> None:
    """As a scheduler sends them: the step is finished, and the run goes on later as if nothing had happened."""
    studio.worker = HELD
    model = studio.model()
    studio("train", model)
    undisturbed = record(only_run(studio), "loss")
    order, step = ["train", str(model)], 500
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        studio.hold()
        process = studio.start(*order)
        studio.wait_until_held()
        run = find_run(studio.tuilab.runs, "last")
        for received in (signal.SIGHUP, number):
            os.kill(owner_of(run).pid, received)
        studio.release()
        step += 1
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 4, stderr
        seen = over(run, "stopped")
        assert (seen.reason, seen.status.step) == (f"{number.name} was received", step)
        order = ["resume", run.name]
    studio(*order)
    assert record(run, "loss") == undisturbed


def test_ctrl_c_ends_attach_and_nothing_else(studio: Studio) -> None:
    run, _ = studio.detached("train", studio.model(LONG))
    with terminal(studio, "attach", run.name) as window:
        window.wait(lambda: b"samples/s" in window.shown)
        window.press(CTRL_C)
        assert window.ended() == 0
        assert b"goes on" in window.shown
        assert b"Traceback" not in window.shown
    before = overview(run).status.step
    wait(lambda: overview(run).status.step > before)
    studio("stop", run.name)
    over(run, "stopped")


def test_ctrl_c_before_the_worker_trains(studio: Studio) -> None:
    """Whatever the moment: a run that is there has had a worker, which has ended as it was asked to."""
    moments = random.Random(3)
    model = studio.model(LONG)
    for _ in range(4):
        with terminal(studio, "train", model) as window:
            run = only_run(studio)
            time.sleep(moments.uniform(0, 0.2))
            window.press(CTRL_C)
            assert window.ended() == 4
        assert not studio.processes()
        over(run, "stopped")
        run.discard()
