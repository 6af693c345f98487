"""Convolutions, the reference: patches of a few images at a time, laid out in memory that the cache holds, times the
kernel as one matrix product.

The patches of a whole batch are never in memory: they would be as many times larger than the images as the window has
positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from tuilab.blocks.arrays import Array, Ops, Shape
from tuilab.blocks.window import Pair, Window

PATCH_BYTES = 1 << 22
"""Of the patches laid out at once, about."""


def forward(ops: Ops, x: Array, kernel: Array, bias: Array | None, window: Window, out: Array) -> None:
    """`Ops.conv2d`."""
    if is_pointwise(x, kernel, window):
        ops.linear(_rows(x), _matrix(kernel), bias, out=_rows(out))
    elif kernel.shape[2] == 1 and x.shape[3] > 1:
        _depthwise(ops, x, kernel, bias, window, out)
    else:
        for channels, filters in _groups(x, kernel):
            _slide(
                ops,
                x[..., channels],
                kernel[..., filters],
                None if bias is None else bias[filters],
                window,
                out[..., filters],
            )


def backward(
    ops: Ops,
    x: Array,
    kernel: Array,
    dy: Array,
    window: Window,
    dx: Array | None,
    dkernel: Array | None,
    dbias: Array | None,
) -> None:
    """`Ops.conv2d_backward`."""
    if dbias is not None:
        _sum_of_pixels(ops, dy, dbias)
    if is_pointwise(x, kernel, window):
        ops.linear_backward(
            _rows(x),
            _matrix(kernel),
            _rows(dy),
            None if dx is None else _rows(dx),
            None if dkernel is None else _matrix(dkernel),
            None,
        )
    elif kernel.shape[2] == 1 and x.shape[3] > 1:
        _depthwise_backward(ops, x, kernel, dy, window, dx, dkernel)
    else:
        for channels, filters in _groups(x, kernel):
            if dkernel is not None:
                _to_kernel(ops, x[..., channels], dy[..., filters], window, dkernel[..., filters])
            if dx is not None:
                _to_image(ops, kernel[..., filters], dy[..., filters], window, dx[..., channels])


def is_pointwise(x: Array, kernel: Array, window: Window) -> bool:
    """Whether a convolution is `Ops.linear` of every pixel."""
    return kernel.shape[:3] == (1, 1, x.shape[3]) and window.strides == (1, 1) and window.before == (0, 0)


def _rows(images: Array) -> Array:
    return images.reshape(-1, images.shape[-1])


def _matrix(kernel: Array) -> Array:
    return kernel.reshape(-1, kernel.shape[-1])


def _groups(x: Array, kernel: Array) -> list[tuple[slice, slice]]:
    """Return the channels and the filters of each group."""
    depth = kernel.shape[2]
    count = x.shape[3] // depth
    filters = kernel.shape[3] // count
    return [
        (slice(group * depth, (group + 1) * depth), slice(group * filters, (group + 1) * filters))
        for group in range(count)
    ]


def _slide(ops: Ops, x: Array, kernel: Array, bias: Array | None, window: Window, out: Array) -> None:
    """Convolve one group of channels."""
    xp, matrix = ops.xp, _matrix(kernel)
    for images, lines in _portions(out, matrix.shape[0]):
        y = _rows(out[images, lines])
        with _patches(ops, x, window, images, lines, out.shape[2]) as patches:
            xp.matmul(patches, matrix, out=y)
        if bias is not None:
            xp.add(y, bias, out=y)


def _to_kernel(ops: Ops, x: Array, dy: Array, window: Window, dkernel: Array) -> None:
    """Sum over all portions: patchesᵀ · dy."""
    xp, total = ops.xp, _matrix(dkernel)
    for portion, (images, lines) in enumerate(_portions(dy, total.shape[0])):
        slopes = _rows(dy[images, lines])
        with _patches(ops, x, window, images, lines, dy.shape[2]) as patches:
            if portion == 0:
                xp.matmul(patches.T, slopes, out=total)
            else:
                with ops.scratch(dkernel, shape=total.shape) as part:
                    xp.matmul(patches.T, slopes, out=part)
                    xp.add(total, part, out=total)


def _to_image(ops: Ops, kernel: Array, dy: Array, window: Window, dx: Array) -> None:
    """dL/dx is a convolution itself: of dy with the kernel turned round.

    With strides, the pixels of dx fall into as many phases as the stride has steps: each sees every stride-th position
    of the kernel, and is a convolution without strides.
    """
    if window.strides == (1, 1):
        before = (window.span[0] - 1 - window.before[0], window.span[1] - 1 - window.before[1])
        _slide_turned(ops, kernel, dy, Window(window.size, (1, 1), window.dilation, before), dx)
        return
    for phase_y, phase_x in ((y, x) for y in range(window.strides[0]) for x in range(window.strides[1])):
        (top, size_y, first_y), (left, size_x, first_x) = (
            _phase(phase, *axis)
            for phase, *axis in zip((phase_y, phase_x), window.size, window.strides, window.before, strict=True)
        )
        part = dx[:, top :: window.strides[0], left :: window.strides[1]]
        if 0 in part.shape:
            continue
        if not size_y or not size_x:
            part[...] = 0
            continue
        with ops.scratch(dx, shape=part.shape) as found:
            positions = kernel[phase_y :: window.strides[0], phase_x :: window.strides[1]]
            _slide_turned(ops, positions, dy, Window((size_y, size_x), (1, 1), (1, 1), (first_y, first_x)), found)
            ops.xp.copyto(part, found)


def _phase(phase: int, size: int, stride: int, before: int) -> tuple[int, int, int]:
    """Return, along one axis, the first pixel that positions phase, phase + stride, … of the window fall on, how many
    positions there are, and the padding before the output's first pixel that the first of those pixels sees."""
    positions = len(range(phase, size, stride))
    first = (phase - before) % stride
    return first, positions, positions - 1 - (first + before - phase) // stride


def _slide_turned(ops: Ops, kernel: Array, dy: Array, window: Window, out: Array) -> None:
    height, width, depth, filters = kernel.shape
    with ops.scratch(kernel, shape=(height, width, filters, depth)) as turned:
        ops.xp.copyto(turned, kernel[::-1, ::-1].transpose(0, 1, 3, 2))
        _slide(ops, dy, turned, None, window, out)


def _portions(out: Array, patch: int) -> Iterator[tuple[slice, slice]]:
    """Split the output pixels of a batch into those of a few images, or of a few lines of one, whose patches of `patch`
    numbers take PATCH_BYTES: yield (images, lines)."""
    batch, height, width, _ = out.shape
    line = width * patch * out.dtype.itemsize
    lines = max(1, min(height, PATCH_BYTES // line))
    images = max(1, PATCH_BYTES // (line * height))
    for image in range(0, batch, images):
        for first in range(0, height, lines):
            yield slice(image, min(image + images, batch)), slice(first, min(first + lines, height))


@contextmanager
def _patches(ops: Ops, x: Array, window: Window, images: slice, lines: slice, width: int) -> Iterator[Array]:
    """Lend the patches under the window at some output pixels: (pixels, positions of the window · channels)."""
    count = lines.stop - lines.start
    with _under(ops, x, window, images, lines, width) as seen:
        line, column = seen.strides[1], seen.strides[2]
        windows = ops.xp.lib.stride_tricks.as_strided(
            seen,
            (seen.shape[0], count, width, *window.size, x.shape[3]),
            (
                seen.strides[0],
                line * window.strides[0],
                column * window.strides[1],
                line * window.dilation[0],
                column * window.dilation[1],
                seen.strides[3],
            ),
        )
        with ops.scratch(x, shape=windows.shape) as patches:
            ops.xp.copyto(patches, windows)
            yield patches.reshape(-1, math.prod(windows.shape[3:]))


@contextmanager
def _under(ops: Ops, x: Array, window: Window, images: slice, lines: slice, width: int) -> Iterator[Array]:
    """Lend the part of the images that the window sees from some output lines, with zeros where it reaches beyond."""
    span = window.span
    top, left = lines.start * window.strides[0] - window.before[0], -window.before[1]
    bottom = top + (lines.stop - 1 - lines.start) * window.strides[0] + span[0]
    right = left + (width - 1) * window.strides[1] + span[1]
    if top >= 0 and left >= 0 and bottom <= x.shape[1] and right <= x.shape[2]:
        yield x[images, top:bottom, left:right]
        return
    inner = x[images, max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    shape = (inner.shape[0], bottom - top, right - left, x.shape[3])
    with ops.scratch(x, shape=shape) as padded:
        padded.fill(0)
        y, column = max(0, -top), max(0, -left)
        padded[:, y : y + inner.shape[1], column : column + inner.shape[2]] = inner
        yield padded


def _sum_of_pixels(ops: Ops, images: Array, out: Array) -> None:
    """Write the sum over batch, height and width: first of each image, by a product with ones, which is fast for few
    channels, then of the images."""
    xp, pixels = ops.xp, images.shape[1] * images.shape[2]
    with (
        ops.scratch(images, shape=(1, pixels)) as ones,
        ops.scratch(images, shape=(images.shape[0], 1, images.shape[3])) as sums,
    ):
        ones.fill(1)
        xp.matmul(ones, images.reshape(-1, pixels, images.shape[3]), out=sums)
        xp.sum(sums, axis=(0, 1), out=out)


def _depthwise(ops: Ops, x: Array, kernel: Array, bias: Array | None, window: Window, out: Array) -> None:
    """One channel a group: the sum over the window's positions of shifted images · weights."""
    xp, weights = ops.xp, _by_channel(kernel, x)
    for images, lines in _portions(out, 1):
        y = _by_channel(out[images, lines], x)
        with _under(ops, x, window, images, lines, out.shape[2]) as seen, ops.scratch(y) as product:
            for number, (i, j) in enumerate(_positions(window)):
                xp.multiply(_through(seen, window, (i, j), y.shape)[..., None], weights[i, j], out=product)
                if number:
                    xp.add(y, product, out=y)
                else:
                    xp.copyto(y, product)
        if bias is not None:
            xp.add(out[images, lines], bias, out=out[images, lines])


def _depthwise_backward(
    ops: Ops, x: Array, kernel: Array, dy: Array, window: Window, dx: Array | None, dkernel: Array | None
) -> None:
    if dkernel is not None:
        dkernel.fill(0)
        for images, lines in _portions(dy, 1):
            with _under(ops, x, window, images, lines, dy.shape[2]) as seen:
                _depthwise_to_kernel(ops, seen, _by_channel(dy[images, lines], x), window, _by_channel(dkernel, x))
    if dx is not None:
        _depthwise_to_image(ops, kernel, dy, window, dx)


def _depthwise_to_kernel(ops: Ops, seen: Array, dy: Array, window: Window, dkernel: Array) -> None:
    """Add what some pixels say; dy: (images, lines, width, channels, multiplier), dkernel: (…, the last two)."""
    xp = ops.xp
    with ops.scratch(dy) as product, ops.scratch(dkernel, shape=dkernel.shape[2:]) as part:
        for i, j in _positions(window):
            xp.multiply(_through(seen, window, (i, j), dy.shape)[..., None], dy, out=product)
            _sum_of_pixels(ops, product.reshape(*product.shape[:3], -1), part.reshape(-1))
            xp.add(dkernel[i, j], part, out=dkernel[i, j])


def _depthwise_to_image(ops: Ops, kernel: Array, dy: Array, window: Window, dx: Array) -> None:
    """Add dy · weights where each position of the window lies, image by image."""
    xp, weights = ops.xp, _by_channel(kernel, dx)
    (top, left), (height, width) = window.before, dx.shape[1:3]
    lines = (dy.shape[1] - 1) * window.strides[0] + window.span[0]
    columns = (dy.shape[2] - 1) * window.strides[1] + window.span[1]
    padded = (1, max(lines, top + height), max(columns, left + width), dx.shape[3])
    for image in range(dx.shape[0]):
        slopes = _by_channel(dy[image : image + 1], dx)
        with (
            ops.scratch(dx, shape=padded) as found,
            ops.scratch(slopes) as product,
            ops.scratch(slopes, shape=slopes.shape[:4]) as share,
        ):
            found.fill(0)
            for i, j in _positions(window):
                xp.multiply(slopes, weights[i, j], out=product)
                xp.sum(product, axis=4, out=share)
                place = _through(found, window, (i, j), slopes.shape)
                xp.add(place, share, out=place)
            xp.copyto(dx[image], found[0, top : top + height, left : left + width])


def _by_channel(array: Array, x: Array) -> Array:
    """Split the last axis, filters, into (channels of x, filters of each)."""
    return array.reshape(*array.shape[:-1], x.shape[3], -1)


def _positions(window: Window) -> Iterator[Pair]:
    return ((i, j) for i in range(window.size[0]) for j in range(window.size[1]))


def _through(seen: Array, window: Window, position: Pair, outputs: Shape) -> Array:
    """Return what output pixels see through one position of the window; seen: (images, height, width, channels),
    outputs: (images, lines, width, …)."""
    top, left = position[0] * window.dilation[0], position[1] * window.dilation[1]
    bottom, right = top + (outputs[1] - 1) * window.strides[0] + 1, left + (outputs[2] - 1) * window.strides[1] + 1
    return seen[:, top : bottom : window.strides[0], left : right : window.strides[1]]
