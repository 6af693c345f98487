"""A training step as one recording, which the device does again and again without being told every part of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby
from time import perf_counter

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.gpu import MOST_COEFFICIENTS, CudaKernels
from tuilab.engine.kernels.launching import Recording
from tuilab.engine.kernels.queues import Event
from tuilab.engine.trainer import MOST_STEPS, Trainer
from tuilab.engine.updates import Role

STEPS_AT_ONCE = 8
"""In the longer of two recordings: starting one takes the host about as long as starting a few kernels."""
SECONDS_AT_ONCE = 0.025
"""That the steps of a flight take, where they are several; two may be under way, and nobody can stop them."""


def step_graph(trainer: Trainer) -> StepGraph:
    """Return a training's steps as recordings, on a device that records."""
    ops = trainer.device.ops
    assert isinstance(ops, CudaKernels)
    return StepGraph(trainer, ops)


class Flight:
    """Steps that the device was told to do, whose losses the host does not have yet; what both copy meanwhile."""

    def __init__(self, ops: CudaKernels, dtype: str) -> None:
        self.progress = ops.pinned((4,), "int64")
        self.table = ops.pinned((MOST_STEPS, MOST_COEFFICIENTS), dtype)
        self.losses = ops.pinned((MOST_STEPS,), dtype)
        self.count = 0
        self.began = 0.0
        self.landed: Event


class StepGraph:
    """Steps on full batches that nobody looks at. What changes from one to the next lies on the device: the order of
    the epoch, how far it is done, and a table of what the updates of the next steps read.

    Its numbers are those of single steps. The host does not wait for them: it gets the next steps ready meanwhile.
    """

    def __init__(self, trainer: Trainer, ops: CudaKernels) -> None:
        xp, network = ops.xp, trainer.network
        self.trainer, self.ops = trainer, ops
        self.failed = ""
        """Why steps cannot be recorded."""
        self._known: set[Role] = set()
        """What steps did that were done one by one: all memory for it is there, and all kernels are compiled."""
        self._recordings: dict[tuple[Role, int, int], Recording] = {}
        rows, dtype = network.batch_size, network.dtype
        self._rows: Array = xp.zeros(rows, dtype="int64")
        self._progress: Array = xp.zeros(4, dtype="int64")
        self._table: Array = xp.zeros((MOST_STEPS, MOST_COEFFICIENTS), dtype=dtype)
        self._losses: Array = xp.zeros(MOST_STEPS, dtype=dtype)
        self._coefficients = 0
        """How many the optimizer has."""
        self._free = [Flight(ops, dtype) for _ in range(2)]
        self._under_way: deque[Flight] = deque()
        self._arrived: list[float] = []
        """Losses that nobody asked for yet."""
        self._landed = 0.0
        """When the last flight did."""
        self._seconds = math.inf
        """That a step takes, about. How many are done at once changes no number."""

    @property
    def pending(self) -> int:
        """Steps whose losses have not arrived."""
        return sum(flight.count for flight in self._under_way)

    def gradients(self, index: int) -> list[float]:
        """Leave a step that somebody looks at to the trainer."""
        self._known.add(self.trainer.updater.next_role())
        return []

    def steps(self, index: int, count: int) -> int:
        """Begin up to `count` steps, on full batches from `index` of this epoch on; return how many. None where steps
        have to be done one by one, at first or because they cannot be recorded (`failed`)."""
        batches, updater = self.trainer.train, self.trainer.updater
        if self.failed or updater.next_role() not in self._known:
            return 0
        if not self._free:
            self._land()
        most = max(1, min(count, MOST_STEPS, int(SECONDS_AT_ONCE / self._seconds)))
        with batches.bring(index) as place:
            return self._begin(index, most if batches.source is None else 1, place)

    def losses(self, wait: bool) -> list[float]:
        """Return the losses that have arrived since, in the order of the steps; with `wait` those of all steps."""
        while self._under_way and (wait or self._seconds > SECONDS_AT_ONCE or self._under_way[0].landed.done):
            self._land()
        losses, self._arrived = self._arrived, []
        return losses

    def _begin(self, index: int, most: int, place: int) -> int:
        """Tell the device to do up to `most` steps, on samples at a place; return how many."""
        ops, updater, clock, flight = self.ops, self.trainer.updater, self.trainer.network.clock, self._free[-1]
        before, roles = updater.state(), list[Role]()
        while len(roles) < most and (role := updater.next_role()) in self._known:
            coefficients, kept = updater.take(role)
            flight.table[len(roles), : 1 + len(coefficients)] = kept, *coefficients
            self._coefficients = max(self._coefficients, len(coefficients))
            roles.append(role)
        try:
            parts = [self._recorded(role, length, place) for role, length in portions(roles)]
        except RuntimeError as error:
            updater.restore(before)
            self.failed = f"{type(error).__name__}: {error}"
            return 0
        self._under_way.append(self._free.pop())
        flight.count, flight.began = len(roles), perf_counter()
        flight.progress[:] = 0, index * len(self._rows), clock.step, clock.epoch
        ops.send(flight.progress, self._progress, ops.queue)
        ops.send(flight.table, self._table, ops.queue)
        for part in parts:
            part.play()
        ops.forget_clock()
        ops.forget_changing()
        ops.fetch(self._losses, flight.losses)
        flight.landed = ops.queue.record()
        return flight.count

    def _land(self) -> None:
        """Wait for the losses of the earliest steps under way."""
        flight = self._under_way.popleft()
        flight.landed.synchronize()
        now, began = perf_counter(), max(flight.began, self._landed)
        self._landed, self._seconds = now, max(now - began, 1e-9) / flight.count
        self._arrived += flight.losses[: flight.count].tolist()
        self._free.append(flight)

    def _recorded(self, role: Role, steps: int, place: int) -> Recording:
        key = role, steps, place
        if key not in self._recordings:
            self._recordings[key] = self.ops.record(lambda: self._do(role, steps, place))
        return self._recordings[key]

    def _do(self, role: Role, steps: int, place: int) -> None:
        for _ in range(steps):
            self._step(role, place)

    def _step(self, role: Role, place: int) -> None:
        ops, trainer, rows = self.ops, self.trainer, self._rows
        network, batches, changing = trainer.network, trainer.train, self.ops.changing_of(self._table)
        given = self._progress, batches.order, rows, len(rows), self._table, changing, MOST_COEFFICIENTS, ops.clock
        ops.in_one_block("begin_step", self._table, *given)
        trainer.gather_gradients(*batches.make(rows, place), batches.targets)
        places = [changing[place : place + 1] for place in range(1 + self._coefficients)]
        trainer.updater.do(role, places[1:], places[0])
        if role.last:
            network.apply_constraints()
        ops.start("end_step", self._table, (1, 1, 1), (1, 1, 1), self._progress, network.step_loss, self._losses)


def portions(roles: Sequence[Role]) -> Iterator[tuple[Role, int]]:
    """Cut steps into as few recordings of equal steps as there can be."""
    for role, equal in groupby(roles):
        count = len(list(equal))
        yield from [(role, STEPS_AT_ONCE)] * (count // STEPS_AT_ONCE) + [(role, 1)] * (count % STEPS_AT_ONCE)
