"""Layers that disturb the signal during training so that the network cannot lean on single units."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.layers.layer import BoundLayer, Layer, Site
from tuilab.blocks.window import image_of


class Dropout(Layer):
    """Sets a random share of the values to zero in training, so that no unit relies on another one (Srivastava et al.,
    2014); does nothing afterwards.

    y = x · mask / (1 − rate), mask = 1 with probability 1 − rate;  x and y: (batch, …)
    """

    keeps_shape = True

    rate: float = Field(ge=0, lt=1, description="Share of the values that is dropped.")

    def bind(self, site: Site) -> BoundLayer:
        return BoundDropout(self.rate, site) if self.rate and site.trains else Unchanged(site)


class SpatialDropout(Layer, abstract=True):
    """What dropouts of whole channels share."""

    axes: ClassVar[int] = 2
    """Of a sample beside the channels: 2 for images, 1 for sequences."""

    rate: float = Field(ge=0, lt=1, description="Share of the channels that is dropped.")

    def output_shape(self, shape: Shape) -> Shape:
        image_of(shape, self.axes)
        return shape

    def bind(self, site: Site) -> BoundLayer:
        if not (self.rate and site.trains):
            return Unchanged(site)
        return BoundDropout(self.rate, site, (*[1] * self.axes, site.input_shape[-1]))


class SpatialDropout2d(SpatialDropout):
    """Sets whole channels of an image to zero in training: neighbouring pixels are so alike that single ones would not
    be missed (Tompson et al., 2015).

    y = x · mask / (1 − rate), mask: (batch, 1, 1, channels), 1 with probability 1 − rate
    x and y: (batch, height, width, channels)
    """


class SpatialDropout1d(SpatialDropout):
    """Sets whole channels of a sequence to zero in training.

    y = x · mask / (1 − rate), mask: (batch, 1, channels), 1 with probability 1 − rate
    x and y: (batch, steps, channels)
    """

    axes = 1


class GaussianNoise(Layer):
    """Adds noise in training, so that the network learns to live with inexact inputs; does nothing afterwards.

    y = x + stddev · n, n ~ N(0, 1) by the Box–Muller transform;  x and y: (batch, …)
    """

    keeps_shape = True

    stddev: float = Field(ge=0, description="Standard deviation of the noise.")

    def bind(self, site: Site) -> BoundLayer:
        return BoundGaussianNoise(self.stddev, site) if self.stddev and site.trains else Unchanged(site)


class Unchanged(BoundLayer):
    """Hands everything on."""

    passes_gradient = True

    def __init__(self, site: Site) -> None:
        self.needed = site.input_gradient is not None

    def forward(self, x: Array, training: bool) -> Array:
        return x

    def backward(self, dy: Array) -> Array | None:
        return dy if self.needed else None


class BoundDropout(BoundLayer):
    """Dropout on arrays; the mask is drawn anew from the layer's stream at every step, for samples of the input's shape
    or of the one given, whose axes of size 1 share what is drawn."""

    def __init__(self, rate: float, site: Site, shape: Shape | None = None) -> None:
        self.site = site
        self.rate = rate
        self.mask = site.empty(site.input_shape if shape is None else shape)
        self.output = site.empty(site.input_shape)
        self.stream = site.stream("dropout")

    def forward(self, x: Array, training: bool) -> Array:
        if not training:
            return x
        ops, rows = self.site.ops, x.shape[0]
        mask, y = self.mask[:rows], self.output[:rows]
        ops.draw_mask(self.stream, self.rate, out=mask)
        ops.xp.multiply(x, mask, out=y)
        return y

    def backward(self, dy: Array) -> Array | None:
        if self.site.input_gradient is None:
            return None
        dx = self.site.input_gradient[: dy.shape[0]]
        self.site.ops.xp.multiply(dy, self.mask[: dy.shape[0]], out=dx)
        return dx


class BoundGaussianNoise(Unchanged):
    """Gaussian noise on arrays; drawn anew from the layer's stream at every step."""

    def __init__(self, stddev: float, site: Site) -> None:
        super().__init__(site)
        self.site = site
        self.stddev = stddev
        self.output = site.empty(site.input_shape)
        self.stream = site.stream("noise")

    def forward(self, x: Array, training: bool) -> Array:
        if not training:
            return x
        ops, y = self.site.ops, self.output[: x.shape[0]]
        xp = ops.xp
        with ops.scratch(x, shape=(2, *x.shape)) as uniform:
            ops.uniform(self.stream, out=uniform)
            radius, angle = uniform[0], uniform[1]
            xp.subtract(1, radius, out=radius)  # (0, 1]: its logarithm is finite
            xp.log(radius, out=radius)
            xp.multiply(radius, -2 * self.stddev**2, out=radius)
            xp.sqrt(radius, out=radius)
            xp.multiply(angle, 2 * math.pi, out=angle)
            xp.cos(angle, out=angle)
            xp.multiply(radius, angle, out=radius)
            xp.add(x, radius, out=y)
        return y
