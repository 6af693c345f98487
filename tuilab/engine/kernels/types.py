"""The types of numbers that kernels on a GPU read."""

from __future__ import annotations

from tuilab.blocks.arrays import Array

TYPES = ("float32", "float64", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64")
"""In the order of `read` in cuda/numbers.cuh."""


def type_number(array: Array) -> int | None:
    """Return the number of an array's type, None where kernels do not know it or the array has gaps."""
    name = "uint8" if array.dtype.name == "bool" else array.dtype.name
    return TYPES.index(name) if name in TYPES and array.flags.c_contiguous else None
