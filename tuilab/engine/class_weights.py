"""What each class weighs in the loss (`training.class_weight`)."""

from __future__ import annotations

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.samples import Data
from tuilab.experiment.document import Training


def class_weights(ops: Ops, training: Training, data: Data) -> Array | None:
    """Return the weight of every class, (classes,), or None where all weigh the same."""
    import numpy as np

    wanted, classes = training.class_weight, data.info.classes
    if wanted is None:
        return None
    if wanted == "balanced":
        counts = np.bincount(data.train.targets, minlength=len(classes))
        weights = counts.sum() / (len(classes) * np.maximum(counts, 1))
    else:
        weights = np.array([wanted.get(name, 1.0) for name in classes])
    table: Array = ops.xp.asarray(weights, dtype=training.dtype)
    return table
