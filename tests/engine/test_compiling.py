"""Kernels are compiled once for a machine; a cache that cannot be used costs time and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuilab.engine.device import choose_device, compilations
from tuilab.engine.kernels.numpy import NumpyKernels

PROGRAM = """
import numpy as np
from tuilab.blocks.activations import Relu
from tuilab.engine.device import choose_device, compilations

ops, compiled, y = choose_device("cpu").ops, [], np.array([[-1, 2]], "float32")
with compilations(ops, compiled.append):
    ops.activate(Relu(), y, None, y)
assert y.tolist() == [[0, 2]]
print(len(compiled))
"""


def compiled(home: Path, **environment: str) -> int:
    """Return how many functions a process compiles that uses one kernel, with this home folder."""
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **environment}
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env={**kept, **places}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return int(done.stdout.split()[0])


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    assert compiled(tmp_path) > 0
    assert list(tmp_path.rglob("kernels/*/*/fused_activations.activate-*.nbc"))
    assert compiled(tmp_path) == 0


def test_a_folder_of_the_user_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    assert compiled(tmp_path, NUMBA_CACHE_DIR=str(folder)) > 0
    assert list(folder.rglob("*.nbc"))
    assert compiled(tmp_path, NUMBA_CACHE_DIR=str(folder)) == 0


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    compiled(tmp_path)
    for kind in ("nbc", "nbi"):
        (path,) = tmp_path.rglob(f"fused_activations.activate-*.{kind}")
        path.write_bytes(b"nonsense")
        assert compiled(tmp_path) > 0
    assert compiled(tmp_path) == 0


def test_a_home_that_is_not_ours_to_write_means_compiling_each_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        assert compiled(tmp_path, NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator") > 0


def test_without_numba_the_reference_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name == "numba" or name == "tuilab.engine.kernels.numba":
            monkeypatch.setitem(sys.modules, name, None)
    ops = choose_device("cpu").ops
    assert type(ops) is NumpyKernels
    with compilations(ops, report=lambda count: pytest.fail("there is nothing to compile")):
        pass


def test_what_is_compiled_ahead_is_what_trainings_call(tmp_path: Path) -> None:
    """After `tuilab devices --warm` a training of every kind of layer compiles nothing."""
    program = """
from tests.engine.examples import make_data, make_experiment
from tuilab.engine.device import choose_device, compilations, compile_kernels
from tuilab.engine.trainer import Trainer
for done, count in compile_kernels():
    assert 0 <= done <= count
dense = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dropout", "rate": 0.5}]
small = [{"type": "dense", "units": 3, "activation": "softmax"}]
for layers, loss, task in (
    (dense + small, "categorical_crossentropy", "categorical"),
    (small, "categorical_crossentropy", "categorical"),
    ([{"type": "dense", "units": 1, "activation": "sigmoid"}], "binary_crossentropy", "binary"),
    (dense + [{"type": "dense", "units": 3, "activation": "sigmoid"}], "binary_crossentropy", "multi_label"),
):
    experiment = make_experiment(layers, loss, optimizer="adam", metrics=["accuracy"])
    trainer = Trainer(experiment, make_data(task), choose_device("cpu"))
    with compilations(trainer.device.ops, lambda count: exit("something is compiled")):
        list(trainer.run())
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, cwd=Path(__file__).parents[2])


def test_kernels_do_not_load_what_numba_asks_for_in_vain() -> None:
    program = """
import sys
import numpy as np
from tuilab.engine.kernels import fused_sums
print(fused_sums.mean_and_deviation(np.ones(4, "float32")), "scipy.linalg" in sys.modules)
import scipy.linalg
print(scipy.linalg.inv(2 * np.eye(1)).item())
"""
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.splitlines() == ["(1.0, 0.0) False", "0.5"]
