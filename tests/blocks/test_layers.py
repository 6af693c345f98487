"""Every layer: numbers worked by hand, gradient check, PyTorch, smaller batches, frozen, and what draws at random."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.blocks.image_cases import IMAGE_CASES
from tests.blocks.layer_bench import SEED, Bench, Case
from tests.kernels import every_device, make_kernels
from tuilab.blocks.arrays import Stream
from tuilab.blocks.layers import Layer
from tuilab.blocks.layers.containers import Container

pytestmark = every_device


def dense(activation: Callable[[Any, Any], Any]) -> Callable[[Any, Any, dict[str, Any]], Any]:
    return lambda torch, x, w: activation(torch, x @ w["kernel"] + w.get("bias", torch.zeros(1, dtype=x.dtype)))


def batch_norm(epsilon: float, training: bool = True) -> Callable[[Any, Any, dict[str, Any]], Any]:
    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        flat = x.reshape(-1, x.shape[-1])
        mean, variance = (None, None) if training else (w["moving_mean"], w["moving_variance"])
        gamma, beta = w.get("gamma"), w.get("beta")
        return torch.nn.functional.batch_norm(flat, mean, variance, gamma, beta, training, eps=epsilon).reshape(x.shape)

    return oracle


def layer_norm(torch: Any, x: Any, w: dict[str, Any], epsilon: float = 3) -> Any:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], w.get("gamma"), w.get("beta"), epsilon)


def prelu(torch: Any, x: Any, w: dict[str, Any]) -> Any:
    return torch.relu(x) - w["alpha"] * torch.relu(-x)


CASES = [
    Case(
        "dense",
        {"units": 3, "activation": "relu"},
        x=[[1, 2], [3, -1]],
        y=[[5.5, 0.25, 0], [1.5, 0, 0]],
        dy=[[1, 2, 3], [4, 5, 6]],
        dx=[[-1, 2], [4, 8]],
        values={"kernel": [[1, -1, 0.5], [2, 0, 1]], "bias": [0.5, 1.25, -3]},
        gradients={"kernel": [[13, 2, 0], [-2, 4, 0]], "bias": [5, 2, 0]},
        oracle=dense(lambda torch, z: torch.relu(z)),
    ),
    Case(
        "dense",
        {"units": 1, "use_bias": False},
        x=[[[1, 2], [3, 4]]],
        y=[[[-1], [-1]]],
        dy=[[[2], [3]]],
        dx=[[[2, -2], [3, -3]]],
        values={"kernel": [[1], [-1]]},
        gradients={"kernel": [[11], [16]]},
        oracle=dense(lambda torch, z: z),
        shape=(3, 4),
    ),
    Case(  # the activity adds y · (2 · 0.5) / 2 rows to dy
        "dense",
        {
            "units": 1,
            "use_bias": False,
            "activation": "silu",
            "activity_regularizer": {"type": "l2", "l2": 0.5},
        },
        x=[[0], [2]],
        y=[[0], [1.76159416]],
        dy=[[1], [1]],
        dx=[[0.5], [2.05154383]],
        values={"kernel": [[1]]},
        gradients={"kernel": [[4.10308766]]},
        penalty=0.77580349,
        shape=(3, 4),
    ),
    Case(
        "dense",
        {"units": 2, "activity_regularizer": {"type": "l1", "l1": 0.5}},
        x=[[1, 2]],
        y=[[2, -1]],
        dy=[[1, 1]],
        dx=[[1.5, 2]],
        values={"kernel": [[1, 0], [1, 1]], "bias": [-1, -3]},
        gradients={"kernel": [[1.5, 0.5], [3, 1]], "bias": [1.5, 0.5]},
        penalty=1.5,
        oracle=dense(lambda torch, z: z),
    ),
    Case(
        "dense",
        {"units": 2, "activation": "gelu", "trainable": False},
        x=[[1], [-1]],
        y=[[0, 1.95449974], [0, -0.04550026]],
        dy=[[2, 0], [0, 1]],
        dx=[[0], [-0.17046360]],  # slope of gelu at −2: −0.08523180
        values={"kernel": [[0, 2]], "bias": [0, 0]},
        oracle=dense(lambda torch, z: torch.nn.functional.gelu(z)),
        shape=(3, 4),
    ),
    Case(
        "dense",
        {"units": 2, "activation": "softmax"},
        x=[[1]],
        y=[[0.73105858, 0.26894142]],
        dy=[[1, 0]],
        dx=[[0.19661193]],
        values={"kernel": [[1, 0]], "bias": [0, 0]},
        gradients={"kernel": [[0.19661193, -0.19661193]], "bias": [0.19661193, -0.19661193]},
        oracle=dense(lambda torch, z: torch.softmax(z, -1)),
        shape=(3, 4),
    ),
    Case(
        "activation",
        {"activation": "tanh"},
        x=[[-1, 0, 2]],
        y=[[-0.76159416, 0, 0.96402758]],
        dy=[[1, 2, 1]],
        dx=[[0.41997434, 2, 0.07065082]],
        oracle=lambda torch, x, w: torch.tanh(x),
    ),
    Case(
        "activation",
        {"activation": "silu"},
        x=[[0, 2]],
        y=[[0, 1.76159416]],
        dy=[[2, 1]],
        dx=[[1, 1.09078425]],
        oracle=lambda torch, x, w: torch.nn.functional.silu(x),
        shape=(3, 4),
    ),
    Case(
        "flatten",
        {},
        x=[[[1, 2], [3, 4]]],
        y=[[1, 2, 3, 4]],
        dy=[[5, 6, 7, 8]],
        dx=[[[5, 6], [7, 8]]],
        oracle=lambda torch, x, w: torch.flatten(x, 1),
        shape=(3, 4),
    ),
    Case(
        "reshape",
        {"target_shape": [3, -1]},
        x=[[1, 2, 3, 4, 5, 6]],
        y=[[[1, 2], [3, 4], [5, 6]]],
        dy=[[[6, 5], [4, 3], [2, 1]]],
        dx=[[6, 5, 4, 3, 2, 1]],
        oracle=lambda torch, x, w: x.reshape(len(x), 3, -1),
        shape=(2, 6),
    ),
    Case("dropout", {"rate": 0.0}, x=[[1, 2]], y=[[1, 2]], dy=[[3, 4]], dx=[[3, 4]], oracle=lambda torch, x, w: x),
    Case(  # drawn: 0.387, 0.592, 0.623, 0.410
        "dropout",
        {"rate": 0.4},
        x=[[1, 2], [3, 4]],
        y=[[0, 3.33333333], [5, 6.66666667]],
        dy=[[1, 1], [2, 3]],
        dx=[[0, 1.66666667], [3.33333333, 5]],
        shape=(3, 4),
    ),
    Case("gaussian_noise", {"stddev": 0.0}, x=[[1]], y=[[1]], dy=[[3]], dx=[[3]], oracle=lambda torch, x, w: x),
    Case(  # drawn: radius 0.496, 0.095; angle 0.326, 0.860
        "gaussian_noise",
        {"stddev": 2.0},
        x=[[1, 2]],
        y=[[-0.07689549, 2.56881537]],
        dy=[[3, 4]],
        dx=[[3, 4]],
        shape=(3, 4),
    ),
    Case(  # unit 1: mean 2, variance 1; unit 2: mean 5, variance 0
        "batch_normalization",
        {"epsilon": 3.0, "momentum": 0.75},
        x=[[1, 5], [3, 5]],
        y=[[-1, -1], [3, -1]],
        dy=[[1, 1], [2, 3]],
        dx=[[-0.75, -1.73205081], [0.75, 1.73205081]],
        values={"gamma": [4, 3], "beta": [1, -1], "moving_mean": [10, 1], "moving_variance": [5, 4]},
        gradients={"gamma": [0.5, 0], "beta": [3, 4]},
        after={"moving_mean": [8, 2], "moving_variance": [4, 3]},
        oracle=batch_norm(3),
    ),
    Case(
        "batch_normalization",
        {"epsilon": 3.0, "center": False},
        x=[[[1], [3]], [[3], [1]]],
        y=[[[-2], [2]], [[2], [-2]]],
        dy=[[[1], [2]], [[2], [2]]],
        dx=[[[-1.375], [0.375]], [[0.375], [0.625]]],  # ½ · (4 dy − 7 − normalized / 2)
        values={"gamma": [4], "moving_mean": [0], "moving_variance": [1]},
        gradients={"gamma": [0.5]},
        after={"moving_mean": [0.02], "moving_variance": [1]},
        oracle=batch_norm(3),
        shape=(3, 4),
    ),
    Case(
        "batch_normalization",
        {"epsilon": 3.0, "center": False, "scale": False},
        x=[[1], [3]],
        y=[[-0.5], [0.5]],
        dy=[[1], [2]],
        dx=[[-0.1875], [0.1875]],
        values={"moving_mean": [0], "moving_variance": [1]},
        after={"moving_mean": [0.02], "moving_variance": [1]},
        oracle=batch_norm(3),
        shape=(3, 4),
    ),
    Case(
        "batch_normalization",
        {"epsilon": 3.0, "trainable": False},
        x=[[1], [5]],
        y=[[1], [9]],
        dy=[[1], [2]],
        dx=[[2], [4]],
        values={"gamma": [4], "beta": [1], "moving_mean": [1], "moving_variance": [1]},
        oracle=batch_norm(3, training=False),
        shape=(3, 4),
    ),
    Case(
        "layer_normalization",
        {"epsilon": 3.0},
        x=[[1, 3], [5, 5]],
        y=[[-1, 1], [1, 0]],
        dy=[[1, 1], [1, 3]],
        dx=[[0.375, -0.375], [-0.57735027, 0.57735027]],
        values={"gamma": [4, 2], "beta": [1, 0]},
        gradients={"gamma": [-0.5, 0.5], "beta": [2, 4]},
        oracle=layer_norm,
    ),
    Case(
        "layer_normalization",
        {"epsilon": 3.0, "scale": False},
        x=[[[1, 3], [3, 1]]],
        y=[[[-0.25, 0.5], [0.75, -0.5]]],
        dy=[[[1, 2], [0, 0]]],
        dx=[[[-0.1875, 0.1875], [0, 0]]],
        values={"beta": [0.25, 0]},
        gradients={"beta": [1, 2]},
        oracle=layer_norm,
        shape=(3, 4),
    ),
    Case(
        "layer_normalization",
        {"epsilon": 3.0, "center": False, "trainable": False},
        x=[[1, 3]],
        y=[[-1, 1]],
        dy=[[1, 3]],
        dx=[[-0.75, 0.75]],
        values={"gamma": [2, 2]},
        oracle=layer_norm,
        shape=(3, 4),
    ),
    Case(
        "prelu",
        {},
        x=[[-2, 3], [4, -1]],
        y=[[-0.5, 3], [4, -0.5]],
        dy=[[1, 2], [3, 4]],
        dx=[[0.25, 2], [3, 2]],
        values={"alpha": [0.25, 0.5]},
        gradients={"alpha": [-2, -4]},
        oracle=prelu,
        shape=(3, 4),
    ),
    Case(
        "prelu",
        {"shared_axes": [1]},
        x=[[[-1, 2], [-3, -4]]],
        y=[[[-0.5, 2], [-1.5, -1]]],
        dy=[[[1, 1], [1, 1]]],
        dx=[[[0.5, 1], [0.5, 0.25]]],
        values={"alpha": [[0.5, 0.25]]},
        gradients={"alpha": [[-4, -4]]},
        oracle=prelu,
        shape=(3, 4),
    ),
    *IMAGE_CASES,
]

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def test_every_layer_has_a_row() -> None:
    known = {name for name, layer in Layer.registry.items() if layer.__module__.startswith("tuilab.")}
    containers = {name for name in known if issubclass(Layer.registry[name], Container)}  # in test_containers.py
    assert {case.layer for case in CASES} == known - containers


@every_case
def test_numbers_worked_by_hand(case: Case) -> None:
    x, dy = np.array(case.x, "float64"), np.array(case.dy, "float64")
    bench = Bench(case.block, x.shape[1:], case.values)
    y, dx = bench.run(x, dy)
    np.testing.assert_allclose(y, case.y, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(dx, case.dx, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(bench.penalty, [case.penalty], rtol=1e-7)
    assert bench.gradients.keys() == case.gradients.keys()
    for name, gradient in case.gradients.items():
        np.testing.assert_allclose(bench.gradients[name], gradient, rtol=1e-8, atol=1e-8, err_msg=name)
    for name, values in (case.values | case.after).items():
        np.testing.assert_allclose(bench.values[name], values, rtol=1e-12, err_msg=name)


@every_case
@pytest.mark.parametrize("rows", [4, 3])
def test_gradients_against_central_differences(case: Case, rows: int) -> None:
    """Of the loss Σ y · dy + penalty, for full and for smaller batches."""
    bench = case.bench()
    _, x, dy = case.random(rows=rows)
    start = {name: value.copy() for name, value in bench.values.items()}

    def loss() -> float:
        for name in case.after:  # statistics are no part of the function
            bench.values[name][...] = start[name]
        bench.penalty[...] = 0
        y = bench.bound.forward(x, training=True)
        return float(np.sum(y * dy) + bench.penalty[0])

    loss()
    dx = bench.bound.backward(dy)
    assert dx is not None
    exact = {"x": dx.copy(), **{name: gradient.copy() for name, gradient in bench.gradients.items()}}
    for name, gradient in exact.items():
        array = x if name == "x" else bench.values[name]
        numeric = np.empty_like(array)
        for place in np.ndindex(array.shape):
            value, around = array[place], []
            for step in (1e-5, -1e-5):
                array[place] = value + step
                around.append(loss())
            array[place] = value
            numeric[place] = (around[0] - around[1]) / 2e-5
        assert np.abs(gradient - numeric).max() <= 1e-6 * max(1, np.abs(numeric).max()), name
        assert np.abs(numeric).max() > 0.01, f"{name} has no gradient that could be wrong"


@pytest.mark.parametrize("case", [case for case in CASES if case.oracle], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-11)])
def test_same_as_pytorch(case: Case, dtype: str, tolerance: float) -> None:
    torch = pytest.importorskip("torch")
    assert case.oracle is not None
    values, x, dy = case.random(dtype)
    bench = case.bench(dtype)
    w = {
        name: torch.tensor(value.astype(dtype), requires_grad=name in bench.gradients) for name, value in values.items()
    }
    expected_x = torch.tensor(x, requires_grad=True)
    expected = case.oracle(torch, expected_x, w)
    loss = (expected * torch.tensor(dy)).sum()
    if "activity_regularizer" in case.settings:  # l1 = 0.5
        loss = loss + 0.5 * expected.abs().sum() / len(x)
    loss.backward()
    y, dx = bench.run(x, dy)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, expected_x.grad.numpy(), rtol=tolerance, atol=tolerance)
    for name, gradient in bench.gradients.items():
        np.testing.assert_allclose(gradient, w[name].grad.numpy(), rtol=tolerance, atol=tolerance, err_msg=name)


@every_case
def test_a_smaller_batch_after_a_full_one_leaves_nothing_behind(case: Case) -> None:
    values, x, dy = case.random()
    whole, small = case.bench(), case.bench(batch_size=3)
    whole.run(x, dy)
    for name in case.after:
        whole.values[name][...] = values[name]
    for ours, theirs in zip(whole.run(x[:3], dy[:3]), small.run(x[:3], dy[:3]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name, gradient in small.gradients.items():
        np.testing.assert_array_equal(whole.gradients[name], gradient)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_changes_neither_inputs_nor_parameters(case: Case, dtype: str) -> None:
    values, x, dy = case.random(dtype)
    bench = case.bench(dtype)
    y = bench.bound.forward(x, training=True)
    before = y.copy()
    dx = bench.bound.backward(dy)
    assert dx is not None
    assert (dx.dtype, dx.shape) == (x.dtype, x.shape)
    assert np.array_equal(x, case.random(dtype)[1])
    assert np.array_equal(dy, case.random(dtype)[2])
    assert np.array_equal(y, before)
    for name in values.keys() - case.after.keys():
        assert np.array_equal(bench.values[name], values[name].astype(dtype)), name


@every_case
def test_the_first_layer_computes_no_input_gradient(case: Case) -> None:
    _, x, dy = case.random()
    inner, first = case.bench(), case.bench(first=True)
    y, dx = inner.run(x, dy)
    assert dx is not None
    ours, nothing = first.run(x, dy)
    assert nothing is None
    assert np.array_equal(ours, y)
    for name, gradient in inner.gradients.items():
        assert np.array_equal(first.gradients[name], gradient), name


@every_case
def test_frozen_layers_hand_gradients_on(case: Case) -> None:
    _, x, dy = case.random()
    frozen = Bench(case.block.model_copy(update={"trainable": False}), case.shape, case.random()[0])
    assert frozen.gradients == {}
    y, dx = frozen.run(x, dy)
    expected_y, expected_dx = case.bench().run(x, dy)
    if case.layer != "batch_normalization":  # which uses its moving averages then
        assert np.array_equal(y, expected_y)
        assert dx is not None
        assert np.array_equal(dx, expected_dx)


@every_case
def test_after_training_nothing_is_drawn_and_nothing_learned(case: Case) -> None:
    values, x, _ = case.random()
    bench = case.bench()
    y = bench.bound.forward(x, training=False).copy()
    for name, value in values.items():
        assert np.array_equal(bench.values[name], value), name
    if case.layer in ("dropout", "gaussian_noise", "spatial_dropout1d", "spatial_dropout2d"):
        assert np.array_equal(y, x)
    elif case.layer == "batch_normalization":
        normalized = (x - values["moving_mean"]) / np.sqrt(values["moving_variance"] + case.settings["epsilon"])
        np.testing.assert_allclose(y, normalized * values.get("gamma", 1) + values.get("beta", 0), rtol=1e-12)
    else:
        assert np.array_equal(y, bench.bound.forward(x, training=True))


@every_case
def test_shapes_are_planned_as_they_are(case: Case) -> None:
    _, x, _ = case.random()
    assert case.bench().bound.forward(x, training=True).shape[1:] == case.block.output_shape(case.shape)


@every_case
def test_the_function_of_an_output_can_be_left_to_the_loss(case: Case) -> None:
    layer = case.block
    activation = layer.output_activation()
    if activation is None:
        return
    values, x, _ = case.random()
    whole, bare = case.bench(), Bench(layer.without_activation(), case.shape, values)
    logits = bare.bound.forward(x, training=True)
    y = np.empty_like(logits)
    make_kernels().activate(activation, logits, None, y)
    assert np.array_equal(y, whole.bound.forward(x, training=True))


def test_an_output_with_a_penalty_on_its_activity_is_not_left_to_the_loss() -> None:
    layer = Layer.choose({"type": "dense", "units": 2, "activation": "softmax", "activity_regularizer": "l2"})
    assert layer.output_activation() is None


def test_moving_variance_is_biased_as_in_keras() -> None:
    """Four samples 0, 0, 0, 4: the mean of the squares about their mean is 3, not 4."""
    layer = Layer.choose({"type": "batch_normalization", "momentum": 0.5})
    values = {"gamma": [1], "beta": [0], "moving_mean": [0], "moving_variance": [0]}
    bench = Bench(layer, (1,), values)
    for mean, variance in ((0.5, 1.5), (0.75, 2.25), (0.875, 2.625)):
        bench.bound.forward(np.array([[0.0], [0], [0], [4]]), training=True)
        assert bench.values["moving_mean"] == [mean]
        assert bench.values["moving_variance"] == [variance]


def test_normalizing_large_numbers_keeps_their_differences() -> None:
    """The variance is that of the differences, not a difference of large squares."""
    x = np.array([[10_000.0], [10_001]], "float32")
    layer = Layer.choose({"type": "batch_normalization", "epsilon": 1e-12})
    bench = Bench(layer, (1,), {"gamma": [1], "beta": [0], "moving_mean": [0], "moving_variance": [0]}, "float32")
    np.testing.assert_allclose(bench.bound.forward(x, training=True), [[-1], [1]], rtol=1e-5)
    layer = Layer.choose({"type": "layer_normalization", "epsilon": 1e-12})
    bench = Bench(layer, (2,), {"gamma": [1, 1], "beta": [0, 0]}, "float32")
    np.testing.assert_allclose(bench.bound.forward(x.reshape(1, 2), training=True), [[-1, 1]], rtol=1e-5)


def mask(rate: float, dtype: str = "float64", seed: int = SEED, epoch: int = 1, step: int = 2) -> np.ndarray:
    bench = Bench(Layer.choose({"type": "dropout", "rate": rate}), (250, 40), {}, dtype, batch_size=10, seed=seed)
    bench.clock.epoch, bench.clock.step = epoch, step
    return bench.bound.forward(np.ones((10, 250, 40), dtype), training=True)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_drops_its_share_and_scales_the_rest(rate: float, dtype: str) -> None:
    y = mask(rate, dtype)
    assert y.dtype == dtype
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
    deviation = np.sqrt(rate * (1 - rate) / y.size)
    assert abs((y == 0).mean() - rate) < 4 * deviation
    for axis in range(3):  # neighbours are independent: both dropped with rate²
        both = (y == 0) & np.roll(y == 0, 1, axis)
        assert abs(both.mean() - rate**2) < 6 * deviation


def test_dropout_depends_on_seed_epoch_and_step_alone() -> None:
    first = mask(0.5)
    assert np.array_equal(first, mask(0.5))
    for other in (mask(0.5, seed=8), mask(0.5, epoch=2), mask(0.5, step=3)):
        assert 0.45 < (other == first).mean() < 0.55


@pytest.mark.parametrize("layer", [{"type": "dropout", "rate": 0.5}, {"type": "gaussian_noise", "stddev": 1.0}])
def test_earlier_draws_change_nothing(layer: dict[str, Any]) -> None:
    x = np.ones((4, 5))
    fresh, used = (Bench(Layer.choose(layer), (5,), {}) for _ in range(2))
    for step, rows in ((1, 4), (7, 1), (2, 3)):
        used.clock.step = step
        used.bound.forward(x[:rows], training=True)
    fresh.clock.step = used.clock.step = 5
    y = fresh.bound.forward(x, training=True)
    used.ops.uniform(Stream(3, "something else", used.clock), np.empty(3, "float32"))
    assert np.array_equal(used.bound.forward(x, training=True), y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_is_normal(dtype: str) -> None:
    """Mean, deviation, skewness, kurtosis, tails and correlation of 160,000 draws, within five standard errors."""
    bench = Bench(Layer.choose({"type": "gaussian_noise", "stddev": 0.5}), (400,), {}, dtype, batch_size=400)
    x = np.full((400, 400), 3, dtype)
    y = bench.bound.forward(x, training=True)
    assert y.dtype == dtype
    z = (y.astype("float64") - 3) / 0.5
    error = 1 / np.sqrt(z.size)
    assert abs(z.mean()) < 5 * error
    assert abs((z**2).mean() - 1) < 5 * error * np.sqrt(2)
    assert abs((z**3).mean()) < 5 * error * np.sqrt(15)
    assert abs((z**4).mean() - 3) < 5 * error * np.sqrt(96)
    assert abs((np.abs(z) > 1.959964).mean() - 0.05) < 5 * error * np.sqrt(0.05 * 0.95)
    assert abs((z * np.roll(z, 1, 1)).mean()) < 5 * error
    assert abs((z * np.roll(z, 1, 0)).mean()) < 5 * error


def test_layers_without_work_of_their_own_hand_the_gradient_on() -> None:
    """What the network relies on when it lays out the buffers between layers."""
    for case in CASES:
        bench = case.bench()
        _, x, dy = case.random()
        bench.bound.forward(x, training=True)
        dx = bench.bound.backward(dy)
        assert dx is not None
        assert np.shares_memory(dx, dy) == bench.bound.passes_gradient, str(case)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        ({"type": "reshape", "target_shape": [3, 2]}, (2, 4), "cannot lay 8 values of (2, 4) out as (3, 2): change"),
        ({"type": "reshape", "target_shape": [3, -1]}, (8,), "cannot lay 8 values of (8,) out as (3, -1): change"),
        ({"type": "reshape", "target_shape": [16, -1]}, (8,), "cannot lay 8 values of (8,) out as (16, -1): change"),
        ({"type": "prelu", "shared_axes": [1, 3]}, (2, 4), "has no axis 3 to share: a sample has 2 axes"),
        ({"type": "dense", "units": 2}, (), "needs at least one axis of inputs, gets single numbers: add a reshape"),
        ({"type": "batch_normalization"}, (), "needs at least one axis of units, gets single numbers: add a reshape"),
        ({"type": "layer_normalization"}, (), "needs at least one axis of units, gets single numbers: add a reshape"),
    ],
)
def test_shapes_that_do_not_fit(layer: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Layer.choose(layer).output_shape(shape)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"type": "reshape", "target_shape": [-1, -1]}, "at most one may be -1"),
        ({"type": "reshape", "target_shape": [0]}, "sizes must be above 0"),
        ({"type": "reshape", "target_shape": []}, "at least 1 item"),
        ({"type": "prelu", "shared_axes": [0]}, "axes count from 1; axis 0 is the batch"),
        ({"type": "dropout", "rate": 1.0}, "less than 1"),
        ({"type": "dropout"}, "Field required"),
        ({"type": "dense", "units": 0}, "greater than 0"),
        ({"type": "dense", "units": 3, "actvation": "relu"}, "Extra inputs"),
    ],
)
def test_settings_out_of_bounds(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Layer.choose(layer)


@pytest.mark.parametrize(
    ("layer", "shape", "output"),
    [
        ({"type": "flatten"}, (2, 3, 4), (24,)),
        ({"type": "flatten"}, (), (1,)),
        ({"type": "reshape", "target_shape": [4, -1, 2]}, (2, 3, 4), (4, 3, 2)),
        ({"type": "reshape", "target_shape": [1]}, (), (1,)),
        ({"type": "dense", "units": 7}, (2, 3, 4), (2, 3, 7)),
    ],
)
def test_output_shapes(layer: dict[str, Any], shape: tuple[int, ...], output: tuple[int, ...]) -> None:
    assert Layer.choose(layer).output_shape(shape) == output


def test_multiply_adds_count_matrix_products() -> None:
    assert Layer.choose({"type": "dense", "units": 7}).multiply_adds((2, 3, 4)) == 2 * 3 * 4 * 7
    assert Layer.choose({"type": "dropout", "rate": 0.5}).multiply_adds((2, 3)) == 0


@every_case
def test_the_table_gives_the_same_layer(case: Case) -> None:
    assert Layer.choose(case.block.table()) == case.block


@every_case
def test_settings_are_described(case: Case) -> None:
    assert all(setting.description for setting in type(case.block).model_fields.values())
