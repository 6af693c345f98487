"""A lab over a file system of 3 MB that fills up. Run by test_bad_input.py, which may mount it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.window import DOWN, ENTER, QUIT, Window
from tuilab.experiment.ready_made import ready_made_path
from tuilab.runs.directory import RunDirectory, run_names
from tuilab.runs.reader import overview

FULL = "o space left"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", tmp_path], check=True)
    (tmp_path / "runs").mkdir()
    text = ready_made_path("digits-mlp").read_text().replace("epochs = 30", "epochs = 100000")
    (tmp_path / "own.toml").write_text(text)
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(folder: Path, room: int = 0) -> Path:
    """Fill the disk up to `room` bytes; return the file that takes the space."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - room)
    return ballast


def test_a_run_waits_for_space_and_the_lab_says_so(small: Path) -> None:
    with Window.opened(small, "own.toml") as window:
        window.until_shown("dense")
        ballast = fill(small, 500_000)
        window.press("t")
        window.until_shown("the disk is full", "paused", seconds=300)
        for key in ("c", " ", "[", "l", "z", "\t", "3", DOWN, " ", "1", "2"):
            window.press(key)
        window.until_shown("the disk is full")
        ballast.unlink()
        run = RunDirectory(small / "runs" / run_names(small / "runs")[0])
        step = overview(run).status.step
        window.until(lambda: overview(run).status.step > step)
        window.until_shown("running")


def test_nothing_can_be_written_and_the_lab_says_what(small: Path) -> None:
    with Window.opened(small, "own.toml") as window:
        window.until_shown("dense")
        ballast = fill(small)
        window.press("D")  # a change, which is to be kept safe
        window.until_told(f"unsaved changes cannot be kept in {small}/state/unsaved: N{FULL}")
        window.press("w")
        window.until_told(f"own.toml cannot be written: N{FULL}")
        window.press("t")
        window.until_told(f"{small}/runs: n{FULL}")
        assert not run_names(small / "runs")
        window.press("\x10")
        window.until_shown("Search for commands")
        window.press(*"lab-light")
        window.until(
            lambda: "Theme lab-light" in window.picture.text and "Theme lab-ansi-dark" not in window.picture.text
        )
        window.press(ENTER)
        window.until_told(f"the theme is not remembered: {small}/settings.toml cannot be written: N{FULL}")
        ballast.unlink()
        window.press("w")
        window.until_told("saved in")
        window.press(QUIT)
        window.until_ended()
    assert "dense" in (small / "own.toml").read_text()
