"""Every regularizer: numbers worked by hand, gradient check, PyTorch, sums that are added to, no allocation."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tuilab.blocks.regularizers import L1, L1L2, L2, Orthogonal, Regularizer
from tuilab.engine.kernels.numpy import NumpyKernels


@dataclass
class Case:
    """A regularizer, its penalty on `w` and the gradient of that."""

    block: Regularizer
    w: list[list[float]]
    penalty: float
    gradient: list[list[float]]
    oracle: Callable[[Any, Any], Any]


def cosines(torch: Any, w: Any) -> Any:
    """Mean of |cos| over all pairs of rows."""
    unit = torch.nn.functional.normalize(w.reshape(-1, w.shape[-1]), dim=1)
    return (unit @ unit.T).abs().triu(1).sum() / (len(unit) * (len(unit) - 1) / 2)


CASES = [
    Case(L1(), [[1, -2], [0, 3]], 0.06, [[0.01, -0.01], [0, 0.01]], lambda torch, w: 0.01 * w.abs().sum()),
    Case(L1(l1=0.5), [[1, -2], [0, 3]], 3, [[0.5, -0.5], [0, 0.5]], lambda torch, w: 0.5 * w.abs().sum()),
    Case(L2(), [[1, -2], [0, 3]], 0.14, [[0.02, -0.04], [0, 0.06]], lambda torch, w: 0.01 * w.square().sum()),
    Case(L1L2(), [[1, -2], [0, 3]], 0, [[0, 0], [0, 0]], lambda torch, w: 0 * w.sum()),
    Case(
        L1L2(l1=0.1, l2=0.01),
        [[1, -2], [0, 3]],
        0.74,
        [[0.12, -0.14], [0, 0.16]],
        lambda torch, w: 0.1 * w.abs().sum() + 0.01 * w.square().sum(),
    ),
    # Unit rows (1, 0) and (1, 1)/√2 with cosine c = 0.70710678: penalty 0.01 · c, gradients 0.01 · (u₂ − c u₁) / 1 and
    # 0.01 · (u₁ − c u₂) / √2.
    Case(
        Orthogonal(),
        [[1, 0], [1, 1]],
        0.0070710678,
        [[0, 0.0070710678], [0.0035355339, -0.0035355339]],
        lambda torch, w: 0.01 * cosines(torch, w),
    ),
    # Columns (2, 2) and (0, −1): cosine −c, so that the gradients turn them apart.
    Case(
        Orthogonal(factor=0.1, mode="columns"),
        [[2, 0], [2, -1]],
        0.070710678,
        [[-0.017677670, -0.070710678], [0.017677670, 0]],
        lambda torch, w: 0.1 * cosines(torch, w.reshape(-1, w.shape[-1]).T),
    ),
    # Rows along the axes x, y, x: of three pairs one has |cosine| 1, and no step makes it smaller at first.
    Case(
        Orthogonal(factor=0.3),
        [[1, 0], [0, 2], [-3, 0]],
        0.1,
        [[0, 0], [0, 0], [0, 0]],
        lambda torch, w: 0.3 * cosines(torch, w),
    ),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.block))


def poisoned_kernels() -> NumpyKernels:
    """Kernels whose scratch memory holds NaN, so that a read before a write shows."""
    ops = NumpyKernels()
    with ops.scratch(np.empty(1 << 16)) as memory:
        memory.fill(np.nan)
    return ops


def penalty_of(block: Regularizer, w: np.ndarray) -> float:
    total = np.zeros(1, w.dtype)
    block.add_penalty(poisoned_kernels(), w, total)
    return float(total[0])


def gradient_of(block: Regularizer, w: np.ndarray) -> np.ndarray:
    dw = np.zeros_like(w)
    block.add_gradient(poisoned_kernels(), w, dw)
    return dw


def random_weights(shape: tuple[int, ...] = (5, 4), dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(3).normal(0, 1, shape).astype(dtype)


def test_every_regularizer_has_a_row() -> None:
    known = {name for name, block in Regularizer.registry.items() if block.__module__.startswith("tuilab.")}
    assert {case.block.type_name() for case in CASES} == known


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-9)])
def test_numbers_worked_by_hand(case: Case, dtype: str, tolerance: float) -> None:
    w = np.array(case.w, dtype)
    assert penalty_of(case.block, w) == pytest.approx(case.penalty, rel=tolerance, abs=tolerance)
    np.testing.assert_allclose(gradient_of(case.block, w), case.gradient, rtol=tolerance, atol=tolerance)


@every_case
@pytest.mark.parametrize("shape", [(), (1,)], ids=repr)
def test_adds_to_what_is_there_and_changes_nothing_else(case: Case, shape: tuple[int, ...]) -> None:
    w = np.array(case.w, "float64")
    total, dw = np.full(shape, 1.5), np.full_like(w, -2)
    case.block.add_penalty(poisoned_kernels(), w, total)
    case.block.add_gradient(poisoned_kernels(), w, dw)
    assert total.reshape(()) == pytest.approx(1.5 + case.penalty, rel=1e-9)
    np.testing.assert_allclose(dw, np.array(case.gradient) - 2, rtol=1e-9)
    assert np.array_equal(w, case.w)


@every_case
@pytest.mark.parametrize("shape", [(5, 4), (2, 2, 3, 4)], ids=repr)
def test_gradient_against_central_differences(case: Case, shape: tuple[int, ...]) -> None:
    step = 1e-6
    w = random_weights(shape)
    numeric = np.empty_like(w)
    for place in np.ndindex(shape):
        shift = np.zeros_like(w)
        shift[place] = step
        numeric[place] = (penalty_of(case.block, w + shift) - penalty_of(case.block, w - shift)) / (2 * step)
    np.testing.assert_allclose(gradient_of(case.block, w), numeric, rtol=1e-6, atol=1e-8)


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("shape", [(5, 4), (2, 2, 3, 4)], ids=repr)
def test_same_as_pytorch(case: Case, dtype: str, tolerance: float, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    w = random_weights(shape, dtype)
    expected_w = torch.tensor(w, requires_grad=True)
    expected = case.oracle(torch, expected_w)
    expected.backward()
    assert penalty_of(case.block, w) == pytest.approx(expected.item(), rel=tolerance, abs=tolerance)
    np.testing.assert_allclose(gradient_of(case.block, w), expected_w.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_vectors_cost_nothing(mode: str) -> None:
    block, w = Orthogonal.model_validate({"mode": mode}), np.array([[0.0, 2.0], [-3.0, 0.0]])
    assert penalty_of(block, w) == 0
    np.testing.assert_array_equal(gradient_of(block, w), 0)


def test_a_row_of_zeros_has_no_direction() -> None:
    w = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    assert penalty_of(Orthogonal(factor=0.3), w) == pytest.approx(0.070710678, rel=1e-8)  # one pair of three
    gradient = gradient_of(Orthogonal(factor=0.3), w)
    np.testing.assert_array_equal(gradient[0], 0)
    np.testing.assert_allclose(gradient[1], [0, 0.070710678], atol=1e-9)


def test_rows_shorter_than_epsilon_count_less() -> None:
    assert penalty_of(Orthogonal(factor=1), np.array([[1e-8, 0.0], [1.0, 0.0]])) == pytest.approx(0.1, rel=1e-12)


def test_kernels_with_more_axes_are_read_as_matrices() -> None:
    w = random_weights((2, 2, 3, 4))
    assert penalty_of(Orthogonal(), w) == penalty_of(Orthogonal(), w.reshape(12, 4))
    np.testing.assert_array_equal(
        gradient_of(Orthogonal(), w).reshape(12, 4), gradient_of(Orthogonal(), w.reshape(12, 4))
    )


@pytest.mark.parametrize(("shape", "mode"), [((4,), "rows"), ((1, 4), "rows"), ((4, 1), "columns")], ids=repr)
def test_a_single_vector_is_orthogonal_to_nothing(shape: tuple[int, ...], mode: str) -> None:
    block, w = Orthogonal.model_validate({"mode": mode}), random_weights(shape)
    assert penalty_of(block, w) == 0
    np.testing.assert_array_equal(gradient_of(block, w), 0)


@pytest.mark.parametrize("block", [L1(), L2(), L1L2(l1=1, l2=1)], ids=repr)
def test_vectors_are_regularized_too(block: Regularizer) -> None:
    w = random_weights((6,))
    assert penalty_of(block, w) == pytest.approx(penalty_of(block, w[None]), rel=1e-12)
    np.testing.assert_array_equal(gradient_of(block, w)[None], gradient_of(block, w[None]))


@every_case
def test_allocates_no_array(case: Case) -> None:
    ops, w, total = NumpyKernels(), random_weights((512, 512)), np.zeros(1)
    dw = np.zeros_like(w)
    peak = 0
    for _ in range(2):
        tracemalloc.start()
        case.block.add_penalty(ops, w, total)
        case.block.add_gradient(ops, w, dw)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < w.nbytes / 10


@every_case
def test_table_gives_the_same_block(case: Case) -> None:
    assert Regularizer.choose(case.block.table()) == case.block


@every_case
def test_settings_are_described(case: Case) -> None:
    assert all(field.description for field in type(case.block).model_fields.values())


@pytest.mark.parametrize(
    "choice", [0.01, {"type": "l2", "l2": -1e-4}, {"type": "orthogonal", "mode": "both"}], ids=repr
)
def test_settings_out_of_bounds(choice: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Regularizer).validate_python(choice)


def test_names_known_elsewhere() -> None:
    with pytest.raises(ValidationError, match="unknown regularizer 'ridge': write l2"):
        TypeAdapter(Regularizer).validate_python("ridge")
    assert not Regularizer.other_names.keys() & Regularizer.registry.keys()
