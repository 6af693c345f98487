"""Networks of images and sequences on the CPU: the engine's own threads share each batch, BLAS has one for each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.window import Window
from tuilab.engine.kernels import fused_normalization, fused_pooling, patches, winograd
from tuilab.engine.kernels.convolution import is_pointwise
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.kernels.rows import add_to_rows
from tuilab.engine.threads import Task, count_threads, let_blas_use, share, team

SMALL = 1 << 15
"""Numbers written or products made by what one thread does sooner alone than with others."""


class ImageKernels(NumpyKernels):
    """What networks of images need, over the threads of a team.

    How the work is shared follows from the shapes and the number of threads alone: a resumed training gives the same
    bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exact = False
        self.team = team(1)

    def prepare(self, sample: Shape, exact: bool) -> None:
        self.exact, count = exact, count_threads()
        images = len(sample) > 1
        self.team = team(count if images else 1)
        let_blas_use(1 if images else count)

    def over_rows(self, rows: int, size: int, work: Callable[[int, int], None]) -> None:
        """Call work(first, last) for every thread's share of some rows; `size`: how much work they are in all."""

        def task(part: int) -> None:
            mine = share(rows, part, self.team.size)
            work(mine.start, mine.stop)

        self.run(task, size)

    def run(self, task: Task, size: int) -> None:
        """Do every part of a task, `size` being how much work they are in all."""
        if size < SMALL:
            for part in range(self.team.size):
                task(part)
        else:
            self.team.run(task)

    def linear(self, x: Array, kernel: Array, bias: Array | None, out: Array) -> None:
        def work(first: int, last: int) -> None:
            np.matmul(x[first:last], kernel, out=out[first:last])
            if bias is not None:
                add_to_rows(bias, out[first:last])

        self.over_rows(len(out), out.size * len(kernel), work)

    def linear_backward(
        self, x: Array, kernel: Array, dy: Array, dx: Array | None, dkernel: Array | None, dbias: Array | None
    ) -> None:
        def to_kernel(first: int, last: int) -> None:
            assert dkernel is not None
            np.matmul(x.T[first:last], dy, out=dkernel[first:last])

        def to_inputs(first: int, last: int) -> None:
            assert dx is not None
            np.matmul(dy[first:last], kernel.T, out=dx[first:last])

        if dkernel is not None:
            self.over_rows(len(dkernel), dy.size * len(kernel), to_kernel)
        if dbias is not None:
            np.sum(dy, axis=0, out=dbias)
        if dx is not None:
            self.over_rows(len(dx), dy.size * len(kernel), to_inputs)

    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window, out: Array) -> None:
        if is_pointwise(x, kernel, window):
            self.linear(_rows(x), _rows(kernel), bias, _rows(out))
        elif not self.exact and winograd.fits(x, kernel, window, out):
            winograd.forward(self, self.team, x, kernel, bias, window, out)
        else:
            patches.forward(self, self.team, x, kernel, bias, window, out)

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
        if is_pointwise(x, kernel, window):
            into_x, into_kernel = (None if array is None else _rows(array) for array in (dx, dkernel))
            self.linear_backward(_rows(x), _rows(kernel), _rows(dy), into_x, into_kernel, dbias)
        elif not self.exact and winograd.fits(x, kernel, window, dy):
            winograd.backward(self, self.team, x, kernel, dy, window, dx, dkernel, dbias)
        else:
            patches.backward(self, self.team, x, kernel, dy, window, dx, dkernel, dbias)

    def max_pool2d(self, x: Array, window: Window, out: Array, chosen: Array | None) -> None:
        parts, depth = self.team.size, x.shape[3]
        with self.scratch(out, dtype="uint8") as unread, self.scratch(out, "uint32", (parts, depth)) as winners:
            found = unread if chosen is None else chosen

            def work(part: int) -> None:
                mine = share(len(x), part, parts)
                fused_pooling.maximum(x, mine.start, mine.stop, window.numbers, out, winners[part], found)

            self.run(work, x.size)

    def max_pool2d_backward(self, chosen: Array, dy: Array, window: Window, dx: Array) -> None:
        def work(first: int, last: int) -> None:
            fused_pooling.maximum_backward(chosen, dy, first, last, window.numbers, dx)

        self.over_rows(len(dx), dx.size, work)

    def sum_pool2d(self, x: Array, window: Window, out: Array) -> None:
        def work(first: int, last: int) -> None:
            fused_pooling.total(x, first, last, window.numbers, out)

        self.over_rows(len(x), x.size, work)

    def sum_pool2d_backward(self, dy: Array, window: Window, dx: Array) -> None:
        def work(first: int, last: int) -> None:
            fused_pooling.total_backward(dy, first, last, window.numbers, dx)

        self.over_rows(len(dx), dx.size, work)

    def moments(self, x: Array, mean: Array, variance: Array) -> None:
        parts, shape = self.team.size, (self.team.size, 2, len(mean))
        with self.scratch(mean, shape=shape) as room, self.scratch(mean, "float64", shape) as found:

            def work(part: int) -> None:
                mine = share(len(x), part, parts)
                fused_normalization.moments(x, mine.start, mine.stop, room[part], found[part])

            self.run(work, x.size)
            fused_normalization.join_moments(found, len(x), mean, variance)

    def standardize(self, x: Array, mean: Array, scale: Array, shift: Array, out: Array) -> None:
        def work(first: int, last: int) -> None:
            fused_normalization.standardize(x, first, last, mean, scale, shift, out)

        self.over_rows(len(x), x.size, work)

    def standardize_sums(self, x: Array, mean: Array, dy: Array, total: Array, product: Array) -> None:
        parts, shape = self.team.size, (self.team.size, 2, len(mean))
        with self.scratch(mean, shape=shape) as room, self.scratch(mean, shape=shape) as sums:

            def work(part: int) -> None:
                mine = share(len(x), part, parts)
                fused_normalization.standardize_sums(x, mine.start, mine.stop, mean, dy, room[part], sums[part])

            self.run(work, x.size)
            np.sum(sums[:, 0], axis=0, out=total)
            np.sum(sums[:, 1], axis=0, out=product)

    def standardize_backward(
        self, x: Array, mean: Array, dy: Array, scale: Array, level: Array, slope: Array, out: Array
    ) -> None:
        def work(first: int, last: int) -> None:
            fused_normalization.standardize_backward(x, first, last, mean, dy, scale, level, slope, out)

        self.over_rows(len(x), x.size, work)


def _rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])
