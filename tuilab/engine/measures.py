"""Loss and metrics gathered over many batches on the device, read on the host when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.metrics import Metric, Outputs

if TYPE_CHECKING:
    from tuilab.engine.batches import Batches
    from tuilab.engine.network import Network


class Measures:
    """The mean loss and every metric of the batches since `start`."""

    def __init__(self, ops: Ops, metrics: Sequence[Metric], outputs: Outputs) -> None:
        self.ops = ops
        self.metrics = metrics
        self.outputs = outputs
        sizes = [metric.state_size(outputs) for metric in metrics]
        self.state: Array = ops.xp.zeros(2 + sum(sizes), dtype="float64")
        ends = [2 + sum(sizes[: index + 1]) for index in range(len(sizes))]
        self.places = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]

    def start(self) -> None:
        """Forget everything gathered so far."""
        self.state[...] = 0

    def add(self, batch_loss: Array, labels: Array, predictions: Array) -> None:
        """Add a batch; `batch_loss` is the mean over its samples, one number on the device."""
        xp, rows = self.ops.xp, labels.shape[0]
        with self.ops.scratch(self.state, shape=(1,)) as loss:
            xp.multiply(batch_loss, rows, out=loss)
            xp.add(self.state[:1], loss, out=self.state[:1])
        self.state[1] += rows
        for metric, place in zip(self.metrics, self.places, strict=True):
            self.ops.add_to_metric(metric, self.outputs, labels, predictions, self.state[place])

    def results(self) -> dict[str, float]:
        """Return `loss` and every metric by its label."""
        state = self.ops.to_host(self.state)
        results = {"loss": float(state[0] / state[1]) if state[1] else float("nan")}
        for metric, place in zip(self.metrics, self.places, strict=True):
            results[metric.label] = metric.result(self.outputs, state[place])
        return results


def evaluate(network: Network, batches: Batches, measures: Measures) -> dict[str, float]:
    """Return loss and metrics of a network over all batches."""
    measures.start()
    with network.ops.quiet():
        for x, labels in batches:
            predictions = network.measure(x, labels)
            measures.add(network.step_loss, labels, predictions)
    return measures.results()
