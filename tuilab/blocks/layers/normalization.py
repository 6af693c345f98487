"""Layers that bring their inputs to mean 0 and variance 1 and then scale them as they learn to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import Field, field_validator

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import Initializer, Ones, Zeros
from tuilab.blocks.layers.layer import BoundLayer, Layer, Parameter, Site
from tuilab.blocks.regularizers import Regularizer

PORTION = 1 << 16
"""Numbers that are worked on at once, about: what fits a cache beside a few times as many others."""


class Normalization(Layer, abstract=True):
    """What normalizations share: gamma and beta over the last axis."""

    epsilon: float = Field(1e-3, gt=0, description="Added to the variance, so that nothing is divided by zero.")
    center: bool = Field(True, description="Whether a learned beta is added.")
    scale: bool = Field(True, description="Whether a learned gamma multiplies.")
    beta_initializer: Initializer = Field(Zeros(), description="First values of beta.")
    gamma_initializer: Initializer = Field(Ones(), description="First values of gamma.")
    beta_regularizer: Regularizer | None = Field(None, description="Penalty on beta.")
    gamma_regularizer: Regularizer | None = Field(None, description="Penalty on gamma.")
    beta_constraint: Constraint | None = Field(None, description="What beta satisfies after every update.")
    gamma_constraint: Constraint | None = Field(None, description="What gamma satisfies after every update.")

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError("needs at least one axis of units, gets single numbers: add a reshape layer before it")
        return shape

    def parameters(self, shape: Shape) -> list[Parameter]:
        units = shape[-1:]
        gamma = Parameter(
            "gamma", units, self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint, self.trainable
        )
        beta = Parameter(
            "beta", units, self.beta_initializer, self.beta_regularizer, self.beta_constraint, self.trainable
        )
        return [gamma] * self.scale + [beta] * self.center


class BatchNormalization(Normalization):
    """Batch normalization: each unit is normalized over the batch, later by moving averages (Ioffe and Szegedy, 2015).
    Lets deep networks train at higher rates. Frozen (trainable = false) it always uses the moving averages.

    y = gamma · (x − mean) / √(variance + epsilon) + beta;  moving ← momentum · moving + (1 − momentum) · batch
    x and y: (batch, …, units), mean and variance over all axes but the last
    """

    momentum: float = Field(0.99, ge=0, le=1, description="Share of the moving averages kept at each step.")
    moving_mean_initializer: Initializer = Field(Zeros(), description="First values of the moving mean.")
    moving_variance_initializer: Initializer = Field(Ones(), description="First values of the moving variance.")

    def parameters(self, shape: Shape) -> list[Parameter]:
        units = shape[-1:]
        return [
            *super().parameters(shape),
            Parameter("moving_mean", units, self.moving_mean_initializer, trainable=False),
            Parameter("moving_variance", units, self.moving_variance_initializer, trainable=False),
        ]

    def bind(self, site: Site) -> BoundBatchNormalization:
        return BoundBatchNormalization(self, site)


class LayerNormalization(Normalization):
    """Layer normalization: each sample is normalized over its units, the same in training and after (Ba et al., 2016).

    y = gamma · (x − mean) / √(variance + epsilon) + beta
    x and y: (batch, …, units), mean and variance over the last axis
    """

    def bind(self, site: Site) -> BoundGroupNormalization:
        return BoundGroupNormalization(self, site, (1, 1, site.input_shape[-1]))


class GroupNormalization(Normalization):
    """Group normalization: each sample is normalized over groups of its channels, the same in training and after, and
    for batches of any size (Wu and He, 2018).

    y = gamma · (x − mean) / √(variance + epsilon) + beta
    x and y: (batch, …, channels), mean and variance over all axes of a sample, a group of channels at a time
    """

    groups: int = Field(32, ge=-1, description="Parts of the channels; -1: every channel by itself.")

    @field_validator("groups")
    @classmethod
    def _some(cls, groups: int) -> int:
        if groups == 0:
            raise ValueError("must be above 0, or -1 for every channel by itself")
        return groups

    def output_shape(self, shape: Shape) -> Shape:
        super().output_shape(shape)
        if self.groups > 0 and shape[-1] % self.groups:
            raise ValueError(f"needs channels that its {self.groups} groups divide, gets {shape[-1]}: change groups")
        return shape

    def bind(self, site: Site) -> BoundGroupNormalization:
        *places, channels = site.input_shape
        groups = channels if self.groups == -1 else self.groups
        return BoundGroupNormalization(self, site, (math.prod(places), groups, channels // groups))


class BoundBatchNormalization(BoundLayer):
    """Batch normalization on arrays, which are worked on in flat portions that fit the cache.

    A line is a row of an image with all its channels, or a vector: (width · units,). A portion is whole lines.
    """

    def __init__(self, layer: BatchNormalization, site: Site) -> None:
        self.site = site
        self.epsilon, self.momentum = layer.epsilon, layer.momentum
        self.frozen = not layer.trainable
        """Whether mean and variance are constants, through which no gradient flows."""
        self.units, self.line = site.input_shape[-1], math.prod(site.input_shape[-2:])
        self.portion = min(max(1, PORTION // self.line) * self.line, site.batch_size * math.prod(site.input_shape))
        self.gamma, self.beta = site.values.get("gamma"), site.values.get("beta")
        self.gamma_gradient, self.beta_gradient = site.gradients.get("gamma"), site.gradients.get("beta")
        self.moving_mean, self.moving_variance = site.values["moving_mean"], site.values["moving_variance"]
        self.mean, self.inverse = (site.ops.xp.empty(self.units, dtype=site.dtype) for _ in range(2))
        """Of the last batch: the mean, and 1 / √(variance + epsilon)."""
        self.output = site.empty(site.input_shape)
        self.x = self.output[:0]

    def forward(self, x: Array, training: bool) -> Array:
        xp, y = self.site.ops.xp, self.output[: x.shape[0]]
        self.x, flat = x.reshape(-1), y.reshape(-1)
        if training and not self.frozen:
            self.measure()
        else:
            xp.copyto(self.mean, self.moving_mean)
            self.invert(self.moving_variance)
        with self.tile(self.mean) as mean, self.tile(self.inverse, self.gamma) as scale, self.tile(self.beta) as shift:
            for place, size in self.portions():
                part = flat[place]
                xp.subtract(self.x[place], mean[:size], out=part)
                xp.multiply(part, scale[:size], out=part)
                xp.add(part, shift[:size], out=part)
        return y

    def measure(self) -> None:
        """Take mean and variance of `x`, the variance from the differences: a difference of squares would lose what
        large numbers have in common."""
        ops, count = self.site.ops, self.x.size // self.units
        xp = ops.xp
        with self.sums(self.mean) as lines:
            xp.sum(self.x.reshape(-1, self.line), axis=0, out=lines[0])
        xp.divide(self.mean, count, out=self.mean)
        with ops.scratch(self.mean) as variance, self.tile(self.mean) as mean, ops.scratch(mean) as square:
            with self.sums(variance) as lines:
                for place, size in self.portions():
                    part = square[:size]
                    xp.subtract(self.x[place], mean[:size], out=part)
                    xp.multiply(part, part, out=part)
                    self.add_lines(part, lines)
            xp.divide(variance, count, out=variance)
            self.follow(self.moving_mean, self.mean)
            self.follow(self.moving_variance, variance)
            self.invert(variance)

    def follow(self, moving: Array, batch: Array) -> None:
        ops = self.site.ops
        with ops.scratch(moving) as share:
            ops.xp.multiply(batch, 1 - self.momentum, out=share)
            ops.xp.multiply(moving, self.momentum, out=moving)
            ops.xp.add(moving, share, out=moving)

    def invert(self, variance: Array) -> None:
        xp = self.site.ops.xp
        xp.add(variance, self.epsilon, out=self.inverse)
        xp.sqrt(self.inverse, out=self.inverse)
        xp.divide(1, self.inverse, out=self.inverse)

    def backward(self, dy: Array) -> Array | None:
        ops, place = self.site.ops, self.site.input_gradient
        dx = None if place is None else place[: dy.shape[0]]
        with ops.scratch(self.mean) as total, ops.scratch(self.mean) as product:
            if not self.frozen:
                self.sum_up(dy.reshape(-1), total, product)
            if self.beta_gradient is not None:
                ops.xp.copyto(self.beta_gradient, total)
            if self.gamma_gradient is not None:
                ops.xp.multiply(product, self.inverse, out=self.gamma_gradient)
            if dx is not None and self.frozen:
                self.to_input_of_constants(dy.reshape(-1), dx.reshape(-1))
            elif dx is not None:
                self.to_input(dy.reshape(-1), total, product, dx.reshape(-1))
        return dx

    def sum_up(self, dy: Array, total: Array, product: Array) -> None:
        """Write the sums of dy and of dy · (x − mean) for every unit."""
        ops = self.site.ops
        with (
            self.tile(self.mean) as mean,
            ops.scratch(mean) as products,
            self.sums(product) as product_lines,
            self.sums(total) as dy_lines,
        ):
            for place, size in self.portions():
                part = products[:size]
                ops.xp.subtract(self.x[place], mean[:size], out=part)
                ops.xp.multiply(part, dy[place], out=part)
                self.add_lines(part, product_lines)
                self.add_lines(dy[place], dy_lines)

    def to_input(self, dy: Array, total: Array, product: Array, dx: Array) -> None:
        """Write dL/dx; `total` and `product` are what `sum_up` wrote, and are changed:
        dx = gamma · inverse · (dy − mean(dy) − (x − mean) · inverse² · mean(dy · (x − mean)))
        """
        xp, count = self.site.ops.xp, self.x.size // self.units
        xp.divide(total, count, out=total)
        xp.multiply(product, self.inverse, out=product)
        xp.multiply(product, self.inverse, out=product)
        xp.divide(product, count, out=product)
        with (
            self.tile(self.mean) as mean,
            self.tile(product) as slope,
            self.tile(total) as level,
            self.tile(self.inverse, self.gamma) as scale,
        ):
            for place, size in self.portions():
                part = dx[place]
                xp.subtract(self.x[place], mean[:size], out=part)
                xp.multiply(part, slope[:size], out=part)
                xp.add(part, level[:size], out=part)
                xp.subtract(dy[place], part, out=part)
                xp.multiply(part, scale[:size], out=part)

    def to_input_of_constants(self, dy: Array, dx: Array) -> None:
        """Write dL/dx where mean and variance do not depend on x."""
        with self.tile(self.inverse, self.gamma) as scale:
            for place, size in self.portions():
                self.site.ops.xp.multiply(dy[place], scale[:size], out=dx[place])

    def portions(self) -> Iterator[tuple[slice, int]]:
        """Split the batch: yield where each portion is, and how many numbers it has."""
        for first in range(0, self.x.size, self.portion):
            size = min(self.portion, self.x.size - first)
            yield slice(first, first + size), size

    @contextmanager
    def tile(self, values: Array | None, factor: Array | None = None) -> Iterator[Array]:
        """Lend a portion that holds one number for each unit again and again: values · factor, where there is one; 0
        where there are no values."""
        ops = self.site.ops
        with ops.scratch(self.mean, shape=(self.portion // self.units, self.units)) as portion:
            ops.xp.copyto(portion, 0 if values is None else values)
            if factor is not None:
                ops.xp.multiply(portion, factor, out=portion)
            yield portion.reshape(-1)

    @contextmanager
    def sums(self, out: Array) -> Iterator[Array]:
        """Lend two lines: the sum of what `add_lines` is given, and room beside it; then write the sum of each unit's
        values. Adding up line by line first is faster where there are few units."""
        ops = self.site.ops
        with ops.scratch(out, shape=(2, self.line)) as lines:
            lines.fill(0)
            yield lines
            ops.xp.sum(lines[0].reshape(-1, self.units), axis=0, out=out)

    def add_lines(self, values: Array, lines: Array) -> None:
        xp = self.site.ops.xp
        xp.sum(values.reshape(-1, self.line), axis=0, out=lines[1])
        xp.add(lines[0], lines[1], out=lines[0])


class BoundGroupNormalization(BoundLayer):
    """Normalization of each sample's groups on arrays: mean and variance over the first and the last axis of
    `group` = (pixels, groups, channels of a group). Layers normalize every pixel by itself: (1, 1, units)."""

    def __init__(self, layer: Normalization, site: Site, group: Shape) -> None:
        self.site = site
        self.epsilon = layer.epsilon
        self.group = group
        self.count = group[0] * group[2]
        units = group[1:]
        self.gamma, self.beta = (
            None if value is None else value.reshape(units) for value in map(site.values.get, ("gamma", "beta"))
        )
        self.gamma_gradient, self.beta_gradient = (
            None if value is None else value.reshape(units) for value in map(site.gradients.get, ("gamma", "beta"))
        )
        self.output = site.empty(site.input_shape)
        self.buffer = site.empty(site.input_shape)
        samples = math.prod(site.input_shape) // math.prod(group)
        self.inverse_buffer = site.empty((samples, group[1]))
        self.normalized = self.inverse = self.output[:0]

    def forward(self, x: Array, training: bool) -> Array:
        ops, rows = self.site.ops, x.shape[0]
        xp, y = ops.xp, self.output[:rows]
        self.normalized = self.buffer[:rows].reshape(-1, *self.group)
        self.inverse = self.inverse_buffer[:rows].reshape(-1, 1, self.group[1], 1)
        with ops.scratch(self.inverse) as mean:
            self.mean_of(x.reshape(-1, *self.group), mean)
            xp.subtract(x.reshape(-1, *self.group), mean, out=self.normalized)
        with ops.scratch(self.normalized) as square:
            xp.multiply(self.normalized, self.normalized, out=square)
            self.mean_of(square, self.inverse)
        xp.add(self.inverse, self.epsilon, out=self.inverse)
        xp.sqrt(self.inverse, out=self.inverse)
        xp.divide(1, self.inverse, out=self.inverse)
        xp.multiply(self.normalized, self.inverse, out=self.normalized)
        grouped = y.reshape(-1, *self.group)
        xp.multiply(self.normalized, 1 if self.gamma is None else self.gamma, out=grouped)
        if self.beta is not None:
            xp.add(grouped, self.beta, out=grouped)
        return y

    def backward(self, dy: Array) -> Array | None:
        """dx = inverse · (dn − mean(dn) − normalized · mean(dn · normalized)), dn = gamma · dy"""
        ops, slopes = self.site.ops, dy.reshape(-1, *self.group)
        xp = ops.xp
        if self.beta_gradient is not None:
            xp.sum(slopes, axis=(0, 1), out=self.beta_gradient)
        with ops.scratch(slopes) as product:
            if self.gamma_gradient is not None:
                xp.multiply(slopes, self.normalized, out=product)
                xp.sum(product, axis=(0, 1), out=self.gamma_gradient)
            if self.site.input_gradient is None:
                return None
            dx = self.site.input_gradient[: dy.shape[0]]
            part = dx.reshape(-1, *self.group)
            with ops.scratch(self.inverse) as mean, ops.scratch(self.inverse) as slope:
                xp.multiply(slopes, 1 if self.gamma is None else self.gamma, out=part)
                self.mean_of(part, mean)
                xp.multiply(part, self.normalized, out=product)
                self.mean_of(product, slope)
                xp.multiply(self.normalized, slope, out=product)
                xp.subtract(part, mean, out=part)
                xp.subtract(part, product, out=part)
                xp.multiply(part, self.inverse, out=part)
        return dx

    def mean_of(self, values: Array, out: Array) -> None:
        """Write the mean of each group; `xp.mean` would divide in double precision, through buffers."""
        self.site.ops.xp.sum(values, axis=(1, 3), keepdims=True, out=out)
        self.site.ops.xp.divide(out, self.count, out=out)
