"""Every constraint: numbers worked by hand, PyTorch where it has the same, axes, no allocation."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tuilab.blocks.constraints import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from tuilab.engine.kernels.numpy import NumpyKernels

W = [[3, 0.3, 0], [-4, 0.4, 0]]  # columns of length 5, 0.5 and 0


@dataclass
class Case:
    """A constraint and what it makes of `W`."""

    block: Constraint
    after: list[list[float]]


CASES = [
    Case(NonNeg(), [[3, 0.3, 0], [0, 0.4, 0]]),
    Case(MaxNorm(), [[1.2, 0.3, 0], [-1.6, 0.4, 0]]),
    Case(MaxNorm(max_value=0.25), [[0.15, 0.15, 0], [-0.2, 0.2, 0]]),
    Case(UnitNorm(), [[0.6, 0.6, 0], [-0.8, 0.8, 0]]),
    Case(MinMaxNorm(), [[0.6, 0.3, 0], [-0.8, 0.4, 0]]),
    Case(MinMaxNorm(min_value=1, max_value=2), [[1.2, 0.6, 0], [-1.6, 0.8, 0]]),
    Case(MinMaxNorm(min_value=1, max_value=2, rate=0.5), [[2.1, 0.45, 0], [-2.8, 0.6, 0]]),  # 5 → 3.5, 0.5 → 0.75
    Case(MinMaxNorm(min_value=1, max_value=1), [[0.6, 0.6, 0], [-0.8, 0.8, 0]]),
    Case(MinMaxNorm(rate=0), [[3, 0.3, 0], [-4, 0.4, 0]]),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.block))


def applied(block: Constraint, w: np.ndarray) -> np.ndarray:
    """What `block` makes of `w`, with NaN in the scratch memory, so that a read before a write shows."""
    ops = NumpyKernels()
    with ops.scratch(np.empty(1 << 16)) as memory:
        memory.fill(np.nan)
    after = w.copy()
    block.apply(ops, after)
    return after


def test_every_constraint_has_a_row() -> None:
    known = {name for name, block in Constraint.registry.items() if block.__module__.startswith("tuilab.")}
    assert {case.block.type_name() for case in CASES} == known


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_worked_by_hand(case: Case, dtype: str) -> None:
    np.testing.assert_allclose(applied(case.block, np.array(W, dtype)), case.after, rtol=1e-6)


@pytest.mark.parametrize(("axis", "turn"), [(1, True), (-1, True), (-2, False), ((0,), False)], ids=repr)
@pytest.mark.parametrize(
    "settings", [{"type": "max_norm"}, {"type": "unit_norm"}, {"type": "min_max_norm", "rate": 0.5}], ids=repr
)
def test_axes(settings: dict[str, Any], axis: int | tuple[int, ...], turn: bool) -> None:
    w = np.array(W)
    expected = applied(Constraint.choose(settings), w)
    block = Constraint.choose({**settings, "axis": axis})
    np.testing.assert_array_equal(applied(block, w.T).T if turn else applied(block, w), expected)


def test_convolution_kernels_are_held_filter_by_filter() -> None:
    w = np.ones((2, 2, 4, 3)) * [1, 2, 0.25]  # 16 weights a filter: lengths 4, 8 and 1
    np.testing.assert_allclose(applied(MaxNorm(axis=(0, 1, 2)), w)[1, 0, 2], [0.5, 0.5, 0.25], rtol=1e-6)
    np.testing.assert_allclose(applied(UnitNorm(axis=(0, 1, 2)), w)[1, 0, 2], [0.25, 0.25, 0.25], rtol=1e-6)


def test_vectors_have_one_norm() -> None:
    np.testing.assert_allclose(applied(UnitNorm(), np.array([3.0, -4.0])), [0.6, -0.8], rtol=1e-6)


def test_epsilon_is_that_of_keras() -> None:
    np.testing.assert_allclose(applied(UnitNorm(), np.array([[1e-7]])), [[0.5]], rtol=1e-12)


@pytest.mark.parametrize(
    ("block", "oracle"),
    [
        (NonNeg(), lambda torch, w: torch.relu(w)),
        (UnitNorm(axis=2), lambda torch, w: torch.nn.functional.normalize(w, dim=2)),
        (MaxNorm(max_value=5, axis=(0, 1, 2)), lambda torch, w: torch.renorm(w, p=2, dim=3, maxnorm=5)),
    ],
    ids=lambda value: repr(value) if isinstance(value, Constraint) else "",
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_as_pytorch(block: Constraint, oracle: Callable[[Any, Any], Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    w = np.random.default_rng(3).normal(0, 1, (3, 3, 4, 5)).astype(dtype)
    np.testing.assert_allclose(applied(block, w), oracle(torch, torch.tensor(w)).numpy(), rtol=1e-6)


@every_case
def test_allocates_no_array(case: Case) -> None:
    ops, w = NumpyKernels(), np.random.default_rng(3).normal(size=(512, 512))
    peak = 0
    for _ in range(2):
        tracemalloc.start()
        case.block.apply(ops, w)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < w.nbytes / 10


@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (4,)), (-2, (4,)), ((0, 1, 2), (4, 3)), ((0, 0), (4, 3)), ((0, -2), (4, 3))], ids=repr
)
def test_axes_that_do_not_fit_are_named(axis: int | tuple[int, ...], shape: tuple[int, ...]) -> None:
    message = rf"of max_norm does not fit a parameter of shape .*: choose different axes from 0 to {len(shape) - 1}"
    with pytest.raises(ValueError, match=message):
        MaxNorm(axis=axis).check(shape)


def test_axes_that_fit_are_taken() -> None:
    NonNeg().check((4,))
    for axis, shape in ((0, (4,)), (-1, (4, 3)), ((0, 1), (4, 3)), ((0, 1, 2), (3, 3, 4, 5))):
        UnitNorm(axis=axis).check(shape)


@pytest.mark.parametrize(
    ("settings", "place", "message"),
    [
        ({"type": "max_norm", "max_value": 0}, ("max_value",), "greater than 0"),
        ({"type": "max_norm", "axis": "last"}, ("axis",), "must be an axis, such as 0, or a list of axes"),
        ({"type": "max_norm", "axis": []}, ("axis",), "must be an axis"),
        ({"type": "max_norm", "axis": [0, 1.5]}, ("axis",), "must be an axis"),
        ({"type": "max_norm", "axis": True}, ("axis",), "must be an axis"),
        ({"type": "min_max_norm", "min_value": 3}, (), r"max_value must be at least min_value \(3.0\), got 1.0"),
        ({"type": "min_max_norm", "max_value": 0}, ("max_value",), "greater than 0"),
        ({"type": "min_max_norm", "rate": 1.5}, ("rate",), "less than or equal to 1"),
    ],
)
def test_settings_out_of_bounds(settings: dict[str, object], place: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as failure:
        Constraint.choose(settings)
    assert failure.value.errors()[0]["loc"] == place


@pytest.mark.parametrize("block", [*(case.block for case in CASES), MaxNorm(axis=(0, 1, 2))], ids=repr)
def test_table_gives_the_same_block(block: Constraint) -> None:
    assert Constraint.choose(block.table()) == block


@every_case
def test_settings_are_described(case: Case) -> None:
    assert all(field.description for field in type(case.block).model_fields.values())


def test_names_known_elsewhere() -> None:
    with pytest.raises(ValidationError, match="unknown constraint 'positive': write non_neg"):
        TypeAdapter(Constraint).validate_python("positive")
    assert set(Constraint.other_names.values()) <= Constraint.registry.keys()
    assert not Constraint.other_names.keys() & Constraint.registry.keys()
