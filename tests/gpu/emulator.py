"""The kernels of `tuilab/engine/kernels/cuda` on the CPU: compiled as C++, called with the threads and arguments that a
GPU would get."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.engine.strict_device import StrictArray
from tuilab.engine.kernels.launching import Grid
from tuilab.engine.kernels.sources import KERNEL, REALS, kernel_files, source

HERE = Path(__file__).parent
TYPES = {"long long": np.int64, "word": np.uint64, "double": np.float64}
"""Parameters that are numbers."""
C_TYPES: dict[Any, Any] = {np.int64: ctypes.c_longlong, np.uint64: ctypes.c_ulonglong, np.float64: ctypes.c_double}
POINTED = {"double": "float64", "long long": "int64", "word": "uint64", "Sliding": "int32"}
"""Parameters that are arrays; others take any."""


@cache
def built(real: str) -> ctypes.CDLL:
    """Return all kernels for one type of numbers."""
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler, "the tests of the kernels need a C++ compiler (g++)"
    begin, parts = "", []
    for file in kernel_files():
        text = source(file, real)
        begin = text.removesuffix(kernel_files()[file])
        parts.append(kernel_files()[file].replace('extern "C" ', ""))
    parts = ['#include "emulated.hpp"', begin, *parts]
    for name, parameters in all_kernels().items():
        names = ", ".join(parameter.split()[-1].lstrip("*") for parameter in parameters)
        parts.append(
            f'extern "C" void launch_{name}(const unsigned *grid, const unsigned *block, {", ".join(parameters)}) '
            f"{{ emulated::launch(grid, block, [=] {{ {name}({names}); }}); }}"
        )
    folder = Path(tempfile.mkdtemp(prefix="tuilab-kernels-"))
    try:
        (folder / "kernels.cpp").write_text("\n".join(parts), encoding="utf-8")
        options = ["-O1", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", "-U_FORTIFY_SOURCE", f"-I{HERE}"]
        command = [compiler, *options, "-o", str(folder / "kernels.so"), str(folder / "kernels.cpp")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr[-4000:]
        return ctypes.CDLL(str(folder / "kernels.so"))
    finally:
        shutil.rmtree(folder)


@cache
def all_kernels() -> dict[str, list[str]]:
    """Return the parameters of every kernel, as they are declared."""
    found = [match for text in kernel_files().values() for match in KERNEL.findall(text)]
    return {name: [" ".join(one.split()) for one in parameters.split(",")] for name, parameters in found}


@cache
def wanted(parameter: str, real: str) -> tuple[Any, str | None]:
    """Return the type that a parameter needs if it is a number, and the dtype that it needs if it is an array."""
    declared = re.sub(r"^const | ?\*?\w+$", "", parameter)
    if "*" not in parameter:
        return TYPES[declared], None
    reals = {name: dtype for dtype, name in REALS.items()}
    return None, {**POINTED, "real": reals[real]}.get(declared)


def as_c(parameter: str, argument: Any, real: str) -> Any:
    """Return an argument as ctypes takes it; fails where a GPU would take its bits for something else."""
    number, dtype = wanted(parameter, real)
    if number is not None:
        assert type(argument) is number, f"{parameter} got {argument!r}"
        return C_TYPES[number](argument.item())
    if isinstance(argument, np.uint64):
        assert argument == 0, f"{parameter} got {argument!r}"
        return ctypes.c_void_p(0)
    assert isinstance(argument, StrictArray), f"{parameter} got {argument!r}"
    array = argument.inner
    assert dtype is None or array.dtype == dtype, f"{parameter} got {array.dtype}"
    assert array.flags.c_contiguous, f"{parameter} got an array with gaps"
    return ctypes.c_void_p(array.ctypes.data)


class Emulator:
    """A `Library` whose kernels run here, when `recorded` calls what it is given."""

    def __init__(self, recorded: Callable[[Callable[[], None]], None]) -> None:
        self.recorded = recorded

    def kernel(self, name: str, real: str) -> Callable[[Grid, Grid, tuple[Any, ...]], None]:
        launch, parameters = getattr(built(real), f"launch_{name}"), all_kernels()[name]

        def start(grid: Grid, block: Grid, arguments: tuple[Any, ...]) -> None:
            assert 0 < np.prod(block) <= 1024, f"{name}: blocks of {block}"
            assert all(0 < size < most for size, most in zip(grid, (2**31, 65536, 65536), strict=True)), (name, grid)
            assert len(arguments) == len(parameters), f"{name} takes {len(parameters)} arguments, got {len(arguments)}"
            given = [as_c(*pair, real) for pair in zip(parameters, arguments, strict=True)]
            sizes = (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block)
            self.recorded(lambda kept=arguments: launch(*sizes, *given))  # the arrays live as long as the call

        return start
