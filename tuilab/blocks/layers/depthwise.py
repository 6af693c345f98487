"""Convolutions that look at each channel by itself: few weights, few operations."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Self

from pydantic import Field, model_validator

from tuilab.blocks.activations import Activation, Linear
from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import GlorotUniform, Initializer, Zeros
from tuilab.blocks.layers.activated import BoundActivated
from tuilab.blocks.layers.convolution import PADDING, Filtering
from tuilab.blocks.layers.layer import Layer, Parameter, Site
from tuilab.blocks.regularizers import Regularizer
from tuilab.blocks.window import Padding, Pair, Size, Window, placed


class Depthwise(Layer, abstract=True):
    """What both share: a kernel for every channel, a bias and an activation."""

    kernel_size: Size = Field(description="Height and width of the kernels; one number for both.")
    strides: Size = Field((1, 1), description="Steps by which the kernels move, down and across.")
    padding: Padding = Field("valid", description=PADDING)
    depth_multiplier: int = Field(1, gt=0, le=1_000_000, description="Number of kernels for each channel.")
    dilation_rate: Size = Field((1, 1), description="Distances between the kernels' positions, down and across.")
    activation: Activation = Field(Linear(), description="Function applied to the outputs.")
    use_bias: bool = Field(True, description="Whether a learned bias is added.")
    depthwise_initializer: Initializer = Field(GlorotUniform(), description="First values of the channels' kernels.")
    bias_initializer: Initializer = Field(Zeros(), description="First values of the bias.")
    depthwise_regularizer: Regularizer | None = Field(None, description="Penalty on the channels' kernels.")
    bias_regularizer: Regularizer | None = Field(None, description="Penalty on the bias.")
    activity_regularizer: Regularizer | None = Field(None, description="Penalty on the outputs, a mean over the batch.")
    depthwise_constraint: Constraint | None = Field(
        None, description="What the channels' kernels satisfy after every update."
    )
    bias_constraint: Constraint | None = Field(None, description="What the bias satisfies after every update.")

    @model_validator(mode="after")
    def _strides_or_dilation(self) -> Self:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError("strides and dilation_rate cannot both be above 1: leave one of them out")
        return self

    def geometry(self, shape: Shape) -> tuple[Window, Shape, Pair]:
        """Return the window, the shape of an image, and the output's height and width, for samples of `shape`."""
        return placed(shape, 2, "kernel_size", self.kernel_size, self.strides, self.dilation_rate, self.padding)

    def depthwise_parameter(self, name: str, shape: Shape) -> Parameter:
        return Parameter(
            name,
            (*self.kernel_size, shape[-1], self.depth_multiplier),
            self.depthwise_initializer,
            self.depthwise_regularizer,
            self.depthwise_constraint,
            self.trainable,
        )

    def bias_parameter(self, filters: int) -> list[Parameter]:
        bias = Parameter(
            "bias", (filters,), self.bias_initializer, self.bias_regularizer, self.bias_constraint, self.trainable
        )
        return [bias] if self.use_bias else []

    def output_activation(self) -> Activation | None:
        return None if self.activity_regularizer else self.activation

    def without_activation(self) -> Self:
        return self.model_copy(update={"activation": Linear()})


class DepthwiseConv2d(Depthwise):
    """Convolution of every channel by itself: cheap, and nothing passes from channel to channel.

    y[…, c · multiplier + m] = activation(x[…, c] ∗ kernel[…, c, m] + bias)
    x: (batch, height, width, channels) → y: (batch, rows, columns, channels · depth_multiplier);
    kernel: (*kernel_size, channels, depth_multiplier), bias: (channels · depth_multiplier,)
    """

    def output_shape(self, shape: Shape) -> Shape:
        _, image, outputs = self.geometry(shape)
        return (*outputs, image[2] * self.depth_multiplier)

    def parameters(self, shape: Shape) -> list[Parameter]:
        return [self.depthwise_parameter("kernel", shape), *self.bias_parameter(shape[-1] * self.depth_multiplier)]

    def multiply_adds(self, shape: Shape) -> int:
        return math.prod(self.output_shape(shape)) * math.prod(self.kernel_size)

    def bind(self, site: Site) -> BoundDepthwise:
        return BoundDepthwise(self, site)


class SeparableConv2d(Depthwise, Filtering):
    """Convolution in two steps: every channel by itself, then the channels of each pixel (Chollet, 2017). Sees what
    conv2d sees with far fewer weights.

    y = activation((x ∗ depthwise_kernel) · pointwise_kernel + bias)
    x: (batch, height, width, channels) → y: (batch, rows, columns, filters);
    depthwise_kernel: (*kernel_size, channels, depth_multiplier), pointwise_kernel: (1, 1, channels · depth_multiplier,
    filters), bias: (filters,)
    """

    pointwise_initializer: Initializer = Field(GlorotUniform(), description="First values of the pixels' kernel.")
    pointwise_regularizer: Regularizer | None = Field(None, description="Penalty on the pixels' kernel.")
    pointwise_constraint: Constraint | None = Field(
        None, description="What the pixels' kernel satisfies after every update."
    )

    def output_shape(self, shape: Shape) -> Shape:
        _, _, outputs = self.geometry(shape)
        return (*outputs, self.filters)

    def parameters(self, shape: Shape) -> list[Parameter]:
        pointwise = Parameter(
            "pointwise_kernel",
            (1, 1, shape[-1] * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            self.pointwise_regularizer,
            self.pointwise_constraint,
            self.trainable,
        )
        return [self.depthwise_parameter("depthwise_kernel", shape), pointwise, *self.bias_parameter(self.filters)]

    def multiply_adds(self, shape: Shape) -> int:
        _, image, outputs = self.geometry(shape)
        depth = image[2] * self.depth_multiplier
        return math.prod(outputs) * depth * (math.prod(self.kernel_size) + self.filters)

    def bind(self, site: Site) -> BoundSeparable:
        return BoundSeparable(self, site)


class BoundDepthwise(BoundActivated):
    """A depthwise convolution on arrays: a convolution with as many groups as channels."""

    def __init__(self, layer: DepthwiseConv2d, site: Site) -> None:
        shape = layer.output_shape(site.input_shape)
        super().__init__(site, shape, layer.activation, layer.activity_regularizer)
        self.window, _, _ = layer.geometry(site.input_shape)
        self.kernel, self.bias = grouped(site.values["kernel"]), site.values.get("bias")
        gradient = site.gradients.get("kernel")
        self.kernel_gradient = None if gradient is None else grouped(gradient)
        self.bias_gradient = site.gradients.get("bias")

    def compute(self, x: Array, z: Array) -> None:
        self.site.ops.conv2d(x, self.kernel, self.bias, self.window, out=z)

    def differentiate(self, dz: Array, dx: Array | None) -> None:
        self.site.ops.conv2d_backward(
            self.x, self.kernel, dz, self.window, dx, self.kernel_gradient, self.bias_gradient
        )


class BoundSeparable(BoundActivated):
    """A separable convolution on arrays: a depthwise one, then a dense layer on every pixel."""

    def __init__(self, layer: SeparableConv2d, site: Site) -> None:
        shape = layer.output_shape(site.input_shape)
        super().__init__(site, shape, layer.activation, layer.activity_regularizer)
        self.window, image, outputs = layer.geometry(site.input_shape)
        self.depth = image[2] * layer.depth_multiplier
        self.pixels = outputs
        self.middle = site.empty((*outputs, self.depth)) if site.trains else None
        """What lies between the two; kept for the backward pass."""
        self.kernel, self.bias = grouped(site.values["depthwise_kernel"]), site.values.get("bias")
        self.pointwise = site.values["pointwise_kernel"].reshape(self.depth, layer.filters)
        gradients = [site.gradients.get(name) for name in ("depthwise_kernel", "pointwise_kernel", "bias")]
        depthwise, pointwise, self.bias_gradient = gradients
        self.kernel_gradient = None if depthwise is None else grouped(depthwise)
        self.pointwise_gradient = None if pointwise is None else pointwise.reshape(self.depth, layer.filters)

    def compute(self, x: Array, z: Array) -> None:
        ops, rows = self.site.ops, x.shape[0]
        kept = None if self.middle is None else nullcontext(self.middle[:rows])
        with kept or ops.scratch(x, shape=(rows, *self.pixels, self.depth)) as middle:
            ops.conv2d(x, self.kernel, None, self.window, out=middle)
            ops.linear(middle.reshape(-1, self.depth), self.pointwise, self.bias, out=z.reshape(-1, z.shape[-1]))

    def differentiate(self, dz: Array, dx: Array | None) -> None:
        assert self.middle is not None
        ops, middle = self.site.ops, self.middle[: dz.shape[0]]
        deeper = dx is not None or self.kernel_gradient is not None
        with ops.scratch(middle) as slopes:
            ops.linear_backward(
                middle.reshape(-1, self.depth),
                self.pointwise,
                dz.reshape(-1, dz.shape[-1]),
                slopes.reshape(-1, self.depth) if deeper else None,
                self.pointwise_gradient,
                self.bias_gradient,
            )
            if deeper:
                ops.conv2d_backward(self.x, self.kernel, slopes, self.window, dx, self.kernel_gradient, None)


def grouped(kernel: Array) -> Array:
    """Return (height, width, channels, multiplier) as the kernel of as many groups: (height, width, 1, filters)."""
    return kernel.reshape(*kernel.shape[:2], 1, -1)
