"""The rectified linear unit that learns its slope."""

from __future__ import annotations

from pydantic import Field, field_validator

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import Initializer, Zeros
from tuilab.blocks.layers.layer import BoundLayer, Layer, Parameter, Site
from tuilab.blocks.regularizers import Regularizer


class Prelu(Layer):
    """Parametric rectified linear unit: the slope below zero is learned, one for each unit (He et al., 2015).

    y = x where x > 0, otherwise alpha · x;  x and y: (batch, …), alpha: the shape of a sample, shared axes of size 1
    """

    keeps_shape = True

    alpha_initializer: Initializer = Field(Zeros(), description="First values of the slopes.")
    alpha_regularizer: Regularizer | None = Field(None, description="Penalty on the slopes.")
    alpha_constraint: Constraint | None = Field(None, description="What the slopes satisfy after every update.")
    shared_axes: tuple[int, ...] = Field(
        (), strict=False, description="Axes of a sample, from 1, along which one slope is shared."
    )

    @field_validator("shared_axes")
    @classmethod
    def _axes(cls, axes: tuple[int, ...]) -> tuple[int, ...]:
        if any(axis < 1 for axis in axes):
            raise ValueError("axes count from 1; axis 0 is the batch")
        return axes

    def output_shape(self, shape: Shape) -> Shape:
        beyond = [axis for axis in self.shared_axes if axis > len(shape)]
        if beyond:
            raise ValueError(f"has no axis {beyond[0]} to share: a sample has {len(shape)} axes")
        return shape

    def parameters(self, shape: Shape) -> list[Parameter]:
        slopes = tuple(1 if axis in self.shared_axes else size for axis, size in enumerate(shape, start=1))
        return [
            Parameter(
                "alpha", slopes, self.alpha_initializer, self.alpha_regularizer, self.alpha_constraint, self.trainable
            )
        ]

    def bind(self, site: Site) -> BoundPrelu:
        return BoundPrelu(self, site)


class BoundPrelu(BoundLayer):
    """A parametric rectified linear unit on arrays."""

    def __init__(self, layer: Prelu, site: Site) -> None:
        self.site = site
        self.alpha = site.values["alpha"]
        self.alpha_gradient = site.gradients.get("alpha")
        self.summed = (0, *layer.shared_axes)
        self.output = site.output(site.input_shape)
        self.x = self.output[:0]

    def forward(self, x: Array, training: bool) -> Array:
        ops, y = self.site.ops, self.output[: x.shape[0]]
        self.x = x
        with ops.scratch(x) as below:
            ops.xp.minimum(x, 0, out=below)
            ops.xp.multiply(below, self.alpha, out=below)
            ops.xp.maximum(x, 0, out=y)
            ops.xp.add(y, below, out=y)
        return y

    def backward(self, dy: Array) -> Array | None:
        ops = self.site.ops
        xp = ops.xp
        with ops.scratch(dy) as product, ops.scratch(dy, dtype="bool") as positive:
            if self.alpha_gradient is not None:
                xp.minimum(self.x, 0, out=product)
                xp.multiply(product, dy, out=product)
                summed = self.alpha_gradient.reshape(1, *self.alpha_gradient.shape)
                xp.sum(product, axis=self.summed, keepdims=True, out=summed)
            if self.site.input_gradient is None:
                return None
            dx = self.site.input_gradient[: dy.shape[0]]
            xp.greater(self.x, 0, out=positive)  # slope = alpha + (1 − alpha) · [x > 0]
            with ops.scratch(self.alpha) as rest:
                xp.subtract(1, self.alpha, out=rest)
                xp.multiply(positive, rest, out=product)
            xp.add(product, self.alpha, out=product)
            xp.multiply(dy, product, out=dx)
        return dx
