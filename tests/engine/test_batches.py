"""Batches: every sample once an epoch, seeded order, scaling, all forms of features and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels import every_device, make_kernels
from tuilab.blocks.samples import Scaling, Split
from tuilab.engine.batches import Batches

pytestmark = every_device


def make(
    features: Any, targets: Any = None, scaling: Scaling | None = None, batch_size: int = 4, **settings: Any
) -> Batches:
    features = np.asarray(features)
    targets = np.arange(len(features)) if targets is None else np.asarray(targets)
    shape = settings.get("shape", features.shape[1:])
    split = Split(features, targets)
    return Batches(make_kernels(), split, scaling, shape, batch_size, settings.get("dtype", "float32"))


def scaling(offset: Any, scale: Any) -> Scaling:
    return Scaling(np.array(offset, "float32"), np.array(scale, "float32"))


def test_batches_in_the_order_of_the_set_with_a_smaller_last_one() -> None:
    features = np.arange(20, dtype="float32").reshape(10, 2)
    batches = make(features)
    assert len(batches) == 3
    seen = [(x.copy(), y.copy()) for x, y in batches]
    assert [len(x) for x, _ in seen] == [4, 4, 2]
    assert np.array_equal(np.concatenate([x for x, _ in seen]), features)
    assert np.concatenate([y for _, y in seen]).tolist() == list(range(10))


def order(batches: Batches) -> list[int]:
    return [int(label) for _, labels in batches for label in labels]


def test_an_epoch_shows_every_sample_once_in_an_order_of_its_own() -> None:
    features = np.arange(50, dtype="float32").reshape(50, 1)
    batches = make(features, batch_size=7)
    orders = []
    for seed, epoch in ((1, 1), (1, 2), (2, 1), (1, 1)):
        batches.shuffle(seed, epoch)
        orders.append(order(batches))
        assert sorted(orders[-1]) == list(range(50))
        assert all(x[0, 0] == labels[0] for x, labels in batches), "features and labels part"
    assert orders[0] == orders[3]
    assert len({tuple(each) for each in orders}) == 3
    assert all(np.mean(np.array(each) == np.arange(50)) < 0.2 for each in orders)


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    features = np.zeros((50, 1), "float32")
    orders = []
    for batch_size in (1, 7, 50):
        batches = make(features, batch_size=batch_size)
        batches.shuffle(1, 1)
        orders.append(order(batches))
    assert orders[0] == orders[1] == orders[2]


def test_pixels_are_stored_as_bytes_and_rescaled() -> None:
    features = np.array([[[0], [51]], [[102], [255]]], "uint8")
    batches = make(features, scaling=scaling(0, 1 / 255))
    assert batches.features.dtype == "uint8"
    x, _ = batches.batch(0)
    assert x.dtype == "float32"
    np.testing.assert_allclose(x, [[[0], [0.2]], [[0.4], [1]]], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scaling_of_each_feature(dtype: str) -> None:
    batches = make([[1, 10], [3, 30]], scaling=scaling([2, 20], [1, 0.1]), dtype=dtype)
    x, _ = batches.batch(0)
    assert x.dtype == dtype
    np.testing.assert_allclose(x, [[-1, -1], [1, 1]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 2), (4,)])
def test_scaling_of_each_channel_also_when_laid_out_flat(shape: tuple[int, ...]) -> None:
    image = np.array([[[[1, 10]], [[2, 20]]]], "uint8")  # one sample, 2 × 1 pixels, 2 channels
    x, _ = make(image, scaling=scaling([1, 10], [1, 0.5]), shape=shape).batch(0)
    assert x.shape == (1, *shape)
    assert x.reshape(-1).tolist() == [0, 0, 1, 5]


def test_the_samples_themselves_are_not_touched() -> None:
    features = np.array([[1.0, 2], [3, 4]], "float32")
    split = features.copy()
    batches = make(features, scaling=scaling([1, 1], [2, 2]))
    batches.shuffle(1, 1)
    for x, _ in [*batches, *batches]:
        x += 100
    assert np.array_equal(features, split)


def test_labels_keep_their_form() -> None:
    features = np.zeros((3, 1), "float32")
    _, classes = make(features, np.array([2, 0, 1])).batch(0)
    assert classes.tolist() == [2, 0, 1]
    assert classes.dtype == "int64"
    _, numbers = make(features, np.array([[1.5], [2], [3]], "float32"), dtype="float64").batch(0)
    assert numbers.tolist() == [[1.5], [2], [3]]
    assert numbers.dtype == "float64"


def test_features_that_lie_scattered_in_memory() -> None:
    features = np.asfortranarray(np.arange(6, dtype="float64").reshape(3, 2))[::-1]
    x, _ = make(features).batch(0)
    assert x.tolist() == [[4, 5], [2, 3], [0, 1]]


def test_a_single_sample_and_none() -> None:
    assert [len(x) for x, _ in make(np.zeros((1, 2)))] == [1]
    assert list(make(np.zeros((0, 2)))) == []
