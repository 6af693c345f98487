"""Sums over whole arrays in double precision, in one pass and without a copy."""

from __future__ import annotations

import math

import numpy as np

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import kernel


@kernel("f[::1], f[::1], boolean, int64[:, ::1], float64[::1]")
def norms(x: Array, minus: Array, subtract: bool, places: Array, out: Array) -> None:
    """`Ops.norms`; `minus` is read where it is to be subtracted."""
    out[:] = 0
    for place in range(places.shape[0]):
        total, stop = 0.0, places[place, 2]
        if subtract:
            for i in range(places[place, 1], stop):
                wide = np.float64(x[i]) - np.float64(minus[i])
                total += wide * wide
        else:
            for i in range(places[place, 1], stop):
                total += np.float64(x[i]) * np.float64(x[i])
        out[places[place, 0]] += total
    for group in range(out.size):
        out[group] = math.sqrt(out[group])


@kernel("f[::1]")
def mean_and_deviation(x: Array) -> tuple[float, float]:
    """The mean, and the root of the mean squared difference from it."""
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i])
    mean, squares = total / x.size, 0.0
    for i in range(x.size):
        wide = np.float64(x[i]) - mean
        squares += wide * wide
    return mean, math.sqrt(squares / x.size)
