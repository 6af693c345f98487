"""The benchmarks' own steps: that they run, and that all of them learn the same thing."""

from __future__ import annotations

import pytest

from benchmarks import dense, tiny


def test_tiny_steps_run() -> None:
    for steps in (tiny.our_steps(), tiny.numpy_steps()):
        steps()


def test_dense_steps_run() -> None:
    for step in (dense.our_step(32), dense.numpy_step(32), dense.sklearn_step(32)):
        step()
        step()


def test_steps_of_pytorch_run() -> None:
    pytest.importorskip("torch")
    tiny.torch_steps(1)()
    dense.torch_step(32, 1)()
