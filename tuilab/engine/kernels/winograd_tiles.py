"""Winograd's transforms for F(4 × 4, 3 × 3), tile by tile: of images, outputs, their gradients and kernels.

Transformed, a tile is 36 rows of numbers, one for each place in 6 × 6, in 36 matrices: (36, tiles, channels).
"""

from __future__ import annotations

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import apart, kernel, part
from tuilab.engine.kernels.rows import add_row, copy_row


@apart
def _seen(
    d0: Array,
    d1: Array,
    d2: Array,
    d3: Array,
    d4: Array,
    d5: Array,
    o0: Array,
    o1: Array,
    o2: Array,
    o3: Array,
    o4: Array,
    o5: Array,
) -> None:
    """o = Bᵀ d"""
    two, four, five = d0.dtype.type(2), d0.dtype.type(4), d0.dtype.type(5)
    for c in range(o0.size):
        a, b = d4[c] - four * d2[c], d3[c] - four * d1[c]
        e, f = d4[c] - d2[c], two * (d3[c] - d1[c])
        o0[c] = four * d0[c] - five * d2[c] + d4[c]
        o1[c] = a + b
        o2[c] = a - b
        o3[c] = e + f
        o4[c] = e - f
        o5[c] = four * d1[c] - five * d3[c] + d5[c]


@apart
def _unseen(
    v0: Array,
    v1: Array,
    v2: Array,
    v3: Array,
    v4: Array,
    v5: Array,
    o0: Array,
    o1: Array,
    o2: Array,
    o3: Array,
    o4: Array,
    o5: Array,
) -> None:
    """o = B v"""
    two, four, five = v0.dtype.type(2), v0.dtype.type(4), v0.dtype.type(5)
    for c in range(o0.size):
        a, b = v1[c] + v2[c], v1[c] - v2[c]
        e, f = v3[c] + v4[c], two * (v3[c] - v4[c])
        o0[c] = four * v0[c]
        o1[c] = four * (v5[c] - b) - f
        o2[c] = -five * v0[c] - four * a - e
        o3[c] = b + f - five * v5[c]
        o4[c] = v0[c] + a + e
        o5[c] = v5[c]


@apart
def _summed(
    m0: Array,
    m1: Array,
    m2: Array,
    m3: Array,
    m4: Array,
    m5: Array,
    o0: Array,
    o1: Array,
    o2: Array,
    o3: Array,
) -> None:
    """o = Aᵀ m"""
    two, four, eight = m0.dtype.type(2), m0.dtype.type(4), m0.dtype.type(8)
    for c in range(o0.size):
        a, b = m1[c] + m2[c], m1[c] - m2[c]
        e, f = m3[c] + m4[c], m3[c] - m4[c]
        o0[c] = m0[c] + a + e
        o1[c] = b + two * f
        o2[c] = a + four * e
        o3[c] = b + eight * f + m5[c]


@apart
def _spread(
    y0: Array,
    y1: Array,
    y2: Array,
    y3: Array,
    o0: Array,
    o1: Array,
    o2: Array,
    o3: Array,
    o4: Array,
    o5: Array,
) -> None:
    """o = A y"""
    two, four = y0.dtype.type(2), y0.dtype.type(4)
    for c in range(o0.size):
        a, b = y0[c] + y2[c], y1[c] + y3[c]
        e, f = y0[c] + four * y2[c], two * (y1[c] + four * y3[c])
        o0[c] = y0[c]
        o1[c] = a + b
        o2[c] = a - b
        o3[c] = e + f
        o4[c] = e - f
        o5[c] = y3[c]


@apart
def _widened(k0: Array, k1: Array, k2: Array, o0: Array, o1: Array, o2: Array, o3: Array, o4: Array, o5: Array) -> None:
    """o = G k"""
    number = k0.dtype.type
    for c in range(o0.size):
        a, b = number(1 / 6) * (k0[c] + k2[c]), number(1 / 6) * k1[c]
        e, f = number(1 / 24) * k0[c] + number(1 / 6) * k2[c], number(1 / 12) * k1[c]
        o0[c] = number(1 / 4) * k0[c]
        o1[c] = -a - b
        o2[c] = b - a
        o3[c] = e + f
        o4[c] = e - f
        o5[c] = k2[c]


@apart
def _narrowed(
    u0: Array, u1: Array, u2: Array, u3: Array, u4: Array, u5: Array, o0: Array, o1: Array, o2: Array
) -> None:
    """o = Gᵀ u"""
    number = u0.dtype.type
    for c in range(o0.size):
        a, b = number(1 / 6) * (u1[c] + u2[c]), number(1 / 6) * (u2[c] - u1[c])
        e, f = u3[c] + u4[c], u3[c] - u4[c]
        o0[c] = number(1 / 4) * u0[c] - a + number(1 / 24) * e
        o1[c] = b + number(1 / 12) * f
        o2[c] = number(1 / 6) * e - a + u5[c]


@apart
def _square_seen(pixels: Array, top: int, left: int, room: Array, tile: int, v: Array) -> None:
    """Write Bᵀ d B of the 6 × 6 pixels from (top, left)."""
    for j in range(6):
        at = left + j
        _seen(
            pixels[top, at],
            pixels[top + 1, at],
            pixels[top + 2, at],
            pixels[top + 3, at],
            pixels[top + 4, at],
            pixels[top + 5, at],
            room[0, j],
            room[1, j],
            room[2, j],
            room[3, j],
            room[4, j],
            room[5, j],
        )
    for i in range(6):
        row = room[i]
        _seen(
            row[0],
            row[1],
            row[2],
            row[3],
            row[4],
            row[5],
            v[6 * i, tile],
            v[6 * i + 1, tile],
            v[6 * i + 2, tile],
            v[6 * i + 3, tile],
            v[6 * i + 4, tile],
            v[6 * i + 5, tile],
        )


@apart
def _square_spread(pixels: Array, top: int, left: int, room: Array, tile: int, m: Array) -> None:
    """Write A dy Aᵀ of the 4 × 4 pixels from (top, left)."""
    for j in range(4):
        at = left + j
        _spread(
            pixels[top, at],
            pixels[top + 1, at],
            pixels[top + 2, at],
            pixels[top + 3, at],
            room[0, j],
            room[1, j],
            room[2, j],
            room[3, j],
            room[4, j],
            room[5, j],
        )
    for i in range(6):
        row = room[i]
        _spread(
            row[0],
            row[1],
            row[2],
            row[3],
            m[6 * i, tile],
            m[6 * i + 1, tile],
            m[6 * i + 2, tile],
            m[6 * i + 3, tile],
            m[6 * i + 4, tile],
            m[6 * i + 5, tile],
        )


@part
def _cut(pixels: Array, top: int, left: int, size: int, patch: Array) -> None:
    """Copy size × size pixels from (top, left), with zeros beyond the image; patch: (6, 6, depth)."""
    height, width, depth = pixels.shape
    lines, rows = pixels.reshape(height, width * depth), patch.reshape(6, 6 * depth)
    begin = min(max(0, -left), size)
    end = max(begin, min(size, width - left))
    for i in range(size):
        if 0 <= top + i < height:
            rows[i, : begin * depth] = 0
            copy_row(
                lines[top + i, (left + begin) * depth : (left + end) * depth], rows[i, begin * depth : end * depth]
            )
            rows[i, end * depth :] = 0
        else:
            rows[i] = 0


@kernel("f[:, :, :, ::1], int64, int64, int64, int64, int64, int64, f[:, :, :, ::1], f[:, :, ::1]")
def image_to_tiles(
    x: Array, first: int, last: int, down: int, across: int, above: int, before: int, room: Array, v: Array
) -> None:
    """v ← Bᵀ x B for the tiles of some rows, which run on from image to image; v: (36, tiles, channels), room:
    (2, 6, 6, channels), above, before: the padding."""
    _, height, width, _ = x.shape
    tile = 0
    for row in range(first, last):
        image, top = x[row // down], row % down * 4 - above
        for column in range(across):
            left = column * 4 - before
            if top >= 0 and left >= 0 and top + 6 <= height and left + 6 <= width:
                _square_seen(image, top, left, room[0], tile, v)
            else:
                _cut(image, top, left, 6, room[1])
                _square_seen(room[1], 0, 0, room[0], tile, v)
            tile += 1


@kernel("f[:, :, ::1], f[::1], int64, int64, int64, int64, f[:, :, ::1], f[:, :, :, ::1]")
def tiles_to_output(
    m: Array, bias: Array, first: int, last: int, down: int, across: int, room: Array, y: Array
) -> None:
    """y ← Aᵀ m A + bias for the tiles of some rows; m: (36, tiles, filters), room: (6, 6, at least filters)."""
    _, height, width, _ = y.shape
    tile = 0
    for row in range(first, last):
        image, top = y[row // down], row % down * 4
        for column in range(across):
            left = column * 4
            for j in range(6):
                _summed(
                    m[j, tile],
                    m[6 + j, tile],
                    m[12 + j, tile],
                    m[18 + j, tile],
                    m[24 + j, tile],
                    m[30 + j, tile],
                    room[0, j],
                    room[1, j],
                    room[2, j],
                    room[3, j],
                )
            for i in range(min(4, height - top)):
                line, found = room[i], room[4]
                _summed(
                    line[0],
                    line[1],
                    line[2],
                    line[3],
                    line[4],
                    line[5],
                    found[0],
                    found[1],
                    found[2],
                    found[3],
                )
                for j in range(min(4, width - left)):
                    _written(found[j], bias, image[top + i, left + j])
            tile += 1


@apart
def _written(found: Array, bias: Array, y: Array) -> None:
    for c in range(y.size):
        y[c] = found[c] + bias[c]


@kernel("f[:, :, :, ::1], int64, int64, int64, int64, f[:, :, :, ::1], f[::1], f[:, :, ::1]")
def slopes_to_tiles(
    dy: Array, first: int, last: int, down: int, across: int, room: Array, total: Array, m: Array
) -> None:
    """m ← A dy Aᵀ for the tiles of some rows; adds the sum over their pixels to `total`."""
    _, height, width, _ = dy.shape
    tile = 0
    for row in range(first, last):
        image, top = dy[row // down], row % down * 4
        for column in range(across):
            left = column * 4
            if top + 4 <= height and left + 4 <= width:
                _square_spread(image, top, left, room[0], tile, m)
            else:
                _cut(image, top, left, 4, room[1])
                _square_spread(room[1], 0, 0, room[0], tile, m)
            add_row(m[7, tile], total)  # row and column 1 of A are ones
            tile += 1


@kernel("f[:, :, ::1], int64, int64, int64, int64, int64, int64, f[:, :, :, ::1], f[:, :, :, ::1]")
def tiles_to_image(
    v: Array, first: int, last: int, down: int, across: int, above: int, before: int, room: Array, dx: Array
) -> None:
    """Add B v Bᵀ to dx for the tiles of some rows."""
    _, height, width, depth = dx.shape
    lines = dx.reshape(len(dx), height, width * depth)
    half, found, tile = room[0], room[1, 0], 0
    square = found.reshape(6 * depth)
    for row in range(first, last):
        image, top = lines[row // down], row % down * 4 - above
        for column in range(across):
            left = column * 4 - before
            begin = max(0, -left) * depth
            end = max(begin, min(6, width - left) * depth)
            for j in range(6):
                _unseen(
                    v[j, tile],
                    v[6 + j, tile],
                    v[12 + j, tile],
                    v[18 + j, tile],
                    v[24 + j, tile],
                    v[30 + j, tile],
                    half[0, j],
                    half[1, j],
                    half[2, j],
                    half[3, j],
                    half[4, j],
                    half[5, j],
                )
            for i in range(max(0, -top), min(6, height - top)):
                line = half[i]
                _unseen(
                    line[0],
                    line[1],
                    line[2],
                    line[3],
                    line[4],
                    line[5],
                    found[0],
                    found[1],
                    found[2],
                    found[3],
                    found[4],
                    found[5],
                )
                add_row(square[begin:end], image[top + i, left * depth + begin : left * depth + end])
            tile += 1


@kernel("f[:, :, :, ::1], int64, int64, f[:, :, ::1], f[:, :, ::1]")
def kernel_to_tiles(k: Array, first: int, last: int, room: Array, u: Array) -> None:
    """u ← G k Gᵀ for some of the channels; k: (3, 3, channels, filters), u: (36, channels, filters)."""
    for c in range(first, last):
        for j in range(3):
            _widened(
                k[0, j, c],
                k[1, j, c],
                k[2, j, c],
                room[0, j],
                room[1, j],
                room[2, j],
                room[3, j],
                room[4, j],
                room[5, j],
            )
        for i in range(6):
            row = room[i]
            _widened(
                row[0],
                row[1],
                row[2],
                u[6 * i, c],
                u[6 * i + 1, c],
                u[6 * i + 2, c],
                u[6 * i + 3, c],
                u[6 * i + 4, c],
                u[6 * i + 5, c],
            )


@kernel("f[:, :, :, :, ::1], int64, int64, f[:, :, :, ::1], f[:, :, :, ::1]")
def tiles_to_kernel(sums: Array, first: int, last: int, room: Array, dk: Array) -> None:
    """dk ← Gᵀ (the sum of the parts) G for some of the channels; sums: (parts, 2, 36, channels, filters), of which the
    first of two counts."""
    total, half = room[0], room[1]
    for c in range(first, last):
        for position in range(36):
            place = total[position // 6, position % 6]
            copy_row(sums[0, 0, position, c], place)
            for other in range(1, len(sums)):
                add_row(sums[other, 0, position, c], place)
        for j in range(6):
            _narrowed(
                total[0, j],
                total[1, j],
                total[2, j],
                total[3, j],
                total[4, j],
                total[5, j],
                half[0, j],
                half[1, j],
                half[2, j],
            )
        for i in range(3):
            row = half[i]
            _narrowed(row[0], row[1], row[2], row[3], row[4], row[5], dk[i, 0, c], dk[i, 1, c], dk[i, 2, c])
