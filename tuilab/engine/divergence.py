"""Finds the layer that produced the first NaN or infinity."""

from __future__ import annotations

from tuilab.blocks.arrays import Array
from tuilab.engine.network import Network


def find_origin(network: Network, x: Array) -> str:
    """Return, in words, where NaN or infinity comes from, after a batch `x` whose loss is not finite.

    Gradients run from the last layer to the first: if parameters are not finite, the last such layer was the first to
    be spoilt, by the update before this step. Otherwise it is the first layer whose output is not finite.
    """
    xp, layers = network.ops.xp, network.plan.layers

    def finite(array: Array) -> bool:
        return bool(xp.isfinite(array).all())

    spoilt = [entry.layer for entry in network.arena.entries if not finite(entry.value)]
    if spoilt:
        return (
            f"the parameters of {layers[max(spoilt)].name} (layers[{max(spoilt)}]) overflowed in the update before it"
        )
    for index, bound in enumerate(network.layers):
        x = bound.forward(x, training=False)
        if not finite(x):
            return f"the output of {layers[index].name} (layers[{index}]) is not finite"
    return f"the loss is not finite for finite outputs of {layers[-1].name} (layers[{len(layers) - 1}])"
