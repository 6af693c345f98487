"""What the lab writes to a terminal of 80 × 24 while a run is watched, frame by frame."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tui.terminal import Terminal
from tuilab.experiment.ready_made import ready_made_path
from tuilab.runs.directory import RunDirectory, run_names
from tuilab.runs.reader import overview

BEGIN, END = b"\x1b[?2026h", b"\x1b[?2026l"
"""Around every frame, for terminals that say they understand it."""
ASKED, UNDERSTOOD = b"\x1b[?2026$p", b"\x1b[?2026;1$y"
SECONDS_MEASURED = 6.0
ROUNDS = 3
LARGEST, USUAL = 5 * 1024, 4 * 1024


class FrameTerminal(Terminal):
    """A terminal that understands where a frame begins and ends."""

    def read(self, seconds: float = 0.05) -> bytes:
        new = super().read(seconds)
        if ASKED in new:
            os.write(self.terminal, UNDERSTOOD)
        return new

    def until(self, happened: Callable[[], object], seconds: float = 120.0) -> None:
        """Read until something has happened."""
        limit = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < limit, self.written[-3000:]
            self.read()

    def frames(self, seconds: float, least: int = 0) -> list[bytes]:
        """Return what is written frame by frame in so many seconds, and until there are that many frames."""
        start, limit = len(self.written), time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= limit and len(all_frames(self.written[start:])) >= least)
        return all_frames(self.written[start:])


def all_frames(written: bytes) -> list[bytes]:
    return [part.partition(END)[0] for part in written.split(BEGIN)[1:]]


@pytest.fixture
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FrameTerminal]:
    """The lab on an experiment that trains for long."""
    text = ready_made_path("digits-mlp").read_text().replace("epochs = 30", "epochs = 100000")
    (tmp_path / "long.toml").write_text(text)
    terminal = FrameTerminal(tmp_path, "long.toml", columns=80, rows=24, **getattr(request, "param", {}))
    try:
        yield terminal
    finally:
        terminal.close()


def started(terminal: FrameTerminal) -> RunDirectory:
    """Train the experiment by a key, and wait until its curves are there."""
    runs = terminal.folder / "runs"
    terminal.until(lambda: b"dense" in terminal.written)
    terminal.press("t")
    terminal.until(lambda: run_names(runs))
    run = RunDirectory(runs / run_names(runs)[0])
    terminal.until(lambda: overview(run).status.epoch > 30)
    return run


@pytest.mark.parametrize(
    ("terminal", "most"), [({}, 10), ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, 4)], indirect=["terminal"]
)
def test_frames_are_few_and_small_while_a_run_is_watched(terminal: FrameTerminal, most: int) -> None:
    started(terminal)
    began = time.monotonic()
    frames = terminal.frames(SECONDS_MEASURED, least=3)
    assert len(frames) <= most * (time.monotonic() - began) + 1
    assert max(map(len, all_frames(terminal.written))) <= LARGEST, "the first whole pictures, too"
    assert sum(map(len, frames)) / len(frames) <= USUAL


def test_a_terminal_that_stops_reading_does_not_slow_the_training(terminal: FrameTerminal) -> None:
    run = started(terminal)

    def steps_a_second(wait: Callable[[float], object], seconds: float) -> float:
        before = overview(run).status
        wait(seconds)
        while (after := overview(run).status).heartbeat == before.heartbeat:  # how far it is, it tells now and then
            wait(0.1)
        return (after.step - before.step) / (after.heartbeat - before.heartbeat)

    read, stalled = [], []
    for _ in range(ROUNDS):  # by turns: the machine may be slower for a while
        read.append(steps_a_second(terminal.frames, 2.0))
        stalled.append(steps_a_second(time.sleep, 4.0))
    assert max(stalled) > 0.5 * max(read)
    assert terminal.frames(1.0, least=1)  # and it goes on where somebody reads again
