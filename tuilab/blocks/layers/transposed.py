"""The transposed convolution: from small images to larger ones."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.layers.activated import BoundActivated
from tuilab.blocks.layers.convolution import Convolution
from tuilab.blocks.layers.layer import Site
from tuilab.blocks.window import Padding, Pair, Rest, Size, Window, image_of


class Conv2dTranspose(Convolution):
    """Transposed convolution: spreads each pixel over a window, weighted by the kernel, and so makes images larger
    (Zeiler et al., 2010). It is the backward pass of a convolution from its output to its input.

    x: (batch, height, width, channels) → y: (batch, rows, columns, filters);
    kernel: (*kernel_size, filters, channels), bias: (filters,)
    valid: rows = (height − 1) · stride + max(span, stride), span = (size − 1) · dilation + 1;  same: height · stride
    with output_padding p: valid: rows = (height − 1) · stride + span + p;  same: span % 2 in place of span
    """

    kernel_size: Size = Field(description="Height and width of the kernel; one number for both.")
    strides: Size = Field((1, 1), description="How many times larger the image becomes, down and across.")
    padding: Padding = Field(
        "valid", description="valid: all that the kernel reaches; same: exactly strides times larger."
    )
    output_padding: Rest | None = Field(
        None, description="Lines and columns more, below strides; unset: as many as fit."
    )
    dilation_rate: Size = Field((1, 1), description="Distances between the kernel's positions, down and across.")

    @model_validator(mode="after")
    def _padding_below_strides(self) -> Self:
        if self.output_padding is not None and any(
            more >= stride for more, stride in zip(self.output_padding, self.strides, strict=True)
        ):
            raise ValueError("output_padding must be below strides")
        return self

    def spread(self, shape: Shape) -> tuple[Window, Pair]:
        """Return the window of the convolution that leads back, and the output's height and width.

        Raises ValueError with the remedy for inputs that are no images, and where nothing is left of them.
        """
        image = image_of(shape, 2)
        more: tuple[int, int] | tuple[None, None] = self.output_padding or (None, None)
        (height, top), (width, left) = (
            self._along(*axis)
            for axis in zip(image[:2], self.kernel_size, self.strides, self.dilation_rate, more, strict=True)
        )
        if min(height, width) < 1:
            raise ValueError('leaves nothing of its input: choose a larger output_padding, or padding = "valid"')
        return Window(self.kernel_size, self.strides, self.dilation_rate, (top, left)), (height, width)

    def _along(self, length: int, size: int, stride: int, dilation: int, more: int | None) -> Pair:
        """Return the output's length and how much of it is cut off before its first pixel, as Keras has it."""
        span = (size - 1) * dilation + 1
        if self.padding == "valid":
            return (length - 1) * stride + (max(span, stride) if more is None else span + more), 0
        reach = stride if more is None else span % 2 + more
        total = max(0, reach + span - 2)
        return (length - 1) * stride + reach, span - 1 - min(total // 2 + total % 2, span - 1)

    def output_shape(self, shape: Shape) -> Shape:
        _, outputs = self.spread(shape)
        return (*outputs, self.filters)

    def kernel_shape(self, shape: Shape) -> Shape:
        return (*self.kernel_size, self.filters, shape[-1])

    def multiply_adds(self, shape: Shape) -> int:
        return math.prod(shape) * math.prod(self.kernel_size) * self.filters

    def bind(self, site: Site) -> BoundTransposed:
        return BoundTransposed(self, site)


class BoundTransposed(BoundActivated):
    """A transposed convolution on arrays: forwards and backwards of a convolution, exchanged."""

    def __init__(self, layer: Conv2dTranspose, site: Site) -> None:
        shape = layer.output_shape(site.input_shape)
        super().__init__(site, shape, layer.activation, layer.activity_regularizer)
        self.window, _ = layer.spread(site.input_shape)
        self.kernel, self.bias = site.values["kernel"], site.values.get("bias")
        self.kernel_gradient, self.bias_gradient = site.gradients.get("kernel"), site.gradients.get("bias")

    def compute(self, x: Array, z: Array) -> None:
        ops = self.site.ops
        ops.conv2d_backward(z, self.kernel, x, self.window, z, None, None)
        if self.bias is not None:
            ops.xp.add(z, self.bias, out=z)

    def differentiate(self, dz: Array, dx: Array | None) -> None:
        ops = self.site.ops
        if self.bias_gradient is not None:
            ops.xp.sum(dz, axis=(0, 1, 2), out=self.bias_gradient)
        if self.kernel_gradient is not None:
            ops.conv2d_backward(dz, self.kernel, self.x, self.window, None, self.kernel_gradient, None)
        if dx is not None:
            ops.conv2d(dz, self.kernel, None, self.window, out=dx)
