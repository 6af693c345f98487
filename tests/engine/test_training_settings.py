"""What `[training]` sets: early stopping, schedules, gathered gradients, averages, constraints, class weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import (
    end_of,
    make_data,
    make_experiment,
    make_trainer,
    mlp,
    scripted,
    train,
    weights_by_epoch,
)
from tests.kernels import every_device
from tuilab.blocks.samples import Data, Split
from tuilab.engine.events import LayersSeen, StepsDone, TrainingDone
from tuilab.errors import ExperimentError

pytestmark = every_device


@pytest.mark.parametrize(
    ("stopping", "values", "last", "best"),
    [
        ({"patience": 2}, [5, 4, 4.5, 4.4, 3], 4, 2),
        ({"patience": 3}, [5, 4, 4.5, 4.4, 3, 3, 3, 3, 1], 8, 5),
        ({"patience": 1}, [5, 4, 3, 3, 1], 4, 3),
        ({"patience": 0}, [5, 4, 3, 3, 1], 4, 3),
        ({"patience": 2, "min_delta": 0.5}, [5, 4.6, 4.4, 4.2, 4.0, 1], 5, 3),
        ({"patience": 2, "monitor": "val_accuracy"}, [0.5, 0.6, 0.55, 0.6, 0.7], 4, 2),
        ({"patience": 2, "monitor": "val_accuracy", "min_delta": 0.1}, [0.5, 0.55, 0.65, 0.7, 0.75, 0.9], 5, 3),
    ],
)
@pytest.mark.parametrize("restore", [True, False])
def test_early_stopping(
    monkeypatch: pytest.MonkeyPatch, stopping: dict[str, Any], values: list[float], last: int, best: int, restore: bool
) -> None:
    label = stopping.get("monitor", "val_loss").removeprefix("val_")
    scripted(monkeypatch, label, values)
    stopping = {**stopping, "restore_best_weights": restore}
    trainer = make_trainer(mlp(epochs=20, metrics=["accuracy"], early_stopping=stopping), make_data())
    weights, events = weights_by_epoch(trainer)
    done = end_of(events)
    assert (done.status, done.epoch) == ("finished", last)
    assert done.reason == f"val_{label} has not become better since epoch {best}"
    assert trainer.best.epoch == best
    assert [epoch.best for epoch in trainer.history][best - 1]
    assert not any(epoch.best for epoch in trainer.history[best:])
    assert trainer.network.arena.values.tobytes() == weights[best if restore else last]


def test_patience_that_lasts_restores_the_best_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "loss", [3, 2, 4])
    trainer = make_trainer(mlp(epochs=3, early_stopping={"patience": 9}), make_data())
    weights, events = weights_by_epoch(trainer)
    assert end_of(events).reason == ""
    assert trainer.network.arena.values.tobytes() == weights[2]


def test_without_early_stopping_the_last_weights_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "loss", [3, 2, 4])
    trainer = make_trainer(mlp(epochs=3), make_data())
    weights, _ = weights_by_epoch(trainer)
    assert [epoch.best for epoch in trainer.history] == [True, True, False]
    assert trainer.best_values.tobytes() == weights[2]
    assert trainer.network.arena.values.tobytes() == weights[3]


def test_overfitting_is_stopped() -> None:
    """For real: twelve samples with labels that mean nothing."""
    data = make_data(train=12, validation=60)
    data = replace(data, train=Split(data.train.features, np.random.default_rng(1).integers(0, 3, 12)))
    stopping = {"patience": 5}
    trainer, events = train(mlp(epochs=500, optimizer="rmsprop", early_stopping=stopping), data)
    assert end_of(events).epoch == trainer.best.epoch + 5 < 500
    assert data.validation is not None
    assert trainer.evaluate(data.validation)["loss"] == min(epoch.results["val_loss"] for epoch in trainer.history)


def test_a_set_without_validation_monitors_its_training() -> None:
    data = make_data(validation=0)
    trainer, _ = train(mlp(early_stopping={"monitor": "loss"}, epochs=3), data)
    assert trainer.best.monitor == "loss"
    assert trainer.history[0].results.keys() == {"loss"}
    assert train(mlp(), data)[0].best.monitor == "loss"
    with pytest.raises(ExperimentError) as failure:
        make_trainer(mlp(early_stopping={"monitor": "val_loss"}), data)
    assert 'training.early_stopping.monitor: the data has no validation part: monitor = "loss"' in str(failure.value)
    with pytest.raises(ExperimentError, match=r"training\.optimizer\.learning_rate\.monitor"):
        make_trainer(mlp(optimizer={"type": "adam", "learning_rate": {"type": "reduce_on_plateau"}}), data)


def test_a_schedule_counts_steps_through_the_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halved every two epochs of four steps; an epoch tells the rate of its last update."""
    monkeypatch.setattr("tuilab.engine.trainer.SECONDS_BETWEEN_EVENTS", math.inf)
    rate = {"type": "exponential_decay", "initial_learning_rate": 0.1, "decay_steps": 8, "decay_rate": 0.5}
    trainer, events = train(mlp(epochs=4, optimizer={"type": "sgd", "learning_rate": rate}), make_data())
    expected = [0.1 * 0.5 ** (step / 8) for step in (3, 7, 11, 15)]
    assert [epoch.learning_rate for epoch in trainer.history] == pytest.approx(expected)
    assert [event.learning_rate for event in events if isinstance(event, StepsDone)] == pytest.approx(expected)


def test_a_schedule_without_length_takes_the_whole_training() -> None:
    rate = {"type": "polynomial", "initial_learning_rate": 0.1, "end_learning_rate": 0.0}
    optimizer = {"type": "sgd", "learning_rate": rate, "gradient_accumulation_steps": 2}
    trainer, _ = train(mlp(epochs=5, optimizer=optimizer), make_data())
    assert trainer.updater.step == 10
    assert [epoch.learning_rate for epoch in trainer.history] == pytest.approx([0.09, 0.07, 0.05, 0.03, 0.01])


def test_a_plateau_lowers_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "loss", [3, 2, 2, 2, 2, 2])
    rate = {"type": "reduce_on_plateau", "initial_learning_rate": 0.1, "factor": 0.5, "patience": 2}
    trainer, _ = train(mlp(epochs=6, optimizer={"type": "sgd", "learning_rate": rate}), make_data())
    assert [epoch.learning_rate for epoch in trainer.history] == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


def test_gathered_gradients_of_small_batches_equal_those_of_a_large_one() -> None:
    data = make_data(train=48, dtype="float64")
    trained = []
    for batch_size, optimizer in ((16, {}), (4, {"gradient_accumulation_steps": 4})):
        experiment = mlp(
            dtype="float64",
            epochs=3,
            optimizer={"type": "sgd", "learning_rate": 0.3, "momentum": 0.9, **optimizer},
            data={"batch_size": batch_size},
        )
        trained.append(train(experiment, data)[0])
    assert [trainer.updater.step for trainer in trained] == [9, 9]
    assert [trainer.step for trainer in trained] == [9, 36]
    np.testing.assert_allclose(*(trainer.network.arena.values for trainer in trained), rtol=1e-9, atol=1e-12)


def test_gradients_wait_from_one_epoch_to_the_next() -> None:
    """Three epochs of four batches, gathered by five: two updates, after batches 5 and 10."""
    optimizer = {"type": "sgd", "learning_rate": 0.3, "gradient_accumulation_steps": 5}
    trainer = make_trainer(mlp(epochs=3, optimizer=optimizer), make_data())
    weights, _ = weights_by_epoch(trainer)
    assert trainer.updater.step == 2
    assert weights[1] != weights[2] != weights[3]
    start = make_trainer(mlp(), make_data()).network.arena.values.tobytes()
    assert weights[1] == start


def test_training_ends_with_the_moving_average_of_the_weights() -> None:
    experiment = mlp(
        dtype="float64",
        optimizer={"type": "sgd", "learning_rate": 0.3, "use_ema": True, "ema_momentum": 0.8},
        statistics_every=1,
    )
    trainer = make_trainer(experiment, make_data(dtype="float64"))
    average: Any = None
    for event in trainer.run():
        if isinstance(event, LayersSeen):
            weights = trainer.network.arena.values.copy()
            average = weights if average is None else 0.8 * average + 0.2 * weights
    np.testing.assert_allclose(trainer.network.arena.values, average, rtol=1e-12)
    assert not np.allclose(average, weights)


@pytest.mark.parametrize("use_ema", [False, True])
def test_constraints_hold_whatever_the_optimizer_does(use_ema: bool) -> None:
    layers = [
        {"type": "dense", "units": 8, "kernel_constraint": {"type": "unit_norm"}, "bias_constraint": "non_neg"},
        {"type": "dense", "units": 3, "activation": "softmax"},
    ]
    experiment = make_experiment(
        layers,
        "categorical_crossentropy",
        statistics_every=1,
        optimizer={"type": "adam", "learning_rate": 0.2, "use_ema": use_ema},
    )
    trainer = make_trainer(experiment, make_data())
    parameters = dict(trainer.network.parameters())
    looks = 0
    for event in trainer.run():
        if isinstance(event, (LayersSeen, TrainingDone)):
            np.testing.assert_allclose(np.linalg.norm(parameters["dense_1/kernel"], axis=0), 1, rtol=1e-5)
            assert (parameters["dense_1/bias"] >= 0).all()
            looks += 1
    assert looks == 9
    assert parameters["dense_2/bias"].min() < 0


def imbalanced(counts: tuple[int, int, int] = (30, 12, 6)) -> Data:
    data = make_data(train=sum(counts), validation=0)
    return replace(data, train=Split(data.train.features, np.repeat([0, 1, 2], counts)))


def test_balanced_weights_make_all_classes_count_alike() -> None:
    """samples / (classes · samples of the class): 48 / (3 · 30), 48 / (3 · 12), 48 / (3 · 6)."""
    trainer = make_trainer(mlp(class_weight="balanced"), imbalanced())
    assert trainer.class_weights is not None
    np.testing.assert_allclose(trainer.class_weights, [48 / 90, 48 / 36, 48 / 18], rtol=1e-6)


def test_weights_by_name_multiply_the_losses() -> None:
    data = imbalanced()
    experiment = mlp(class_weight={"green": 3.0, "blue": 0.0}, epochs=1, dtype="float64", data={"batch_size": 48})
    trainer = make_trainer(experiment, data)
    assert trainer.class_weights is not None
    assert trainer.class_weights.tolist() == [1, 3, 0]
    network = trainer.network
    chosen = network.forward(data.train.features)[np.arange(48), data.train.targets]
    expected = (-np.log(chosen) * np.array([1, 3, 0])[data.train.targets]).mean()
    results = next(event for event in trainer.run() if isinstance(event, StepsDone))
    assert results.losses == pytest.approx([expected])


def test_a_class_without_weight_teaches_nothing() -> None:
    """Its samples changed, the weights do not."""
    data = imbalanced()
    changed = data.train.features.copy()
    changed[data.train.targets == 2] += 5
    trained = [
        train(mlp(class_weight={"blue": 0.0}), replace(data, train=Split(features, data.train.targets)))[0]
        for features in (data.train.features, changed)
    ]
    np.testing.assert_allclose(*(trainer.network.arena.values for trainer in trained), rtol=1e-5, atol=1e-7)


def test_weights_do_not_touch_the_validation() -> None:
    data = make_data()
    trainer, _ = train(mlp(class_weight={"red": 0.0, "green": 0.0, "blue": 0.0}, epochs=1), data)
    plain = make_trainer(mlp(), data)
    assert data.validation is not None
    assert trainer.history[0].results["val_loss"] == plain.evaluate(data.validation)["loss"] > 0
