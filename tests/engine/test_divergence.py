"""NaN and infinity: training ends, says where they came from, and leaves the best weights so far."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import make_data, make_experiment, make_network, make_trainer, mlp, train
from tests.kernels import every_device
from tuilab.blocks.samples import Data, Split
from tuilab.engine.events import EpochDone, StepsDone, TrainingDone
from tuilab.engine.trainer import Trainer

pytestmark = every_device

FAST = {"type": "sgd", "learning_rate": 1e39}


def constant(value: float) -> dict[str, Any]:
    return {"type": "constant", "value": value}


def dense(units: int, activation: str = "linear", **settings: Any) -> dict[str, Any]:
    return {"type": "dense", "units": units, "activation": activation, **settings}


def ending(trainer: Trainer) -> TrainingDone:
    """Train; return the end, after a look at what must hold whatever happened."""
    events = list(trainer.run())
    done = events[-1]
    assert isinstance(done, TrainingDone)
    assert done.status == "diverged"
    assert np.isfinite(trainer.network.arena.values).all()
    losses = [loss for event in events if isinstance(event, StepsDone) for loss in event.losses]
    assert len(losses) == done.step == trainer.step
    assert all(map(math.isfinite, losses))
    return done


def diverged(layers: list[dict[str, Any]], samples: Data, loss: str = "mean_squared_error", **settings: Any) -> str:
    """Return the reason."""
    return ending(make_trainer(make_experiment(layers, loss, **settings), samples)).reason


def with_feature(data: Data, sample: int, value: float) -> Data:
    features = data.train.features.copy()
    features[sample, 2] = value
    return replace(data, train=Split(features, data.train.targets))


def test_an_activation_that_overflows_is_named() -> None:
    layers = [dense(4, "tanh"), dense(5, "exponential", bias_initializer=constant(100)), dense(2)]
    assert diverged(layers, make_data("regression")) == (
        "the loss is not finite at step 1: the output of dense_2 (layers[1]) is not finite"
    )


def test_the_layer_that_overflows_is_named_and_not_the_normalization_that_it_spoils() -> None:
    layers = [
        dense(4, "tanh", name="calm"),
        dense(5, "exponential", name="wild", bias_initializer=constant(100)),
        {"type": "batch_normalization"},
        {"type": "dropout", "rate": 0.5},
        dense(2),
    ]
    assert diverged(layers, make_data("regression")) == (
        "the loss is not finite at step 1: the output of wild (layers[1]) is not finite"
    )


def test_an_overflow_that_only_training_has_is_found() -> None:
    """Dropout multiplies what it keeps by 1000."""
    layers = [
        dense(50, bias_initializer=constant(1e36)),
        {"type": "dropout", "rate": 0.999},
        {"type": "layer_normalization"},
        dense(2),
    ]
    assert "the output of dropout_2 (layers[1]) is not finite" in diverged(layers, make_data("regression"))


@pytest.mark.parametrize("optimizer", [FAST, {"type": "adam", "learning_rate": 1e39}])
def test_an_update_that_overflows_is_named_with_the_last_layer_it_spoilt(optimizer: dict[str, Any]) -> None:
    layers = [dense(4, "tanh"), dense(5, "tanh"), dense(2)]
    reason = diverged(layers, make_data("regression"), optimizer=optimizer)
    assert reason.endswith("the last update made the parameters of dense_3 (layers[2]) overflow")


def test_a_gradient_that_overflows_is_named_where_it_began() -> None:
    """Outputs near 1e18 have squares that single precision still holds; times inputs of 1e10 and the slope of 1e20 of
    the layer behind, the gradient of the first layer leaves it, that of the others does not."""
    layers = [
        dense(1, kernel_initializer=constant(1e-12)),
        dense(1, kernel_initializer=constant(1e20)),
        dense(2, kernel_initializer=constant(1)),
    ]
    data = make_data("regression")
    data = replace(data, train=Split(data.train.features * np.float32(1e10), data.train.targets))
    reason = diverged(layers, data, optimizer={"type": "sgd", "learning_rate": 1e-30})
    assert reason.endswith("the last update made the parameters of dense_1 (layers[0]) overflow")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("first", [{"type": "batch_normalization"}, dense(4, "relu")])
def test_inputs_that_are_not_finite_are_named(value: float, first: dict[str, Any]) -> None:
    """Sample 40 of 50 is in the third batch of 16."""
    data = with_feature(make_data("regression"), 40, value)
    reason = diverged([first, dense(2)], data, data={"shuffle": False})
    assert reason == "the loss is not finite at step 3: the inputs hold NaN or infinity"


def test_inputs_whose_infinity_a_layer_hides_are_found_where_they_do_harm() -> None:
    """tanh(∞) is 1, but the gradient of the kernel is ∞ · 0."""
    data = with_feature(make_data("regression"), 40, math.inf)
    reason = diverged([dense(4, "tanh"), dense(2)], data, data={"shuffle": False})
    assert reason == (
        "the loss is not finite at step 4: the last update made the parameters of dense_1 (layers[0]) overflow"
    )


def test_a_penalty_that_overflows_is_named() -> None:
    layers = [dense(3, "tanh"), dense(2, kernel_initializer=constant(1e25), kernel_regularizer="l2")]
    assert diverged(layers, make_data("regression"), loss="mean_absolute_error").endswith(
        "the penalty on the kernel of dense_2 (layers[1]) is not finite"
    )
    layers = [dense(3, bias_initializer=constant(1e25), activity_regularizer="l2"), dense(2)]
    assert diverged(layers, make_data("regression"), loss="mean_absolute_error").endswith(
        "the activity penalty of dense_1 (layers[0]) is not finite"
    )


def test_a_loss_that_overflows_itself_is_named() -> None:
    layers = [dense(3, "tanh"), dense(2, bias_initializer=constant(1e25))]
    assert diverged(layers, make_data("regression")).endswith(
        "the loss is not finite for finite outputs of dense_2 (layers[1])"
    )


def test_the_last_update_of_an_epoch_is_looked_at_too() -> None:
    """One step an epoch, one epoch: no later loss shows that the weights are gone."""
    layers = [dense(2)]
    reason = diverged(layers, make_data("regression", train=16), optimizer=FAST, epochs=1)
    assert reason == (
        "the weights are not finite after step 1: the last update made the parameters of dense_1 (layers[0]) overflow"
    )


def test_the_best_weights_so_far_are_kept() -> None:
    """Three epochs of four steps at a good rate, then one that is far too large."""
    rate = {"type": "step", "boundaries": [11], "values": [0.1, 1e39]}
    trainer = make_trainer(mlp(epochs=9, optimizer={"type": "sgd", "learning_rate": rate}), make_data())
    kept = None
    results: dict[int, float] = {}
    events = []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, EpochDone):
            results[event.epoch] = event.results["val_loss"]
            if event.best:
                kept = trainer.network.arena.values.copy()
    assert events[-1].status == "diverged"
    assert len(results) == 3
    assert trainer.best.epoch == min(results, key=results.__getitem__)
    assert kept is not None
    assert np.array_equal(trainer.network.arena.values, kept)
    assert trainer.data.validation is not None
    assert trainer.evaluate(trainer.data.validation)["loss"] == min(results.values())


def test_without_a_good_epoch_the_first_weights_are_kept() -> None:
    experiment = mlp(optimizer=FAST)
    data = make_data()
    trainer, _ = train(experiment, data)
    start = make_network(experiment, data.info).arena.values
    assert np.array_equal(trainer.network.arena.values, start)


@pytest.mark.parametrize("sample", [0, 30, 49])
def test_losses_read_late_still_name_the_right_step(sample: int) -> None:
    """A device that is read every 8 steps, or at the end of an epoch: 25 batches of two."""
    data = with_feature(make_data("regression"), sample, math.inf)
    experiment = make_experiment([dense(2)], "mean_squared_error", data={"shuffle": False, "batch_size": 2})
    trainer, events = train(experiment, data, steps_between_reads=8)
    done = events[-1]
    assert isinstance(done, TrainingDone)
    assert done.status == "diverged"
    assert done.reason.startswith(f"the loss is not finite at step {sample // 2 + 1}")
    assert np.isfinite(trainer.network.arena.values).all()
    losses = [loss for event in events if isinstance(event, StepsDone) for loss in event.losses]
    assert len(losses) == done.step
    assert all(map(math.isfinite, losses[: sample // 2]))


def test_a_validation_loss_that_is_not_finite_ends_the_training_too() -> None:
    """A sample far out in the validation part alone: its output is finite, the square of it is not."""
    data = make_data("regression")
    assert data.validation is not None
    features = data.validation.features.copy()
    features[18, 0] = 1e30
    data = replace(data, validation=Split(features, data.validation.targets))
    steep = dense(1, kernel_initializer=constant(1e10))
    for layers, loss, origin in (
        ([dense(2)], "mean_squared_error", "the loss is not finite for finite outputs of dense_1 (layers[0])"),
        ([steep, dense(2)], "mean_absolute_error", "the output of dense_1 (layers[0]) is not finite"),
    ):
        trainer = make_trainer(make_experiment(layers, loss), data)
        assert ending(trainer).reason == f"val_loss is not finite after step 4: {origin}"
        assert trainer.history == []
