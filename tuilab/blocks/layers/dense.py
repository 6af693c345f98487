"""The fully connected layer."""

from __future__ import annotations

import math

from pydantic import Field

from tuilab.blocks.activations import Activation, Linear
from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import GlorotUniform, Initializer, Zeros
from tuilab.blocks.layers.layer import Activity, BoundLayer, Layer, Parameter, Site
from tuilab.blocks.regularizers import Regularizer


class Dense(Layer):
    """Fully connected layer: each output sees every input.

    y = activation(x · kernel + bias)
    x: (batch, …, inputs) → y: (batch, …, units);  kernel: (inputs, units), bias: (units,)
    """

    takes_vectors = True

    units: int = Field(gt=0, le=1_000_000, description="Number of outputs.")
    activation: Activation = Field(Linear(), description="Function applied to the outputs.")
    use_bias: bool = Field(True, description="Whether a learned bias is added.")
    kernel_initializer: Initializer = Field(GlorotUniform(), description="First values of the kernel.")
    bias_initializer: Initializer = Field(Zeros(), description="First values of the bias.")
    kernel_regularizer: Regularizer | None = Field(None, description="Penalty on the kernel.")
    bias_regularizer: Regularizer | None = Field(None, description="Penalty on the bias.")
    activity_regularizer: Regularizer | None = Field(None, description="Penalty on the outputs, a mean over the batch.")
    kernel_constraint: Constraint | None = Field(None, description="What the kernel satisfies after every update.")
    bias_constraint: Constraint | None = Field(None, description="What the bias satisfies after every update.")

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError("needs at least one axis of inputs, gets single numbers: add a reshape layer before it")
        return (*shape[:-1], self.units)

    def parameters(self, shape: Shape) -> list[Parameter]:
        kernel = Parameter(
            "kernel",
            (shape[-1], self.units),
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
            self.trainable,
        )
        bias = Parameter(
            "bias", (self.units,), self.bias_initializer, self.bias_regularizer, self.bias_constraint, self.trainable
        )
        return [kernel, bias] if self.use_bias else [kernel]

    def output_activation(self) -> Activation | None:
        return None if self.activity_regularizer else self.activation

    def without_activation(self) -> Dense:
        return self.model_copy(update={"activation": Linear()})

    def multiply_adds(self, shape: Shape) -> int:
        return math.prod(shape) * self.units

    def bind(self, site: Site) -> BoundDense:
        return BoundDense(self, site)


class BoundDense(BoundLayer):
    """A dense layer on arrays; `x·W + b` and the output share one buffer where the activation's backward allows it."""

    def __init__(self, layer: Dense, site: Site) -> None:
        self.site = site
        self.activation = layer.activation
        self.regularizer = layer.activity_regularizer
        self.inputs = site.input_shape[-1]
        self.kernel = site.values["kernel"]
        self.bias = site.values.get("bias")
        self.kernel_gradient = site.gradients.get("kernel")
        self.bias_gradient = site.gradients.get("bias")
        self.linear = isinstance(layer.activation, Linear)
        shape = layer.output_shape(site.input_shape)
        self.output = site.empty(shape)
        self.before = site.empty(shape) if layer.activation.needs_input else self.output
        self.x = self.z = self.y = self.output[:0]

    def forward(self, x: Array, training: bool) -> Array:
        ops, rows = self.site.ops, x.shape[0]
        self.x = x.reshape(-1, self.inputs)
        self.z, self.y = self.before[:rows], self.output[:rows]
        ops.linear(self.x, self.kernel, self.bias, out=self.z.reshape(-1, self.z.shape[-1]))
        if not self.linear:
            self.activation.forward(ops, self.z, out=self.y)
            self.activity = Activity(self.activation, self.z, self.y)
        if self.regularizer is not None and training:
            self._add_activity_penalty(self.regularizer, rows)
        return self.y

    def _add_activity_penalty(self, regularizer: Regularizer, rows: int) -> None:
        ops = self.site.ops
        with ops.scratch(self.site.penalty) as penalty:
            penalty[...] = 0
            regularizer.add_penalty(ops, self.y, penalty)
            ops.xp.multiply(penalty, 1 / rows, out=penalty)
            ops.xp.add(self.site.penalty, penalty, out=self.site.penalty)

    def backward(self, dy: Array) -> Array | None:
        ops, units = self.site.ops, dy.shape[-1]
        with ops.scratch(dy) as dz:
            if self.regularizer is not None:
                dz[...] = 0
                self.regularizer.add_gradient(ops, self.y, dz)
                ops.xp.multiply(dz, 1 / dy.shape[0], out=dz)
                ops.xp.add(dz, dy, out=dz)
                dy = dz
            if self.linear:
                dz = dy
            else:
                self.activation.backward(ops, self.z, self.y, dy, out=dz)
            dx = None if self.site.input_gradient is None else self.site.input_gradient[: dy.shape[0]]
            ops.linear_backward(
                self.x,
                self.kernel,
                dz.reshape(-1, units),
                None if dx is None else dx.reshape(-1, self.inputs),
                self.kernel_gradient,
                self.bias_gradient,
            )
        return dx
