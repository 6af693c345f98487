"""`training.precision`: products of rounded numbers on a GPU, and the scaled loss that float16 needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tuilab.blocks.arrays import Array, HostArray
from tuilab.engine.device import Device
from tuilab.engine.events import UpdatesSkipped
from tuilab.engine.updates import CHUNK, stretches
from tuilab.errors import ExperimentError, Problem
from tuilab.experiment.document import Experiment

if TYPE_CHECKING:
    from tuilab.engine.kernels.gpu import CudaKernels

FIRST_SCALE = 2.0**15
LEAST_SCALE = 2.0**-24
"""Below it gradients are not finite because they are not, and not because of the scale."""
PATIENCE = 2000
"""Updates after which the scale is doubled."""


def settle_precision(experiment: Experiment, device: Device) -> LossScaling | None:
    """Let the device compute in the precision of the experiment; return how its loss is scaled, None where it is not.

    Raises ExperimentError where the device rounds nothing.
    """
    precision, ops = experiment.training.precision, device.ops
    if not ops.records:
        if precision != "float32":
            reason = device.reason or f'training.device = "{experiment.training.device}" is the CPU here'
            message = f'"{precision}" needs a GPU ({reason}); on the CPU set training.precision = "float32"'
            raise ExperimentError([Problem("training.precision", message)], experiment.name)
        return None
    from tuilab.engine.kernels.gpu import CudaKernels

    assert isinstance(ops, CudaKernels)
    ops.compute_in(precision)
    return LossScaling(ops) if ops.precision == "float16" else None


class LossScaling:
    """Dynamic loss scaling (Micikevicius et al., 2018): gradients are multiplied by a scale on their way through the
    layers, so that float16 does not lose the small ones. Where one is not finite the update is taken back and the scale
    halved; after PATIENCE updates without that it is doubled.

    All of it happens on the device; the host reads now and then what became of it.
    """

    def __init__(self, ops: CudaKernels) -> None:
        self._ops = ops
        self.state: Array = ops.xp.asarray([FIRST_SCALE, 0, 0], dtype="float32")
        """Scale, updates since it was changed, updates that were taken back: what a checkpoint needs."""
        self.scale: Array = self.state[:1]
        self._norm: Array = ops.xp.zeros(1, dtype="float64")
        """Of the gradients that were looked at."""
        self._places: HostArray | None = None
        self._told: float | None = None
        """Updates that were taken back when the host last looked."""

    def look(self, gradients: Array) -> None:
        """See whether all gradients of an update are finite, and change the scale accordingly."""
        ops = self._ops
        if self._places is None:
            self._places = stretches([[slice(0, gradients.size)]], CHUNK)
        ops.norms(gradients, None, self._places, out=self._norm)
        ops.start("adapt_scale", self.state, (1, 1, 1), (1, 1, 1), self._norm, PATIENCE, self.state)

    @contextmanager
    def if_finite(self, *arrays: Array) -> Iterator[None]:
        """Let the block change these arrays, and take that back where the gradients are not finite."""
        ops = self._ops
        with ExitStack() as loans:
            before = [loans.enter_context(ops.scratch(array)) for array in arrays]
            for array, copy in zip(arrays, before, strict=True):
                ops.xp.copyto(copy, array)
            yield
            for array, copy in zip(arrays, before, strict=True):
                ops.over("take_back", array, array.size, self._norm, copy, array, array.size)

    def read(self) -> UpdatesSkipped | None:
        """Return what there is to tell since the last time, None where no update was taken back, and the first time."""
        scale, _, skipped = self._ops.to_host(self.state).tolist()
        told, self._told = self._told, skipped
        return None if told is None or told == skipped else UpdatesSkipped(int(skipped - told), scale)
