"""Convolutions of any kind over the threads of a team: patches of a few lines of pixels at a time, times the kernel as
one matrix product for each group of channels.

The patches of a whole batch are never in memory: they would be as many times larger than the images as the window has
positions.
"""

from __future__ import annotations

import math

import numpy as np

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.window import Numbers, Window
from tuilab.engine.kernels.compiling import kernel
from tuilab.engine.kernels.rows import add_row, add_to_rows, copy_row
from tuilab.engine.threads import Team, share

CHUNK_BYTES = 1 << 19
"""Of the patches that a thread lays out at once, about: what its cache holds."""


def forward(ops: Ops, team: Team, x: Array, weights: Array, bias: Array | None, window: Window, out: Array) -> None:
    """`Ops.conv2d`."""
    groups, depth, filters = _groups(x, weights)
    lines, step = len(out) * out.shape[1], _step(weights, out)
    with ops.scratch(x, shape=(team.size, step * out.shape[2], math.prod(weights.shape[:3]))) as room:

        def work(part: int) -> None:
            for first, last in _chunks(share(lines, part, team.size), step):
                y = _pixels(out, first, last)
                patches = room[part, : len(y)]
                for group in range(groups):
                    image_to_patches(x, group * depth, depth, first, last, *out.shape[1:3], window.numbers, patches)
                    mine = slice(group * filters, (group + 1) * filters)
                    np.matmul(patches, _matrix(weights)[:, mine], out=y[:, mine])
                if bias is not None:
                    add_to_rows(bias, y)

        team.run(work)


def backward(
    ops: Ops,
    team: Team,
    x: Array,
    weights: Array,
    dy: Array,
    window: Window,
    dx: Array | None,
    dweights: Array | None,
    dbias: Array | None,
) -> None:
    """`Ops.conv2d_backward`. A thread has whole images: the windows of one overlap."""
    groups, depth, filters = _groups(x, weights)
    height, step = dy.shape[1], _step(weights, dy)
    matrix = _matrix(weights)
    with (
        ops.scratch(x, shape=(team.size, step * dy.shape[2], len(matrix))) as room,
        ops.scratch(weights, shape=(team.size, 2, *matrix.shape)) as sums,
        ops.scratch(weights, shape=(team.size, 2, filters * groups)) as bias_sums,
        ops.scratch(weights, shape=(1, step * dy.shape[2])) as ones,
    ):
        ones.fill(1)

        def work(part: int) -> None:
            images = share(len(x), part, team.size)
            total, product = sums[part]
            bias_total, bias_product = bias_sums[part]
            total.fill(0)
            bias_total.fill(0)
            if dx is not None:
                dx[images.start : images.stop].fill(0)
            for first, last in _chunks(range(images.start * height, images.stop * height), step):
                slopes = _pixels(dy, first, last)
                patches, place = room[part, : len(slopes)], (first, last, *dy.shape[1:3], window.numbers)
                if dbias is not None:
                    np.matmul(ones[:, : len(slopes)], slopes, out=bias_product[None])
                    np.add(bias_total, bias_product, out=bias_total)
                for group in range(groups):
                    mine = slice(group * filters, (group + 1) * filters)
                    if dweights is not None:
                        image_to_patches(x, group * depth, depth, *place, patches)
                        np.matmul(patches.T, slopes[:, mine], out=product[:, mine])
                    if dx is not None:
                        np.matmul(slopes[:, mine], matrix[:, mine].T, out=patches)
                        patches_to_image(patches, group * depth, depth, *place, dx)
                if dweights is not None:
                    np.add(total, product, out=total)

        team.run(work)
        if dweights is not None:
            np.sum(sums[:, 0], axis=0, out=_matrix(dweights))
        if dbias is not None:
            np.sum(bias_sums[:, 0], axis=0, out=dbias)


def _groups(x: Array, weights: Array) -> tuple[int, int, int]:
    """Return how many groups there are, and the channels and filters of each."""
    groups = x.shape[3] // weights.shape[2]
    return groups, weights.shape[2], weights.shape[3] // groups


def _step(weights: Array, out: Array) -> int:
    """Return of how many lines of the output the patches are laid out at once."""
    line = out.shape[2] * math.prod(weights.shape[:3]) * out.itemsize
    return int(max(1, min(len(out) * out.shape[1], CHUNK_BYTES // line)))


def _chunks(lines: range, step: int) -> list[tuple[int, int]]:
    return [(first, min(first + step, lines.stop)) for first in range(lines.start, lines.stop, step)]


def _pixels(images: Array, first: int, last: int) -> Array:
    """Return some lines, which run on from image to image, as (pixels, channels)."""
    width, depth = images.shape[2:]
    return images.reshape(-1, width, depth)[first:last].reshape(-1, depth)


def _matrix(weights: Array) -> Array:
    return weights.reshape(-1, weights.shape[-1])


@kernel("f[:, :, :, ::1], int64, int64, int64, int64, int64, int64, UniTuple(int64, 8), f[:, ::1]")
def image_to_patches(
    x: Array,
    channel: int,
    depth: int,
    first: int,
    last: int,
    rows: int,
    columns: int,
    window: Numbers,
    patches: Array,
) -> None:
    """Lay out what some lines of the output, of rows × columns pixels, see in `depth` channels from `channel`; zeros
    beyond the image. patches: (pixels, size_y · size_x · depth)"""
    size_y, size_x, stride_y, stride_x, dilation_y, dilation_x, above, before = window
    _, height, width, channels = x.shape
    lines = x.reshape(len(x), height, width * channels)
    whole, pixel = depth == channels and dilation_x == 1, 0
    for line in range(first, last):
        image, top = lines[line // rows], line % rows * stride_y - above
        for column in range(columns):
            left = column * stride_x - before
            begin = min(max(0, -left), size_x) * depth
            end = max(begin, min(size_x, width - left) * depth)
            for i in range(size_y):
                row, patch = top + i * dilation_y, patches[pixel, i * size_x * depth : (i + 1) * size_x * depth]
                if row < 0 or row >= height:
                    patch[:] = 0
                elif whole:
                    patch[:begin] = 0
                    copy_row(image[row, left * depth + begin : left * depth + end], patch[begin:end])
                    patch[end:] = 0
                else:
                    for j in range(size_x):
                        at, place = left + j * dilation_x, patch[j * depth : (j + 1) * depth]
                        if 0 <= at < width:
                            copy_row(image[row, at * channels + channel : at * channels + channel + depth], place)
                        else:
                            place[:] = 0
            pixel += 1


@kernel("f[:, ::1], int64, int64, int64, int64, int64, int64, UniTuple(int64, 8), f[:, :, :, ::1]")
def patches_to_image(
    patches: Array,
    channel: int,
    depth: int,
    first: int,
    last: int,
    rows: int,
    columns: int,
    window: Numbers,
    dx: Array,
) -> None:
    """Add what `image_to_patches` laid out to where it came from."""
    size_y, size_x, stride_y, stride_x, dilation_y, dilation_x, above, before = window
    _, height, width, channels = dx.shape
    lines = dx.reshape(len(dx), height, width * channels)
    whole, pixel = depth == channels and dilation_x == 1, 0
    for line in range(first, last):
        image, top = lines[line // rows], line % rows * stride_y - above
        for column in range(columns):
            left = column * stride_x - before
            begin = min(max(0, -left), size_x) * depth
            end = max(begin, min(size_x, width - left) * depth)
            for i in range(size_y):
                row, patch = top + i * dilation_y, patches[pixel, i * size_x * depth : (i + 1) * size_x * depth]
                if row < 0 or row >= height:
                    continue
                if whole:
                    add_row(patch[begin:end], image[row, left * depth + begin : left * depth + end])
                else:
                    for j in range(size_x):
                        at = left + j * dilation_x
                        if 0 <= at < width:
                            seen = image[row, at * channels + channel : at * channels + channel + depth]
                            add_row(patch[j * depth : (j + 1) * depth], seen)
            pixel += 1
