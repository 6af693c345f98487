"""Every activation: numbers worked by hand, gradient check, PyTorch, large inputs, in-place work, no allocation."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.kernels import every_device, make_kernels
from tuilab.blocks.activations import (
    Activation,
    Elu,
    Exponential,
    Gelu,
    HardSigmoid,
    LeakyRelu,
    Linear,
    LogSoftmax,
    Mish,
    Relu,
    Relu6,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Softsign,
    Step,
    Tanh,
)
from tuilab.blocks.arrays import Ops

pytestmark = every_device


@dataclass
class Case:
    """An activation and what it gives: y for x, and dL/dx for dy (ones where nothing is said)."""

    block: Activation
    x: list[float]
    y: list[float]
    dx: list[float]
    far: tuple[float, float] | None
    """y at −10 000 and 10 000; None for functions over units and for the exponential."""
    oracle: Callable[[Any, Any], Any]
    dy: list[float] | None = None


CASES = [
    Case(Linear(), [-1, 0, 2], [-1, 0, 2], [1, 1, 1], (-1e4, 1e4), lambda torch, x: x * 1),
    Case(
        Step(), [-1, 0, 2], [0, 0, 1], [0, 0, 0], (0, 1), lambda torch, x: torch.heaviside(x.detach(), x.detach() * 0)
    ),
    Case(
        Sigmoid(),
        [-1, 0, 2],
        [0.26894142, 0.5, 0.88079708],
        [0.19661193, 0.25, 0.10499359],
        (0, 1),
        lambda torch, x: torch.sigmoid(x),
    ),
    Case(
        HardSigmoid(),
        [-4, -1.5, 0, 1.5, 4],
        [0, 0.25, 0.5, 0.75, 1],
        [0, 1 / 6, 1 / 6, 1 / 6, 0],
        (0, 1),
        # torch.nn.functional.hardsigmoid holds 1/6 in float32 even for float64
        lambda torch, x: torch.clamp(x / 6 + 0.5, 0, 1),
    ),
    Case(
        Tanh(),
        [-1, 0, 2],
        [-0.76159416, 0, 0.96402758],
        [0.41997434, 1, 0.07065082],
        (-1, 1),
        lambda torch, x: torch.tanh(x),
    ),
    Case(Relu(), [-1, 0, 2], [0, 0, 2], [0, 0, 1], (0, 1e4), lambda torch, x: torch.nn.functional.relu(x)),
    Case(Relu6(), [-1, 0, 2, 7], [0, 0, 2, 6], [0, 0, 1, 0], (0, 6), lambda torch, x: torch.nn.functional.relu6(x)),
    Case(
        LeakyRelu(),
        [-1, 0, 2],
        [-0.2, 0, 2],
        [0.2, 0.2, 1],
        (-2000, 1e4),
        lambda torch, x: torch.nn.functional.leaky_relu(x, 0.2),
    ),
    Case(
        LeakyRelu(negative_slope=1.5),
        [-1, 0, 2],
        [-1.5, 0, 2],
        [1.5, 1.5, 1],
        (-15000, 1e4),
        lambda torch, x: torch.nn.functional.leaky_relu(x, 1.5),
    ),
    Case(
        Elu(),
        [-1, 0, 2],
        [-0.63212056, 0, 2],
        [0.36787944, 1, 1],
        (-1, 1e4),
        lambda torch, x: torch.nn.functional.elu(x),
    ),
    Case(
        Elu(alpha=0.5),
        [-1, 0, 2],
        [-0.31606028, 0, 2],
        [0.18393972, 0.5, 1],
        (-0.5, 1e4),
        lambda torch, x: torch.nn.functional.elu(x, 0.5),
    ),
    Case(
        Selu(),
        [-1, 0, 2],
        [-1.11133074, 0, 2.10140197],
        [0.64676860, 1.75809934, 1.05070099],
        (-1.75809934, 10507.009874),
        lambda torch, x: torch.nn.functional.selu(x),
    ),
    Case(
        Gelu(),
        [-1, 0, 2],
        [-0.15865525, 0, 1.95449974],
        [-0.08331547, 0.5, 1.08523181],
        (0, 1e4),
        lambda torch, x: torch.nn.functional.gelu(x),
    ),
    Case(
        Gelu(approximate=True),
        [-1, 0, 2],
        [-0.15880801, 0, 1.95459769],
        [-0.08296408, 0.5, 1.08609926],
        (0, 1e4),
        lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),
    ),
    Case(
        Silu(),
        [-1, 0, 2],
        [-0.26894142, 0, 1.76159416],
        [0.07232949, 0.5, 1.09078425],
        (0, 1e4),
        lambda torch, x: torch.nn.functional.silu(x),
    ),
    Case(
        Mish(),
        [-1, 0, 2],
        [-0.30340146, 0, 1.94395896],
        [0.05921676, 0.6, 1.06931795],
        (0, 1e4),
        lambda torch, x: torch.nn.functional.mish(x),
    ),
    Case(
        Softplus(),
        [-1, 0, 2],
        [0.31326169, 0.69314718, 2.12692801],
        [0.26894142, 0.5, 0.88079708],
        (0, 1e4),
        lambda torch, x: torch.nn.functional.softplus(x, threshold=50),
    ),
    Case(
        Softsign(),
        [-1, 0, 3],
        [-0.5, 0, 0.75],
        [0.25, 1, 0.0625],
        (-0.99990001, 0.99990001),
        lambda torch, x: torch.nn.functional.softsign(x),
    ),
    Case(
        Exponential(),
        [-1, 0, 2],
        [0.36787944, 1, 7.38905610],
        [0.36787944, 1, 7.38905610],
        None,
        lambda torch, x: torch.exp(x),
    ),
    Case(
        Softmax(),
        [1, 2, 3],
        [0.09003057, 0.24472847, 0.66524096],
        [0.08192507, -0.02203304, -0.05989202],
        None,
        lambda torch, x: torch.nn.functional.softmax(x, dim=-1),
        dy=[1, 0, 0],
    ),
    Case(
        LogSoftmax(),
        [1, 2, 3],
        [-2.40760596, -1.40760596, -0.40760596],
        [0.90996943, -0.24472847, -0.66524096],
        None,
        lambda torch, x: torch.nn.functional.log_softmax(x, dim=-1),
        dy=[1, 0, 0],
    ),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.block))
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def poisoned_kernels() -> Ops:
    """Kernels whose scratch memory holds NaN, so that a read before a write shows."""
    ops = make_kernels()
    with ops.scratch(np.empty(1 << 16)) as memory:
        memory.fill(np.nan)
    return ops


def run_forward(block: Activation, x: np.ndarray) -> np.ndarray:
    y = np.full_like(x, np.nan)
    poisoned_kernels().activate(block, x, None, y)
    return y


def run_backward(block: Activation, x: np.ndarray, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    dx = np.full_like(x, np.nan)
    poisoned_kernels().activate_backward(block, x, y, dy, None, dx)
    return dx


def random_batch(dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.normal(0, 3, (6, 5, 4)).astype(dtype), generator.normal(0, 1, (6, 5, 4)).astype(dtype)


def test_every_activation_has_a_row() -> None:
    known = {name for name, block in Activation.registry.items() if block.__module__.startswith("tuilab.")}
    assert {case.block.type_name() for case in CASES} == known


@every_case
@every_dtype
def test_numbers_worked_by_hand(case: Case, dtype: str) -> None:
    x = np.array([case.x], dtype)
    dy = np.ones_like(x) if case.dy is None else np.array([case.dy], dtype)
    y = run_forward(case.block, x)
    tolerance = 1e-8 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(y, [case.y], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(run_backward(case.block, x, y, dy), [case.dx], rtol=tolerance, atol=tolerance)


@every_case
def test_gradient_against_central_differences(case: Case) -> None:
    step = 1e-5
    x = np.linspace(-7.77, 8.11, 24).reshape(4, 6)
    for kink in (-3, 0, 3, 6):
        assert np.abs(x - kink).min() > 100 * step
    dy = np.random.default_rng(5).normal(size=x.shape)
    numeric = np.empty_like(x)
    for place in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[place] = step
        above, below = run_forward(case.block, x + shift), run_forward(case.block, x - shift)
        numeric[place] = np.sum(dy * (above - below)) / (2 * step)
    exact = run_backward(case.block, x, run_forward(case.block, x), dy)
    assert np.all(np.abs(exact - numeric) <= 1e-6 * np.maximum(1, np.abs(numeric)))


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_same_as_pytorch(case: Case, dtype: str, tolerance: float) -> None:
    torch = pytest.importorskip("torch")
    x, dy = random_batch(dtype)
    expected_x = torch.tensor(x, requires_grad=True)
    expected = case.oracle(torch, expected_x)
    y = run_forward(case.block, x)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    if expected.requires_grad:  # the step function has no gradient there
        expected.backward(torch.tensor(dy))
        dx = run_backward(case.block, x, y, dy)
        np.testing.assert_allclose(dx, expected_x.grad.numpy(), rtol=tolerance, atol=tolerance)


@every_case
@every_dtype
def test_in_place_gives_the_same_bytes_and_touches_nothing_else(case: Case, dtype: str) -> None:
    x, dy = random_batch(dtype)
    y = run_forward(case.block, x)
    dx = run_backward(case.block, x, y, dy)
    assert np.array_equal(x, random_batch(dtype)[0])
    assert np.array_equal(dy, random_batch(dtype)[1])
    assert np.array_equal(y, run_forward(case.block, x))

    over_x, over_dy = x.copy(), dy.copy()
    poisoned_kernels().activate(case.block, over_x, None, over_x)
    assert over_x.tobytes() == y.tobytes()
    read_x = x if case.block.needs_input else over_x
    poisoned_kernels().activate_backward(case.block, read_x, over_x, over_dy, None, over_dy)
    assert over_dy.tobytes() == dx.tobytes()


@every_case
def test_needs_input_only_where_it_is_read(case: Case) -> None:
    x, dy = random_batch()
    y = run_forward(case.block, x)
    without = run_backward(case.block, np.full_like(x, np.nan), y, dy)
    assert bool(np.isnan(without).any()) is case.block.needs_input


@pytest.mark.parametrize("case", [case for case in CASES if case.far], ids=lambda case: repr(case.block))
@every_dtype
def test_large_inputs_do_not_overflow(case: Case, dtype: str) -> None:
    x = np.array([[-1e4, -1000, -90, -20, -1e-30, 0, 1e-30, 20, 90, 1000, 1e4]], dtype)
    with np.errstate(all="raise", under="ignore"):
        y = run_forward(case.block, x)
        dx = run_backward(case.block, x, y, np.ones_like(x))
    assert np.all(np.isfinite(y))
    assert np.all(np.isfinite(dx))
    assert np.all(np.abs(dx) <= 2)
    np.testing.assert_allclose(y[0, [0, -1]], case.far, rtol=1e-6)


@every_dtype
def test_large_logits_do_not_overflow(dtype: str) -> None:
    x = np.array([[-1e4, 1e4, 0], [1e4, 1e4, -1e4]], dtype)
    with np.errstate(all="raise", under="ignore"):
        y, log_y = run_forward(Softmax(), x), run_forward(LogSoftmax(), x)
        dx, log_dx = (run_backward(block, x, out, x) for block, out in ((Softmax(), y), (LogSoftmax(), log_y)))
    np.testing.assert_array_equal(y, [[0, 1, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(log_y, [[-2e4, 0, -1e4], [-0.69314718, -0.69314718, -20000.69314718]], rtol=1e-6)
    np.testing.assert_array_equal(dx, [[0, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(log_dx, [[-1e4, 1e4, 0], [5000, 5000, -1e4]], rtol=1e-6)


def test_exponential_reaches_infinity_and_zero() -> None:
    with np.errstate(over="ignore"):
        y = run_forward(Exponential(), np.array([[-1e4, 1e4]]))
    np.testing.assert_array_equal(y, [[0, np.inf]])


@every_case
def test_not_a_number_is_never_hidden(case: Case) -> None:
    y = run_forward(case.block, np.array([[np.nan, 1.0]]))
    assert np.isnan(y[0, 0]) or case.block == Step()


def test_steepest_slopes() -> None:
    x = np.linspace(-12, 12, 2401)[None]  # holds 0
    slopes = {case.block.type_name(): case.block.steepest_slope for case in CASES if case.block.steepest_slope}
    assert slopes == {"sigmoid": 0.25, "hard_sigmoid": 1 / 6, "tanh": 1, "softsign": 1}
    for name, steepest in slopes.items():
        block = Activation.choose(name)
        dx = run_backward(block, x, run_forward(block, x), np.ones_like(x))
        assert dx.max() == pytest.approx(steepest, rel=1e-12)
        assert dx[0, 0] < steepest / 100
        assert dx[0, -1] < steepest / 100


def test_the_two_forms_of_gelu_differ_by_less_than_they_say() -> None:
    x = np.linspace(-8, 8, 1601)[None]
    difference = np.abs(run_forward(Gelu(), x) - run_forward(Gelu(approximate=True), x)).max()
    assert 1e-5 < difference < 1e-3


@every_case
def test_allocates_no_array(case: Case) -> None:
    ops, x = make_kernels(), np.linspace(-3, 3, 1 << 18).reshape(512, 512)
    y, dx = np.empty_like(x), np.empty_like(x)
    peak = 0
    for _ in range(2):
        tracemalloc.start()
        ops.activate(case.block, x, None, y)
        ops.activate_backward(case.block, x, y, x, None, dx)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < x.nbytes / 10


@every_case
def test_table_gives_the_same_block(case: Case) -> None:
    assert Activation.choose(case.block.table()) == case.block


@pytest.mark.parametrize("setting", [("leaky_relu", "negative_slope"), ("elu", "alpha")], ids=repr)
def test_slopes_go_down_to_zero(setting: tuple[str, str]) -> None:
    name, field = setting
    x = np.array([[-1.0, 0.0, 2.0]])
    block = Activation.choose({"type": name, field: 0})
    y = run_forward(block, x)
    np.testing.assert_array_equal(y, [[0, 0, 2]])
    np.testing.assert_array_equal(run_backward(block, x, y, x), [[0, 0, 2]])
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Activation.choose({"type": name, field: -0.1})


@every_case
def test_settings_are_described(case: Case) -> None:
    assert all(field.description for field in type(case.block).model_fields.values())


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("swish", "write silu"),
        ("logistic", "write sigmoid"),
        ("heaviside", "write step"),
        ("gelu_tanh", 'write { type = "gelu", approximate = true }'),
        ("prelu", "write a layer of its own"),
        ("leaky_rel", "did you mean 'leaky_relu'?"),
    ],
)
def test_names_known_elsewhere(name: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=f"unknown activation '{name}'") as failure:
        TypeAdapter(Activation).validate_python(name)
    assert remedy in failure.value.errors()[0]["msg"]


def test_names_known_elsewhere_are_not_our_own() -> None:
    assert not Activation.other_names.keys() & Activation.registry.keys()
