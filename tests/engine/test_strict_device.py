"""Nothing in blocks and engine takes arrays for numpy's: the same bytes on a device that refuses to be mistaken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import (
    EVERY_LAYER,
    GLOBAL_POOLINGS,
    IMAGE_LAYERS,
    SEQUENCE_LAYERS,
    make_data,
    make_experiment,
    mlp,
)
from tests.engine.strict_device import Refused, StrictKernels
from tests.engine.test_memory import FITTING, METRICS, TASKS, output
from tuilab.blocks.activations import Activation
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.losses import Loss
from tuilab.blocks.metric import Task
from tuilab.blocks.optimizers import Optimizer
from tuilab.blocks.regularizers import Regularizer
from tuilab.blocks.samples import Data, Scaling, Split
from tuilab.engine.device import Device
from tuilab.engine.events import LayersSeen, StepsDone, TrainingDone
from tuilab.engine.inference import predict
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.trainer import Trainer
from tuilab.experiment.document import Experiment

HIDDEN: dict[str, Any] = {"type": "dense", "units": 4, "activation": "tanh"}


def same_on_both(experiment: Experiment, data: Data) -> None:
    """Train on either device; events, weights and predictions are the same."""
    outcomes = []
    for ops in (NumpyKernels(), StrictKernels()):
        trainer = Trainer(experiment, data, Device("cpu", ops, steps_between_reads=1))
        events = list(trainer.run())
        assert isinstance(events[-1], TrainingDone)
        assert events[-1].status == "finished"
        losses = [loss for event in events if isinstance(event, StepsDone) for loss in event.losses]
        layers = [event.layers for event in events if isinstance(event, LayersSeen)]
        results = [epoch.results for epoch in trainer.history]
        predictions = predict(trainer.network, data.train.features, data.scaling)
        outcomes.append((losses, layers, results, to_bytes(trainer), predictions.tobytes()))
    for ours, theirs in zip(*outcomes, strict=True):
        assert ours == theirs


def to_bytes(trainer: Trainer) -> bytes:
    return trainer.device.ops.to_host(trainer.network.arena.values).tobytes()


@pytest.mark.parametrize(
    "mistake",
    [
        lambda array: float(array),
        lambda array: bool(array),
        lambda array: array.item(),
        lambda array: np.asarray(array),
        lambda array: np.add(array, 1),
        lambda array: np.concatenate([array, array]),
        lambda array: [0, 1][array],
        lambda array: array[np.zeros(1, int)],
        lambda array: StrictKernels.xp.add(array, np.ones(1)),
        lambda array: StrictKernels.xp.add(array, np.float32(1)),
        lambda array: StrictKernels.xp.add(array, 1, out=np.ones(1)),
        lambda array: StrictKernels.xp.add(array, 1, where=array),
        lambda array: array.__setitem__(0, np.float32(1)),
        lambda array: array + np.ones(1),
        lambda array: np.ones(1) + array,
    ],
)
def test_the_device_refuses_what_only_the_host_can_do(mistake: Callable[[Any], Any]) -> None:
    with pytest.raises(Refused):
        mistake(StrictKernels.xp.zeros(1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_of_every_layer(dtype: str) -> None:
    experiment = make_experiment(
        EVERY_LAYER,
        "categorical_crossentropy",
        dtype=dtype,
        metrics=["accuracy"],
        class_weight="balanced",
        early_stopping={"patience": 1},
        statistics_every=1,
        optimizer={"type": "adam", "use_ema": True, "gradient_accumulation_steps": 2, "clipnorm": 1.0},
    )
    same_on_both(experiment, make_data())


@pytest.mark.parametrize("layers", [IMAGE_LAYERS, SEQUENCE_LAYERS])
@pytest.mark.parametrize("pooling", GLOBAL_POOLINGS, ids=lambda layer: layer["type"])
def test_networks_for_images(layers: list[dict[str, Any]], pooling: dict[str, Any]) -> None:
    sequences, pooled_sequences = layers is SEQUENCE_LAYERS, pooling["type"].endswith("1d")
    between = [{"type": "reshape", "target_shape": [-1, 1] if pooled_sequences else [-1, 1, 1]}]
    every = [*layers, *between, pooling, {"type": "flatten"}, output("categorical", "softmax")]
    data = make_data(shape=(6, 3) if sequences else (5, 4, 2), train=20)
    same_on_both(make_experiment(every, "categorical_crossentropy", epochs=1, statistics_every=1), data)


def test_pixels_with_scaling() -> None:
    data = make_data(shape=(3, 2, 1))
    pixels = np.random.default_rng(1).integers(0, 256, data.train.features.shape).astype("uint8")
    scaling = Scaling(np.array(3, "float32"), np.array(1 / 255, "float32"))
    same_on_both(mlp(), replace(data, train=Split(pixels, data.train.targets), scaling=scaling))


@pytest.mark.parametrize("name", sorted(Activation.registry))
def test_activations(name: str) -> None:
    layers = [{**HIDDEN, "activation": name}, output("categorical", "softmax")]
    same_on_both(make_experiment(layers, "categorical_crossentropy", statistics_every=1, epochs=1), make_data())


@pytest.mark.parametrize("name", sorted(Loss.registry))
def test_losses(name: str) -> None:
    task, activation = FITTING.get(name, ("regression", "linear"))
    smoothing = {"label_smoothing": 0.1} if "label_smoothing" in Loss.registry[name].model_fields else {}
    layers = [HIDDEN, output(task, activation)]
    same_on_both(make_experiment(layers, {"type": name, **smoothing}, epochs=1), make_data(task))


@pytest.mark.parametrize(
    ("name", "task", "activation"),
    [
        ("binary_crossentropy", "multi_label", "hard_sigmoid"),
        ("binary_focal_crossentropy", "multi_label", "hard_sigmoid"),
        ("categorical_crossentropy", "categorical", "sigmoid"),
        ("mean_squared_error", "binary", "sigmoid"),
    ],
)
def test_losses_that_are_not_fused(name: str, task: Task, activation: str) -> None:
    same_on_both(make_experiment([HIDDEN, output(task, activation)], name, epochs=1), make_data(task))


@pytest.mark.parametrize(("name", "task"), METRICS)
def test_metrics(name: str, task: Task) -> None:
    loss, activation = TASKS[task]
    metric = {"type": "top_k", "k": 2} if name == "top_k" else name
    layers = [HIDDEN, output(task, activation)]
    same_on_both(make_experiment(layers, loss, metrics=[metric], epochs=1), make_data(task))


@pytest.mark.parametrize("name", sorted(Optimizer.registry))
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_optimizers(name: str, clip: str) -> None:
    settings = {"weight_decay": 0.01, "use_ema": True, "ema_overwrite_frequency": 2}
    for option in ("momentum", "nesterov", "centered", "amsgrad"):
        if option in Optimizer.registry[name].model_fields:
            settings[option] = 0.9 if option == "momentum" else True
    same_on_both(mlp(optimizer={"type": name, clip: 1.0, **settings}), make_data())


@pytest.mark.parametrize("name", sorted(Regularizer.registry))
@pytest.mark.parametrize("place", ["kernel_regularizer", "bias_regularizer", "activity_regularizer"])
def test_regularizers(name: str, place: str) -> None:
    layers = [{**HIDDEN, place: name}, output("categorical", "softmax")]
    same_on_both(make_experiment(layers, "categorical_crossentropy", epochs=1), make_data())


@pytest.mark.parametrize("name", sorted(Constraint.registry))
def test_constraints(name: str) -> None:
    layers = [{**HIDDEN, "kernel_constraint": name, "bias_constraint": name}, output("categorical", "softmax")]
    same_on_both(make_experiment(layers, "categorical_crossentropy", epochs=1), make_data())


def test_a_training_that_diverges() -> None:
    trainer = Trainer(
        mlp(optimizer={"type": "sgd", "learning_rate": 1e39}), make_data(), Device("s", StrictKernels(), 1)
    )
    done = list(trainer.run())[-1]
    assert isinstance(done, TrainingDone)
    assert "the last update made the parameters of dense_2 (layers[1]) overflow" in done.reason
