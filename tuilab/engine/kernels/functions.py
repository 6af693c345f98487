"""Functions of one number that the compiler can run on many numbers at a time: exponential, logistic, tangent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
EXPONENTIAL = tuple(
    map(np.float32, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0e-1))
)
"""Coefficients of (eʳ − 1 − r) / r² for |r| ≤ ln(2)/2, highest power first (Moshier's Cephes)."""
HIGHEST, LOWEST = np.float32(88.72284), np.float32(-87.33655)
TANH_ABOVE = tuple(
    map(
        np.float32,
        (
            -2.76076847742355e-16,
            2.00018790482477e-13,
            -8.60467152213735e-11,
            5.12229709037114e-08,
            1.48572235717979e-05,
            6.37261928875436e-04,
            4.89352455891786e-03,
        ),
    )
)
TANH_BELOW = tuple(
    map(np.float32, (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03))
)
"""Coefficients of tanh(x) / x as a quotient of two polynomials of x², highest power first (Eigen)."""
TANH_END = np.float32(7.90531110763549805)
ONE, HALF = np.float32(1), np.float32(0.5)


def exponential(x: float) -> float:
    """eˣ; in float32 to the last bit or two."""
    return math.exp(x)


def hyperbolic_tangent(x: float) -> float:
    """tanh(x); in float32 to the last two or three bits."""
    return math.tanh(x)


@intrinsic
def _float_of_bits(context: Any, bits: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), write


def _wide_exp(x: Any) -> Any:
    return math.exp(x)


def _wide_tanh(x: Any) -> Any:
    return math.tanh(x)


@overload(exponential, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _exponential(x: Any) -> Any:
    if x != types.float32:
        return _wide_exp

    c0, c1, c2, c3, c4, c5 = EXPONENTIAL

    def inner(x: Any) -> Any:
        r = x if x < HIGHEST else HIGHEST  # that of NaN too, which no integer can be made of
        r = r if r > LOWEST else LOWEST
        n = np.floor(r * LOG2_E + HALF)
        r = r - n * LN2_HIGH
        r = r - n * LN2_LOW
        y = ((((c0 * r + c1) * r + c2) * r + c3) * r + c4) * r + c5
        y = y * r * r + r + ONE
        half = np.int32(n) >> np.int32(1)  # twice a power of two that float32 holds: n may be 128
        rest = np.int32(n) - half
        y = y * _float_of_bits(np.int32((half + np.int32(127)) << np.int32(23)))
        y = y * _float_of_bits(np.int32((rest + np.int32(127)) << np.int32(23)))
        if x > HIGHEST:
            y = np.float32(np.inf)
        if x < LOWEST:
            y = np.float32(0)
        return y if x == x else x

    return inner


@overload(hyperbolic_tangent, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _hyperbolic_tangent(x: Any) -> Any:
    if x != types.float32:
        return _wide_tanh

    a0, a1, a2, a3, a4, a5, a6 = TANH_ABOVE
    b0, b1, b2, b3 = TANH_BELOW

    def inner(x: Any) -> Any:
        r = x
        if r > TANH_END:
            r = TANH_END
        if r < -TANH_END:
            r = -TANH_END
        s = r * r
        above = r * ((((((a0 * s + a1) * s + a2) * s + a3) * s + a4) * s + a5) * s + a6)
        below = ((b0 * s + b1) * s + b2) * s + b3
        y = above / below
        if x > TANH_END:
            y = ONE
        if x < -TANH_END:
            y = -ONE
        return y

    return inner
