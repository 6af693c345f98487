"""The gradient check: passes what is right, finds what is wrong, and passes nothing that it could not look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import EVERY_LAYER, make_data, make_experiment, mlp
from tuilab.blocks.activations import Exponential, Relu, Sigmoid
from tuilab.blocks.samples import Split
from tuilab.data.load import load
from tuilab.engine.check import TOLERANCE, Checked, check_gradients
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.experiment.load import load_experiment


def check(layers: list[dict[str, Any]], loss: str, task: Any = "categorical") -> list[Checked]:
    return list(check_gradients(make_experiment(layers, loss), make_data(task)))


def test_a_network_of_every_layer_passes() -> None:
    checked = check(EVERY_LAYER, "categorical_crossentropy")
    assert [(row.layer, row.parameter) for row in checked] == [
        ("dense_3", "kernel"),
        ("dense_3", "bias"),
        ("layer_normalization_4", "gamma"),
        ("layer_normalization_4", "beta"),
        ("prelu_5", "alpha"),
        ("dense_7", "kernel"),
        ("dense_7", "bias"),
        ("batch_normalization_8", "gamma"),
        ("batch_normalization_8", "beta"),
        *(
            (layer, parameter)
            for layer in (
                "repeat_11/1/residual_1/dense_1",
                "repeat_11/1/residual_1/dense_3",
                "repeat_11/2/residual_1/dense_1",
                "repeat_11/2/residual_1/dense_3",
                "residual_12/dense_1",
                "residual_12/projection/dense_2",
                "repeat_13/dense_1",
            )
            for parameter in ("kernel", "bias")
        ),
    ]
    for row in checked:
        assert row.passed, row
        assert row.error < TOLERANCE
        assert row.entries + row.kinks <= 24
        assert row.entries > row.kinks


@pytest.mark.parametrize(
    ("task", "loss", "activation", "units"),
    [
        ("binary", "binary_crossentropy", "sigmoid", 1),
        ("binary", "perceptron", "step", 1),
        ("multi_label", "hinge", "linear", 3),
        ("regression", "mean_absolute_error", "linear", 2),
        ("regression", "poisson", "relu", 2),
    ],
)
def test_outputs_of_all_kinds_pass(task: Any, loss: str, activation: str, units: int) -> None:
    layers = [
        {"type": "dense", "units": 6, "activation": "relu", "kernel_regularizer": "l1"},
        {"type": "dense", "units": units, "activation": activation},
    ]
    assert all(row.passed for row in check(layers, loss, task))


def test_it_is_the_same_every_time() -> None:
    assert list(check_gradients(mlp(), make_data())) == list(check_gradients(mlp(), make_data()))


@pytest.mark.parametrize("factor", [1.001, 1.00001, 0, -1])
def test_a_wrong_slope_is_found_in_the_layers_before_it(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    backward = Sigmoid.backward

    def wrong(self: Sigmoid, ops: Any, x: Any, y: Any, dy: Any, out: Any) -> None:
        backward(self, ops, x, y, dy, out)
        out *= factor

    monkeypatch.setattr(Sigmoid, "backward", wrong)
    layers = [{"type": "dense", "units": 5, "activation": name} for name in ("tanh", "sigmoid", "tanh")]
    layers.append({"type": "dense", "units": 3, "activation": "softmax"})
    checked = check(layers, "categorical_crossentropy")
    assert [row.layer for row in checked if not row.passed] == ["dense_1", "dense_1", "dense_2", "dense_2"]
    assert [row.error for row in checked if row.layer == "dense_2"] == pytest.approx([abs(1 - factor)] * 2, rel=0.6)


def test_a_forgotten_bias_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    backward = NumpyKernels.activate_backward

    def forgetful(self: NumpyKernels, activation: Any, x: Any, y: Any, dy: Any, dbias: Any, out: Any) -> None:
        backward(self, activation, x, y, dy, None, out)

    monkeypatch.setattr(NumpyKernels, "activate_backward", forgetful)
    assert {row.parameter for row in check_gradients(mlp(), make_data()) if not row.passed} == {"bias"}


def test_kinks_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relu that jumps by a little at every 0.0001: a number moved by that much changes the slope."""
    forward = Relu.forward

    def rough(self: Relu, ops: Any, x: Any, out: Any) -> None:
        steps = np.floor(x * 1e4) * 1e-4
        forward(self, ops, steps, out)

    monkeypatch.setattr(Relu, "forward", rough)
    layers = [
        {"type": "dense", "units": 5, "activation": "relu"},
        {"type": "dense", "units": 3, "activation": "softmax"},
    ]
    first, *_ = check(layers, "categorical_crossentropy")
    assert first.kinks > 0


def test_a_network_whose_loss_is_no_number_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: Exponential, ops: Any, x: Any, out: Any) -> None:
        out.fill(np.nan)

    monkeypatch.setattr(Exponential, "forward", nothing)
    layers = [{"type": "dense", "units": 5, "activation": "exponential"}, {"type": "dense", "units": 2}]
    checked = check(layers, "mean_squared_error", "regression")
    assert all(row.entries == 0 and not row.passed for row in checked)


@pytest.mark.parametrize("size", [1e-3, 1, 1e3, 1e6])
def test_targets_of_any_size_pass(size: float) -> None:
    """A loss of a million leaves its differences fewer digits than a loss of one."""
    data = make_data("regression")
    data = replace(data, train=Split(data.train.features, data.train.targets * np.float32(size)))
    layers = [{"type": "dense", "units": 8, "activation": "relu"}, {"type": "dense", "units": 2}]
    checked = list(check_gradients(make_experiment(layers, "mean_squared_error"), data))
    assert all(row.passed for row in checked), checked


def test_a_loss_far_larger_than_its_gradients_passes() -> None:
    """Behind weights that are far too large, the last biases hardly matter beside a loss of 300,000."""
    experiment = load_experiment("exploding")
    checked = list(check_gradients(experiment, load(experiment.data, experiment.seed)))
    assert all(row.passed for row in checked), checked
    assert all(row.entries == 24 or row.parameter == "bias" for row in checked)


def test_frozen_layers_are_not_checked() -> None:
    layers = [{"type": "dense", "units": 5, "trainable": False}, {"type": "dense", "units": 2}]
    assert {row.layer for row in check(layers, "mean_squared_error", "regression")} == {"dense_2"}


def test_a_handful_of_samples_is_enough() -> None:
    assert all(row.passed for row in check_gradients(mlp(), make_data(train=2)))
