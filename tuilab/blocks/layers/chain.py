"""Layers one after another, bound to arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.layers.layer import BoundLayer


class BoundChain(BoundLayer):
    """Bound layers, each of which takes what the one before gives.

    `into` is where dL/dx of the whole belongs, or None where nobody reads it.
    """

    def __init__(self, ops: Ops, layers: Sequence[BoundLayer], into: Array | None) -> None:
        self.ops = ops
        self.layers = list(layers)
        self.into = into
        self.elsewhere = all(layer.passes_gradient for layer in self.layers[:1])
        """Whether the first layer hands on the memory of another."""

    def forward(self, x: Array, training: bool) -> Array:
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dy: Array) -> Array | None:
        for layer in reversed(self.layers):
            dx = layer.backward(dy)
            if dx is None:
                return None
            dy = dx
        if self.into is not None and self.elsewhere:
            self.ops.xp.copyto(self.into[: dy.shape[0]], dy)
            return self.into[: dy.shape[0]]
        return dy

    def trace(self, x: Array, training: bool) -> Iterator[tuple[BoundLayer, Array]]:
        for layer in self.layers:
            for seen, y in layer.trace(x, training):
                yield seen, y
            x = y
