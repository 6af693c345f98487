"""Metrics that look at each class for itself: precision, recall, F1 and the area under the ROC curve."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from tuilab.blocks.arrays import Array, HostArray, Ops
from tuilab.blocks.labels import EPSILON, class_numbers, one_hot
from tuilab.blocks.metric import Metric, Outputs, write_truth


def write_decisions(ops: Ops, outputs: Outputs, prediction: Array, out: Array) -> None:
    """Write True where the network says yes: to its largest output, or to each one above the threshold."""
    if not outputs.one_of_many:
        ops.xp.greater(prediction, outputs.threshold, out=out)
        return
    with ops.scratch(prediction, dtype="int64", shape=prediction.shape[:1]) as largest:
        ops.xp.argmax(prediction, axis=-1, out=largest)
        one_hot(ops, largest, out)


class CountMetric(Metric, abstract=True):
    """A metric of each class's counts: hits (yes, and right), said (yes) and true (should be yes).

    Binary: the value of class 1. Otherwise macro: the mean of the values of all classes; micro: the value of the
    counts of all classes together. A class where the formula divides by 0, because it never occurs or is never said,
    has the value 0 (as in Keras, and in scikit-learn with all labels given).
    """

    average: Literal["macro", "micro"] = Field(
        "macro", description="macro: every class counts alike; micro: every sample counts alike."
    )

    @property
    def label(self) -> str:
        return self.type_name() if self.average == "macro" else f"micro_{self.type_name()}"

    def ratio(self, hits: HostArray, said: HostArray, true: HostArray) -> tuple[HostArray, HostArray]:
        """Return dividend and divisor of the formula, class by class."""
        raise NotImplementedError  # abstract

    def state_size(self, outputs: Outputs) -> int:
        return 1 + 3 * outputs.units

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        xp = ops.xp
        hits, said, true = state[1:].reshape(3, outputs.units)
        with (
            ops.scratch(prediction, dtype="bool") as truth,
            ops.scratch(prediction, dtype="bool") as decisions,
            ops.scratch(state, shape=(outputs.units,)) as counts,
        ):
            write_truth(ops, outputs, labels, truth)
            xp.sum(truth, axis=0, dtype="float64", out=counts)
            xp.add(true, counts, out=true)
            write_decisions(ops, outputs, prediction, decisions)
            xp.sum(decisions, axis=0, dtype="float64", out=counts)
            xp.add(said, counts, out=said)
            xp.logical_and(truth, decisions, out=truth)
            xp.sum(truth, axis=0, dtype="float64", out=counts)
            xp.add(hits, counts, out=hits)
        state[0] += len(prediction)

    def result(self, outputs: Outputs, state: HostArray) -> float:
        import numpy as np

        if not state[0]:
            return math.nan
        counts = state[1:].reshape(3, outputs.units)
        if outputs.task == "binary":
            counts = counts[:, -1:]
        elif self.average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        dividend, divisor = self.ratio(*counts)
        return float(np.mean(dividend / np.maximum(divisor, 1)))  # where the divisor is 0, the dividend is 0 too


class Precision(CountMetric):
    """Precision: of all that the network calls yes, the share that is. The one to watch when false alarms are dear.

    precision = hits / said. Binary: of class 1. Otherwise macro: the mean over all classes; micro: of all classes'
    counts together. A class that is never said has precision 0.
    """

    def ratio(self, hits: HostArray, said: HostArray, true: HostArray) -> tuple[HostArray, HostArray]:
        return hits, said


class Recall(CountMetric):
    """Recall: of all that is yes, the share that the network finds. The one to watch when misses are dear.

    recall = hits / true. Binary: of class 1. Otherwise macro: the mean over all classes; micro: of all classes' counts
    together. A class that never occurs has recall 0.
    """

    def ratio(self, hits: HostArray, said: HostArray, true: HostArray) -> tuple[HostArray, HostArray]:
        return hits, true


class F1(CountMetric):
    """F1 score: the harmonic mean of precision and recall, high only where both are (van Rijsbergen, 1979).

    f1 = 2 · hits / (said + true). Binary: of class 1. Otherwise macro: the mean over all classes; micro: of all
    classes' counts together. A class that never occurs and is never said has f1 0.
    """

    def ratio(self, hits: HostArray, said: HostArray, true: HostArray) -> tuple[HostArray, HostArray]:
        return 2 * hits, said + true


class Auc(Metric):
    """Area under the ROC curve: the probability that a yes scores higher than a no, whatever the threshold (Hanley and
    McNeil, 1982). 0.5 is guessing.

    auc = Σ over pairs of a yes and a no (1 where the yes scores higher, 1/2 where both are in one bin) / pairs.
    Scores are counted in bins, narrower towards 0 and 1, where a sure network puts them all; the result is off by at
    most half the share of pairs that fall into one bin. Binary: of class 1. Otherwise the mean over all classes (each
    against the rest) that have both a yes and a no.
    """

    num_thresholds: int = Field(1000, ge=2, le=100_000, description="Bins; more are more exact and take more memory.")

    reach: ClassVar[float] = 40.0  # the scale's end: scores about 25 below the lowest probability or above the highest

    def state_size(self, outputs: Outputs) -> int:
        return outputs.units * 2 * self.num_thresholds

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        xp, bins = ops.xp, self.num_thresholds
        with ops.scratch(prediction, dtype="int64") as cell, ops.scratch(prediction, dtype="int64") as offset:
            self._write_bins(ops, prediction, cell)
            write_truth(ops, outputs, labels, offset)
            xp.multiply(offset, bins, out=offset)
            xp.add(cell, offset, out=cell)
            with class_numbers(ops, cell, outputs.units) as numbers:
                xp.multiply(numbers, 2 * bins, out=numbers)
                xp.add(cell, numbers, out=cell)
            xp.add.at(state, cell.reshape(-1), 1.0)

    def _write_bins(self, ops: Ops, score: Array, out: Array) -> None:
        """Write the bin of each score s: half of the scale is s itself, kept in [0, 1]; the other half is
        asinh(s/ε) − asinh((1 − s)/ε), which is the logit of a probability and goes on for scores that are none."""
        xp, bins = ops.xp, self.num_thresholds
        with ops.scratch(score) as even, ops.scratch(score) as up, ops.scratch(score) as down:
            xp.clip(score, 0, 1, out=even)
            xp.divide(score, EPSILON, out=up)
            xp.arcsinh(up, out=up)
            xp.subtract(1, score, out=down)
            xp.divide(down, EPSILON, out=down)
            xp.arcsinh(down, out=down)
            xp.subtract(up, down, out=up)
            xp.multiply(up, 0.5 / self.reach, out=up)
            xp.add(up, even, out=up)  # from −1/2 to 3/2
            xp.add(up, 0.5, out=up)
            xp.multiply(up, bins / 2, out=up)
            xp.fmax(up, 0, out=up)  # unlike clip, it takes NaN out of the way of the cast
            xp.fmin(up, bins - 1, out=up)
            xp.copyto(out, up, casting="unsafe")

    def result(self, outputs: Outputs, state: HostArray) -> float:
        import numpy as np

        counts = state.reshape(outputs.units, 2, self.num_thresholds)
        if outputs.task == "binary":
            counts = counts[-1:]
        no, yes = counts[:, 0], counts[:, 1]
        higher = yes.sum(axis=1, keepdims=True) - np.cumsum(yes, axis=1)
        won = (no * (higher + yes / 2)).sum(axis=1)
        pairs = no.sum(axis=1) * yes.sum(axis=1)
        defined = pairs > 0
        return float(np.mean(won[defined] / pairs[defined])) if defined.any() else math.nan
