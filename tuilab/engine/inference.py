"""Predictions for any number of samples."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.samples import Scaling, Split
from tuilab.engine.batches import batches_for
from tuilab.engine.network import Network


def predict(network: Network, features: HostArray, scaling: Scaling | None) -> HostArray:
    """Return the network's outputs for features as the data set stores them: (n, …) → (n, units)."""
    split = Split(features, np.zeros(len(features), "int64"))
    batches = batches_for(network, split, scaling)
    with network.ops.quiet():
        parts = [network.ops.to_host(network.forward(x)) for x, _ in batches]
    return np.concatenate(parts) if parts else np.empty((0, network.plan.outputs.units), network.dtype)
