"""Splitting: seeded, stratified, never without a training sample of a class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuilab.blocks.arrays import Clock, Stream, host_generator
from tuilab.blocks.datasets import DataInfo
from tuilab.data.split import check_classes, held_out
from tuilab.errors import DataError

REGRESSION = DataInfo((1,), "regression")
LABELS = DataInfo((1,), "multi_label", classes=("a", "b"))


def classes(count: int) -> DataInfo:
    return DataInfo((1,), "categorical", classes=tuple(str(number) for number in range(count)))


def mask_of(targets: list[int], share: float, seed: int = 0) -> np.ndarray:
    labels = np.array(targets)
    return held_out(labels, classes(labels.max() + 1), share, host_generator(seed, "test"), "test_split")


def test_generator_is_keyed_as_a_stream_is() -> None:
    key = Stream(7, "test split", Clock()).key
    expected = np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64))).random(4)
    assert np.array_equal(host_generator(7, "test split").random(4), expected)
    assert not np.array_equal(host_generator(8, "test split").random(4), expected)
    assert not np.array_equal(host_generator(7, "validation split").random(4), expected)
    host_generator(2**63 - 1, "the largest seed").random()


def test_every_class_gives_its_share() -> None:
    mask = mask_of([0] * 50 + [1] * 30 + [2] * 20, 0.2)
    assert np.bincount(np.repeat([0, 1, 2], [50, 30, 20])[mask]).tolist() == [10, 6, 4]


def test_the_largest_remainders_get_what_is_left() -> None:
    # exact shares of 3 samples: 1.5, 0.9, 0.6 → 1, 0, 0 and two left for the remainders 0.9 and 0.6
    assert np.bincount(np.repeat([0, 1, 2], [5, 3, 2])[mask_of([0] * 5 + [1] * 3 + [2] * 2, 0.3)]).tolist() == [1, 1, 1]


def test_seed_decides_and_nothing_else() -> None:
    targets = [0, 1] * 50
    assert np.array_equal(mask_of(targets, 0.3, seed=5), mask_of(targets, 0.3, seed=5))
    assert not np.array_equal(mask_of(targets, 0.3, seed=5), mask_of(targets, 0.3, seed=6))


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    share=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**63 - 1),
)
def test_the_share_is_exact_and_every_class_is_still_trained_on(counts: list[int], share: float, seed: int) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    total = max(1, round(share * len(targets)))
    if total > len(targets) - len(counts):
        with pytest.raises(DataError, match="too few samples for training"):
            mask_of(targets.tolist(), share, seed)
    else:
        mask = mask_of(targets.tolist(), share, seed)
        assert mask.sum() == total
        taken = np.bincount(targets[mask], minlength=len(counts))
        assert (counts - taken).min() >= 1
        exact = np.array(counts) * total / len(targets)
        if (counts - exact >= 1).all():  # where no class had to be spared, each share is right to a sample
            assert np.abs(taken - exact).max() < 1


@pytest.mark.parametrize("info", [REGRESSION, LABELS])
def test_other_tasks_are_split_by_chance(info: DataInfo) -> None:
    targets = np.random.default_rng(0).random((40, 2)).astype(np.float32)
    mask = held_out(targets, info, 0.25, host_generator(0, "test"), "test_split")
    assert mask.sum() == 10
    assert mask[:20].any()
    assert mask[20:].any()


def test_a_small_share_still_keeps_one_sample() -> None:
    assert mask_of([0, 0, 1, 1], 0.01).sum() == 1


def test_too_large_a_share_says_what_to_do() -> None:
    with pytest.raises(
        DataError, match=r"^data\.test_split = 0\.9 leaves .*: there are 4 in 2 classes; make it smaller"
    ):
        mask_of([0, 0, 1, 1], 0.9)
    with pytest.raises(DataError, match=r"there are 1; make it smaller"):
        held_out(np.zeros((1, 1)), REGRESSION, 0.1, host_generator(0, "test"), "validation_split")


def test_empty_and_single_classes_are_named() -> None:
    with pytest.raises(DataError, match=r"^iris: class '1' has no sample; add"):
        check_classes(np.array([0, 2, 2]), classes(3), "iris")
    with pytest.raises(DataError, match=r"^a\.csv: class '1' has a single sample, .* decimal point$"):
        check_classes(np.array([0, 0, 1]), classes(2), "a.csv", least=2)
    check_classes(np.array([0, 0, 1]), classes(2), "a.csv")


def test_a_label_that_never_changes_is_named() -> None:
    with pytest.raises(DataError, match=r"^days: label 'b' is 0 in every sample"):
        check_classes(np.array([[0, 0], [1, 0]], dtype=np.float32), LABELS, "days")
    with pytest.raises(DataError, match=r"^days: label 'a' is 1 in every sample"):
        check_classes(np.array([[1, 0], [1, 1]], dtype=np.float32), LABELS, "days")
    check_classes(np.array([[1, 0], [0, 1]], dtype=np.float32), LABELS, "days")
