"""The last activation, the loss and its gradient in one pass over the logits; the accuracy in another."""

from __future__ import annotations

import math

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import kernel, part
from tuilab.engine.kernels.functions import exponential, hyperbolic_tangent


@part
def softmax_loss(label: int, smoothing: float, z: Array, p: Array, dz: Array) -> float:
    """p ← softmax(z), dz ← p − t, and return the cross-entropy of one sample; all (classes,)."""
    number = z.dtype.type
    highest = z[0]
    for j in range(1, z.size):
        highest = max(highest, z[j])
    total = number(0)
    for j in range(z.size):
        p[j] = exponential(z[j] - highest)
    for j in range(z.size):
        total += p[j]
    share = number(1) / total
    for j in range(z.size):
        p[j] = p[j] * share
    spread = number(smoothing / z.size)
    loss = math.log(total) - (number(1 - smoothing) * (z[label] - highest))
    if smoothing:
        for j in range(z.size):
            loss -= spread * (z[j] - highest)
    for j in range(z.size):
        dz[j] = p[j] - spread
    dz[label] -= number(1 - smoothing)
    return loss


@part
def sigmoid_loss(smoothing: float, t: Array, z: Array, p: Array, dz: Array) -> float:
    """p ← sigmoid(z), dz ← (p − t) / units, and return the mean binary cross-entropy; all (units,)."""
    number = z.dtype.type
    half, zero = number(0.5), number(0)
    kept, spread, share = number(1 - smoothing), number(smoothing / 2), number(1 / z.size)
    total = zero
    for j in range(z.size):
        p[j] = half * hyperbolic_tangent(half * z[j]) + half
        target = kept * t[j] + spread
        total += max(z[j], zero) - z[j] * target + math.log1p(exponential(-abs(z[j])))
        dz[j] = (p[j] - target) * share
    return total * share


@kernel("int64[::1], float64, f[:, ::1], f[:, ::1], f[::1], f[:, ::1]")
def softmax_losses(labels: Array, smoothing: float, z: Array, p: Array, losses: Array, dz: Array) -> None:
    """`softmax_loss` of every sample: labels, losses (rows,), z, p, dz (rows, classes)."""
    for i in range(z.shape[0]):
        losses[i] = softmax_loss(labels[i], smoothing, z[i], p[i], dz[i])


@kernel("float64, f[:, ::1], f[:, ::1], f[:, ::1], f[::1], f[:, ::1]")
def sigmoid_losses(smoothing: float, t: Array, z: Array, p: Array, losses: Array, dz: Array) -> None:
    """`sigmoid_loss` of every sample: losses (rows,), t, z, p, dz (rows, units)."""
    for i in range(z.shape[0]):
        losses[i] = sigmoid_loss(smoothing, t[i], z[i], p[i], dz[i])


@kernel("int64[::1], f[:, ::1], float64[::1]")
def count_largest(labels: Array, p: Array, state: Array) -> None:
    """Add to state[0] how many samples have their largest output at their label (the first where several are equal),
    and to state[1] how many there are."""
    right = 0
    for i in range(p.shape[0]):
        right += largest(p[i]) == labels[i]
    state[0] += right
    state[1] += p.shape[0]


@part
def largest(p: Array) -> int:
    """Return the place of the largest number, or that of the first NaN."""
    best = 0
    for j in range(1, p.size):
        if p[j] > p[best] or (p[j] != p[j] and p[best] == p[best]):
            best = j
    return best
