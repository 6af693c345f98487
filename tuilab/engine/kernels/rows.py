"""Sums and copies of rows, which other kernels are built from."""

from __future__ import annotations

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import apart, kernel


@apart
def copy_row(source: Array, to: Array) -> None:
    for c in range(to.size):
        to[c] = source[c]


@apart
def add_row(source: Array, to: Array) -> None:
    for c in range(to.size):
        to[c] += source[c]


@kernel("f[::1], f[:, ::1]")
def add_to_rows(source: Array, to: Array) -> None:
    """Add one row to each of many; numpy's own way takes memory of its own."""
    for row in range(len(to)):
        add_row(source, to[row])
