"""Training: what it tells, the same bytes twice, going on, stopping, sizes at the edge."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import (
    EVERY_LAYER,
    end_of,
    losses_of,
    make_data,
    make_experiment,
    make_trainer,
    mlp,
    scripted,
    train,
)
from tests.kernels import every_device
from tuilab.data.load import load
from tuilab.engine import trainer as trainer_module
from tuilab.engine.events import EpochDone, Event, LayersSeen, StepsDone, TrainingDone, TrainingStarted
from tuilab.engine.network import Network
from tuilab.engine.trainer import Trainer
from tuilab.engine.updates import Updater
from tuilab.experiment.document import Experiment
from tuilab.experiment.load import load_experiment

pytestmark = every_device


def everything(**settings: Any) -> Experiment:
    return make_experiment(EVERY_LAYER, "categorical_crossentropy", metrics=["accuracy"], **settings)


@pytest.mark.parametrize("pause", [0, math.inf])
@pytest.mark.parametrize("steps_between_reads", [1, 3])
def test_events_add_up(monkeypatch: pytest.MonkeyPatch, pause: float, steps_between_reads: int) -> None:
    """50 samples in batches of 16: 4 steps an epoch. However often the losses are read and told."""
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_EVENTS", pause)
    trainer, events = train(everything(epochs=3), make_data(), steps_between_reads=steps_between_reads)
    started = events[0]
    assert isinstance(started, TrainingStarted)
    assert (started.device, started.epochs, started.steps_per_epoch, started.samples) == ("cpu", 3, 4, 50)
    assert started.parameters == trainer.plan.parameter_count

    steps = [event for event in events if isinstance(event, StepsDone)]
    assert len(steps) == (3 if pause else {1: 12, 3: 6}[steps_between_reads])
    told = 0
    for event in steps:
        told += len(event.losses)
        assert event.step == told
        assert event.epoch == math.ceil(event.step / 4)
        assert event.samples == 50 * (event.step // 4) + 16 * (event.step % 4)
        assert event.results.keys() == {"loss", "accuracy"}
    assert told == 12

    order = [(type(event).__name__, event.epoch) for event in events if isinstance(event, (StepsDone, EpochDone))]
    last_steps = [index for index, (name, _) in enumerate(order) if name == "EpochDone"]
    assert [order[index] for index in last_steps] == [("EpochDone", 1), ("EpochDone", 2), ("EpochDone", 3)]
    assert all(order[index - 1] == ("StepsDone", order[index][1]) for index in last_steps)
    done = end_of(events)
    assert (done.status, done.epoch, done.step, done.reason) == ("finished", 3, 12, "")
    assert trainer.history == [event for event in events if isinstance(event, EpochDone)]


@pytest.mark.parametrize("steps_between_reads", [2, 4, 100])
def test_reading_late_changes_nothing(steps_between_reads: int) -> None:
    at_once, late = (train(everything(), make_data(), steps_between_reads=reads) for reads in (1, steps_between_reads))
    assert losses_of(at_once[1]) == losses_of(late[1])
    assert np.array_equal(at_once[0].network.arena.values, late[0].network.arena.values)


def test_losses_are_those_of_the_formula_step_by_step() -> None:
    """A loop written out by hand gives the same losses and the same weights, to the last bit."""
    experiment, data = everything(optimizer={"type": "adam", "learning_rate": 0.01}), make_data()
    trainer, events = train(experiment, data)

    other = make_trainer(experiment, data)
    network, batches, arena = other.network, other.train, other.network.arena
    segments, training = arena.segments, experiment.training
    updater = Updater(network.ops, training.optimizer, arena.trainable_values, arena.gradients, segments, 8)
    losses, totals = [], []
    for epoch in (1, 2):
        batches.shuffle(experiment.seed, epoch)
        network.clock.epoch = epoch
        total = right = 0.0
        for x, labels in batches:
            network.clock.step = len(losses)
            predictions = network.measure(x, labels, training=True)
            losses.append(float(network.step_loss[0]))
            total += losses[-1] * len(x)
            right += int((predictions.argmax(axis=1) == labels).sum())
            network.backward()
            updater.apply()
            network.apply_constraints()
        totals.append({"loss": pytest.approx(total / 50, rel=1e-6), "accuracy": right / 50})
    assert losses_of(events) == losses
    assert trainer.network.arena.values.tobytes() == arena.values.tobytes()
    for done, expected in zip(trainer.history, totals, strict=True):
        assert {label: done.results[label] for label in ("loss", "accuracy")} == expected


def test_results_of_an_epoch_are_those_of_an_evaluation() -> None:
    trainer = make_trainer(everything(epochs=3), make_data())
    seen = 0
    for event in trainer.run():
        if isinstance(event, EpochDone):
            assert trainer.data.validation is not None
            validation = trainer.evaluate(trainer.data.validation)
            assert validation == {label: event.results[f"val_{label}"] for label in ("loss", "accuracy")}
            seen += 1
    assert seen == 3


def test_an_evaluation_between_two_events_disturbs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_EVENTS", 0)
    experiment, data = everything(statistics_every=1), make_data()
    plain, _ = train(experiment, data)
    watched = make_trainer(experiment, data)
    for event in watched.run():
        if isinstance(event, (StepsDone, LayersSeen)):
            watched.evaluate(data.train)
    for ours, theirs in zip(watched.history, plain.history, strict=True):
        assert ours.results == theirs.results
    assert np.array_equal(watched.network.arena.values, plain.network.arena.values)


def digits(seed: int = 7, epochs: int = 2) -> Trainer:
    experiment = load_experiment("digits-mlp", [f"training.epochs={epochs}", f"seed={seed}"])
    trainer = make_trainer(experiment, load(experiment.data, seed))
    list(trainer.run())
    return trainer


def test_the_same_seed_gives_the_same_bytes_twice_and_another_seed_others() -> None:
    first, second, other = digits(), digits(), digits(seed=8)
    assert first.network.arena.values.tobytes() == second.network.arena.values.tobytes()
    assert [epoch.results for epoch in first.history] == [epoch.results for epoch in second.history]
    assert not np.isclose(first.network.arena.values, other.network.arena.values).all()


def test_another_process_gives_the_same_bytes() -> None:
    """Where hashes of texts, and so the order of sets, are others."""
    code = (
        "import hashlib; from tests.engine.test_trainer import digits; "
        "print(hashlib.sha256(digits(epochs=1).network.arena.values.tobytes()).hexdigest())"
    )
    digests = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        digests.add(run.stdout)
    assert len(digests) == 1


def test_every_layer_twice() -> None:
    first, second = (train(everything(), make_data())[0] for _ in range(2))
    assert first.network.arena.values.tobytes() == second.network.arena.values.tobytes()


def test_training_goes_on_from_the_step_number_as_if_it_had_never_stopped() -> None:
    """Dropout, noise and order depend on seed, epoch and step alone; the rest is weights and optimizer state."""
    experiment = everything(epochs=4, optimizer={"type": "adam", "use_ema": True})
    data = make_data()
    whole, _ = train(experiment, data)

    first = make_trainer(experiment, data)
    for event in first.run():
        if isinstance(event, EpochDone) and event.epoch == 2:
            break
    second = make_trainer(experiment, data)
    second.network.arena.values[...] = first.network.arena.values
    for name, slot in first.updater.slots.items():
        second.updater.slots[name][...] = slot
    second.updater.restore(first.updater.state())
    second.epoch, second.step = first.epoch, first.step
    list(second.run())
    assert second.network.arena.values.tobytes() == whole.network.arena.values.tobytes()


def test_without_shuffling_every_epoch_has_the_order_of_the_set() -> None:
    trainer, _ = train(mlp(data={"shuffle": False}), make_data())
    assert trainer.train.order.tolist() == list(range(50))
    trainer, _ = train(mlp(), make_data())
    assert trainer.train.order.tolist() != list(range(50))


@pytest.mark.parametrize("kind", [TrainingStarted, StepsDone, LayersSeen, EpochDone])
@pytest.mark.parametrize("steps_between_reads", [1, 3])
def test_stop_between_two_events(monkeypatch: pytest.MonkeyPatch, kind: type[Event], steps_between_reads: int) -> None:
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_EVENTS", 0)
    experiment = mlp(epochs=5, optimizer={"type": "sgd", "use_ema": True}, statistics_every=2)
    trainer = make_trainer(experiment, make_data(), steps_between_reads)
    events, after = [], None
    for event in trainer.run():
        events.append(event)
        if isinstance(event, kind) and after is None:
            trainer.stop("enough")
            after = trainer.network.arena.values.tobytes()
    done = end_of(events)
    assert (done.status, done.reason) == ("stopped", "enough")
    assert done.step == {TrainingStarted: 0, StepsDone: steps_between_reads, LayersSeen: 1, EpochDone: 4}[kind]
    assert done.epoch == (1 if kind is EpochDone else 0)
    assert len(losses_of(events)) == done.step, "the loss of every step that was done is told"
    assert trainer.network.arena.values.tobytes() == after, "neither best nor averaged weights: training may go on"


def test_stop_when_it_is_over_anyway_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(mlp(epochs=2), make_data())
    for event in trainer.run():
        if isinstance(event, EpochDone) and event.epoch == 2:
            trainer.stop("too late")
    assert isinstance(event, TrainingDone)
    assert (event.status, event.reason) == ("finished", "")

    scripted(monkeypatch, "loss", [1, 2])
    trainer = make_trainer(mlp(epochs=9, early_stopping={"patience": 1}), make_data())
    for event in trainer.run():
        if isinstance(event, EpochDone) and event.epoch == 2:
            trainer.stop("too late")
    assert isinstance(event, TrainingDone)
    assert (event.status, event.epoch) == ("finished", 2)


@pytest.mark.parametrize(("samples", "steps"), [(1, 1), (15, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_any_number_of_samples(samples: int, steps: int) -> None:
    trainer, events = train(everything(epochs=1), make_data(train=samples))
    assert end_of(events).status == "finished"
    assert trainer.step == steps == len(losses_of(events))
    assert trainer.samples == samples
    assert trainer.network.batch_size == min(samples, 16)


def test_a_network_without_anything_to_learn() -> None:
    layers = [{"type": "flatten"}, {"type": "activation", "activation": "softmax"}]
    experiment = make_experiment(layers, "categorical_crossentropy", optimizer={"type": "adam", "global_clipnorm": 1.0})
    trainer, events = train(experiment, make_data(shape=(3,)))
    assert end_of(events).status == "finished"
    assert trainer.history[0].results["val_loss"] == trainer.history[1].results["val_loss"] > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_precision_throughout(dtype: str) -> None:
    trainer, _ = train(everything(dtype=dtype), make_data())
    assert trainer.network.arena.values.dtype == dtype
    assert all(slot.dtype == dtype for slot in trainer.updater.slots.values())
    assert trainer.network.predictions.dtype == trainer.train.batch(0)[0].dtype == dtype


def test_learning_works() -> None:
    """A linear problem with noise-free labels is learned, by every route through the engine."""
    experiment = mlp(epochs=80, metrics=["accuracy"], optimizer={"type": "adam", "learning_rate": 0.02})
    trainer, _ = train(experiment, make_data(train=200, validation=100))
    assert trainer.history[-1].results["accuracy"] > 0.97
    assert trainer.history[-1].results["val_accuracy"] > 0.9


def test_what_runs_in_a_step_never_waits_for_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two reads of the losses nothing is copied to the host."""
    monkeypatch.setattr(trainer_module, "SECONDS_BETWEEN_EVENTS", math.inf)
    trainer = make_trainer(everything(epochs=1, statistics_every=1000), make_data(train=160), steps_between_reads=5)
    reads: list[int] = []
    to_host: Callable[[Any], Any] = trainer.device.ops.to_host

    def counted(array: Any) -> Any:
        reads.append(trainer.step)
        return to_host(array)

    monkeypatch.setattr(trainer.device.ops, "to_host", counted)
    for event in trainer.run():
        if isinstance(event, StepsDone):
            break
    between = {step for step in reads if step % 5 != 4 and step != 10}
    assert between == {0, 1}, "but for the statistics of the first step, before its update and after"


def test_networks_of_one_process_do_not_disturb_each_other() -> None:
    """Two trainings step by step in turn give what each gives alone."""
    alone = [train(everything(seed=seed), make_data())[0].network.arena.values for seed in (1, 2)]
    pair: list[Trainer] = [make_trainer(everything(seed=seed), make_data()) for seed in (1, 2)]
    for _ in zip_longest(*(trainer.run() for trainer in pair)):  # how often one tells of its steps is a matter of time
        pass
    networks: list[Network] = [trainer.network for trainer in pair]
    for network, values in zip(networks, alone, strict=True):
        assert np.array_equal(network.arena.values, values)
