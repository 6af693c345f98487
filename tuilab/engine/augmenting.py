"""The augmentations of an experiment at work on batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuilab.blocks.arrays import Array, Clock, Ops, Shape, Stream
from tuilab.blocks.augmentations import Augmentation, Draw, Mixing, drawn
from tuilab.blocks.metrics import Outputs
from tuilab.engine.targets import MixedTargets


class Augmenter:
    """Changes batches of up to `batch_size` samples, by those augmentations that act on their part of the data.

    `clock`: where training stands, for the random numbers; None for samples that are not for training. Pictures pass
    between two buffers, which are made here.
    """

    def __init__(
        self,
        ops: Ops,
        augmentations: Sequence[Augmentation],
        shape: Shape,
        outputs: Outputs,
        batch_size: int,
        dtype: str,
        seed: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self.ops = ops
        self.seed = seed
        self.clock = clock
        self.acting: list[tuple[int, Augmentation, Shape]] = []
        """Place in the experiment, and the shape of a sample afterwards."""
        for index, augmentation in enumerate(augmentations):
            after = augmentation.output_shape(shape)
            if augmentation.acts(clock is not None, shape):
                self.acting.append((index, augmentation, after))
            shape = after
        moving = [math.prod(after) for _, augmentation, after in self.acting if not augmentation.in_place]
        largest = batch_size * max(moving, default=0)
        self._buffers = [ops.xp.empty(largest, dtype=dtype) for _ in moving[:2]]
        mixes = any(augmentation.shares_targets for _, augmentation, _ in self.acting)
        self.mixed = MixedTargets(ops, outputs, batch_size, dtype) if mixes else None

    def change(self, x: Array, labels: Array) -> tuple[Array, Array | None]:
        """Return the changed samples, (rows, …), and where samples were mixed the targets, (rows, units).

        `x` may change as well, and `labels` then become those of the larger share.
        """
        rows, current = x.shape[0], 0
        targets = None if self.mixed is None else self.mixed.start(labels)
        for index, augmentation, shape in self.acting:
            out = x
            if not augmentation.in_place:
                out = self._buffers[current][: rows * math.prod(shape)].reshape(rows, *shape)
                current = (current + 1) % len(self._buffers)
            if isinstance(augmentation, Mixing):
                self._mix(augmentation, index, x, labels, out)
            else:
                augmentation.apply(self.ops, x, None if self.clock is None else self._draw(index), out)
            x = out
        return x, targets

    def _draw(self, index: int) -> Draw:
        clock = self.clock
        assert clock is not None
        return lambda purpose: Stream(self.seed, f"augmentation[{index}].{purpose}", clock)

    def _mix(self, augmentation: Mixing, index: int, x: Array, labels: Array, out: Array) -> None:
        xp, rows, draw = self.ops.xp, x.shape[0], self._draw(index)
        assert self.mixed is not None
        with self.ops.scratch(x, dtype="int64", shape=(rows,)) as partners, self.ops.scratch(x, shape=(rows,)) as share:
            with drawn(self.ops, draw("partner"), x, (rows,), 0, rows) as places:
                xp.copyto(partners, places, casting="unsafe")
                xp.minimum(partners, rows - 1, out=partners)
            augmentation.mix(self.ops, x, partners, draw, share, out)
            self.mixed.mix(labels, partners, share)
