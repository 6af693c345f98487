"""Convolutions: the same small kernel at every place of an image or a sequence."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tuilab.blocks.activations import Activation, Linear
from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import GlorotUniform, Initializer, Zeros
from tuilab.blocks.layers.activated import BoundActivated
from tuilab.blocks.layers.layer import BoundLayer, Layer, Parameter, Site
from tuilab.blocks.regularizers import Regularizer
from tuilab.blocks.window import LARGEST, Padding, Pair, Size, Window, as_pair, placed

PADDING = "valid: only where the whole kernel fits; same: zeros around, so that strides of 1 keep the size."


class Filtering(Layer, abstract=True):
    """What comes first of every convolution that mixes channels."""

    filters: int = Field(gt=0, le=1_000_000, description="Number of output channels.")


class Convolution(Filtering, abstract=True):
    """What convolutions over images and sequences share: one kernel, a bias and an activation."""

    axes: ClassVar[int] = 2
    """Of the kernel: 2 for images, 1 for sequences."""

    kernel_size: int | Size
    strides: int | Size = (1, 1)
    padding: Padding | Literal["causal"] = Field("valid", description=PADDING)
    dilation_rate: int | Size = (1, 1)
    activation: Activation = Field(Linear(), description="Function applied to the outputs.")
    use_bias: bool = Field(True, description="Whether a learned bias is added.")
    kernel_initializer: Initializer = Field(GlorotUniform(), description="First values of the kernel.")
    bias_initializer: Initializer = Field(Zeros(), description="First values of the bias.")
    kernel_regularizer: Regularizer | None = Field(None, description="Penalty on the kernel.")
    bias_regularizer: Regularizer | None = Field(None, description="Penalty on the bias.")
    activity_regularizer: Regularizer | None = Field(None, description="Penalty on the outputs, a mean over the batch.")
    kernel_constraint: Constraint | None = Field(None, description="What the kernel satisfies after every update.")
    bias_constraint: Constraint | None = Field(None, description="What the bias satisfies after every update.")

    @model_validator(mode="after")
    def _strides_or_dilation(self) -> Self:
        if max(as_pair(self.strides)) > 1 and max(as_pair(self.dilation_rate)) > 1:
            raise ValueError("strides and dilation_rate cannot both be above 1: leave one of them out")
        return self

    def kernel_shape(self, shape: Shape) -> Shape:
        """Return the shape of the kernel for inputs of `shape`."""
        raise NotImplementedError  # abstract

    def parameters(self, shape: Shape) -> list[Parameter]:
        kernel = Parameter(
            "kernel",
            self.kernel_shape(shape),
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
            self.trainable,
        )
        bias = Parameter(
            "bias", (self.filters,), self.bias_initializer, self.bias_regularizer, self.bias_constraint, self.trainable
        )
        return [kernel, bias] if self.use_bias else [kernel]

    def output_activation(self) -> Activation | None:
        return None if self.activity_regularizer else self.activation

    def without_activation(self) -> Self:
        return self.model_copy(update={"activation": Linear()})


class GroupedConvolution(Convolution, abstract=True):
    """What convolutions from images to smaller ones share."""

    groups: int = Field(
        1, gt=0, description="Parts of the channels, each of which leads to its own part of the filters."
    )

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.filters % self.groups:
            raise ValueError(f"groups must divide filters: {self.groups} does not divide {self.filters}")
        return self

    def geometry(self, shape: Shape) -> tuple[Window, Shape, Pair]:
        """Return the window, the shape of an image, and the output's height and width, for samples of `shape`."""
        window, image, outputs = placed(
            shape, self.axes, "kernel_size", self.kernel_size, self.strides, self.dilation_rate, self.padding
        )
        if image[2] % self.groups:
            raise ValueError(
                f"needs channels that its {self.groups} groups divide, gets {image[2]}: change groups, or the layer "
                "before it"
            )
        return window, image, outputs

    def output_shape(self, shape: Shape) -> Shape:
        _, _, outputs = self.geometry(shape)
        return (*outputs[-self.axes :], self.filters)

    def kernel_shape(self, shape: Shape) -> Shape:
        return (*as_pair(self.kernel_size)[-self.axes :], shape[-1] // self.groups, self.filters)

    def multiply_adds(self, shape: Shape) -> int:
        pixels = math.prod(self.output_shape(shape)[:-1])
        return pixels * math.prod(self.kernel_shape(shape))

    def bind(self, site: Site) -> BoundLayer:
        return BoundConvolution(self, site)


class Conv2d(GroupedConvolution):
    """Convolution over images: each filter looks for the same pattern everywhere (LeCun et al., 1989).

    y = activation(x ∗ kernel + bias), the kernel not flipped
    x: (batch, height, width, channels) → y: (batch, rows, columns, filters);
    kernel: (*kernel_size, channels / groups, filters), bias: (filters,)
    valid: rows = (height − span) // stride + 1, span = (size − 1) · dilation + 1;  same: rows = ⌈height / stride⌉,
    the zeros half before, half after, the odd one after
    """

    kernel_size: Size = Field(description="Height and width of the kernel; one number for both.")
    strides: Size = Field((1, 1), description="Steps by which the kernel moves, down and across.")
    padding: Padding = Field("valid", description=PADDING)
    dilation_rate: Size = Field((1, 1), description="Distances between the kernel's positions, down and across.")


class Conv1d(GroupedConvolution):
    """Convolution along sequences: each filter looks for the same pattern at every step.

    y = activation(x ∗ kernel + bias), the kernel not flipped
    x: (batch, steps, channels) → y: (batch, outputs, filters);
    kernel: (kernel_size, channels / groups, filters), bias: (filters,)
    """

    axes = 1

    kernel_size: int = Field(gt=0, le=LARGEST, description="Steps that the kernel covers.")
    strides: int = Field(1, gt=0, le=LARGEST, description="Steps by which the kernel moves.")
    padding: Padding | Literal["causal"] = Field(
        "valid", description=f"{PADDING[:-1]}; causal: zeros before alone, so that no output sees later steps."
    )
    dilation_rate: int = Field(1, gt=0, le=LARGEST, description="Distance between the kernel's positions.")


class BoundConvolution(BoundActivated):
    """A convolution on arrays."""

    def __init__(self, layer: GroupedConvolution, site: Site) -> None:
        shape = layer.output_shape(site.input_shape)
        super().__init__(site, shape, layer.activation, layer.activity_regularizer)
        self.window, self.image, outputs = layer.geometry(site.input_shape)
        self.outputs = (*outputs, layer.filters)
        kernel = site.values["kernel"]
        self.kernel_shape = (*self.window.size, *kernel.shape[-2:])
        self.kernel = kernel.reshape(self.kernel_shape)
        self.bias = site.values.get("bias")
        gradient = site.gradients.get("kernel")
        self.kernel_gradient = None if gradient is None else gradient.reshape(self.kernel_shape)
        self.bias_gradient = site.gradients.get("bias")

    def compute(self, x: Array, z: Array) -> None:
        images, outputs = x.reshape(-1, *self.image), z.reshape(-1, *self.outputs)
        self.site.ops.conv2d(images, self.kernel, self.bias, self.window, out=outputs)

    def differentiate(self, dz: Array, dx: Array | None) -> None:
        self.site.ops.conv2d_backward(
            self.x.reshape(-1, *self.image),
            self.kernel,
            dz.reshape(-1, *self.outputs),
            self.window,
            None if dx is None else dx.reshape(-1, *self.image),
            self.kernel_gradient,
            self.bias_gradient,
        )
