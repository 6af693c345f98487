"""Keras beside the tests, and a place for runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tuilab.blocks.arrays import HostArray


class Keras:
    """Keras in a process of its own: it is heavy, and warns of what is no concern of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = (folder / "log").open("wb")
        program = Path(__file__).with_name("keras_models.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, "KERAS_BACKEND": "torch", "KERAS_HOME": str(folder)},
            text=True,
        )

    def close(self) -> None:
        self.process.communicate()
        self.log.close()

    def _ask(self, **request: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n", (self.folder / "log").read_text()[-3000:]

    def file(self, name: str, suffix: str = ".keras") -> Path:
        """Return a model's file in one of the formats: .keras, .weights.h5, .h5."""
        if not (self.folder / f"{name}.npz").exists():
            self._ask(make=name, folder=str(self.folder))
        return self.folder / f"{name}{suffix}"

    def example(self, name: str) -> tuple[HostArray, HostArray]:
        """Return samples and what Keras predicts for them."""
        self.file(name)
        with np.load(self.folder / f"{name}.npz") as arrays:
            return arrays["x"], arrays["y"]

    def predict(self, file: Path, samples: HostArray) -> HostArray:
        """Return what Keras predicts with the model in a file."""
        np.save(self.folder / "samples.npy", samples)
        into = self.folder / "predictions.npy"
        self._ask(predict=str(file), samples=str(self.folder / "samples.npy"), into=str(into))
        return np.load(into)


@pytest.fixture(scope="session")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keras]:
    for library in ("torch", "keras"):
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    started = Keras(tmp_path_factory.mktemp("keras"))
    yield started
    started.close()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"
