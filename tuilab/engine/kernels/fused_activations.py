"""Activations over whole batches: the bias before them and its gradient after them in the same pass."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.activations import Activation, LeakyRelu, Linear, Relu, Sigmoid, Tanh
from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import kernel, part
from tuilab.engine.kernels.functions import hyperbolic_tangent

LINEAR, RELU, LEAKY_RELU, TANH, SIGMOID = range(5)
NUMBERS: dict[type[Activation], int] = {
    Linear: LINEAR,
    Relu: RELU,
    LeakyRelu: LEAKY_RELU,
    Tanh: TANH,
    Sigmoid: SIGMOID,
}
"""Activations with a fused form; their gradient follows from the output alone."""


def slope_of(activation: Activation) -> float:
    """Return the one setting that any of them has."""
    return activation.negative_slope if isinstance(activation, LeakyRelu) else 0.0


@part
def activate_row(number: int, slope: float, bias: Array, y: Array) -> None:
    """y ← activation(y + bias); both (units,)"""
    zero, half = y.dtype.type(0), y.dtype.type(0.5)
    if number == LINEAR:
        for j in range(y.size):
            y[j] += bias[j]
    elif number == RELU:
        for j in range(y.size):
            z = y[j] + bias[j]
            y[j] = zero if z < zero else z
    elif number == LEAKY_RELU:
        below = y.dtype.type(slope)
        for j in range(y.size):
            z = y[j] + bias[j]
            y[j] = below * z if z < zero else z
    elif number == TANH:
        for j in range(y.size):
            y[j] = hyperbolic_tangent(y[j] + bias[j])
    elif number == SIGMOID:
        for j in range(y.size):
            y[j] = half * hyperbolic_tangent(half * (y[j] + bias[j])) + half


@part
def slope_row(number: int, slope: float, y: Array, dy: Array, out: Array) -> None:
    """out ← dy · the derivative where the activation gave y; all (units,)"""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    if number == LINEAR:
        for j in range(y.size):
            out[j] = dy[j]
    elif number == RELU:
        for j in range(y.size):
            out[j] = dy[j] if y[j] > zero else dy[j] * zero
    elif number == LEAKY_RELU:
        below = y.dtype.type(slope)
        for j in range(y.size):
            out[j] = dy[j] if y[j] > zero else dy[j] * below
    elif number == TANH:
        for j in range(y.size):
            out[j] = dy[j] * (one - y[j] * y[j])
    elif number == SIGMOID:
        for j in range(y.size):
            out[j] = dy[j] * (y[j] * (one - y[j]))


@kernel("int64, float64, f[::1], f[:, ::1]")
def activate(number: int, slope: float, bias: Array, y: Array) -> None:
    """y ← activation(y + bias); y: (rows, units), bias: (units,)"""
    for i in range(y.shape[0]):
        activate_row(number, slope, bias, y[i])


@kernel("int64, float64, f[:, ::1], f[:, ::1], f[:, ::1], f[::1]")
def activate_backward(number: int, slope: float, y: Array, dy: Array, out: Array, dbias: Array) -> None:
    """out ← dy · derivative, which may be dy; dbias ← its sum over the rows. dbias: (units,) or empty."""
    dbias[:] = 0
    for i in range(y.shape[0]):
        row = out[i]
        slope_row(number, slope, y[i], dy[i], row)
        if dbias.size:
            for j in range(row.size):
                dbias[j] += row[j]


@kernel("int64, float64, f[:, ::1], float64, f[:, ::1]")
def count_flat(number: int, slope: float, y: Array, least: float, rows: Array) -> tuple[int, int]:
    """Return for how many units the slope is 0 in all rows, and how many outputs have one below `least`.

    y: (rows, units), rows: (2, units) to work in, the first full of ones."""
    ones, slopes = rows[0], rows[1]
    limit, zero = y.dtype.type(least), y.dtype.type(0)
    flat = 0
    alive = np.zeros(y.shape[1], np.uint8)
    for i in range(y.shape[0]):
        slope_row(number, slope, y[i], ones, slopes)
        for j in range(y.shape[1]):
            flat += abs(slopes[j]) < limit
            alive[j] |= slopes[j] != zero
    return y.shape[1] - np.sum(alive), flat
