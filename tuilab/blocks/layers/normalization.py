"""Layers that bring their inputs to mean 0 and variance 1 and then scale them as they learn to."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import Initializer, Ones, Zeros
from tuilab.blocks.layers.layer import BoundLayer, Layer, Parameter, Site
from tuilab.blocks.regularizers import Regularizer


class Normalization(Layer, abstract=True):
    """What batch and layer normalization share: gamma and beta over the last axis."""

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

    def bind(self, site: Site) -> BoundLayerNormalization:
        return BoundLayerNormalization(self, site)


class BoundNormalization(BoundLayer):
    """What both normalizations do alike: scaling by gamma and beta, and the backward pass. Arrays are (rows, units)."""

    axis: ClassVar[int]
    """Along which mean and variance are taken."""
    frozen = False
    """Whether mean and variance are constants, through which no gradient flows."""
    inverse: Array
    """1 / √(variance + epsilon) of the last batch."""

    def __init__(self, layer: Normalization, site: Site) -> None:
        self.site = site
        self.epsilon = layer.epsilon
        self.units = site.input_shape[-1]
        self.gamma, self.beta = site.values.get("gamma"), site.values.get("beta")
        self.gamma_gradient, self.beta_gradient = site.gradients.get("gamma"), site.gradients.get("beta")
        self.output = site.empty(site.input_shape)
        self.buffer = site.empty(site.input_shape)
        self.normalized = self.buffer[:0]

    def scaled(self, rows: int) -> Array:
        """y = gamma · normalized + beta, in the shape of the layer's output."""
        xp, y = self.site.ops.xp, self.output[:rows]
        flat = y.reshape(-1, self.units)
        if self.gamma is None:
            xp.copyto(flat, self.normalized)
        else:
            xp.multiply(self.normalized, self.gamma, out=flat)
        if self.beta is not None:
            xp.add(flat, self.beta, out=flat)
        return y

    def parameter_gradients(self, dy: Array) -> None:
        ops = self.site.ops
        if self.beta_gradient is not None:
            ops.xp.sum(dy, axis=0, out=self.beta_gradient)
        if self.gamma_gradient is not None:
            with ops.scratch(dy) as product:
                ops.xp.multiply(dy, self.normalized, out=product)
                ops.xp.sum(product, axis=0, out=self.gamma_gradient)

    def backward(self, dy: Array) -> Array | None:
        xp, flat = self.site.ops.xp, dy.reshape(-1, self.units)
        self.parameter_gradients(flat)
        if self.site.input_gradient is None:
            return None
        dx = self.site.input_gradient[: dy.shape[0]]
        dnormalized = dx.reshape(-1, self.units)
        xp.multiply(flat, 1 if self.gamma is None else self.gamma, out=dnormalized)
        if self.frozen:
            xp.multiply(dnormalized, self.inverse, out=dnormalized)
        else:
            self.to_input(dnormalized, self.inverse, self.axis)
        return dx

    def to_input(self, dnormalized: Array, inverse: Array, axis: int) -> None:
        """Turn dL/dnormalized into dL/dx in place, `inverse` being 1 / √(variance + epsilon) along `axis`:
        dx = inverse · (dn − mean(dn) − normalized · mean(dn · normalized))
        """
        ops = self.site.ops
        xp = ops.xp
        with ops.scratch(dnormalized) as product, ops.scratch(inverse) as mean, ops.scratch(inverse) as slope:
            self.mean_along(axis, dnormalized, mean)
            xp.multiply(dnormalized, self.normalized, out=product)
            self.mean_along(axis, product, slope)
            xp.multiply(self.normalized, slope, out=product)
            xp.subtract(dnormalized, mean, out=dnormalized)
            xp.subtract(dnormalized, product, out=dnormalized)
            xp.multiply(dnormalized, inverse, out=dnormalized)

    def normalize(self, x: Array, mean: Array, variance: Array, inverse: Array, axis: int) -> None:
        """Write mean, variance and 1 / √(variance + epsilon) of `x` along `axis`, and x normalized by them."""
        ops = self.site.ops
        xp = ops.xp
        self.mean_along(axis, x, mean)
        xp.subtract(x, mean, out=self.normalized)
        with ops.scratch(x) as square:
            xp.multiply(self.normalized, self.normalized, out=square)
            self.mean_along(axis, square, variance)
        self.invert(variance, inverse)
        xp.multiply(self.normalized, inverse, out=self.normalized)

    def mean_along(self, axis: int, values: Array, out: Array) -> None:
        """Write the mean of `values` along `axis`; `xp.mean` would divide in double precision, through buffers."""
        self.site.ops.xp.sum(values, axis=axis, keepdims=True, out=out)
        self.site.ops.xp.divide(out, values.shape[axis], out=out)

    def invert(self, variance: Array, inverse: Array) -> None:
        xp = self.site.ops.xp
        xp.add(variance, self.epsilon, out=inverse)
        xp.sqrt(inverse, out=inverse)
        xp.divide(1, inverse, out=inverse)


class BoundBatchNormalization(BoundNormalization):
    """Batch normalization on arrays."""

    axis = 0

    def __init__(self, layer: BatchNormalization, site: Site) -> None:
        super().__init__(layer, site)
        xp = site.ops.xp
        self.frozen = not layer.trainable
        self.momentum = layer.momentum
        self.moving_mean, self.moving_variance = site.values["moving_mean"], site.values["moving_variance"]
        self.mean, self.variance, self.inverse = (xp.empty((1, self.units), dtype=site.dtype) for _ in range(3))

    def forward(self, x: Array, training: bool) -> Array:
        xp, rows = self.site.ops.xp, x.shape[0]
        flat = x.reshape(-1, self.units)
        self.normalized = self.buffer[:rows].reshape(-1, self.units)
        if training and not self.frozen:
            self.normalize(flat, self.mean, self.variance, self.inverse, self.axis)
            self.follow(self.moving_mean, self.mean)
            self.follow(self.moving_variance, self.variance)
        else:
            self.invert(self.moving_variance, self.inverse[0])
            xp.subtract(flat, self.moving_mean, out=self.normalized)
            xp.multiply(self.normalized, self.inverse, out=self.normalized)
        return self.scaled(rows)

    def follow(self, moving: Array, batch: Array) -> None:
        ops = self.site.ops
        with ops.scratch(moving) as share:
            ops.xp.multiply(batch[0], 1 - self.momentum, out=share)
            ops.xp.multiply(moving, self.momentum, out=moving)
            ops.xp.add(moving, share, out=moving)


class BoundLayerNormalization(BoundNormalization):
    """Layer normalization on arrays."""

    axis = 1

    def __init__(self, layer: LayerNormalization, site: Site) -> None:
        super().__init__(layer, site)
        places = math.prod(site.input_shape[:-1])
        self.inverse_buffer = site.empty((places, 1))
        self.inverse = self.inverse_buffer[:0]

    def forward(self, x: Array, training: bool) -> Array:
        ops, rows = self.site.ops, x.shape[0]
        self.normalized = self.buffer[:rows].reshape(-1, self.units)
        self.inverse = self.inverse_buffer[:rows].reshape(-1, 1)
        with ops.scratch(self.inverse) as mean, ops.scratch(self.inverse) as variance:
            self.normalize(x.reshape(-1, self.units), mean, variance, self.inverse, self.axis)
        return self.scaled(rows)
