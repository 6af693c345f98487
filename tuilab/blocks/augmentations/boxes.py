"""Boxes at drawn places of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.augmentations.augmentation import Draw, drawn
from tuilab.blocks.labels import class_numbers


@contextmanager
def boxes(ops: Ops, x: Array, sides: Array, draw: Draw, area: Array) -> Iterator[Array]:
    """Lend a mask, (rows, height, width, 1), of one box in each picture of `x`; `sides`, (rows, 2), are its height and
    width as shares of the picture's. Its area in pixels, as a share of the picture's, is written into `area`, (rows,).
    """
    xp, rows = ops.xp, len(x)
    area[...] = 1
    with ops.scratch(x, dtype="bool", shape=(*x.shape[:3], 1)) as mask:
        mask[...] = True
        for axis in (0, 1):
            length, stream = x.shape[1 + axis], draw(("row", "column")[axis])
            with drawn(ops, stream, x, (rows,)) as first, ops.scratch(area) as end:
                xp.subtract(1, sides[:, axis], out=end)
                xp.multiply(first, end, out=first)
                xp.add(first, sides[:, axis], out=end)
                for edge in (first, end):
                    xp.multiply(edge, length, out=edge)
                    xp.ceil(edge, out=edge)
                xp.minimum(end, length, out=end)  # which rounding may have passed
                _keep_between(ops, mask, first, end, axis)
                xp.subtract(end, first, out=end)
                xp.multiply(end, 1 / length, out=end)
                xp.multiply(area, end, out=area)
        yield mask


def _keep_between(ops: Ops, mask: Array, first: Array, end: Array, axis: int) -> None:
    """Clear what lies before `first` or not before `end` along an axis of the pictures."""
    xp, shape = ops.xp, [len(first), 1, 1, 1]
    shape[1 + axis] = mask.shape[1 + axis]
    with (
        class_numbers(ops, first, mask.shape[1 + axis]) as numbers,
        ops.scratch(mask, shape=tuple(shape)) as after,
        ops.scratch(mask, shape=tuple(shape)) as before,
    ):
        places = numbers.reshape(1, *shape[1:])
        xp.greater_equal(places, first.reshape(-1, 1, 1, 1), out=after)
        xp.less(places, end.reshape(-1, 1, 1, 1), out=before)
        xp.logical_and(after, before, out=after)
        xp.logical_and(mask, after, out=mask)
