"""What every layer is doing: norms of gradients and weights, and the state of its units."""

from __future__ import annotations

from dataclasses import dataclass

from tuilab.blocks.activations import LogSoftmax, Softmax
from tuilab.blocks.arrays import Array
from tuilab.blocks.layers.layer import Activity
from tuilab.engine.network import Network
from tuilab.engine.updates import CHUNK, stretches

COLUMNS = 7  # of `facts`, in the order of LayerState
GRADIENT, WEIGHT, UPDATE, MEAN, DEVIATION, DEAD, SATURATED = range(COLUMNS)


@dataclass(frozen=True)
class LayerState:
    """One layer at one step; None where a layer has nothing of the kind."""

    name: str
    gradient_norm: float | None
    """L2 norm of the gradients of all its parameters."""
    weight_norm: float | None
    """L2 norm of its trainable parameters."""
    update_ratio: float | None
    """Norm of the last update ÷ norm of the weights; about 1e-3 is healthy."""
    activation_mean: float | None
    activation_deviation: float | None
    """Mean and standard deviation of its outputs over the batch."""
    dead: float | None
    """Share of units whose activation had slope 0 for every sample of the batch: they learn nothing."""
    saturated: float | None
    """Share of outputs where the activation's slope is below a tenth of its steepest; None where it cannot saturate.
    An output fused with the loss is never dead or saturated: its gradient does not pass the activation."""


class Statistics:
    """Takes the statistics of one step: `before_update`, the optimizer's update, `after_update`.

    Everything is worked out on the device in double precision, in scratch memory, and read at once.
    """

    def __init__(self, network: Network) -> None:
        xp, arena = network.ops.xp, network.arena
        self.network = network
        self.ops = network.ops
        self.before: Array = xp.empty_like(arena.trainable_values)
        self.facts: Array = xp.zeros((COLUMNS, len(network.layers)), dtype="float64")
        self.known = [
            {GRADIENT, WEIGHT, UPDATE} if any(entry.gradient is not None for entry in arena.of_layer(index)) else set()
            for index in range(len(network.layers))
        ]
        """Which facts each layer has, outputs aside."""
        self.places = stretches(
            [
                [entry.place for entry in arena.of_layer(index) if entry.gradient is not None]
                for index in range(len(network.layers))
            ],
            CHUNK,
        )

    def before_update(self) -> None:
        """Remember weights and gradients; the update overwrites both."""
        arena = self.network.arena
        self.ops.xp.copyto(self.before, arena.trainable_values)
        self.ops.norms(arena.gradients, None, self.places, out=self.facts[GRADIENT])

    def after_update(self) -> tuple[LayerState, ...]:
        """Return every layer's state."""
        network, values = self.network, self.network.arena.trainable_values
        self.ops.norms(values, None, self.places, out=self.facts[WEIGHT])
        self.ops.norms(values, self.before, self.places, out=self.facts[UPDATE])
        written = [set(known) for known in self.known]
        for index, bound in enumerate(network.layers):
            if index == len(network.layers) - 1 and network.output_activation is not None:
                self._write_outputs(network.predictions[: len(network.last_logits)], index)
                written[index] |= {MEAN, DEVIATION}
            elif bound.activity is not None:
                self._write_outputs(bound.activity.y, index)
                written[index] |= {MEAN, DEVIATION} | self._write_slopes(bound.activity, index)
        facts = self.ops.to_host(self.facts).T.tolist()

        def state(name: str, row: list[float], known: set[int]) -> LayerState:
            gradient, weight, update, *units = (row[column] if column in known else None for column in range(COLUMNS))
            return LayerState(
                name, gradient, weight, update / weight if update is not None and weight else None, *units
            )

        names = [layer.name for layer in network.plan.leaves]
        return tuple(map(state, names, facts, written))

    def _write_outputs(self, y: Array, index: int) -> None:
        self.ops.mean_and_deviation(y, self._fact(index, MEAN), self._fact(index, DEVIATION))

    def _write_slopes(self, activity: Activity, index: int) -> set[int]:
        """Write the shares of dead units and saturated outputs; return which of them the activation has."""
        activation = activity.activation
        if isinstance(activation, (Softmax, LogSoftmax)):  # every output has a slope for every input
            return set()
        dead, saturated = self._fact(index, DEAD), self._fact(index, SATURATED)
        steepest = activation.steepest_slope
        self.ops.count_flat(activation, activity.x, activity.y, (steepest or 0) / 10, dead, saturated)
        return {DEAD} if steepest is None else {DEAD, SATURATED}

    def _fact(self, index: int, column: int) -> Array:
        """Return one number of the table as an array without axes, to be written into."""
        return self.facts[column, index : index + 1].reshape(())
