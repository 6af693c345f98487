"""Updates: what happens to the parameters once the gradients of a batch are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from tuilab.blocks.arrays import Array, HostArray, Ops
from tuilab.blocks.optimizers import Optimizer

if TYPE_CHECKING:
    from tuilab.engine.precision import LossScaling

CHUNK = 131_072
"""Elements that an optimizer works on at a time: so few that its passes over them meet in the cache, so many that
starting the passes costs little."""


class Chunk(NamedTuple):
    """The views that one call of the optimizer works on."""

    values: Array
    gradients: Array
    slots: tuple[Array, ...]
    average: Array | None


class Role(NamedTuple):
    """What one batch does to the weights, as far as batches differ in more than numbers."""

    first: bool
    """Of those whose gradients are gathered."""
    last: bool
    """Of those: the weights are updated."""
    begins: bool
    """It is the first update: the average starts as the weights."""
    overwrites: bool
    """The weights become their average."""


class Updater:
    """Applies an optimizer to all trainable parameters at once, in Keras' order: accumulate gradients, clip them,
    decay the weights, update them, move their average.

    values, gradients: the trainable part of the arena, flat and of one length; segments: where in them each parameter
    lies, with zeros between; total_steps: batches planned; loss_scaling: what decides whether an update counts.
    """

    def __init__(
        self,
        ops: Ops,
        optimizer: Optimizer,
        values: Array,
        gradients: Array,
        segments: Sequence[slice],
        total_steps: int,
        chunk: int = CHUNK,
        loss_scaling: LossScaling | None = None,
    ) -> None:
        self.step = 0
        """Updates made so far."""
        self.memory: dict[str, float] = {}
        """What the optimizer and its schedule remember between steps."""
        self.slots = {name: ops.xp.full_like(values, optimizer.slot_start(name)) for name in optimizer.used_slots()}
        """All arrays that a checkpoint needs beside the values, by name."""

        self._ops = ops
        self.optimizer = optimizer
        self._values = values
        self._gradients = gradients
        self._gather_batches = optimizer.gradient_accumulation_steps or 1
        self._gathered = 0
        self._planned = max(total_steps // self._gather_batches, 1)
        self.learning_rate = optimizer.learning_rate.rate(0, self._planned, self.memory)
        """The rate of the last update."""

        slots = tuple(self.slots.values())
        if self._gather_batches > 1:
            self.slots["gradient_accumulator"] = ops.xp.zeros_like(values)
        if optimizer.use_ema:
            self.slots["average"] = ops.xp.zeros_like(values)
        average = self.slots.get("average")
        self._chunks = [
            Chunk(
                values[at], gradients[at], tuple(slot[at] for slot in slots), None if average is None else average[at]
            )
            for at in pieces(values.size, chunk)
        ]
        self._loss_scaling = loss_scaling
        self._norm_limit: NormLimit | None = None
        if optimizer.clipnorm is not None:
            self._norm_limit = NormLimit(ops, optimizer.clipnorm, gradients, segments, chunk)
        elif optimizer.global_clipnorm is not None:
            self._norm_limit = NormLimit(ops, optimizer.global_clipnorm, gradients, [slice(0, gradients.size)], chunk)

    def apply(self) -> bool:
        """Take the gradients of one batch; return whether the weights were updated. An update uses the gradients up:
        what they hold afterwards has no meaning."""
        role = self.next_role()
        coefficients, kept = self.take(role)
        self.do(role, coefficients, kept)
        return role.last

    def next_role(self) -> Role:
        """Return what the next batch does."""
        optimizer, step, last = self.optimizer, self.step + 1, self._gathered + 1 == self._gather_batches
        averages, every = last and optimizer.use_ema, optimizer.ema_overwrite_frequency
        overwrites = averages and every is not None and step % every == 0
        return Role(self._gathered == 0, last, averages and step == 1, overwrites)

    def take(self, role: Role) -> tuple[tuple[float, ...], float]:
        """Count a batch as done; return what its update needs (`next_coefficients`), none where it has none."""
        self._gathered = 0 if role.last else self._gathered + 1
        return self.next_coefficients() if role.last else ((), 1.0)

    def do(self, role: Role, coefficients: Sequence[float | Array], kept: float | Array) -> None:
        """Gather the gradients and change the weights, with what `take` gave or arrays on the device that hold it."""
        if self._gather_batches > 1:
            self._gather(role)
        if role.last:
            self._update(role, coefficients, kept)

    def _update(self, role: Role, coefficients: Sequence[float | Array], kept: float | Array) -> None:
        ops, xp, optimizer = self._ops, self._ops.xp, self.optimizer
        if self._loss_scaling is not None:
            self._loss_scaling.look(self._gradients)
        if self._norm_limit is not None:
            self._norm_limit.apply()
        share = 1 if role.begins else 1 - optimizer.ema_momentum
        for w, g, slots, average in self._chunks:
            if optimizer.clipvalue is not None:
                xp.clip(g, -optimizer.clipvalue, optimizer.clipvalue, out=g)
            with nullcontext() if self._loss_scaling is None else self._loss_scaling.if_finite(w, *slots):
                ops.update(optimizer, w, g, slots, coefficients, kept)
            if average is not None:
                xp.subtract(w, average, out=g)
                xp.multiply(g, share, out=g)
                xp.add(average, g, out=average)
                if role.overwrites:
                    xp.copyto(w, average)

    def next_coefficients(self) -> tuple[tuple[float, ...], float]:
        """Return the optimizer's coefficients for the next update and the share of the weights that it keeps; from then
        on that update counts as made."""
        optimizer = self.optimizer
        rate = self.learning_rate = optimizer.learning_rate.rate(self.step, self._planned, self.memory)
        self.step += 1
        return optimizer.coefficients(rate, self.step, self.memory), 1 - rate * (optimizer.weight_decay or 0)

    def change(self, optimizer: Optimizer, total_steps: int) -> None:
        """Go on with another schedule of the learning rate, or more or fewer steps in all."""
        if optimizer.learning_rate != self.optimizer.learning_rate:
            self.forget_schedule()
        self.optimizer = optimizer
        self._planned = max(total_steps // self._gather_batches, 1)

    def forget_schedule(self) -> None:
        """Let the schedule begin anew, as far as it remembers anything but the step."""
        for name in self.optimizer.learning_rate.remembers:
            self.memory.pop(name, None)

    def epoch_done(self, results: Mapping[str, float]) -> None:
        """Tell the schedule how the epoch went: `{"loss": …, "val_loss": …}`."""
        self.optimizer.learning_rate.epoch_done(results, self.memory)

    def finish(self) -> None:
        """End the training: with use_ema the weights become their average."""
        if self.optimizer.use_ema and self.step:
            self._ops.xp.copyto(self._values, self.slots["average"])

    def state(self) -> dict[str, float]:
        """Return every number that a checkpoint needs beside the values and the slots."""
        numbers = {"step": self.step, "gathered": self._gathered, "learning_rate": self.learning_rate}
        return numbers | {f"memory.{name}": number for name, number in self.memory.items()}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go back to a `state`; the caller copies the values and the slots into place."""
        self.step = int(state["step"])
        self._gathered = int(state["gathered"])
        self.learning_rate = state["learning_rate"]
        self.memory.clear()
        self.memory.update(
            (name.removeprefix("memory."), number) for name, number in state.items() if name.startswith("memory.")
        )

    def _gather(self, role: Role) -> None:
        """Add the batch's gradients to those that wait; with the last ones the gradients become the mean."""
        xp, gradients, waiting = self._ops.xp, self._gradients, self.slots["gradient_accumulator"]
        if role.first:
            xp.copyto(waiting, gradients)
        elif not role.last:
            xp.add(waiting, gradients, out=waiting)
        else:
            xp.add(gradients, waiting, out=gradients)
            xp.multiply(gradients, 1 / self._gather_batches, out=gradients)


class NormLimit:
    """Scales each group of gradients down to a largest Euclidean norm; the norms stay on the device.

    g ← g · limit / max(‖g‖, limit); the norm in float64, because the squares of float32 leave its range beyond 1e19.
    """

    def __init__(self, ops: Ops, limit: float, gradients: Array, groups: Sequence[slice], chunk: int) -> None:
        self._ops = ops
        self._limit = limit
        self._gradients = gradients
        self._places = stretches([[group] for group in groups], min(chunk, CHUNK))
        self._pieces = [(group, gradients[start:stop]) for group, start, stop in self._places.tolist()]
        self._norms = ops.xp.empty(len(groups), dtype="float64")

    def apply(self) -> None:
        xp, norms = self._ops.xp, self._norms
        self._ops.norms(self._gradients, None, self._places, out=norms)
        xp.fmax(norms, self._limit, out=norms)  # not NaN, which would spoil the zeros between parameters for ever
        xp.divide(self._limit, norms, out=norms)
        for group, piece in self._pieces:
            with self._ops.scratch(piece, shape=(1,)) as scale:
                xp.copyto(scale, norms[group : group + 1], casting="same_kind")
                xp.multiply(piece, scale, out=piece)


def stretches(groups: Sequence[Sequence[slice]], chunk: int) -> HostArray:
    """Return the places of `Ops.norms`, (stretches, 3), for groups of slices, cut into `chunk` elements at most."""
    import numpy as np

    rows = [
        (group, place.start + piece.start, place.start + piece.stop)
        for group, places in enumerate(groups)
        for place in places
        for piece in pieces(place.stop - place.start, chunk)
    ]
    return np.array(rows, "int64").reshape(-1, 3)


def pieces(size: int, chunk: int) -> Iterator[slice]:
    """Cut `size` elements into slices of at most `chunk`."""
    return (slice(start, min(start + chunk, size)) for start in range(0, size, chunk))
