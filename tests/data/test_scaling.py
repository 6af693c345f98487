"""Scaling, with numbers worked by hand."""

import json

import numpy as np
import pytest

from tuilab.blocks.samples import Scaling
from tuilab.data.scaling import rescaling, standardization


def scaled(features: np.ndarray, scaling: Scaling) -> np.ndarray:
    return (features - scaling.offset) * scaling.scale


def test_standardization_by_hand() -> None:
    # mean 4 and 10; deviation √((9 + 1 + 1 + 9) / 4) = √5 and 0
    features = np.array([[1, 10], [3, 10], [5, 10], [7, 10]], dtype=np.float32)
    scaling = standardization(features)
    assert scaling.offset.tolist() == [4, 10]
    assert scaling.scale == pytest.approx([0.4472136, 1])
    first, second = scaled(features, scaling).T
    np.testing.assert_allclose(first, [-1.3416408, -0.4472136, 0.4472136, 1.3416408], rtol=1e-6)
    assert second.tolist() == [0, 0, 0, 0]
    assert scaling.offset.dtype == scaling.scale.dtype == np.float32


@pytest.mark.parametrize("value", [0, 0.1, -1e-20, 1e-42, 3e38, 1e6 + 0.1])
@pytest.mark.parametrize("count", [1, 7, 10_000])
def test_a_constant_feature_becomes_zero(value: float, count: int) -> None:
    features = np.full((count, 2), value, dtype=np.float32)
    assert np.array_equal(scaled(features, standardization(features)), np.zeros((count, 2)))


def test_tiny_and_huge_features_stay_finite() -> None:
    features = np.array([[1e-42, -3e38, 1e30], [2e-42, 3e38, 1.0000001e30]], dtype=np.float32)
    assert np.isfinite(scaled(features, standardization(features))).all()


def test_many_samples_are_standardized_exactly() -> None:
    features = np.random.default_rng(0).normal(1000, 0.5, (20_001, 3)).astype(np.float32)
    values = scaled(features.astype(np.float64), standardization(features))
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-3)  # the float32 of a mean of 1000
    np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-6)


def test_images_are_standardized_by_channel() -> None:
    images = np.zeros((2, 2, 2, 2), dtype=np.uint8)
    images[1, ..., 0] = 200  # channel 0: mean 100, deviation 100; channel 1: 7 everywhere
    images[..., 1] = 7
    scaling = standardization(images)
    assert scaling.offset.tolist() == [100, 7]
    assert scaling.scale == pytest.approx([0.01, 1])


def test_rescaling_maps_pixels_to_zero_and_one() -> None:
    values = scaled(np.array([0, 51, 255], dtype=np.uint8), rescaling(255))
    assert values == pytest.approx([0, 0.2, 1])
    assert rescaling(16).scale == np.float32(1 / 16)


@pytest.mark.parametrize("scaling", [rescaling(255), standardization(np.random.default_rng(1).random((9, 4)))])
def test_scaling_survives_json_to_the_bit(scaling: Scaling) -> None:
    again = Scaling.from_dict(json.loads(json.dumps(scaling.to_dict())))
    for before, after in ((scaling.offset, again.offset), (scaling.scale, again.scale)):
        assert before.shape == after.shape
        assert before.dtype == after.dtype
        assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize(
    "values",
    [{}, {"offset": [1], "scale": [1, 2]}, {"offset": ["a"], "scale": [1]}, {"offset": [1], "scale": [float("inf")]}],
)
def test_foreign_scaling_is_refused(values: dict) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Scaling.from_dict(values)
