"""Normalization over the batch, the reference: a few rows at a time, which the cache holds from pass to pass."""

from __future__ import annotations

from collections.abc import Iterator

from tuilab.blocks.arrays import Array, Ops

PORTION = 1 << 16
"""Numbers that are worked on at once, about."""


def moments(ops: Ops, x: Array, mean: Array, variance: Array) -> None:
    """`Ops.moments`; the variance from the differences: a difference of squares would lose what large numbers have in
    common."""
    xp, count = ops.xp, x.shape[0]
    with ops.scratch(mean) as part:
        mean.fill(0)
        for rows in _portions(x):
            xp.sum(x[rows], axis=0, out=part)
            xp.add(mean, part, out=mean)
        xp.divide(mean, count, out=mean)
        variance.fill(0)
        for rows in _portions(x):
            with ops.scratch(x[rows]) as difference:
                xp.subtract(x[rows], mean, out=difference)
                xp.multiply(difference, difference, out=difference)
                xp.sum(difference, axis=0, out=part)
            xp.add(variance, part, out=variance)
        xp.divide(variance, count, out=variance)


def standardize(ops: Ops, x: Array, mean: Array, scale: Array, shift: Array, out: Array) -> None:
    """`Ops.standardize`."""
    for rows in _portions(x):
        y = out[rows]
        ops.xp.subtract(x[rows], mean, out=y)
        ops.xp.multiply(y, scale, out=y)
        ops.xp.add(y, shift, out=y)


def standardize_sums(ops: Ops, x: Array, mean: Array, dy: Array, total: Array, product: Array) -> None:
    """`Ops.standardize_sums`."""
    xp = ops.xp
    total.fill(0)
    product.fill(0)
    for rows in _portions(x):
        with ops.scratch(total) as part, ops.scratch(x[rows]) as difference:
            xp.sum(dy[rows], axis=0, out=part)
            xp.add(total, part, out=total)
            xp.subtract(x[rows], mean, out=difference)
            xp.multiply(difference, dy[rows], out=difference)
            xp.sum(difference, axis=0, out=part)
            xp.add(product, part, out=product)


def standardize_backward(
    ops: Ops, x: Array, mean: Array, dy: Array, scale: Array, level: Array, slope: Array, out: Array
) -> None:
    """`Ops.standardize_backward`."""
    xp = ops.xp
    for rows in _portions(x):
        dx = out[rows]
        xp.subtract(x[rows], mean, out=dx)
        xp.multiply(dx, slope, out=dx)
        xp.add(dx, level, out=dx)
        xp.subtract(dy[rows], dx, out=dx)
        xp.multiply(dx, scale, out=dx)


def _portions(x: Array) -> Iterator[slice]:
    """Split the rows."""
    count, units = x.shape
    step = max(1, PORTION // units)
    return (slice(first, min(first + step, count)) for first in range(0, count, step))
