"""A training step allocates no array memory after the first: not even one byte a sample."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
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
    make_trainer,
)
from tests.kernels import every_device
from tuilab.blocks.activations import Activation, Softplus
from tuilab.blocks.layers import Layer
from tuilab.blocks.losses import Loss
from tuilab.blocks.metric import Task
from tuilab.blocks.metrics import Metric
from tuilab.blocks.optimizers import Optimizer
from tuilab.blocks.samples import Scaling, Split
from tuilab.engine.trainer import Trainer
from tuilab.experiment.document import Experiment

pytestmark = every_device

BATCH = 65_536
LIMIT = BATCH // 2
"""Bytes. What Python's own objects and numpy's conversion buffers take is less; the smallest array that a batch can
need, one byte of truth for each sample, is more."""

TWO_STEPS = BATCH + BATCH // 2 + 1  # a full batch and a smaller one
HIDDEN: dict[str, Any] = {"type": "dense", "units": 4}
OUTPUT: dict[str, Any] = {"type": "dense", "units": 3, "activation": "softmax"}


@pytest.fixture(autouse=True)
def _small_conversion_buffers() -> Iterator[None]:
    """numpy converts types through buffers of 8192 elements, whatever the size of the arrays."""
    before = np.setbufsize(256)
    yield
    np.setbufsize(before)


def make(
    layers: list[dict[str, Any]], loss: Any = "categorical_crossentropy", task: Task = "categorical", **settings: Any
) -> Trainer:
    data = {"batch_size": BATCH, **settings.pop("data", {})}
    experiment: Experiment = make_experiment(layers, loss, data=data, **settings)
    return make_trainer(experiment, make_data(task, train=TWO_STEPS, validation=0))


def step(trainer: Trainer, index: int, watched: bool) -> None:
    network = trainer.network
    network.clock.epoch, network.clock.step = 1, trainer.step
    x, labels = trainer.train.batch(index)
    with network.ops.quiet():
        assert trainer.train_batch(x, labels, watchers=[trainer.statistics] if watched else [])
        if watched:
            trainer.statistics.after_update()


def peak(trainer: Trainer, watched: bool = True) -> int:
    """Return the most bytes above those at its beginning that any step needs, after two that may allocate."""
    for index in (0, 1):
        step(trainer, index, watched)
    trainer._losses.clear()
    highest = 0
    tracemalloc.start()
    try:
        for index in (0, 1, 0, 1):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            step(trainer, index, watched)
            highest = max(highest, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return highest


def test_the_measure_sees_one_byte_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Softplus.forward

    def wasteful(self: Softplus, ops: Any, x: Any, out: Any) -> None:
        np.greater(x[:, 0], 0)
        forward(self, ops, x, out)

    trainer = make([{**HIDDEN, "activation": "softplus"}, OUTPUT])
    assert peak(trainer) < LIMIT
    monkeypatch.setattr(Softplus, "forward", wasteful)
    assert peak(trainer) > BATCH > LIMIT


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_of_every_layer(dtype: str) -> None:
    trainer = make(EVERY_LAYER, dtype=dtype, metrics=["accuracy"], class_weight="balanced", optimizer="adam")
    assert peak(trainer) < LIMIT


def test_many_steps_keep_nothing() -> None:
    """Of numpy's arrays there are as many bytes after fifty steps as before."""
    trainer = make(EVERY_LAYER, metrics=["accuracy"], optimizer="adam")
    only_arrays = [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]
    tracemalloc.start()
    try:
        sizes = []
        for steps in (3, 50):
            for index in range(steps):
                step(trainer, index % 2, watched=index % 3 == 0)
            snapshot = tracemalloc.take_snapshot().filter_traces(only_arrays)
            sizes.append(sum(trace.size for trace in snapshot.traces))
    finally:
        tracemalloc.stop()
    assert sizes[0] > BATCH, "the scratch memory of the first steps, seen by the filter"
    assert sizes[1] <= sizes[0]


CONTAINED = [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "prelu"}]
LAYERS = [
    *(layer for layer in EVERY_LAYER if layer["type"] not in ("flatten", "reshape", "repeat", "residual")),
    {"type": "repeat", "times": 2, "layers": CONTAINED},
    {"type": "residual", "layers": CONTAINED, "projection": CONTAINED},
    {"type": "batch_normalization", "trainable": False},
    {"type": "batch_normalization", "center": False, "scale": False},
    {"type": "reshape", "target_shape": [2, 2]},
    {"type": "dropout", "rate": 0.0},
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer["type"])
def test_layers(layer: dict[str, Any]) -> None:
    settings = {**layer, "shared_axes": []} if layer["type"] == "prelu" else layer
    assert peak(make([HIDDEN, settings, {"type": "flatten"}, OUTPUT])) < LIMIT


FOR_IMAGES = [*IMAGE_LAYERS, *SEQUENCE_LAYERS, *GLOBAL_POOLINGS]
LARGE_KERNEL = {"type": "conv2d", "filters": 2, "kernel_size": 5, "padding": "same", "dilation_rate": 2}


@pytest.mark.parametrize("layer", [*FOR_IMAGES, LARGE_KERNEL], ids=lambda layer: layer["type"])
def test_layers_for_images(layer: dict[str, Any]) -> None:
    shape = [4, 1] if layer["type"].endswith("1d") else [2, 2, 1]
    settings = {**layer, "groups": 1} if "groups" in layer else layer
    layers = [HIDDEN, {"type": "reshape", "target_shape": shape}, settings, {"type": "flatten"}, OUTPUT]
    assert peak(make(layers)) < LIMIT


def test_every_layer_is_measured() -> None:
    measured = {layer["type"] for layer in (*LAYERS, *FOR_IMAGES, HIDDEN)} | {"flatten"}
    known = {name for name, layer in Layer.registry.items() if layer.__module__.startswith("tuilab.")}
    assert measured == known - {"vgg16", "vgg19"}, "those are made of others"


@pytest.mark.parametrize("name", sorted(Activation.registry))
def test_activations(name: str) -> None:
    assert peak(make([{**HIDDEN, "activation": name}, OUTPUT])) < LIMIT


@pytest.mark.parametrize("name", sorted(Optimizer.registry))
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_optimizers(name: str, clip: str) -> None:
    """On a network with more parameters than samples."""
    settings = {"weight_decay": 0.01, "use_ema": True, "ema_overwrite_frequency": 2, "gradient_accumulation_steps": 2}
    layers = [{"type": "dense", "units": 3000}, {"type": "dense", "units": 30, "kernel_constraint": "max_norm"}, OUTPUT]
    optimizer = {"type": name, clip: 1.0, **settings}
    trainer = make(layers, optimizer=optimizer, data={"batch_size": 32})
    trainer.train.samples = 48
    assert trainer.plan.parameter_count > BATCH
    assert peak(trainer) < LIMIT


def output(task: Task, activation: str) -> dict[str, Any]:
    return {**OUTPUT, "units": {"regression": 2, "binary": 1}.get(task, 3), "activation": activation}


FITTING: dict[str, tuple[Task, str]] = {
    "binary_crossentropy": ("multi_label", "sigmoid"),
    "binary_focal_crossentropy": ("multi_label", "sigmoid"),
    "categorical_crossentropy": ("categorical", "softmax"),
    "kl_divergence": ("categorical", "softmax"),
    "poisson": ("regression", "softplus"),
    "hinge": ("categorical", "linear"),
    "squared_hinge": ("multi_label", "linear"),
    "perceptron": ("categorical", "step"),
}


@pytest.mark.parametrize("name", sorted(Loss.registry))
def test_losses(name: str) -> None:
    task, activation = FITTING.get(name, ("regression", "linear"))
    assert peak(make([HIDDEN, output(task, activation)], name, task)) < LIMIT


@pytest.mark.parametrize(
    ("name", "task", "activation"),
    [
        ("binary_crossentropy", "multi_label", "hard_sigmoid"),
        ("binary_focal_crossentropy", "multi_label", "hard_sigmoid"),
        ("categorical_crossentropy", "categorical", "sigmoid"),
        ("mean_squared_error", "categorical", "softmax"),
        ("mean_squared_error", "binary", "sigmoid"),
        ("hinge", "binary", "tanh"),
    ],
)
def test_losses_that_are_not_fused(name: str, task: Task, activation: str) -> None:
    assert peak(make([HIDDEN, output(task, activation)], name, task)) < LIMIT


TASKS: dict[Task, tuple[str, str]] = {
    "categorical": ("categorical_crossentropy", "softmax"),
    "binary": ("binary_crossentropy", "sigmoid"),
    "multi_label": ("binary_crossentropy", "sigmoid"),
    "regression": ("mean_squared_error", "linear"),
}
METRICS = [
    (name, task)
    for name, metric in sorted(Metric.registry.items())
    for task in TASKS
    if issubclass(metric, Metric) and task in metric.tasks
]


@pytest.mark.parametrize(("name", "task"), METRICS)
def test_metrics(name: str, task: Task) -> None:
    loss, activation = TASKS[task]
    metric = {"type": "top_k", "k": 2} if name == "top_k" else name
    assert peak(make([HIDDEN, output(task, activation)], loss, task, metrics=[metric])) < LIMIT


def test_pixels_are_converted_and_scaled_in_place() -> None:
    data = make_data(shape=(3, 2, 1), train=TWO_STEPS, validation=0)
    pixels = np.zeros(data.train.features.shape, "uint8")
    scaling = Scaling(np.array(1, "float32"), np.array(1 / 255, "float32"))
    data = replace(data, train=Split(pixels, data.train.targets), scaling=scaling)
    trainer = make_trainer(make_experiment([OUTPUT], "categorical_crossentropy", data={"batch_size": BATCH}), data)
    assert peak(trainer) < LIMIT
