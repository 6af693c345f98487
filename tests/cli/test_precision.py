"""Rounded products by the real command, on machines that have no GPU to round them."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Tuilab
from tests.nvidia.fake import Nvidia

REMEDY = 'on the CPU set training.precision = "float32"'


@pytest.mark.parametrize(
    ("device", "said"),
    [("auto", 'training.device = "auto" is the CPU here'), ("cpu", 'training.device = "cpu" is the CPU here')],
)
def test_the_cpu_refuses(tuilab: Tuilab, device: str, said: str) -> None:
    done = tuilab("train", "perceptron-and", "--set", "training.precision=bfloat16", "--device", device, code=2)
    message = f'training.precision: "bfloat16" needs a GPU ({said}); {REMEDY}'
    assert done.stderr.endswith(f"{message}\n"), done.stderr
    assert tuilab.run_names() == []


def test_numbers_of_64_bits_are_not_rounded(tuilab: Tuilab) -> None:
    settings = [argument for name in ("precision=tf32", "dtype=float64") for argument in ("--set", f"training.{name}")]
    done = tuilab("train", "perceptron-and", *settings, code=2)
    assert 'training.precision: "tf32" goes with training.dtype = "float32", not with "float64"' in done.stderr
    assert tuilab.run_names() == []


def test_a_run_does_not_go_on_on_the_cpu_unless_it_is_told_to(tuilab: Tuilab) -> None:
    tuilab("train", "perceptron-and", "--epochs", "1")
    (name,) = tuilab.run_names()
    wanted = "--set", "training.epochs=2", "--set", "training.precision=float16"
    done = tuilab("resume", name, *wanted, code=2)
    assert REMEDY in done.stderr
    tuilab("resume", name, "--set", "training.epochs=2")


def test_why_it_is_the_cpu_is_told(tuilab: Tuilab, nvidia: Nvidia) -> None:
    settings = "--set", "training.precision=float16"
    done = tuilab("train", "perceptron-and", *settings, code=2, **nvidia.environment(FAKE_GPUS=2, FAKE_CUDA=12020))
    said = '"float16" needs a GPU (trains on the CPU: the NVIDIA driver is too old for the CUDA of the installed CuPy'
    assert f"training.precision: {said}" in done.stderr
    assert done.stderr.endswith(f"; {REMEDY}\n")
    assert tuilab.run_names() == []
