"""A file system of 3 MB that fills up under a training. Run by test_full_disk.py, which may mount it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Tuilab
from tests.faults.conftest import OFTEN, Record, Studio, over, owner_of, record, wait
from tuilab.runs.directory import RunDirectory, find_run, run_names
from tuilab.runs.reader import overview, try_overview

ROOM = 300_000
"""Bytes that are left when a training begins: enough for its first checkpoints."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """What a run on a large disk leaves."""
    studio = Studio(Tuilab(tmp_path_factory.mktemp("large")))
    studio("train", studio.model())
    return record(find_run(studio.tuilab.runs, "last"), "loss")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Studio]:
    """The command with its runs on a file system of 3 MB, and workers that write checkpoints all the time."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", tmp_path], check=True)
    small = Studio(Tuilab(tmp_path), OFTEN)
    small.model()
    try:
        yield small
    finally:
        small.clear()
        subprocess.run(["umount", tmp_path], check=True)


def fill(studio: Studio, room: int = 0) -> Path:
    """Fill the disk up to `room` bytes; return the file that takes the space."""
    ballast = studio.tuilab.folder / "ballast"
    free = os.statvfs(studio.tuilab.folder)
    size = free.f_bavail * free.f_frsize - room
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return ballast


def start_and_fill_up(studio: Studio) -> tuple[subprocess.Popen[str], RunDirectory]:
    """Train until the run has filled the disk."""
    fill(studio, ROOM)
    process = studio.start("train", studio.tuilab.folder / "own.toml")
    wait(lambda: run_names(studio.tuilab.runs))
    run = find_run(studio.tuilab.runs, "last")
    wait(lambda: process.poll() is not None or overview(run).state == "paused")
    return process, run


def test_a_run_waits_for_space(small: Studio, undisturbed: Record) -> None:
    process, run = start_and_fill_up(small)
    seen = overview(run)
    assert "the disk is full, training goes on when there is space" in seen.reason
    assert seen.status.step < undisturbed.results[1]
    small("evaluate", run.name)
    (small.tuilab.folder / "ballast").unlink()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "the disk was full for" in stderr
    assert "Traceback" not in stderr + (run.path / "worker.log").read_text()
    assert record(run, "loss") == undisturbed


@pytest.mark.parametrize("how", ["tuilab stop", "tuilab stop, with room for the command", "SIGTERM", "SIGINT"])
def test_a_run_that_is_stopped_while_the_disk_is_full(small: Studio, undisturbed: Record, how: str) -> None:
    process, run = start_and_fill_up(small)
    if "room" in how:
        os.truncate(small.tuilab.folder / "ballast", (small.tuilab.folder / "ballast").stat().st_size - 8192)
    if how.startswith("tuilab"):
        small("stop", run.name)
    else:
        os.kill(owner_of(run).pid, signal.Signals[how])
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 5, stderr
    assert "no space left" in stderr
    seen = over(run, "failed")
    assert re.search("no space left|the disk was full", seen.reason)
    (small.tuilab.folder / "ballast").unlink()
    fill(small)
    refused = small("resume", run.name, code=5)
    assert "no space left" in refused.stderr
    assert "the disk was full" not in refused.stderr, "that was before"
    assert "Traceback" not in stderr + (run.path / "worker.log").read_text()
    (small.tuilab.folder / "ballast").unlink()
    small("resume", run.name)
    assert record(run, "loss") == undisturbed


@pytest.mark.parametrize("room", [0, 40_000, 80_000, 120_000])
def test_a_run_that_is_begun_on_a_disk_that_is_almost_full(small: Studio, room: int) -> None:
    """It begins not at all, or it waits."""
    ballast = fill(small, room)
    process = small.start(
        "train",
        small.tuilab.folder / "own.toml",
    )
    runs = small.tuilab.runs

    def waits() -> bool:
        seen = [try_overview(RunDirectory(runs / name)) for name in run_names(runs)]
        return any(not isinstance(one, str) and one.state == "paused" for one in seen)

    wait(lambda: process.poll() is not None or waits())
    waited = process.poll() is None
    ballast.unlink()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == (0 if waited else 5), stderr
    assert "no space left" in stderr
    assert "Traceback" not in stderr
    assert waited or not small.tuilab.run_names(), "nothing is left of it"
