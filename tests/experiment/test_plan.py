"""What a network will look like: shapes, names, parameters, memory; and layers that do not fit each other."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.experiment.experiments import experiments
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.metrics import Outputs
from tuilab.blocks.samples import Data, Split
from tuilab.errors import ExperimentError
from tuilab.experiment.document import Experiment
from tuilab.experiment.load import load_experiment, make_experiment
from tuilab.experiment.plan import Plan, memory_bytes, plan
from tuilab.text import clean_text

DIGITS = DataInfo((28, 28, 1), "categorical", tuple("0123456789"))
FLOWERS = DataInfo((4,), "categorical", ("setosa", "versicolor", "virginica"))
GATE = DataInfo((2,), "binary", ("0", "1"))
LABELS = DataInfo((3,), "multi_label", ("a", "b", "c", "d"))
PRICES = DataInfo((5,), "regression", targets=2)

OUTPUT = {
    "categorical": ("softmax", "categorical_crossentropy"),
    "binary": ("sigmoid", "binary_crossentropy"),
    "multi_label": ("sigmoid", "binary_crossentropy"),
    "regression": ("linear", "mean_squared_error"),
}


def dense(units: int, activation: str = "linear", **more: Any) -> dict[str, Any]:
    return {"type": "dense", "units": units, "activation": activation, **more}


def experiment(*layers: dict[str, Any] | str, loss: Any = "mean_squared_error", **data: Any) -> Experiment:
    document = {"data": {"dataset": "iris", **data}, "layers": list(layers), "training": {"loss": loss}}
    return make_experiment({"name": "planned", **document})


def network(info: DataInfo, *layers: dict[str, Any] | str, **data: Any) -> Plan:
    """Return the plan of `layers` with a dense output that fits the data."""
    activation, loss = OUTPUT[info.task]
    units = {"binary": 1, "regression": info.targets}.get(info.task, len(info.classes))
    return plan(experiment(*layers, dense(units, activation), loss=loss, **data), info)


def problems(info: DataInfo, *layers: dict[str, Any] | str, **more: Any) -> list[str]:
    with pytest.raises(ExperimentError) as error:
        plan(experiment(*layers, **more), info)
    assert error.value.source == "planned"
    return [str(problem) for problem in error.value.problems]


def test_the_network_of_the_textbooks() -> None:
    planned = network(DIGITS, dense(512, "relu"))
    assert planned.input_shape == (784,)
    assert [layer.name for layer in planned.layers] == ["dense_1", "dense_2"]
    assert [(layer.input_shape, layer.output_shape) for layer in planned.layers] == [((784,), (512,)), ((512,), (10,))]
    assert [layer.parameter_count for layer in planned.layers] == [401_920, 5_130]
    assert planned.parameter_count == planned.trainable_count == 407_050
    assert planned.outputs == Outputs("categorical", 10, 0.5)
    assert planned.fused
    assert [(parameter.name, parameter.shape) for parameter in planned.layers[0].parameters] == [
        ("kernel", (784, 512)),
        ("bias", (512,)),
    ]


def test_every_layer_has_its_shape_and_parameters() -> None:
    planned = network(
        DIGITS,
        {"type": "reshape", "target_shape": [14, -1]},
        dense(8, "relu", use_bias=False),
        "batch_normalization",
        "prelu",
        "flatten",
        {"type": "dropout", "rate": 0.5},
        "layer_normalization",
        {"type": "activation", "activation": "tanh"},
        {"type": "gaussian_noise", "stddev": 0.1},
    )
    assert [
        (layer.name, layer.output_shape, layer.parameter_count, layer.trainable_count) for layer in planned.layers
    ] == [
        ("reshape_1", (14, 56), 0, 0),
        ("dense_2", (14, 8), 56 * 8, 56 * 8),
        ("batch_normalization_3", (14, 8), 4 * 8, 2 * 8),
        ("prelu_4", (14, 8), 14 * 8, 14 * 8),
        ("flatten_5", (112,), 0, 0),
        ("dropout_6", (112,), 0, 0),
        ("layer_normalization_7", (112,), 224, 224),
        ("activation_8", (112,), 0, 0),
        ("gaussian_noise_9", (112,), 0, 0),
        ("dense_10", (10,), 1130, 1130),
    ]
    assert planned.parameter_count == 448 + 32 + 112 + 224 + 1130
    assert planned.trainable_count == planned.parameter_count - 16


def test_a_frozen_layer_has_parameters_that_are_not_trained() -> None:
    planned = network(FLOWERS, dense(8, trainable=False))
    assert planned.parameter_count == 4 * 8 + 8 + 8 * 3 + 3
    assert planned.trainable_count == 8 * 3 + 3


NOISE = {"type": "gaussian_noise", "stddev": 0.1}


@pytest.mark.parametrize(
    ("first", "flatten", "shape"),
    [
        ([dense(8)], None, (784,)),
        ([NOISE, {"type": "dropout", "rate": 0.1}, dense(8)], None, (784,)),
        (["flatten"], None, (28, 28, 1)),
        (["batch_normalization", "flatten"], None, (28, 28, 1)),
        ([{"type": "reshape", "target_shape": [784]}], None, (28, 28, 1)),
        ([dense(8), "flatten"], False, (28, 28, 1)),
        ([dense(8)], True, (784,)),
        (["batch_normalization"], True, (784,)),
        (["flatten"], True, (784,)),
    ],
)
def test_images_become_vectors_before_a_dense_layer(first: list[Any], flatten: bool | None, shape: Any) -> None:
    data = {} if flatten is None else {"flatten": flatten}
    assert network(DIGITS, *first, **data).input_shape == shape


def test_rows_of_a_table_are_vectors_anyway() -> None:
    for flatten in (True, False):
        assert network(FLOWERS, flatten=flatten).input_shape == (4,)


@pytest.mark.parametrize(
    ("loss", "output", "fused"),
    [
        ("categorical_crossentropy", [dense(10, "softmax")], True),
        ("categorical_crossentropy", [dense(10), {"type": "activation", "activation": "softmax"}], True),
        ("categorical_crossentropy", [dense(10, "sigmoid")], False),
        ("categorical_crossentropy", [dense(10, "softmax", activity_regularizer="l2")], False),
        ("binary_crossentropy", [dense(10, "sigmoid")], True),
        ("binary_crossentropy", [dense(10, "softmax")], False),
        ("binary_focal_crossentropy", [dense(10, "sigmoid")], True),
        ("perceptron", [dense(10, "step")], True),
        ("perceptron", [dense(10)], False),
        ("mean_squared_error", [dense(10, "softmax")], False),
        ("mean_squared_error", [dense(10)], False),
        ("kl_divergence", [dense(10, "softmax")], False),
    ],
)
def test_which_outputs_are_computed_together_with_the_loss(loss: str, output: list[Any], fused: bool) -> None:
    assert plan(experiment(*output, loss=loss), DIGITS).fused is fused


@pytest.mark.parametrize(
    ("loss", "output", "threshold"),
    [
        ("binary_crossentropy", dense(1, "sigmoid"), 0.5),
        ("mean_squared_error", dense(1), 0.5),
        ("hinge", dense(1), 0.0),
        ("hinge", dense(1, "tanh"), 0.0),
        ("squared_hinge", dense(1, "sigmoid"), 0.5),
        ("hinge", dense(1, "sigmoid", activity_regularizer="l2"), 0.5),
        ("perceptron", dense(1, "step"), 0.5),
        ("perceptron", dense(1), 0.0),
    ],
)
def test_above_which_output_the_answer_is_yes(loss: str, output: dict[str, Any], threshold: float) -> None:
    assert plan(experiment(output, loss=loss), GATE).outputs == Outputs("binary", 1, threshold)


@pytest.mark.parametrize(
    ("info", "units"), [(FLOWERS, 3), (GATE, 1), (LABELS, 4), (PRICES, 2)], ids=lambda value: getattr(value, "task", "")
)
def test_the_outputs_of_every_task(info: DataInfo, units: int) -> None:
    assert network(info, dense(6, "relu")).outputs == Outputs(info.task, units, 0.5)


def test_shapes_that_do_not_fit() -> None:
    assert problems(FLOWERS, dense(6), {"type": "reshape", "target_shape": [4, -1]}) == [
        "layers[1]: reshape cannot lay 6 values of (6,) out as (4, -1): change target_shape"
    ]
    assert problems(DIGITS, {"type": "reshape", "target_shape": [28, 27]}, dense(10)) == [
        "layers[0]: reshape cannot lay 784 values of (28, 28, 1) out as (28, 27): change target_shape"
    ]
    assert problems(FLOWERS, dense(3, kernel_constraint={"type": "max_norm", "axis": 2})) == [
        "layers[0]: dense axis 2 of max_norm does not fit a parameter of shape (4, 3): "
        "choose different axes from 0 to 1"
    ]


def test_a_shape_of_many_numbers_is_cut_short() -> None:
    [problem] = problems(FLOWERS, {"type": "reshape", "target_shape": [2**62] * 1000}, dense(3))
    assert problem.startswith("layers[0]: reshape cannot lay 4 values of (4,) out as (4611686018427387904, 461")
    assert len(problem) < 250
    [problem] = problems(FLOWERS, {"type": "reshape", "target_shape": [10**300] * 1000 + [-1]}, dense(3))
    assert len(problem) < 250


def test_names_that_are_taken() -> None:
    assert problems(FLOWERS, dense(5, name="a"), dense(5, name="b"), dense(3, name="a")) == [
        "layers[2].name: layers[0] has the name 'a' already: choose another"
    ]
    assert problems(FLOWERS, dense(5, name="dense_2"), dense(3)) == [
        "layers[1].name: layers[0] has the name 'dense_2' already: choose another"
    ]
    planned = plan(experiment(dense(5, name="hidden"), dense(3, name="output")), FLOWERS)
    assert [layer.name for layer in planned.layers] == ["hidden", "output"]


def test_all_problems_are_told_at_once() -> None:
    layers = dense(5, name="a"), dense(5, name="a"), dense(2, "softmax")
    document = experiment(*layers, loss="hinge").model_dump()
    document["training"] = {"loss": "categorical_crossentropy", "metrics": ["mae"], "class_weight": {"x": 1}}
    document["data"] = {"dataset": "iris"}
    with pytest.raises(ExperimentError) as error:
        plan(make_experiment({**document, "layers": list(layers)}), FLOWERS)
    assert [problem.place for problem in error.value.problems] == [
        "layers[1].name",
        "layers[2].units",
        "training.metrics[0]",
        "training.class_weight",
    ]


def test_memory() -> None:
    """407 050 parameters six times (values, best, before, gradients, two slots of Adam), and for each of 128 samples
    784 + 512 + 10 outputs and twice 784 gradients, in 4 bytes each. Values and slots once more in float16."""

    def needed(info: DataInfo, first: dict[str, Any], batch_size: int, **training: Any) -> int:
        document = {
            "data": {"dataset": "iris", "batch_size": batch_size},
            "layers": [first, dense(len(info.classes), "softmax")],
            "training": {"loss": "categorical_crossentropy", **training},
        }
        made = make_experiment(document)
        return memory_bytes(plan(made, info), made)

    announced = 4 * (6 * 407_050 + 128 * (784 + 512 + 10 + 2 * 784))
    assert needed(DIGITS, dense(512, "relu"), 128) == announced == 11_240_688
    assert needed(DIGITS, dense(512, "relu"), 128, dtype="float64") == 2 * 11_240_688
    assert needed(DIGITS, dense(512, "relu"), 128, precision="float16") == announced + 4 * 3 * 407_050
    frozen = needed(FLOWERS, dense(8, trainable=False), 1, optimizer="sgd")
    assert frozen == 4 * (2 * 67 + 2 * 27 + (4 + 8 + 3) + 2 * 8)


@pytest.mark.parametrize(("units", "batch_size"), [(512, 128), (2048, 32), (64, 512)])
def test_training_takes_about_the_memory_that_was_announced(units: int, batch_size: int) -> None:
    from tuilab.engine.device import choose_device
    from tuilab.engine.trainer import Trainer

    document = {
        "data": {"dataset": "mnist", "batch_size": batch_size},
        "layers": [dense(units, "relu"), dense(10, "softmax")],
        "training": {"loss": "categorical_crossentropy", "epochs": 1},
    }
    generator = np.random.default_rng(0)
    features = generator.integers(0, 256, (2 * batch_size, 28, 28, 1), dtype=np.uint8)
    samples = Split(features, generator.integers(0, 10, 2 * batch_size))
    announced = memory_bytes(plan(make_experiment(document), DIGITS), make_experiment(document))

    def trained() -> Trainer:
        trainer = Trainer(make_experiment(document), Data(DIGITS, samples, None, None, None), choose_device("cpu"))
        list(trainer.run())
        return trainer

    trained()  # loads what any training needs
    tracemalloc.start()
    try:
        trainer = trained()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert trainer.step == 2
    assert 0.65 < taken / announced < 1.35


def test_ready_made_networks_have_the_size_that_their_names_say() -> None:
    sizes = {}
    for name in ("mnist-perceptron", "mnist-book", "mnist-mlp", "iris-8-8-3", "perceptron-and"):
        made = load_experiment(name)
        assert made.data.dataset is not None
        sizes[name] = plan(made, made.data.dataset.info()).parameter_count
    assert sizes == {
        "mnist-perceptron": 784 * 10 + 10,
        "mnist-book": 784 * 50 + 50 + 50 * 100 + 100 + 100 * 10 + 10,
        "mnist-mlp": 784 * 512 + 512 + 512 * 256 + 256 + 256 * 10 + 10,
        "iris-8-8-3": 4 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3,
        "perceptron-and": 2 + 1,
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(experiments(), st.sampled_from([DIGITS, FLOWERS, GATE, LABELS, PRICES]))
def test_any_experiment_is_planned_or_refused(made: Experiment, info: DataInfo) -> None:
    planned, refusal = None, None
    try:
        planned = plan(made, info)
    except ExperimentError as error:
        refusal = error
    if planned is not None:
        assert planned.outputs.units == planned.layers[-1].output_shape[0]
        assert 0 <= planned.trainable_count <= planned.parameter_count
    else:
        lines = str(refusal).splitlines()
        assert len(lines) == len(refusal.problems if refusal else ()) > 0
        assert all(clean_text(line, 1000) == line for line in lines)
