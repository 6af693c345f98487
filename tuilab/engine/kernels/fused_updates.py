"""Optimizers in one pass over flat memory: each number is read once, changed and written once."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.compiling import kernel, part
from tuilab.engine.kernels.optimizer_rules import ADAM, AMSGRAD, DESCENT, MOMENTUM, NESTEROV, RMSPROP
from tuilab.engine.kernels.optimizer_rules import rule_of as rule_of


@part
def update_all(number: int, settings: Array, kept: float, w: Array, g: Array, s: Array, t: Array, u: Array) -> None:
    """Change weights and slots (s, t, u, as many as the rule has) for the gradient g; all (size,). `settings`: those of
    the optimizer, then its coefficients; the weights are multiplied by `kept` first."""
    c0 = w.dtype.type(settings[0])
    c1 = w.dtype.type(settings[1])
    c2 = w.dtype.type(settings[2])
    c3 = w.dtype.type(settings[3])
    keep, one = w.dtype.type(kept), w.dtype.type(1)
    if number == DESCENT:
        for i in range(w.size):
            w[i] = keep * w[i] - c1 * g[i]
    elif number == MOMENTUM:
        for i in range(w.size):
            s[i] = c0 * s[i] - c1 * g[i]
            w[i] = keep * w[i] + s[i]
    elif number == NESTEROV:
        for i in range(w.size):
            s[i] = c0 * s[i] - c1 * g[i]
            w[i] = keep * w[i] + (c0 * s[i] - c1 * g[i])
    elif number == ADAM:
        for i in range(w.size):
            s[i] = c0 * s[i] + g[i]
            t[i] = c1 * t[i] + g[i] * g[i]
            w[i] = keep * w[i] - c2 * s[i] / (np.sqrt(t[i]) + c3)
    elif number == AMSGRAD:
        for i in range(w.size):
            s[i] = c0 * s[i] + g[i]
            t[i] = c1 * t[i] + g[i] * g[i]
            u[i] = u[i] if u[i] > t[i] else t[i]
            w[i] = keep * w[i] - c2 * s[i] / (np.sqrt(u[i]) + c3)
    elif number == RMSPROP:
        for i in range(w.size):
            s[i] = c0 * s[i] + (one - c0) * (g[i] * g[i])
            w[i] = keep * w[i] - c2 * g[i] / np.sqrt(s[i] + c1)


@kernel("int64, float64[::1], float64, f[::1], f[::1], f[::1], f[::1], f[::1]")
def update(number: int, settings: Array, kept: float, w: Array, g: Array, s: Array, t: Array, u: Array) -> None:
    """`update_all`, as a kernel."""
    update_all(number, settings, kept, w, g, s, t, u)
