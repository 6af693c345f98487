"""Windows that slide over images: what convolutions and poolings share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from tuilab.blocks.arrays import Shape

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = Literal["valid", "same"]
Numbers: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""A window for a kernel: size, strides, dilation and what is before, each of height and width."""

LARGEST = 10_000
"""Of any size in a layer's settings."""


def pair_of(smallest: int) -> Callable[[object], Pair]:
    """Return a validator that takes [height, width], or one number for both; raises PydanticCustomError."""

    def valid(value: object) -> Pair:
        pair = (value, value) if type(value) is int else value
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and all(type(size) is int for size in pair):
            height, width = pair
            if smallest <= min(pair) and max(pair) <= LARGEST:
                return height, width
        words = {"smallest": smallest, "largest": LARGEST}
        raise PydanticCustomError(
            "not_a_pair", "must be a number from {smallest} to {largest}, or two of them: [height, width]", words
        )

    return valid


Size: TypeAlias = Annotated[Pair, PlainValidator(pair_of(1))]
"""A setting: height and width, both above 0."""
Rest: TypeAlias = Annotated[Pair, PlainValidator(pair_of(0))]
"""A setting: height and width, both of which may be 0."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window of pixels that slides over an image. Every pair is (height, width).

    Output pixel (y, x) sees input pixel (y · stride + i · dilation − before, …) through position i of the window; those
    outside the image count as zeros, or not at all. How often it slides follows from the shape of the output.
    """

    size: Pair
    strides: Pair
    dilation: Pair = (1, 1)
    before: Pair = (0, 0)
    """How many pixels beyond the upper and the left edge the first window reaches; below 0 where it begins inside."""

    @property
    def span(self) -> Pair:
        """How many pixels of the image a window covers, with those between its positions."""
        return (self.size[0] - 1) * self.dilation[0] + 1, (self.size[1] - 1) * self.dilation[1] + 1

    @property
    def numbers(self) -> Numbers:
        return (*self.size, *self.strides, *self.dilation, *self.before)


def slide(
    sizes: Pair, size: Pair, strides: Pair, dilation: Pair, padding: Padding | Literal["causal"]
) -> tuple[Window, Pair]:
    """Return where a window lies on images of `sizes`, and how large the output is, as Keras has it: 0 along an axis
    where the window is larger than the image."""
    (height, top), (width, left) = (_along(*axis, padding) for axis in zip(sizes, size, strides, dilation, strict=True))
    return Window(size, strides, dilation, (top, left)), (height, width)


def _along(length: int, size: int, stride: int, dilation: int, padding: str) -> Pair:
    """Return the output's length and the padding before the first pixel."""
    span = (size - 1) * dilation + 1
    if padding == "valid":
        return max(0, (length - span) // stride + 1), 0
    outputs = -(-length // stride)
    if padding == "causal":
        return outputs, span - 1
    return outputs, max(0, (outputs - 1) * stride + span - length) // 2


def placed(
    shape: Shape,
    axes: int,
    setting: str,
    size: int | Pair,
    strides: int | Pair,
    dilation: int | Pair = 1,
    padding: Padding | Literal["causal"] = "valid",
) -> tuple[Window, Shape, Pair]:
    """Return the window, the shape of an image, and the output's height and width, for samples of `shape`.

    Images have 2 axes and channels, sequences 1, and then height 1. Raises ValueError with the remedy where the shape
    has other axes, or where the window, whose size is called `setting`, is larger than the image.
    """
    image = image_of(shape, axes)
    sizes = (image[0], image[1])
    window, outputs = slide(sizes, as_pair(size), as_pair(strides), as_pair(dilation), padding)
    if 0 in outputs:
        what, wanted, given = ("images", window.span, sizes) if axes == 2 else ("sequences", window.span[1:], sizes[1:])
        wanted_words, given_words = (" × ".join(map(str, pair)) for pair in (wanted, given))
        raise ValueError(
            f"needs {what} of at least {wanted_words} for its {setting}, gets {given_words}: choose a smaller "
            f'{setting}, padding = "same", or less pooling before it'
        )
    return window, image, outputs


def image_of(shape: Shape, axes: int) -> Shape:
    """Return `shape` as (height, width, channels): that of images (2 axes) as it is, of sequences (1) with height 1.

    Raises ValueError with the remedy where there are more or fewer axes.
    """
    if len(shape) != axes + 1:
        wanted = "(height, width, channels)" if axes == 2 else "(steps, channels)"
        given = shape if len(shape) > 1 else f"{shape[0]} values" if shape else "single numbers"
        raise ValueError(f"needs {wanted}, gets {given}: add a reshape layer before it")
    return shape if axes == 2 else (1, *shape)


def as_pair(value: int | Pair) -> Pair:
    """Return a setting of images as it is, one of sequences with height 1."""
    return (1, value) if isinstance(value, int) else value
