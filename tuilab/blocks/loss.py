"""The base of all losses."""

from __future__ import annotations

from typing import ClassVar, Literal

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.block import Block
from tuilab.blocks.metric import Task


class Loss(Block, kind=True):
    """A measure of how wrong predictions are, one number a sample; training minimises its mean over the batch.

    target, prediction: (batch, units); a sample's loss is the mean (or, where the formula says so, the sum) over
    its units. Fused losses also take the logits, the output before its activation, because their sums are stable
    only there. `out` is never one of the arrays that are read.
    """

    other_names: ClassVar[dict[str, str]] = {
        "mse": "mean_squared_error",
        "l2": "mean_squared_error",
        "mae": "mean_absolute_error",
        "l1": "mean_absolute_error",
        "smooth_l1": "huber",
        "logcosh": "log_cosh",
        "bce": "binary_crossentropy",
        "binary_cross_entropy": "binary_crossentropy",
        "log_loss": "binary_crossentropy",
        "cross_entropy": "categorical_crossentropy",
        "crossentropy": "categorical_crossentropy",
        "categorical_cross_entropy": "categorical_crossentropy",
        "sparse_categorical_crossentropy": "categorical_crossentropy, which takes integer labels too",
        "nll": "categorical_crossentropy",
        "kld": "kl_divergence",
        "kl_div": "kl_divergence",
        "cosine": "cosine_similarity",
        "focal": "binary_focal_crossentropy",
        "focal_loss": "binary_focal_crossentropy",
    }

    targets: ClassVar[Literal["values", "signs", "labels"]] = "values"
    """The form of `target`. values: float (batch, units), classes one-hot as 0 and 1. signs: the same as −1 and 1.
    labels: integer (batch,) with the number of the class, or float (batch, units) with a distribution over classes."""

    tasks: ClassVar[tuple[Task, ...] | None] = None
    """The tasks that the loss fits, None where it fits all."""

    output_activations: ClassVar[tuple[str, ...] | None] = None
    """The output activations (type names) whose range the formula can take, None where it can take any number."""

    fuses_with: ClassVar[str | None] = None
    """The output activation (its type name) with which this loss is computed from logits."""

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        """Write each sample's loss into `out`, (batch,)."""
        raise NotImplementedError  # abstract

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        """Write the gradient of each sample's loss with respect to its prediction into `out`, (batch, units)."""
        raise NotImplementedError  # abstract

    def forward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        """As `forward`, for prediction = fuses_with(logits)."""
        raise NotImplementedError  # abstract

    def backward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        """Write the gradient of each sample's loss with respect to its logits into `out`, (batch, units)."""
        raise NotImplementedError  # abstract


def mean_over_units(ops: Ops, values: Array, out: Array) -> None:
    """Write the mean of the last axis into `out`; `xp.mean` would divide in double precision, through buffers."""
    ops.xp.sum(values, axis=-1, out=out)
    ops.xp.divide(out, values.shape[-1], out=out)
