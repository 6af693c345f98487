"""Samples on the device, handed out in batches of one size and a smaller last one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tuilab.blocks.arrays import Array, Clock, HostArray, Ops, Shape, host_generator
from tuilab.blocks.samples import Held, Scaling, Split, Stored
from tuilab.engine.augmenting import Augmenter
from tuilab.engine.preparing import Ahead, Moment
from tuilab.engine.threads import one_to_spare

if TYPE_CHECKING:
    from tuilab.engine.network import Network

Augment: TypeAlias = Callable[[Ops, Clock], Augmenter]
"""Makes an augmenter over operations that one thread uses at a time, for the moments that a clock shows."""


def batches_for(network: Network, split: Split, scaling: Scaling | None, training: bool = False) -> Batches:
    """Return samples as a network takes them; `training`: with the augmentations that act in training alone."""
    plan, size, dtype = network.plan, network.batch_size, network.dtype
    stored = split.features.shape[1:]

    def augment(ops: Ops, clock: Clock) -> Augmenter:
        moments = clock if training else None
        return Augmenter(ops, plan.augmentation, stored, plan.outputs, size, dtype, network.seed, moments)

    chosen = augment if plan.augmentation else None
    return Batches(network.ops, split, scaling, plan.input_shape, size, dtype, chosen, network.clock)


class Batches:
    """One part of a data set on the device or, where it is too large for that, in the host's memory or on disk.

    Features stay in the type in which they are stored; a batch is gathered, converted and scaled into one buffer, and
    augmented from there. Where that takes long, or reads from the disk, it happens while the batch before is used, by
    `clock` the step before. `shape`: of one sample as the network sees it.
    """

    def __init__(
        self,
        ops: Ops,
        split: Split,
        scaling: Scaling | None,
        shape: Shape,
        batch_size: int,
        dtype: str,
        augment: Augment | None = None,
        clock: Clock | None = None,
    ) -> None:
        xp, stored = ops.xp, split.features.shape[1:]
        self.ops = ops
        self.shape = shape
        self.augment = augment
        self.clock = clock or Clock()
        self.targets: Array | None = None
        """Of the last batch, where its samples were mixed: what the loss compares with, (rows, units)."""
        self.loaded_shape = shape if augment is None else stored
        """Augmentations see pictures, also where the network takes them flat."""
        self.samples = len(split)
        self.batch_size = batch_size
        self.dtype = dtype
        features = split.features
        if not isinstance(features, Stored) and not ops.has_room(features.nbytes):
            features = Held(features)
        self.source = features if isinstance(features, Stored) else None
        """What batches are read from, where the samples do not lie on the device."""
        if not isinstance(features, Stored):
            kept = xp.asarray(features).reshape(self.samples, *self.loaded_shape)
            self.features: Array = xp.ascontiguousarray(kept)
        self.labels: Array = xp.ascontiguousarray(xp.asarray(split.targets))
        if self.labels.ndim > 1:
            self.labels = self.labels.astype(dtype)
        self.scaling = _scaling_arrays(ops, scaling, stored, self.loaded_shape, dtype)
        self._order = np.arange(self.samples)
        self.order: Array = xp.asarray(self._order)
        early = self.source is not None or (augment is not None and one_to_spare())
        self._alone = ops.alongside() if early else None
        """Operations for the thread that prepares batches; where there are none, it only reads."""
        self._early = self.source is not None or self._alone is not None
        self._ahead = Ahead(self._prepare, always=self.source is not None)
        self._in_order: Array = xp.arange(batch_size)
        self._places = [_Place(self, self._alone or ops) for _ in range(2 if self._early else 1)]

    def __len__(self) -> int:
        return math.ceil(self.samples / self.batch_size)

    def shuffle(self, seed: int, epoch: int) -> None:
        """Draw the order of an epoch; it depends on seed and epoch alone."""
        self.rest()
        self._order[...] = host_generator(seed, "order", epoch).permutation(self.samples)
        self.order[...] = self.ops.xp.asarray(self._order)

    def rest(self) -> None:
        """Wait until no thread is at work here; none begins before the next batch is asked for."""
        self._ahead.forget()

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for index in range(len(self)):
            yield self.batch(index)

    def batch(self, index: int) -> tuple[Array, Array]:
        """Return inputs (rows, *shape) and labels of batch `index` of this epoch; valid until the next call.

        Of mixed samples the labels are those of the larger share, and `targets` holds the shares. Raises DataError
        where samples on the disk are not what they should be.
        """
        moment = Moment(index, self.clock.epoch, self.clock.step)
        place = self._places[self._take(moment)]
        if self._alone is None:
            self._fill(place, moment)
        self.targets = place.targets
        return place.inputs, place.labels

    def make(self, rows: Array, number: int) -> tuple[Array, Array]:
        """Return what `batch` does, for samples whose numbers, (batch_size,), lie on the device, as its clock does; of
        samples that do not, those at a place (`bring`)."""
        place = self._places[number]
        self._make(place, rows)
        self.targets = place.targets
        return place.inputs, place.labels

    @contextmanager
    def bring(self, index: int) -> Iterator[int]:
        """Lend the number of the place where the samples of batch `index` of this epoch lie on the device, for what it
        is told in the block."""
        if self.source is None:
            yield 0
            return
        number = self._take(Moment(index, self.clock.epoch, self.clock.step))
        self._places[number].staging.receive()
        yield number
        self._places[number].staging.used()

    def _take(self, moment: Moment) -> int:
        """Return the number of the place where a batch is, and begin with the next one."""
        following = None
        if self._early and moment.batch + 1 < len(self):
            following = Moment(moment.batch + 1, moment.epoch, moment.step + 1)
        return self._ahead.take(moment, following)

    def load(self, first: int, x: Array, y: Array) -> None:
        """Write as many samples as there is room for, from the one that is `first` in this epoch's order on, and their
        labels; not augmented."""
        if self.source is None:
            self.ops.load(self.features, self.order[first : first + len(y)], *self.scaling, out=x)
        else:
            self.rest()
            place = self._places[0]
            for start in range(0, len(y), self.batch_size):
                portion = x[start : start + self.batch_size]
                self._read(place, first + start, len(portion))
                place.staging.receive()
                self._load_read(place, self.ops, portion)
                place.staging.used()
        self.ops.gather(self.labels, self.order[first : first + len(y)], out=y)

    def _prepare(self, number: int, moment: Moment) -> None:
        """Do what can be done on any thread."""
        place = self._places[number]
        if self.source is not None:
            self._read(place, moment.batch * self.batch_size, self._rows(moment.batch))
        if self._alone is not None:
            self._fill(place, moment)

    def _rows(self, index: int) -> int:
        return min(self.batch_size, self.samples - index * self.batch_size)

    def _read(self, place: _Place, first: int, count: int) -> None:
        """Read samples, in this epoch's order, and begin to bring them to the device."""
        assert self.source is not None
        self.source.read(self._order[first : first + count], place.staging.host()[:count])
        place.staging.send()

    def _load_read(self, place: _Place, ops: Ops, x: Array) -> None:
        """Write the samples that were read as the network, or the augmentation, wants them."""
        raw = place.staging.device[: len(x)].reshape(x.shape)
        ops.load(raw, self._in_order[: len(x)], *self.scaling, out=x)

    def _fill(self, place: _Place, moment: Moment) -> None:
        """Make the batch of a moment, whose samples have been read."""
        first, count = moment.batch * self.batch_size, self._rows(moment.batch)
        place.clock.epoch, place.clock.step = moment.epoch, moment.step
        if self.source is not None:
            place.staging.receive()
        self._make(place, self.order[first : first + count])
        if self.source is not None:
            place.staging.used()

    def _make(self, place: _Place, rows: Array) -> None:
        """Make the batch of the samples with these numbers, or of those that were read."""
        ops, count = self._alone or self.ops, len(rows)
        x, y = place.x[:count], place.y[:count]
        if self.source is None:
            ops.load(self.features, rows, *self.scaling, out=x)
        else:
            self._load_read(place, ops, x)
        ops.gather(self.labels, rows, out=y)
        if place.augmenter is not None:
            x, place.targets = place.augmenter.change(x, y)
            x = x.reshape(count, *self.shape)
        place.inputs, place.labels = x, y


class _Place:
    """The buffers of one batch, and what was last prepared in them; in the hands of one thread at a time."""

    def __init__(self, batches: Batches, ops: Ops) -> None:
        empty, size = ops.xp.empty, batches.batch_size
        self.x: Array = empty((size, *batches.loaded_shape), dtype=batches.dtype)
        self.y: Array = empty((size, *batches.labels.shape[1:]), dtype=batches.labels.dtype)
        self.clock = Clock()
        self.augmenter = None if batches.augment is None else batches.augment(ops, self.clock)
        if batches.source is not None:
            self.staging = ops.staging((size, *batches.source.shape[1:]), batches.source.dtype)
            """Samples as they are stored."""
        self.inputs, self.labels = self.x[:0], self.y[:0]
        self.targets: Array | None = None


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
