"""Normalization over the batch: moments in one pass, and no more passes than there are results."""

from __future__ import annotations

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import apart, kernel
from tuilab.engine.kernels.rows import add_row

BLOCK = 64
"""Rows whose mean is taken before that of all: their differences from it stay in the cache."""


@apart
def _add_squares(x: Array, mean: Array, to: Array) -> None:
    for c in range(to.size):
        difference = x[c] - mean[c]
        to[c] += difference * difference


@kernel("f[:, ::1], int64, int64, f[:, ::1], float64[:, ::1]")
def moments(x: Array, first: int, last: int, room: Array, found: Array) -> None:
    """found ← the mean of some rows and the sum of their squared differences from it; x: (rows, units), room and found:
    (2, units). Blocks are joined as Chan, Golub and LeVeque do (1983), which loses nothing to large numbers."""
    mean, square, count = room[0], room[1], 0
    found[:] = 0
    while first < last:
        end = min(first + BLOCK, last)
        size = end - first
        mean[:] = 0
        for row in range(first, end):
            add_row(x[row], mean)
        for c in range(mean.size):
            mean[c] /= size
        square[:] = 0
        for row in range(first, end):
            _add_squares(x[row], mean, square)
        _join(found, count, mean, square, size)
        count += size
        first = end


@apart
def _join(found: Array, before: int, mean: Array, square: Array, size: int) -> None:
    """Join the moments of `before` rows with those of `size` others."""
    share = size / (before + size)
    for c in range(mean.size):
        difference = mean[c] - found[0, c]
        found[0, c] += difference * share
        found[1, c] += square[c] + difference * difference * before * share


@kernel("float64[:, :, ::1], int64, f[::1], f[::1]")
def join_moments(found: Array, count: int, mean: Array, variance: Array) -> None:
    """Join the moments of parts, each with its share of `count` rows; found: (parts, 2, units)."""
    parts, total = len(found), 0
    for part in range(parts):
        size = count * (part + 1) // parts - count * part // parts
        if part and size:
            _join(found[0], total, found[part, 0], found[part, 1], size)
        total += size
    for c in range(mean.size):
        mean[c] = found[0, 0, c]
        variance[c] = found[0, 1, c] / count


@apart
def _standardized(x: Array, mean: Array, scale: Array, shift: Array, y: Array) -> None:
    for c in range(y.size):
        y[c] = (x[c] - mean[c]) * scale[c] + shift[c]


@kernel("f[:, ::1], int64, int64, f[::1], f[::1], f[::1], f[:, ::1]")
def standardize(x: Array, first: int, last: int, mean: Array, scale: Array, shift: Array, out: Array) -> None:
    """`Ops.standardize` for some rows."""
    for row in range(first, last):
        _standardized(x[row], mean, scale, shift, out[row])


@apart
def _add_products(x: Array, mean: Array, dy: Array, total: Array, product: Array) -> None:
    for c in range(total.size):
        total[c] += dy[c]
        product[c] += (x[c] - mean[c]) * dy[c]


@kernel("f[:, ::1], int64, int64, f[::1], f[:, ::1], f[:, ::1], f[:, ::1]")
def standardize_sums(x: Array, first: int, last: int, mean: Array, dy: Array, room: Array, sums: Array) -> None:
    """`Ops.standardize_sums` for some rows; sums: (2, units), total and product. Blocks are summed by themselves first,
    so that many rows lose no precision."""
    sums[:] = 0
    while first < last:
        end = min(first + BLOCK, last)
        room[:] = 0
        for row in range(first, end):
            _add_products(x[row], mean, dy[row], room[0], room[1])
        add_row(room[0], sums[0])
        add_row(room[1], sums[1])
        first = end


@apart
def _sloped(x: Array, mean: Array, dy: Array, scale: Array, level: Array, slope: Array, dx: Array) -> None:
    for c in range(dx.size):
        dx[c] = scale[c] * (dy[c] - level[c] - (x[c] - mean[c]) * slope[c])


@kernel("f[:, ::1], int64, int64, f[::1], f[:, ::1], f[::1], f[::1], f[::1], f[:, ::1]")
def standardize_backward(
    x: Array,
    first: int,
    last: int,
    mean: Array,
    dy: Array,
    scale: Array,
    level: Array,
    slope: Array,
    out: Array,
) -> None:
    """`Ops.standardize_backward` for some rows."""
    for row in range(first, last):
        _sloped(x[row], mean, dy[row], scale, level, slope, out[row])
