"""What CuPy and CUDA raise, in words: with the exceptions of the real CuPy, which need no GPU to be made."""

from __future__ import annotations

from typing import Any

import pytest
from cupy.cuda.compiler import CompileException
from cupy.cuda.memory import OutOfMemoryError
from cupy_backends.cuda.api.runtime import CUDARuntimeError

from tests.engine.examples import make_experiment, make_info
from tuilab.engine import failures
from tuilab.engine.failures import Memory, Wanted, device_failure, device_failures_told, out_of_memory
from tuilab.engine.kernels.cublas import CublasError
from tuilab.errors import DeviceError, DeviceFailure
from tuilab.experiment.plan import batch_size_within, memory_bytes, plan

LARGE: list[dict[str, Any]] = [
    {"type": "dense", "units": 100},
    {"type": "residual", "layers": [{"type": "dense", "units": 1000}, {"type": "dense", "units": 100}]},
    {"type": "dense", "units": 3, "activation": "softmax"},
]


def wanted(batch_size: int = 4096, data_bytes: int = 0) -> Wanted:
    experiment = make_experiment(LARGE, "categorical_crossentropy", data={"batch_size": batch_size})
    return Wanted(plan(experiment, make_info()), experiment, data_bytes)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            CUDARuntimeError(35),
            "the GPU cannot go on: the NVIDIA driver is too old for the CUDA of the installed CuPy; update the driver "
            "(cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version); nvidia-smi "
            "and the system's log say more",
        ),
        (
            CUDARuntimeError(999),
            "the GPU cannot go on: it does not answer any more (cudaErrorUnknown: unknown error); nvidia-smi and the "
            "system's log say more",
        ),
        (CublasError("cuBLAS reports error 13"), "the GPU cannot go on: cuBLAS reports error 13"),
        (CUDARuntimeError(1), "the GPU cannot go on: cudaErrorInvalidValue: invalid argument"),
        (
            CompileException("a.cu(1): error:\n no such thing", "source", "a.cu", ()),
            "a kernel could not be compiled for this GPU: a.cu(1): error: no such thing",
        ),
    ],
    ids=["driver", "lost", "cublas", "other", "compiler"],
)
def test_errors_of_cuda(error: Exception, told: str) -> None:
    assert str(device_failure(error)) == told


def test_every_reason_is_one_of_cuda() -> None:
    """CUDA numbers its errors below 1000; each that a reason stands for is there by that name."""
    names = {str(CUDARuntimeError(number)).partition(":")[0] for number in range(1000)}
    assert failures.REASONS.keys() <= names
    assert failures.MEMORY[0] in names


@pytest.mark.parametrize("error", [RuntimeError("cudaErrorUnknown"), MemoryError("64 GiB"), ValueError("cupy")])
def test_what_does_not_come_from_the_device(error: Exception) -> None:
    assert device_failure(error) is None
    with pytest.raises(type(error)) as raised, device_failures_told():
        raise error
    assert raised.value is error


def test_a_failure_is_told_with_what_was_wanted() -> None:
    largest = r"the largest layer is dense_1 \(layers\[1\].layers\[0\]\)"
    with pytest.raises(DeviceFailure, match=largest) as raised, device_failures_told(wanted):
        raise OutOfMemoryError(10**9, 0)
    assert isinstance(raised.value.__cause__, OutOfMemoryError)
    assert raised.value.exit_code == 5


def test_nobody_is_asked_what_was_wanted_without_a_failure() -> None:
    def ask() -> Wanted:
        raise AssertionError

    with pytest.raises(DeviceError, match="no GPU"), device_failures_told(ask):
        raise DeviceError("no GPU")
    with device_failures_told(ask):
        pass


def test_memory_that_cuda_has_not_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "memory_now", lambda: Memory(free=3 * 10**8, total=8 * 10**9, held=7 * 10**9))
    told = "the GPU has not enough memory: 0.3 GB of 8.0 GB are free"
    assert str(device_failure(CUDARuntimeError(2))) == told
    assert str(device_failure(CublasError("cuBLAS reports error 3"))) == told


SAID = str(OutOfMemoryError(2_100_000_000, 10))
PREFIX = "the GPU has not enough memory: 2.1 GB more were asked for"
LARGEST = "the largest layer is dense_1 (layers[1].layers[0]) with about 18.8 MB"


@pytest.mark.parametrize(
    ("memory", "told"),
    [
        (None, f"{PREFIX}; {LARGEST}; a data.batch_size below 4096 or smaller layers need less"),
        (
            Memory(free=2 * 10**7, total=8 * 10**9, held=0),
            f"{PREFIX}, 20.0 MB of 8.0 GB are free, 8.0 GB are held by other programs; {LARGEST}; "
            "data.batch_size = 1024 would fit by estimate, it is 4096",
        ),
        (
            Memory(free=10**6, total=8 * 10**9, held=7 * 10**9 + 5 * 10**8),
            f"{PREFIX}, 1.0 MB of 8.0 GB are free; {LARGEST}; a data.batch_size below 4096 or smaller layers need less",
        ),
        (
            Memory(free=10**6, total=8 * 10**9, held=0),
            f"{PREFIX}, 1.0 MB of 8.0 GB are free, 8.0 GB are held by other programs; {LARGEST}; "
            "not even one sample a step would fit: it needs smaller layers",
        ),
    ],
    ids=["nothing known", "others hold it", "it should fit", "far too little"],
)
def test_out_of_memory(memory: Memory | None, told: str) -> None:
    assert out_of_memory(SAID, memory, wanted()) == told


def test_data_takes_room_too() -> None:
    memory = Memory(free=2 * 10**8, total=8 * 10**9, held=0)
    assert "data.batch_size = 1024 would fit" in out_of_memory(SAID, memory, wanted(data_bytes=15 * 10**7))


def test_the_batch_size_that_fits_is_the_largest_one() -> None:
    w = wanted()
    fits = batch_size_within(w.plan, w.experiment, 10**8)
    sizes = [memory_bytes(w.plan, wanted(size).experiment) for size in (fits, fits + 1)]
    assert sizes[0] <= 10**8 < sizes[1]
