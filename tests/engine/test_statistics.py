"""What is told of every layer: norms, update ratio, and the state of its units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.examples import (
    EVERY_LAYER,
    make_data,
    make_experiment,
    make_info,
    make_network,
    make_split,
    mlp,
    train,
)
from tests.kernels import every_device
from tuilab.blocks.datasets import DataInfo
from tuilab.engine.events import LayersSeen
from tuilab.engine.network import Network
from tuilab.engine.statistics import LayerState, Statistics

pytestmark = every_device


def dense(kernel: list[list[float]], activation: str, **settings: Any) -> dict[str, Any]:
    return {"type": "dense", "units": len(kernel[0]), "activation": activation, **settings}


def seen(network: Network, x: Any, labels: Any, update: float = 0.0) -> tuple[LayerState, ...]:
    """Return the statistics of a step in which `update` is added to every parameter."""
    statistics = Statistics(network)
    with network.ops.quiet():
        network.measure(np.array(x, network.dtype), np.array(labels, network.dtype), training=True)
        network.backward()
        statistics.before_update()
        for entry in network.arena.entries:
            entry.value[...] += update
        network.arena.gradients.fill(np.nan)  # an update uses them up
        return statistics.after_update()


def one_layer(kernel: list[list[float]], activation: str, loss: str = "mean_squared_error") -> Network:
    info = DataInfo((len(kernel),), "regression", targets=len(kernel[0]))
    network = make_network(make_experiment([dense(kernel, activation)], loss), info)
    network.arena.entries[0].value[...] = kernel
    return network


def test_norms_worked_by_hand() -> None:
    """y = 3x₁ + 4x₂ at x = (2, 1) is 10, target 9: the gradient is 2 · (2, 1) of the kernel, 2 of the bias."""
    (state,) = seen(one_layer([[3], [4]], "linear"), [[2, 1]], [[9]], update=0.5)
    assert state.name == "dense_1"
    assert state.gradient_norm == pytest.approx(np.sqrt(16 + 4 + 4))
    assert state.weight_norm == pytest.approx(np.sqrt(3.5**2 + 4.5**2 + 0.5**2))
    assert state.update_ratio == pytest.approx(np.sqrt(0.75) / np.sqrt(3.5**2 + 4.5**2 + 0.5**2))
    assert state.activation_mean is state.activation_deviation is state.dead is state.saturated is None


def test_dead_units_of_a_relu() -> None:
    """Of four units one is above zero for both samples, one for one, two for none."""
    (state,) = seen(one_layer([[1, -1, 0, -2], [0, 3, 0, 0]], "relu"), [[1, 0], [2, 1]], np.zeros((2, 4)))
    assert state.activation_mean == pytest.approx((1 + 0 + 0 + 0 + 2 + 1 + 0 + 0) / 8)
    assert state.activation_deviation == pytest.approx(np.std([1, 0, 0, 0, 2, 1, 0, 0]))
    assert state.dead == 0.5
    assert state.saturated is None


def test_saturated_outputs_of_a_tanh() -> None:
    """1 − tanh²(x) is below 0.1 from |x| = 1.82; no unit of a tanh is dead before it is 1 in single precision."""
    (state,) = seen(one_layer([[1.6, -2, 30]], "tanh"), [[0.5], [1.0]], np.zeros((2, 3)))
    assert state.saturated == pytest.approx(3 / 6)  # −2, 15, 30, but not 1.6
    assert state.dead == pytest.approx(1 / 3)
    (state,) = seen(one_layer([[3.4, -3.8, 30]], "sigmoid"), [[0.5], [1.0]], np.zeros((2, 3)))
    assert state.saturated == pytest.approx(3 / 6)  # −3.8, 15, 30, but not 3.4: a sigmoid from |x| = 3.64


def test_channels_are_the_units_of_images() -> None:
    layers = [
        {"type": "reshape", "target_shape": [3, 2]},
        {"type": "activation", "activation": "relu"},
        {"type": "flatten"},
        {"type": "dense", "units": 2},
    ]
    network = make_network(make_experiment(layers, "mean_squared_error"), make_info("regression"))
    states = seen(network, [[-1, -1, -2, 1, -3, -1]], [[0, 0]])
    assert states[1].dead == 0.5
    assert [state.dead for state in (states[0], states[2], states[3])] == [None] * 3


def test_an_output_fused_with_its_loss_is_neither_dead_nor_saturated() -> None:
    """Its gradient does not pass the activation; mean and deviation are those of the predictions."""
    for task, activation, loss, units in (
        ("categorical", "softmax", "categorical_crossentropy", 3),
        ("binary", "sigmoid", "binary_crossentropy", 1),
        ("binary", "step", "perceptron", 1),
    ):
        experiment = make_experiment([{"type": "dense", "units": units, "activation": activation}], loss)
        network = make_network(experiment, make_info(task))
        network.arena.entries[0].value[...] *= 100
        split = make_split(make_info(task), 8)
        statistics = Statistics(network)
        predictions = network.measure(split.features, split.targets, training=True)
        network.backward()
        statistics.before_update()
        (state,) = statistics.after_update()
        assert state.activation_mean == pytest.approx(predictions.mean())
        assert state.activation_deviation == pytest.approx(predictions.std())
        assert state.dead is state.saturated is None


def test_a_softmax_has_no_dead_units() -> None:
    """Raising all inputs alike changes nothing, but each output has a slope for every single input."""
    (state,) = seen(one_layer([[1, 2, 3]], "softmax"), [[0.5], [1.0]], np.zeros((2, 3)))
    assert state.activation_mean == pytest.approx(1 / 3)
    assert state.dead is state.saturated is None


def test_a_frozen_layer_has_no_norms_but_outputs() -> None:
    experiment = make_experiment(
        [{"type": "dense", "units": 4, "activation": "tanh", "trainable": False}, {"type": "dense", "units": 2}],
        "mean_squared_error",
    )
    network = make_network(experiment, make_info("regression"))
    first, second = seen(network, np.ones((2, 6)), np.zeros((2, 2)), update=0.1)
    assert first.gradient_norm is first.weight_norm is first.update_ratio is None
    assert first.activation_mean is not None
    assert second.update_ratio is not None
    assert second.update_ratio > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_against_numpy(dtype: str) -> None:
    network = make_network(make_experiment(EVERY_LAYER, "categorical_crossentropy", dtype=dtype), make_info())
    split = make_split(make_info(), 8, dtype=dtype)
    network.measure(split.features, split.targets, training=True)
    network.backward()
    statistics, generator = Statistics(network), np.random.default_rng(3)
    statistics.before_update()
    expected: dict[str, list[list[np.ndarray]]] = {}
    for entry in network.arena.entries:
        if entry.gradient is not None:
            update = generator.normal(size=entry.value.shape).astype(dtype)
            before = entry.value.copy()
            entry.value[...] += update
            parts = [entry.gradient, entry.value, entry.value - before]
            expected.setdefault(network.plan.leaves[entry.layer].name, []).append([part.reshape(-1) for part in parts])
    states = statistics.after_update()
    assert [state.name for state in states] == [layer.name for layer in network.plan.leaves]
    for state in states:
        assert (state.activation_mean is not None) == state.name.rpartition("/")[2].startswith(("dense", "activation"))
        if state.name not in expected:
            assert state.gradient_norm is state.weight_norm is state.update_ratio is None
            continue
        gradient, weight, update = (
            np.linalg.norm(np.concatenate(parts)) for parts in zip(*expected[state.name], strict=True)
        )
        assert state.gradient_norm == pytest.approx(gradient, rel=1e-5)
        assert state.weight_norm == pytest.approx(weight, rel=1e-5)
        assert state.update_ratio == pytest.approx(update / weight, rel=1e-5)


def test_statistics_come_every_few_steps() -> None:
    events = train(mlp(statistics_every=3), make_data())[1]
    assert [event.step for event in events if isinstance(event, LayersSeen)] == [1, 4, 7]


def looks() -> list[LayersSeen]:
    return [event for event in train(mlp(statistics_every=1), make_data())[1] if isinstance(event, LayersSeen)]


def test_norms_of_layers_larger_than_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuilab.engine.statistics.CHUNK", 5)
    pieces = looks()
    monkeypatch.undo()
    for ours, theirs in zip(pieces, looks(), strict=True):
        for state, expected in zip(ours.layers, theirs.layers, strict=True):
            assert state.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-12)
            assert state.weight_norm == pytest.approx(expected.weight_norm, rel=1e-12)
            assert state.update_ratio == pytest.approx(expected.update_ratio, rel=1e-12)


def test_norms_beyond_the_squares_of_single_precision() -> None:
    (state,) = seen(one_layer([[3e30], [4e30]], "linear"), [[1, 1]], [[0]])
    assert state.weight_norm == pytest.approx(5e30)


def test_statistics_wait_for_the_update_while_gradients_are_gathered() -> None:
    """An update comes with every third batch: steps 3, 6, 9, …; asked for at steps 1, 6, 11, 16."""
    optimizer = {"type": "sgd", "learning_rate": 0.1, "gradient_accumulation_steps": 3}
    experiment = mlp(optimizer=optimizer, statistics_every=5, epochs=4)
    seen = [event for event in train(experiment, make_data())[1] if isinstance(event, LayersSeen)]
    assert [event.step for event in seen] == [3, 6, 12]
    for event in seen:
        for state in event.layers:
            assert state.update_ratio is not None
            assert state.update_ratio > 0


def test_the_update_ratio_is_that_of_the_update_just_made() -> None:
    """Plain gradient descent: update = rate · gradient."""
    experiment = mlp(optimizer={"type": "sgd", "learning_rate": 0.25}, statistics_every=1)
    for event in train(experiment, make_data())[1]:
        if isinstance(event, LayersSeen):
            for state in event.layers:
                assert state.gradient_norm is not None
                assert state.weight_norm is not None
                assert state.update_ratio == pytest.approx(0.25 * state.gradient_norm / state.weight_norm, rel=1e-4)
