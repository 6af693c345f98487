"""Samples on the device, handed out in batches of one size and a smaller last one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tuilab.blocks.arrays import Array, HostArray, Ops, Shape, host_generator
from tuilab.blocks.samples import Scaling, Split
from tuilab.engine.augmenting import Augmenter

if TYPE_CHECKING:
    from tuilab.engine.network import Network


def batches_for(network: Network, split: Split, scaling: Scaling | None, training: bool = False) -> Batches:
    """Return samples as a network takes them; `training`: with the augmentations that act in training alone."""
    ops, plan, size, dtype = network.ops, network.plan, network.batch_size, network.dtype
    stored, augmenter = split.features.shape[1:], None
    if plan.augmentation:
        clock = network.clock if training else None
        augmenter = Augmenter(ops, plan.augmentation, stored, plan.outputs, size, dtype, network.seed, clock)
    return Batches(ops, split, scaling, plan.input_shape, size, dtype, augmenter)


class Batches:
    """One part of a data set on the device.

    Features stay in the type in which they are stored; a batch is gathered, converted and scaled into one buffer, and
    augmented from there. `shape`: of one sample as the network sees it.
    """

    def __init__(
        self,
        ops: Ops,
        split: Split,
        scaling: Scaling | None,
        shape: Shape,
        batch_size: int,
        dtype: str,
        augmenter: Augmenter | None = None,
    ) -> None:
        xp = ops.xp
        self.ops = ops
        self.shape = shape
        self.augmenter = augmenter
        self.targets: Array | None = None
        """Of the last batch, where its samples were mixed: what the loss compares with, (rows, units)."""
        if augmenter is not None:
            shape = split.features.shape[1:]  # augmentations see pictures, also where the network takes them flat
        self.samples = len(split)
        self.batch_size = batch_size
        self.features: Array = xp.ascontiguousarray(xp.asarray(split.features).reshape(self.samples, *shape))
        self.labels: Array = xp.ascontiguousarray(xp.asarray(split.targets))
        if self.labels.ndim > 1:
            self.labels = self.labels.astype(dtype)
        self.scaling = _scaling_arrays(ops, scaling, split.features.shape[1:], shape, dtype)
        self.order = xp.arange(self.samples)
        self.x: Array = xp.empty((batch_size, *shape), dtype=dtype)
        self.y: Array = xp.empty((batch_size, *self.labels.shape[1:]), dtype=self.labels.dtype)

    def __len__(self) -> int:
        return math.ceil(self.samples / self.batch_size)

    def shuffle(self, seed: int, epoch: int) -> None:
        """Draw the order of an epoch; it depends on seed and epoch alone."""
        order = host_generator(seed, "order", epoch).permutation(self.samples)
        self.order[...] = self.ops.xp.asarray(order)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for index in range(len(self)):
            yield self.batch(index)

    def batch(self, index: int) -> tuple[Array, Array]:
        """Return inputs (rows, *shape) and labels of batch `index` of this epoch; valid until the next call.

        Of mixed samples the labels are those of the larger share, and `targets` holds the shares.
        """
        count = min(self.batch_size, self.samples - index * self.batch_size)
        x, y = self.x[:count], self.y[:count]
        self.load(index * self.batch_size, x, y)
        if self.augmenter is not None:
            x, self.targets = self.augmenter.change(x, y)
            x = x.reshape(count, *self.shape)
        return x, y

    def load(self, first: int, x: Array, y: Array) -> None:
        """Write as many samples as there is room for, from the one that is `first` in this epoch's order on, and their
        labels; not augmented."""
        rows = self.order[first : first + len(y)]
        self.ops.load(self.features, rows, *self.scaling, out=x)
        self.ops.gather(self.labels, rows, out=y)


def _scaling_arrays(
    ops: Ops, scaling: Scaling | None, stored: Shape, shape: Shape, dtype: str
) -> tuple[Array | None, Array | None]:
    """Return offset (None where it is zero) and scale in the network's precision, laid out for one sample."""
    if scaling is None:
        return None, None

    def laid_out(values: HostArray) -> Array:
        array: Array = ops.xp.asarray(values, dtype=dtype)
        return array if array.ndim == 0 or stored == shape else ops.xp.broadcast_to(array, stored).reshape(shape)

    return laid_out(scaling.offset) if scaling.offset.any() else None, laid_out(scaling.scale)
