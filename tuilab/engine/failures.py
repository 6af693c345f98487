"""What CuPy and CUDA raise, told to a person: what happened, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tuilab.engine.kernels.cublas import CublasError
from tuilab.errors import DeviceError, DeviceFailure
from tuilab.experiment.document import Experiment
from tuilab.experiment.plan import Plan, batch_size_within, largest_layer
from tuilab.text import clean_text

PACKAGES = ("cupy", "cupy_backends", "cupyx")
"""Every exception that is defined there is about the device."""
MEMORY = (
    "cudaErrorMemoryAllocation",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "cuBLAS reports error 3",
)
DRIVER_TOO_OLD = "the NVIDIA driver is too old for the CUDA of the installed CuPy; update the driver"
WRONG_ADDRESS = "a kernel reached for memory that is not its own"
LOST = "it does not answer any more"
BROKEN = "its memory is damaged"
REASONS = {
    "cudaErrorInsufficientDriver": DRIVER_TOO_OLD,
    "cudaErrorUnsupportedPtxVersion": DRIVER_TOO_OLD,
    "cudaErrorCallRequiresNewerDriver": DRIVER_TOO_OLD,
    "cudaErrorSystemDriverMismatch": "the NVIDIA driver and its libraries differ in version; restart the machine",
    "cudaErrorNoKernelImageForDevice": "the installed CuPy has no kernels for this GPU",
    "cudaErrorNoDevice": LOST,
    "cudaErrorDevicesUnavailable": "another program has it for itself, or it does not answer",
    "cudaErrorDeviceUninitialized": LOST,
    "cudaErrorSystemNotReady": "the system is not ready: is its fabric manager running?",
    "cudaErrorUnknown": LOST,
    "cudaErrorLaunchFailure": "a kernel broke off",
    "cudaErrorLaunchTimeout": "a kernel took longer than this system allows",
    "cudaErrorIllegalAddress": WRONG_ADDRESS,
    "cudaErrorMisalignedAddress": WRONG_ADDRESS,
    "cudaErrorInvalidAddressSpace": WRONG_ADDRESS,
    "cudaErrorIllegalInstruction": "a kernel met an instruction that the GPU does not know",
    "cudaErrorECCUncorrectable": BROKEN,
    "cudaErrorContained": BROKEN,
    "cudaErrorNvlinkUncorrectable": "the link to other GPUs is damaged",
}
"""By CUDA's name of the error, which its text begins with."""
MARGIN = 0.9
"""Of the memory that there is may be planned with: kernels, libraries and the gaps between arrays take some."""
OTHERS_MATTER = 1e9
"""Bytes that other programs hold from which on they are worth a word; a context alone takes half of that."""


@dataclass(frozen=True)
class Wanted:
    """What was to be trained."""

    plan: Plan
    experiment: Experiment
    data_bytes: int
    """That the samples take on the device."""


@dataclass(frozen=True)
class Memory:
    """Bytes of the device."""

    free: int
    total: int
    held: int
    """By this process."""


def device_failure(error: BaseException, wanted: Wanted | None = None) -> DeviceFailure | None:
    """Return what a user can understand of an exception of CuPy or CUDA, None for any other."""
    if type(error).__module__.partition(".")[0] not in PACKAGES and not isinstance(error, CublasError):
        return None
    name = str(error).partition(":")[0].strip()
    if isinstance(error, MemoryError) or name in MEMORY:
        return DeviceFailure(out_of_memory(str(error), memory_now(), wanted))
    said = clean_text(" ".join(str(error).split()), 300)
    if type(error).__name__ in ("CompileException", "NVRTCError"):
        return DeviceFailure(f"a kernel could not be compiled for this GPU: {said}")
    if name in REASONS:
        return DeviceFailure(
            f"the GPU cannot go on: {REASONS[name]} ({said}); nvidia-smi and the system's log say more"
        )
    return DeviceFailure(f"the GPU cannot go on: {said}")


@contextmanager
def device_failures_told(wanted: Callable[[], Wanted | None] = lambda: None) -> Iterator[None]:
    """Raise DeviceFailure in the place of what CuPy and CUDA raise in the block; `wanted` is asked only then."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DeviceError) or device_failure(error) is None:
            raise
        failure = device_failure(error, wanted())
        assert failure is not None
        raise failure from error


def memory_now() -> Memory | None:
    """Return how the memory of the GPU in use is shared out, None where it does not say."""
    import cupy

    try:
        free, total = cupy.cuda.runtime.memGetInfo()
    except RuntimeError:  # what CUDA raises; a lost device tells nothing any more
        return None
    return Memory(free, total, cupy.get_default_memory_pool().total_bytes())


def out_of_memory(said: str, memory: Memory | None, wanted: Wanted | None) -> str:
    """Return what there is to say of memory that was not there: how much was asked for and is free, who has the rest,
    which layer takes most and which batch size would fit; `said`: by CuPy."""
    asked = re.search(r"allocating ([\d,]+) bytes", said)
    message = "the GPU has not enough memory"
    if asked:
        message += f": {_amount(int(asked[1].replace(',', '')))} more were asked for"
    if memory is not None:
        message += f"{',' if asked else ':'} {_amount(memory.free)} of {_amount(memory.total)} are free"
        others = memory.total - memory.free - memory.held
        if others > OTHERS_MATTER:
            message += f", {_amount(others)} are held by other programs"
    if wanted is None:
        return message
    largest, size = largest_layer(wanted.plan, wanted.experiment)
    name = largest.name.rpartition("/")[2]
    message += f"; the largest layer is {clean_text(name, 60)} ({largest.place}) with about {_amount(size)}"
    return message + _remedy(memory, wanted)


def _remedy(memory: Memory | None, wanted: Wanted) -> str:
    now = wanted.experiment.data.batch_size
    if memory is not None:
        available = int(MARGIN * (memory.free + memory.held)) - wanted.data_bytes
        fits = batch_size_within(wanted.plan, wanted.experiment, available)
        if not fits:
            return "; not even one sample a step would fit: it needs smaller layers"
        if fits < now:
            return f"; data.batch_size = {1 << fits.bit_length() - 1} would fit by estimate, it is {now}"
    return f"; a data.batch_size below {now} or smaller layers need less"


def _amount(size: float) -> str:
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if size >= one / 10:
            return f"{size / one:.1f} {unit}"
    return f"{size / 1e3:.1f} KB"
