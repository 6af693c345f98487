"""The reference: every operation in its shortest readable form, over any array module with numpy's interface."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import Array, ArrayModule, HostArray, Shape, Staging, Stream
from tuilab.blocks.loss import Loss
from tuilab.blocks.metric import Metric, Outputs
from tuilab.blocks.optimizers import Optimizer
from tuilab.blocks.window import Window
from tuilab.engine.kernels import convolution, normalization, pooling
from tuilab.engine.kernels.queues import SharedMemory

ALIGNMENT = 256  # bytes; what GPUs want for vector loads, and more than a CPU's cache line


class Loan:
    """An array lent from the scratch memory of a device: one stack, which grows when a first step asks for more."""

    __slots__ = ("dtype", "kernels", "shape", "start")

    def __init__(self, kernels: NumpyKernels, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.kernels, self.shape, self.dtype = kernels, shape, dtype

    def __enter__(self) -> Array:
        kernels, size = self.kernels, math.prod(self.shape) * self.dtype.itemsize
        self.start = start = kernels.used
        end = start + -(-size // ALIGNMENT) * ALIGNMENT
        if end > kernels.memory.size:  # loans in use keep the old memory alive
            kernels.memory = kernels.xp.empty(2 * end, dtype="uint8")
        kernels.used = end  # not where there is no memory, for whoever can do without
        lent: Array = kernels.memory[start : start + size].view(self.dtype).reshape(self.shape)
        return lent

    def __exit__(self, *_: object) -> None:
        self.kernels.used = self.start


class NumpyKernels:
    """The operations that blocks ask of a device (`tuilab.blocks.arrays.Ops`), on the CPU."""

    xp: ArrayModule = np
    compiles = False
    records = False

    @property
    def remarks(self) -> Sequence[str]:
        return ()

    def __init__(self) -> None:
        self.memory = self.xp.empty(0, dtype="uint8")
        self.used = 0
        self._generator = np.random.Generator(np.random.Philox(key=0))

    def prepare(self, sample: Shape, exact: bool) -> None:
        """Nothing to do: BLAS has all threads, and every convolution is exact."""

    def alongside(self) -> NumpyKernels | None:
        return type(self)() if self.xp is np else None

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

    def draw_mask(self, stream: Stream, rate: float, out: Array) -> None:
        self.uniform(stream, out)
        with self.scratch(out, dtype="bool") as kept:
            self.xp.greater_equal(out, rate, out=kept)
            self.xp.copyto(out, kept)
        self.xp.multiply(out, 1 / (1 - rate), out=out)

    def count_up(self, out: Array) -> None:
        with self.scratch(out) as increments:
            increments.fill(1)
            increments[:1].fill(0)
            self.xp.cumsum(increments, dtype=increments.dtype, out=out)

    def gather(self, source: Array, rows: Array, out: Array) -> None:
        np.take(source, rows, axis=0, out=out, mode="clip")  # the default mode would copy through a buffer

    def load(self, source: Array, rows: Array, offset: Array | None, scale: Array | None, out: Array) -> None:
        if source.dtype == out.dtype:
            self.gather(source, rows, out)
        else:
            with self.scratch(source, shape=out.shape) as raw:
                self.gather(source, rows, raw)
                self.xp.copyto(out, raw)
        if offset is not None:
            self.xp.subtract(out, offset, out=out)
        if scale is not None:
            self.xp.multiply(out, scale, out=out)

    def has_room(self, size: int) -> bool:
        return True

    def staging(self, shape: Shape, dtype: str) -> Staging:
        return SharedMemory(self.xp, shape, dtype)

    def to_host(self, array: Array) -> HostArray:
        return np.array(array)

    def activate(self, activation: Activation, x: Array, bias: Array | None, out: Array) -> None:
        if bias is not None:
            self.xp.add(x, bias, out=x)
        activation.forward(self, x, out)

    def activate_backward(
        self, activation: Activation, x: Array, y: Array, dy: Array, dbias: Array | None, out: Array
    ) -> None:
        activation.backward(self, x, y, dy, out)
        if dbias is not None:
            self.xp.sum(out, axis=tuple(range(out.ndim - 1)), out=dbias)

    def loss_from_logits(
        self,
        loss: Loss,
        activation: Activation,
        target: Array,
        logits: Array,
        prediction: Array,
        out: Array,
        gradient: Array,
    ) -> None:
        activation.forward(self, logits, prediction)
        loss.forward_logits(self, target, logits, prediction, out)
        loss.backward_logits(self, target, logits, prediction, gradient)

    def add_to_metric(self, metric: Metric, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        metric.update(self, outputs, labels, prediction, state)

    def update(
        self,
        optimizer: Optimizer,
        w: Array,
        g: Array,
        slots: Sequence[Array],
        coefficients: Sequence[float | Array],
        kept: float | Array,
    ) -> None:
        if not isinstance(kept, (float, int)) or kept != 1:
            self.xp.multiply(w, kept, out=w)
        optimizer.update(self, w, g, slots, coefficients)

    def norms(self, x: Array, minus: Array | None, places: HostArray, out: Array) -> None:
        xp = self.xp
        out.fill(0)
        for group, start, stop in places.tolist():
            total = out[group : group + 1].reshape(())
            with self.scratch(out, shape=(stop - start,)) as wide, self.scratch(total) as square:
                xp.copyto(wide, x[start:stop])
                if minus is not None:
                    xp.subtract(wide, minus[start:stop], out=wide)
                xp.dot(wide, wide, out=square)
                xp.add(total, square, out=total)
        xp.sqrt(out, out=out)

    def mean_and_deviation(self, x: Array, mean: Array, deviation: Array) -> None:
        xp = self.xp
        with self.scratch(x, dtype="float64") as wide:
            xp.copyto(wide, x)
            xp.sum(wide, out=mean)
            xp.divide(mean, x.size, out=mean)
            xp.subtract(wide, mean, out=wide)
            xp.multiply(wide, wide, out=wide)
            xp.sum(wide, out=deviation)
        xp.divide(deviation, x.size, out=deviation)
        xp.sqrt(deviation, out=deviation)

    def moments(self, x: Array, mean: Array, variance: Array) -> None:
        normalization.moments(self, x, mean, variance)

    def standardize(self, x: Array, mean: Array, scale: Array, shift: Array, out: Array) -> None:
        normalization.standardize(self, x, mean, scale, shift, out)

    def standardize_sums(self, x: Array, mean: Array, dy: Array, total: Array, product: Array) -> None:
        normalization.standardize_sums(self, x, mean, dy, total, product)

    def standardize_backward(
        self, x: Array, mean: Array, dy: Array, scale: Array, level: Array, slope: Array, out: Array
    ) -> None:
        normalization.standardize_backward(self, x, mean, dy, scale, level, slope, out)

    def count_flat(self, activation: Activation, x: Array, y: Array, least: float, dead: Array, flat: Array) -> None:
        xp, units = self.xp, y.shape[-1]
        with self.scratch(y) as slope, self.scratch(y) as ones, self.scratch(y, dtype="bool") as marks:
            ones.fill(1)
            activation.backward(self, x, y, ones, out=slope)
            xp.absolute(slope, out=slope)
            xp.equal(slope, 0, out=marks)
            with self.scratch(marks, shape=(units,)) as every:
                xp.all(marks.reshape(-1, units), axis=0, out=every)
                xp.sum(every, dtype="float64", out=dead)
            xp.less(slope, least, out=marks)
            xp.sum(marks, dtype="float64", out=flat)
        xp.divide(dead, units, out=dead)
        xp.divide(flat, y.size, out=flat)

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
