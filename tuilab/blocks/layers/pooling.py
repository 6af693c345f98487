"""Poolings: one value for each window of an image or a sequence."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.layers.layer import BoundLayer, Layer, Site
from tuilab.blocks.window import LARGEST, Padding, Pair, Size, Window, placed

SAME = "valid: only where the whole window fits; same: windows may reach beyond the edges, where there is nothing."


class Pooling(Layer, abstract=True):
    """What poolings share: a window that slides over every channel."""

    axes: ClassVar[int] = 2
    """Of the window: 2 for images, 1 for sequences."""

    pool_size: int | Size
    strides: int | Size | None = None
    padding: Padding = Field("valid", description=SAME)

    def geometry(self, shape: Shape) -> tuple[Window, Shape, Pair]:
        """Return the window, the shape of an image, and the output's height and width, for samples of `shape`."""
        strides = self.pool_size if self.strides is None else self.strides
        return placed(shape, self.axes, "pool_size", self.pool_size, strides, padding=self.padding)

    def output_shape(self, shape: Shape) -> Shape:
        _, image, outputs = self.geometry(shape)
        return (*outputs[-self.axes :], image[2])


class ImagePooling(Pooling, abstract=True):
    """The settings of poolings over images."""

    pool_size: Size = Field((2, 2), description="Height and width of the window; one number for both.")
    strides: Size | None = Field(None, description="Steps by which the window moves; unset: its own size.")


class SequencePooling(Pooling, abstract=True):
    """The settings of poolings along sequences."""

    axes = 1

    pool_size: int = Field(2, gt=0, le=LARGEST, description="Steps that the window covers.")
    strides: int | None = Field(None, gt=0, le=LARGEST, description="Steps by which the window moves; unset: its size.")


class MaxPooling2d(ImagePooling):
    """Largest value of every window: keeps whether a pattern was seen, drops where exactly.

    y = max over the window;  x: (batch, height, width, channels) → y: (batch, rows, columns, channels)
    valid: rows = (height − size) // stride + 1;  same: rows = ⌈height / stride⌉
    The gradient goes to the first of several largest values.
    """

    def bind(self, site: Site) -> BoundMaxPooling:
        return BoundMaxPooling(self, site)


class MaxPooling1d(SequencePooling):
    """Largest value of every window along a sequence.

    y = max over the window;  x: (batch, steps, channels) → y: (batch, outputs, channels)
    """

    def bind(self, site: Site) -> BoundMaxPooling:
        return BoundMaxPooling(self, site)


class AveragePooling2d(ImagePooling):
    """Mean of every window: a smaller image without its details.

    y = mean over the pixels of the image in the window
    x: (batch, height, width, channels) → y: (batch, rows, columns, channels)
    """

    def bind(self, site: Site) -> BoundAveragePooling:
        return BoundAveragePooling(self, site)


class AveragePooling1d(SequencePooling):
    """Mean of every window along a sequence.

    y = mean over the steps in the window;  x: (batch, steps, channels) → y: (batch, outputs, channels)
    """

    def bind(self, site: Site) -> BoundAveragePooling:
        return BoundAveragePooling(self, site)


class BoundPooling(BoundLayer):
    """A pooling on arrays; sequences are images of height 1."""

    def __init__(self, layer: Pooling, site: Site) -> None:
        self.site = site
        self.window, self.image, outputs = layer.geometry(site.input_shape)
        self.outputs = (*outputs, self.image[2])
        self.output = site.output(layer.output_shape(site.input_shape))

    def forward(self, x: Array, training: bool) -> Array:
        y = self.output[: x.shape[0]]
        self.pool(x.reshape(-1, *self.image), y.reshape(-1, *self.outputs), training)
        return y

    def backward(self, dy: Array) -> Array | None:
        if self.site.input_gradient is None:
            return None
        dx = self.site.input_gradient[: dy.shape[0]]
        self.spread(dy.reshape(-1, *self.outputs), dx.reshape(-1, *self.image))
        return dx

    def pool(self, x: Array, y: Array, training: bool) -> None:
        """Write y for images."""
        raise NotImplementedError  # abstract

    def spread(self, dy: Array, dx: Array) -> None:
        """Write dL/dx for images."""
        raise NotImplementedError  # abstract


class BoundMaxPooling(BoundPooling):
    """Max pooling on arrays: which position of the window won is kept, a byte for each output."""

    def __init__(self, layer: Pooling, site: Site) -> None:
        super().__init__(layer, site)
        positions = self.window.size[0] * self.window.size[1]
        self.chosen: Array | None = None
        if site.input_gradient is not None:
            self.chosen = site.empty(self.outputs, "uint8" if positions <= 256 else "uint32")

    def pool(self, x: Array, y: Array, training: bool) -> None:
        chosen = self.chosen[: x.shape[0]] if training and self.chosen is not None else None
        self.site.ops.max_pool2d(x, self.window, out=y, chosen=chosen)

    def spread(self, dy: Array, dx: Array) -> None:
        assert self.chosen is not None
        self.site.ops.max_pool2d_backward(self.chosen[: dy.shape[0]], dy, self.window, dx)


class BoundAveragePooling(BoundPooling):
    """Average pooling on arrays."""

    def __init__(self, layer: Pooling, site: Site) -> None:
        super().__init__(layer, site)
        rows, columns = (
            [min(begin + size, length) - max(begin, 0) for begin in range(-before, -before + count * stride, stride)]
            for size, stride, before, length, count in zip(
                self.window.size, self.window.strides, self.window.before, self.image[:2], self.outputs[:2], strict=True
            )
        )
        shares = [[[1 / (row * column)] for column in columns] for row in rows]
        self.share = site.ops.xp.asarray(shares, dtype=site.dtype)
        """1 / the image's pixels in each window: (rows, columns, 1)."""

    def pool(self, x: Array, y: Array, training: bool) -> None:
        ops = self.site.ops
        ops.sum_pool2d(x, self.window, out=y)
        ops.xp.multiply(y, self.share, out=y)

    def spread(self, dy: Array, dx: Array) -> None:
        ops = self.site.ops
        with ops.scratch(dy) as shared:
            ops.xp.multiply(dy, self.share, out=shared)
            ops.sum_pool2d_backward(shared, self.window, dx)
