"""Finds where the first NaN or infinity came from."""

from __future__ import annotations

from tuilab.blocks.arrays import Array, Ops
from tuilab.engine.network import Network


def all_finite(ops: Ops, array: Array) -> bool:
    """Return whether no element is NaN or infinite; the host waits for the answer."""
    with ops.scratch(array, dtype="bool") as finite, ops.scratch(array, dtype="bool", shape=()) as every:
        ops.xp.isfinite(array, out=finite)
        ops.xp.all(finite, out=every)
        return bool(ops.to_host(every))


def find_overflow(network: Network) -> str:
    """Return, in words, which layer's parameters the last update made NaN or infinite; empty where all are finite.

    Gradients run from the last layer to the first, so the last such layer was the first to be spoilt.
    """
    if all_finite(network.ops, network.arena.trainable_values):
        return ""
    for entry in reversed(network.arena.entries):
        if entry.gradient is not None and not all_finite(network.ops, entry.value):
            return f"the last update made the parameters of {_place(network, entry.layer)} overflow"
    return ""


def find_origin(network: Network, x: Array, training: bool) -> str:
    """Return, in words, where NaN or infinity comes from, after a batch `x` whose loss is not finite: from the inputs,
    the last update, or the first layer that makes finite numbers infinite."""
    ops = network.ops
    if not all_finite(ops, x):
        return "the inputs hold NaN or infinity"
    overflow = find_overflow(network)
    if overflow:
        return overflow
    network.penalty[...] = 0
    place = "the inputs"
    places = {id(bound): _place(network, index) for index, bound in enumerate(network.layers)}
    for bound, y in network.chain.trace(x, training):
        place = places.get(id(bound), place)
        if not all_finite(ops, y):
            return f"the output of {place} is not finite"
        if not all_finite(ops, network.penalty):
            return f"the activity penalty of {place} is not finite"
    for entry in network.arena.entries:
        if entry.parameter.regularizer is not None:
            entry.parameter.regularizer.add_penalty(ops, entry.value, network.penalty)
            if not all_finite(ops, network.penalty):
                return f"the penalty on the {entry.parameter.name} of {_place(network, entry.layer)} is not finite"
    return f"the loss is not finite for finite outputs of {_place(network, len(network.layers) - 1)}"


def _place(network: Network, index: int) -> str:
    leaf = network.plan.leaves[index]
    return f"{leaf.name} ({leaf.place})"
