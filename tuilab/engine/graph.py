"""A training step as one recording, which the device does again and again without being told every part of it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from tuilab.blocks.arrays import Array
from tuilab.engine.kernels.gpu import MOST_COEFFICIENTS, CudaKernels
from tuilab.engine.kernels.launching import Recording
from tuilab.engine.trainer import MOST_STEPS, Trainer

STEPS_AT_ONCE = 8
"""In the longer of two recordings: starting one takes the host about as long as starting a few kernels."""
SECONDS_AT_ONCE = 0.05
"""As long as nobody can stop or see anything."""


def step_graph(trainer: Trainer) -> StepGraph | None:
    """Return a training's steps as recordings, None where a step does anything but the same as the one before."""
    optimizer, ops, batches = trainer.experiment.training.optimizer, trainer.device.ops, trainer.train
    same = not (optimizer.gradient_accumulation_steps or optimizer.use_ema)
    known = same and batches.augment is None and batches.source is None
    return StepGraph(trainer, ops) if known and isinstance(ops, CudaKernels) else None


class StepGraph:
    """Steps on full batches that nobody looks at. What changes from one to the next lies on the device: the order of
    the epoch, how far it is done, and a table of what the updates of the next steps read.

    Its numbers are those of single steps.
    """

    def __init__(self, trainer: Trainer, ops: CudaKernels) -> None:
        xp, network, batches = ops.xp, trainer.network, trainer.train
        self.trainer, self.ops = trainer, ops
        self.failed = ""
        """Why steps cannot be recorded."""
        self._ready = False
        """Whether a step was done one by one: then all memory is there, and all kernels are compiled."""
        self._most = 1
        """Steps that take SECONDS_AT_ONCE, about. How many are done at once changes no number."""
        self._recordings: dict[int, Recording] = {}
        rows, dtype = network.batch_size, network.dtype
        self._progress: Array = xp.zeros(3, dtype="int64")
        self._rows: Array = xp.zeros(rows, dtype="int64")
        self._x: Array = xp.empty((rows, *batches.loaded_shape), dtype=dtype)
        self._labels: Array = xp.empty((rows, *batches.labels.shape[1:]), dtype=batches.labels.dtype)
        self._table: Array = xp.zeros((MOST_STEPS, MOST_COEFFICIENTS), dtype=dtype)
        self._losses: Array = xp.zeros(MOST_STEPS, dtype=dtype)
        self._coefficients = 0
        """How many the optimizer has."""

    def gradients(self, index: int) -> list[float]:
        """Leave a step that somebody looks at to the trainer."""
        self._ready = True
        return []

    def steps(self, index: int, count: int) -> list[float]:
        """Do up to `count` steps, on full batches from `index` of this epoch on; return their losses. None where steps
        have to be done one by one, at first or because they cannot be recorded (`failed`)."""
        if not self._ready or self.failed:
            return []
        count, began = min(count, self._most), perf_counter()
        updater, clock = self.trainer.updater, self.trainer.network.clock
        before = updater.state()
        table = np.zeros(self._table.shape, self._table.dtype.name)
        for row in range(count):
            coefficients, kept = updater.next_coefficients()
            table[row, : 1 + len(coefficients)] = kept, *coefficients
            self._coefficients = len(coefficients)
        try:
            lengths = [STEPS_AT_ONCE] * (count // STEPS_AT_ONCE) + [1] * (count % STEPS_AT_ONCE)
            parts = [self._recorded(length) for length in lengths]
        except RuntimeError as error:
            updater.restore(before)
            self.failed = f"{type(error).__name__}: {error}"
            return []
        ops = self.ops
        ops.set_clock(clock.step, clock.epoch)
        ops.upload(np.array([0, index * len(self._rows), clock.step]), self._progress)
        ops.upload(table, self._table)
        for part in parts:
            part.play()
        ops.forget_clock()
        ops.forget_changing()
        losses: list[float] = ops.to_host(self._losses)[:count].tolist()
        self._most = max(1, min(MOST_STEPS, int(count * SECONDS_AT_ONCE / (perf_counter() - began))))
        return losses

    def _recorded(self, steps: int) -> Recording:
        if steps not in self._recordings:
            self._recordings[steps] = self.ops.record(lambda: self._repeat(self._step, steps))
        return self._recordings[steps]

    @staticmethod
    def _repeat(act: Callable[[], None], times: int) -> None:
        for _ in range(times):
            act()

    def _step(self) -> None:
        ops, trainer, rows = self.ops, self.trainer, self._rows
        network, batches, changing = trainer.network, trainer.train, self.ops.changing_of(self._table)
        given = self._progress, batches.order, rows, len(rows), self._table, changing, MOST_COEFFICIENTS, ops.clock
        ops.in_one_block("begin_step", self._table, *given)
        ops.load(batches.features, rows, *batches.scaling, out=self._x)
        ops.gather(batches.labels, rows, out=self._labels)
        trainer.gather_gradients(self._x.reshape(len(rows), *batches.shape), self._labels)
        places = [changing[place : place + 1] for place in range(1 + self._coefficients)]
        trainer.updater.update(places[1:], places[0])
        network.apply_constraints()
        ops.start("end_step", self._table, (1, 1, 1), (1, 1, 1), self._progress, network.step_loss, self._losses)
