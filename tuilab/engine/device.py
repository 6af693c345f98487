"""The device that an experiment runs on, chosen by name."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from tuilab.blocks.arrays import Ops
from tuilab.engine.driver import Card, Driver, ask_driver
from tuilab.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """A device and its operations."""

    name: str
    """As it can be asked for: `cpu`, `gpu`, `gpu:1`."""
    ops: Ops
    steps_between_reads: int
    """How often the host reads results: every step where reading costs nothing."""
    card: Card | None = None
    """The GPU that it is."""
    reason: str = ""
    """Why `auto` chose it, where there was a choice."""


@dataclass(frozen=True)
class DeviceFacts:
    """What `tuilab devices` shows of one device; None where that is not known."""

    name: str
    available: bool
    description: str
    """What it is, or what is missing."""
    auto: bool = False
    """Whether it is the one that `auto` takes."""
    memory_bytes: float | None = None
    free_bytes: float | None = None
    load_percent: float | None = None
    watts: float | None = None
    celsius: float | None = None
    driver: str | None = None
    cuda: str | None = None
    """The newest that the driver runs."""
    convolutions: str | None = None
    """What does them, and what would do them better."""


def choose_device(name: str = "auto") -> Device:
    """Return the device called `auto`, `cpu`, `gpu` or `gpu:1`; raises DeviceError where it cannot be had.

    `auto` is the first GPU where that works, and otherwise the CPU.
    """
    if name == "cpu":
        return Device("cpu", cpu_kernels(), steps_between_reads=1)
    driver = ask_driver()
    if name == "auto" and not driver.installed:
        return choose_device("cpu")
    from tuilab.engine import gpu

    number = int(name.partition(":")[2] or 0)
    try:
        card = gpu.card_of(driver, number)
        ops = gpu.gpu_kernels(driver, card)
    except DeviceError as error:
        if name != "auto":
            raise type(error)(f"device '{name}': {error}; use --device cpu") from error
        return replace(choose_device("cpu"), reason=f"trains on the CPU: {error}")
    reason = f"trains on {card.name} ({gpu_name(number)}); --device cpu takes the CPU" if name == "auto" else ""
    return Device(gpu_name(number), ops, gpu.STEPS_BETWEEN_READS, card, reason)


def gpu_name(number: int) -> str:
    """Return the name of a GPU: `gpu` is the first one."""
    return f"gpu:{number}" if number else "gpu"


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
    """Return what is known of every device, available or not; every GPU is tried out."""
    driver = ask_driver()
    gpus = [_gpu_facts(driver, card) for card in driver.cards]
    if not gpus:
        gpus = [DeviceFacts("gpu", False, driver.trouble, cuda=driver.cuda_version if driver.installed else None)]
    chosen = gpus[0].available
    return [cpu_facts(auto=not chosen), replace(gpus[0], auto=chosen), *gpus[1:]]


def cpu_facts(auto: bool = True) -> DeviceFacts:
    """Return what is known of the CPU."""
    kernels = "NumPy and numba" if find_spec("numba") else "NumPy"
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return DeviceFacts("cpu", True, f"{processor()}, {threads} threads, {kernels}", auto)


def _gpu_facts(driver: Driver, card: Card) -> DeviceFacts:
    from tuilab.engine import gpu
    from tuilab.engine.sensors import Sensors

    sensors = Sensors(card.bus)
    reading = sensors.read()  # before the trial, which takes memory of its own
    total, used = reading.memory_total, reading.memory_bytes
    convolutions = None
    try:
        gpu.gpu_kernels(driver, gpu.card_of(driver, card.number))
        available, said, convolutions = True, sensors.trouble, gpu.convolutions()
    except DeviceError as error:
        available, said = False, str(error)
    return DeviceFacts(
        gpu_name(card.number),
        available,
        f"{card.name}: {said}" if said else card.name,
        memory_bytes=total,
        free_bytes=None if total is None or used is None else total - used,
        load_percent=reading.load_percent,
        watts=reading.watts,
        celsius=reading.celsius,
        driver=sensors.driver_version(),
        cuda=driver.cuda_version,
        convolutions=convolutions,
    )


def processor() -> str:
    """Return the name of the CPU."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
