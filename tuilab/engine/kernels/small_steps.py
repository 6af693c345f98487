"""Whole training steps of a small network of dense layers, one after another in one call.

Where matrices are so small that a step takes microseconds, starting the operations of a step one by one would take most
of the time.
"""

from __future__ import annotations

import math

import numpy as np

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import kernel, part
from tuilab.engine.kernels.fused_activations import activate_row, slope_row
from tuilab.engine.kernels.fused_losses import largest, sigmoid_loss, softmax_loss
from tuilab.engine.kernels.fused_updates import update_all

SOFTMAX, SIGMOID, SQUARES = range(3)
"""What the last layer and the loss are together: fused with the cross-entropy, or an activation and squared errors."""
NO_ACCURACY, LARGEST, THRESHOLD = range(3)


@part
def _times(x: Array, w: Array, z: Array) -> None:
    """z ← x · w; x: (rows, inputs), w: (inputs, units), z: (rows, units)"""
    z[:] = 0
    if w.shape[1] == 1:
        for r in range(x.shape[0]):
            total = z.dtype.type(0)
            for k in range(w.shape[0]):
                total += x[r, k] * w[k, 0]
            z[r, 0] = total
        return
    for r in range(x.shape[0]):
        for k in range(w.shape[0]):
            factor = x[r, k]
            for j in range(w.shape[1]):
                z[r, j] += factor * w[k, j]


@part
def _times_backward(x: Array, w: Array, dz: Array, dw: Array, dx: Array) -> None:
    """dw ← xᵀ · dz, dx ← dz · wᵀ; dx may be empty."""
    dw[:] = 0
    for r in range(x.shape[0]):
        for k in range(w.shape[0]):
            factor = x[r, k]
            for j in range(w.shape[1]):
                dw[k, j] += factor * dz[r, j]
    for r in range(dx.shape[0]):
        for k in range(w.shape[0]):
            total = dz.dtype.type(0)
            for j in range(w.shape[1]):
                total += dz[r, j] * w[k, j]
            dx[r, k] = total


@part
def _square_loss(number: int, slope: float, bias: Array, t: Array, y: Array, dy: Array, dz: Array) -> float:
    """y ← activation(y + bias), dz ← the gradient of the mean squared error before it; return that error."""
    activate_row(number, slope, bias, y)
    total, two = y.dtype.type(0), y.dtype.type(2 / y.size)
    for j in range(y.size):
        difference = y[j] - t[j]
        total += difference * difference
        dy[j] = two * difference
    slope_row(number, slope, y, dy, dz)
    return total * y.dtype.type(1 / y.size)


@part
def _right(kind: int, threshold: float, label: int, t: Array, p: Array) -> int:
    """Return how many answers of one sample are right."""
    if kind == LARGEST:
        return int(largest(p) == label)
    right = 0
    for j in range(p.size):
        right += (p[j] > threshold) == (t[j] != 0)
    return right


NETWORK = "int64[::1], int64[:, ::1], int64[::1], float64[::1], int64, float64, int64, float64"
UPDATES = "int64, float64[:, ::1], float64[::1], boolean, int64, f[::1], f[::1], f[::1], f[::1], f[::1]"
BATCHES = "f[:, ::1], int64[::1], f[:, ::1], f[::1], f[:, ::1], f[::1], f[::1], float64[::1]"


@kernel(f"{NETWORK}, {UPDATES}, {BATCHES}")
def small_steps(
    units: Array,
    places: Array,
    activations: Array,
    slopes: Array,
    loss: int,
    smoothing: float,
    accuracy: int,
    threshold: float,
    rule: int,
    settings: Array,
    kept: Array,
    updates: bool,
    rows: int,
    values: Array,
    gradients: Array,
    s: Array,
    t: Array,
    u: Array,
    x: Array,
    labels: Array,
    targets: Array,
    outputs: Array,
    predictions: Array,
    spare: Array,
    losses: Array,
    state: Array,
) -> int:
    """Do one step for every number of `kept`; return how many were done. A step whose loss is not finite is not done.
    Without `updates` a step ends with the gradients.

    units: numbers of inputs and of each layer's outputs; places: where each layer's kernel, its bias (−1: none) and its
    outputs begin in `values` and in `outputs`; activations, slopes: their numbers and settings. settings, kept: of
    `update_all`, for each step; s, t, u: the slots. x: (steps · rows, inputs), labels: (steps · rows,), targets:
    (steps · rows, outputs); those that the loss does not read may be empty. predictions: of the last step. spare: six
    times rows · the most units. losses: of each step. state: of the measures.
    """
    layers, widest = activations.size, spare.size // (6 * rows)
    no_bias = spare[:widest]
    scale = values.dtype.type(1 / rows)
    last = layers - 1
    for step in range(kept.size):
        first = step * rows
        y = x[first : first + rows]
        for layer in range(layers):
            n, m = units[layer], units[layer + 1]
            w = values[places[layer, 0] : places[layer, 0] + n * m].reshape((n, m))
            z = outputs[places[layer, 2] : places[layer, 2] + rows * m].reshape((rows, m))
            _times(y, w, z)
            y = z
            no_bias[:] = 0
            bias = no_bias[:m] if places[layer, 1] < 0 else values[places[layer, 1] : places[layer, 1] + m]
            if layer < last:
                for r in range(rows):
                    activate_row(activations[layer], slopes[layer], bias, y[r])
            elif loss != SQUARES:
                for r in range(rows):
                    for j in range(m):
                        y[r, j] += bias[j]
        m, half = units[layers], rows * widest
        dz = spare[widest * rows : widest * rows + rows * m].reshape((rows, m))
        dy = spare[2 * half : 2 * half + rows * m].reshape((rows, m))
        total, right = values.dtype.type(0), 0
        for r in range(rows):
            at = first + r
            if loss == SOFTMAX:
                total += softmax_loss(labels[at], smoothing, y[r], predictions[r], dz[r])
            elif loss == SIGMOID:
                total += sigmoid_loss(smoothing, targets[at], y[r], predictions[r], dz[r])
            else:
                total += _square_loss(activations[last], slopes[last], bias, targets[at], y[r], dy[r], dz[r])
                predictions[r] = y[r]
        total *= scale
        if not math.isfinite(total):
            return step
        losses[step] = total
        if accuracy != NO_ACCURACY:
            for r in range(rows):
                label = labels[first + r] if accuracy == LARGEST else 0
                truth = targets[first + r] if accuracy == THRESHOLD else predictions[r]
                right += _right(accuracy, threshold, label, truth, predictions[r])
            state[2] += right
            state[3] += rows if accuracy == LARGEST else rows * m
        state[0] += np.float64(total) * rows
        state[1] += rows
        for r in range(rows):
            for j in range(m):
                dz[r, j] *= scale
        for layer in range(last, -1, -1):
            n, m = units[layer], units[layer + 1]
            before = x[first : first + rows]
            if layer:
                before = outputs[places[layer - 1, 2] : places[layer - 1, 2] + rows * n].reshape((rows, n))
            w = values[places[layer, 0] : places[layer, 0] + n * m].reshape((n, m))
            dw = gradients[places[layer, 0] : places[layer, 0] + n * m].reshape((n, m))
            if places[layer, 1] >= 0:
                dbias = gradients[places[layer, 1] : places[layer, 1] + m]
                dbias[:] = 0
                for r in range(rows):
                    for j in range(m):
                        dbias[j] += dz[r, j]
            dx = spare[3 * half : 3 * half + (rows * n if layer else 0)].reshape((rows if layer else 0, n))
            _times_backward(before, w, dz, dw, dx)
            if layer:
                dz = spare[(4 + layer % 2) * half : (4 + layer % 2) * half + rows * n].reshape((rows, n))
                for r in range(rows):
                    slope_row(activations[layer - 1], slopes[layer - 1], before[r], dx[r], dz[r])
        if updates:
            update_all(rule, settings[step], kept[step], values, gradients, s, t, u)
    return kept.size
