"""Losses of probabilities: how surprised the prediction is by the truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import Field

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.labels import EPSILON, one_hot
from tuilab.blocks.loss import Loss, mean_over_units


def clip_probability(ops: Ops, p: Array, out: Array) -> None:
    """Write `p` kept in [1e-7, 1 − 1e-7], so that neither log(p) nor log(1 − p) is infinite."""
    ops.xp.clip(p, EPSILON, 1 - EPSILON, out=out)


@contextmanager
def smoothed(ops: Ops, target: Array, smoothing: float, classes: int) -> Iterator[Array]:
    """Lend t · (1 − smoothing) + smoothing / classes, a target that is not quite sure (Szegedy et al., 2016)."""
    if not smoothing:
        yield target
        return
    with ops.scratch(target) as t:
        ops.xp.multiply(target, 1 - smoothing, out=t)
        ops.xp.add(t, smoothing / classes, out=t)
        yield t


def binary_entropy(ops: Ops, t: Array, p: Array, out: Array) -> None:
    """Write −t · log p − (1 − t) · log(1 − p), p clipped, for every unit."""
    xp = ops.xp
    with ops.scratch(p) as no:
        clip_probability(ops, p, no)
        xp.log(no, out=out)
        xp.negative(no, out=no)
        xp.log1p(no, out=no)
        xp.subtract(out, no, out=out)
        xp.multiply(out, t, out=out)
        xp.add(out, no, out=out)
        xp.negative(out, out=out)


def binary_entropy_slope(ops: Ops, t: Array, p: Array, out: Array) -> None:
    """Write the derivative of `binary_entropy` by p: (p − t) / (p · (1 − p)), and 0 where p is clipped."""
    xp = ops.xp
    with ops.scratch(p) as clipped, ops.scratch(p, dtype="bool") as inside:
        clip_probability(ops, p, clipped)
        xp.equal(p, clipped, out=inside)
        xp.subtract(clipped, t, out=out)
        xp.multiply(out, inside, out=out)
        xp.divide(out, clipped, out=out)
        xp.subtract(1, clipped, out=clipped)
        xp.divide(out, clipped, out=out)


def binary_entropy_logits(ops: Ops, t: Array, z: Array, out: Array) -> None:
    """Write the same for p = sigmoid(z), as max(z, 0) − z · t + log(1 + e^−|z|), which cannot overflow."""
    xp = ops.xp
    with ops.scratch(z) as term:
        xp.absolute(z, out=out)
        xp.negative(out, out=out)
        xp.exp(out, out=out)
        xp.log1p(out, out=out)
        xp.maximum(z, 0, out=term)
        xp.add(out, term, out=out)
        xp.multiply(z, t, out=term)
        xp.subtract(out, term, out=out)


class BinaryCrossentropy(Loss):
    """Binary cross-entropy: for yes-or-no outputs, one or many, each a probability.

    loss = mean(−t · log p − (1 − t) · log(1 − p)),  gradient = (p − t) / (p · (1 − p)) / units. p is clipped to
    [1e-7, 1 − 1e-7] and the gradient is 0 beyond. From logits z it is mean(max(z, 0) − z · t + log(1 + e^−|z|)) with
    gradient (p − t) / units, exact for every z. label_smoothing moves t to t · (1 − s) + s/2.
    """

    label_smoothing: float = Field(0.0, ge=0, le=1, description="Share by which targets move from 0 and 1 to 1/2.")

    tasks = ("binary", "categorical", "multi_label")
    output_activations = ("sigmoid", "hard_sigmoid", "softmax")
    fuses_with = "sigmoid"

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        with smoothed(ops, target, self.label_smoothing, 2) as t, ops.scratch(prediction) as entropy:
            binary_entropy(ops, t, prediction, entropy)
            mean_over_units(ops, entropy, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        with smoothed(ops, target, self.label_smoothing, 2) as t:
            binary_entropy_slope(ops, t, prediction, out)
            ops.xp.divide(out, prediction.shape[-1], out=out)

    def forward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        with smoothed(ops, target, self.label_smoothing, 2) as t, ops.scratch(logits) as entropy:
            binary_entropy_logits(ops, t, logits, entropy)
            mean_over_units(ops, entropy, out)

    def backward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        with smoothed(ops, target, self.label_smoothing, 2) as t:
            ops.xp.subtract(prediction, t, out=out)
            ops.xp.divide(out, prediction.shape[-1], out=out)


class BinaryFocalCrossentropy(Loss):
    """Focal loss: binary cross-entropy that turns from easy examples to hard ones, for rare classes (Lin et al., 2017).

    loss = mean(w · uᵞ · H), where H is the binary cross-entropy, u = t · (1 − p) + (1 − t) · p says how far p is from
    t, and w = alpha · t + (1 − alpha) · (1 − t) with apply_class_balancing, otherwise 1.
    gradient = w · uᵞ · (dH + γ · (1 − 2t) · H · dp / u) / units, with dp = 1, or p · (1 − p) from logits.
    """

    alpha: float = Field(0.25, ge=0, le=1, description="Weight of the class yes, with apply_class_balancing.")
    gamma: float = Field(2.0, ge=0, description="How strongly easy examples are played down; 0: not at all.")
    apply_class_balancing: bool = Field(False, description="Weigh yes with alpha and no with 1 − alpha.")
    label_smoothing: float = Field(0.0, ge=0, le=1, description="Share by which targets move from 0 and 1 to 1/2.")

    tasks = ("binary", "categorical", "multi_label")
    output_activations = ("sigmoid", "hard_sigmoid", "softmax")
    fuses_with = "sigmoid"

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        with smoothed(ops, target, self.label_smoothing, 2) as t, ops.scratch(prediction) as entropy:
            binary_entropy(ops, t, prediction, entropy)
            self._focus(ops, t, prediction, entropy)
            mean_over_units(ops, entropy, out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        with smoothed(ops, target, self.label_smoothing, 2) as t, ops.scratch(prediction) as entropy:
            binary_entropy(ops, t, prediction, entropy)
            binary_entropy_slope(ops, t, prediction, out)
            self._focus_slope(ops, t, prediction, entropy, out)

    def forward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        with smoothed(ops, target, self.label_smoothing, 2) as t, ops.scratch(logits) as entropy:
            binary_entropy_logits(ops, t, logits, entropy)
            self._focus(ops, t, prediction, entropy)
            mean_over_units(ops, entropy, out)

    def backward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        xp, p = ops.xp, prediction
        with smoothed(ops, target, self.label_smoothing, 2) as t, ops.scratch(logits) as entropy:
            binary_entropy_logits(ops, t, logits, entropy)
            xp.multiply(entropy, p, out=entropy)
            xp.subtract(1, p, out=out)
            xp.multiply(entropy, out, out=entropy)
            xp.subtract(p, t, out=out)
            self._focus_slope(ops, t, p, entropy, out)

    def _focus(self, ops: Ops, t: Array, p: Array, values: Array) -> None:
        """Multiply `values` by w · uᵞ."""
        xp = ops.xp
        with ops.scratch(p) as factor:
            self._distance(ops, t, p, factor)
            xp.power(factor, self.gamma, out=factor)
            xp.multiply(values, factor, out=values)
            if self.apply_class_balancing:
                xp.multiply(t, 2 * self.alpha - 1, out=factor)
                xp.add(factor, 1 - self.alpha, out=factor)
                xp.multiply(values, factor, out=values)

    def _focus_slope(self, ops: Ops, t: Array, p: Array, entropy: Array, out: Array) -> None:
        """Turn `out` = dH and `entropy` = H · dp into the gradient, in `out`."""
        xp = ops.xp
        with ops.scratch(p) as u:
            self._distance(ops, t, p, u)
            # Where u is 0 so is H, in effect: the quotient is 0 there and not 0 / 0.
            xp.maximum(u, float(xp.finfo(u.dtype).tiny), out=u)
            xp.divide(entropy, u, out=entropy)
            xp.multiply(t, -2 * self.gamma, out=u)
            xp.add(u, self.gamma, out=u)
            xp.multiply(entropy, u, out=entropy)
        xp.add(out, entropy, out=out)
        self._focus(ops, t, p, out)
        xp.divide(out, p.shape[-1], out=out)

    @staticmethod
    def _distance(ops: Ops, t: Array, p: Array, out: Array) -> None:
        """Write u as a sum of two products, neither negative: t + p − 2tp would lose it in rounding."""
        xp = ops.xp
        with ops.scratch(p) as product:
            xp.subtract(1, p, out=out)
            xp.multiply(out, t, out=out)
            xp.subtract(1, t, out=product)
            xp.multiply(product, p, out=product)
            xp.add(out, product, out=out)


class CategoricalCrossentropy(Loss):
    """Cross-entropy of a choice among classes: for classifiers with a softmax. Takes the number of the class or a
    distribution over the classes.

    loss = −Σ t · log p,  gradient = (Σ t − t / p) / Σ y, where p = y / Σ y is clipped to [1e-7, 1 − 1e-7] and a clipped
    class adds nothing to the gradient. From logits z it is log Σ eᶻ − Σ t · z, with max(z) subtracted first, and the
    gradient softmax(z) − t. label_smoothing moves t to t · (1 − s) + s / classes.
    """

    label_smoothing: float = Field(0.0, ge=0, le=1, description="Share of the target spread over all classes alike.")

    targets = "labels"
    tasks = ("binary", "categorical")
    output_activations = ("softmax", "sigmoid")
    fuses_with = "softmax"

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with self._distribution(ops, target, prediction) as t, ops.scratch(prediction) as p:
            with ops.scratch(prediction, shape=(len(prediction), 1)) as total:
                self._normalize(ops, prediction, total, p)
            clip_probability(ops, p, p)
            xp.log(p, out=p)
            xp.multiply(p, t, out=p)
            xp.sum(p, axis=-1, out=out)
            xp.negative(out, out=out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp, column = ops.xp, (len(prediction), 1)
        with (
            self._distribution(ops, target, prediction) as t,
            ops.scratch(prediction) as p,
            ops.scratch(prediction) as clipped,
            ops.scratch(prediction, dtype="bool") as inside,
            ops.scratch(prediction, shape=column) as total,
            ops.scratch(prediction, shape=column) as weight,
        ):
            self._normalize(ops, prediction, total, p)
            clip_probability(ops, p, clipped)
            xp.equal(p, clipped, out=inside)
            xp.multiply(t, inside, out=out)
            xp.sum(out, axis=-1, keepdims=True, out=weight)
            xp.divide(out, clipped, out=out)
            xp.subtract(weight, out, out=out)
            xp.divide(out, total, out=out)

    def forward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with self._distribution(ops, target, prediction) as t, ops.scratch(logits) as z:
            with ops.scratch(logits, shape=(len(logits), 1)) as highest:
                xp.max(logits, axis=-1, keepdims=True, out=highest)
                xp.subtract(logits, highest, out=z)
            xp.multiply(z, t, out=z)
            with ops.scratch(out) as likely:
                xp.sum(z, axis=-1, out=likely)
                xp.max(prediction, axis=-1, out=out)  # 1 / Σ eᶻ, since the largest z is 0 now
                xp.log(out, out=out)
                xp.add(out, likely, out=out)
            xp.subtract(0, out, out=out)  # and not negative: the loss of a sure prediction is 0, not −0

    def backward_logits(self, ops: Ops, target: Array, logits: Array, prediction: Array, out: Array) -> None:
        with self._distribution(ops, target, prediction) as t:
            ops.xp.subtract(prediction, t, out=out)

    @contextmanager
    def _distribution(self, ops: Ops, target: Array, prediction: Array) -> Iterator[Array]:
        """Lend the target as a smoothed distribution over classes, (batch, classes)."""
        classes = prediction.shape[-1]
        if target.ndim == 2:
            with smoothed(ops, target, self.label_smoothing, classes) as t:
                yield t
            return
        with ops.scratch(prediction) as known:
            one_hot(ops, target, known)
            with smoothed(ops, known, self.label_smoothing, classes) as t:
                yield t

    @staticmethod
    def _normalize(ops: Ops, y: Array, total: Array, out: Array) -> None:
        """Write the sum of each row into `total` and the row divided by it into `out`; zeros stay zeros."""
        xp = ops.xp
        xp.sum(y, axis=-1, keepdims=True, out=total)
        xp.maximum(total, float(xp.finfo(total.dtype).tiny), out=total)
        xp.divide(y, total, out=out)


class KlDivergence(Loss):
    """Kullback–Leibler divergence: how much is lost when distribution p stands for distribution t.

    loss = Σ t · log(t / p),  gradient = −t / p. Both are clipped to [1e-7, 1]; the gradient is 0 where p is clipped.
    """

    output_activations = ("softmax",)

    def forward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction) as t, ops.scratch(prediction) as ratio:
            xp.clip(target, EPSILON, 1, out=t)
            xp.clip(prediction, EPSILON, 1, out=ratio)
            xp.divide(t, ratio, out=ratio)
            xp.log(ratio, out=ratio)
            xp.multiply(ratio, t, out=ratio)
            xp.sum(ratio, axis=-1, out=out)

    def backward(self, ops: Ops, target: Array, prediction: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction) as p, ops.scratch(prediction, dtype="bool") as inside:
            xp.clip(prediction, EPSILON, 1, out=p)
            xp.equal(prediction, p, out=inside)
            xp.clip(target, EPSILON, 1, out=out)
            xp.divide(out, p, out=out)
            xp.negative(out, out=out)
            xp.multiply(out, inside, out=out)
