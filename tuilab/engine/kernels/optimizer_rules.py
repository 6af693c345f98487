"""Which optimizers have a fused form, and what it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuilab.blocks.optimizers import Adam, Adamw, Optimizer, Rmsprop, Sgd

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
