"""Every loss, plain and from logits: numbers worked by hand, gradient check, PyTorch, extreme inputs, no allocation."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.kernels import every_device, make_kernels
from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import Ops
from tuilab.blocks.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CosineSimilarity,
    Hinge,
    Huber,
    KlDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Perceptron,
    Poisson,
    SquaredHinge,
)
from tuilab.engine.kernels.numpy import NumpyKernels

pytestmark = every_device

Oracle = Callable[[Any, Any, Any], Any]


@dataclass
class Case:
    """A loss, its value and gradient for one batch, and the same in PyTorch (torch, target, prediction)."""

    block: Loss
    target: list[Any]
    prediction: list[list[float]]
    loss: list[float]
    gradient: list[list[float]]
    oracle: Oracle
    domain: Literal["numbers", "positive", "probabilities", "distribution"] = "numbers"
    """What predictions may be."""
    logits: list[list[float]] | None = None
    logits_gradient: list[list[float]] | None = None
    logits_oracle: Oracle | None = None


def focal(torch: Any, t: Any, p: Any, gamma: float = 2.0, alpha: float | None = None) -> Any:
    entropy = torch.nn.functional.binary_cross_entropy(p, t, reduction="none")
    weight = 1 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    return (weight * (t * (1 - p) + (1 - t) * p) ** gamma * entropy).mean(-1)


def log_share(torch: Any, y: Any) -> Any:
    return torch.log(torch.clamp(y / y.sum(-1, keepdim=True), 1e-7, 1 - 1e-7))


def cross_entropy(torch: Any, t: Any, z: Any, smoothing: float = 0.0) -> Any:
    return torch.nn.functional.cross_entropy(z, t, reduction="none", label_smoothing=smoothing)


CASES = [
    Case(
        MeanSquaredError(),
        *([[1, 2], [0, 0]], [[2, 4], [0, 3]], [2.5, 4.5], [[1, 2], [0, 3]]),
        lambda torch, t, y: torch.nn.functional.mse_loss(y, t, reduction="none").mean(-1),
    ),
    Case(
        MeanAbsoluteError(),
        *([[1, 2], [0, 0]], [[2, 4], [0, -3]], [1.5, 1.5], [[0.5, 0.5], [0, -0.5]]),
        lambda torch, t, y: torch.nn.functional.l1_loss(y, t, reduction="none").mean(-1),
    ),
    Case(
        Huber(),
        *([[0, 0]], [[0.5, -3]], [1.3125], [[0.25, -0.5]]),
        lambda torch, t, y: torch.nn.functional.huber_loss(y, t, reduction="none").mean(-1),
    ),
    Case(
        Huber(delta=2),
        *([[0, 0]], [[0.5, -3]], [2.0625], [[0.25, -1]]),
        lambda torch, t, y: torch.nn.functional.huber_loss(y, t, reduction="none", delta=2).mean(-1),
    ),
    Case(
        LogCosh(),
        *([[1, 0]], [[1, 2]], [0.66250137], [[0, 0.48201379]]),
        lambda torch, t, y: torch.log(torch.cosh(y.double() - t)).mean(-1),
    ),
    Case(
        Poisson(),
        *([[2, 0]], [[1, 3]], [1.9999999], [[-0.4999999, 0.5]]),
        lambda torch, t, y: torch.nn.functional.poisson_nll_loss(y, t, False, eps=1e-7, reduction="none").mean(-1),
        "positive",
    ),
    Case(
        CosineSimilarity(),
        *([[3, 4], [1, 0]], [[4, 3], [0, 2]], [-0.96, 0], [[0.0336, -0.0448], [-0.5, 0]]),
        lambda torch, t, y: -torch.nn.functional.cosine_similarity(y, t, dim=-1),
    ),
    Case(
        Hinge(),
        *([[1, -1]], [[0.5, -2]], [0.25], [[-0.5, 0]]),
        lambda torch, t, y: torch.clamp(1 - t * y, min=0).mean(-1),
    ),
    Case(
        SquaredHinge(),
        *([[1, -1]], [[0.5, -2]], [0.125], [[-0.5, 0]]),
        lambda torch, t, y: (torch.clamp(1 - t * y, min=0) ** 2).mean(-1),
    ),
    Case(
        Perceptron(),
        *([[1, -1], [-1, 1]], [[-2, -3], [0, 0.5]], [1, 0], [[-0.5, 0], [0.5, 0]]),
        lambda torch, t, y: torch.relu(-t * y).mean(-1),
        logits=[[-2, -3], [0, 0.5]],
        logits_gradient=[[-0.5, 0], [0.5, 0]],
        logits_oracle=lambda torch, t, z: torch.relu(-t * z).mean(-1),
    ),
    Case(
        BinaryCrossentropy(),
        *([[1, 0]], [[0.8, 0.4]], [0.36698459], [[-0.625, 0.83333333]]),
        lambda torch, t, p: torch.nn.functional.binary_cross_entropy(p, t, reduction="none").mean(-1),
        "probabilities",
        logits=[[1.3862943611, -0.4054651081]],
        logits_gradient=[[-0.1, 0.2]],
        logits_oracle=lambda torch, t, z: torch.nn.functional.binary_cross_entropy_with_logits(
            z, t, reduction="none"
        ).mean(-1),
    ),
    Case(
        BinaryCrossentropy(label_smoothing=0.2),
        *([[1, 0]], [[0.8, 0.4]], [0.45657256], [[-0.3125, 0.625]]),
        lambda torch, t, p: torch.nn.functional.binary_cross_entropy(p, 0.8 * t + 0.1, reduction="none").mean(-1),
        "probabilities",
        logits=[[1.3862943611, -0.4054651081]],
        logits_gradient=[[-0.05, 0.15]],
        logits_oracle=lambda torch, t, z: torch.nn.functional.binary_cross_entropy_with_logits(
            z, 0.8 * t + 0.1, reduction="none"
        ).mean(-1),
    ),
    Case(
        BinaryFocalCrossentropy(),
        *([[1, 0]], [[0.8, 0.4]], [0.04532892], [[-0.06962871, 0.33766358]]),
        focal,
        "probabilities",
        logits=[[1.3862943611, -0.4054651081]],
        logits_gradient=[[-0.01114059, 0.08103926]],  # times p · (1 − p), 0.16 and 0.24
        logits_oracle=lambda torch, t, z: focal(torch, t, torch.sigmoid(z)),
    ),
    Case(
        BinaryFocalCrossentropy(apply_class_balancing=True),
        *([[1, 0]], [[0.8, 0.4]], [0.03176525], [[-0.01740718, 0.25324769]]),
        lambda torch, t, p: focal(torch, t, p, alpha=0.25),
        "probabilities",
        logits=[[1.3862943611, -0.4054651081]],
        logits_gradient=[[-0.00278515, 0.06077945]],
        logits_oracle=lambda torch, t, z: focal(torch, t, torch.sigmoid(z), alpha=0.25),
    ),
    Case(
        BinaryFocalCrossentropy(gamma=0.5, label_smoothing=0.2),
        # √0.26 · 0.36177299 = 0.18446875 and √0.42 · 0.55137213 = 0.35732998
        *([[1, 0]], [[0.8, 0.4]], [0.27089937], [[-0.30124340, 0.57520343]]),
        lambda torch, t, p: focal(torch, 0.8 * t + 0.1, p, 0.5),
        "probabilities",
        logits=[[1.3862943611, -0.4054651081]],
        logits_gradient=[[-0.04819894, 0.13804882]],
        logits_oracle=lambda torch, t, z: focal(torch, 0.8 * t + 0.1, torch.sigmoid(z), 0.5),
    ),
    Case(
        CategoricalCrossentropy(),
        *([2, 0], [[0.1, 0.2, 0.7], [1, 1, 2]], [0.35667494, 1.38629436], [[1, 1, -0.42857143], [-0.75, 0.25, 0.25]]),
        lambda torch, t, y: torch.nn.functional.nll_loss(log_share(torch, y), t, reduction="none"),
        "positive",
        logits=[[0, 0.6931471806, 1.9459101491], [5, 5, 5.6931471806]],
        logits_gradient=[[0.1, 0.2, -0.3], [-0.75, 0.25, 0.5]],
        logits_oracle=cross_entropy,
    ),
    Case(
        CategoricalCrossentropy(),
        *([[0.5, 0.5, 0]], [[0.1, 0.2, 0.7]], [1.95601150], [[-4, -1.5, 1]]),
        lambda torch, t, y: -(t * log_share(torch, y)).sum(-1),
        "positive",
        logits=[[0, 0.6931471806, 1.9459101491]],
        logits_gradient=[[-0.4, -0.3, 0.7]],
        logits_oracle=cross_entropy,
    ),
    Case(
        CategoricalCrossentropy(label_smoothing=0.3),
        *([0], [[0.5, 0.25, 0.25]], [0.83177662], [[-0.6, 0.6, 0.6]]),
        lambda torch, t, y: (
            0.7 * torch.nn.functional.nll_loss(log_share(torch, y), t, reduction="none")
            - 0.3 * log_share(torch, y).mean(-1)
        ),
        "positive",
        logits=[[0.6931471806, 0, 0]],
        logits_gradient=[[-0.3, 0.15, 0.15]],
        logits_oracle=lambda torch, t, z: cross_entropy(torch, t, z, 0.3),
    ),
    Case(
        KlDivergence(),
        *([[0.5, 0.5], [1, 0]], [[0.25, 0.75], [0.5, 0.5]], [0.14384104, 0.69314564], [[-2, -0.66666667], [-2, -2e-7]]),
        lambda torch, t, p: torch.nn.functional.kl_div(torch.log(p), t, reduction="none").sum(-1),
        "distribution",
    ),
]
FUSED = [case for case in CASES if case.logits_oracle]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.block))
every_fused_case = pytest.mark.parametrize("case", FUSED, ids=lambda case: repr(case.block))
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def poisoned_kernels() -> Ops:
    """Kernels whose scratch memory holds NaN, so that a read before a write shows."""
    ops = make_kernels()
    with ops.scratch(np.empty(1 << 16)) as memory:
        memory.fill(np.nan)
    return ops


def run(block: Loss, target: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and gradient by the prediction."""
    loss, gradient = np.full_like(prediction[:, 0], np.nan), np.full_like(prediction, np.nan)
    block.forward(poisoned_kernels(), target, prediction, loss)
    block.backward(poisoned_kernels(), target, prediction, gradient)
    return loss, gradient


def run_logits(block: Loss, target: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and gradient by the logits."""
    loss, gradient = np.full_like(logits[:, 0], np.nan), np.full_like(logits, np.nan)
    activation, prediction = Activation.choose(block.fuses_with), np.full_like(logits, np.nan)
    poisoned_kernels().loss_from_logits(block, activation, target, logits, prediction, loss, gradient)
    expected = np.empty_like(logits)
    activation.forward(NumpyKernels(), logits, expected)
    np.testing.assert_allclose(prediction, expected, rtol=1e-5, atol=1e-6)
    return loss, gradient


def as_target(case: Case, dtype: str) -> np.ndarray:
    return np.array(case.target, "int64" if isinstance(case.target[0], int) else dtype)


def random_batch(case: Case, dtype: str = "float64", batch: int = 7, units: int = 4) -> tuple[np.ndarray, ...]:
    """Return a target, a prediction and logits such as the loss is for."""
    generator = np.random.default_rng(11)
    logits = generator.normal(0, 2, (batch, units))
    prediction = {
        "numbers": logits,
        "positive": np.exp(logits / 2),
        "probabilities": 1 / (1 + np.exp(-logits)),
        "distribution": np.exp(logits) / np.exp(logits).sum(-1, keepdims=True),
    }[case.domain]
    target: np.ndarray
    if isinstance(case.target[0], int):
        target = generator.integers(0, units, batch)
    elif case.block.targets == "labels" or case.domain == "distribution":
        target = generator.dirichlet(np.ones(units), batch).astype(dtype)
    elif case.block.targets == "signs":
        target = generator.choice([-1, 1], (batch, units)).astype(dtype)
    elif case.domain == "probabilities":
        target = generator.integers(0, 2, (batch, units)).astype(dtype)
    else:
        target = np.abs(generator.normal(0, 2, (batch, units))).astype(dtype)
    return target, prediction.astype(dtype), logits.astype(dtype)


def test_every_loss_has_a_row() -> None:
    known = {name: block for name, block in Loss.registry.items() if block.__module__.startswith("tuilab.")}
    assert {case.block.type_name() for case in CASES} == known.keys()
    assert {case.block.type_name() for case in FUSED} == {name for name, block in known.items() if block.fuses_with}


@every_case
@every_dtype
def test_numbers_worked_by_hand(case: Case, dtype: str) -> None:
    tolerance = 1e-8 if dtype == "float64" else 1e-6
    loss, gradient = run(case.block, as_target(case, dtype), np.array(case.prediction, dtype))
    np.testing.assert_allclose(loss, case.loss, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, case.gradient, rtol=tolerance, atol=tolerance)


@every_fused_case
@every_dtype
def test_numbers_worked_by_hand_from_logits(case: Case, dtype: str) -> None:
    tolerance = 1e-8 if dtype == "float64" else 1e-6
    loss, gradient = run_logits(case.block, as_target(case, dtype), np.array(case.logits, dtype))
    np.testing.assert_allclose(loss, case.loss, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, case.logits_gradient, rtol=tolerance, atol=tolerance)


def check_gradient(function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> None:
    step, numeric = 1e-6, np.empty_like(x)
    for place in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[place] = step
        numeric[place] = (function(x + shift)[0] - function(x - shift)[0])[place[0]] / (2 * step)
    assert np.all(np.abs(function(x)[1] - numeric) <= 1e-6 * np.maximum(1, np.abs(numeric)))


@every_case
def test_gradient_against_central_differences(case: Case) -> None:
    target, prediction, _ = random_batch(case)
    check_gradient(lambda x: run(case.block, target, x), prediction)


@every_fused_case
def test_gradient_by_logits_against_central_differences(case: Case) -> None:
    target, _, logits = random_batch(case)
    check_gradient(lambda x: run_logits(case.block, target, x), logits)


def check_oracle(oracle: Oracle, target: np.ndarray, x: np.ndarray, loss: np.ndarray, gradient: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    tolerance = 1e-5 if x.dtype == "float32" else 1e-11
    expected_x = torch.tensor(x, requires_grad=True)
    expected = oracle(torch, torch.tensor(target), expected_x)
    expected.sum().backward()
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, expected_x.grad.numpy(), rtol=tolerance, atol=tolerance)


@every_case
@every_dtype
@pytest.mark.parametrize(("batch", "units"), [(64, 5), (1, 3), (5, 1)])
def test_same_as_pytorch(case: Case, dtype: str, batch: int, units: int) -> None:
    target, prediction, _ = random_batch(case, dtype, batch, units)
    check_oracle(case.oracle, target, prediction, *run(case.block, target, prediction))


@every_fused_case
@every_dtype
@pytest.mark.parametrize(("batch", "units"), [(64, 5), (1, 3), (5, 1)])
def test_same_as_pytorch_from_logits(case: Case, dtype: str, batch: int, units: int) -> None:
    assert case.logits_oracle
    target, _, logits = random_batch(case, dtype, batch, units)
    check_oracle(case.logits_oracle, target, logits, *run_logits(case.block, target, logits))


@every_dtype
def test_large_logits_give_finite_losses_and_the_right_gradients(dtype: str) -> None:
    yes_no, logits = np.array([[1], [0], [1], [0]], dtype), np.array([[1e4], [-1e4], [-1e4], [1e4]], dtype)
    classes, three = np.array([0, 1]), np.array([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype)
    with np.errstate(all="raise", under="ignore"):
        for gamma in (0, 0.5, 1, 2):
            loss, gradient = run_logits(BinaryFocalCrossentropy(gamma=gamma), yes_no, logits)
            np.testing.assert_array_equal(loss, [0, 0, 1e4, 1e4])
            np.testing.assert_array_equal(gradient, [[0], [0], [-1], [1]])
        loss, gradient = run_logits(BinaryCrossentropy(), yes_no, logits)
        np.testing.assert_array_equal(loss, [0, 0, 1e4, 1e4])
        np.testing.assert_array_equal(gradient, [[0], [0], [-1], [1]])
        loss, gradient = run_logits(CategoricalCrossentropy(), classes, three)
        np.testing.assert_array_equal(loss, [0, 2e4])
        np.testing.assert_array_equal(gradient, [[0, 0, 0], [1, -1, 0]])
        assert not np.signbit(loss).any()
        loss, gradient = run_logits(CategoricalCrossentropy(label_smoothing=0.3), classes, three)
        np.testing.assert_allclose(loss, [3000, 17000], rtol=1e-6)
        np.testing.assert_allclose(gradient, [[0.2, -0.1, -0.1], [0.9, -0.8, -0.1]], rtol=1e-6)


@every_dtype
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
def test_probabilities_of_zero_and_one_are_clipped_as_in_keras(dtype: str, gamma: float) -> None:
    """−log(1e-7) = 16.118 is the largest loss, and where a probability is clipped nothing changes with it."""
    target, p = np.array([[1], [0], [1], [0]], dtype), np.array([[1], [0], [0], [1]], dtype)
    largest = 16.11809565 if dtype == "float64" else 15.94238515  # 1 − 1e-7 is 1 − 2⁻²³ in float32
    with np.errstate(all="raise", under="ignore"):
        for block in (BinaryCrossentropy(), BinaryFocalCrossentropy(gamma=gamma)):
            loss, gradient = run(block, target, p)
            np.testing.assert_allclose(loss, [0, 0, 16.11809565, largest], rtol=1e-6, atol=2e-7)
        loss, gradient = run(BinaryCrossentropy(), target, p)
        np.testing.assert_array_equal(gradient, [[0], [0], [0], [0]])
        loss, gradient = run(CategoricalCrossentropy(), np.array([0, 1, 1]), np.array([[1, 0], [1, 0], [0, 0]], dtype))
        np.testing.assert_allclose(loss, [0, 16.11809565, 16.11809565], rtol=1e-6, atol=2e-7)
        np.testing.assert_array_equal(gradient, [[0, 0], [0, 0], [0, 0]])
        loss, gradient = run(KlDivergence(), np.array([[0, 1]], dtype), np.array([[1, 0]], dtype))
        np.testing.assert_allclose(loss, [16.11809404], rtol=1e-6)
        np.testing.assert_allclose(gradient, [[-1e-7, 0]], rtol=1e-6)


@pytest.mark.parametrize("integer", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_numbers_of_classes_are_the_same_as_one_hot(integer: str, smoothing: float) -> None:
    block = CategoricalCrossentropy(label_smoothing=smoothing)
    generator = np.random.default_rng(2)
    labels, logits = generator.integers(0, 256, 300), generator.normal(size=(300, 256))
    one_hot = np.eye(256)[labels]
    for function, x in ((run, np.exp(logits)), (run_logits, logits)):
        for found, expected in zip(
            function(block, labels.astype(integer), x), function(block, one_hot, x), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_focal_loss_without_focus_is_the_cross_entropy() -> None:
    target, prediction, logits = random_batch(Case(BinaryCrossentropy(), [[0.0]], [], [], [], focal, "probabilities"))
    for function, x in ((run, prediction), (run_logits, logits)):
        plain, unfocused = (
            function(block, target, x) for block in (BinaryCrossentropy(), BinaryFocalCrossentropy(gamma=0))
        )
        np.testing.assert_allclose(unfocused[0], plain[0], rtol=1e-13)
        np.testing.assert_allclose(unfocused[1], plain[1], rtol=1e-13)


def test_perceptron_learns_from_weights_of_zero() -> None:
    inputs, target = np.array([[1.0, 0], [1, 1]]), np.array([[-1.0], [1]])
    _, gradient = run_logits(Perceptron(), target, inputs @ np.zeros((2, 1)))
    np.testing.assert_array_equal(inputs.T @ gradient, [[0], [-1]])


@every_dtype
def test_vectors_of_zeros_have_no_direction(dtype: str) -> None:
    target, prediction = np.array([[1, 2], [0, 0]], dtype), np.array([[0, 0], [1, 2]], dtype)
    loss, gradient = run(CosineSimilarity(), target, prediction)
    np.testing.assert_array_equal(loss, [0, 0])
    np.testing.assert_array_equal(gradient, [[0, 0], [0, 0]])


def test_log_cosh_keeps_small_errors_and_bears_large_ones() -> None:
    loss, gradient = run(LogCosh(), np.zeros((3, 1), "float32"), np.array([[1e-3], [-1e-3], [-1e4]], "float32"))
    np.testing.assert_allclose(loss, [5e-7, 5e-7, 1e4 - np.log(2)], rtol=1e-3)
    np.testing.assert_allclose(gradient, [[1e-3], [-1e-3], [-1]], rtol=1e-6)


@every_case
def test_reads_only(case: Case) -> None:
    target, prediction, logits = random_batch(case)
    run(case.block, target, prediction)
    if case in FUSED:
        run_logits(case.block, target, logits)
    for array, untouched in zip((target, prediction, logits), random_batch(case), strict=True):
        assert array.tobytes() == untouched.tobytes()


@every_case
def test_not_a_number_is_never_hidden(case: Case) -> None:
    target, prediction, logits = random_batch(case)
    prediction[0, 0] = logits[0, 0] = np.nan
    loss, _ = run(case.block, target, prediction)
    assert np.isnan(loss).tolist() == [True] + [False] * 6
    if case in FUSED:
        loss, _ = run_logits(case.block, target, logits)
        assert np.isnan(loss).tolist() == [True] + [False] * 6


@every_case
def test_allocates_no_array(case: Case) -> None:
    ops, rows = make_kernels(), 160_000
    target, prediction, logits = (
        np.concatenate([few] * 1000) for few in random_batch(case, "float32", rows // 1000, 3)
    )
    loss, gradient = np.empty_like(prediction[:, 0]), np.empty_like(prediction)
    peak = 0
    for _ in range(2):
        tracemalloc.start()
        case.block.forward(ops, target, prediction, loss)
        case.block.backward(ops, target, prediction, gradient)
        if case in FUSED:
            activation = Activation.choose(case.block.fuses_with)
            ops.loss_from_logits(case.block, activation, target, prediction, logits, loss, gradient)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < rows  # one byte a sample, less than the smallest array of the batch's length


@every_case
def test_table_gives_the_same_block(case: Case) -> None:
    assert Loss.choose(case.block.table()) == case.block
    assert all(field.description for field in type(case.block).model_fields.values())


def test_activations_that_losses_name_exist() -> None:
    for block in {type(case.block) for case in CASES}:
        named = block.output_activations or ()
        assert set(named) <= Activation.registry.keys()
        assert block.fuses_with is None or block.fuses_with in named


@pytest.mark.parametrize(
    "settings", [{"type": "huber", "delta": 0}, {"type": "binary_crossentropy", "label_smoothing": 2}]
)
def test_settings_out_of_bounds(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"should be (greater|less) than"):
        TypeAdapter(Loss).validate_python(settings)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("mse", "write mean_squared_error"),
        ("bce", "write binary_crossentropy"),
        ("sparse_categorical_crossentropy", "write categorical_crossentropy, which takes integer labels too"),
        ("categorical_crossentrop", "did you mean 'categorical_crossentropy'?"),
    ],
)
def test_names_known_elsewhere(name: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=f"unknown loss '{name}'") as failure:
        TypeAdapter(Loss).validate_python(name)
    assert remedy in failure.value.errors()[0]["msg"]


def test_names_known_elsewhere_lead_to_losses() -> None:
    assert not Loss.other_names.keys() & Loss.registry.keys()
    assert {remedy.split(",")[0] for remedy in Loss.other_names.values()} <= Loss.registry.keys()
