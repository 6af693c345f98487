"""Layers that only change the shape."""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.layers.layer import BoundLayer, Layer, Site


class Flatten(Layer):
    """Lays all axes of a sample out as one vector: from images to dense layers.

    x: (batch, a, b, …) → y: (batch, a · b · …)
    """

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def bind(self, site: Site) -> BoundReshape:
        return BoundReshape(self.output_shape(site.input_shape), site)


class Reshape(Layer):
    """Gives a sample another shape with the same number of values, in the same order.

    x: (batch, …) → y: (batch, *target_shape)
    """

    target_shape: tuple[int, ...] = Field(
        min_length=1, strict=False, description="Shape of a sample; one -1 stands for the rest."
    )

    @field_validator("target_shape")
    @classmethod
    def _sizes(cls, shape: Shape) -> Shape:
        if any(size == 0 or size < -1 for size in shape) or shape.count(-1) > 1:
            raise ValueError("sizes must be above 0, and at most one may be -1")
        return shape

    def output_shape(self, shape: Shape) -> Shape:
        values, known = math.prod(shape), math.prod(size for size in self.target_shape if size > 0)
        rest = values // known if -1 in self.target_shape else 1
        if known * rest != values:
            raise ValueError(f"cannot lay {values} values of {shape} out as {self.target_shape}: change target_shape")
        return tuple(rest if size == -1 else size for size in self.target_shape)

    def bind(self, site: Site) -> BoundReshape:
        return BoundReshape(self.output_shape(site.input_shape), site)


class BoundReshape(BoundLayer):
    """Another view of the same numbers, forwards and backwards."""

    passes_gradient = True

    def __init__(self, shape: Shape, site: Site) -> None:
        self.site = site
        self.shape = shape

    def forward(self, x: Array, training: bool) -> Array:
        return x.reshape(x.shape[0], *self.shape)

    def backward(self, dy: Array) -> Array | None:
        if self.site.input_gradient is None:
            return None
        return dy.reshape(dy.shape[0], *self.site.input_shape)
