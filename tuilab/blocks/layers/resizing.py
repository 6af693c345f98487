"""Layers that change the size of images without learning anything."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.layers.layer import BoundLayer, Layer, Site
from tuilab.blocks.window import LARGEST, Pair, Size, image_of


def valid_edges(value: object) -> tuple[Pair, Pair]:
    """Return ((top, bottom), (left, right)) for one number, for [vertical, horizontal], or for these two pairs; raises
    PydanticCustomError for anything else."""
    both = (value, value) if type(value) is int else value
    if isinstance(both, (list, tuple)) and len(both) == 2:
        pairs = [(size, size) if type(size) is int else size for size in both]
        if all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
            (top, bottom), (left, right) = pairs
            edges = (top, bottom, left, right)
            if all(type(size) is int and 0 <= size <= LARGEST for size in edges):
                return (top, bottom), (left, right)
    raise PydanticCustomError(
        "not_edges",
        "must be a number from 0 to {largest}, or [vertical, horizontal], or [[top, bottom], [left, right]]",
        {"largest": LARGEST},
    )


Edges: TypeAlias = Annotated[tuple[Pair, Pair], PlainValidator(valid_edges)]
"""A setting: pixels at the four edges."""


class ZeroPadding2d(Layer):
    """Zeros around images, so that convolutions reach the edges.

    x: (batch, height, width, channels) → y: (batch, top + height + bottom, left + width + right, channels)
    """

    padding: Edges = Field(
        ((1, 1), (1, 1)), description="Lines and columns of zeros: one number, two, or [[top, bottom], [left, right]]."
    )

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = image_of(shape, 2)
        return height + sum(self.padding[0]), width + sum(self.padding[1]), channels

    def bind(self, site: Site) -> BoundZeroPadding:
        return BoundZeroPadding(self, site)


class Cropping2d(Layer):
    """Images without their edges.

    x: (batch, height, width, channels) → y: (batch, height − top − bottom, width − left − right, channels)
    """

    cropping: Edges = Field(
        ((0, 0), (0, 0)), description="Lines and columns cut off: one number, two, or [[top, bottom], [left, right]]."
    )

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = image_of(shape, 2)
        rows, columns = height - sum(self.cropping[0]), width - sum(self.cropping[1])
        if min(rows, columns) < 1:
            raise ValueError(f"leaves nothing of images of {height} × {width}: choose a smaller cropping")
        return rows, columns, channels

    def bind(self, site: Site) -> BoundCropping:
        return BoundCropping(self, site)


class UpSampling2d(Layer):
    """Larger images: every pixel several times, or lines drawn between the pixels.

    x: (batch, height, width, channels) → y: (batch, height · rows, width · columns, channels)
    nearest: y[i] = x[i // size];  bilinear: x at (i + ½) / size − ½ between its two neighbours, at the edge the edge
    """

    size: Size = Field((2, 2), description="How many times larger, down and across; one number for both.")
    interpolation: Literal["nearest", "bilinear"] = Field("nearest", description="What stands between the pixels.")

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = image_of(shape, 2)
        return height * self.size[0], width * self.size[1], channels

    def bind(self, site: Site) -> BoundLayer:
        return (BoundNearest if self.interpolation == "nearest" else BoundBilinear)(self, site)


class BoundResizing(BoundLayer):
    """What layers that change the size share on arrays."""

    def __init__(self, layer: Layer, site: Site) -> None:
        self.site = site
        self.output = site.output(layer.output_shape(site.input_shape))

    def forward(self, x: Array, training: bool) -> Array:
        y = self.output[: x.shape[0]]
        self.resize(x, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        if self.site.input_gradient is None:
            return None
        dx = self.site.input_gradient[: dy.shape[0]]
        self.resize_back(dy, dx)
        return dx

    def resize(self, x: Array, y: Array) -> None:
        """Write y for x, both (batch, height, width, channels)."""
        raise NotImplementedError  # abstract

    def resize_back(self, dy: Array, dx: Array) -> None:
        """Write dL/dx."""
        raise NotImplementedError  # abstract


class BoundZeroPadding(BoundResizing):
    """Zero padding on arrays."""

    def __init__(self, layer: ZeroPadding2d, site: Site) -> None:
        super().__init__(layer, site)
        self.output.fill(0)
        self.inside = inside(layer.padding, self.output.shape[1:])

    def resize(self, x: Array, y: Array) -> None:
        if not self.site.trains:  # others have written there
            y.fill(0)
        self.site.ops.xp.copyto(y[self.inside], x)

    def resize_back(self, dy: Array, dx: Array) -> None:
        self.site.ops.xp.copyto(dx, dy[self.inside])


class BoundCropping(BoundResizing):
    """Cropping on arrays."""

    def __init__(self, layer: Cropping2d, site: Site) -> None:
        super().__init__(layer, site)
        self.inside = inside(layer.cropping, site.input_shape)

    def resize(self, x: Array, y: Array) -> None:
        self.site.ops.xp.copyto(y, x[self.inside])

    def resize_back(self, dy: Array, dx: Array) -> None:
        dx.fill(0)
        self.site.ops.xp.copyto(dx[self.inside], dy)


def inside(edges: tuple[Pair, Pair], shape: Shape) -> tuple[slice, slice, slice]:
    """Return where an image of `shape` lies within its edges."""
    (top, bottom), (left, right) = edges
    return slice(None), slice(top, shape[0] - bottom), slice(left, shape[1] - right)


class BoundNearest(BoundResizing):
    """Repeated pixels on arrays."""

    def __init__(self, layer: UpSampling2d, site: Site) -> None:
        super().__init__(layer, site)
        height, width, channels = site.input_shape
        self.apart = (height, layer.size[0], width, layer.size[1], channels)

    def resize(self, x: Array, y: Array) -> None:
        self.site.ops.xp.copyto(y.reshape(-1, *self.apart), x[:, :, None, :, None])

    def resize_back(self, dy: Array, dx: Array) -> None:
        self.site.ops.xp.sum(dy.reshape(-1, *self.apart), axis=(2, 4), out=dx)


class BoundBilinear(BoundResizing):
    """Bilinear interpolation on arrays: y = down · x · acrossᵀ, for every channel."""

    def __init__(self, layer: UpSampling2d, site: Site) -> None:
        super().__init__(layer, site)
        height, width, self.channels = site.input_shape
        xp = site.ops.xp
        self.down = xp.asarray(between(height, layer.size[0]), dtype=site.dtype)
        self.across = xp.asarray(between(width, layer.size[1]), dtype=site.dtype)

    def resize(self, x: Array, y: Array) -> None:
        self.interpolate(self.down, self.across, x, y)

    def resize_back(self, dy: Array, dx: Array) -> None:
        self.interpolate(self.down.T, self.across.T, dy, dx)

    def interpolate(self, down: Array, across: Array, x: Array, y: Array) -> None:
        ops, (batch, height, width, channels) = self.site.ops, x.shape
        with ops.scratch(x, shape=(batch, y.shape[1], width * channels)) as middle:
            ops.xp.matmul(down, x.reshape(batch, height, width * channels), out=middle)
            lines = y.reshape(-1, y.shape[2], channels)
            ops.xp.matmul(across, middle.reshape(-1, width, channels), out=lines)


def between(length: int, size: int) -> list[list[float]]:
    """Return the weights by which `length · size` points lie between `length` pixels, whose centres are at ½, 1½, …"""
    rows = []
    for point in range(length * size):
        place = min(max((point + 0.5) / size - 0.5, 0), length - 1)
        before = min(int(place), max(length - 2, 0))
        row = [0.0] * length
        row[min(before + 1, length - 1)] = place - before
        row[before] += 1 - (place - before)
        rows.append(row)
    return rows
