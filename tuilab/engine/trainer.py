"""Trains a network: steps, epochs, validation, early stopping; tells everything as events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from tuilab.blocks.arrays import Array, HostArray
from tuilab.blocks.samples import Data, Split
from tuilab.engine.batches import Batches, batches_for
from tuilab.engine.class_weights import class_weights
from tuilab.engine.device import Device
from tuilab.engine.distributions import Distributions
from tuilab.engine.divergence import all_finite, find_origin, find_overflow
from tuilab.engine.events import (
    EpochDone,
    Event,
    LayersSeen,
    Status,
    StepsDone,
    TrainingDone,
    TrainingStarted,
)
from tuilab.engine.measures import Measures, evaluate
from tuilab.engine.monitor import Best, Patience, check_monitors
from tuilab.engine.network import Network
from tuilab.engine.precision import LEAST_SCALE, settle_precision
from tuilab.engine.statistics import Statistics
from tuilab.engine.updates import CHUNK, Updater
from tuilab.experiment.document import Experiment
from tuilab.experiment.plan import plan

if TYPE_CHECKING:
    from tuilab.engine.graph import StepGraph
    from tuilab.engine.small_network import SmallNetwork

SECONDS_BETWEEN_EVENTS = 0.05
MOST_STEPS = 64
"""At once, of a small network: few enough that nobody who waits for their end notices."""


class Trainer:
    """One training of one experiment on data that is in memory.

    `run` is a generator of events; whoever consumes it decides the pace and may call `stop` between two of them.
    """

    def __init__(self, experiment: Experiment, data: Data, device: Device) -> None:
        training = experiment.training
        self.experiment = experiment
        self.data = data
        self.device = device
        self.plan = plan(experiment, data.info)
        check_monitors(experiment, data.validation is not None)
        self.loss_scaling = settle_precision(experiment, device)
        ops, batch_size = device.ops, min(experiment.data.batch_size, len(data.train))
        scale = None if self.loss_scaling is None else self.loss_scaling.scale
        self.network = Network(
            ops, self.plan, training.loss, batch_size, training.dtype, experiment.seed, loss_scale=scale
        )
        self.train = batches_for(self.network, data.train, data.scaling, training=True)
        self.validation = None if data.validation is None else self._batches(data.validation)
        arena = self.network.arena
        self.updater = Updater(
            ops,
            training.optimizer,
            arena.trainable_values,
            arena.gradients,
            arena.segments,
            total_steps=training.epochs * len(self.train),
            chunk=arena.trainable_size or 1 if ops.records else CHUNK,
            loss_scaling=self.loss_scaling,
        )
        self.measures = Measures(ops, training.metrics, self.plan.outputs)
        self.statistics = Statistics(self.network)
        self.distributions = Distributions(self.network)
        self.class_weights = class_weights(ops, training, data)
        self.sample_weights: Array = ops.xp.empty(batch_size, dtype=training.dtype)
        monitor = "val_loss" if self.validation is not None else "loss"
        stopping = training.early_stopping
        self.patience = None if stopping is None else Patience(stopping)
        self.best = self.patience.best if self.patience else Best(monitor)
        self.best_values: Array = ops.xp.array(arena.values)
        self.recent: Array = ops.xp.zeros(device.steps_between_reads, dtype=training.dtype)
        self._unread = 0
        self._losses: list[float] = []
        self.statistics_due = False
        """Look at the layers at the next update."""
        self.epoch = 0
        self.step = 0
        self.samples = 0
        self.values_to_go_on: HostArray | None = None
        """The weights of the last step, where the training ended with others."""
        self.seconds_before = 0.0
        """Spent on these steps before this process went on with them."""
        self.history: list[EpochDone] = []
        self.step_by_step = False
        """Tell of every step, so that whoever consumes the events can pause after each."""
        self.one_by_one = ""
        """Why the steps have to be started one by one, on a device that could do several by itself."""
        self._small: SmallNetwork | StepGraph | None = None
        """Does several steps at once: where the network is small, or the device can record what a step is."""
        if ops.compiles:
            from tuilab.engine.small_network import small_network

            self._small = small_network(self)
        elif ops.records:
            from tuilab.engine.graph import step_graph

            self._small = step_graph(self)
        self._stop_reason = ""
        self._status: Status = "finished"

    def _batches(self, split: Split) -> Batches:
        return batches_for(self.network, split, self.data.scaling)

    def lasting_arrays(self) -> dict[str, Array]:
        """Return every array that lives from step to step, by name: what a checkpoint holds."""
        slots = {f"slots.{name}": array for name, array in self.updater.slots.items()}
        return {
            "values": self.network.arena.values,
            "best_values": self.best_values,
            "measures": self.measures.state,
            **slots,
            **({} if self.loss_scaling is None else {"loss_scaling": self.loss_scaling.state}),
        }

    def seconds(self) -> float:
        """Return the seconds spent on this training so far."""
        return self.seconds_before + perf_counter() - self.started

    @property
    def stopping(self) -> bool:
        """Whether the training ends after the step that is being done."""
        return bool(self._stop_reason)

    def stop(self, reason: str) -> None:
        """Let the training end after the step that is being done."""
        if not self._stop_reason and self.epoch < self.experiment.training.epochs:
            self._stop_reason, self._status = reason, "stopped"

    def leave_out(self, seconds: float) -> None:
        """Do not count time for which the training was paused."""
        self.started += seconds

    def change(self, experiment: Experiment) -> None:
        """Go on with another number of epochs or another learning rate.

        Raises ValueError, and changes nothing, where anything else differs or the epochs are over already.
        """
        training, now = self.experiment.training, experiment.training
        optimizer = training.optimizer.model_copy(update={"learning_rate": now.optimizer.learning_rate})
        changed = training.model_copy(update={"epochs": now.epochs, "optimizer": optimizer})
        if self.experiment.model_copy(update={"training": changed}) != experiment:
            raise ValueError("only training.epochs and training.optimizer.learning_rate can change while it trains")
        if now.epochs < self.epoch + 1:
            raise ValueError(f"epoch {self.epoch + 1} has begun, so there cannot be {now.epochs} epochs")
        self.experiment = experiment
        self.updater.change(now.optimizer, total_steps=now.epochs * len(self.train))

    def run(self) -> Iterator[Event]:
        """Train on from where it stands, and yield what happens. Ends with TrainingDone, whatever happened."""
        epochs, parameters = self.experiment.training.epochs, self.plan.parameter_count
        self.started = self._told = perf_counter()
        if self.loss_scaling is not None:
            self.loss_scaling.read()
        yield TrainingStarted(self.device.name, parameters, epochs, len(self.train), self.train.samples)
        if self.patience is not None and self.patience.over(self.epoch):  # it was over before this process
            self._stop_reason = self._no_better()
        try:
            while self.epoch < self.experiment.training.epochs and not self._stop_reason:
                yield from self._run_epoch()
        finally:
            self.train.rest()
        self._finish()
        yield TrainingDone(self._status, self.epoch, self.step, self.seconds(), self._stop_reason)

    def _no_better(self) -> str:
        return f"{self.best.monitor} has not become better since epoch {self.best.epoch}"

    def _run_epoch(self) -> Iterator[Event]:
        started, samples = self.seconds(), self.samples
        epoch = self.epoch + 1
        if self.experiment.data.shuffle:
            self.train.shuffle(self.experiment.seed, epoch)
        done = self.step - self.epoch * len(self.train)
        if not done:
            self.measures.start()
        while done < len(self.train) and not self._stop_reason:
            self.network.clock.epoch, self.network.clock.step = epoch, self.step
            if self._small is not None and self._run_ahead(self._small, done):
                if self._due():
                    yield from self._tell_steps(epoch)
            else:
                yield from self._run_step(epoch, done)
            done = self.step - self.epoch * len(self.train)
        self._hear(wait=True)
        if not self._stop_reason:
            self._check_overflow()
        if self._unread:
            self._read_losses()
        if self._losses:
            yield from self._tell_steps(epoch)
        if self._stop_reason:
            return
        results = self.measures.results()
        trained = self.seconds() - started
        if self.validation is not None:
            validated = evaluate(self.network, self.validation, self.measures)
            results |= {f"val_{label}": value for label, value in validated.items()}
            if not math.isfinite(validated["loss"]):
                self._diverge_in_validation(self.validation)
                return
        self.epoch = epoch
        self.updater.epoch_done(results)
        exhausted = self.patience is not None and self.patience.exhausted(epoch, results)
        if self.patience is None:
            self.best.improved(epoch, results)
        if self.best.epoch == epoch:
            self.device.ops.xp.copyto(self.best_values, self.network.arena.values)
        if exhausted and not self._stop_reason:
            self._stop_reason = self._no_better()
        epoch_done = EpochDone(
            epoch=epoch,
            step=self.step,
            results=results,
            learning_rate=self.updater.learning_rate,
            seconds=self.seconds() - started,
            samples_per_second=(self.samples - samples) / trained,
            best=self.best.epoch == epoch,
        )
        self.history.append(epoch_done)
        yield epoch_done

    def _run_step(self, epoch: int, index: int) -> Iterator[Event]:
        last = (self.step + 1) % len(self.train) == 0
        self.statistics_due |= self.step % self.experiment.training.statistics_every == 0
        updates = self.updater.step
        left = self.experiment.training.epochs * len(self.train) - self.step
        drawn = self.statistics_due and (
            self.step_by_step or left <= self.experiment.training.statistics_every or self.distributions.due()
        )
        watchers: list[Statistics | Distributions] = [self.statistics] if self.statistics_due else []
        if drawn:
            watchers.append(self.distributions)
        with self.device.ops.quiet():
            losses = self._small.gradients(index) if self._small is not None and self._is_full(index) else []
            if losses:
                self._losses += losses
                self._update(self.network.batch_size, watchers)
            else:
                x, labels = self.train.batch(index)
                read = last or self.step_by_step or self._small is not None
                if not self.train_batch(x, labels, read, watchers, self.train.targets):
                    self._diverge(x)
                    return
            updated = self.updater.step > updates  # not while gradients of several batches are gathered
            states = self.statistics.after_update() if watchers and updated else ()
            distributions = self.distributions.after_update() if states and drawn else ()
        if states:
            self.statistics_due = False
            yield LayersSeen(epoch, self.step, states, distributions)
        if self._due() and not last and not self._unread:
            yield from self._tell_steps(epoch)

    def _run_ahead(self, small: SmallNetwork | StepGraph, index: int) -> bool:
        """Do the steps on full batches from `index` on that nobody looks at; return whether there were any, or the
        training ends. Their losses may arrive later."""
        every, done = self.experiment.training.statistics_every, 0
        full = self.train.samples // self.network.batch_size
        count = min(every - self.step % every, full - index, 1 if self.step_by_step else MOST_STEPS)
        if count > 0 and not (self.statistics_due or self.step % every == 0):
            done = small.steps(index, count)
        self.step += done
        self.samples += done * self.network.batch_size
        self._hear(wait=not done)
        if small.failed:
            self.one_by_one, self._small = small.failed, None
        return bool(done or self._stop_reason)

    def _hear(self, wait: bool) -> None:
        """Take the losses of steps done ahead, those that have arrived or, with `wait`, all."""
        if self._small is None:
            return
        losses = self._small.losses(wait)
        self._losses += losses
        wrong = [place for place, loss in enumerate(losses) if not math.isfinite(loss)]
        if wrong and self._status != "diverged":  # the steps after it were done as well
            self._status = "diverged"
            first = self.step - self._small.pending - len(losses) + 1
            self._stop_reason = f"the loss is not finite at step {first + wrong[0]}"

    def _is_full(self, index: int) -> bool:
        """Whether batch `index` has as many samples as any."""
        return (index + 1) * self.network.batch_size <= self.train.samples

    def _due(self) -> bool:
        """Whether it is time to tell of the steps done."""
        return self.step_by_step or perf_counter() - self._told >= SECONDS_BETWEEN_EVENTS

    def _tell_steps(self, epoch: int) -> Iterator[Event]:
        """Tell everything since the last time."""
        self._hear(wait=True)
        self._told = perf_counter()
        losses = tuple(self._losses)
        self._losses.clear()
        skipped = None if self.loss_scaling is None else self.loss_scaling.read()
        yield StepsDone(
            epoch=epoch,
            step=self.step,
            losses=losses,
            results=self.measures.results(),
            learning_rate=self.updater.learning_rate,
            samples=self.samples,
            seconds=self.seconds(),
        )
        if skipped is not None:
            yield skipped
            if skipped.loss_scale < LEAST_SCALE and not self._stop_reason:
                self._status = "diverged"
                self._stop_reason = (
                    f"the gradients are not finite at step {self.step}, however little the loss is scaled"
                )

    def _diverge(self, x: Array) -> None:
        """End the training: a loss that was just read is not finite, that of batch `x` or, on a device that is not
        read at every step, one shortly before, whose batch and weights are gone."""
        late = max(back for back, loss in enumerate(reversed(self._losses)) if not math.isfinite(loss))
        self._losses.pop()  # of the step that is not done
        self._status = "diverged"
        self._stop_reason = f"the loss is not finite at step {self.step + 1 - late}"
        if not late:
            self._stop_reason += f": {find_origin(self.network, x, training=True)}"

    def _check_overflow(self) -> None:
        """End the training where the last update of an epoch overflowed: no later loss would show it in time."""
        overflow = find_overflow(self.network)
        if overflow:
            self._status = "diverged"
            self._stop_reason = f"the weights are not finite after step {self.step}: {overflow}"

    def _diverge_in_validation(self, validation: Batches) -> None:
        """End the training: the weights give finite losses in training, but not for every sample that is held out."""
        network = self.network
        self._status, self._stop_reason = "diverged", f"val_loss is not finite after step {self.step}"
        with network.ops.quiet():
            for x, labels in validation:
                network.measure(x, labels)
                if not all_finite(network.ops, network.step_loss):
                    self._stop_reason += f": {find_origin(network, x, training=False)}"
                    return

    def train_batch(
        self,
        x: Array,
        labels: Array,
        read: bool = False,
        watchers: Sequence[Statistics | Distributions] = (),
        targets: Array | None = None,
    ) -> bool:
        """Do one step on inputs (rows, *input shape) and their labels; returns False, and leaves the weights as they
        are, where a loss that was read is not finite. `watchers` look at the gradients; `targets`, (rows, units), where
        samples are mixed, are what the loss compares with."""
        weights, predictions = self._measure(x, labels, targets)
        if not self._read_loss(read):
            return False
        self.measures.add(self.network.step_loss, labels, predictions)
        self.network.backward(weights)
        self._update(len(labels), watchers)
        return True

    def gather_gradients(self, x: Array, labels: Array, targets: Array | None) -> None:
        """Do what `train_batch` does until the update, without reading anything."""
        weights, predictions = self._measure(x, labels, targets)
        self.measures.add(self.network.step_loss, labels, predictions)
        self.network.backward(weights)

    def _measure(self, x: Array, labels: Array, targets: Array | None) -> tuple[Array | None, Array]:
        """Run forwards; return the samples' weights, None where all weigh the same, and the predictions."""
        weights = None
        if self.class_weights is not None:
            weights = self.sample_weights[: len(labels)]
            self.device.ops.gather(self.class_weights, labels, out=weights)
        wanted = labels if targets is None else targets
        return weights, self.network.measure(x, wanted, training=True, weights=weights)

    def _update(self, samples: int, watchers: Sequence[Statistics | Distributions]) -> None:
        """End a step with the update, once its gradients are there."""
        for watcher in watchers:
            watcher.before_update()
        if self.updater.apply():
            self.network.apply_constraints()
        self.step += 1
        self.samples += samples

    def _read_loss(self, now: bool) -> bool:
        """Put the step's loss beside those not read yet; read them when there are enough, or `now`. Returns whether
        all that were read are finite."""
        self.recent[self._unread] = self.network.step_loss[0]
        self._unread += 1
        if self._unread < self.device.steps_between_reads and not now:
            return True
        return self._read_losses()

    def _read_losses(self) -> bool:
        losses: list[float] = self.device.ops.to_host(self.recent[: self._unread]).tolist()
        self._losses += losses
        self._unread = 0
        return all(map(math.isfinite, losses))

    def _finish(self) -> None:
        """Leave the network with the weights that the experiment asks for; after a divergence with the best ones."""
        stopping = self.experiment.training.early_stopping
        restore = stopping is not None and stopping.restore_best_weights and self.best.epoch > 0
        ema = self.experiment.training.optimizer.use_ema
        if self._status == "stopped" or not (self._status == "diverged" or restore or ema):
            return
        self.values_to_go_on = self.device.ops.to_host(self.network.arena.values)
        if self._status == "diverged" or restore:
            self.device.ops.xp.copyto(self.network.arena.values, self.best_values)
        else:
            self.updater.finish()
            self.network.apply_constraints()  # an average of weights that satisfy them need not

    def evaluate(self, split: Split) -> dict[str, float]:
        """Return loss and metrics of the network as it is now on one part of the data."""
        measures = Measures(self.device.ops, self.experiment.training.metrics, self.plan.outputs)
        return evaluate(self.network, self._batches(split), measures)
