"""What NVIDIA's driver says of the GPUs, asked through ctypes: without CuPy, which takes half a second to load.

libcuda counts as CUDA does: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER decide which GPUs there are, and their numbers.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from tuilab.text import clean_text

LIBRARY = "libcuda.so.1"
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
NAME_BYTES = 256
BUS_BYTES = 32  # "00000000:3b:00.0" and its end


@dataclass(frozen=True)
class Card:
    """One GPU."""

    number: int
    name: str
    bus: str
    """Where it is plugged in, as `0000:3b:00.0`: the name that every library of NVIDIA's knows it by."""


@dataclass(frozen=True)
class Driver:
    """The driver of this machine and its GPUs."""

    installed: bool
    cuda: int = 0
    """The newest CUDA that it runs: 13020 for 13.2."""
    cards: tuple[Card, ...] = ()
    trouble: str = ""
    """Why there are no GPUs."""

    @property
    def cuda_version(self) -> str:
        return version(self.cuda)


class _Failure(Exception):
    """A function of the driver that did not succeed."""


def version(number: int) -> str:
    """Return a version of CUDA as people write it: 13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


@cache
def load_driver() -> ctypes.CDLL | None:
    """Return the driver's library, None where none is installed; it takes no time, and starts nothing."""
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return None


def ask_driver() -> Driver:
    """Return the driver of this machine, whatever state it is in."""
    library = load_driver()
    if library is None:
        return Driver(installed=False, trouble=f"no NVIDIA driver is installed ({LIBRARY} is not there)")
    cuda = ctypes.c_int()
    try:
        library.cuDriverGetVersion(ctypes.byref(cuda))
        _call(library, "cuInit", ctypes.c_uint(0))
        count = ctypes.c_int()
        _call(library, "cuDeviceGetCount", ctypes.byref(count))
        cards = tuple(_card(library, number) for number in range(count.value))
    except (_Failure, AttributeError) as failure:
        return Driver(installed=True, cuda=cuda.value, trouble=clean_text(str(failure)))
    return Driver(True, cuda.value, cards, "" if cards else _none_shown())


def _card(library: ctypes.CDLL, number: int) -> Card:
    device = ctypes.c_int()
    name, bus = ctypes.create_string_buffer(NAME_BYTES), ctypes.create_string_buffer(BUS_BYTES)
    _call(library, "cuDeviceGet", ctypes.byref(device), ctypes.c_int(number))
    _call(library, "cuDeviceGetName", name, ctypes.c_int(NAME_BYTES), device)
    _call(library, "cuDeviceGetPCIBusId", bus, ctypes.c_int(BUS_BYTES), device)
    return Card(number, clean_text(name.value.decode(errors="replace")), bus.value.decode(errors="replace"))


def _call(library: ctypes.CDLL, name: str, *arguments: Any) -> None:
    """Call a function of the driver; raises _Failure with what it says."""
    code = getattr(library, name)(*arguments)
    if code == NO_DEVICE:
        raise _Failure(_none_shown())
    if code:
        said = ctypes.c_char_p()
        library.cuGetErrorName(code, ctypes.byref(said))
        raise _Failure(f"the NVIDIA driver does not work: {name} says {(said.value or str(code).encode()).decode()}")


def _none_shown() -> str:
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return f"the NVIDIA driver shows no GPU, with CUDA_VISIBLE_DEVICES='{shown}'"
    return "the NVIDIA driver finds no GPU"
