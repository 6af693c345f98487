"""Poolings over whole images and sequences: one value for each channel."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.layers.layer import BoundLayer, Layer, Site
from tuilab.blocks.window import image_of


class GlobalPooling(Layer, abstract=True):
    """What poolings over everything share."""

    axes: ClassVar[int] = 2
    """That are pooled: 2 for images, 1 for sequences."""

    keepdims: bool = Field(False, description="Whether the pooled axes stay, with size 1.")

    def output_shape(self, shape: Shape) -> Shape:
        image = image_of(shape, self.axes)
        return (*[1] * (self.axes * self.keepdims), image[2])


class GlobalAveragePooling2d(GlobalPooling):
    """Mean of every channel over the whole image: in place of flatten and large dense layers (Lin et al., 2014).

    y = mean over height and width;  x: (batch, height, width, channels) → y: (batch, channels)
    """

    def bind(self, site: Site) -> BoundGlobalAverage:
        return BoundGlobalAverage(self, site)


class GlobalAveragePooling1d(GlobalPooling):
    """Mean of every channel over the whole sequence.

    y = mean over the steps;  x: (batch, steps, channels) → y: (batch, channels)
    """

    axes = 1

    def bind(self, site: Site) -> BoundGlobalAverage:
        return BoundGlobalAverage(self, site)


class GlobalMaxPooling2d(GlobalPooling):
    """Largest value of every channel in the whole image: whether a pattern was seen at all.

    y = max over height and width;  x: (batch, height, width, channels) → y: (batch, channels)
    Several largest values share the gradient.
    """

    def bind(self, site: Site) -> BoundGlobalMax:
        return BoundGlobalMax(self, site)


class GlobalMaxPooling1d(GlobalPooling):
    """Largest value of every channel in the whole sequence.

    y = max over the steps;  x: (batch, steps, channels) → y: (batch, channels)
    Several largest values share the gradient.
    """

    axes = 1

    def bind(self, site: Site) -> BoundGlobalMax:
        return BoundGlobalMax(self, site)


class BoundGlobalPooling(BoundLayer):
    """A pooling of (batch, pixels, channels) to (batch, 1, channels) on arrays."""

    def __init__(self, layer: GlobalPooling, site: Site) -> None:
        self.site = site
        self.pixels, self.channels = math.prod(site.input_shape[:-1]), site.input_shape[-1]
        self.output = site.output(layer.output_shape(site.input_shape))
        self.x = self.y = self.output[:0]

    def forward(self, x: Array, training: bool) -> Array:
        output = self.output[: x.shape[0]]
        self.x, self.y = x.reshape(-1, self.pixels, self.channels), output.reshape(-1, 1, self.channels)
        self.pool(self.x, self.y)
        return output

    def backward(self, dy: Array) -> Array | None:
        if self.site.input_gradient is None:
            return None
        dx = self.site.input_gradient[: dy.shape[0]]
        self.spread(dy.reshape(-1, 1, self.channels), dx.reshape(-1, self.pixels, self.channels))
        return dx

    def pool(self, x: Array, y: Array) -> None:
        """Write y for (batch, pixels, channels)."""
        raise NotImplementedError  # abstract

    def spread(self, dy: Array, dx: Array) -> None:
        """Write dL/dx for the last batch."""
        raise NotImplementedError  # abstract


class BoundGlobalAverage(BoundGlobalPooling):
    """Global average pooling on arrays."""

    def pool(self, x: Array, y: Array) -> None:
        xp = self.site.ops.xp
        xp.sum(x, axis=1, keepdims=True, out=y)
        xp.multiply(y, 1 / self.pixels, out=y)

    def spread(self, dy: Array, dx: Array) -> None:
        self.site.ops.xp.multiply(dy, 1 / self.pixels, out=dx)


class BoundGlobalMax(BoundGlobalPooling):
    """Global max pooling on arrays."""

    def pool(self, x: Array, y: Array) -> None:
        self.site.ops.xp.max(x, axis=1, keepdims=True, out=y)

    def spread(self, dy: Array, dx: Array) -> None:
        ops = self.site.ops
        xp = ops.xp
        with ops.scratch(dx, dtype="bool") as largest, ops.scratch(dy) as share:
            xp.equal(self.x, self.y, out=largest)
            xp.copyto(dx, largest)
            xp.sum(dx, axis=1, keepdims=True, out=share)
            xp.divide(dy, share, out=share)
            xp.multiply(dx, share, out=dx)
