"""Metrics: how good a network is, in numbers that people read. Those of single classes stand in `class_metrics`."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from tuilab.blocks.arrays import Array, HostArray, Ops
from tuilab.blocks.class_metrics import F1, Auc, Precision, Recall
from tuilab.blocks.labels import EPSILON, class_numbers, one_hot
from tuilab.blocks.metric import MeanMetric, Metric, Outputs, Task, write_truth

__all__ = [
    "F1",
    "R2",
    "Accuracy",
    "Auc",
    "Mae",
    "Metric",
    "Mse",
    "Outputs",
    "Perplexity",
    "Precision",
    "Recall",
    "Rmse",
    "Task",
    "TopK",
]


class Accuracy(MeanMetric):
    """Share of right answers.

    binary: share of outputs on the right side of the threshold, label by label where there are several.
    categorical: share of samples whose largest output is that of a right class (the first where several are equal).
    multi_label: share of samples with every label right. auto: categorical where the outputs compete, otherwise
    binary, as in Keras. With a single output all of them are the same.
    """

    kind: Literal["auto", "binary", "categorical", "multi_label"] = Field("auto", description="What a right answer is.")

    @property
    def label(self) -> str:
        return "accuracy" if self.kind == "auto" else f"{self.kind}_accuracy"

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        xp, rows = ops.xp, prediction.shape[:1]
        kind = self.kind
        if kind == "auto":
            kind = "categorical" if outputs.one_of_many else "binary"
        if kind == "categorical" and outputs.units > 1:
            self._add_largest(ops, outputs, labels, prediction, state)
            return
        with ops.scratch(prediction, dtype="bool") as truth, ops.scratch(prediction, dtype="bool") as right:
            write_truth(ops, outputs, labels, truth)
            xp.greater(prediction, outputs.threshold, out=right)
            xp.equal(right, truth, out=right)
            if kind == "multi_label":
                with ops.scratch(prediction, dtype="bool", shape=rows) as every:
                    xp.all(right, axis=-1, out=every)
                    self.add(ops, every, state)
            else:
                self.add(ops, right, state)

    def _add_largest(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        xp, rows = ops.xp, prediction.shape[:1]
        with (
            ops.scratch(prediction, dtype="int64", shape=rows) as largest,
            ops.scratch(prediction, dtype="bool", shape=rows) as right,
        ):
            xp.argmax(prediction, axis=-1, out=largest)
            if outputs.one_of_many:
                xp.equal(largest, labels, out=right)
            else:
                with ops.scratch(prediction, dtype="bool") as chosen, ops.scratch(prediction, dtype="bool") as truth:
                    one_hot(ops, largest, chosen)
                    write_truth(ops, outputs, labels, truth)
                    xp.logical_and(chosen, truth, out=chosen)
                    xp.any(chosen, axis=-1, out=right)
            self.add(ops, right, state)


class TopK(MeanMetric):
    """Share of samples whose class is among the k largest outputs; of equal outputs the first counts as the larger.

    top_k = mean(number of classes before the right one < k)
    """

    tasks = ("categorical",)

    k: int = Field(5, ge=1, description="How many guesses count.")

    @classmethod
    def label_stem(cls) -> str:
        return "top_"

    @property
    def label(self) -> str:
        return f"top_{self.k}"

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        xp, rows = ops.xp, prediction.shape[:1]
        with (
            ops.scratch(prediction, shape=(*rows, 1)) as score,
            ops.scratch(prediction, dtype="bool") as before,
            ops.scratch(prediction, dtype="bool") as equal,
            ops.scratch(prediction, dtype="bool") as earlier,
            ops.scratch(prediction, dtype="int64", shape=rows) as rank,
            ops.scratch(prediction, dtype="bool", shape=rows) as found,
        ):
            write_score_of_truth(ops, labels, prediction, score)
            xp.greater(prediction, score, out=before)
            xp.equal(prediction, score, out=equal)
            with class_numbers(ops, labels, outputs.units) as numbers:
                xp.less(numbers, labels[:, None], out=earlier)
            xp.logical_and(equal, earlier, out=equal)
            xp.logical_or(before, equal, out=before)
            xp.sum(before, axis=-1, dtype="int64", out=rank)
            xp.less(rank, self.k, out=found)
            self.add(ops, found, state)


def write_score_of_truth(ops: Ops, labels: Array, prediction: Array, out: Array) -> None:
    """Write each sample's output for its own class; labels: integer (batch,), out: (batch, 1)."""
    with ops.scratch(prediction) as chosen:
        one_hot(ops, labels, chosen)
        ops.xp.multiply(chosen, prediction, out=chosen)
        ops.xp.sum(chosen, axis=-1, keepdims=True, out=out)


class Mae(MeanMetric):
    """Mean absolute error of the predictions, in the unit of what is predicted.

    mae = mean(|y − t|)
    """

    higher_is_better = False
    tasks = ("regression",)

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        with ops.scratch(prediction) as error:
            ops.xp.subtract(prediction, labels, out=error)
            ops.xp.absolute(error, out=error)
            self.add(ops, error, state)


class Mse(MeanMetric):
    """Mean squared error of the predictions.

    mse = mean((y − t)²)
    """

    higher_is_better = False
    tasks = ("regression",)

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        with ops.scratch(prediction) as square:
            ops.xp.subtract(prediction, labels, out=square)
            ops.xp.multiply(square, square, out=square)
            self.add(ops, square, state)


class Rmse(Mse):
    """Root mean squared error of the predictions, in the unit of what is predicted.

    rmse = √mean((y − t)²)
    """

    def result(self, outputs: Outputs, state: HostArray) -> float:
        return math.sqrt(super().result(outputs, state))


class R2(Metric):
    """Coefficient of determination: the share of the variance that the predictions explain. 1 is perfect, 0 no better
    than always predicting the mean, and below 0 worse.

    r2 = 1 − Σ (t − y)² / Σ (t − mean(t))², the mean over the units. A unit whose targets are all the same has 1 where
    it is predicted exactly and otherwise 0, as in scikit-learn. Not defined for fewer than two samples. Means and
    spreads of batches are merged (Chan, Golub and LeVeque, 1979): sums of squares would cancel where the mean is large.
    """

    tasks = ("regression",)

    def state_size(self, outputs: Outputs) -> int:
        return 1 + 3 * outputs.units

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        xp, batch = ops.xp, len(prediction)
        count = state[:1]
        mean, spread, error = state[1:].reshape(3, outputs.units)
        with ops.scratch(prediction, dtype="float64") as square, ops.scratch(state, shape=(3, outputs.units)) as rows:
            shift, total, weight = rows
            xp.subtract(prediction, labels, out=square)
            xp.multiply(square, square, out=square)
            xp.sum(square, axis=0, out=total)
            xp.add(error, total, out=error)

            xp.sum(labels, axis=0, dtype="float64", out=shift)
            xp.divide(shift, batch, out=shift)  # the batch's mean
            xp.copyto(square, labels)
            xp.subtract(square, shift, out=square)
            xp.multiply(square, square, out=square)
            xp.sum(square, axis=0, out=total)
            xp.add(spread, total, out=spread)

            xp.subtract(shift, mean, out=shift)
            xp.add(count, batch, out=weight)
            xp.divide(batch, weight, out=weight)  # the batch's share of all samples
            xp.multiply(shift, weight, out=total)
            xp.add(mean, total, out=mean)
            xp.multiply(total, shift, out=total)
            xp.multiply(total, count, out=total)
            xp.add(spread, total, out=spread)
            xp.add(count, batch, out=count)

    def result(self, outputs: Outputs, state: HostArray) -> float:
        import numpy as np

        if state[0] < 2:
            return math.nan
        _, spread, error = state[1:].reshape(3, outputs.units)
        flat = spread == 0
        explained = 1 - error / np.where(flat, 1, spread)
        return float(np.mean(np.where(flat, error == 0, explained)))


class Perplexity(MeanMetric):
    """Perplexity: among how many equally likely classes the network is choosing, in effect. 1 is certainty about the
    right class, the number of classes is guessing.

    perplexity = exp(mean(−log p)), p the probability of the right class, not below 1e-7
    """

    higher_is_better = False
    tasks = ("binary", "categorical")

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        xp = ops.xp
        with ops.scratch(prediction, shape=(len(prediction), 1)) as p:
            if outputs.one_of_many:
                write_score_of_truth(ops, labels, prediction, p)
            else:  # p for class 1, 1 − p for class 0
                write_truth(ops, outputs, labels, p)
                xp.subtract(1, p, out=p)
                xp.subtract(prediction, p, out=p)
                xp.absolute(p, out=p)
            xp.maximum(p, EPSILON, out=p)
            xp.log(p, out=p)
            xp.negative(p, out=p)
            self.add(ops, p, state)

    def result(self, outputs: Outputs, state: HostArray) -> float:
        return math.exp(super().result(outputs, state))


def higher_is_better(result: str) -> bool:
    """Return whether more of a result such as `val_accuracy` is better: of a metric as it says, of a loss not."""
    blocks = (block for block in Metric.registry.values() if issubclass(block, Metric))
    return any(block.higher_is_better and block.label_stem() in result for block in blocks)
