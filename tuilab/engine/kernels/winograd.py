"""Convolutions with 3 × 3 kernels and without strides, in a quarter of the products: Winograd's F(4 × 4, 3 × 3)
(Lavin and Gray, 2016).

The output is cut into tiles of 4 × 4 pixels, each of which sees 6 × 6 pixels of the image. Both transformed, the 36
numbers of an image's tile meet the 36 of the kernel in 36 matrix products over the channels, and the sum is transformed
back:

    y = Aᵀ [(G k Gᵀ) ⊙ (Bᵀ x B)] A

Gradients run through the same sum backwards: with dm = A dy Aᵀ the kernel's is Gᵀ [(Bᵀ x B) ⊙ dm] G, summed over the
tiles, and the image's, tile by tile and added up where they overlap, is B [(G k Gᵀ) ⊙ dm] Bᵀ.
"""

from __future__ import annotations

import math

import numpy as np

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.window import Window
from tuilab.engine.kernels.winograd_tiles import (
    image_to_tiles,
    kernel_to_tiles,
    slopes_to_tiles,
    tiles_to_image,
    tiles_to_kernel,
    tiles_to_output,
)
from tuilab.engine.threads import Team, share

CHUNK_BYTES = 1 << 22
"""Of transformed tiles that a thread works on at once, about: what its cache holds."""
TILES_FOR_CHANNELS = 0.25
"""How many there are at least for each channel: so many that the transformed kernel, which every chunk reads, is not
most of what is read."""
FEWEST_CHANNELS = 8
"""On either side."""
FEWEST_TILES = 12
"""In a batch."""


def fits(x: Array, weights: Array, window: Window, out: Array) -> bool:
    """Whether this convolution can be done so, and, as measurements of many shapes showed, takes less time: the
    transforms are paid for by many channels, that of the kernel by many tiles, and at least half of them is used."""
    batch, height, width, _ = out.shape
    tiles = math.ceil(height / 4) * math.ceil(width / 4)
    return (
        (window.size, window.strides, window.dilation) == ((3, 3), (1, 1), (1, 1))
        and weights.shape[2] == x.shape[3]
        and min(weights.shape[2:]) >= FEWEST_CHANNELS
        and batch * tiles >= FEWEST_TILES
        and 2 * height * width >= 16 * tiles
    )


class Tiling:
    """How the output of a convolution falls into tiles, and how many rows of tiles a thread works on at once."""

    def __init__(self, x: Array, out: Array, parts: int) -> None:
        batch, height, width, filters = out.shape
        self.down, self.across = math.ceil(height / 4), math.ceil(width / 4)
        self.rows = batch * self.down
        depth = x.shape[3] + filters
        tiles = max(CHUNK_BYTES // (36 * depth * x.itemsize), int(TILES_FOR_CHANNELS * depth))
        self.step = max(1, min(-(-self.rows // parts), tiles // self.across))
        self.tiles = self.step * self.across
        """In a chunk, at most."""
        self.places = self.tiles + (3 - self.tiles) % 8
        """So many that the same tile of the 36 matrices does not fall on the same lines of the cache."""
        self.several = math.ceil(batch / parts) * self.down > self.step
        """Whether a thread's images are more than a chunk."""

    def chunks(self, rows: range) -> list[tuple[int, int, int]]:
        """Split some rows of tiles into chunks: (first row, last + 1, how many tiles)."""
        firsts = range(rows.start, rows.stop, self.step)
        lasts = [min(first + self.step, rows.stop) for first in firsts]
        return [(first, last, (last - first) * self.across) for first, last in zip(firsts, lasts, strict=True)]


def forward(ops: Ops, team: Team, x: Array, weights: Array, bias: Array | None, window: Window, out: Array) -> None:
    """`Ops.conv2d`."""
    tiling, (channels, filters) = Tiling(x, out, team.size), weights.shape[2:]
    with (
        ops.scratch(weights, shape=(36, channels, filters)) as u,
        ops.scratch(x, shape=(team.size, 36, tiling.places, channels)) as v,
        ops.scratch(x, shape=(team.size, 36, tiling.places, filters)) as m,
        ops.scratch(x, shape=(team.size, 2, 6, 6, channels)) as image_room,
        ops.scratch(x, shape=(team.size, 2, 6, 6, filters)) as room,
        ops.scratch(weights, shape=(filters,)) as added,
    ):
        np.copyto(added, 0 if bias is None else bias)

        def transform(part: int) -> None:
            mine = share(channels, part, team.size)
            kernel_to_tiles(weights, mine.start, mine.stop, room[part, 0], u)

        def work(part: int) -> None:
            for first, last, tiles in tiling.chunks(share(tiling.rows, part, team.size)):
                image_to_tiles(x, first, last, tiling.down, tiling.across, *window.before, image_room[part], v[part])
                np.matmul(v[part, :, :tiles], u, out=m[part, :, :tiles])
                tiles_to_output(m[part], added, first, last, tiling.down, tiling.across, room[part, 0], out)

        team.run(transform)
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
    """`Ops.conv2d_backward`. A thread has whole images: the tiles of one overlap in the gradient of the image."""
    tiling, (channels, filters) = Tiling(x, dy, team.size), weights.shape[2:]
    with (
        ops.scratch(weights, shape=(36, channels, filters)) as u,
        ops.scratch(x, shape=(team.size, 36, tiling.places, channels)) as v,
        ops.scratch(x, shape=(team.size, 36, tiling.places, filters)) as m,
        ops.scratch(weights, shape=(team.size, 2 if tiling.several else 1, 36, channels, filters)) as sums,
        ops.scratch(weights, shape=(team.size, filters)) as bias_sums,
        ops.scratch(x, shape=(team.size, 2, 6, 6, channels)) as image_room,
        ops.scratch(x, shape=(team.size, 2, 6, 6, filters)) as room,
    ):

        def transform(part: int) -> None:
            mine = share(channels, part, team.size)
            kernel_to_tiles(weights, mine.start, mine.stop, room[part, 0], u)

        def work(part: int) -> None:
            images = share(len(x), part, team.size)
            sums[part, 0].fill(0)
            bias_sums[part].fill(0)
            if dx is not None:
                dx[images.start : images.stop].fill(0)
            rows = range(images.start * tiling.down, images.stop * tiling.down)
            for number, (first, last, tiles) in enumerate(tiling.chunks(rows)):
                place = first, last, tiling.down, tiling.across
                slopes_to_tiles(dy, *place, room[part], bias_sums[part], m[part])
                slopes = m[part, :, :tiles]
                if dweights is not None:
                    image_to_tiles(x, *place, *window.before, image_room[part], v[part])
                    seen = v[part, :, :tiles].transpose(0, 2, 1)
                    np.matmul(seen, slopes, out=sums[part, 1 if number else 0])
                    if number:
                        np.add(sums[part, 0], sums[part, 1], out=sums[part, 0])
                if dx is not None:
                    np.matmul(slopes, u.transpose(0, 2, 1), out=v[part, :, :tiles])
                    tiles_to_image(v[part], *place, *window.before, image_room[part], dx)

        def collect(part: int) -> None:
            if dweights is not None:
                mine = share(channels, part, team.size)
                tiles_to_kernel(sums, mine.start, mine.stop, room[part], dweights)

        if dx is not None:
            team.run(transform)
        team.run(work)
        team.run(collect)
        if dbias is not None:
            np.sum(bias_sums, axis=0, out=dbias)
