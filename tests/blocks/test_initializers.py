"""Every initializer: bounds and moments worked by hand, fans, orthogonality, the same bytes from the same seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tuilab.blocks.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    fans,
)

CONVOLUTION = (3, 3, 64, 128)  # fan_in 576, fan_out 1152


@dataclass
class Case:
    """An initializer and what its values for a 3×3 convolution from 64 to 128 channels are like."""

    block: Initializer
    stddev: float
    bound: float
    """Largest distance from the mean: reached by constants and almost by uniform and truncated values."""
    kurtosis: float
    """Fourth moment ÷ stddev⁴: 1.8 uniform, 3 normal, 2.3655 normal cut off at two deviations."""
    mean: float = 0.0


UNIFORM, NORMAL, TRUNCATED = 1.8, 3.0, 2.3655

CASES = [
    Case(Zeros(), 0, 0, 0),
    Case(Ones(), 0, 0, 0, mean=1),
    Case(Constant(), 0, 0, 0),
    Case(Constant(value=-0.5), 0, 0, 0, mean=-0.5),
    Case(RandomNormal(), 0.05, math.inf, NORMAL),
    Case(RandomNormal(mean=2, stddev=3), 3, math.inf, NORMAL, mean=2),
    Case(RandomUniform(), 0.02886751, 0.05, UNIFORM),
    Case(RandomUniform(minval=1, maxval=3), 0.57735027, 1, UNIFORM, mean=2),
    Case(TruncatedNormal(), 0.04398128, 0.1, TRUNCATED),
    Case(TruncatedNormal(mean=-1, stddev=2), 1.75925132, 4, TRUNCATED, mean=-1),
    Case(GlorotUniform(), 0.03402069, 0.05892557, UNIFORM),  # √(6 / 1728)
    Case(GlorotNormal(), 0.03402069, 0.07735265, TRUNCATED),  # √(2 / 1728), bound ÷ 0.87962566 · 2
    Case(HeUniform(), 0.05892557, 0.10206207, UNIFORM),  # √(6 / 576)
    Case(HeNormal(), 0.05892557, 0.13397872, TRUNCATED),  # √(2 / 576)
    Case(LecunUniform(), 0.04166667, 0.07216878, UNIFORM),  # √(3 / 576)
    Case(LecunNormal(), 0.04166667, 0.09473726, TRUNCATED),  # √(1 / 576)
    Case(VarianceScaling(), 0.04166667, 0.09473726, TRUNCATED),
    Case(VarianceScaling(scale=4, mode="fan_out", distribution="untruncated_normal"), 0.05892557, math.inf, NORMAL),
    Case(VarianceScaling(scale=3, mode="fan_avg", distribution="uniform"), 0.05892557, 0.10206207, UNIFORM),
    Case(Orthogonal(), 0.04166667, math.inf, NORMAL),  # 128 columns of length 1 in 576 dimensions
    Case(Orthogonal(gain=2), 0.08333333, math.inf, NORMAL),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.block))


def test_every_initializer_has_a_row() -> None:
    known = {name for name, block in Initializer.registry.items() if block.__module__.startswith("tuilab.")}
    assert {case.block.type_name() for case in CASES} == known


@every_case
def test_moments_and_bounds(case: Case) -> None:
    """Within 4 standard errors of what the formula says."""
    w = case.block.sample(np.random.default_rng(11), CONVOLUTION)
    assert w.shape == CONVOLUTION
    assert w.dtype == np.float64
    distance = np.abs(w - case.mean).max()
    assert distance <= case.bound * (1 + 1e-7)
    if math.isfinite(case.bound):
        assert distance >= 0.999 * case.bound
    assert abs(w.mean() - case.mean) <= 4 * case.stddev / math.sqrt(w.size)
    error = case.stddev**2 * math.sqrt(max(case.kurtosis - 1, 0) / w.size)
    assert abs(w.var() - case.stddev**2) <= 4 * error
    if case.kurtosis:
        kurtosis = np.mean((w - w.mean()) ** 4) / w.var() ** 2
        assert kurtosis == pytest.approx(case.kurtosis, rel=0.03)


def test_truncated_values_keep_the_normal_shape_inside() -> None:
    z = TruncatedNormal(stddev=1).sample(np.random.default_rng(2), (1000, 400))
    inside = np.mean(np.abs(z) < 1)
    assert inside == pytest.approx(0.71522, abs=4 * math.sqrt(0.7 * 0.3 / z.size))  # 0.6826895 / 0.9544997


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), (1, 1)), ((7,), (7, 7)), ((4, 5), (4, 5)), ((3, 4, 5), (12, 15)), (CONVOLUTION, (576, 1152))],
)
def test_fans(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert fans(shape) == expected


@every_case
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (3, 3, 2, 4)], ids=repr)
def test_same_seed_same_bytes(case: Case, shape: tuple[int, ...]) -> None:
    first, again, other = (case.block.sample(np.random.default_rng(seed), shape) for seed in (1, 1, 4))
    assert first.shape == shape
    assert first.dtype == np.float64
    assert first.tobytes() == again.tobytes()
    assert (first.tobytes() != other.tobytes()) is (case.stddev > 0)


def test_a_vector_uses_its_length_as_fan() -> None:
    b = HeUniform().sample(np.random.default_rng(0), (60_000,))  # limit √(6 / 60 000) = 0.01
    assert 0.00999 < np.abs(b).max() <= 0.01


def test_a_single_input_has_fan_one() -> None:
    w = VarianceScaling(distribution="uniform").sample(np.random.default_rng(0), (1, 60_000))
    assert 1.731 < np.abs(w).max() <= 1.7320509  # √3


def test_no_width_gives_the_mean() -> None:
    for block in (RandomNormal(mean=3, stddev=0), TruncatedNormal(mean=3, stddev=0), RandomUniform(minval=3, maxval=3)):
        np.testing.assert_array_equal(block.sample(np.random.default_rng(0), (4, 3)), 3)


@pytest.mark.parametrize("shape", [(6, 4), (4, 4), (4, 6), (3, 3, 2, 5), (2, 1, 2, 7)], ids=repr)
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = Orthogonal(gain=1.5).sample(np.random.default_rng(4), shape).reshape(-1, shape[-1])
    small = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(small, 2.25 * np.eye(len(small)), atol=1e-14)


def test_orthogonal_is_the_factor_with_a_positive_diagonal() -> None:
    """Without that choice of signs some orthogonal matrices would be likelier than others."""
    q = Orthogonal().sample(np.random.default_rng(8), (6, 4))
    r = q.T @ np.random.default_rng(8).standard_normal((6, 4))
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-14)
    assert np.all(np.diag(r) > 0)


def test_orthogonal_vector_has_the_length_gain() -> None:
    b = Orthogonal(gain=3).sample(np.random.default_rng(0), (7,))
    assert np.linalg.norm(b) == pytest.approx(3, rel=1e-14)
    assert np.count_nonzero(b) == 7


@pytest.mark.parametrize(
    ("settings", "place", "message"),
    [
        ({"type": "random_normal", "stddev": -1}, ("stddev",), "greater than or equal to 0"),
        ({"type": "variance_scaling", "scale": 0}, ("scale",), "greater than 0"),
        ({"type": "variance_scaling", "mode": "fan"}, ("mode",), "'fan_in', 'fan_out' or 'fan_avg'"),
        (
            {"type": "random_uniform", "minval": 1, "maxval": -1},
            (),
            r"maxval must be at least minval \(1.0\), got -1.0",
        ),
        ({"type": "he_normal", "scale": 2}, ("scale",), "Extra inputs"),
    ],
)
def test_settings_out_of_bounds(settings: dict[str, object], place: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as failure:
        Initializer.choose(settings)
    assert failure.value.errors()[0]["loc"] == place


@every_case
def test_table_gives_the_same_block(case: Case) -> None:
    assert Initializer.choose(case.block.table()) == case.block


@every_case
def test_settings_are_described(case: Case) -> None:
    assert all(field.description for field in type(case.block).model_fields.values())


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("xavier_uniform", "glorot_uniform"), ("kaiming_normal", "he_normal"), ("normal", "random_normal")],
)
def test_names_known_elsewhere(name: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=f"unknown initializer '{name}': write {remedy}"):
        TypeAdapter(Initializer).validate_python(name)


def test_names_known_elsewhere_are_not_our_own() -> None:
    assert set(Initializer.other_names.values()) <= Initializer.registry.keys()
    assert not Initializer.other_names.keys() & Initializer.registry.keys()
