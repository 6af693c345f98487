"""Curves without their noise."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray

NEGLIGIBLE = 1e-17


def smooth(values: HostArray, weight: float) -> HostArray:
    """Return the exponential moving average of values (n,), without its bias towards the start, as TensorBoard's:
    m ← weight · m + (1 − weight) · v, divided by 1 − weight^n. What is not finite stays and is passed over."""
    values = np.asarray(values, dtype=np.float64)
    if not 0 < weight < 1:
        return values
    good = np.isfinite(values)
    means = (1 - weight) * values[good]
    reach = 1  # of how many values every mean is made; doubled, because a sum of two neighbouring sums is one of both
    while reach < len(means) and weight**reach > NEGLIGIBLE:
        means[reach:] += weight**reach * means[:-reach]
        reach *= 2
    means[:reach] /= 1 - weight ** np.arange(1, min(reach, len(means)) + 1)
    out = values.copy()
    out[good] = means
    return out
