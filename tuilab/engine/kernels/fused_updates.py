"""Optimizers in one pass over flat memory: each number is read once, changed and written once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tuilab.blocks.arrays import Array
from tuilab.blocks.optimizers import Adam, Adamw, Optimizer, Rmsprop, Sgd
from tuilab.engine.kernels.compiling import kernel, part

DESCENT, MOMENTUM, NESTEROV, ADAM, AMSGRAD, RMSPROP = range(6)


def _sgd(optimizer: Any) -> tuple[int, tuple[float, ...]]:
    number = DESCENT if not optimizer.momentum else NESTEROV if optimizer.nesterov else MOMENTUM
    return number, (optimizer.momentum,)


def _adam(optimizer: Any) -> tuple[int, tuple[float, ...]]:
    return AMSGRAD if optimizer.amsgrad else ADAM, (optimizer.beta_1, optimizer.beta_2)


def _rmsprop(optimizer: Any) -> tuple[int, tuple[float, ...]] | None:
    plain = not (optimizer.momentum or optimizer.centered)
    return (RMSPROP, (optimizer.rho, optimizer.epsilon)) if plain else None


RULES: dict[type[Optimizer], Callable[[Any], tuple[int, tuple[float, ...]] | None]] = {
    Sgd: _sgd,
    Adam: _adam,
    Adamw: _adam,
    Rmsprop: _rmsprop,
}
"""Optimizers with a fused form: which it is, and the settings that it reads."""


def rule_of(optimizer: Optimizer) -> tuple[int, tuple[float, ...]] | None:
    """Return the fused form of an optimizer and its settings, None where there is none."""
    found = RULES.get(type(optimizer))
    return found(optimizer) if found else None


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
