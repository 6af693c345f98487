"""Augmentations that mix two samples, and with them what is to be predicted."""

from __future__ import annotations

import math

from pydantic import Field

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.augmentations.augmentation import Augmentation, Draw, a_sample, drawn
from tuilab.blocks.augmentations.boxes import boxes

SMALLEST_ALPHA = 1e-6


class Mixing(Augmentation, abstract=True):
    """Mixes each sample with another of its batch, which is drawn and may be itself.

    The loss compares with the shares of both classes; metrics and class weights take the class of the larger share.
    """

    shares_targets = True

    def mix(self, ops: Ops, x: Array, partners: Array, draw: Draw, share: Array, out: Array) -> None:
        """Write each sample mixed with x[partners], and how much it keeps of itself into `share`, (rows,)."""
        raise NotImplementedError  # abstract


class Mixup(Mixing):
    """Lays another sample of the batch over each one, and asks for both classes in the same shares (Zhang et al.,
    2018).

    x = λ · x + (1 − λ) · x′, the target likewise, with λ ~ Beta(alpha, alpha) for each sample. Metrics in training take
    the class of the larger share.
    """

    pictures_only = False

    alpha: float = Field(0.2, gt=0, le=1000, description="Small: mostly one of both; 1: any share; large: halves.")

    def mix(self, ops: Ops, x: Array, partners: Array, draw: Draw, share: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(share, dtype="float64") as alpha:
            alpha[...] = self.alpha
            draw_shares(ops, alpha, draw, share)
        with ops.scratch(x) as others:
            ops.gather(x, partners, out=others)
            xp.subtract(x, others, out=out)
            xp.multiply(out, a_sample(share, out), out=out)
            xp.add(out, others, out=out)


class Cutmix(Mixing):
    """Sets a box out of another picture of the batch into each one, and asks for both classes by their areas (Yun et
    al., 2019).

    The box takes 1 − λ of the picture, λ ~ Beta(alpha, alpha) with alpha drawn from 0 to factor for each batch, at a
    place that is drawn. Metrics in training take the class of the larger share.
    """

    factor: float = Field(1.0, gt=0, le=1, description="Largest alpha: the smaller, the fewer boxes of middling size.")

    def mix(self, ops: Ops, x: Array, partners: Array, draw: Draw, share: Array, out: Array) -> None:
        xp, rows = ops.xp, len(x)
        with ops.scratch(share, dtype="float64") as alpha:
            with drawn(ops, draw("alpha"), alpha, (1,), SMALLEST_ALPHA, self.factor) as one:
                alpha[...] = one
            draw_shares(ops, alpha, draw, share)
        xp.copyto(out, x)
        with ops.scratch(share, shape=(rows, 2)) as sides, ops.scratch(share) as area:
            xp.subtract(1, share, out=share)
            xp.sqrt(share, out=share)
            sides[...] = share[:, None]
            with boxes(ops, x, sides, draw, area) as mask, ops.scratch(x) as others:
                ops.gather(x, partners, out=others)
                xp.copyto(out, others, where=mask)
            xp.subtract(1, area, out=share)


def draw_shares(ops: Ops, alpha: Array, draw: Draw, out: Array) -> None:
    """Write numbers drawn from Beta(alpha, alpha); alpha: float64 (rows,), out: (rows,).

    ½ + ½ · c · √((1 − q) / (q + (1 − q) · c²)) with q = u^(1 / alpha), c = cos(2πv), u and v drawn evenly from [0, 1):
    Bailey's way to Student's t (1994) with 2 · alpha degrees of freedom, and from there to the symmetric beta
    distribution (Devroye, 1996).
    """
    xp = ops.xp
    with ops.scratch(alpha) as q, ops.scratch(alpha) as c, ops.scratch(alpha) as rest, ops.scratch(alpha) as term:
        ops.uniform(draw("share"), out=q)
        ops.uniform(draw("angle"), out=c)
        xp.divide(1, alpha, out=term)
        xp.power(q, term, out=q)
        xp.multiply(c, 2 * math.pi, out=c)
        xp.cos(c, out=c)
        xp.subtract(1, q, out=rest)
        xp.multiply(c, c, out=term)
        xp.multiply(term, rest, out=term)
        xp.add(term, q, out=term)
        xp.divide(rest, term, out=term)
        xp.sqrt(term, out=term)
        xp.multiply(term, c, out=term)
        xp.multiply(term, 0.5, out=term)
        xp.add(term, 0.5, out=term)
        xp.clip(term, 0, 1, out=term)  # which rounding may have passed
        xp.copyto(out, term)
