"""Several steps of a small network in one call: the same numbers as step by step, the same bytes however it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.examples import end_of, losses_of, make_data, make_experiment
from tuilab.blocks.metric import Task
from tuilab.blocks.samples import Data, Scaling
from tuilab.engine.checkpoint import capture, restore
from tuilab.engine.device import Device
from tuilab.engine.events import Event, LayersSeen, StepsDone
from tuilab.engine.kernels.numba import NumbaKernels
from tuilab.engine.small_network import MOST_MULTIPLY_ADDS
from tuilab.engine.trainer import Trainer
from tuilab.experiment.document import Experiment

SCALING = Scaling(np.array(0.25, "float32"), np.array(0.5, "float32"))


def dense(units: int, activation: Any, **settings: Any) -> dict[str, Any]:
    return {"type": "dense", "units": units, "activation": activation, **settings}


def make(last: dict[str, Any], loss: Any = "binary_crossentropy", **settings: Any) -> Experiment:
    """Return an experiment with two layers before the last one, for 50 samples in batches of 16."""
    first = settings.pop("first", [dense(8, "tanh"), dense(5, "relu")])
    return make_experiment(
        [*first, last], loss, epochs=4, **{"metrics": ["accuracy"], "statistics_every": 5, **settings}
    )


def make_trainer(experiment: Experiment, data: Data, small: bool = True) -> Trainer:
    trainer = Trainer(experiment, data, Device("cpu", NumbaKernels(), 1))
    assert trainer._small is not None
    if not small:
        trainer._small = None
    return trainer


BINARY = make(dense(1, "sigmoid"))
LEAKY = {"type": "leaky_relu", "negative_slope": 0.1}
CASES: list[tuple[Experiment, Task]] = [
    (BINARY, "binary"),
    (make(dense(1, "sigmoid"), {"type": "binary_crossentropy", "label_smoothing": 0.1}), "binary"),
    (make(dense(3, "softmax"), "categorical_crossentropy"), "categorical"),
    (make(dense(3, "softmax"), {"type": "categorical_crossentropy", "label_smoothing": 0.2}), "categorical"),
    (make(dense(3, "sigmoid")), "multi_label"),
    (make(dense(3, "sigmoid"), "mean_squared_error"), "categorical"),
    (make(dense(1, "tanh"), "mean_squared_error"), "binary"),
    (make(dense(2, "linear"), "mean_squared_error", metrics=[]), "regression"),
    (make(dense(2, LEAKY, use_bias=False), "mean_squared_error", metrics=[]), "regression"),
    (make(dense(1, "sigmoid"), first=[]), "binary"),
    (make(dense(1, "sigmoid"), first=[dense(8, "sigmoid", use_bias=False), dense(4, LEAKY)]), "binary"),
    (make(dense(1, "sigmoid"), metrics=[]), "binary"),
    (make(dense(1, "sigmoid"), data={"batch_size": 10, "shuffle": False}), "binary"),
    *(
        (make(dense(1, "sigmoid"), optimizer=optimizer), "binary")
        for optimizer in (
            {"type": "sgd", "momentum": 0.9},
            {"type": "sgd", "momentum": 0.9, "nesterov": True},
            {"type": "sgd", "learning_rate": {"type": "exponential_decay", "decay_steps": 3}},
            {"type": "adam", "weight_decay": 0.01},
            {"type": "adam", "amsgrad": True},
            "adamw",
            "rmsprop",
        )
    ),
]


@pytest.mark.parametrize(("experiment", "task"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-10)])
def test_the_same_numbers_as_step_by_step(experiment: Experiment, task: Task, dtype: str, tolerance: float) -> None:
    training = experiment.training.model_copy(update={"dtype": dtype})
    experiment = experiment.model_copy(update={"training": training})
    data = make_data(task, dtype=dtype, scaling=SCALING)
    ours, theirs = make_trainer(experiment, data), make_trainer(experiment, data, small=False)
    events, expected = list(ours.run()), list(theirs.run())
    np.testing.assert_allclose(losses_of(events), losses_of(expected), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        ours.network.arena.values, theirs.network.arena.values, rtol=tolerance, atol=10 * tolerance
    )
    assert (ours.step, ours.samples, ours.updater.state()) == (theirs.step, theirs.samples, theirs.updater.state())
    for mine, other in zip(ours.history, theirs.history, strict=True):
        assert mine.results == pytest.approx(dict(other.results), rel=tolerance, abs=tolerance)
    seen, looked_at = ([event for event in each if isinstance(event, LayersSeen)] for each in (events, expected))
    for one, two in zip(seen, looked_at, strict=True):
        assert one.step == two.step
        for state, same in zip(one.layers, two.layers, strict=True):
            facts, others = ([value or 0.0 for value in list(vars(each).values())[1:]] for each in (state, same))
            assert facts == pytest.approx(others, rel=tolerance, abs=tolerance)


ADAM: dict[str, Any] = {"type": "adam", "learning_rate": {"type": "cosine_decay"}}


def whole(experiment: Experiment, data: Data) -> bytes:
    trainer = make_trainer(experiment, data)
    list(trainer.run())
    return trainer.network.arena.values.tobytes()


@pytest.mark.parametrize("step", [1, 3, 4, 7, 9])
def test_a_resumed_training_gives_the_same_bytes(step: int) -> None:
    experiment, data = make(dense(1, "sigmoid"), optimizer=ADAM, statistics_every=4), make_data("binary")
    before = make_trainer(experiment, data)
    before.step_by_step = True
    for event in before.run():
        if isinstance(event, StepsDone) and event.step == step:
            break
    after = make_trainer(experiment, data)
    restore(after, capture(before))
    list(after.run())
    assert after.network.arena.values.tobytes() == whole(experiment, data)


def test_step_by_step_gives_the_same_bytes_and_tells_of_every_step() -> None:
    experiment, data = make(dense(1, "sigmoid"), optimizer=ADAM, statistics_every=100), make_data("binary")
    trainer = make_trainer(experiment, data)
    trainer.step_by_step = True
    told = [event.step for event in trainer.run() if isinstance(event, StepsDone)]
    assert sorted(set(told)) == list(range(1, 17))
    assert trainer.network.arena.values.tobytes() == whole(experiment, data)


@pytest.mark.parametrize("small", [True, False])
def test_a_divergence_ends_it_at_the_same_step_with_the_same_words(small: bool) -> None:
    optimizer = {"type": "sgd", "learning_rate": 1e8}
    experiment = make(dense(2, "linear"), "mean_squared_error", metrics=[], optimizer=optimizer, statistics_every=100)
    trainer = make_trainer(experiment, make_data("regression"), small)
    events: list[Event] = list(trainer.run())
    assert end_of(events).reason.startswith("the loss is not finite at step 3: ")
    assert trainer.updater.step == trainer.step == len(losses_of(events)) == 2


LAST = dense(1, "sigmoid")
WIDE = MOST_MULTIPLY_ADDS // 16 // 7 + 1
UNKNOWN: dict[str, Experiment] = {
    "an activation": make(LAST, first=[dense(8, "gelu")]),
    "a hidden softmax": make(LAST, first=[dense(8, "softmax")]),
    "a last softmax that is not fused": make(dense(2, "softmax"), "mean_squared_error"),
    "a layer": make(LAST, first=[dense(8, "relu"), {"type": "dropout", "rate": 0.5}]),
    "a residual": make(LAST, first=[{"type": "residual", "layers": [dense(6, "relu")]}]),
    "a frozen layer": make(LAST, first=[dense(8, "relu", trainable=False)]),
    "a regularizer": make(LAST, first=[dense(8, "relu", kernel_regularizer="l2")]),
    "a constraint": make(LAST, first=[dense(8, "relu", bias_constraint="non_neg")]),
    "a loss": make(dense(1, "linear"), "mean_absolute_error"),
    "a loss that is not fused": make(dense(1, "hard_sigmoid")),
    "an optimizer": make(LAST, optimizer="lion"),
    "clipping": make(LAST, optimizer={"type": "adam", "clipnorm": 1.0}),
    "accumulation": make(LAST, optimizer={"type": "adam", "gradient_accumulation_steps": 2}),
    "an average": make(LAST, optimizer={"type": "adam", "use_ema": True}),
    "a metric": make(LAST, metrics=["auc"]),
    "weights": make(LAST, class_weight="balanced"),
    "a large one": make(LAST, first=[dense(WIDE, "relu")]),
}


@pytest.mark.parametrize("experiment", UNKNOWN.values(), ids=UNKNOWN)
def test_what_the_kernel_does_not_know_is_done_step_by_step(experiment: Experiment) -> None:
    assert Trainer(experiment, make_data("binary"), Device("cpu", NumbaKernels(), 1))._small is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_large_batch_is_not_small(dtype: str) -> None:
    batch_size = MOST_MULTIPLY_ADDS // 90
    data = make_data("binary", train=batch_size)
    experiment = make(LAST, data={"batch_size": batch_size}, dtype=dtype)
    assert Trainer(experiment, data, Device("cpu", NumbaKernels(), 1))._small is None
