"""Compares a device with the reference, block by block: the same small trainings on both, number by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from operator import attrgetter

import numpy as np

from tuilab.blocks.arrays import HostArray, Ops, host_generator
from tuilab.engine.device import Device
from tuilab.engine.failures import device_failure
from tuilab.engine.inference import predict
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.parity_cases import Case, blocks, cases, rounded_cases
from tuilab.engine.statistics import LayerState
from tuilab.engine.trainer import Trainer
from tuilab.errors import DeviceFailure
from tuilab.text import clean_text

TOLERANCES = {"float32": 2e-4, "float64": 1e-9}
"""Largest difference ÷ the largest number of an array; after three steps, in which differences grow."""
ROUNDOFF = {"tf32": 2.0**-11, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Largest relative error of a number that is rounded (`training.precision`)."""
ROUNDOFFS = 16
"""That a training of rounded products may differ by from one in float32."""
SMALLEST_SHARE = 1e-2
"""Of the largest gradient of all: gradients below it are compared with that. A bias before a normalization has none but
rounding."""


@dataclass(frozen=True)
class Compared:
    """One block on both."""

    kind: str
    name: str
    cases: int
    """Trainings that were compared."""
    difference: float
    """The largest ÷ the largest number of the array that it is in."""
    tolerance: float
    where: str
    """The settings and the array that it was found with."""
    trouble: str = ""
    """What kept the block from being compared."""

    @property
    def passed(self) -> bool:
        return not self.trouble and self.cases > 0 and self.difference <= self.tolerance


def compare_blocks(ops: Ops, dtype: str = "float32") -> Iterator[Compared]:
    """Yield each block of the registries, compared, and each precision that the device has beside its own. Ends early
    where the device fails altogether."""
    reference, rounds = NumpyKernels(), ops.records and dtype == "float32"
    works = [(kind.kind_name(), one.type_name(), cases(kind, one, dtype), TOLERANCES[dtype]) for kind, one in blocks()]
    precisions = ROUNDOFF.items() if rounds else ()
    works += [("precision", name, rounded_cases(name), ROUNDOFFS * error) for name, error in precisions]
    for kind_name, name, trainings, tolerance in works:
        try:
            yield _compare(kind_name, name, trainings, tolerance, ops, reference)
        except DeviceFailure as failure:
            yield Compared(kind_name, name, 0, np.inf, tolerance, "", str(failure))
            return


def _compare(kind: str, block: str, trainings: Iterable[Case], tolerance: float, ops: Ops, reference: Ops) -> Compared:
    """Return one block, compared; raises DeviceFailure where the device cannot go on."""
    count, worst, where, trouble = 0, 0.0, "", ""
    for case in trainings:
        count += 1
        try:
            found, wanted = numbers(case, ops), numbers(case.in_float32(), reference)
        except Exception as error:
            failure = device_failure(error)
            if failure is not None:
                raise failure from error
            trouble = clean_text(f"{type(error).__name__}: {error}", 300)
            where = case.settings
            break
        name, difference = largest_difference(found, wanted)
        if not difference <= worst:
            worst, where = difference, f"{case.settings or 'defaults'}: {name}"
    if not count:
        trouble = "no experiment could be made with it"
    return Compared(kind, block, count, worst, tolerance, where, trouble)


def numbers(case: Case, ops: Ops) -> dict[str, HostArray]:
    """Return what comes out of a training on one device, by name: losses, gradients, weights, metrics, statistics,
    predictions."""
    trainer = Trainer(case.experiment, case.data, Device("", ops, steps_between_reads=1))
    network, updater = trainer.network, trainer.updater
    arena, clock = network.arena, network.clock
    noise = 0.1 * host_generator(0, "parity").standard_normal(arena.trainable_size)  # no bias is 0, no scale 1
    arena.trainable_values[...] = ops.xp.asarray(ops.to_host(arena.trainable_values) + noise, dtype=network.dtype)
    losses, gradients = [], []
    trainer.train.shuffle(case.experiment.seed, 1)
    trainer.measures.start()
    for step in range(len(trainer.train)):
        clock.epoch, clock.step = 1, step
        x, labels = trainer.train.batch(step)
        targets = labels if trainer.train.targets is None else trainer.train.targets
        with ops.quiet():
            predictions = network.measure(x, targets, training=True)
            trainer.measures.add(network.step_loss, labels, predictions)
            network.backward()
            losses.append(ops.to_host(network.step_loss))
            gradients.append(ops.to_host(arena.gradients))
            trainer.statistics.before_update()
            if updater.apply():
                network.apply_constraints()
            states = trainer.statistics.after_update()
    gradient, layer_numbers = np.stack(gradients), attrgetter(*(column.name for column in fields(LayerState)[1:]))
    outcome = {
        "loss": np.stack(losses),
        "statistics": np.array([layer_numbers(state) for state in states], dtype="float64"),
        "metrics": np.array(list(trainer.measures.results().values())),
        "predictions": predict(network, case.data.train.features, case.data.scaling),
    }
    values = ops.to_host(arena.values)
    for entry in arena.entries:
        name = f"{network.plan.leaves[entry.layer].name}/{entry.parameter.name}"
        outcome[name] = values[entry.place]
        if entry.gradient is not None:
            outcome[f"gradient of {name}"] = gradient[:, entry.place]
    return outcome


def largest_difference(found: dict[str, HostArray], wanted: dict[str, HostArray]) -> tuple[str, float]:
    """Return the largest difference between arrays of the same names, relative to each array's largest number, and the
    name of that array; infinity where one has a number and the other has none."""
    largest = {name: float(np.abs(array[np.isfinite(array)]).max(initial=0)) for name, array in wanted.items()}
    gradients = max((size for name, size in largest.items() if name.startswith("gradient")), default=0.0)
    worst = "", 0.0
    for name, array in wanted.items():
        least = SMALLEST_SHARE * gradients if name.startswith("gradient") else 0.0
        scale = max(largest[name], least) or 1.0
        same = found[name] == array
        same |= np.isnan(found[name]) & np.isnan(array)
        with np.errstate(invalid="ignore"):  # infinity − infinity, which is the same
            apart = np.where(same, 0.0, np.abs(found[name].astype("float64") - array) / scale)
        difference = float(np.where(np.isnan(apart), np.inf, apart).max(initial=0))
        if difference > worst[1]:
            worst = name, difference
    return worst
