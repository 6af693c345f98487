"""A whole network: gradients, PyTorch, penalties, frozen layers, batches of any size."""

from __future__ import annotations

from collections.abc import Callable
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
    make_info,
    make_network,
    make_split,
    mlp,
    train,
)
from tests.kernels import every_device
from tuilab.blocks.layers import Layer
from tuilab.blocks.metric import Task
from tuilab.engine.network import Network

pytestmark = every_device

HIDDEN: dict[str, Any] = {"type": "dense", "units": 4, "activation": "tanh", "bias_initializer": "random_normal"}


def outputs(units: int, activation: str, **settings: Any) -> list[dict[str, Any]]:
    return [HIDDEN, {"type": "dense", "units": units, "activation": activation, **settings}]


def over(shape: list[int], *layers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return layers that work on samples of `shape`, between dense ones."""
    first = {**HIDDEN, "units": int(np.prod(shape))}
    return [first, {"type": "reshape", "target_shape": shape}, *layers, {"type": "flatten"}, *outputs(2, "linear")]


NETWORKS: dict[str, tuple[Task, list[dict[str, Any]], Any, bool]] = {
    # name: task, layers, loss, fused
    "softmax": ("categorical", outputs(3, "softmax"), "categorical_crossentropy", True),
    "smoothed softmax": (
        "categorical",
        outputs(3, "softmax"),
        {"type": "categorical_crossentropy", "label_smoothing": 0.2},
        True,
    ),
    "softmax layer": (
        "categorical",
        [*outputs(3, "linear"), {"type": "activation", "activation": "softmax"}],
        "categorical_crossentropy",
        True,
    ),
    "softmax with a penalty on its activity": (
        "categorical",
        outputs(3, "softmax", activity_regularizer={"type": "l2", "l2": 0.3}),
        "mean_squared_error",
        False,
    ),
    "softmax, divergence": ("categorical", outputs(3, "softmax"), "kl_divergence", False),
    "two classes": ("binary", outputs(2, "softmax"), "categorical_crossentropy", True),
    "sigmoid": ("binary", outputs(1, "sigmoid"), "binary_crossentropy", True),
    "sigmoids": ("multi_label", outputs(3, "sigmoid"), "binary_crossentropy", True),
    "focal": ("multi_label", outputs(3, "sigmoid"), "binary_focal_crossentropy", True),
    "sigmoid, squared error": ("binary", outputs(1, "sigmoid"), "mean_squared_error", False),
    "perceptron": ("binary", [{"type": "dense", "units": 1, "activation": "step"}], "perceptron", True),
    "linear perceptron": ("categorical", outputs(3, "linear"), "perceptron", False),
    "hinge": ("binary", outputs(1, "tanh"), "squared_hinge", False),
    "regression": ("regression", outputs(2, "linear"), "mean_squared_error", False),
    "huber": ("regression", outputs(2, "softplus"), {"type": "huber", "delta": 0.5}, False),
    "every layer": ("categorical", EVERY_LAYER, "categorical_crossentropy", True),
    "every layer, frozen in between": (
        "categorical",
        [{**layer, "trainable": index not in (3, 4, 7)} for index, layer in enumerate(EVERY_LAYER)],
        "categorical_crossentropy",
        True,
    ),
    "layers for images": ("regression", over([3, 4, 2], *IMAGE_LAYERS), "mean_squared_error", False),
    "layers for sequences": ("regression", over([6, 2], *SEQUENCE_LAYERS), "mean_squared_error", False),
    **{
        pooling["type"]: (
            "regression",
            over([4, 3] if pooling["type"].endswith("1d") else [2, 2, 3], pooling),
            "mean_squared_error",
            False,
        )
        for pooling in GLOBAL_POOLINGS
    },
    "layers without a gradient of their own, alternating": (
        "regression",
        [
            HIDDEN,
            {"type": "reshape", "target_shape": [2, 2]},
            {"type": "dropout", "rate": 0.0},
            {"type": "prelu"},
            {"type": "flatten"},
            {"type": "gaussian_noise", "stddev": 0.0},
            {"type": "reshape", "target_shape": [4, 1]},
            {"type": "dense", "units": 2, "activation": "gelu"},
            {"type": "flatten"},
            {"type": "dense", "units": 2},
            {"type": "flatten"},
        ],
        "log_cosh",
        False,
    ),
}


def make(name: str, batch_size: int = 8, dtype: str = "float64") -> tuple[Network, np.ndarray, np.ndarray]:
    """Return a network and a batch for it."""
    task, layers, loss, fused = NETWORKS[name]
    info = make_info(task)
    network = make_network(make_experiment(layers, loss, dtype=dtype), info, batch_size)
    assert network.plan.fused is fused
    network.clock.epoch, network.clock.step = 2, 5
    split = make_split(info, batch_size, dtype=dtype)
    return network, split.features, split.targets


def test_every_layer_is_in_one_of_these_networks() -> None:
    known = {name for name, layer in Layer.registry.items() if layer.__module__.startswith("tuilab.")}
    used = {layer["type"] for layer in (*EVERY_LAYER, *IMAGE_LAYERS, *SEQUENCE_LAYERS, *GLOBAL_POOLINGS)}
    assert used == known - {"vgg16", "vgg19"}, "those are made of others"


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [8, 5])
def test_gradients_against_central_differences(name: str, weighted: bool, rows: int) -> None:
    network, x, labels = make(name)
    x, labels = x[:rows], labels[:rows]
    weights = np.linspace(0.5, 2, rows) if weighted else None
    values = network.arena.trainable_values

    def loss() -> float:
        network.measure(x, labels, training=True, weights=weights)
        return float(network.step_loss[0])

    network.arena.gradients.fill(np.nan)
    loss()
    network.backward(weights)
    checked = 0
    for entry in network.arena.entries:
        if entry.gradient is None:
            continue
        for place in range(entry.place.start, entry.place.stop):
            value, around = values[place], []
            for step in (1e-6, -1e-6):  # narrow: the largest of a window must stay the largest
                values[place] = value + step
                around.append(loss())
            values[place] = value
            numeric = (around[0] - around[1]) / 2e-6
            exact = network.arena.gradients[place]
            assert abs(exact - numeric) <= 1e-6 * max(1, abs(numeric)), (entry.layer, entry.parameter.name)
            checked += abs(numeric) > 1e-4
    assert checked > 5


@pytest.mark.parametrize("name", NETWORKS)
def test_a_smaller_batch_has_the_gradients_of_a_network_of_its_size(name: str) -> None:
    """Whatever a fuller batch left in the buffers."""
    network, x, labels = make(name)
    small, _, _ = make(name, batch_size=3)
    statistics = network.arena.values[network.arena.trainable_size :].copy()
    network.measure(x, labels, training=True)
    network.backward()
    network.arena.values[network.arena.trainable_size :] = statistics
    for each in (network, small):
        each.measure(x[:3], labels[:3], training=True)
        each.backward()
    assert network.step_loss == small.step_loss
    assert np.array_equal(network.arena.gradients, small.arena.gradients)
    assert np.array_equal(network.arena.values, small.arena.values)


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_is_close_to_float64(name: str) -> None:
    gradients = {}
    for dtype in ("float32", "float64"):
        network, x, labels = make(name, dtype=dtype)
        if any("dropout" in layer["type"] for layer in NETWORKS[name][1]):
            for bound in network.layers:
                if type(bound).__name__ in ("BoundDropout", "BoundGaussianNoise"):  # which draw other bits
                    bound.forward = lambda x, training: x  # type: ignore[method-assign]
                    bound.backward = lambda dy: dy  # type: ignore[method-assign]
        network.measure(x.astype(dtype), labels, training=True)
        network.backward()
        parts = [entry.gradient.copy() for entry in network.arena.entries if entry.gradient is not None]
        assert all(part.dtype == dtype for part in parts)
        gradients[dtype] = parts
    for single, double in zip(*gradients.values(), strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


def test_loss_and_gradient_worked_by_hand() -> None:
    """y = 2x − 1 for x = 1, 3 is 1, 5; targets 0, 3; squares 1, 4; weights ½, 2; l2 penalty 0.25 · 2² = 1.

    loss = (½ + 8) / 2 + 1;  kernel: (½ · 2 · 1 · 1 + 2 · 2 · 2 · 3) / 2 + 2 · 0.25 · 2;  bias: (½ · 2 + 2 · 4) / 2
    """
    kernel = {"type": "constant", "value": 2.0}
    layer = {
        "type": "dense",
        "units": 1,
        "kernel_initializer": kernel,
        "kernel_regularizer": {"type": "l2", "l2": 0.25},
    }
    layer["bias_initializer"] = {"type": "constant", "value": -1.0}
    network = make_network(make_experiment([layer], "mean_squared_error"), make_info_of_one())
    x, labels, weights = (np.array(values, "float32") for values in ([[1], [3]], [[0], [3]], [0.5, 2]))
    predictions = network.measure(x, labels, training=True, weights=weights)
    assert predictions.tolist() == [[1], [5]]
    assert network.sample_losses[:2].tolist() == [0.5, 8]
    assert network.step_loss.tolist() == [5.25]
    network.backward(weights)
    gradients = [entry.gradient.reshape(-1).tolist() for entry in network.arena.entries if entry.gradient is not None]
    assert gradients == [[13.5], [4.5]]


def make_info_of_one() -> Any:
    from tuilab.blocks.datasets import DataInfo

    return DataInfo((1,), "regression", targets=1)


def test_penalties_on_activity_count_in_training_only() -> None:
    layers = outputs(3, "softmax", activity_regularizer={"type": "l2", "l2": 0.3})
    network = make_network(make_experiment(layers, "mean_squared_error", dtype="float64"), make_info())
    split = make_split(make_info(), 8, dtype="float64")
    predictions = network.measure(split.features, split.targets)
    plain = float(network.step_loss[0])
    assert plain == pytest.approx(((predictions - np.eye(3)[split.targets]) ** 2).mean())
    network.measure(split.features, split.targets, training=True)
    assert float(network.step_loss[0]) - plain == pytest.approx(0.3 * (predictions**2).sum() / 8)


def test_evaluation_leaves_the_network_as_it_is() -> None:
    network, x, labels = make("every layer")
    before = network.arena.values.copy()
    first = network.measure(x, labels).copy()
    network.clock.step += 1
    assert np.array_equal(network.measure(x, labels), first)
    assert np.array_equal(network.forward(x), first)
    assert np.array_equal(network.arena.values, before)
    np.testing.assert_allclose(first.sum(axis=1), 1)


def test_noise_follows_the_clock() -> None:
    network, x, labels = make("every layer")
    losses = {}
    for step in (4, 5, 4):
        network.clock.step = step
        network.measure(x, labels, training=True)
        losses.setdefault(step, []).append(float(network.step_loss[0]))
    assert losses[4][0] == losses[4][1] != losses[5][0]


def test_parameters_by_name() -> None:
    network, _, _ = make("every layer")
    named = dict(network.parameters())
    assert list(named)[:3] == ["dense_3/kernel", "dense_3/bias", "layer_normalization_4/gamma"]
    assert list(named)[-2:] == ["batch_normalization_8/moving_mean", "batch_normalization_8/moving_variance"]
    assert sum(value.size for value in named.values()) == network.plan.parameter_count


def test_two_layers_of_a_kind_draw_different_numbers() -> None:
    layers = [*[{"type": "dropout", "rate": 0.5}] * 2, {"type": "dense", "units": 2}]
    network = make_network(make_experiment(layers, "mean_squared_error"), make_info("regression", (1000,)))
    once = network.layers[0].forward(np.ones((8, 1000), "float32"), training=True)
    twice = network.layers[1].forward(once, training=True)
    assert 0.2 < (twice > 0).mean() < 0.3


@pytest.mark.parametrize("name", NETWORKS)
def test_no_layer_writes_over_the_gradient_that_it_reads(name: str) -> None:
    """numpy would make a copy where they overlap; other devices do not."""
    network, x, labels = make(name)
    seen = []

    def watched(bound: Any, backward: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(dy: Any) -> Any:
            dx = backward(dy)
            seen.append(dx is None or np.shares_memory(dx, dy) == bound.passes_gradient)
            return dx

        return run

    for bound in network.layers:
        bound.backward = watched(bound, bound.backward)  # type: ignore[method-assign]
    network.measure(x, labels, training=True)
    network.backward()
    assert seen
    assert all(seen)


def watch_backward(network: Network) -> list[tuple[int, bool]]:
    """Note each layer whose backward runs, and whether it gave an input gradient."""
    seen: list[tuple[int, bool]] = []

    def watched(index: int, backward: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(dy: Any) -> Any:
            dx = backward(dy)
            seen.append((index, dx is not None))
            return dx

        return run

    for index, bound in enumerate(network.layers):
        bound.backward = watched(index, bound.backward)  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize(
    ("frozen", "expected"),
    [
        ((), [(2, True), (1, True), (0, False)]),
        ((1,), [(2, True), (1, True), (0, False)]),
        ((0,), [(2, True), (1, False)]),
        ((0, 1), [(2, False)]),
        ((0, 1, 2), [(2, False)]),
    ],
)
def test_gradients_go_no_further_than_something_learns(
    frozen: tuple[int, ...], expected: list[tuple[int, bool]]
) -> None:
    layers = [
        {**layer, "trainable": index not in frozen} for index, layer in enumerate([HIDDEN, *outputs(3, "softmax")])
    ]
    network = make_network(make_experiment(layers, "categorical_crossentropy"), make_info())
    split = make_split(make_info(), 8)
    seen = watch_backward(network)
    network.measure(split.features, split.targets, training=True)
    network.backward()
    assert seen == expected


def test_a_layer_before_the_first_that_learns_gets_no_gradient() -> None:
    layers = [{"type": "gaussian_noise", "stddev": 0.1}, {"type": "batch_normalization", "trainable": False}]
    network = make_network(make_experiment([*layers, *outputs(3, "softmax")], "categorical_crossentropy"), make_info())
    split = make_split(make_info(), 8)
    seen = watch_backward(network)
    network.measure(split.features, split.targets, training=True)
    network.backward()
    assert seen == [(3, True), (2, False)]


def test_frozen_layers_stay_as_they_are() -> None:
    layers = [
        {**HIDDEN, "trainable": False, "kernel_regularizer": "l2", "kernel_constraint": {"type": "unit_norm"}},
        {"type": "batch_normalization", "trainable": False, "gamma_initializer": "random_normal"},
        *outputs(3, "softmax"),
    ]
    experiment = make_experiment(layers, "categorical_crossentropy", optimizer={"type": "adamw", "weight_decay": 0.1})
    before = dict(make_network(experiment, make_info()).parameters())
    trainer, _ = train(experiment, make_data())
    after = dict(trainer.network.parameters())
    unchanged = {name for name in before if np.array_equal(before[name], after[name])}
    assert unchanged == {name for name in before if name.startswith(("dense_1/", "batch_normalization_2/"))}


def test_several_steps_of_training_equal_pytorch() -> None:
    """Two epochs with a smaller last batch, momentum, penalties, class weights, normalizations and learned slopes."""
    torch = pytest.importorskip("torch")
    layers = [
        {"type": "dense", "units": 9, "activation": "gelu", "kernel_regularizer": {"type": "l2", "l2": 0.02}},
        {"type": "batch_normalization", "epsilon": 1e-3},
        {"type": "dense", "units": 8, "use_bias": False, "activity_regularizer": {"type": "l2", "l2": 0.01}},
        {"type": "layer_normalization"},
        {"type": "prelu", "alpha_initializer": {"type": "constant", "value": 0.25}},
        {"type": "dense", "units": 3, "activation": "softmax", "bias_regularizer": {"type": "l1", "l1": 0.01}},
    ]
    experiment = make_experiment(
        layers,
        "categorical_crossentropy",
        dtype="float64",
        class_weight={"red": 2.0, "blue": 0.5},
        optimizer={"type": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        data={"shuffle": False},
    )
    data = make_data(dtype="float64")
    start = {name: value.copy() for name, value in make_network(experiment, data.info).parameters()}
    trainer, _ = train(experiment, data)
    assert trainer.step == 8

    w = {name: torch.tensor(value, requires_grad="moving" not in name) for name, value in start.items()}
    functional = torch.nn.functional
    mean, variance = w["batch_normalization_2/moving_mean"], w["batch_normalization_2/moving_variance"]
    optimizer = torch.optim.SGD([value for value in w.values() if value.requires_grad], lr=0.1, momentum=0.9)
    class_weight = torch.tensor([2, 1, 0.5], dtype=torch.float64)
    features, targets = torch.tensor(data.train.features), torch.tensor(data.train.targets)
    for _ in range(2):
        for x, labels in zip(features.split(16), targets.split(16), strict=True):
            z = functional.gelu(x @ w["dense_1/kernel"] + w["dense_1/bias"])
            mean.mul_(0.99).add_(0.01 * z.detach().mean(0))
            variance.mul_(0.99).add_(0.01 * z.detach().var(0, unbiased=False))
            gamma, beta = w["batch_normalization_2/gamma"], w["batch_normalization_2/beta"]
            z = functional.batch_norm(z, None, None, gamma, beta, training=True, eps=1e-3)
            z = activity = z @ w["dense_3/kernel"]
            gamma, beta = w["layer_normalization_4/gamma"], w["layer_normalization_4/beta"]
            z = functional.layer_norm(z, (8,), gamma, beta, eps=1e-3)
            z = functional.prelu(z, w["prelu_5/alpha"])
            z = z @ w["dense_6/kernel"] + w["dense_6/bias"]
            losses = functional.cross_entropy(z, labels, reduction="none") * class_weight[labels]
            penalty = 0.02 * (w["dense_1/kernel"] ** 2).sum() + 0.01 * w["dense_6/bias"].abs().sum()
            loss = losses.mean() + penalty + 0.01 * (activity**2).sum() / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for name, value in trainer.network.parameters():
        np.testing.assert_allclose(value, w[name].detach().numpy(), rtol=1e-9, atol=1e-9, err_msg=name)
        assert name == "dense_6/bias" or np.abs(value - start[name]).max() > 0.01, f"{name} has not moved"


def test_fused_and_plain_outputs_learn_the_same() -> None:
    """A penalty on the activity, of strength 0, keeps the loss away from the logits."""
    trained = []
    for settings in ({}, {"activity_regularizer": {"type": "l2", "l2": 0.0}}):
        experiment = make_experiment(outputs(3, "softmax", **settings), "categorical_crossentropy", dtype="float64")
        trainer, _ = train(experiment, make_data(dtype="float64"))
        assert trainer.plan.fused is not bool(settings)
        trained.append(trainer.network.arena.values)
    np.testing.assert_allclose(*trained, rtol=1e-9, atol=1e-12)


def test_predictions_come_in_the_order_of_the_classes() -> None:
    trainer, _ = train(mlp(epochs=60, optimizer={"type": "adam", "learning_rate": 0.02}), make_data())
    split = trainer.data.train
    predictions = trainer.network.forward(split.features[:16])
    assert (predictions.argmax(axis=1) == split.targets[:16]).mean() > 0.9
