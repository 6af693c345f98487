"""The gradient check: what back-propagation says beside what central differences of the loss say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tuilab.blocks.arrays import Array, HostArray, host_generator
from tuilab.blocks.samples import Data, Split
from tuilab.engine.arena import Entry
from tuilab.engine.batches import batches_for
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.network import Network
from tuilab.experiment.document import Experiment
from tuilab.experiment.plan import plan

TOLERANCE = 1e-6
SAMPLES = 8
ENTRIES = 24
WIDTHS = (1e-3, 1e-4, 1e-5, 1e-6)
AGREEMENT = 3e-7
SMALLEST = 1e-5
"""Gradients below this, times the loss where that is above 1, are compared absolutely: rounding of the loss leaves its
differences no finer resolution."""


@dataclass(frozen=True)
class Checked:
    """One parameter's gradients, checked."""

    layer: str
    parameter: str
    entries: int
    """How many of its numbers were compared."""
    kinks: int
    """How many were left out because the loss has no derivative there (relu at 0)."""
    error: float
    """Largest difference between both gradients ÷ the largest of them (`SMALLEST` where all are smaller)."""

    @property
    def passed(self) -> bool:
        return self.entries > 0 and self.error < TOLERANCE


def check_gradients(experiment: Experiment, data: Data) -> Iterator[Checked]:
    """Yield the check of every trainable parameter, in float64, on a few training samples, near the first weights.

    The weights are moved a little at random first: exact zeros, as biases begin, lie on the kink of a relu.
    """
    planned = plan(experiment, data.info)
    count = min(SAMPLES, len(data.train))
    split = Split(data.train.features[:count], data.train.targets[:count])
    network = Network(NumpyKernels(), planned, experiment.training.loss, count, "float64", experiment.seed)
    x, labels = batches_for(network, split, data.scaling).batch(0)
    generator = host_generator(experiment.seed, "gradient check")
    values = network.arena.trainable_values
    values += 0.01 * generator.standard_normal(values.shape)
    with network.ops.quiet():
        network.measure(x, labels, training=True)
        network.backward()
    gradients = network.arena.gradients.copy()

    def loss() -> float:
        with network.ops.quiet():
            network.measure(x, labels, training=True)
        return float(network.step_loss[0])

    for entry in network.arena.entries:
        if entry.gradient is not None:
            numbers = generator.permutation(entry.value.size)[:ENTRIES]
            yield _check(network, entry, numbers + entry.place.start, gradients, loss)


def _check(network: Network, entry: Entry, places: HostArray, gradients: Array, loss: Callable[[], float]) -> Checked:
    values = network.arena.values
    smallest = SMALLEST * max(1.0, abs(loss()))
    pairs, kinks = [], 0
    for place in places:
        slope = _slope(values, int(place), loss, smallest)
        if slope is None:
            kinks += 1
        else:
            pairs.append((float(gradients[place]), slope))
    largest = max((max(abs(ours), abs(theirs)) for ours, theirs in pairs), default=0.0)
    difference = max((abs(ours - theirs) for ours, theirs in pairs), default=0.0)
    name = network.plan.leaves[entry.layer].name
    return Checked(name, entry.parameter.name, len(pairs), kinks, difference / max(largest, smallest))


def _slope(values: Array, place: int, loss: Callable[[], float], smallest: float) -> float | None:
    """Return the derivative by fourth-order central differences, (8·(f₁ − f₋₁) − (f₂ − f₋₂)) / 12h, once two
    widths h agree; None where no two do, because there is a kink between them."""
    weight = values[place]
    before: float | None = None
    for width in WIDTHS:
        around = []
        for steps in (1, -1, 2, -2):
            values[place] = weight + steps * width
            around.append(loss())
        values[place] = weight
        slope = (8 * (around[0] - around[1]) - (around[2] - around[3])) / (12 * width)
        if before is not None and abs(slope - before) <= AGREEMENT * max(abs(slope), abs(before), smallest):
            return before  # the wider one: less lost to rounding
        before = slope
    return None
