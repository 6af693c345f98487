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
    """Batch normalization on arrays; a row is a pixel with all its channels, or a vector."""

    def __init__(self, layer: BatchNormalization, site: Site) -> None:
        self.site = site
        self.epsilon, self.momentum = layer.epsilon, layer.momentum
        self.frozen = not layer.trainable
        """Whether mean and variance are constants, through which no gradient flows."""
        self.units = site.input_shape[-1]
        self.gamma, self.beta = site.values.get("gamma"), site.values.get("beta")
        self.gamma_gradient, self.beta_gradient = site.gradients.get("gamma"), site.gradients.get("beta")
        self.moving_mean, self.moving_variance = site.values["moving_mean"], site.values["moving_variance"]
        self.mean, self.inverse = (site.ops.xp.empty(self.units, dtype=site.dtype) for _ in range(2))
        """Of the last batch: the mean, and 1 / √(variance + epsilon)."""
        self.output = site.output(site.input_shape)
        self.x = self.output[:0]

    def forward(self, x: Array, training: bool) -> Array:
        ops, y = self.site.ops, self.output[: x.shape[0]]
        self.x = x.reshape(-1, self.units)
        if training and not self.frozen:
            self.measure()
        else:
            ops.xp.copyto(self.mean, self.moving_mean)
            self.invert(self.moving_variance)
        with self.scale() as scale, ops.scratch(self.mean) as shift:
            ops.xp.copyto(shift, 0 if self.beta is None else self.beta)
            ops.standardize(self.x, self.mean, scale, shift, out=y.reshape(-1, self.units))
        return y

    def measure(self) -> None:
        """Take mean and variance of `x`, and let the moving ones follow."""
        ops = self.site.ops
        with ops.scratch(self.mean) as variance:
            ops.moments(self.x, self.mean, variance)
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

    @contextmanager
    def scale(self) -> Iterator[Array]:
        """Lend gamma · inverse."""
        ops = self.site.ops
        with ops.scratch(self.mean) as scale:
            ops.xp.multiply(self.inverse, 1 if self.gamma is None else self.gamma, out=scale)
            yield scale

    def backward(self, dy: Array) -> Array | None:
        """dx = gamma · inverse · (dy − mean(dy) − (x − mean) · inverse² · mean(dy · (x − mean)));  where the layer is
        frozen, both means are left out"""
        ops, place, slopes = self.site.ops, self.site.input_gradient, dy.reshape(-1, self.units)
        xp, count = ops.xp, len(slopes)
        dx = None if place is None else place[: dy.shape[0]]
        with ops.scratch(self.mean) as total, ops.scratch(self.mean) as product, self.scale() as scale:
            if self.frozen:
                total.fill(0)
                product.fill(0)
            else:
                ops.standardize_sums(self.x, self.mean, slopes, total, product)
            if self.beta_gradient is not None:
                xp.copyto(self.beta_gradient, total)
            if self.gamma_gradient is not None:
                xp.multiply(product, self.inverse, out=self.gamma_gradient)
            if dx is not None:
                xp.divide(total, count, out=total)
                xp.multiply(product, self.inverse, out=product)
                xp.multiply(product, self.inverse, out=product)
                xp.divide(product, count, out=product)
                ops.standardize_backward(
                    self.x, self.mean, slopes, scale, total, product, out=dx.reshape(-1, self.units)
                )
        return dx


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
        self.output = site.output(site.input_shape)
        self.buffer = site.empty(site.input_shape) if site.trains else self.output
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
