"""What every layer is doing: norms of gradients and weights, and the state of its units."""

from __future__ import annotations

from dataclasses import dataclass

from tuilab.blocks.activations import LogSoftmax, Softmax
from tuilab.blocks.arrays import Array
from tuilab.blocks.layers.layer import Activity
from tuilab.engine.network import Network
from tuilab.engine.updates import CHUNK, pieces

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
        self.facts: Array = xp.zeros((len(network.layers), COLUMNS), dtype="float64")
        self.places = [
            [
                slice(entry.place.start + piece.start, entry.place.start + piece.stop)
                for entry in arena.of_layer(index)
                if entry.gradient is not None
                for piece in pieces(entry.value.size, CHUNK)
            ]
            for index in range(len(network.layers))
        ]

    def before_update(self) -> None:
        """Remember weights and gradients; the update overwrites both."""
        arena = self.network.arena
        self.ops.xp.copyto(self.before, arena.trainable_values)
        self._write_norms(arena.gradients, GRADIENT)

    def after_update(self) -> tuple[LayerState, ...]:
        """Return every layer's state."""
        network, values = self.network, self.network.arena.trainable_values
        self.ops.xp.subtract(values, self.before, out=self.before)
        self._write_norms(values, WEIGHT)
        self._write_norms(self.before, UPDATE)
        written = [{GRADIENT, WEIGHT, UPDATE} if places else set() for places in self.places]
        for index, bound in enumerate(network.layers):
            if index == len(network.layers) - 1 and network.output_activation is not None:
                self._write_outputs(network.predictions[: len(network.last_logits)], index)
                written[index] |= {MEAN, DEVIATION}
            elif bound.activity is not None:
                self._write_outputs(bound.activity.y, index)
                written[index] |= {MEAN, DEVIATION} | self._write_slopes(bound.activity, index)
        facts = self.ops.to_host(self.facts).tolist()

        def state(name: str, row: list[float], known: set[int]) -> LayerState:
            gradient, weight, update, *units = (row[column] if column in known else None for column in range(COLUMNS))
            return LayerState(
                name, gradient, weight, update / weight if update is not None and weight else None, *units
            )

        names = [layer.name for layer in network.plan.leaves]
        return tuple(map(state, names, facts, written))

    def _write_norms(self, flat: Array, column: int) -> None:
        ops, xp = self.ops, self.ops.xp
        for index, places in enumerate(self.places):
            total = self._fact(index, column)
            total.fill(0)
            for place in places:
                part = flat[place]
                with ops.scratch(part, dtype="float64") as wide, ops.scratch(total) as square:
                    xp.copyto(wide, part)
                    xp.dot(wide, wide, out=square)
                    xp.add(total, square, out=total)
            xp.sqrt(total, out=total)

    def _write_outputs(self, y: Array, index: int) -> None:
        ops, xp = self.ops, self.ops.xp
        mean, deviation = self._fact(index, MEAN), self._fact(index, DEVIATION)
        with ops.scratch(y, dtype="float64") as wide:
            xp.copyto(wide, y)
            xp.sum(wide, out=mean)
            xp.divide(mean, y.size, out=mean)
            xp.subtract(wide, mean, out=wide)
            xp.multiply(wide, wide, out=wide)
            xp.sum(wide, out=deviation)
            xp.divide(deviation, y.size, out=deviation)
            xp.sqrt(deviation, out=deviation)

    def _write_slopes(self, activity: Activity, index: int) -> set[int]:
        """Write the shares of dead units and saturated outputs; return which of them the activation has."""
        ops, xp = self.ops, self.ops.xp
        activation, y = activity.activation, activity.y
        if isinstance(activation, (Softmax, LogSoftmax)):  # every output has a slope for every input
            return set()
        units = y.shape[-1]
        with ops.scratch(y) as slope, ops.scratch(y) as ones, ops.scratch(y, dtype="bool") as flat:
            ones.fill(1)
            activation.backward(ops, activity.x, y, ones, out=slope)
            xp.absolute(slope, out=slope)
            xp.equal(slope, 0, out=flat)
            with ops.scratch(flat, shape=(units,)) as dead:
                xp.all(flat.reshape(-1, units), axis=0, out=dead)
                self._write_share(dead, index, DEAD)
            if activation.steepest_slope is None:
                return {DEAD}
            xp.less(slope, activation.steepest_slope / 10, out=flat)
            self._write_share(flat, index, SATURATED)
            return {DEAD, SATURATED}

    def _write_share(self, marks: Array, index: int, column: int) -> None:
        share = self._fact(index, column)
        self.ops.xp.sum(marks, dtype="float64", out=share)
        self.ops.xp.divide(share, marks.size, out=share)

    def _fact(self, index: int, column: int) -> Array:
        """Return one number of the table as an array without axes, to be written into."""
        return self.facts[index, column : column + 1].reshape(())
