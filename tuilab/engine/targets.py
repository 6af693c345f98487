"""From labels as the data has them to targets as the loss wants them."""

from __future__ import annotations

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.labels import one_hot
from tuilab.blocks.losses import Loss
from tuilab.blocks.metrics import Outputs


class TargetEncoder:
    """Writes each batch's labels in the form of a loss: numbers of classes, 0 and 1, or −1 and 1."""

    def __init__(self, ops: Ops, loss: Loss, outputs: Outputs, batch_size: int, dtype: str) -> None:
        self.ops = ops
        self.outputs = outputs
        self.form = loss.targets
        self.as_is = outputs.task in ("binary", "categorical") and loss.targets == "labels"
        self.buffer: Array = ops.xp.empty((batch_size, outputs.units), dtype=dtype)

    def encode(self, labels: Array) -> Array:
        """Return the targets for one batch of labels; valid until the next call."""
        if self.as_is:
            return labels
        xp, target = self.ops.xp, self.buffer[: labels.shape[0]]
        if labels.ndim > 1:
            xp.copyto(target, labels)
        elif self.outputs.units == 1:
            xp.copyto(target, labels.reshape(-1, 1))
        else:
            one_hot(self.ops, labels, out=target)
        if self.form == "signs":
            xp.multiply(target, 2, out=target)
            xp.subtract(target, 1, out=target)
        return target
