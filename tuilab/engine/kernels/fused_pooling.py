"""Poolings: every pixel of the output with all its window in one pass."""

from __future__ import annotations

from tuilab.blocks.arrays import Array
from tuilab.blocks.window import Numbers
from tuilab.engine.kernels.compiling import apart, kernel
from tuilab.engine.kernels.rows import add_row, copy_row


@apart
def _larger(seen: Array, position: int, largest: Array, winner: Array) -> None:
    number = winner.dtype.type(position)
    for c in range(largest.size):
        wins = (seen[c] > largest[c]) | (seen[c] != seen[c])  # NaN comes out as such
        largest[c] = seen[c] if wins else largest[c]
        winner[c] = number if wins else winner[c]


@apart
def _added_where(chosen: Array, position: int, slopes: Array, to: Array) -> None:
    number, zero = chosen.dtype.type(position), to.dtype.type(0)
    for c in range(to.size):
        to[c] += slopes[c] if chosen[c] == number else zero


PLACES = "int64, int64, UniTuple(int64, 8)"
"""Some images, and the window."""


@kernel(f"f[:, :, :, ::1], {PLACES}, f[:, :, :, ::1], uint32[::1], uint8[:, :, :, ::1]")
def maximum(
    x: Array,
    first: int,
    last: int,
    window: Numbers,
    out: Array,
    winner: Array,
    chosen: Array,
) -> None:
    """`Ops.max_pool2d` for some images; winner: room, (channels,), of numbers as wide as those beside which they are
    found, which is what makes it fast."""
    size_y, size_x, stride_y, stride_x, dilation_y, dilation_x, above, before = window
    _, height, width, _ = x.shape
    for b in range(first, last):
        for line in range(out.shape[1]):
            for column in range(out.shape[2]):
                largest = out[b, line, column]
                largest[:] = -out.dtype.type(float("inf"))
                winner[:] = 0
                for i in range(size_y):
                    row = line * stride_y - above + i * dilation_y
                    for j in range(size_x):
                        at = column * stride_x - before + j * dilation_x
                        if 0 <= row < height and 0 <= at < width:
                            _larger(x[b, row, at], i * size_x + j, largest, winner)
                copy_row(winner, chosen[b, line, column])


@kernel(f"uint8[:, :, :, ::1], f[:, :, :, ::1], {PLACES}, f[:, :, :, ::1]")
def maximum_backward(
    chosen: Array,
    dy: Array,
    first: int,
    last: int,
    window: Numbers,
    dx: Array,
) -> None:
    """`Ops.max_pool2d_backward` for some images."""
    size_y, size_x, stride_y, stride_x, dilation_y, dilation_x, above, before = window
    _, height, width, _ = dx.shape
    for b in range(first, last):
        dx[b] = 0
        for line in range(dy.shape[1]):
            for column in range(dy.shape[2]):
                for i in range(size_y):
                    row = line * stride_y - above + i * dilation_y
                    for j in range(size_x):
                        at = column * stride_x - before + j * dilation_x
                        if 0 <= row < height and 0 <= at < width:
                            _added_where(chosen[b, line, column], i * size_x + j, dy[b, line, column], dx[b, row, at])


@kernel(f"f[:, :, :, ::1], {PLACES}, f[:, :, :, ::1]")
def total(
    x: Array,
    first: int,
    last: int,
    window: Numbers,
    out: Array,
) -> None:
    """`Ops.sum_pool2d` for some images."""
    size_y, size_x, stride_y, stride_x, dilation_y, dilation_x, above, before = window
    _, height, width, _ = x.shape
    for b in range(first, last):
        for line in range(out.shape[1]):
            for column in range(out.shape[2]):
                out[b, line, column] = 0
                for i in range(size_y):
                    row = line * stride_y - above + i * dilation_y
                    for j in range(size_x):
                        at = column * stride_x - before + j * dilation_x
                        if 0 <= row < height and 0 <= at < width:
                            add_row(x[b, row, at], out[b, line, column])


@kernel(f"f[:, :, :, ::1], {PLACES}, f[:, :, :, ::1]")
def total_backward(
    dy: Array,
    first: int,
    last: int,
    window: Numbers,
    dx: Array,
) -> None:
    """`Ops.sum_pool2d_backward` for some images."""
    size_y, size_x, stride_y, stride_x, dilation_y, dilation_x, above, before = window
    _, height, width, _ = dx.shape
    for b in range(first, last):
        dx[b] = 0
        for line in range(dy.shape[1]):
            for column in range(dy.shape[2]):
                for i in range(size_y):
                    row = line * stride_y - above + i * dilation_y
                    for j in range(size_x):
                        at = column * stride_x - before + j * dilation_x
                        if 0 <= row < height and 0 <= at < width:
                            add_row(dy[b, line, column], dx[b, row, at])
