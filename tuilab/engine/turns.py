"""Memory for the outputs of layers where nothing is kept for a backward pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuilab.blocks.arrays import Array, Ops, Shape
from tuilab.experiment.plan import PlannedLayer, in_line

Place = tuple[int, int]
"""How deep inside other layers, and in which of a layer's branches."""


class Turns:
    """Two buffers for every chain of layers: a layer reads one and writes the other.

    Chains of one layer have their own, for what the first gives is still read when the second runs; layers one after
    another have the same for what is inside them.
    """

    def __init__(self, ops: Ops, layers: Sequence[PlannedLayer], batch_size: int, dtype: str) -> None:
        self.batch_size = batch_size
        sizes: dict[Place, int] = {}
        _measure(layers, (0, 0), sizes)
        self._buffers: dict[Place, list[Array]] = {
            place: [ops.xp.empty(batch_size * size, dtype=dtype) for _ in range(2)] for place, size in sizes.items()
        }

    def take(self, place: Place, shape: Shape) -> Array:
        """Return the buffer that the layer before, or the one after, does not have, for a batch of `shape`."""
        buffers = self._buffers[place]
        buffers.reverse()
        return buffers[0][: self.batch_size * math.prod(shape)].reshape(self.batch_size, *shape)


def _measure(layers: Sequence[PlannedLayer], place: Place, sizes: dict[Place, int]) -> None:
    """Write the largest output of a chain, in numbers a sample, and of those inside its layers."""
    for layer in in_line(layers):
        sizes[place] = max(sizes.get(place, 0), math.prod(layer.output_shape))
        for branch, inner in enumerate(layer.branches):
            _measure(inner, (place[0] + 1, branch), sizes)
