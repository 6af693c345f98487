"""An experiment written as a file: the same experiment again, with every default written out; and blocks in short."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel

from tests.experiment.experiments import IRIS, experiments
from tuilab.blocks.activations import LeakyRelu, Linear, Relu, Softmax
from tuilab.blocks.block import Block, as_table
from tuilab.blocks.constraints import MaxNorm
from tuilab.blocks.initializers import HeNormal
from tuilab.blocks.layers.containers import Repeat
from tuilab.blocks.layers.dense import Dense
from tuilab.blocks.layers.regularization import Dropout
from tuilab.blocks.layers.shaping import Flatten, Reshape
from tuilab.blocks.metrics import TopK
from tuilab.blocks.optimizers import Adam, Sgd
from tuilab.blocks.regularizers import L1L2, L2
from tuilab.blocks.schedules import Constant, Step
from tuilab.experiment.document import Experiment
from tuilab.experiment.guard import absurdity
from tuilab.experiment.load import load_experiment, make_experiment, parse
from tuilab.experiment.ready_made import ready_made
from tuilab.experiment.save import brief, short, to_document, to_toml


def again(experiment: Experiment) -> Experiment:
    text = to_toml(experiment)
    assert absurdity(text) is None
    return make_experiment(parse(text))


def assert_complete(model: BaseModel, table: dict[str, Any]) -> None:
    """Check that `table` has every setting of `model` that is set, at every depth."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if value is None:
            assert name not in table
        elif isinstance(value, BaseModel):
            assert_complete(value, table[name])
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], BaseModel):
            for item, written in zip(value, table[name], strict=True):
                assert_complete(item, written)
        else:
            assert table[name] == as_table(value)
    if isinstance(model, Block):
        assert table["type"] == model.type_name()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(experiments())
def test_writing_and_loading_gives_the_same_experiment(experiment: Experiment) -> None:
    assert again(experiment) == experiment
    assert_complete(experiment, tomllib.loads(to_toml(experiment)))


@pytest.mark.parametrize("name", ready_made())
def test_every_ready_made_experiment_is_written_and_loaded_as_it_was(name: str) -> None:
    experiment = load_experiment(name)
    assert again(experiment) == experiment


def test_the_text_of_a_small_experiment() -> None:
    assert (
        to_toml(make_experiment(parse(IRIS)))
        == """\
name = "small"
description = ""
seed = 0

[data]
dataset = {type = "iris"}
validation_split = 0.1
test_split = 0.2
batch_size = 32
shuffle = true
normalization = "auto"
augmentation = []

[[layers]]
type = "dense"
trainable = true
units = 3
activation = {type = "softmax"}
use_bias = true
kernel_initializer = {type = "glorot_uniform"}
bias_initializer = {type = "zeros"}

[training]
epochs = 10
loss = {type = "categorical_crossentropy", label_smoothing = 0.0}
optimizer = {type = "adam", learning_rate = {type = "constant", learning_rate = 0.001}, use_ema = false, \
ema_momentum = 0.99, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-07, amsgrad = false}
metrics = []
statistics_every = 20
device = "auto"
dtype = "float32"
precision = "float32"
convolution = "auto"
"""
    )


@pytest.mark.parametrize(
    "text",
    ['"', "\\", "'''", '"""', "\n", "\r\n", "\t", "\x00\x1b\x7f\x85\u2028", "ünï 🙂", " ", "#", "a = 1", "\ufeff"],
    ids=ascii,
)
def test_any_text_survives(text: str) -> None:
    document = parse(IRIS)
    document["description"] = f"{text} in the middle {text}"
    document["training"]["class_weight"] = {text: 1.0, f"a.{text}": 0.5, "": 2.0}
    experiment = make_experiment(document)
    assert again(experiment) == experiment


@pytest.mark.parametrize("number", [0.1, 1e-300, 5e-324, 1e22, 1.7976931348623157e308, 123456789.123456789, 3.0, 0.0])
def test_every_digit_of_a_number_survives(number: float) -> None:
    document = parse(IRIS)
    document["training"]["optimizer"] = {"type": "sgd", "learning_rate": number}
    experiment = make_experiment(document)
    assert again(experiment).training.optimizer.learning_rate == Constant(learning_rate=number)


def test_the_largest_experiment_can_still_be_loaded() -> None:
    document = parse(IRIS)
    document["layers"] = [{"type": "batch_normalization"}] * 255 + document["layers"]
    experiment = make_experiment(document)
    assert again(experiment) == experiment


def test_a_document_holds_plain_values() -> None:
    document = to_document(make_experiment(parse(IRIS)))
    assert list(document) == ["name", "description", "seed", "data", "layers", "training"]
    assert document["data"]["dataset"] == {"type": "iris"}
    assert "path" not in document["data"]
    assert "early_stopping" not in document["training"]


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (Relu(), "relu"),
        (LeakyRelu(), "leaky_relu"),
        (LeakyRelu(negative_slope=0.1), "leaky_relu 0.1"),
        (Dense(units=512), "dense 512"),
        (Dense(units=512, activation=Relu(), kernel_initializer=HeNormal()), "dense 512 relu he_normal"),
        (Dense(units=10, activation=Softmax()), "dense 10 softmax"),
        (Dense(units=10, activation=Linear()), "dense 10"),
        (Dense(units=3, name="output", use_bias=False), "dense 3 use_bias = false"),
        (Dense(units=3, trainable=False), "dense trainable = false 3"),
        (Dense(units=3, kernel_regularizer=L2(l2=1e-4)), "dense 3 l2 0.0001"),
        (Dense(units=3, kernel_regularizer=L2(), kernel_constraint=MaxNorm(max_value=3)), "dense 3 l2 max_norm 3"),
        (Dropout(rate=0.2), "dropout 0.2"),
        (Flatten(name="flat"), "flatten"),
        (Reshape(target_shape=(28, -1)), "reshape (28, -1)"),
        (L1L2(l1=0.1), "l1_l2 0.1"),
        (TopK(k=3), "top_k 3"),
        (Adam(), "adam"),
        (Adam(learning_rate=0.01), "adam constant 0.01"),
        (Sgd(momentum=0.9, nesterov=True), "sgd 0.9 nesterov = true"),
        (Step(boundaries=[5], values=[0.1, 0.01]), "step [5] [0.1, 0.01]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_short(block: Block, text: str) -> None:
    assert short(block) == text


@pytest.mark.parametrize(
    ("block", "table"),
    [
        (Relu(), {"type": "relu"}),
        (Dense(units=3, activation=Relu(), name="last"), {"units": 3, "activation": "relu", "name": "last"}),
        (Dense(units=3, kernel_regularizer=L2(l2=0.1)), {"units": 3, "kernel_regularizer": {"type": "l2", "l2": 0.1}}),
        (Reshape(target_shape=(28, -1)), {"target_shape": [28, -1]}),
        (Repeat(layers=(Flatten(),), times=2), {"layers": [{"type": "flatten"}], "times": 2}),
    ],
    ids=lambda value: short(value) if isinstance(value, Block) else "",
)
def test_brief(block: Block, table: dict[str, Any]) -> None:
    assert brief(block) == {"type": block.type_name(), **table}
    assert type(block).choose(brief(block)) == block
