"""Augmentations that move pixels."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from tuilab.blocks.arrays import Array, Ops, Shape
from tuilab.blocks.augmentations.augmentation import Augmentation, Draw, Factor, a_sample, drawn, ends
from tuilab.blocks.augmentations.sampling import FillMode, Interpolation, look_up

MIRRORED = {
    "vertical": (slice(None), slice(None, None, -1)),
    "horizontal": (slice(None), slice(None), slice(None, None, -1)),
}


class RandomFlip(Augmentation):
    """Mirrors every second picture, drawn for each direction by itself: left and right, top and bottom, or both.

    Leave out a direction in which the class changes: a mirrored 6 is no 6, and cars seldom drive on the ceiling.
    """

    mode: Literal["horizontal_and_vertical", "horizontal", "vertical"] = Field(
        "horizontal_and_vertical", description="Which directions are mirrored."
    )
    in_place = True

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        assert draw is not None
        xp = ops.xp
        if out is not x:
            xp.copyto(out, x)
        for direction in [name for name in MIRRORED if name in self.mode]:
            with (
                drawn(ops, draw(direction), x, (len(x),)) as chance,
                ops.scratch(chance, dtype="bool") as flipped,
                ops.scratch(out) as mirror,
            ):
                xp.less(chance, 0.5, out=flipped)
                xp.copyto(mirror, out[MIRRORED[direction]])
                xp.copyto(out, mirror, where=a_sample(flipped, out))


class RandomCrop(Augmentation):
    """Cuts a piece of height × width pixels out of every picture, at a place that is drawn; outside training out of the
    middle.

    `padding` first lays as many pixels of 0 around the picture: crops of the picture's own size then shift it. 0 is
    black where pixels are rescaled, the mean where they are standardized.
    """

    height: int = Field(gt=0, le=100_000, description="Rows of the piece.")
    width: int = Field(gt=0, le=100_000, description="Columns of the piece.")
    padding: int = Field(0, ge=0, le=10_000, description="Pixels of 0 laid around the picture first.")

    def resulting_shape(self, shape: Shape) -> Shape:
        height, width, channels = shape
        for size, name, there in ((self.height, "height", height), (self.width, "width", width)):
            if size > there + 2 * self.padding:
                with_padding = f" with padding {self.padding}" if self.padding else ""
                raise ValueError(f"cannot cut {name} {size} out of {there} pixels{with_padding}: make it smaller")
        return self.height, self.width, channels

    def acts(self, training: bool, shape: Shape) -> bool:
        return training or self.output_shape(shape) != shape

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        xp, rows = ops.xp, len(x)
        with ops.scratch(x, shape=(rows, 2, 3)) as matrix:
            _set_identity(matrix)
            for axis, size in enumerate((self.height, self.width)):
                start, there = matrix[:, axis, 2], x.shape[1 + axis]
                if draw is None:
                    start[...] = (there - size) // 2
                    continue
                spare = there + 2 * self.padding - size
                with drawn(ops, draw(("row", "column")[axis]), x, (rows,), 0, spare + 1) as place:
                    xp.floor(place, out=place)
                    xp.minimum(place, spare, out=place)  # which rounding to float32 may have passed
                    xp.subtract(place, self.padding, out=start)
            look_up(ops, x, matrix, out, "nearest", "constant")


def _set_identity(matrix: Array) -> None:
    matrix[...] = 0
    matrix[:, 0, 0] = 1
    matrix[:, 1, 1] = 1


class Seen(Augmentation, abstract=True):
    """A picture seen from elsewhere, with what lies beyond its edges."""

    fill_mode: FillMode = Field(
        "reflect",
        description="What lies beyond the edges: reflect: the picture mirrored; wrap: it again; nearest: its edge; "
        "constant: fill_value.",
    )
    interpolation: Interpolation = Field("bilinear", description="How values between pixels come about.")
    fill_value: float = Field(0.0, description="What lies beyond the edges with constant.")

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        assert draw is not None
        with ops.scratch(x, shape=(len(x), 2, 3)) as matrix:
            _set_identity(matrix)
            self.set_view(ops, x, draw, matrix)
            look_up(ops, x, matrix, out, self.interpolation, self.fill_mode, self.fill_value)

    def set_view(self, ops: Ops, x: Array, draw: Draw, matrix: Array) -> None:
        """Change `matrix`, (rows, 2, 3), from the identity to the map from output to input pixels."""
        raise NotImplementedError  # abstract


class RandomRotation(Seen):
    """Turns every picture about its middle by an angle that is drawn.

    The angle is 2π · factor at most, to either side; with two factors it lies between 2π times these. Above 0 turns
    counterclockwise.
    """

    factor: Factor = Field(description="Largest share of a full turn, to either side; or two to draw between.")

    def set_view(self, ops: Ops, x: Array, draw: Draw, matrix: Array) -> None:
        xp, (height, width) = ops.xp, x.shape[1:3]
        low, high = ends(self.factor)
        with drawn(ops, draw("angle"), x, (len(x),), 2 * math.pi * low, 2 * math.pi * high) as angle:
            xp.cos(angle, out=matrix[:, 0, 0])
            xp.copyto(matrix[:, 1, 1], matrix[:, 0, 0])
            xp.sin(angle, out=matrix[:, 0, 1])
            xp.negative(matrix[:, 0, 1], out=matrix[:, 1, 0])
        _keep_middle(ops, matrix, height, width)


class RandomTranslation(Seen):
    """Shifts every picture by distances that are drawn.

    Rows move by height_factor of the height at most, up or down, columns by width_factor of the width; with two factors
    the distance lies between these, above 0 down and to the right.
    """

    height_factor: Factor = Field(description="Largest shift up or down as a share of the height; or two.")
    width_factor: Factor = Field(description="Largest shift left or right as a share of the width; or two.")

    def set_view(self, ops: Ops, x: Array, draw: Draw, matrix: Array) -> None:
        for axis, factor in enumerate((self.height_factor, self.width_factor)):
            low, high = (end * x.shape[1 + axis] for end in ends(factor))
            with drawn(ops, draw(("row", "column")[axis]), x, (len(x),), low, high) as shift:
                ops.xp.negative(shift, out=matrix[:, axis, 2])


class RandomZoom(Seen):
    """Makes every picture smaller or larger by a factor that is drawn, about its middle.

    A picture shows 1 + zoom of itself in each direction: above 0 it becomes smaller, below 0 larger. Without
    width_factor its proportions stay.
    """

    height_factor: Factor = Field(description="Largest zoom of rows, out above 0 and in below; or two to draw between.")
    width_factor: Factor | None = Field(None, description="The same for columns; unset: as the rows.")

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        for name in ("height_factor", "width_factor"):
            factor = getattr(self, name)
            if factor is not None and ends(factor)[0] <= -1:
                raise ValueError(f"{name} must stay above -1, where nothing of the picture is left")
        return self

    def set_view(self, ops: Ops, x: Array, draw: Draw, matrix: Array) -> None:
        xp, (height, width) = ops.xp, x.shape[1:3]
        low, high = ends(self.height_factor)
        with drawn(ops, draw("rows"), x, (len(x),), 1 + low, 1 + high) as zoom:
            xp.copyto(matrix[:, 0, 0], zoom)
            xp.copyto(matrix[:, 1, 1], zoom)
        if self.width_factor is not None:
            low, high = ends(self.width_factor)
            with drawn(ops, draw("columns"), x, (len(x),), 1 + low, 1 + high) as zoom:
                xp.copyto(matrix[:, 1, 1], zoom)
        _keep_middle(ops, matrix, height, width)


def _keep_middle(ops: Ops, matrix: Array, height: int, width: int) -> None:
    """Set the shifts so that the middle of a picture of height × width pixels stays where it is."""
    xp, middle = ops.xp, ((height - 1) / 2, (width - 1) / 2)
    with ops.scratch(matrix, shape=(len(matrix),)) as term:
        for axis in (0, 1):
            shift = matrix[:, axis, 2]
            shift[...] = middle[axis]
            for other in (0, 1):
                xp.multiply(matrix[:, axis, other], middle[other], out=term)
                xp.subtract(shift, term, out=shift)
