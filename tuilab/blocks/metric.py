"""The base of all metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from tuilab.blocks.arrays import Array, HostArray, Ops
from tuilab.blocks.block import Block
from tuilab.blocks.labels import one_hot

Task: TypeAlias = Literal["binary", "categorical", "multi_label", "regression"]


@dataclass(frozen=True)
class Outputs:
    """What a network's outputs mean.

    binary: labels integer (batch,) of 0 and 1; one unit for class 1, or two with a unit a class. categorical: one unit
    a class, labels integer (batch,). multi_label: one unit a label, labels (batch, units) of 0 and 1. regression:
    labels float (batch, units).
    """

    task: Task
    units: int
    threshold: float = 0.5
    """Above it a single output says yes: 0.5 for probabilities, 0 for outputs centred on zero (hinge)."""

    @property
    def one_of_many(self) -> bool:
        """Whether the units compete, so that the largest decides."""
        return self.task == "categorical" or (self.task == "binary" and self.units > 1)


class Metric(Block, kind=True):
    """A number gathered over many batches: `update` adds to a state on the device, `result` reads it on the host."""

    other_names: ClassVar[dict[str, str]] = {
        "acc": "accuracy",
        "binary_accuracy": 'accuracy, or { type = "accuracy", kind = "binary" }',
        "categorical_accuracy": 'accuracy, or { type = "accuracy", kind = "categorical" }',
        "sparse_categorical_accuracy": "accuracy",
        "top_5": "top_k",
        "top_k_categorical_accuracy": "top_k",
        "sparse_top_k_categorical_accuracy": "top_k",
        "f1_score": "f1",
        "roc_auc": "auc",
        "mean_absolute_error": "mae",
        "mean_squared_error": "mse",
        "root_mean_squared_error": "rmse",
        "r2_score": "r2",
    }

    higher_is_better: ClassVar[bool] = True
    tasks: ClassVar[tuple[Task, ...]] = ("binary", "categorical", "multi_label")
    """The tasks for which the metric has a meaning."""

    @classmethod
    def label_stem(cls) -> str:
        """The part of `label` that is the same whatever the settings."""
        return cls.type_name()

    @property
    def label(self) -> str:
        """The name under which results are stored and shown."""
        return self.type_name()

    def state_size(self, outputs: Outputs) -> int:
        """Return how many float64 numbers the state holds; it starts as zeros."""
        raise NotImplementedError  # abstract

    def update(self, ops: Ops, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        """Add a batch to `state`; prediction: (batch, units) after the output activation."""
        raise NotImplementedError  # abstract

    def result(self, outputs: Outputs, state: HostArray) -> float:
        """Return the metric of everything added so far; NaN where it is not defined (no sample yet)."""
        raise NotImplementedError  # abstract


class MeanMetric(Metric, abstract=True):
    """A metric that is a mean; its state is a sum and how many numbers it holds."""

    def state_size(self, outputs: Outputs) -> int:
        return 2

    def result(self, outputs: Outputs, state: HostArray) -> float:
        return float(state[0] / state[1]) if state[1] else math.nan

    def add(self, ops: Ops, values: Array, state: Array) -> None:
        """Add `values`, of any dtype, to the state in double precision."""
        with ops.scratch(state, shape=()) as total:
            ops.xp.sum(values, dtype="float64", out=total)
            state[0] += total
        state[1] += values.size


def write_truth(ops: Ops, outputs: Outputs, labels: Array, out: Array) -> None:
    """Write 1 where the right answer is yes, otherwise 0; out: (batch, units), any dtype."""
    if outputs.one_of_many:
        one_hot(ops, labels, out)
    else:
        ops.xp.not_equal(labels.reshape(out.shape), 0, out=out)
