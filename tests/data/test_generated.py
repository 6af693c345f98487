"""Generated sets: the Playground's formulas, the same bytes everywhere, and tables that can be learned."""

import hashlib

import numpy as np
import pytest

from tuilab.blocks.datasets import (
    Blobs,
    Bundled,
    Circle,
    Dataset,
    Downloaded,
    GateAnd,
    GateNand,
    GateOr,
    GateXor,
    Gauss,
    GaussRegression,
    Moons,
    Multilabel,
    PassFail,
    Plane,
    Spiral,
    Xor,
)
from tuilab.data.generated import generate

GATES = [
    (GateAnd(), [0, 0, 0, 1]),
    (GateOr(), [0, 1, 1, 1]),
    (GateNand(), [1, 1, 1, 0]),
    (GateXor(), [0, 1, 1, 0]),
]
BYTES = [
    (Circle(noise=0.25, seed=1), "ea402feb500e71d8"),
    (Xor(noise=0.25, seed=1), "ba13d90295f89d4e"),
    (Gauss(noise=0.25, seed=1), "1d733c60a8eb8368"),
    (Spiral(noise=0.25, seed=1), "68b5aaf812eea247"),
    (Plane(noise=0.25, seed=1), "5b831271a1ccf9c4"),
    (GaussRegression(noise=0.25, seed=1), "da3312f0fd784bc3"),
    (Moons(seed=1), "9156fcae84fc0318"),
    (Blobs(seed=1), "5d70f0547c6f9d65"),
    (PassFail(), "35f3506d744d0e53"),
    (Multilabel(), "7953784c0bdadf9c"),
]


def test_every_generated_set_has_a_row() -> None:
    generated = {name for name in Dataset.offered() if not issubclass(Dataset.registry[name], (Bundled, Downloaded))}
    assert generated == {dataset.type_name() for dataset, _ in (*BYTES, *GATES)}


@pytest.mark.parametrize(("dataset", "expected"), BYTES)
def test_one_seed_gives_the_same_bytes_on_every_machine(dataset: Dataset, expected: str) -> None:
    features, targets = generate(dataset)
    little_endian = [array.astype(array.dtype.newbyteorder("<")).tobytes() for array in (features, targets)]
    assert hashlib.sha256(b"".join(little_endian)).hexdigest()[:16] == expected


@pytest.mark.parametrize("kind", [Circle, Xor, Gauss, Plane, GaussRegression, Moons, Blobs])
def test_another_seed_draws_other_points(kind: type[Circle]) -> None:
    assert not np.array_equal(generate(kind(seed=1))[0], generate(kind(seed=2))[0])


@pytest.mark.parametrize(("gate", "outputs"), GATES)
def test_gates_are_truth_tables(gate: Dataset, outputs: list[int]) -> None:
    features, targets = generate(gate)
    assert features.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert targets.tolist() == outputs


@pytest.mark.parametrize("samples", [10, 11])
@pytest.mark.parametrize("kind", [Circle, Xor, Gauss, Spiral, Plane, GaussRegression, Moons, Blobs])
def test_as_many_points_as_asked_for(kind: type[Circle], samples: int) -> None:
    features, targets = generate(kind(samples=samples))
    assert len(features) == len(targets) == samples


def test_circle_is_a_disc_inside_a_ring() -> None:
    features, targets = generate(Circle())
    radius = np.hypot(features[:, 0], features[:, 1])
    assert radius[targets == 1].max() < 2.5
    assert radius[targets == 0].min() > 3.5 - 1e-5
    assert radius.max() < 5 + 1e-5
    assert np.bincount(targets).tolist() == [250, 250]
    assert radius[targets == 1].mean() == pytest.approx(1.25, abs=0.1)  # uniform in the radius, not in the area


def test_xor_is_one_class_where_the_signs_agree() -> None:
    features, targets = generate(Xor())
    assert np.array_equal(targets, features[:, 0] * features[:, 1] >= 0)
    assert 0.3 <= np.abs(features).min() < 0.35
    assert 5 < np.abs(features).max() <= 5.3 + 1e-5


@pytest.mark.parametrize(("noise", "variance"), [(0.0, 0.5), (0.5, 4.0)])
def test_gauss_is_two_clouds_whose_variance_grows_with_noise(noise: float, variance: float) -> None:
    features, targets = generate(Gauss(samples=20_000, noise=noise))
    for label, centre in ((1, 2), (0, -2)):
        cloud = features[targets == label]
        assert cloud.mean(axis=0) == pytest.approx([centre, centre], abs=0.1)
        assert cloud.var(axis=0) == pytest.approx([variance, variance], rel=0.05)


def test_spiral_follows_its_formula() -> None:
    features, targets = generate(Spiral(samples=16))
    position = np.arange(8) / 8  # i / n; r = 5 i / n, t = 3.5 π i / n
    angle = 3.5 * np.pi * position
    arm = 5 * position[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    assert targets.tolist() == [1] * 8 + [0] * 8
    np.testing.assert_allclose(features[:8], arm, atol=1e-6)
    np.testing.assert_allclose(features[8:], -arm, atol=1e-6)
    # i = 2: r = 1.25, t = 157.5°
    np.testing.assert_allclose(features[2], [1.25 * 0.38268343, 1.25 * -0.92387953], atol=1e-6)


def test_noise_moves_the_points_of_a_spiral() -> None:
    moved = generate(Spiral(noise=0.5))[0] - generate(Spiral())[0]
    assert 0.45 < np.abs(moved).max() <= 0.5


@pytest.mark.parametrize("kind", [Circle, Xor, Plane, GaussRegression])
def test_noise_changes_labels_but_not_points(kind: type[Circle]) -> None:
    quiet, noisy = generate(kind(samples=1000)), generate(kind(samples=1000, noise=0.5))
    assert np.array_equal(quiet[0], noisy[0])
    assert not np.array_equal(quiet[1], noisy[1])


def test_plane_grows_along_the_diagonal() -> None:
    features, targets = generate(Plane())
    assert len(features) == 1200
    assert 5.9 < np.abs(features).max() <= 6
    np.testing.assert_allclose(targets[:, 0], features.sum(axis=1) / 10, atol=1e-6)


def test_gauss_regression_has_three_hills_and_three_hollows() -> None:
    features, targets = generate(GaussRegression(samples=5000))
    for x, y, sign in [(-4, 2.5, 1), (0, 2.5, -1), (4, 2.5, 1), (-4, -2.5, -1), (0, -2.5, 1), (4, -2.5, -1)]:
        distance = np.hypot(features[:, 0] - x, features[:, 1] - y)
        near = distance < 1.5  # nothing else reaches in here
        np.testing.assert_allclose(targets[near, 0], sign * (1 - distance[near] / 2), atol=1e-5)
    assert (targets == 0).mean() > 0.3


def test_moons_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    for samples in (100, 101):
        features, targets = generate(Moons(samples=samples, noise=0))
        expected, classes = datasets.make_moons(samples, shuffle=False)
        np.testing.assert_allclose(features, expected, atol=1e-6)
        assert np.array_equal(targets, classes)


def test_blobs_are_round_clouds() -> None:
    features, targets = generate(Blobs(samples=3000, centers=4, noise=0.5))
    assert np.bincount(targets).tolist() == [750] * 4
    for label in range(4):
        assert features[targets == label].std(axis=0) == pytest.approx([0.5, 0.5], rel=0.1)
        assert np.abs(features[targets == label].mean(axis=0)).max() < 10.1


def test_pass_fail_is_an_exam_with_realistic_numbers() -> None:
    (features, targets) = generate(PassFail())
    hours, attendance = features.T
    assert features.shape == (200, 2)
    assert hours.min() >= 0
    assert hours.max() <= 10
    assert attendance.min() >= 40
    assert attendance.max() <= 100
    by_rule = 10 + 5 * hours + 0.4 * attendance >= 60
    assert 0.9 < (by_rule == targets).mean() < 0.99  # the rule, blurred
    assert 0.4 < targets.mean() < 0.6


@pytest.mark.filterwarnings("ignore:.*converge")
def test_multilabel_needs_more_than_a_line_and_can_be_learned() -> None:
    network = pytest.importorskip("sklearn.neural_network")
    features, labels = generate(Multilabel())
    assert set(np.unique(labels)) == {0, 1}
    assert labels.mean(axis=0).min() > 0.25
    assert labels.mean(axis=0).max() < 0.75
    x = (features - features[:480].mean(axis=0)) / features[:480].std(axis=0)
    results = {}
    for hidden in ((), (16,)):
        model = network.MLPClassifier(hidden, solver="lbfgs", alpha=0.01, max_iter=300, random_state=0)
        model.fit(x[:480], labels[:480])
        results[hidden] = (model.predict(x[480:]) == labels[480:]).mean()
    assert results[()] < 0.85
    assert results[16,] > 0.9
