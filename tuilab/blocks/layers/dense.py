"""The fully connected layer."""

from __future__ import annotations

import math

from pydantic import Field

from tuilab.blocks.activations import Activation, Linear
from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import GlorotUniform, Initializer, Zeros
from tuilab.blocks.layers.activated import BoundActivated
from tuilab.blocks.layers.layer import Layer, Parameter, Site
from tuilab.blocks.regularizers import Regularizer


class Dense(Layer):
    """Fully connected layer: each output sees every input.

    y = activation(x · kernel + bias)
    x: (batch, …, inputs) → y: (batch, …, units);  kernel: (inputs, units), bias: (units,)
    """

    takes_vectors = True
    output_setting = "units"

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


class BoundDense(BoundActivated):
    """A dense layer on arrays."""

    def __init__(self, layer: Dense, site: Site) -> None:
        shape = layer.output_shape(site.input_shape)
        bias, bias_gradient = site.values.get("bias"), site.gradients.get("bias")
        super().__init__(site, shape, layer.activation, layer.activity_regularizer, bias, bias_gradient)
        self.inputs, self.units = site.input_shape[-1], layer.units
        self.kernel, self.kernel_gradient = site.values["kernel"], site.gradients.get("kernel")

    def compute(self, x: Array, z: Array) -> None:
        rows, outputs = x.reshape(-1, self.inputs), z.reshape(-1, self.units)
        self.site.ops.linear(rows, self.kernel, None, out=outputs)

    def differentiate(self, dz: Array, dx: Array | None) -> None:
        self.site.ops.linear_backward(
            self.x.reshape(-1, self.inputs),
            self.kernel,
            dz.reshape(-1, self.units),
            None if dx is None else dx.reshape(-1, self.inputs),
            self.kernel_gradient,
            None,
        )
