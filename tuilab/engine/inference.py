"""Predictions for any number of samples."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.samples import Scaling, Split, Stored
from tuilab.engine.batches import batches_for
from tuilab.engine.network import Network


def predict(network: Network, features: HostArray | Stored, scaling: Scaling | None) -> HostArray:
    """Return the network's outputs for features as the data set stores them: (n, …) → (n, units)."""
    ops, units = network.ops, network.plan.outputs.units
    outputs = ops.xp.empty((len(features), units), dtype=network.dtype)
    batches = batches_for(network, Split(features, np.zeros(len(features), "int64")), scaling)
    with ops.quiet():
        for index, (x, _) in enumerate(batches):
            first = index * network.batch_size
            ops.xp.copyto(outputs[first : first + len(x)], network.forward(x))
    return ops.to_host(outputs)
