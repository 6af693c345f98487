"""The reference: every operation in its shortest readable form, over any array module with numpy's interface."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tuilab.blocks.arrays import Array, ArrayModule, HostArray, Shape, Stream
from tuilab.blocks.window import Window
from tuilab.engine.kernels import convolution, pooling

ALIGNMENT = 256  # bytes; what GPUs want for vector loads, and more than a CPU's cache line


class Loan:
    """An array lent from the scratch memory of a device: one stack, which grows when a first step asks for more."""

    __slots__ = ("dtype", "kernels", "shape", "start")

    def __init__(self, kernels: NumpyKernels, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.kernels, self.shape, self.dtype = kernels, shape, dtype

    def __enter__(self) -> Array:
        kernels, size = self.kernels, math.prod(self.shape) * self.dtype.itemsize
        self.start = start = kernels.used
        kernels.used = start + -(-size // ALIGNMENT) * ALIGNMENT
        if kernels.used > kernels.memory.size:  # loans in use keep the old memory alive
            kernels.memory = kernels.xp.empty(2 * kernels.used, dtype="uint8")
        lent: Array = kernels.memory[start : start + size].view(self.dtype).reshape(self.shape)
        return lent

    def __exit__(self, *_: object) -> None:
        self.kernels.used = self.start


class NumpyKernels:
    """The operations that blocks ask of a device (`tuilab.blocks.arrays.Ops`), on the CPU."""

    xp: ArrayModule = np

    def __init__(self) -> None:
        self.memory = self.xp.empty(0, dtype="uint8")
        self.used = 0
        self._generator = np.random.Generator(np.random.Philox(key=0))

    def scratch(self, like: Array, dtype: str | None = None, shape: Shape | None = None) -> Loan:
        wanted = like.dtype if dtype is None else np.dtype(dtype)
        return Loan(self, like.shape if shape is None else shape, wanted)

    def quiet(self) -> AbstractContextManager[None]:
        return np.errstate(all="ignore")

    def erf(self, x: Array, out: Array) -> None:
        from scipy.special import erf  # 0.15 s to import, and only gelu asks for it

        erf(x, out=out)

    def uniform(self, stream: Stream, out: Array) -> None:
        clock = stream.clock
        state: dict[str, Any] = self._generator.bit_generator.state  # type: ignore[assignment] # declared as a Mapping
        state["state"]["counter"][:] = (0, 0, clock.step, clock.epoch)
        state["state"]["key"][:] = stream.key
        state["buffer_pos"] = 4  # nothing buffered
        state["has_uint32"] = 0
        self._generator.bit_generator.state = state
        self._generator.random(out=out, dtype=out.dtype)

    def gather(self, source: Array, rows: Array, out: Array) -> None:
        np.take(source, rows, axis=0, out=out, mode="clip")  # the default mode would copy through a buffer

    def to_host(self, array: Array) -> HostArray:
        return np.array(array)

    def linear(self, x: Array, kernel: Array, bias: Array | None, out: Array) -> None:
        self.xp.matmul(x, kernel, out=out)
        if bias is not None:
            self.xp.add(out, bias, out=out)

    def linear_backward(
        self, x: Array, kernel: Array, dy: Array, dx: Array | None, dkernel: Array | None, dbias: Array | None
    ) -> None:
        if dkernel is not None:
            self.xp.matmul(x.T, dy, out=dkernel)
        if dbias is not None:
            self.xp.sum(dy, axis=0, out=dbias)
        if dx is not None:
            self.xp.matmul(dy, kernel.T, out=dx)

    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window, out: Array) -> None:
        convolution.forward(self, x, kernel, bias, window, out)

    def conv2d_backward(
        self,
        x: Array,
        kernel: Array,
        dy: Array,
        window: Window,
        dx: Array | None,
        dkernel: Array | None,
        dbias: Array | None,
    ) -> None:
        convolution.backward(self, x, kernel, dy, window, dx, dkernel, dbias)

    def max_pool2d(self, x: Array, window: Window, out: Array, chosen: Array | None) -> None:
        pooling.maximum(self, x, window, out, chosen)

    def max_pool2d_backward(self, chosen: Array, dy: Array, window: Window, dx: Array) -> None:
        pooling.maximum_backward(self, chosen, dy, window, dx)

    def sum_pool2d(self, x: Array, window: Window, out: Array) -> None:
        pooling.total(self, x, window, out)

    def sum_pool2d_backward(self, dy: Array, window: Window, dx: Array) -> None:
        pooling.total_backward(self, dy, window, dx)
