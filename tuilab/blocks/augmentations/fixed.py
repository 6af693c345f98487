"""Augmentations that do the same to every sample, in training and afterwards."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, Field

from tuilab.blocks.arrays import Array, Ops, Shape
from tuilab.blocks.augmentations.augmentation import Draw, Fixed
from tuilab.blocks.augmentations.sampling import Interpolation, look_up

EPSILON = 1e-7
LARGEST_SIDE = 10_000


def _not_negative(variance: float | list[float]) -> float | list[float]:
    if min(variance if isinstance(variance, list) else [variance], default=0) < 0:
        raise ValueError("must not be negative")
    return variance


PerChannel = float | list[float]
Variance = Annotated[PerChannel, AfterValidator(_not_negative)]


class Rescaling(Fixed):
    """Multiplies every value and adds to it: x · scale + offset."""

    pictures_only = False
    in_place = True

    scale: float = Field(description="What values are multiplied by.")
    offset: float = Field(0.0, description="What is added then.")

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        ops.xp.multiply(x, self.scale, out=out)
        ops.xp.add(out, self.offset, out=out)


class Normalization(Fixed):
    """Brings values to mean 0 and variance 1, from a mean and a variance that are known.

    (x − mean) / max(√variance, 1e-7), with one mean and variance for all values, or one for each channel (feature).
    """

    pictures_only = False
    in_place = True

    mean: PerChannel = Field(description="What is subtracted: one number, or one for each channel.")
    variance: Variance = Field(description="Square of what is divided by: one number, or one for each channel.")

    def resulting_shape(self, shape: Shape) -> Shape:
        for name, values in (("mean", self.mean), ("variance", self.variance)):
            if isinstance(values, list) and len(values) != shape[-1]:
                raise ValueError(f"has {len(values)} numbers in {name}, and a sample has {shape[-1]} channels")
        return shape

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        xp, channels = ops.xp, x.shape[-1]
        variances = self.variance if isinstance(self.variance, list) else [self.variance] * channels
        means = self.mean if isinstance(self.mean, list) else [self.mean] * channels
        for values, function in (
            (means, xp.subtract),
            ([1 / max(math.sqrt(variance), EPSILON) for variance in variances], xp.multiply),
        ):
            with ops.scratch(x, shape=(channels,)) as numbers:
                for channel, value in enumerate(values):
                    numbers[channel : channel + 1] = value
                function(x, numbers, out=out)
            x = out


class Resizing(Fixed):
    """Makes every picture height × width pixels large, whatever becomes of its proportions."""

    height: int = Field(gt=0, le=LARGEST_SIDE, description="Rows of the new picture.")
    width: int = Field(gt=0, le=LARGEST_SIDE, description="Columns of the new picture.")
    interpolation: Interpolation = Field("bilinear", description="How values between pixels come about.")

    def resulting_shape(self, shape: Shape) -> Shape:
        return self.height, self.width, shape[-1]

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        with ops.scratch(x, shape=(len(x), 2, 3)) as matrix:
            matrix[...] = 0
            for axis in (0, 1):
                step = x.shape[1 + axis] / out.shape[1 + axis]
                matrix[:, axis, axis] = step
                matrix[:, axis, 2] = step / 2 - 0.5
            look_up(ops, x, matrix, out, self.interpolation, "nearest")


class CenterCrop(Fixed):
    """Keeps the middle of every picture, height × width pixels."""

    height: int = Field(gt=0, le=LARGEST_SIDE, description="Rows of the piece.")
    width: int = Field(gt=0, le=LARGEST_SIDE, description="Columns of the piece.")

    def resulting_shape(self, shape: Shape) -> Shape:
        for size, name, there in ((self.height, "height", shape[0]), (self.width, "width", shape[1])):
            if size > there:
                raise ValueError(f"cannot cut {name} {size} out of {there} pixels: make it smaller, or add a resizing")
        return self.height, self.width, shape[-1]

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        top, left = (x.shape[1] - self.height) // 2, (x.shape[2] - self.width) // 2
        ops.xp.copyto(out, x[:, top : top + self.height, left : left + self.width])
