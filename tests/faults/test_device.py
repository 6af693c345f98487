"""A GPU that fails in the middle of a training: the run ends with a plain reason, and goes on elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import LONG, MODEL, OFTEN, Studio, over, wait
from tests.nvidia.fake import Nvidia
from tuilab.runs.directory import RunDirectory, find_run
from tuilab.runs.reader import following

GPU = """
from tuilab.engine import device
from tuilab.engine.driver import Card
from tuilab.engine.kernels.numpy import NumpyKernels

class Kernels(NumpyKernels):
    calls = 0

    def linear(self, *arguments, **options):
        Kernels.calls += 1
        if Kernels.calls == {at}:
            {failure}
        super().linear(*arguments, **options)

chosen = device.choose_device

def choose_device(name):
    if name == "cpu":
        return chosen(name)
    return device.Device("gpu", Kernels(), 1, Card(0, "Great Card 0", "{bus}"), "trains on Great Card 0 (gpu)")

device.choose_device = choose_device
"""
"""What the worker takes for a GPU: the reference, which raises what CuPy raises."""

OUT_OF_MEMORY = "from cupy.cuda.memory import OutOfMemoryError; raise OutOfMemoryError(5_000_000_000, 0)"
ILLEGAL_ADDRESS = "from cupy_backends.cuda.api.runtime import CUDARuntimeError; raise CUDARuntimeError(700)"
BUS = "0000:03:00.0"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (
            OUT_OF_MEMORY,
            "the GPU has not enough memory: 5.0 GB more were asked for; the largest layer is dense_1 (layers[0]) with "
            "about 1.4 KB; a data.batch_size below 4 or smaller layers need less",
        ),
        (
            ILLEGAL_ADDRESS,
            "the GPU cannot go on: a kernel reached for memory that is not its own (cudaErrorIllegalAddress: an "
            "illegal memory access was encountered); nvidia-smi and the system's log say more",
        ),
    ],
    ids=["memory", "address"],
)
def test_a_device_that_fails(studio: Studio, failure: str, reason: str) -> None:
    studio.worker = OFTEN + GPU.format(at=1000, failure=failure, bus=BUS)
    done = studio("train", studio.model(), code=5)
    run = find_run(studio.tuilab.runs, "last")
    elsewhere = f"; go on: tuilab resume {run.name}, or on the CPU: tuilab resume {run.name} --set training.device=cpu"
    seen = over(run, "failed")
    assert (seen.reason, seen.status.device) == (reason + elsewhere, "gpu")
    assert f"tuilab: {reason}{elsewhere}\n" in done.stderr
    assert 0 < seen.status.step < 1000
    assert "most recent call" in (run.path / "worker.log").read_text()
    studio("resume", run.name, "--set", "training.device=cpu")
    assert over(run).status.device == "cpu"
    with following(run) as reader:
        told = [message.text for message in reader.messages()]
    assert "trains on Great Card 0 (gpu)" in told
    assert any(text.startswith("numbers may differ from a run without interruption: other device") for text in told)


EMULATED = f"""
import sys
sys.path.append({str(Path(__file__).parents[2])!r})
from cupy_backends.cuda.api.runtime import CUDARuntimeError
from tests.gpu.device import EmulatedKernels
from tuilab.engine import device
from tuilab.engine.trainer import Trainer

chosen, epoch_done = device.choose_device, Trainer._run_epoch

def choose_device(name):
    return chosen(name) if name == "cpu" else device.Device("gpu", EmulatedKernels(), 5)

def run_epoch(trainer):
    if trainer.epoch == 1 and trainer.device.name == "gpu":
        raise CUDARuntimeError(700)
    yield from epoch_done(trainer)

device.choose_device, Trainer._run_epoch = choose_device, run_epoch
"""
"""A GPU that rounds, and fails after an epoch."""


def test_a_run_in_float16_whose_device_fails_goes_on_on_the_cpu(studio: Studio) -> None:
    studio.worker = OFTEN + EMULATED
    made = "perceptron-and", "--epochs", "3", "--set", "training.precision=float16"
    done = studio("train", *made, "--set", "training.statistics_every=1", code=5)
    remedy = "--set training.device=cpu --set training.precision=float32"
    assert done.stderr.endswith(f"or on the CPU: tuilab resume {find_run(studio.tuilab.runs, 'last').name} {remedy}\n")
    studio("resume", "last", *remedy.split())
    assert over(find_run(studio.tuilab.runs, "last")).status.epoch == 3


def test_no_memory_before_the_first_step_leaves_no_run(studio: Studio) -> None:
    studio.worker = GPU.format(at=1, failure=OUT_OF_MEMORY, bus=BUS)
    assert "go on" not in studio("train", studio.model(), code=5).stderr
    assert studio.tuilab.run_names() == []


def series_of(run: RunDirectory) -> dict[str, float]:
    """Return the newest number of every series that tells of the GPU."""
    with following(run) as reader:
        return {name: reader.curve(name).mean[-1] for name in reader.series() if name.startswith("gpu")}


def test_what_the_gpu_tells_is_recorded(studio: Studio, nvidia: Nvidia, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvidia.folder))
    monkeypatch.setenv("FAKE_GPUS", "2")
    studio.worker = GPU.format(at=0, failure="pass", bus="0000:13:00.0")  # of the second one
    studio("train", studio.model(MODEL))
    told = series_of(find_run(studio.tuilab.runs, "last"))
    assert told == {"gpu_percent": 91, "gpu_memory_bytes": 4e9, "gpu_watts": 251.5, "gpu_celsius": 61}


def test_what_the_gpu_does_not_tell_is_left_out(
    studio: Studio, nvidia: Nvidia, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvidia.folder))
    monkeypatch.setenv("FAKE_UNSUPPORTED", "nvmlDeviceGetPowerUsage,nvmlDeviceGetMemoryInfo")
    monkeypatch.setenv("FAKE_STRANGE", "nvmlDeviceGetTemperature")
    studio.worker = GPU.format(at=0, failure="pass", bus=BUS)
    run, _ = studio.detached("train", studio.model(LONG))
    wait(lambda: series_of(run))
    assert series_of(run) == {"gpu_percent": 90}
    studio("stop", run.name)


def test_a_driver_without_its_management_library(studio: Studio) -> None:
    studio.worker = GPU.format(at=0, failure="pass", bus=BUS)
    studio("train", studio.model(MODEL))
    run = find_run(studio.tuilab.runs, "last")
    assert series_of(run) == {}
    assert over(run).status.device == "gpu"
