"""The base of all augmentations, and how they draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator

from tuilab.blocks.arrays import Array, Ops, Shape, Stream
from tuilab.blocks.block import Block

Draw: TypeAlias = Callable[[str], Stream]
"""Gives the stream of random numbers for a purpose, the same one for the same epoch and step."""


class Augmentation(Block, kind=True):
    """What is done to a batch of samples, scaled already, before the network sees it."""

    other_names: ClassVar[dict[str, str]] = {
        "horizontal_flip": 'random_flip with mode = "horizontal"',
        "vertical_flip": 'random_flip with mode = "vertical"',
        "flip": "random_flip",
        "rotation": "random_rotation",
        "translation": "random_translation",
        "random_shift": "random_translation",
        "zoom": "random_zoom",
        "crop": "random_crop",
        "brightness": "random_brightness",
        "contrast": "random_contrast",
        "cutout": "random_erasing",
        "erasing": "random_erasing",
        "mix_up": "mixup",
        "cut_mix": "cutmix",
        "rescale": "rescaling",
        "normalize": "normalization",
        "resize": "resizing",
        "centre_crop": "center_crop",
    }

    random: ClassVar[bool] = True
    """Whether it draws, and so acts in training alone."""
    pictures_only: ClassVar[bool] = True
    """Whether a sample must be a picture: (height, width, channels)."""
    in_place: ClassVar[bool] = False
    """Whether `out` may be `x`."""
    shares_targets: ClassVar[bool] = False
    """Whether it mixes samples, and so what is to be predicted."""
    bounded: ClassVar[bool] = False
    """Whether it keeps values within its `value_range`."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of a sample afterwards; raises ValueError where samples of `shape` do not fit."""
        if self.pictures_only and len(shape) != 3:
            raise ValueError(f"needs pictures, and a sample here has the shape {shape}: take it out")
        return self.resulting_shape(shape)

    def resulting_shape(self, shape: Shape) -> Shape:
        """Return what `output_shape` does, for a shape of the right kind."""
        return shape

    def acts(self, training: bool, shape: Shape) -> bool:
        """Return whether it does anything to samples of `shape`."""
        return training or not self.random

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        """Write the changed samples into `out`; x: (rows, *shape), out: (rows, *output_shape(shape)).

        `draw` is None outside training.
        """
        raise NotImplementedError  # abstract


class Fixed(Augmentation, abstract=True):
    """What is done to every sample in the same way, in training and afterwards."""

    random = False


def _two(pair: list[float]) -> list[float]:
    if len(pair) != 2 or pair[0] > pair[1]:
        raise ValueError("must be two numbers, the smaller first")
    return pair


def _factor(given: float | list[float]) -> float | list[float]:
    if not all(-1 <= number <= 1 for number in (_two(given) if isinstance(given, list) else [given])):
        raise ValueError("must lie between -1 and 1")
    return given


def _share(given: float | list[float]) -> float | list[float]:
    numbers = given if isinstance(given, list) else [given]
    if isinstance(given, list) and len(given) != 2:
        raise ValueError("must be one number or two")
    if not all(0 <= number <= 1 for number in numbers):
        raise ValueError("must lie between 0 and 1")
    return given


def ends(factor: float | list[float]) -> tuple[float, float]:
    """Return the smallest and the largest number that a factor stands for."""
    if isinstance(factor, list):
        low, high = factor
        return low, high
    return -abs(factor), abs(factor)


Factor = Annotated[float | list[float], AfterValidator(_factor)]
"""Drawn evenly between two numbers from −1 to 1; a single one stands for its negative and itself."""
Share = Annotated[float | list[float], AfterValidator(_share)]
"""One number from 0 to 1, or two."""
Range = Annotated[list[float], AfterValidator(_two)]


@contextmanager
def drawn(ops: Ops, stream: Stream, like: Array, shape: Shape, low: float = 0, high: float = 1) -> Iterator[Array]:
    """Lend numbers drawn evenly from [low, high), of the dtype of `like`: the same ones, rounded, for each dtype."""
    xp = ops.xp
    with ops.scratch(like, shape=shape) as numbers:
        with ops.scratch(like, dtype="float64", shape=shape) as exact:
            ops.uniform(stream, out=exact)
            xp.multiply(exact, high - low, out=exact)
            xp.add(exact, low, out=exact)
            xp.copyto(numbers, exact)
        yield numbers


def a_sample(numbers: Array, like: Array) -> Array:
    """Return numbers, one a sample, (rows,), so that they broadcast against the samples `like`."""
    return numbers.reshape(-1, *([1] * (like.ndim - 1)))
