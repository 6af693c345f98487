"""A network on a device: layers bound to the arena, run forwards and backwards batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import Array, Clock, Ops, Shape, Stream
from tuilab.blocks.layers.chain import BoundChain
from tuilab.blocks.layers.layer import BoundLayer, Site
from tuilab.blocks.losses import Loss
from tuilab.blocks.regularizers import Regularizer
from tuilab.engine.arena import Arena
from tuilab.engine.targets import TargetEncoder
from tuilab.engine.turns import Place, Turns
from tuilab.experiment.plan import Plan, PlannedLayer, in_line, largest_inputs


class Network:
    """Layers bound to arrays for batches of up to `batch_size` samples.

    All buffers are made here; a step allocates no array memory once the scratch memory has grown to its size. Without
    `initial` the parameters are zeros, for whoever reads them from a file. One that never `trains` has no gradients,
    and two buffers for what its layers give, by turns.
    """

    def __init__(
        self,
        ops: Ops,
        plan: Plan,
        loss: Loss,
        batch_size: int,
        dtype: str,
        seed: int,
        initial: bool = True,
        trains: bool = True,
        loss_scale: Array | None = None,
    ) -> None:
        xp = ops.xp
        ops.prepare(plan.input_shape, plan.exact)
        self.ops = ops
        self.plan = plan
        self.loss = loss
        self.batch_size = batch_size
        self.dtype = dtype
        self.seed = seed
        self.clock = Clock()
        self.loss_scale = loss_scale
        """One number on the device that gradients are multiplied by on their way through the layers; None for 1."""
        self.arena = Arena(ops, plan.leaves, dtype, seed, initial, trains)
        self.encoder = TargetEncoder(ops, loss, plan.outputs, batch_size, dtype)
        self.output_activation: Activation | None = plan.layers[-1].layer.output_activation() if plan.fused else None
        units = plan.outputs.units
        self.predictions: Array = xp.empty((batch_size, units), dtype=dtype)
        self.sample_losses: Array = xp.empty(batch_size, dtype=dtype)
        self.output_gradient: Array = xp.empty((batch_size, units), dtype=dtype)
        self.penalty: Array = xp.zeros(1, dtype=dtype)
        self.step_loss: Array = xp.zeros(1, dtype=dtype)
        self.regularized: list[tuple[Regularizer, Array, Array | None]] = [
            (entry.parameter.regularizer, entry.value, entry.gradient)
            for entry in self.arena.entries
            if entry.parameter.regularizer is not None
        ]
        self.last_logits: Array = self.output_gradient[:0]
        self.last_target: Array = self.output_gradient[:0]
        self._index = {leaf.name: index for index, leaf in enumerate(plan.leaves)}
        self._turns = None if trains else Turns(ops, plan.layers, batch_size, dtype)
        self._buffers = [
            [xp.empty(batch_size * size, dtype=dtype) for _ in range(2)]
            for size in (largest_inputs(plan.layers) if trains else ())
        ]
        bound: dict[int, BoundLayer] = {}
        self.chain = self._bind(plan.layers, (0, 0), None, False, bound)
        self.layers = [bound[index] for index in range(len(bound))]
        """Those that contain none, in the order of `plan.leaves`."""

    def _bind(
        self, layers: Sequence[PlannedLayer], place: Place, into: Array | None, read: bool, found: dict[int, BoundLayer]
    ) -> BoundChain:
        """Bind layers one after another, at a place inside others, from the last to the first.

        Two buffers for every depth hold the gradients between layers: a layer reads one and writes the other, and the
        first writes into `into` where that is given. `read`: whether anybody reads the gradient of the first's inputs.
        """
        planned, current = in_line(layers), 0
        learning = [index for index, layer in enumerate(planned) if layer.trainable_count and self._buffers]
        first_learning = -1 if read else min(learning, default=len(planned))
        bound: list[BoundLayer] = []
        for index in reversed(range(len(planned))):
            one, gradient = planned[index], None
            if index > first_learning:
                buffer = self._buffers[place[0]][1 - current]
                gradient = into if index == 0 and into is not None else self._view(buffer, one.input_shape)
            bound.append(self._bind_one(one, place, gradient, found))
            if not bound[-1].passes_gradient:
                current = 1 - current
        return BoundChain(self.ops, bound[::-1], into)

    def _bind_one(
        self, planned: PlannedLayer, place: Place, input_gradient: Array | None, found: dict[int, BoundLayer]
    ) -> BoundLayer:
        layer = planned.layer
        if planned is self.plan.leaves[-1] and self.output_activation is not None:
            layer = layer.without_activation()
        index = self._index.get(planned.name)
        entries = [] if index is None else self.arena.of_layer(index)
        site = Site(
            ops=self.ops,
            dtype=self.dtype,
            batch_size=self.batch_size,
            input_shape=planned.input_shape,
            values={entry.parameter.name: entry.value for entry in entries},
            gradients={entry.parameter.name: entry.gradient for entry in entries if entry.gradient is not None},
            input_gradient=input_gradient,
            penalty=self.penalty,
            stream=self._streams_of(index or 0),
            loss_scale=self.loss_scale,
            outputs=None if self._turns is None else partial(self._turns.take, place),
        )
        if index is not None:
            found[index] = bound = layer.bind(site)
            return bound
        chains: list[BoundChain] = []
        for number, branch in enumerate(planned.branches):
            into = None if chains else input_gradient  # the first branch may use the layer's own place
            chains.append(self._bind(branch, (place[0] + 1, number), into, input_gradient is not None, found))
        return layer.join(site, chains)

    def _view(self, buffer: Array, shape: Shape) -> Array:
        return buffer[: self.batch_size * math.prod(shape)].reshape(self.batch_size, *shape)

    def _streams_of(self, index: int) -> Callable[[str], Stream]:
        return lambda purpose: Stream(self.seed, f"layers[{index}].{purpose}", self.clock)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the predictions for x: (rows, *input shape) → (rows, units); valid until the next call."""
        return self._activated(self.chain.forward(x, training))

    def _activated(self, y: Array) -> Array:
        if self.output_activation is None:
            return y
        predictions = self.predictions[: y.shape[0]]
        self.output_activation.forward(self.ops, y, out=predictions)
        return predictions

    def measure(self, x: Array, labels: Array, training: bool = False, weights: Array | None = None) -> Array:
        """Run forwards, and leave each sample's loss in `sample_losses` and the batch's loss, with every penalty, in
        `step_loss`. `labels` may be mixed targets, (rows, units); `weights`, (rows,), multiply the samples' losses.
        Returns the predictions."""
        xp, rows = self.ops.xp, x.shape[0]
        self.penalty[...] = 0
        y = self.chain.forward(x, training)
        target, losses, gradient = self.encoder.encode(labels), self.sample_losses[:rows], self.output_gradient[:rows]
        if self.output_activation is None:
            predictions = y
            self.loss.forward(self.ops, target, y, out=losses)
        else:
            predictions = self.predictions[:rows]
            self.ops.loss_from_logits(self.loss, self.output_activation, target, y, predictions, losses, gradient)
        if weights is not None:
            xp.multiply(losses, weights, out=losses)
        for regularizer, value, _ in self.regularized:
            regularizer.add_penalty(self.ops, value, self.penalty)
        xp.sum(losses, keepdims=True, out=self.step_loss)
        xp.multiply(self.step_loss, 1 / rows, out=self.step_loss)
        xp.add(self.step_loss, self.penalty, out=self.step_loss)
        self.last_logits, self.last_target = y, target
        return predictions

    def backward(self, weights: Array | None = None) -> None:
        """Leave the gradients of `step_loss` in the arena, for the batch that `measure` last saw in training."""
        xp, y, target = self.ops.xp, self.last_logits, self.last_target
        rows = y.shape[0]
        gradient = self.output_gradient[:rows]
        if self.output_activation is None:
            self.loss.backward(self.ops, target, y, out=gradient)
        if weights is not None:
            xp.multiply(gradient, weights.reshape(-1, 1), out=gradient)
        xp.multiply(gradient, 1 / rows, out=gradient)
        if self.loss_scale is not None:
            xp.multiply(gradient, self.loss_scale, out=gradient)
        self.chain.backward(gradient)
        if self.loss_scale is not None:
            xp.divide(self.arena.gradients, self.loss_scale, out=self.arena.gradients)
        for regularizer, value, value_gradient in self.regularized:
            if value_gradient is not None:
                regularizer.add_gradient(self.ops, value, value_gradient)

    def apply_constraints(self) -> None:
        """Bring every constrained parameter back to where its constraint wants it; called after each update."""
        for entry in self.arena.entries:
            if entry.parameter.constraint is not None and entry.gradient is not None:
                entry.parameter.constraint.apply(self.ops, entry.value)

    def parameters(self, values: Array | None = None) -> Iterator[tuple[str, Array]]:
        """Yield (`layer name/parameter`, value) for every parameter, in the order of the arena; from `values` where
        given, a flat array laid out like the arena's."""
        for entry in self.arena.entries:
            value = entry.value if values is None else values[entry.place].reshape(entry.parameter.shape)
            yield f"{self.plan.leaves[entry.layer].name}/{entry.parameter.name}", value
