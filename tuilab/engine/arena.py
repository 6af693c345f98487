"""All parameters of a network in one flat buffer, and all gradients in another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuilab.blocks.arrays import Array, HostArray, Ops, host_generator
from tuilab.blocks.layers.layer import Parameter
from tuilab.engine.kernels.numpy import ALIGNMENT
from tuilab.experiment.plan import PlannedLayer


@dataclass(frozen=True)
class Entry:
    """One parameter's place in the arena."""

    layer: int
    parameter: Parameter
    place: slice
    value: Array
    gradient: Array | None


class Arena:
    """The parameters of a network: trainable ones first, then statistics and frozen ones, each a multiple of 256 bytes
    from the beginning.

    values: (size,), gradients: (trainable size,), flat; the gaps between parameters hold zeros. Without `initial`, so
    does all else: for weights that are read from a file. Where nothing `trains` there are no gradients.
    """

    def __init__(
        self,
        ops: Ops,
        layers: Sequence[PlannedLayer],
        dtype: str,
        seed: int,
        initial: bool = True,
        trains: bool = True,
    ) -> None:
        wanted = [(index, parameter) for index, layer in enumerate(layers) for parameter in layer.parameters]
        wanted.sort(key=lambda item: not item[1].trainable)
        step = ALIGNMENT // (8 if dtype == "float64" else 4)
        places, end, self.trainable_size = [], 0, 0
        for _, parameter in wanted:
            start, size = end, math.prod(parameter.shape)
            end = start + -(-size // step) * step
            places.append(slice(start, start + size))
            if parameter.trainable:
                self.trainable_size = end
        self.values: Array = ops.xp.zeros(end, dtype=dtype)
        self.gradients: Array = ops.xp.zeros(self.trainable_size if trains else 0, dtype=dtype)
        self.entries = [
            Entry(
                index,
                parameter,
                place,
                self.values[place].reshape(parameter.shape),
                self.gradients[place].reshape(parameter.shape) if parameter.trainable and trains else None,
            )
            for (index, parameter), place in zip(wanted, places, strict=True)
        ]
        for entry in self.entries if initial else ():
            generator = host_generator(seed, f"layers[{entry.layer}].{entry.parameter.name}")
            self.write(entry, entry.parameter.initializer.sample(generator, entry.parameter.shape), ops)

    @property
    def trainable_values(self) -> Array:
        return self.values[: self.trainable_size]

    @property
    def segments(self) -> list[slice]:
        """Where each trainable parameter lies."""
        return [entry.place for entry in self.entries if entry.parameter.trainable]

    def of_layer(self, index: int) -> list[Entry]:
        return [entry for entry in self.entries if entry.layer == index]

    @staticmethod
    def write(entry: Entry, values: HostArray, ops: Ops) -> None:
        """Copy host values into one parameter."""
        entry.value[...] = ops.xp.asarray(values, dtype=entry.value.dtype)
