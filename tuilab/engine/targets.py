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
        self.form = loss.targets
        self.as_is = outputs.task in ("binary", "categorical") and loss.targets == "labels"
        self.buffer: Array = ops.xp.empty((batch_size, outputs.units), dtype=dtype)

    def encode(self, labels: Array) -> Array:
        """Return the targets for one batch of labels, or of mixed targets; valid until the next call."""
        if self.as_is:
            return labels
        xp, target = self.ops.xp, self.buffer[: labels.shape[0]]
        _write(self.ops, labels, target)
        if self.form == "signs":
            xp.multiply(target, 2, out=target)
            xp.subtract(target, 1, out=target)
        return target


class MixedTargets:
    """The targets of samples that are mixed: a share of each class, or a value in between."""

    def __init__(self, ops: Ops, outputs: Outputs, batch_size: int, dtype: str) -> None:
        self.ops = ops
        self.buffer: Array = ops.xp.empty((batch_size, outputs.units), dtype=dtype)
        self.targets: Array = self.buffer
        """Those of the batch."""

    def start(self, labels: Array) -> Array:
        """Return the targets of a batch, (rows, units), of samples not mixed yet; valid until the next call."""
        targets = self.targets = self.buffer[: labels.shape[0]]
        _write(self.ops, labels, targets)
        return targets

    def mix(self, labels: Array, partners: Array, share: Array) -> None:
        """Let each sample keep its share, (rows,), of its targets, and take the rest from its partner's.

        `labels` become those of the larger share.
        """
        ops, xp, targets = self.ops, self.ops.xp, self.targets
        with ops.scratch(targets) as others:
            ops.gather(targets, partners, out=others)
            xp.subtract(targets, others, out=targets)
            xp.multiply(targets, share.reshape(-1, 1), out=targets)
            xp.add(targets, others, out=targets)
        with ops.scratch(labels) as others, ops.scratch(share, dtype="bool") as smaller:
            ops.gather(labels, partners, out=others)
            xp.less(share, 0.5, out=smaller)
            xp.copyto(labels, others, where=smaller.reshape(-1, *([1] * (labels.ndim - 1))))


def _write(ops: Ops, labels: Array, out: Array) -> None:
    """Write labels as 0 and 1, or as the numbers that they are; out: (rows, units)."""
    if labels.ndim > 1:
        ops.xp.copyto(out, labels)
    elif out.shape[1] == 1:
        ops.xp.copyto(out, labels.reshape(-1, 1))
    else:
        one_hot(ops, labels, out=out)
