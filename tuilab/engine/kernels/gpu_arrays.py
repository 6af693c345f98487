"""The array module of a GPU: CuPy's functions, but for those that would allocate memory within a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuilab.blocks.arrays import Array, ArrayModule
from tuilab.engine.kernels.sources import REALS
from tuilab.engine.kernels.types import type_number

if TYPE_CHECKING:
    from tuilab.engine.kernels.gpu import CudaKernels

MANY = 4096
"""Numbers that are too many for a few threads to sum up."""


class GpuModule:
    """An array module; sums, maxima and matrix products into arrays that are given are our own."""

    def __init__(self, inner: ArrayModule, ops: CudaKernels) -> None:
        self._module, self._ops = inner, ops

    @property
    def _inner(self) -> ArrayModule:
        self._ops.enter()
        return self._module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sum(
        self, x: Array, axis: Any = None, dtype: Any = None, out: Array | None = None, keepdims: bool = False
    ) -> Array:
        if out is None or not self._reduce(x, axis, out, largest=False):
            return self._inner.sum(x, axis=axis, dtype=dtype, out=out, keepdims=keepdims)
        return out

    def max(self, x: Array, axis: Any = None, out: Array | None = None, keepdims: bool = False) -> Array:
        if out is None or not self._reduce(x, axis, out, largest=True):
            return self._inner.max(x, axis=axis, out=out, keepdims=keepdims)
        return out

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        if out is None or not self._ops.multiply(a, b, out):
            return self._inner.matmul(a, b, out=out)
        return out

    def _reduce(self, x: Array, axis: Any, out: Array, largest: bool) -> bool:
        """Sum up over one, several or all axes; return whether there is a kernel for it."""
        number = type_number(x)
        if number is None or out.dtype.name not in REALS or not out.flags.c_contiguous:
            return False
        given = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        over = {place % x.ndim for place in given} if x.ndim else set()
        sizes = list(zip(x.shape, (stride // x.dtype.itemsize for stride in x.strides), strict=True))
        kept = [size for place, size in enumerate(sizes) if place not in over]
        gone = [size for place, size in enumerate(sizes) if place in over]
        if not kept and not largest and x.size > MANY and x.dtype.name in REALS:
            self._ops.total(x, out)
            return True
        axes = self._ops.table([len(kept), len(gone), *(number for pair in (*kept, *gone) for number in pair)])
        each = 1
        for size, _ in gone:
            each *= size
        wide = int(out.dtype.name == "float64")
        self._ops.by_line("reduce", out, out.size, x, number, axes, out, wide, int(largest), out.size, each)
        return True
