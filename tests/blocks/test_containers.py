"""Layers that contain layers: numbers worked by hand, shapes, names, what is frozen, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.examples import make_data, make_experiment, make_info, make_network, train
from tests.kernels import every_device
from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers import Layer
from tuilab.engine.check import check_gradients
from tuilab.engine.divergence import find_origin
from tuilab.engine.network import Network
from tuilab.errors import ExperimentError
from tuilab.experiment.plan import plan, plan_layer

pytestmark = every_device

NUMBERS = DataInfo((2,), "regression", targets=2)


def dense(units: int, activation: str = "linear", **settings: Any) -> dict[str, Any]:
    return {"type": "dense", "units": units, "activation": activation, **settings}


def network(*layers: dict[str, Any], info: DataInfo = NUMBERS) -> Network:
    experiment = make_experiment(list(layers), "mean_squared_error", dtype="float64")
    return make_network(experiment, info)


def set_kernels(made: Network, *kernels: Any) -> None:
    places = (entry for entry in made.arena.entries if entry.parameter.name == "kernel")
    for entry, kernel in zip(places, kernels, strict=True):
        entry.value[...] = kernel


def refusal(*layers: dict[str, Any], info: DataInfo = NUMBERS) -> list[str]:
    with pytest.raises(ExperimentError) as error:
        plan(make_experiment(list(layers), "mean_squared_error"), info)
    return [str(problem) for problem in error.value.problems]


def gradients(made: Network, x: HostArray, target: HostArray) -> dict[str, HostArray]:
    made.measure(x, target, training=True)
    made.backward()
    return {
        f"{made.plan.leaves[entry.layer].name}/{entry.parameter.name}": entry.gradient.copy()
        for entry in made.arena.entries
        if entry.gradient is not None
    }


def test_what_the_layers_give_is_added_to_their_input() -> None:
    """y = x·W + x with W = [[1, 2], [3, 4]] at (1, 1) is (5, 7); the loss (25 + 49) / 2 for the target 0, its gradient
    for y is y itself, and that for an earlier layer, x = v·1, is y·Wᵀ + y = (5 + 14 + 5, 15 + 28 + 7)."""
    made = network(dense(2), {"type": "residual", "layers": [dense(2)]})
    set_kernels(made, np.eye(2), [[1, 2], [3, 4]])
    x, target = np.ones((1, 2)), np.zeros((1, 2))
    assert made.forward(x).tolist() == [[5, 7]]
    found = gradients(made, x, target)
    assert made.step_loss[0] == 37
    assert found["residual_2/dense_1/kernel"].tolist() == [[5, 7], [5, 7]]
    assert found["dense_1/bias"].tolist() == [24, 50]


def test_what_a_projection_gives_is_added_instead() -> None:
    """y = x·(1, 1)ᵀ + x·(10, 0)ᵀ at (1, 2) is 13; the loss is its square, and the gradient 2 · 13 · x for each."""
    info = DataInfo((2,), "regression", targets=1)
    made = network({"type": "residual", "layers": [dense(1)], "projection": [dense(1)]}, info=info)
    set_kernels(made, [[1], [1]], [[10], [0]])
    x = np.array([[1.0, 2.0]])
    assert made.forward(x).tolist() == [[13]]
    found = gradients(made, x, np.zeros((1, 1)))
    assert found["residual_1/dense_1/kernel"].tolist() == [[26], [52]]
    assert found["residual_1/projection/dense_1/kernel"].tolist() == [[26], [52]]


def test_repeated_layers_are_those_written_out() -> None:
    inner = [dense(5, "tanh"), {"type": "layer_normalization"}]
    grouped = network({"type": "repeat", "times": 3, "layers": inner}, {"type": "repeat", "layers": [dense(2)]})
    written = network(*inner * 3, dense(2))
    assert [leaf.name for leaf in grouped.plan.leaves[:3]] == [
        "repeat_1/1/dense_1",
        "repeat_1/1/layer_normalization_2",
        "repeat_1/2/dense_1",
    ]
    assert grouped.plan.leaves[-1].name == "repeat_2/dense_1"
    assert np.array_equal(grouped.arena.values, written.arena.values)
    x, target = np.random.default_rng(1).normal(size=(2, 6, 2))
    ours, theirs = gradients(grouped, x, target), gradients(written, x, target)
    assert all(np.array_equal(one, other) for one, other in zip(ours.values(), theirs.values(), strict=True))
    assert len({kernel.tobytes() for name, kernel in ours.items() if name.endswith("kernel")}) == 4


DEEP: list[dict[str, Any]] = [
    {"type": "reshape", "target_shape": [3, 2]},
    {
        "type": "residual",
        "layers": [{"type": "flatten"}, dense(6, "tanh"), {"type": "reshape", "target_shape": [3, 2]}],
    },
    {"type": "residual", "layers": [{"type": "reshape", "target_shape": [-1, 2]}]},
    {
        "type": "residual",
        "layers": [
            {"type": "residual", "layers": [dense(4, "gelu"), dense(2)]},
            {"type": "repeat", "times": 2, "layers": [dense(4, "tanh"), {"type": "batch_normalization"}]},
        ],
        "projection": [{"type": "residual", "layers": [dense(2, "softplus")]}, dense(4)],
    },
    {"type": "flatten"},
    dense(3, "softmax"),
]


def test_gradients_of_what_is_nested_deeply() -> None:
    experiment = make_experiment(DEEP, "categorical_crossentropy")
    checks = list(check_gradients(experiment, make_data(shape=(6,))))
    assert len(checks) == 20
    assert all(check.passed for check in checks), [check for check in checks if not check.passed]


def test_a_frozen_container_freezes_what_is_inside() -> None:
    layers = [
        dense(6),
        {"type": "residual", "trainable": False, "layers": [dense(6), {"type": "prelu"}]},
        dense(3, "softmax"),
    ]
    experiment = make_experiment(layers, "categorical_crossentropy", optimizer="sgd")
    trainer, _ = train(experiment, make_data())
    first = make_network(experiment, make_info())
    same = {
        name: np.array_equal(value, before)
        for (name, value), (_, before) in zip(trainer.network.parameters(), first.parameters(), strict=True)
    }
    assert same == {name: name.startswith("residual") for name in same}
    assert trainer.plan.trainable_count == 6 * 6 + 6 + 6 * 3 + 3


def test_the_outermost_layer_decides_whether_images_come_as_vectors() -> None:
    image = DataInfo((4, 4, 1), "regression", targets=2)
    group = {"type": "repeat", "layers": [{"type": "dropout", "rate": 0.1}, dense(2)]}
    assert plan(make_experiment([group], "mean_squared_error"), image).input_shape == (16,)
    group = {"type": "repeat", "layers": [{"type": "flatten"}, dense(2)]}
    assert plan(make_experiment([group], "mean_squared_error"), image).input_shape == (4, 4, 1)


def test_what_makes_numbers_infinite_is_found_inside() -> None:
    made = network({"type": "residual", "layers": [dense(2, "exponential"), dense(2)]}, dense(2))
    for entry in made.arena.entries:
        entry.value[...] = 1
    with made.ops.quiet():
        found = find_origin(made, np.full((1, 2), 500.0), training=True)
    assert found == "the output of residual_1/dense_1 (layers[0].layers[0]) is not finite"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            [{"type": "residual", "layers": [dense(3)]}, dense(2)],
            "layers[0]: residual cannot add 3, which its layers give, to 2, which its input has: add a projection, or"
            " keep the shape",
        ),
        (
            [{"type": "residual", "layers": [dense(3)], "projection": [dense(4)]}, dense(2)],
            "layers[0]: residual cannot add 3, which its layers give, to 4, which the projection gives: change the"
            " projection",
        ),
        (
            [{"type": "repeat", "layers": [dense(4), {"type": "reshape", "target_shape": [3]}]}, dense(2)],
            "layers[0].layers[1]: reshape cannot lay 4 values of (4,) out as (3,): change target_shape",
        ),
        (
            [{"type": "residual", "layers": [dense(2)], "projection": [{"type": "reshape", "target_shape": [3]}]}],
            "layers[0].projection[0]: reshape cannot lay 2 values of (2,) out as (3,): change target_shape",
        ),
        (
            [{"type": "repeat", "layers": [dense(4, name="a"), dense(2, name="a")]}],
            "layers[0].layers[1].name: layers[0].layers[0] has the name 'a' already: choose another",
        ),
        (
            [{"type": "repeat", "layers": [dense(4), dense(3)]}],
            "layers[0].layers[1].units: the data has 2 values to predict, the output has 3: set units = 2",
        ),
        (
            [{"type": "repeat", "times": 100, "layers": [dense(2), dense(2)]}] * 2,
            "layers: come to 400 with those inside others, at most 256 can be",
        ),
    ],
)
def test_what_does_not_fit(layers: list[dict[str, Any]], said: str) -> None:
    assert refusal(*layers) == [said]


def test_too_many_inside_one_another_are_refused_at_once() -> None:
    layer: dict[str, Any] = dense(2)
    for _ in range(4):
        layer = {"type": "repeat", "times": 100, "layers": [layer]}
    with pytest.raises(ValueError, match="comes to 10,000 layers, at most 256 can be in a network"):
        make_experiment([layer], "mean_squared_error")


@pytest.mark.parametrize(
    ("layer", "shape", "parameters"),
    [
        ({"type": "vgg16"}, (1000,), 138_357_544),
        ({"type": "vgg19"}, (1000,), 143_667_240),
        ({"type": "vgg16", "classes": 10}, (10,), 134_301_514),
        ({"type": "vgg16", "include_top": False}, (7, 7, 512), 14_714_688),
        ({"type": "vgg19", "include_top": False, "pooling": "avg"}, (512,), 20_024_384),
        ({"type": "vgg16", "include_top": False, "pooling": "max"}, (512,), 14_714_688),
    ],
)
def test_vgg_as_keras_has_it(layer: dict[str, Any], shape: tuple[int, ...], parameters: int) -> None:
    """The counts of parameters are those of keras.applications."""
    planned = plan_layer(Layer.choose(layer), (224, 224, 3), "vgg", "layers[0]", [])
    assert (planned.output_shape, planned.parameter_count) == (shape, parameters)
    assert [leaf.name for leaf in planned.leaves[:4]] == [
        "vgg/block1/block1_conv1",
        "vgg/block1/block1_conv2",
        "vgg/block1/block1_pool",
        "vgg/block2/block2_conv1",
    ]


def test_vgg_is_the_last_layer_as_its_own_last_layer() -> None:
    info = DataInfo((32, 32, 3), "categorical", ("a", "b", "c"))
    small = {"type": "vgg16", "classes": 3}
    assert plan(make_experiment([small], "categorical_crossentropy"), info).fused
    with pytest.raises(ExperimentError) as error:
        plan(make_experiment([{**small, "classes": 10}], "categorical_crossentropy"), info)
    assert [str(problem) for problem in error.value.problems] == [
        "layers[0].classes: the data has 3 classes, the output has 10: set classes = 3"
    ]
    with pytest.raises(ExperimentError) as error:
        plan(make_experiment([small], "categorical_crossentropy"), DataInfo((16, 16, 3), "categorical", info.classes))
    assert str(error.value.problems[0]).startswith("layers[0]: vgg16 does not fit: its max_pooling2d needs images of")
