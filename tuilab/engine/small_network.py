"""Several training steps of a small network in one call, on a device that compiles kernels."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.activations import Activation, Linear
from tuilab.blocks.arrays import Array
from tuilab.blocks.crossentropies import BinaryCrossentropy, CategoricalCrossentropy
from tuilab.blocks.layers.dense import BoundDense, Dense
from tuilab.blocks.layers.layer import Activity, Layer
from tuilab.blocks.loss import Loss
from tuilab.blocks.losses import MeanSquaredError
from tuilab.blocks.metrics import Accuracy
from tuilab.engine.kernels import fused_activations, fused_updates
from tuilab.engine.kernels.small_steps import LARGEST, NO_ACCURACY, SIGMOID, SOFTMAX, SQUARES, THRESHOLD, small_steps
from tuilab.engine.network import Network
from tuilab.engine.targets import TargetEncoder
from tuilab.engine.trainer import MOST_STEPS, Trainer
from tuilab.experiment.plan import in_line

MOST_MULTIPLY_ADDS = 600_000
"""Of a batch's forward pass. Beyond, BLAS gains more on the products than starting single operations costs: a step in
the kernel took a tenth of the time at 1,000, a quarter at 80,000, half at 500,000."""
LOSSES: dict[type[Loss], int] = {
    CategoricalCrossentropy: SOFTMAX,
    BinaryCrossentropy: SIGMOID,
    MeanSquaredError: SQUARES,
}
"""CategoricalCrossentropy and BinaryCrossentropy where they are fused with the last activation."""


def small_network(trainer: Trainer) -> SmallNetwork | None:
    """Return the training for the kernel, None where a step does anything that the kernel does not know."""
    network, training, batches = trainer.network, trainer.experiment.training, trainer.train
    optimizer, plan, loss = training.optimizer, network.plan, LOSSES.get(type(network.loss))
    clips = optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm
    work = sum(leaf.layer.multiply_adds(leaf.input_shape) for leaf in plan.leaves) * network.batch_size
    known = (
        loss is not None
        and (loss == SQUARES or plan.fused)
        and len(plan.input_shape) == 1
        and in_line(plan.layers) == list(plan.leaves)
        and all(_is_plain(leaf.layer) for leaf in plan.leaves)
        and all(type(block) in fused_activations.NUMBERS for block in _activations(network))
        and fused_updates.rule_of(optimizer) is not None
        and not (any(clips) or optimizer.gradient_accumulation_steps or optimizer.use_ema)
        and training.metrics in ([], [Accuracy()])
        and trainer.class_weights is None
        and batches.augment is None
        and (batches.labels.dtype == np.int64 or batches.labels.ndim > 1)
    )
    return SmallNetwork(trainer, loss) if known and loss is not None and work <= MOST_MULTIPLY_ADDS else None


def _is_plain(layer: Layer) -> bool:
    return (
        isinstance(layer, Dense)
        and layer.trainable
        and not (layer.kernel_regularizer or layer.bias_regularizer or layer.activity_regularizer)
        and not (layer.kernel_constraint or layer.bias_constraint)
    )


def _activations(network: Network) -> list[Activation]:
    """Return what the layers themselves apply: the last one nothing, where its activation is fused with the loss."""
    return [bound.activation for bound in network.layers if isinstance(bound, BoundDense)]


class SmallNetwork:
    """A training as the kernel wants it. What it does in one call is what the same steps do one by one, but for the
    order in which sums are rounded."""

    failed = ""
    pending = 0

    def __init__(self, trainer: Trainer, loss: int) -> None:
        network, labels = trainer.network, trainer.train.labels
        plan, dtype, rows = network.plan, network.dtype, network.batch_size
        most = min(MOST_STEPS, trainer.experiment.training.statistics_every, len(trainer.train))
        layers = [leaf.layer for leaf in plan.leaves if isinstance(leaf.layer, Dense)]
        units = [plan.input_shape[0], *(layer.units for layer in layers)]
        self.trainer = trainer
        self.loss = loss
        self.accuracy = NO_ACCURACY
        if trainer.measures.metrics:
            self.accuracy = LARGEST if plan.outputs.one_of_many else THRESHOLD
        self.units = np.array(units)
        begins = [
            {entry.parameter.name: entry.place.start for entry in network.arena.of_layer(index)}
            for index in range(len(layers))
        ]
        ends = np.cumsum([0, *(rows * layer.units for layer in layers)])
        self.places = np.array(
            [(place["kernel"], place.get("bias", -1), end) for place, end in zip(begins, ends[:-1], strict=True)]
        )
        activations = _activations(network)
        self.activations = np.array([fused_activations.NUMBERS[type(block)] for block in activations])
        self.slopes = np.array([fused_activations.slope_of(block) for block in activations])
        self.x: Array = np.empty((rows * most, units[0]), dtype)
        self.labels: Array = np.empty((rows * most, *labels.shape[1:]), labels.dtype)
        self.encoder = TargetEncoder(network.ops, network.loss, plan.outputs, rows * most, dtype)
        self.no_labels, self.no_targets = np.empty(0, "int64"), np.empty((0, units[-1]), dtype)
        self.outputs = np.empty(ends[-1], dtype)
        self.activities = [
            Activity(block, y, y)
            for block, begin, end in zip(activations, ends[:-1], ends[1:], strict=True)
            for y in [self.outputs[begin:end].reshape(rows, -1)]
        ]
        self.spare = np.empty(6 * rows * max(units), dtype)
        self._losses = np.empty(most, dtype)
        self._done: list[float] = []
        self.settings, self.kept = np.zeros((most, 4)), np.ones(most)

    def steps(self, index: int, count: int) -> int:
        """Do up to `count` steps, on full batches from `index` of this epoch on; return how many. Ends before a step
        whose loss is not finite."""
        updater = self.trainer.updater
        before = updater.state()
        rule = self._write_settings(count)
        self._done = self._run(index, count, rule, updates=True)
        if len(self._done) < count:
            updater.restore(before)
            self._write_settings(len(self._done))
        return len(self._done)

    def losses(self, wait: bool) -> list[float]:
        """Return the losses of the steps done since."""
        losses, self._done = self._done, []
        return losses

    def gradients(self, index: int) -> list[float]:
        """Do a step on the full batch `index` without its update; return its loss, or nothing where it is not finite.
        What the layers gave is there to be looked at."""
        network = self.trainer.network
        losses = self._run(index, 1, 0, updates=False)
        for bound, activity in zip(network.layers, self.activities, strict=True):
            bound.activity = None if isinstance(activity.activation, Linear) else activity
        network.last_logits = self.activities[-1].y
        return losses

    def _run(self, index: int, count: int, rule: int, updates: bool) -> list[float]:
        trainer, rows = self.trainer, self.trainer.network.batch_size
        network, updater, batches = trainer.network, trainer.updater, trainer.train
        x, labels = self.x[: count * rows], self.labels[: count * rows]
        batches.load(index * rows, x, labels)
        one_a_sample = labels.ndim == 1
        read_targets = self.loss != SOFTMAX or self.accuracy == THRESHOLD
        slots = (*updater.slots.values(), *[network.arena.gradients] * 3)
        done = small_steps(
            self.units,
            self.places,
            self.activations,
            self.slopes,
            self.loss,
            getattr(network.loss, "label_smoothing", 0.0),
            self.accuracy,
            network.plan.outputs.threshold,
            rule,
            self.settings,
            self.kept[:count],
            updates,
            rows,
            network.arena.trainable_values,
            network.arena.gradients,
            *slots[:3],
            x,
            labels if one_a_sample and labels.dtype == np.int64 else self.no_labels,
            self.encoder.encode(labels) if read_targets else self.no_targets,
            self.outputs,
            network.predictions,
            self.spare,
            self._losses,
            trainer.measures.state,
        )
        losses: list[float] = self._losses[:done].tolist()
        return losses

    def _write_settings(self, count: int) -> int:
        """Write what the optimizer needs for the next steps, counting them as done; return its rule."""
        updater = self.trainer.updater
        rule, settings = fused_updates.rule_of(updater.optimizer) or (0, ())
        for row in range(count):
            coefficients, self.kept[row] = updater.next_coefficients()
            self.settings[row, : len(settings) + len(coefficients)] = (*settings, *coefficients)
        return rule
