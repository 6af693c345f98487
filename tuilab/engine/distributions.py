"""How the weights, gradients and outputs of every layer are distributed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from tuilab.blocks.arrays import Array, HostArray
from tuilab.engine.arena import Entry
from tuilab.engine.network import Network

BINS = 32
MOST_VALUES = 4096
"""How many values of an array are looked at, evenly spread over it."""
SECONDS_BETWEEN = 1.0
SHARE_OF_TIME = 0.005
"""That may be spent on this."""
LARGEST = 1e300
"""Values beyond are left out, as those that are not finite."""


@dataclass(frozen=True)
class Distribution:
    """How many values lie in each of the bins of one width between the least and the most."""

    least: float
    most: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LayerDistributions:
    """One layer at one step; None where a layer has nothing of the kind, or nothing finite."""

    weights: Distribution | None
    """Of its largest trainable parameter, after the update."""
    gradients: Distribution | None
    """Of the loss for that parameter, as the optimizer gets them."""
    outputs: Distribution | None
    """Over the batch."""


class Distributions:
    """Takes the distributions of one step: `before_update`, the optimizer's update, `after_update`.

    A few thousand values of each array are gathered on the device and counted on the host.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.largest: list[Entry | None] = [
            max(
                (entry for entry in network.arena.of_layer(index) if entry.gradient is not None),
                key=lambda entry: entry.value.size,
                default=None,
            )
            for index in range(len(network.layers))
        ]
        self.gradients: list[Distribution | None] = []
        self._taken, self._cost = -math.inf, 0.0
        """When they were taken the last time, and the seconds that took."""

    def due(self) -> bool:
        """Whether they were not taken for a while."""
        return perf_counter() - self._taken >= max(SECONDS_BETWEEN, self._cost / SHARE_OF_TIME)

    def before_update(self) -> None:
        """Look at the gradients, which the update uses up."""
        self._taken = perf_counter()
        self.gradients = [self._look(entry.gradient) if entry else None for entry in self.largest]

    def after_update(self) -> tuple[LayerDistributions, ...]:
        """Return what is known of every layer."""
        network = self.network
        outputs = [None if bound.activity is None else bound.activity.y for bound in network.layers]
        if network.output_activation is not None:
            outputs[-1] = network.predictions[: len(network.last_logits)]
        weights = [self._look(entry.value) if entry else None for entry in self.largest]
        taken = tuple(map(LayerDistributions, weights, self.gradients, map(self._look, outputs)))
        self._cost = perf_counter() - self._taken
        return taken

    def _look(self, array: Array | None) -> Distribution | None:
        if array is None:
            return None
        stride = max(-(-array.size // MOST_VALUES), 1)
        while math.gcd(stride, array.shape[-1]) > 1:  # it would meet some units only
            stride += 1
        some = array.reshape(-1)[::stride]
        with self.network.ops.scratch(some) as kept:
            self.network.ops.xp.copyto(kept, some)
            return distribution(self.network.ops.to_host(kept))


def distribution(values: HostArray) -> Distribution | None:
    """Count values, (n,); None where none is finite."""
    wide = values.astype(np.float64)
    wide = wide[np.abs(wide) <= LARGEST]
    if not wide.size:
        return None
    least, most = float(wide.min()), float(wide.max())
    places = (wide - least) * (BINS / (most - least)) if most - least > BINS / LARGEST else np.zeros(wide.size)
    counts = np.bincount(np.minimum(places.astype(np.int64), BINS - 1), minlength=BINS)
    return Distribution(least, most, tuple(counts.tolist()))
