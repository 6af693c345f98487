"""Losses: what training makes small. Those of probabilities stand in `crossentropies`."""

from __future__ import annotations

from pydantic import Field

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.crossentropies import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    KlDivergence,
)
from tuilab.blocks.labels import EPSILON
from tuilab.blocks.loss import Loss, mean_over_units

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KlDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Perceptron",
    "Poisson",
    "SquaredHinge",
]

SHORTEST = 1e-12  # a vector below this length has no direction; Keras normalizes with the same bound


class MeanSquaredError(Loss):
    """Mean squared error: for regression; large errors weigh most.

    loss = mean((y − t)²),  gradient = 2 · (y − t) / units
    """

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction) as error:
            xp.subtract(prediction, target, out=error)
            xp.multiply(error, error, out=error)
            mean_over_units(ops, error, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        ops.xp.subtract(prediction, target, out=out)
        ops.xp.multiply(out, 2 / prediction.shape[-1], out=out)


class MeanAbsoluteError(Loss):
    """Mean absolute error: for regression; an outlier pulls no harder than any other error.

    loss = mean(|y − t|),  gradient = sign(y − t) / units
    """

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction) as error:
            xp.subtract(prediction, target, out=error)
            xp.absolute(error, out=error)
            mean_over_units(ops, error, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        xp.subtract(prediction, target, out=out)
        xp.sign(out, out=out)
        xp.divide(out, prediction.shape[-1], out=out)


class Huber(Loss):
    """Huber loss: squared for small errors, absolute for large ones, so that outliers do not rule (Huber, 1964).

    With e = y − t: loss = mean(e²/2 where |e| ≤ delta, otherwise delta · (|e| − delta/2)),
    gradient = clip(e, −delta, delta) / units
    """

    delta: float = Field(1.0, gt=0, description="Error from where the loss grows linearly.")

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction) as error, ops.scratch(prediction) as clipped:  # loss = clipped · (|e| − clipped/2)
            xp.subtract(prediction, target, out=error)
            xp.absolute(error, out=error)
            xp.minimum(error, self.delta, out=clipped)
            xp.subtract(error, clipped, out=error)
            xp.multiply(error, clipped, out=error)
            xp.multiply(clipped, clipped, out=clipped)
            xp.multiply(clipped, 0.5, out=clipped)
            xp.add(error, clipped, out=error)
            mean_over_units(ops, error, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        xp.subtract(prediction, target, out=out)
        xp.clip(out, -self.delta, self.delta, out=out)
        xp.divide(out, prediction.shape[-1], out=out)


class LogCosh(Loss):
    """Logarithm of the hyperbolic cosine: like Huber's loss, but smooth everywhere.

    With e = y − t: loss = mean(log cosh e), computed as |e| + log1p(expm1(−2|e|) / 2), which neither overflows nor
    loses small errors;  gradient = tanh(e) / units
    """

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction) as error, ops.scratch(prediction) as bend:
            xp.subtract(prediction, target, out=error)
            xp.absolute(error, out=error)
            xp.multiply(error, -2, out=bend)
            xp.expm1(bend, out=bend)
            xp.multiply(bend, 0.5, out=bend)
            xp.log1p(bend, out=bend)
            xp.add(error, bend, out=error)
            mean_over_units(ops, error, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        xp.subtract(prediction, target, out=out)
        xp.tanh(out, out=out)
        xp.divide(out, prediction.shape[-1], out=out)


class Poisson(Loss):
    """Poisson loss: for counts (events an hour, visitors a day); the prediction is their expected number, above zero.

    loss = mean(y − t · log(y + 1e-7)),  gradient = (1 − t / (y + 1e-7)) / units
    """

    output_activations = ("exponential", "softplus", "relu")

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction) as likelihood:
            xp.add(prediction, EPSILON, out=likelihood)
            xp.log(likelihood, out=likelihood)
            xp.multiply(likelihood, target, out=likelihood)
            xp.subtract(prediction, likelihood, out=likelihood)
            mean_over_units(ops, likelihood, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        xp.add(prediction, EPSILON, out=out)
        xp.divide(target, out, out=out)
        xp.subtract(1, out, out=out)
        xp.divide(out, prediction.shape[-1], out=out)


class CosineSimilarity(Loss):
    """Cosine similarity, negated: for vectors whose direction matters and whose length does not. −1 is the same
    direction, 0 a right angle (or a vector of zeros), 1 the opposite; one unit alone has no direction to learn.

    loss = −Σ t̂ ŷ with ŷ = y/‖y‖, t̂ = t/‖t‖;  gradient = −(t̂ + loss · ŷ) / ‖y‖, 0 where y is zeros
    """

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp, column = ops.xp, (len(prediction), 1)
        with (
            ops.scratch(prediction) as t,
            ops.scratch(prediction) as y,
            ops.scratch(prediction, shape=column) as norm,
        ):
            self._normalize(ops, target, norm, t)
            self._normalize(ops, prediction, norm, y)
            xp.multiply(t, y, out=y)
            xp.sum(y, axis=-1, out=out)
            xp.negative(out, out=out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp, column = ops.xp, (len(prediction), 1)
        with (
            ops.scratch(prediction) as y,
            ops.scratch(prediction) as product,
            ops.scratch(prediction, shape=column) as norm,
            ops.scratch(prediction, shape=column) as cosine,
            ops.scratch(prediction, shape=column, dtype="bool") as directed,
        ):
            self._normalize(ops, target, norm, out)
            self._normalize(ops, prediction, norm, y)
            xp.multiply(out, y, out=product)
            xp.sum(product, axis=-1, keepdims=True, out=cosine)
            xp.multiply(y, cosine, out=y)
            xp.subtract(y, out, out=out)
            xp.divide(out, norm, out=out)
            xp.greater(norm, SHORTEST, out=directed)
            xp.multiply(out, directed, out=out)

    @staticmethod
    def _normalize(ops: Ops, x: Array, norm: Array, out: Array) -> None:
        """Write x / ‖x‖ into `out` and ‖x‖ into `norm`, never below SHORTEST, so that zeros stay zeros."""
        xp = ops.xp
        xp.multiply(x, x, out=out)
        xp.sum(out, axis=-1, keepdims=True, out=norm)
        xp.sqrt(norm, out=norm)
        xp.maximum(norm, SHORTEST, out=norm)
        xp.divide(x, norm, out=out)


class Hinge(Loss):
    """Hinge loss: for two classes with a margin, as in support vector machines (Cortes and Vapnik, 1995). Predictions
    on the right side by 1 or more are left alone.

    loss = mean(max(0, 1 − t · y)),  gradient = −t / units where t · y < 1, otherwise 0
    """

    targets = "signs"
    tasks = ("binary", "categorical", "multi_label")

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        with ops.scratch(prediction) as shortfall:
            margin_shortfall(ops, target, prediction, shortfall)
            mean_over_units(ops, shortfall, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction, dtype="bool") as short:
            xp.multiply(target, prediction, out=out)
            xp.less(out, 1, out=short)
            xp.multiply(target, short, out=out)
            xp.divide(out, -prediction.shape[-1], out=out)


class SquaredHinge(Loss):
    """Squared hinge loss: as the hinge, but smooth, and harder on predictions far on the wrong side.

    loss = mean(max(0, 1 − t · y)²),  gradient = −2 t · max(0, 1 − t · y) / units
    """

    targets = "signs"
    tasks = ("binary", "categorical", "multi_label")

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        with ops.scratch(prediction) as shortfall:
            margin_shortfall(ops, target, prediction, shortfall)
            ops.xp.multiply(shortfall, shortfall, out=shortfall)
            mean_over_units(ops, shortfall, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        margin_shortfall(ops, target, prediction, out)
        ops.xp.multiply(out, target, out=out)
        ops.xp.multiply(out, -2 / prediction.shape[-1], out=out)


def margin_shortfall(ops: Ops, target: Array, prediction: Array, out: Array) -> None:
    """Write max(0, 1 − t · y): by how much a prediction misses the margin of 1."""
    ops.xp.multiply(target, prediction, out=out)
    ops.xp.subtract(1, out, out=out)
    ops.xp.maximum(out, 0, out=out)


class Perceptron(Loss):
    """Perceptron criterion: learns from wrong decisions alone, with steps as large as the inputs (Rosenblatt, 1958).
    With a step output it works on the score z before the step, where there still is a slope.

    loss = mean(max(0, −t · z)),  gradient = −t / units where t · z ≤ 0, otherwise 0. A score of 0 decides nothing and
    counts as wrong in the gradient, so that weights of zero learn.
    """

    targets = "signs"
    tasks = ("binary", "categorical", "multi_label")
    output_activations = ("step", "linear")
    fuses_with = "step"

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction) as error:
            xp.multiply(target, prediction, out=error)
            xp.negative(error, out=error)
            xp.maximum(error, 0, out=error)
            mean_over_units(ops, error, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction, dtype="bool") as wrong:
            xp.multiply(target, prediction, out=out)
            xp.less_equal(out, 0, out=wrong)
            xp.multiply(target, wrong, out=out)
            xp.divide(out, -prediction.shape[-1], out=out)

    def forward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        self.forward(ops, target, logits, out)

    def backward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        self.backward(ops, target, logits, out)
