"""Every optimizer: numbers worked by hand, formulas worked in float64, and PyTorch where it has the same formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tests.kernels import every_device, make_kernels
from tuilab.blocks.arrays import Ops
from tuilab.blocks.optimizers import (
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    Adamw,
    Lion,
    Nadam,
    Optimizer,
    Rmsprop,
    Sgd,
)

pytestmark = every_device

RATE = 0.1
TINY = 1e-30
"""An epsilon that does nothing, for comparing formulas that add it in different places."""

History = Sequence[np.ndarray]


# Reference formulas, one step after the other in float64: `history` holds the gradients, `w` the first weights.


def sgd(o: Sgd, w: np.ndarray, history: History) -> np.ndarray:
    velocity = np.zeros_like(w)
    for g in history:
        velocity = o.momentum * velocity - RATE * g
        w = w + (o.momentum * velocity - RATE * g if o.nesterov else velocity)
    return w


def adagrad(o: Adagrad, w: np.ndarray, history: History) -> np.ndarray:
    for step in range(len(history)):
        total = o.initial_accumulator_value + sum(g**2 for g in history[: step + 1])
        w = w - RATE * history[step] / np.sqrt(total + o.epsilon)
    return w


def adadelta(o: Adadelta, w: np.ndarray, history: History) -> np.ndarray:
    squares = deltas = np.zeros_like(w)
    for g in history:
        squares = o.rho * squares + (1 - o.rho) * g**2
        delta = -np.sqrt(deltas + o.epsilon) / np.sqrt(squares + o.epsilon) * g
        deltas = o.rho * deltas + (1 - o.rho) * delta**2
        w = w + RATE * delta
    return w


def rmsprop(o: Rmsprop, w: np.ndarray, history: History) -> np.ndarray:
    square = mean = velocity = np.zeros_like(w)
    for g in history:
        square = o.rho * square + (1 - o.rho) * g**2
        mean = o.rho * mean + (1 - o.rho) * g
        size = square - mean**2 if o.centered else square
        velocity = o.momentum * velocity + RATE * g / np.sqrt(size + o.epsilon)
        w = w - velocity
    return w


def adam(o: Adam, w: np.ndarray, history: History) -> np.ndarray:
    m = v = largest = np.zeros_like(w)
    for t, g in enumerate(history, start=1):
        m = m + (g - m) * (1 - o.beta_1)
        v = v + (g**2 - v) * (1 - o.beta_2)
        largest = np.maximum(largest, v)
        alpha = RATE * sqrt(1 - o.beta_2**t) / (1 - o.beta_1**t)
        w = w - m * alpha / (np.sqrt(largest if o.amsgrad else v) + o.epsilon)
    return w


def adamax(o: Adamax, w: np.ndarray, history: History) -> np.ndarray:
    m = u = np.zeros_like(w)
    for t, g in enumerate(history, start=1):
        m = m + (g - m) * (1 - o.beta_1)
        u = np.maximum(o.beta_2 * u, abs(g))
        w = w - RATE * m / ((1 - o.beta_1**t) * (u + o.epsilon))
    return w


def nadam(o: Nadam, w: np.ndarray, history: History) -> np.ndarray:
    m = v = np.zeros_like(w)
    us = [o.beta_1 * (1 - 0.5 * 0.96**t) for t in range(1, len(history) + 2)]
    for t, g in enumerate(history, start=1):
        m = o.beta_1 * m + (1 - o.beta_1) * g
        v = o.beta_2 * v + (1 - o.beta_2) * g**2
        m_hat = us[t] * m / (1 - np.prod(us[: t + 1])) + (1 - us[t - 1]) * g / (1 - np.prod(us[:t]))
        w = w - RATE * m_hat / (np.sqrt(v / (1 - o.beta_2**t)) + o.epsilon)
    return w


def lion(o: Lion, w: np.ndarray, history: History) -> np.ndarray:
    m = np.zeros_like(w)
    for g in history:
        w = w - RATE * np.sign(o.beta_1 * m + (1 - o.beta_1) * g)
        m = o.beta_2 * m + (1 - o.beta_2) * g
    return w


class Case(NamedTuple):
    """An optimizer, its formula, and where w = [1, −2] stands after the gradients [0.5, −1] and [1, 0]."""

    optimizer: Any
    formula: Callable[[Any, np.ndarray, History], np.ndarray]
    two_steps: list[float]


BETAS = {"beta_1": 0.5, "beta_2": 0.75}
CASES = [
    Case(Sgd(), sgd, [0.85, -1.9]),
    Case(Sgd(momentum=0.9), sgd, [0.805, -1.81]),
    Case(Sgd(momentum=0.9, nesterov=True), sgd, [0.6745, -1.729]),
    Case(Adagrad(initial_accumulator_value=0.0, epsilon=0.11), adagrad, [0.830917374, -1.9050842]),
    Case(Adadelta(rho=0.75, epsilon=0.01), adadelta, [0.956797476, -1.980388386]),
    Case(Rmsprop(rho=0.75, epsilon=0.01), rmsprop, [0.633787189, -1.803883865]),
    Case(Rmsprop(rho=0.75, epsilon=0.01, momentum=0.5), rmsprop, [0.54093952, -1.705825797]),
    Case(Rmsprop(rho=0.75, epsilon=0.01, centered=True), rmsprop, [0.560145076, -1.77498242]),
    Case(Rmsprop(rho=0.75, epsilon=0.01, momentum=0.5, centered=True), rmsprop, [0.455316593, -1.66247363]),
    Case(Adam(**BETAS, epsilon=0.05), adam, [0.824006882, -1.863444226]),
    Case(Adam(**BETAS, epsilon=0.05, amsgrad=True), adam, [0.824006882, -1.869003768]),
    Case(Adamw(**BETAS, epsilon=0.05), adam, [0.824006882, -1.863444226]),
    Case(Adamax(**BETAS, epsilon=0.05), adamax, [0.82972583, -1.863095238]),
    Case(Nadam(**BETAS, epsilon=0.05), nadam, [0.785676727, -1.880866944]),
    Case(Lion(**BETAS), lion, [0.8, -1.8]),
]
DEFAULTS = [Case(type(case.optimizer)(), case.formula, []) for case in CASES]


def label(value: Any) -> str:
    if not isinstance(value, Case):
        return str(value)
    switches = [name for name in ("momentum", "nesterov", "centered", "amsgrad") if getattr(value.optimizer, name, 0)]
    return "-".join([value.optimizer.type_name(), *switches])


def kernels_with_dirty_scratch(size: int) -> Ops:
    """Kernels whose scratch memory is full of NaN, so that what is read before it is written shows."""
    ops = make_kernels()
    with ops.scratch(np.empty(0), shape=(8 * size + 4096,)) as dirty:
        dirty.fill(np.nan)
    return ops


def run(
    optimizer: Optimizer,
    w: np.ndarray,
    history: History,
    dtype: str = "float64",
    on_device: bool = False,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Take one step with each gradient; return the weights and the slots."""
    ops = kernels_with_dirty_scratch(w.size)
    w = w.astype(dtype)
    slots = {name: np.full_like(w, optimizer.slot_start(name)) for name in optimizer.used_slots()}
    memory: dict[str, float] = {}
    for step, gradient in enumerate(history, start=1):
        coefficients: Sequence[Any] = optimizer.coefficients(RATE, step, memory)
        if on_device:
            coefficients = [np.array([number], dtype) for number in coefficients]
        ops.update(optimizer, w, gradient.astype(dtype), list(slots.values()), coefficients, kept=1)
    assert w.dtype == dtype
    return w, slots


def problem(size: int = 40, steps: int = 20) -> tuple[np.ndarray, list[np.ndarray]]:
    """Weights away from zero, so that relative errors mean something, and gradients of many sizes."""
    generator = np.random.default_rng(3)
    w = generator.uniform(3, 5, size) * generator.choice([-1, 1], size)
    scale = 10.0 ** generator.uniform(-2, 1, size)
    return w, [generator.normal(size=size) * scale for _ in range(steps)]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_two_steps_worked_by_hand(case: Case) -> None:
    w, _ = run(case.optimizer, np.array([1.0, -2.0]), [np.array([0.5, -1.0]), np.array([1.0, 0.0])])
    np.testing.assert_allclose(w, case.two_steps, rtol=1e-8)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("case", CASES + DEFAULTS, ids=label)
def test_twenty_steps_follow_the_formula(case: Case, dtype: str, tolerance: float) -> None:
    start, history = problem()
    w, _ = run(case.optimizer, start, history, dtype)
    np.testing.assert_allclose(w, case.formula(case.optimizer, start, history), rtol=tolerance)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_coefficients_may_lie_on_the_device(case: Case) -> None:
    start, history = problem()
    on_host, host_slots = run(case.optimizer, start, history, "float32")
    on_device, device_slots = run(case.optimizer, start, history, "float32", on_device=True)
    np.testing.assert_array_equal(on_host, on_device)
    for name, slot in host_slots.items():
        np.testing.assert_array_equal(slot, device_slots[name])


@pytest.mark.parametrize("case", CASES + DEFAULTS, ids=label)
def test_padding_stays_zero(case: Case) -> None:
    w, slots = run(case.optimizer, np.zeros(5), [np.zeros(5)] * 20, "float32")
    np.testing.assert_array_equal(w, np.zeros(5))
    assert all(np.isfinite(slot).all() for slot in slots.values())


def test_every_optimizer_has_a_case() -> None:
    assert {case.optimizer.type_name() for case in CASES} == set(Optimizer.registry)


# PyTorch. Where it adds epsilon in another place, a tiny one makes the formulas the same.

ORACLES = [
    ("SGD", Sgd(), {}),
    ("SGD", Sgd(momentum=0.9), {"momentum": 0.9}),
    ("SGD", Sgd(momentum=0.9, nesterov=True), {"momentum": 0.9, "nesterov": True}),
    ("Adagrad", Adagrad(epsilon=TINY), {"initial_accumulator_value": 0.1, "eps": TINY}),
    ("Adadelta", Adadelta(), {"rho": 0.95, "eps": 1e-7}),
    ("RMSprop", Rmsprop(epsilon=TINY), {"alpha": 0.9, "eps": TINY}),
    ("RMSprop", Rmsprop(epsilon=TINY, momentum=0.8), {"alpha": 0.9, "eps": TINY, "momentum": 0.8}),
    ("RMSprop", Rmsprop(epsilon=TINY, centered=True), {"alpha": 0.9, "eps": TINY, "centered": True}),
    ("Adam", Adam(), {}),
    ("Adam", Adam(epsilon=0.01), {}),
    ("Adam", Adam(amsgrad=True), {"amsgrad": True}),
    ("Adamax", Adamax(epsilon=TINY), {"eps": TINY}),
    ("NAdam", Nadam(), {"eps": 1e-7, "momentum_decay": 1}),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(("name", "optimizer", "settings"), ORACLES)
def test_twenty_steps_equal_pytorch(
    name: str, optimizer: Optimizer, settings: dict[str, Any], dtype: str, tolerance: float
) -> None:
    torch = pytest.importorskip("torch")
    start, history = problem()
    parameter = torch.nn.Parameter(torch.tensor(start.astype(dtype)))
    oracle = getattr(torch.optim, name)([parameter], lr=RATE, **settings)
    for step, gradient in enumerate(history, start=1):
        if isinstance(optimizer, Adam):  # Keras adds epsilon before the bias of v is corrected, PyTorch after
            oracle.param_groups[0]["eps"] = optimizer.epsilon / sqrt(1 - optimizer.beta_2**step)
        parameter.grad = torch.tensor(gradient.astype(dtype))
        oracle.step()
    w, _ = run(optimizer, start, history, dtype)
    if name == "NAdam":
        tolerance = max(tolerance, 1e-7)  # PyTorch keeps the product of its momentums in float32
    np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=tolerance)


# What is particular to one optimizer.


def test_slots_are_those_the_settings_need() -> None:
    assert Sgd().used_slots() == ()
    assert Sgd(momentum=0.5).used_slots() == ("momentum",)
    assert Rmsprop().used_slots() == ("velocity",)
    assert Rmsprop(momentum=0.5, centered=True).used_slots() == ("velocity", "momentum", "average_gradient")
    assert Adam().used_slots() == ("momentum", "velocity")
    assert Adam(amsgrad=True).used_slots() == ("momentum", "velocity", "velocity_hat")
    assert Adagrad(initial_accumulator_value=0.25).slot_start("accumulator") == 0.25


def test_adam_slots_are_the_means_without_their_constant_factor() -> None:
    _, slots = run(Adam(**BETAS), np.array([1.0]), [np.array([2.0]), np.array([-1.0])])
    assert slots["momentum"] * 0.5 == pytest.approx(0.5 * (0.5 * 2) + 0.5 * -1)
    assert slots["velocity"] * 0.25 == pytest.approx(0.75 * (0.25 * 4) + 0.25 * 1)


def test_centered_rmsprop_survives_a_constant_gradient() -> None:
    """Its variance is zero, which rounding in float32 pushes below zero for about one in twelve."""
    w, _ = run(Rmsprop(centered=True), np.zeros(500), [np.linspace(1, 1000, 500)] * 200, "float32")
    assert np.isfinite(w).all()


def test_nadam_remembers_the_product_of_its_momentums() -> None:
    memory: dict[str, float] = {}
    for step in (1, 2, 3):
        Nadam().coefficients(RATE, step, memory)
    assert memory == {"u_product": pytest.approx(0.9**3 * (1 - 0.48) * (1 - 0.4608) * (1 - 0.442368))}


def test_defaults_are_those_of_keras() -> None:
    rates = {name: optimizer().learning_rate.rate(0, 1, {}) for name, optimizer in Optimizer.registry.items()}
    assert rates.pop("sgd") == 0.01
    assert set(rates.values()) == {0.001}
    decays = {name: optimizer().weight_decay for name, optimizer in Optimizer.registry.items()}
    assert decays.pop("adamw") == 0.004
    assert set(decays.values()) == {None}
    assert (Adam().beta_1, Adam().beta_2, Adam().epsilon) == (0.9, 0.999, 1e-7)
    assert (Lion().beta_1, Lion().beta_2) == (0.9, 0.99)
    assert (Adadelta().rho, Rmsprop().rho, Adagrad().initial_accumulator_value) == (0.95, 0.9, 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "adam", "clipnorm": 1.0, "clipvalue": 0.5}, "clipnorm and clipvalue exclude each other"),
        ({"type": "adam", "beta_1": 1.0}, "less than 1"),
        ({"type": "adam", "epsilon": 0.0}, "epsilon\n  Input should be greater than 0"),
        ({"type": "adamw", "weight_decay": -0.1}, "greater than or equal to 0"),
        ({"type": "sgd", "gradient_accumulation_steps": 1}, "greater than or equal to 2"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Optimizer.choose(settings)


@pytest.mark.parametrize(
    ("name", "hint"), [("AdamW", "write adamw"), ("momentum", "momentum = 0.9"), ("adan", "did you mean 'adam'")]
)
def test_names_known_elsewhere_lead_here(name: str, hint: str) -> None:
    with pytest.raises(PydanticCustomError, match=hint):
        Optimizer.choose(name)


def test_a_schedule_takes_the_place_of_a_rate() -> None:
    optimizer = Optimizer.choose({"type": "sgd", "learning_rate": {"type": "inverse_time", "decay_steps": 10}})
    assert optimizer.learning_rate.rate(10, 99, {}) == 0.0005
