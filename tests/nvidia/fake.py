"""A machine with an NVIDIA driver: libraries that say what a test wants, which processes find like real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("fake_nvidia.c")
LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")


@dataclass(frozen=True)
class Nvidia:
    """A folder with both libraries."""

    folder: Path

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the variables of a process on such a machine; `settings` as fake_nvidia.c describes them."""
        visible = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        return {
            **visible,
            "LD_LIBRARY_PATH": str(self.folder),
            **{name: str(value) for name, value in settings.items()},
        }

    def ask(self, program: str, **settings: object) -> Any:
        """Run a program in a process of its own, and return the JSON that it prints."""
        done = subprocess.run(
            [sys.executable, "-c", program], env=self.environment(**settings), capture_output=True, text=True
        )
        assert not done.returncode, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def nvidia(tmp_path_factory: pytest.TempPathFactory) -> Nvidia:
    folder = tmp_path_factory.mktemp("nvidia")
    for library in LIBRARIES:
        compile_c(["-shared", "-fPIC", "-o", str(folder / library), str(SOURCE)])
    return Nvidia(folder)


def compile_c(arguments: Sequence[str]) -> None:
    """Run the C compiler; every machine that runs the tests has one."""
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-Wall", "-Werror", *arguments], check=True)
