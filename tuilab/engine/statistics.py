"""What every layer is doing: norms of gradients and weights, and the state of its units."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.layers.layer import Activity
from tuilab.engine.network import Network


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
    """Share of outputs where the activation's slope is below a tenth of its steepest; None where it cannot saturate."""


class Statistics:
    """Takes the statistics of one step: `before_update`, the optimizer's update, `after_update`."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.ops = network.ops
        self.before: Array = self.ops.xp.empty_like(network.arena.trainable_values)
        entries = [network.arena.of_layer(index) for index in range(len(network.layers))]
        self.places = [[entry.place for entry in of_layer if entry.gradient is not None] for of_layer in entries]
        self.gradient_norms: list[float | None] = []

    def before_update(self) -> None:
        """Remember weights and gradients; the update overwrites both."""
        arena = self.network.arena
        self.ops.xp.copyto(self.before, arena.trainable_values)
        self.gradient_norms = [self._norm(arena.gradients, places) for places in self.places]

    def after_update(self) -> tuple[LayerState, ...]:
        """Return every layer's state."""
        xp, values = self.ops.xp, self.network.arena.trainable_values
        states = []
        xp.subtract(values, self.before, out=self.before)
        for index, (bound, places) in enumerate(zip(self.network.layers, self.places, strict=True)):
            weights = self._norm(values, places)
            update = self._norm(self.before, places)
            activity = bound.activity
            if activity is None and index == len(self.network.layers) - 1 and self.network.output_activation:
                logits = self.network.last_logits
                activity = Activity(self.network.output_activation, logits, self.network.predictions[: len(logits)])
            mean, deviation, dead, saturated = self._units(activity) if activity else (None, None, None, None)
            states.append(
                LayerState(
                    name=self.network.plan.layers[index].name,
                    gradient_norm=self.gradient_norms[index],
                    weight_norm=weights,
                    update_ratio=update / weights if update is not None and weights else None,
                    activation_mean=mean,
                    activation_deviation=deviation,
                    dead=dead,
                    saturated=saturated,
                )
            )
        return tuple(states)

    def _norm(self, flat: Array, places: list[slice]) -> float | None:
        if not places:
            return None
        squares = [float(self.ops.xp.vdot(flat[place], flat[place])) for place in places]
        return math.sqrt(sum(squares))

    def _units(self, activity: Activity) -> tuple[float, float, float, float | None]:
        xp, ops = self.ops.xp, self.ops
        activation, y = activity.activation, activity.y
        with ops.scratch(y) as slope, ops.scratch(y) as ones:
            ones[...] = 1
            activation.backward(ops, activity.x, y, ones, out=slope)
            xp.absolute(slope, out=slope)
            steepest = slope.reshape(-1, slope.shape[-1]).max(axis=0)
            dead = float((steepest == 0).mean())
            limit = activation.steepest_slope
            saturated = None if limit is None else float((slope < limit / 10).mean())
        return float(y.mean()), float(y.std()), dead, saturated
