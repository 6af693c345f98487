"""The device that an experiment runs on, chosen by name."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tuilab.blocks.arrays import Ops
from tuilab.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """A device and its operations."""

    name: str
    ops: Ops
    steps_between_reads: int
    """How often the host reads results: every step where reading costs nothing."""


@dataclass(frozen=True)
class DeviceFacts:
    """What `tuilab devices` shows of one device."""

    name: str
    available: bool
    description: str


def choose_device(name: str = "auto") -> Device:
    """Return the device called `auto`, `cpu`, `gpu` or `gpu:1`; raises DeviceError where it cannot be had."""
    if name in ("auto", "cpu"):
        return Device("cpu", cpu_kernels(), steps_between_reads=1)
    raise DeviceError(f"device '{name}': {gpu_facts().description}; use --device cpu")


def cpu_kernels() -> Ops:
    """Return the operations of the CPU: the fused ones, or the reference where numba is not to be had."""
    try:
        from tuilab.engine.kernels.numba import NumbaKernels
    except ImportError:
        from tuilab.engine.kernels.numpy import NumpyKernels

        return NumpyKernels()
    return NumbaKernels()


def compile_kernels(dtype: str = "float32") -> Iterator[tuple[int, int]]:
    """Compile what trainings of this precision need, for this and every later process; yield how much is done, of how
    much."""
    ops = cpu_kernels()
    if ops.compiles:
        from tuilab.engine.kernels import small_steps  # noqa: F401, imported to be compiled
        from tuilab.engine.kernels.compiling import compile_all

        yield from compile_all(dtype)


def compilations(ops: Ops, report: Callable[[int], None]) -> AbstractContextManager[Any]:
    """Let `report` hear whenever a kernel is compiled in the block, because this machine has never needed it: how many
    it were with this one."""
    if not ops.compiles:
        return nullcontext()
    from tuilab.engine.kernels.compiling import watched

    return watched(report)


def devices() -> list[DeviceFacts]:
    """Return what is known of every device, available or not."""
    kernels = "NumPy and numba" if find_spec("numba") else "NumPy"
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [DeviceFacts("cpu", True, f"{_processor()}, {threads} threads, {kernels}"), gpu_facts()]


def gpu_facts() -> DeviceFacts:
    """Return whether there is a GPU that CuPy can use, and what is missing otherwise."""
    if find_spec("cupy") is None:
        return DeviceFacts("gpu", False, "CuPy is not installed (pip install 'tuilab[cuda13]' or 'tuilab[cuda12]')")
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return DeviceFacts("gpu", False, f"CuPy finds no usable GPU ({error})")
    if not count:
        return DeviceFacts("gpu", False, "CuPy finds no GPU")
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return DeviceFacts("gpu", False, f"{name} is there, but this version of tuilab trains on the CPU only")


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
