"""What happens to samples before and between layers: gathered, scaled, dropped at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import kernel, part

MULTIPLIERS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
INCREMENTS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
ROUNDS = 10


@kernel(
    "f[:, ::1], int64[::1], f[::1], f[::1], f[:, ::1]",
    "uint8[:, ::1], int64[::1], f[::1], f[::1], f[:, ::1]",
)
def load_scaled(source: Array, rows: Array, offset: Array, scale: Array, out: Array) -> None:
    """out[i] ← (source[rows[i]] − offset) · scale; source: (samples, numbers), out: (rows, numbers), offset and scale:
    of one number, or one for each."""
    number = out.dtype.type
    less, times = offset[0], scale[0]
    for i in range(rows.size):
        sample, y = source[rows[i]], out[i]
        if scale.size == 1 and offset.size == 1:
            for j in range(y.size):
                y[j] = (number(sample[j]) - less) * times
        else:
            for j in range(y.size):
                y[j] = (number(sample[j]) - offset[j % offset.size]) * scale[j % scale.size]


@intrinsic
def _product(context: Any, a: Any, b: Any) -> Any:
    """The upper and the lower 64 bits of a product of two numbers of 64."""
    pair = types.UniTuple(types.uint64, 2)

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, wide = ir.IntType(64), ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)
        return context.make_tuple(builder, pair, (high, builder.trunc(product, word)))

    return pair(types.uint64, types.uint64), write


@part
def _write_words(k0: Any, k1: Any, step: int, epoch: int, out: Array) -> None:
    """Fill `out`, (4 · blocks,), with the words that Philox 4×64 gives for the key (k0, k1) and the counters (block, 0,
    step, epoch), the first block being 1 (Salmon et al., 2011)."""
    for block in range(out.size // 4):
        a, b, c, d = np.uint64(block + 1), np.uint64(0), np.uint64(step), np.uint64(epoch)
        first, second = k0, k1
        for _ in range(ROUNDS):
            high, low = _product(MULTIPLIERS[0], a)
            other_high, other_low = _product(MULTIPLIERS[1], c)
            a, b, c, d = other_high ^ b ^ first, other_low, high ^ d ^ second, low
            first, second = first + INCREMENTS[0], second + INCREMENTS[1]
        out[4 * block] = a
        out[4 * block + 1] = b
        out[4 * block + 2] = c
        out[4 * block + 3] = d


@kernel("uint64, uint64, int64, int64, float64, uint64[::1], f[::1]")
def draw_mask(k0: int, k1: int, step: int, epoch: int, rate: float, words: Array, out: Array) -> None:
    """out ← 0 where a number drawn from [0, 1) is below the rate, otherwise 1 / (1 − rate); the numbers are those of
    `NumpyKernels.uniform`. out: (size,), words: as many bytes or up to 31 more, which may be the same memory."""
    number = out.dtype.type
    kept, zero = number(1 / (1 - rate)), number(0)
    _write_words(k0, k1, step, epoch, words)
    if out.itemsize == 8:
        lowest = np.uint64(np.ceil(rate * 2.0**53))
        for i in range(out.size):
            out[i] = kept if words[i] >> np.uint64(11) >= lowest else zero
    else:
        halves = words.view(np.uint32)
        least = np.uint32(np.ceil(np.float64(number(rate)) * 2.0**24))
        for i in range(out.size):
            out[i] = kept if halves[i] >> np.uint32(8) >= least else zero
