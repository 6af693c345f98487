"""What there is to train on, told and checked, by the real command on machines whose driver says what we want."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import Tuilab
from tests.nvidia.fake import Nvidia
from tuilab.engine.parity_cases import KINDS

OLD = {"FAKE_GPUS": "2", "FAKE_CUDA": "12020"}
"""Two GPUs whose driver runs no CUDA 13, which the installed CuPy needs."""
BROKEN = """
import sys
from tuilab.engine.kernels.numba import NumbaKernels
activate = NumbaKernels.activate
def wrong(self, activation, x, bias, out):
    activate(self, activation, x, bias, out)
    if activation.type_name() == "mish":
        out *= 1.01
NumbaKernels.activate = wrong
from tuilab.cli.main import main
main()
"""


def test_what_is_missing_is_told(tuilab: Tuilab, nvidia: Nvidia) -> None:
    done = tuilab("devices", **nvidia.environment(**OLD))
    header, cpu, first, second = done.stdout.splitlines()
    assert header.split() == ["device"]
    assert cpu.startswith("cpu     ok  ")
    assert first.startswith("gpu     –   Great Card 0: the NVIDIA driver is too old for the CUDA of the installed CuPy")
    assert first.endswith(", 6.0 GB of 8.0 GB free, load 90 %, 250 W, 60 °C, driver 580.1.2, CUDA 12.2")
    assert second.startswith("gpu:1   –   Great Card 1: ")
    assert done.stderr == "--device auto takes cpu\n"


def test_facts(tuilab: Tuilab, nvidia: Nvidia) -> None:
    cpu, first, second = tuilab("devices", "--json", **nvidia.environment(**OLD)).json
    assert (cpu["name"], cpu["available"], cpu["auto"], cpu["driver"]) == ("cpu", True, True, None)
    assert (first["name"], first["available"], first["memory_bytes"]) == ("gpu", False, 8e9)
    assert (second["name"], second["watts"], second["cuda"]) == ("gpu:1", 251.5, "12.2")


def test_a_training_says_why_it_is_on_the_cpu(tuilab: Tuilab, nvidia: Nvidia) -> None:
    done = tuilab("train", "perceptron-and", "--epochs", "1", **nvidia.environment(**OLD))
    assert "\ntrains on the CPU: the NVIDIA driver is too old" in f"\n{done.stderr}"
    assert "on cpu" in done.stderr


def test_a_training_on_a_gpu_that_is_not_there(tuilab: Tuilab, nvidia: Nvidia) -> None:
    environment = nvidia.environment(FAKE_GPUS=2)
    done = tuilab("train", "perceptron-and", "--device", "gpu:2", code=1, **environment)
    assert done.stderr == "tuilab: device 'gpu:2': there are 2 GPUs, gpu:0 to gpu:1; use --device cpu\n"
    assert tuilab.run_names() == []


def test_every_block_on_the_cpu_agrees_with_the_reference(tuilab: Tuilab) -> None:
    told = tuilab("devices", "--check", "--device", "cpu", "--json").json
    assert (told["device"], told["passed"]) == ("cpu", True)
    names = {(row["kind"], row["name"]) for row in told["blocks"]}
    every = {(kind.kind_name(), name) for kind in KINDS for name in kind.registry}
    assert every - names == {("layer", "vgg16"), ("layer", "vgg19")}
    for row in told["blocks"]:
        assert row["passed"]
        assert row["cases"] > 0
        assert row["difference"] <= row["tolerance"] == 2e-4


@pytest.mark.parametrize("as_json", [False, True])
def test_a_block_that_differs(tuilab: Tuilab, as_json: bool) -> None:
    command = [sys.executable, "-c", BROKEN, "devices", "--check", "--device", "cpu", *["--json"] * as_json]
    done = subprocess.run(command, capture_output=True, text=True, env=tuilab.environment(), cwd=tuilab.folder)
    assert done.returncode == 1, done.stderr
    if as_json:
        told = json.loads(done.stdout)
        assert [row["name"] for row in told["blocks"] if not row["passed"]] == ["mish"]
        assert told["passed"] is False
        return
    wrong = next(line for line in done.stdout.splitlines() if "FAILED" in line)
    assert wrong.startswith("activation   mish                       FAILED  ")
    assert "(at most 2e-04)  defaults: " in wrong
    assert done.stderr.endswith("blocks on cpu differ from the reference: activation mish\n")


def test_a_check_of_a_device_that_is_not_there(tuilab: Tuilab, nvidia: Nvidia) -> None:
    done = tuilab("devices", "--check", "--device", "gpu:2", code=1, **nvidia.environment(FAKE_GPUS=2))
    assert done.stderr == "tuilab: device 'gpu:2': there are 2 GPUs, gpu:0 to gpu:1; use --device cpu\n"
