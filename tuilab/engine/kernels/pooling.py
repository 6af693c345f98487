"""Poolings, the reference: position by position of the window, over a few images at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.window import Window

PORTION_BYTES = 1 << 18
"""Of the outputs worked on at once, about: they stay in the cache from one position of the window to the next."""

Place: TypeAlias = tuple[slice, slice, slice]
"""Some images, lines and columns."""


def maximum(ops: Ops, x: Array, window: Window, out: Array, chosen: Array | None) -> None:
    """`Ops.max_pool2d`."""
    xp = ops.xp
    for images in _portions(out):
        y = out[images]
        y.fill(-xp.inf)
        if chosen is not None:
            chosen[images].fill(0)
        for position, outputs, inputs in _positions(x, window, out):
            seen, largest = x[images][inputs], y[outputs]
            if chosen is not None:
                winner = chosen[images][outputs]
                with ops.scratch(seen, dtype="bool") as larger, ops.scratch(winner) as number:
                    xp.greater(seen, largest, out=larger)
                    xp.multiply(larger, position, out=number, dtype=number.dtype)
                    xp.maximum(winner, number, out=winner)
            xp.maximum(largest, seen, out=largest)


def maximum_backward(ops: Ops, chosen: Array, dy: Array, window: Window, dx: Array) -> None:
    """`Ops.max_pool2d_backward`."""
    xp = ops.xp
    tiled = _tiled(window, dx, dy)
    for images in _portions(dy):
        if not tiled:
            dx[images].fill(0)
        for position, outputs, inputs in _positions(dx, window, dy):
            slopes, place = dy[images][outputs], dx[images][inputs]
            with ops.scratch(slopes, dtype="bool") as here, ops.scratch(slopes) as share:
                xp.equal(chosen[images][outputs], position, out=here)
                xp.multiply(slopes, here, out=place if tiled else share)
                if not tiled:
                    xp.add(place, share, out=place)


def total(ops: Ops, x: Array, window: Window, out: Array) -> None:
    """`Ops.sum_pool2d`."""
    for images in _portions(out):
        out[images].fill(0)
        for _, outputs, inputs in _positions(x, window, out):
            place = out[images][outputs]
            ops.xp.add(place, x[images][inputs], out=place)


def total_backward(ops: Ops, dy: Array, window: Window, dx: Array) -> None:
    """`Ops.sum_pool2d_backward`."""
    for images in _portions(dy):
        dx[images].fill(0)
        for _, outputs, inputs in _positions(dx, window, dy):
            place = dx[images][inputs]
            ops.xp.add(place, dy[images][outputs], out=place)


def _tiled(window: Window, x: Array, out: Array) -> bool:
    """Whether every pixel lies in one window and no other."""
    height, width = out.shape[1] * window.strides[0], out.shape[2] * window.strides[1]
    return window.size == window.strides and window.before == (0, 0) and x.shape[1:3] == (height, width)


def _portions(out: Array) -> Iterator[slice]:
    batch, *sample = out.shape
    bytes_each = out.dtype.itemsize
    for size in sample:
        bytes_each *= size
    step = max(1, PORTION_BYTES // bytes_each)
    return (slice(first, min(first + step, batch)) for first in range(0, batch, step))


def _positions(x: Array, window: Window, out: Array) -> Iterator[tuple[int, Place, Place]]:
    """Yield each position's number, the outputs whose window has a pixel of the image there, and these pixels."""
    every = slice(None)
    lines, columns = (_along(axis, x, window, out) for axis in (0, 1))
    for i, (y_out, y_in) in enumerate(lines):
        for j, (x_out, x_in) in enumerate(columns):
            yield i * window.size[1] + j, (every, y_out, x_out), (every, y_in, x_in)


def _along(axis: int, x: Array, window: Window, out: Array) -> list[tuple[slice, slice]]:
    """Return for each position of the window along height (0) or width (1) which outputs see which pixels there."""
    stride, length, outputs = window.strides[axis], x.shape[axis + 1], out.shape[axis + 1]
    found = []
    for position in range(window.size[axis]):
        offset = position * window.dilation[axis] - window.before[axis]
        first, stop = max(0, -(offset // stride)), min(outputs, -((offset - length) // stride))
        stop = max(first, stop)
        begin = first * stride + offset
        found.append((slice(first, stop), slice(begin, max(begin, begin + (stop - first - 1) * stride + 1), stride)))
    return found
