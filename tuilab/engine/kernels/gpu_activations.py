"""The activations that kernels on a GPU know."""

from __future__ import annotations

from tuilab.blocks.activations import (
    Activation,
    Elu,
    Exponential,
    Gelu,
    HardSigmoid,
    LeakyRelu,
    Linear,
    Mish,
    Relu,
    Relu6,
    Selu,
    Sigmoid,
    Silu,
    Softplus,
    Softsign,
    Step,
    Tanh,
)

ACTIVATIONS: tuple[type[Activation] | None, ...] = (
    Linear,
    Relu,
    LeakyRelu,
    Tanh,
    Sigmoid,
    Step,
    HardSigmoid,
    Relu6,
    Elu,
    Gelu,
    None,  # gelu's tanh form
    Silu,
    Mish,
    Softplus,
    Softsign,
    Exponential,
)
"""In the order of cuda/activations.cu."""


def form_of(activation: Activation) -> tuple[int, float, float] | None:
    """Return an activation's number and the two settings that its kernel reads; None where there is no kernel."""
    if isinstance(activation, Selu):
        return ACTIVATIONS.index(Elu), activation.scale, activation.scale * activation.alpha
    if type(activation) not in ACTIVATIONS:
        return None
    number, a, b = ACTIVATIONS.index(type(activation)), 0.0, 0.0
    if isinstance(activation, LeakyRelu):
        a = activation.negative_slope
    elif isinstance(activation, Elu):
        a, b = 1.0, activation.alpha
    elif isinstance(activation, Gelu) and activation.approximate:
        number += 1
    return number, a, b
