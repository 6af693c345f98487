"""Every metric: numbers worked by hand, scikit-learn, every split into batches, dtypes of labels, no allocation."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.kernels import every_device, make_kernels
from tuilab.blocks.arrays import Ops
from tuilab.blocks.metrics import (
    F1,
    R2,
    Accuracy,
    Auc,
    Mae,
    Metric,
    Mse,
    Outputs,
    Perplexity,
    Precision,
    Recall,
    Rmse,
    TopK,
)

pytestmark = every_device


@dataclass
class Case:
    """A metric, its value for a few samples, and the same in scikit-learn (sklearn.metrics, labels, prediction)."""

    block: Metric
    outputs: Outputs
    labels: list[Any]
    prediction: list[list[float]]
    value: float
    oracle: Callable[[Any, Any, Any], float]
    tolerance: float = 1e-12


BINARY, SCORES, TWO = Outputs("binary", 1), Outputs("binary", 1, threshold=0), Outputs("binary", 2)
THREE, TAGS, NUMBERS = Outputs("categorical", 3), Outputs("multi_label", 2), Outputs("regression", 2)

# Two of four are called 1, one of them rightly, out of three that are 1. An output of 0.5 is not above 0.5.
YES_NO = ([1, 1, 1, 0], [[0.9], [0.5], [0.3], [0.8]])
SIGNED = ([1, 1, 1, 0], [[4], [0], [-2], [3]])
PAIRS = ([1, 1, 1, 0], [[0.1, 0.9], [0.5, 0.5], [0.7, 0.3], [0.2, 0.8]])
# Decisions 0, 1, 1, 1: class 0 has 1 hit of 1 said and 2 true, class 1 has 1 of 3 and 1, class 2 has 0 of 0 and 1.
CLASSES = ([0, 0, 1, 2], [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3]])
# Label 0 has 2 hits of 4 said and 2 true, label 1 has 1 of 1 and 2; the first and the third row are all right.
LABELS = ([[1, 0], [0, 1], [1, 1], [0, 0]], [[0.9, 0.2], [0.6, 0.3], [0.7, 0.8], [0.55, 0.1]])
# The right class is third, second and second.
RANKS = ([2, 0, 1], [[0.5, 0.3, 0.2], [0.4, 0.5, 0.1], [0.1, 0.2, 0.7]])
VALUES = ([[1, 10], [2, 10], [3, 40]], [[1, 12], [3, 10], [3, 36]])


def thresholded(prediction: np.ndarray) -> np.ndarray:
    return (prediction > 0.5).astype(int)


def macro(name: str) -> Callable[[Any, Any, Any], float]:
    def oracle(sk: Any, labels: np.ndarray, prediction: np.ndarray) -> float:
        settings = {"labels": [0, 1, 2], "average": "macro", "zero_division": 0}
        return float(getattr(sk, name)(labels, prediction.argmax(-1), **settings))

    return oracle


def averaged(name: str, average: str) -> Callable[[Any, Any, Any], float]:
    def oracle(sk: Any, labels: np.ndarray, prediction: np.ndarray) -> float:
        decisions = prediction.argmax(-1) if prediction.shape[-1] == 3 else thresholded(prediction)
        return float(getattr(sk, name)(labels, decisions, average=average, zero_division=0))

    return oracle


CASES = [
    Case(Accuracy(), BINARY, *YES_NO, 0.25, lambda sk, t, y: sk.accuracy_score(t, thresholded(y))),
    Case(Accuracy(kind="categorical"), BINARY, *YES_NO, 0.25, lambda sk, t, y: sk.accuracy_score(t, thresholded(y))),
    Case(Accuracy(), SCORES, *SIGNED, 0.25, lambda sk, t, y: sk.accuracy_score(t, y[:, 0] > 0)),
    Case(Accuracy(), TWO, *PAIRS, 0.25, lambda sk, t, y: sk.accuracy_score(t, y.argmax(-1))),
    Case(Accuracy(), THREE, *CLASSES, 0.5, lambda sk, t, y: sk.accuracy_score(t, y.argmax(-1))),
    # of the twelve outputs only the first 0.2 and the last 0.3 are on the wrong side of 0.5
    Case(Accuracy(kind="binary"), THREE, *CLASSES, 10 / 12, lambda sk, t, y: np.mean((y > 0.5) == np.eye(3)[t])),
    Case(
        Accuracy(kind="multi_label"),
        THREE,
        *CLASSES,
        0.5,
        lambda sk, t, y: np.mean(np.all((y > 0.5) == np.eye(3)[t], -1)),
    ),
    Case(Accuracy(), TAGS, *LABELS, 5 / 8, lambda sk, t, y: 1 - sk.hamming_loss(t, thresholded(y))),
    Case(Accuracy(kind="multi_label"), TAGS, *LABELS, 0.5, lambda sk, t, y: sk.accuracy_score(t, thresholded(y))),
    Case(
        Accuracy(kind="categorical"), TAGS, *LABELS, 0.5, lambda sk, t, y: np.mean(t[np.arange(len(t)), y.argmax(-1)])
    ),
    Case(TopK(k=2), THREE, *RANKS, 2 / 3, lambda sk, t, y: sk.top_k_accuracy_score(t, y, k=2)),
    Case(TopK(k=1), THREE, *RANKS, 0, lambda sk, t, y: sk.accuracy_score(t, y.argmax(-1))),
    Case(TopK(), THREE, *RANKS, 1, lambda sk, t, y: 1),
    Case(Precision(), BINARY, *YES_NO, 1 / 2, averaged("precision_score", "binary")),
    Case(Precision(), TWO, *PAIRS, 1 / 2, lambda sk, t, y: sk.precision_score(t, y.argmax(-1))),
    Case(Precision(), THREE, *CLASSES, 4 / 9, macro("precision_score")),
    Case(Precision(average="micro"), THREE, *CLASSES, 1 / 2, averaged("precision_score", "micro")),
    Case(Precision(), TAGS, *LABELS, 3 / 4, averaged("precision_score", "macro")),
    Case(Precision(average="micro"), TAGS, *LABELS, 3 / 5, averaged("precision_score", "micro")),
    Case(Recall(), BINARY, *YES_NO, 1 / 3, averaged("recall_score", "binary")),
    Case(Recall(), TWO, *PAIRS, 1 / 3, lambda sk, t, y: sk.recall_score(t, y.argmax(-1))),
    Case(Recall(), THREE, *CLASSES, 1 / 2, macro("recall_score")),
    Case(Recall(average="micro"), THREE, *CLASSES, 1 / 2, averaged("recall_score", "micro")),
    Case(Recall(), TAGS, *LABELS, 3 / 4, averaged("recall_score", "macro")),
    Case(Recall(average="micro"), TAGS, *LABELS, 3 / 4, averaged("recall_score", "micro")),
    Case(F1(), BINARY, *YES_NO, 2 / 5, averaged("f1_score", "binary")),
    Case(F1(), SCORES, *SIGNED, 2 / 5, lambda sk, t, y: sk.f1_score(t, y[:, 0] > 0)),
    Case(F1(), TWO, *PAIRS, 2 / 5, lambda sk, t, y: sk.f1_score(t, y.argmax(-1))),
    Case(F1(), THREE, *CLASSES, 7 / 18, macro("f1_score")),
    Case(F1(average="micro"), THREE, *CLASSES, 1 / 2, averaged("f1_score", "micro")),
    Case(F1(), TAGS, *LABELS, (2 / 3 + 2 / 3) / 2, averaged("f1_score", "macro")),
    Case(F1(average="micro"), TAGS, *LABELS, 6 / 9, averaged("f1_score", "micro")),
    # of the pairs (1, 0) only 0.9 against 0.8 is in order
    Case(Auc(), BINARY, *YES_NO, 1 / 3, lambda sk, t, y: sk.roc_auc_score(t, y[:, 0]), 5e-4),
    Case(Auc(), SCORES, *SIGNED, 1 / 3, lambda sk, t, y: sk.roc_auc_score(t, y[:, 0]), 5e-4),
    Case(Auc(), TWO, *PAIRS, 1 / 3, lambda sk, t, y: sk.roc_auc_score(t, y[:, 1]), 5e-4),
    # class 0: 0.6 above both noes, 0.2 above one; class 1: 0.8 above all; class 2: 0.3 above two and equal to one
    Case(
        Auc(),
        *(THREE, *CLASSES, (3 / 4 + 1 + 5 / 6) / 3),
        lambda sk, t, y: sk.roc_auc_score(t, y / y.sum(-1, keepdims=True), multi_class="ovr"),
        5e-4,
    ),
    Case(Auc(), TAGS, *LABELS, (1 + 1) / 2, lambda sk, t, y: sk.roc_auc_score(t, y), 5e-4),
    Case(Mae(), NUMBERS, *VALUES, 7 / 6, lambda sk, t, y: sk.mean_absolute_error(t, y)),
    Case(Mse(), NUMBERS, *VALUES, 21 / 6, lambda sk, t, y: sk.mean_squared_error(t, y)),
    Case(Rmse(), NUMBERS, *VALUES, 1.8708286934, lambda sk, t, y: math.sqrt(sk.mean_squared_error(t, y))),
    # Σ (t − mean)² is 2 and 600, Σ (t − y)² is 1 and 20
    Case(R2(), NUMBERS, *VALUES, (1 / 2 + 29 / 30) / 2, lambda sk, t, y: sk.r2_score(t, y)),
    # (0.9 · 0.5 · 0.3 · 0.2) ^ −1/4
    Case(Perplexity(), BINARY, *YES_NO, 2.46694268164, lambda sk, t, y: np.exp(sk.log_loss(t, y[:, 0]))),
    Case(
        Perplexity(), TWO, *PAIRS, 2.46694268164, lambda sk, t, y: np.exp(sk.log_loss(t, y / y.sum(-1, keepdims=True)))
    ),
    # (0.6 · 0.2 · 0.8 · 0.3) ^ −1/4
    Case(Perplexity(), THREE, *CLASSES, 2.42745885854, lambda sk, t, y: np.exp(sk.log_loss(t, y))),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.block!r} {case.outputs}")


def poisoned_kernels() -> Ops:
    """Kernels whose scratch memory holds NaN, so that a read before a write shows."""
    ops = make_kernels()
    with ops.scratch(np.empty(1 << 16)) as memory:
        memory.fill(np.nan)
    return ops


def state_of(
    block: Metric, outputs: Outputs, labels: np.ndarray, prediction: np.ndarray, batch: int | None = None
) -> np.ndarray:
    """Return the state after every sample was added in batches."""
    state = np.zeros(block.state_size(outputs))
    size = batch or len(prediction)
    for start in range(0, len(prediction), size):
        stop = start + size
        poisoned_kernels().add_to_metric(block, outputs, labels[start:stop], prediction[start:stop], state)
    return state


def measure(
    block: Metric, outputs: Outputs, labels: np.ndarray, prediction: np.ndarray, batch: int | None = None
) -> float:
    return block.result(outputs, state_of(block, outputs, labels, prediction, batch))


def as_labels(case: Case) -> np.ndarray:
    return np.array(case.labels, "int64" if case.outputs.task in ("binary", "categorical") else "float64")


def random_samples(case: Case, samples: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions that are right more often than not."""
    generator, units = np.random.default_rng(17), case.outputs.units
    noise = generator.normal(0, 1.5, (samples, units))
    if case.outputs.task == "regression":
        labels = generator.normal(3, 2, (samples, units)).astype(dtype)
        return labels, (labels + noise).astype(dtype)
    if case.outputs.task == "multi_label":
        labels = generator.integers(0, 2, (samples, units))
        return labels.astype(dtype), (1 / (1 + np.exp(1 - 2 * labels - noise))).astype(dtype)
    labels = generator.integers(0, max(units, 2), samples)
    if units > 1:
        scores = np.exp(noise + 2 * np.eye(units)[labels])
        return labels, (scores / scores.sum(-1, keepdims=True)).astype(dtype)
    scores = noise + 2 * labels[:, None] - 1
    return labels, (scores if case.outputs.threshold == 0 else 1 / (1 + np.exp(-scores))).astype(dtype)


def test_every_metric_has_a_row_for_every_task() -> None:
    known = {block for block in Metric.registry.values() if block.__module__.startswith("tuilab.")}
    assert {(type(case.block), case.outputs.task) for case in CASES} == {
        (block, task) for block in known if issubclass(block, Metric) for task in block.tasks
    }


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_worked_by_hand(case: Case, dtype: str) -> None:
    found = measure(case.block, case.outputs, as_labels(case), np.array(case.prediction, dtype))
    assert found == pytest.approx(case.value, rel=1e-9 if dtype == "float64" else 1e-6)


@every_case
def test_same_as_scikit_learn(case: Case) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    labels, prediction = random_samples(case, 2000)
    expected = case.oracle(metrics, labels, prediction)
    assert measure(case.block, case.outputs, labels, prediction) == pytest.approx(expected, abs=case.tolerance)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_for_every_split_into_batches(case: Case, dtype: str) -> None:
    labels, prediction = random_samples(case, 101, dtype)
    whole = measure(case.block, case.outputs, labels, prediction)
    assert math.isfinite(whole)
    for batch in (1, 7, 32, 100):
        assert measure(case.block, case.outputs, labels, prediction, batch) == pytest.approx(whole, rel=1e-13)


@every_case
def test_undefined_without_samples(case: Case) -> None:
    assert math.isnan(case.block.result(case.outputs, np.zeros(case.block.state_size(case.outputs))))


@every_case
def test_every_dtype_of_labels_gives_the_same(case: Case) -> None:
    labels, prediction = random_samples(case, 50, "float32")
    expected = measure(case.block, case.outputs, labels, prediction)
    others = {"regression": (), "multi_label": ("uint8", "float64")}.get(case.outputs.task, ("uint8", "int32"))
    for dtype in others:
        assert measure(case.block, case.outputs, labels.astype(dtype), prediction) == expected


@every_case
def test_reads_only(case: Case) -> None:
    labels, prediction = random_samples(case, 50)
    state_of(case.block, case.outputs, labels, prediction)
    for array, untouched in zip((labels, prediction), random_samples(case, 50), strict=True):
        assert array.tobytes() == untouched.tobytes()


@every_case
def test_outputs_that_are_not_numbers_stop_nothing(case: Case) -> None:
    """A network that diverges is stopped by name elsewhere; here it must not end in an index error or a warning."""
    labels, prediction = random_samples(case, 50)
    prediction[3] = np.nan
    measure(case.block, case.outputs, labels, prediction)


@every_case
def test_allocates_no_array_of_the_length_of_the_batch(case: Case) -> None:
    ops, samples = make_kernels(), 160_000
    labels, prediction = (np.concatenate([few] * 1000) for few in random_samples(case, samples // 1000, "float32"))
    state, peak = np.zeros(case.block.state_size(case.outputs)), 0
    for _ in range(2):
        tracemalloc.start()
        ops.add_to_metric(case.block, case.outputs, labels, prediction, state)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < samples  # one byte a sample, less than the smallest array of the batch's length


@every_case
def test_table_gives_the_same_block(case: Case) -> None:
    assert Metric.choose(case.block.table()) == case.block
    assert all(field.description for field in type(case.block).model_fields.values())


def test_labels_tell_metrics_apart() -> None:
    labels = {
        Accuracy(): "accuracy",
        Accuracy(kind="multi_label"): "multi_label_accuracy",
        TopK(): "top_5",
        TopK(k=3): "top_3",
        F1(): "f1",
        F1(average="micro"): "micro_f1",
        R2(): "r2",
        Rmse(): "rmse",
    }
    assert {metric: metric.label for metric in labels} == labels


def test_errors_are_better_when_lower() -> None:
    lower = {type(case.block) for case in CASES if not case.block.higher_is_better}
    assert lower == {Mae, Mse, Rmse, Perplexity}


def test_equal_outputs_are_no_success() -> None:
    """A network that has learned nothing gives every class the same; only one class in three is right then."""
    labels, prediction = np.array([0, 1, 2]), np.full((3, 3), 1 / 3)
    assert measure(Accuracy(), THREE, labels, prediction) == pytest.approx(1 / 3)
    assert measure(TopK(k=1), THREE, labels, prediction) == pytest.approx(1 / 3)
    assert measure(TopK(k=2), THREE, labels, prediction) == pytest.approx(2 / 3)
    assert measure(Auc(), THREE, labels, prediction) == 0.5


@pytest.mark.parametrize("block", [Precision(), Recall(), F1()])
def test_a_class_that_never_comes_up_counts_as_zero(block: Metric) -> None:
    labels, prediction = np.array([0, 1, 1]), np.eye(3)[[0, 1, 1]]  # all right, and class 2 neither true nor said
    assert measure(block, THREE, labels, prediction) == pytest.approx(2 / 3)
    assert measure(block, BINARY, np.array([0, 0]), np.array([[0.1], [0.2]])) == 0


def ties(labels: np.ndarray, scores: np.ndarray, block: Auc) -> float:
    """Return the share of pairs of a yes and a no that fall into one bin."""
    state = state_of(block, BINARY, labels, scores).reshape(2, -1)
    return float((state[0] * state[1]).sum() / (state[0].sum() * state[1].sum()))


@pytest.mark.parametrize("bins", [10, 200, 1000])
@pytest.mark.parametrize("sureness", [0.1, 1, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_area_is_as_exact_as_it_says(bins: int, sureness: float, dtype: str) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator, block = np.random.default_rng(4), Auc(num_thresholds=bins)
    labels = generator.integers(0, 2, 5000)
    scores = generator.normal(0, sureness, 5000) + sureness * (2 * labels - 1)
    probability = (1 / (1 + np.exp(-scores)))[:, None].astype(dtype)
    difference = abs(measure(block, BINARY, labels, probability) - metrics.roc_auc_score(labels, probability[:, 0]))
    assert difference <= ties(labels, probability, block) / 2 + 1e-12
    if bins == 1000:
        assert difference < 5e-4


def test_area_of_two_classes_is_that_of_class_1() -> None:
    labels, prediction = np.array([0, 1]), np.array([[0.9, 0.2], [0.95, 0.8]])  # class 0 is in the wrong order
    assert measure(Auc(), TWO, labels, prediction) == 1


def test_area_takes_scores_of_any_size() -> None:
    labels, scores = np.array([0, 1, 0, 1, 1]), np.array([[-1e30], [-10.0], [-0.5], [0.5], [1e30]])
    assert measure(Auc(), SCORES, labels, scores) == pytest.approx(5 / 6)


def test_area_leaves_out_classes_without_a_yes_or_a_no() -> None:
    labels, prediction = np.array([0, 1, 1]), np.array([[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.8, 0.1, 0.1]])
    assert measure(Auc(), THREE, labels, prediction) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert math.isnan(measure(Auc(), BINARY, np.array([1, 1]), np.array([[0.2], [0.3]])))


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_determination_of_numbers_far_from_zero(batch: int) -> None:
    """Sums of squares of numbers around 10⁹ would leave nothing of a deviation of 1."""
    generator = np.random.default_rng(8)
    labels = np.round(generator.normal(0, 1, (1000, 2)) * 1024) / 1024  # exact in float64 with 10⁹ added
    prediction = np.round((labels + generator.normal(0, 0.3, (1000, 2))) * 1024) / 1024
    near = measure(R2(), NUMBERS, labels, prediction)
    far = measure(R2(), NUMBERS, labels + 1e9, prediction + 1e9, batch)
    assert 0.85 < near < 0.95
    assert far == pytest.approx(near, rel=1e-7)


def test_determination_of_targets_that_are_all_the_same() -> None:
    labels = np.array([[5.0, 5.0], [5.0, 5.0]])
    assert measure(R2(), NUMBERS, labels, labels) == 1
    assert measure(R2(), NUMBERS, labels, np.array([[5.0, 5.0], [5.0, 6.0]])) == 0.5
    assert math.isnan(measure(R2(), NUMBERS, labels[:1], labels[:1]))


def test_perplexity_of_certainty_and_of_guessing() -> None:
    assert measure(Perplexity(), THREE, np.array([0, 2]), np.eye(3)[[0, 2]]) == 1
    assert measure(Perplexity(), THREE, np.array([0, 2]), np.full((2, 3), 1 / 3)) == pytest.approx(3)
    assert measure(Perplexity(), THREE, np.array([0, 2]), np.eye(3)[[1, 1]]) == pytest.approx(1e7)


@pytest.mark.parametrize("settings", [{"type": "top_k", "k": 0}, {"type": "auc", "num_thresholds": 1}])
def test_settings_out_of_bounds(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="should be greater than or equal to"):
        TypeAdapter(Metric).validate_python(settings)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("acc", "write accuracy"),
        ("roc_auc", "write auc"),
        ("mean_squared_error", "write mse"),
        ("perplexit", "did you mean 'perplexity'?"),
    ],
)
def test_names_known_elsewhere(name: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=f"unknown metric '{name}'") as failure:
        TypeAdapter(Metric).validate_python(name)
    assert remedy in failure.value.errors()[0]["msg"]


def test_names_known_elsewhere_lead_to_metrics() -> None:
    assert not Metric.other_names.keys() & Metric.registry.keys()
    assert {remedy.split(",")[0] for remedy in Metric.other_names.values()} <= Metric.registry.keys()
