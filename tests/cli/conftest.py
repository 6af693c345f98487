"""Runs the real command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import Epoch, Overview, following, overview

CONTROL = {chr(code) for code in range(32)} - {"\n"}


@dataclass
class Outcome:
    """What a finished command left."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class Tuilab:
    """The command with a home, runs and data of its own."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("TUILAB_DATA", "NO_COLOR")}
        own = {"HOME": str(self.folder), "TUILAB_RUNS": str(self.runs), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
        return {**kept, **own, **more}

    def __call__(self, *arguments: str | Path, code: int | None = 0, **environment: str) -> Outcome:
        """Run `tuilab ARGUMENTS` and return what it left; it must end with `code` and write no control character."""
        done = subprocess.run(
            [sys.executable, "-m", "tuilab", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=600,
            cwd=self.folder,
            env=self.environment(**environment),
        )
        outcome = Outcome(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in outcome.stderr, outcome.stderr
        assert not CONTROL & set(outcome.stdout + outcome.stderr), repr(outcome)
        assert code is None or outcome.code == code, outcome
        return outcome

    def start(self, *arguments: str | Path, program: tuple[str, ...] = ("-m", "tuilab")) -> subprocess.Popen[str]:
        """Start `tuilab ARGUMENTS` and return the process, its output in pipes."""
        return subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment(),
        )

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def overview(self, run: str) -> Overview:
        return overview(RunDirectory(self.runs / run))

    def epochs(self, run: str) -> list[Epoch]:
        """The results of every epoch of a run."""
        with following(RunDirectory(self.runs / run)) as reader:
            return reader.epochs()

    def wait_for(self, run: str, reached: Callable[[Overview], bool]) -> Overview:
        """Wait until a run has come to what `reached` asks of it."""
        until = time.monotonic() + 60
        while not reached(seen := self.overview(run)):
            assert time.monotonic() < until, seen
            time.sleep(0.02)
        return seen

    def run_names(self) -> list[str]:
        """Everything in the runs folder, hidden leftovers included."""
        return sorted(path.name for path in self.runs.iterdir()) if self.runs.exists() else []


@pytest.fixture
def tuilab(tmp_path: Path) -> Tuilab:
    return Tuilab(tmp_path)
