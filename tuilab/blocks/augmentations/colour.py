"""Augmentations that change values where they stand."""

from __future__ import annotations

from pydantic import Field

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.augmentations.augmentation import Augmentation, Draw, Factor, Range, Share, a_sample, drawn, ends
from tuilab.blocks.augmentations.boxes import boxes


class Bounded(Augmentation, abstract=True):
    """What keeps values within a range."""

    bounded = True

    value_range: Range = Field(
        [0.0, 1.0], description="Smallest and largest value of a pixel: 0 to 1 where pixels are rescaled, as usually."
    )


class RandomBrightness(Bounded):
    """Makes every picture brighter or darker by an amount that is drawn.

    x + delta · (high − low), kept within value_range; delta drawn from −factor to factor, or from [low, high].
    """

    in_place = True

    factor: Factor = Field(description="Share of value_range to add or take: one number, or two to draw between.")

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        assert draw is not None
        xp, (darkest, brightest) = ops.xp, self.value_range
        low, high = (end * (brightest - darkest) for end in ends(self.factor))
        with drawn(ops, draw("delta"), x, (len(x),), low, high) as delta:
            xp.add(x, a_sample(delta, x), out=out)
        xp.clip(out, darkest, brightest, out=out)


class RandomContrast(Bounded):
    """Makes light and dark of every picture differ more or less, by a factor that is drawn.

    (x − mean) · contrast + mean, mean over the pixels of each channel, kept within value_range; contrast drawn from
    1 − factor to 1 + factor, or from 1 − factor[0] to 1 + factor[1].
    """

    in_place = True

    factor: Share = Field(description="How far contrast strays from 1: one number, or two, downwards and upwards.")

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        assert draw is not None
        xp, (rows, height, width, channels) = ops.xp, x.shape
        less, more = self.factor if isinstance(self.factor, list) else (self.factor, self.factor)
        with ops.scratch(x, shape=(rows, 1, 1, channels)) as mean:
            xp.sum(x, axis=(1, 2), keepdims=True, out=mean)
            xp.multiply(mean, 1 / (height * width), out=mean)
            xp.subtract(x, mean, out=out)
            with drawn(ops, draw("contrast"), x, (rows,), 1 - less, 1 + more) as contrast:
                xp.multiply(out, a_sample(contrast, out), out=out)
            xp.add(out, mean, out=out)
        xp.clip(out, *self.value_range, out=out)


class RandomErasing(Bounded):
    """Covers a box in some pictures, so that no single part of a thing is relied on (Zhong et al., 2020).

    Each picture is covered with a probability drawn from 0 to factor, or between two factors. The box's height is √a of
    the picture's and its width √b, a and b drawn from scale. It is filled with fill_value, or with noise over
    value_range.
    """

    in_place = True

    factor: Share = Field(1.0, description="Largest probability, drawn from 0 up to it, or two to draw between.")
    scale: Share = Field([0.02, 0.33], description="Share of the picture that is covered: one largest, or two.")
    fill_value: float | None = Field(None, description="What stands in the box; unset: noise.")

    def apply(self, ops: Ops, x: Array, draw: Draw | None, out: Array) -> None:
        assert draw is not None
        xp, rows = ops.xp, len(x)
        if out is not x:
            xp.copyto(out, x)
        with ops.scratch(x, shape=(rows,)) as area, ops.scratch(x, shape=(rows, 2)) as sides:
            with drawn(ops, draw("sides"), x, (rows, 2), *_from_zero(self.scale)) as parts:
                xp.sqrt(parts, out=sides)
            with boxes(ops, x, sides, draw, area) as mask:
                self._choose(ops, draw, mask)
                if self.fill_value is not None:
                    low, high = self.value_range
                    xp.copyto(out, min(max(self.fill_value, low), high), where=mask)
                    return
                with drawn(ops, draw("noise"), x, x.shape, *self.value_range) as noise:
                    xp.copyto(out, noise, where=mask)

    def _choose(self, ops: Ops, draw: Draw, mask: Array) -> None:
        """Clear the mask of the pictures that are left as they are."""
        xp, rows = ops.xp, len(mask)
        like = mask.reshape(rows, -1)
        with (
            ops.scratch(like, dtype="float64", shape=(rows,)) as exact,
            drawn(ops, draw("probability"), exact, (rows,), *_from_zero(self.factor)) as probability,
            drawn(ops, draw("chance"), exact, (rows,)) as chance,
            ops.scratch(mask, shape=(rows,)) as covered,
        ):
            xp.less(chance, probability, out=covered)
            xp.logical_and(mask, a_sample(covered, mask), out=mask)


def _from_zero(share: float | list[float]) -> tuple[float, float]:
    if isinstance(share, list):
        low, high = share
        return low, high
    return 0.0, share
