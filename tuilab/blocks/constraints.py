"""Constraints: what a parameter must satisfy after every update."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self, TypeAlias

from pydantic import Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from tuilab.blocks.arrays import Array, Ops, Shape
from tuilab.blocks.block import Block

EPSILON = 1e-7


def valid_axis(value: object) -> int | tuple[int, ...]:
    """Return an axis, or a list of axes as a tuple; raises PydanticCustomError for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, (list, tuple)) and value and all(type(axis) is int for axis in value):
        return tuple(value)
    raise PydanticCustomError("not_an_axis", "must be an axis, such as 0, or a list of axes, such as [0, 1, 2]")


Axis: TypeAlias = Annotated[
    int | tuple[int, ...],
    PlainValidator(valid_axis),
    Field(description="Axis of each norm: 0 for a dense kernel, [0, 1, 2] for the kernel of a 2-D convolution."),
]


class Constraint(Block, kind=True):
    """A projection applied to a parameter after every optimizer step."""

    other_names: ClassVar[dict[str, str]] = {
        "non_negative": "non_neg",
        "positive": "non_neg",
        "unit": "unit_norm",
    }

    def check(self, shape: Shape) -> None:
        """Raise ValueError with the remedy where a parameter of `shape` cannot be held to this constraint."""

    def apply(self, ops: Ops, w: Array) -> None:
        """Change `w` in place so that it satisfies the constraint."""
        raise NotImplementedError  # abstract


class NonNeg(Constraint):
    """Weights are never negative: every input can only speak for, not against.

    w ← max(w, 0)
    """

    def apply(self, ops: Ops, w: Array) -> None:
        ops.xp.maximum(w, 0, out=w)


class NormConstraint(Constraint, abstract=True):
    """A constraint on the norm of the weights that lead into each unit."""

    axis: Axis = 0

    def check(self, shape: Shape) -> None:
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        rank = len(shape)
        fitting = {axis % rank for axis in axes if -rank <= axis < rank}
        if len(fitting) != len(axes):
            written = list(axes) if isinstance(self.axis, tuple) else self.axis
            raise ValueError(
                f"axis {written} of {self.type_name()} does not fit a parameter of shape {shape}: "
                f"choose different axes from 0 to {rank - 1}"
            )


class MaxNorm(NormConstraint):
    """The weights into a unit are never longer than max_value: good company for dropout and large learning rates
    (Srivastava et al., 2014).

    w ← w · min(‖w‖, max_value) / (‖w‖ + 1e-7)
    """

    max_value: float = Field(2.0, gt=0, description="Largest norm.")

    def apply(self, ops: Ops, w: Array) -> None:
        set_norm(ops, w, self.axis, 0, self.max_value)


class UnitNorm(NormConstraint):
    """The weights into a unit always have length 1: only their direction is learned.

    w ← w / (‖w‖ + 1e-7)
    """

    def apply(self, ops: Ops, w: Array) -> None:
        set_norm(ops, w, self.axis, 1, 1)


class MinMaxNorm(NormConstraint):
    """The length of the weights into a unit stays between two values, or is led there step by step.

    w ← w · (rate · min(max(‖w‖, min_value), max_value) + (1 − rate) · ‖w‖) / (‖w‖ + 1e-7)
    """

    min_value: float = Field(0.0, ge=0, description="Smallest norm.")
    max_value: float = Field(1.0, gt=0, description="Largest norm.")
    rate: float = Field(1.0, ge=0, le=1, description="Share of the way to the allowed norm that one step takes.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_value > self.max_value:
            raise PydanticCustomError(
                "not_in_order",
                "max_value must be at least min_value ({min_value}), got {max_value}",
                {"min_value": self.min_value, "max_value": self.max_value},
            )
        return self

    def apply(self, ops: Ops, w: Array) -> None:
        set_norm(ops, w, self.axis, self.min_value, self.max_value, self.rate)


def set_norm(ops: Ops, w: Array, axis: int | tuple[int, ...], low: float, high: float, rate: float = 1) -> None:
    """Scale `w` in place so that its norms along `axis` lie between `low` and `high`, or `rate` of the way there."""
    xp = ops.xp
    axes = {one % w.ndim for one in ((axis,) if isinstance(axis, int) else axis)}
    shape = tuple(1 if place in axes else extent for place, extent in enumerate(w.shape))
    with ops.scratch(w) as square, ops.scratch(w, shape=shape) as norm, ops.scratch(w, shape=shape) as wanted:
        xp.multiply(w, w, out=square)
        xp.sum(square, axis=axis, keepdims=True, out=norm)
        xp.sqrt(norm, out=norm)
        xp.clip(norm, low, high, out=wanted)
        if rate != 1:
            with ops.scratch(norm) as rest:
                xp.multiply(wanted, rate, out=wanted)
                xp.multiply(norm, 1 - rate, out=rest)
                xp.add(wanted, rest, out=wanted)
        xp.add(norm, EPSILON, out=norm)
        xp.divide(wanted, norm, out=wanted)
        xp.multiply(w, wanted, out=w)
