"""Small experiments and data in memory that the tests of the engine share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels import make_kernels
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.metric import Task
from tuilab.blocks.samples import Data, Scaling, Split
from tuilab.engine import trainer as trainer_module
from tuilab.engine.device import Device
from tuilab.engine.events import EpochDone, Event, StepsDone, TrainingDone
from tuilab.engine.network import Network
from tuilab.engine.trainer import Trainer
from tuilab.experiment.document import Experiment
from tuilab.experiment.plan import plan

CLASSES = ("red", "green", "blue")


def make_info(task: Task = "categorical", shape: tuple[int, ...] = (6,)) -> DataInfo:
    classes = {"categorical": CLASSES, "binary": CLASSES[:2], "multi_label": CLASSES, "regression": ()}[task]
    return DataInfo(shape, task, classes, targets=2 if task == "regression" else 1)


def make_split(info: DataInfo, samples: int, seed: int = 1, dtype: str = "float32") -> Split:
    """Return samples whose targets follow from the features; every seed draws others of the same kind."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(samples, *info.input_shape)).astype(dtype)
    flat = features.reshape(samples, -1)
    teacher = np.random.default_rng(99).normal(size=(flat.shape[1], 2 if info.task == "regression" else 3))
    scores = flat @ teacher
    targets = {
        "categorical": lambda: scores.argmax(axis=1),
        "binary": lambda: (scores[:, 0] > 0).astype("int64"),
        "multi_label": lambda: (scores > 0).astype(dtype),
        "regression": lambda: scores.astype(dtype),
    }[info.task]()
    return Split(features, targets)


def make_data(
    task: Task = "categorical",
    shape: tuple[int, ...] = (6,),
    train: int = 50,
    validation: int = 20,
    dtype: str = "float32",
    scaling: Scaling | None = None,
) -> Data:
    info = make_info(task, shape)
    held_out = make_split(info, validation, seed=2, dtype=dtype) if validation else None
    return Data(info, make_split(info, train, seed=1, dtype=dtype), held_out, None, scaling)


def make_experiment(layers: list[dict[str, Any]], loss: Any, seed: int = 3, **settings: Any) -> Experiment:
    """Return an experiment; `settings` are those of `training`, and `data` a table for `data`."""
    data = {"dataset": "iris", "batch_size": 16, **settings.pop("data", {})}
    return Experiment.model_validate(
        {"seed": seed, "data": data, "layers": layers, "training": {"loss": loss, "epochs": 2, **settings}}
    )


def mlp(**settings: Any) -> Experiment:
    """A classifier of three classes with one hidden layer."""
    layers = [
        {"type": "dense", "units": 8, "activation": "tanh"},
        {"type": "dense", "units": 3, "activation": "softmax"},
    ]
    return make_experiment(layers, "categorical_crossentropy", **settings)


def make_network(experiment: Experiment, info: DataInfo, batch_size: int = 8, ops: Any = None) -> Network:
    training = experiment.training
    planned = plan(experiment, info)
    return Network(ops or make_kernels(), planned, training.loss, batch_size, training.dtype, experiment.seed)


def make_trainer(experiment: Experiment, data: Data, steps_between_reads: int = 1) -> Trainer:
    return Trainer(experiment, data, Device("cpu", make_kernels(), steps_between_reads))


def train(experiment: Experiment, data: Data, **settings: Any) -> tuple[Trainer, list[Event]]:
    """Return the trainer after its training, and everything that it told."""
    trainer = make_trainer(experiment, data, **settings)
    return trainer, list(trainer.run())


def losses_of(events: list[Event]) -> list[float]:
    return [loss for event in events if isinstance(event, StepsDone) for loss in event.losses]


def end_of(events: list[Event]) -> TrainingDone:
    assert isinstance(events[-1], TrainingDone)
    return events[-1]


def scripted(monkeypatch: pytest.MonkeyPatch, label: str, values: list[float]) -> None:
    """Let the validation of epoch 1, 2, … give these values."""
    queue = iter(values)
    monkeypatch.setattr(trainer_module, "evaluate", lambda *_: {"loss": 1.0, label: next(queue)})


def weights_by_epoch(trainer: Trainer) -> tuple[dict[int, bytes], list[Event]]:
    weights, events = {}, []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, EpochDone):
            weights[event.epoch] = trainer.network.arena.values.tobytes()
    return weights, events


IMAGE_LAYERS: list[dict[str, Any]] = [
    {"type": "zero_padding2d", "padding": [1, 2]},
    {"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same", "activation": "softplus"},
    {"type": "batch_normalization"},
    {"type": "conv2d", "filters": 6, "kernel_size": 3, "strides": 2, "padding": "same", "groups": 2},
    {"type": "up_sampling2d", "size": 2},
    {"type": "depthwise_conv2d", "kernel_size": 3, "padding": "same", "depth_multiplier": 2, "activation": "tanh"},
    {"type": "max_pooling2d", "padding": "same", "strides": 1},
    {"type": "spatial_dropout2d", "rate": 0.2},
    {"type": "conv2d_transpose", "filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
    {"type": "cropping2d", "cropping": [[0, 1], [1, 0]]},
    {"type": "separable_conv2d", "filters": 4, "kernel_size": [2, 3], "padding": "same"},
    {"type": "group_normalization", "groups": 2},
    {"type": "layer_normalization"},
    {"type": "up_sampling2d", "size": [1, 2], "interpolation": "bilinear"},
    {"type": "average_pooling2d", "padding": "same"},
    {"type": "conv2d", "filters": 5, "kernel_size": 1},
    {"type": "max_pooling2d"},
]
"""For images of at least 2 × 2 pixels."""
SEQUENCE_LAYERS: list[dict[str, Any]] = [
    {"type": "conv1d", "filters": 4, "kernel_size": 2, "padding": "causal", "dilation_rate": 2, "activation": "silu"},
    {"type": "spatial_dropout1d", "rate": 0.2},
    {"type": "max_pooling1d", "padding": "same"},
    {"type": "average_pooling1d", "pool_size": 2, "strides": 1, "padding": "same"},
]
"""For sequences."""
GLOBAL_POOLINGS: list[dict[str, Any]] = [
    {"type": "global_average_pooling2d"},
    {"type": "global_max_pooling2d", "keepdims": True},
    {"type": "global_average_pooling1d", "keepdims": True},
    {"type": "global_max_pooling1d"},
]
EVERY_LAYER: list[dict[str, Any]] = [
    {"type": "gaussian_noise", "stddev": 0.1},
    {"type": "reshape", "target_shape": [2, -1]},
    {"type": "dense", "units": 5, "activation": "silu", "kernel_regularizer": {"type": "l2", "l2": 0.01}},
    {"type": "layer_normalization", "gamma_regularizer": {"type": "l1_l2", "l1": 0.01, "l2": 0.02}},
    {"type": "prelu", "alpha_initializer": {"type": "constant", "value": 0.25}, "shared_axes": [1]},
    {"type": "flatten"},
    {
        "type": "dense",
        "units": 7,
        "activation": "gelu",
        "kernel_regularizer": {"type": "orthogonal", "factor": 0.1, "mode": "columns"},
        "bias_regularizer": {"type": "l1", "l1": 0.01},
        "activity_regularizer": {"type": "l2", "l2": 0.05},
        "kernel_constraint": {"type": "max_norm", "max_value": 3.0},
    },
    {"type": "batch_normalization"},
    {"type": "activation", "activation": "tanh"},
    {"type": "dropout", "rate": 0.3},
    {
        "type": "repeat",
        "times": 2,
        "layers": [
            {
                "type": "residual",
                "layers": [
                    {"type": "dense", "units": 7, "activation": "tanh", "kernel_regularizer": "l2"},
                    {"type": "residual", "layers": [{"type": "reshape", "target_shape": [7, 1]}, {"type": "flatten"}]},
                    {"type": "dense", "units": 7, "activation": "softplus"},
                ],
            }
        ],
    },
    {
        "type": "residual",
        "layers": [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dropout", "rate": 0.1}],
        "projection": [{"type": "reshape", "target_shape": [7]}, {"type": "dense", "units": 4, "activation": "elu"}],
    },
    {"type": "repeat", "layers": [{"type": "dense", "units": 3, "activation": "softmax"}]},
]
