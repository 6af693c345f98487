"""Targets, measures over many batches, predictions: what goes into a loss and what comes out of an epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import make_data, make_experiment, make_info, make_network, make_split, mlp, train
from tests.kernels import every_device, make_kernels
from tuilab.blocks.losses import Loss
from tuilab.blocks.metrics import Metric, Outputs
from tuilab.blocks.samples import Scaling
from tuilab.engine.batches import Batches
from tuilab.engine.inference import predict
from tuilab.engine.measures import Measures, evaluate
from tuilab.engine.targets import TargetEncoder

pytestmark = every_device

LABELS = [2, 0, 1]
ONE_HOT = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("loss", "outputs", "labels", "target"),
    [
        ("categorical_crossentropy", Outputs("categorical", 3), LABELS, LABELS),
        ("categorical_crossentropy", Outputs("binary", 2), [1, 0], [1, 0]),
        ("mean_squared_error", Outputs("categorical", 3), LABELS, ONE_HOT),
        ("mean_squared_error", Outputs("binary", 1), [1, 0], [[1], [0]]),
        ("mean_squared_error", Outputs("binary", 2), [1, 0], [[0, 1], [1, 0]]),
        ("binary_crossentropy", Outputs("binary", 1), [1, 0], [[1], [0]]),
        ("binary_crossentropy", Outputs("multi_label", 2), [[1.0, 0.0]], [[1, 0]]),
        ("mean_squared_error", Outputs("regression", 2), [[1.5, -3.0]], [[1.5, -3]]),
        ("hinge", Outputs("categorical", 3), LABELS, [[-1, -1, 1], [1, -1, -1], [-1, 1, -1]]),
        ("hinge", Outputs("binary", 1), [1, 0], [[1], [-1]]),
        ("perceptron", Outputs("multi_label", 2), [[1.0, 0.0]], [[1, -1]]),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets(loss: str, outputs: Outputs, labels: list[Any], target: list[Any], dtype: str) -> None:
    encoder = TargetEncoder(make_kernels(), Loss.choose(loss), outputs, 5, dtype)
    given = np.array(labels) if np.ndim(labels) == 1 else np.array(labels, dtype)
    before = given.copy()
    for _ in range(2):
        encoded = encoder.encode(given)
        assert encoded.tolist() == target
        assert encoded.dtype == (dtype if np.ndim(target) > 1 else "int64")
    assert np.array_equal(given, before)
    assert encoder.encode(given[:1]).tolist() == target[:1]


def test_the_loss_of_an_epoch_is_the_mean_over_samples_not_over_batches() -> None:
    """Batches of 3 and 1 with mean losses 2 and 6: (3 · 2 + 6) / 4."""
    metric = Metric.choose("accuracy")
    measures = Measures(make_kernels(), [metric], Outputs("categorical", 2))
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    assert math.isnan(measures.results()["loss"])
    for _ in range(2):  # the second time after start, as if nothing had been
        measures.start()
        measures.add(np.array([2.0], "float32"), np.array([0, 0, 0]), np.array([right, right, wrong], "float32"))
        assert measures.results() == pytest.approx({"loss": 2, "accuracy": 2 / 3})
        measures.add(np.array([6.0], "float32"), np.array([1]), np.array([wrong], "float32"))
        assert measures.results() == {"loss": 3, "accuracy": 0.75}


def test_every_metric_has_a_place_of_its_own() -> None:
    metrics = [Metric.choose(name) for name in ("f1", "accuracy", "precision", "auc", "perplexity", "recall")]
    outputs = Outputs("categorical", 3)
    together = Measures(make_kernels(), metrics, outputs)
    generator = np.random.default_rng(2)
    labels, scores = generator.integers(0, 3, 40), generator.dirichlet([1, 1, 1], 40).astype("float32")
    loss = np.zeros(1, "float32")
    together.add(loss, labels, scores)
    for metric in metrics:
        alone = Measures(make_kernels(), [metric], outputs)
        alone.add(loss, labels, scores)
        assert together.results()[metric.label] == alone.results()[metric.label]
    assert list(together.results()) == ["loss", *(metric.label for metric in metrics)]


def test_small_losses_are_not_lost_beside_a_large_sum() -> None:
    """A sum in single precision that has reached 3.2e6 would take 3.25 or 3 for each 3.2."""
    measures = Measures(make_kernels(), [], Outputs("binary", 1))
    mean = float(np.float32(0.1))
    measures.state[:2] = (32e6 * mean, 32e6)
    for _ in range(1000):
        measures.add(np.array([0.1], "float32"), np.zeros(32), np.zeros((32, 1)))
    assert measures.results()["loss"] == pytest.approx(mean, rel=1e-9)


def test_evaluation_equals_the_formula() -> None:
    experiment = mlp(metrics=["accuracy"])
    network = make_network(experiment, make_info(), batch_size=16)
    split = make_split(make_info(), 50)
    measures = Measures(network.ops, experiment.training.metrics, network.plan.outputs)
    batches = Batches(network.ops, split, None, (6,), 16, "float32")
    results = [evaluate(network, batches, measures) for _ in range(2)]
    predictions = predict(network, split.features, None)
    chosen = predictions[np.arange(50), split.targets].astype("float64")
    assert results[0] == results[1]
    assert results[0]["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert results[0]["accuracy"] == (predictions.argmax(axis=1) == split.targets).mean()


def test_predictions_do_not_depend_on_the_batches() -> None:
    trainer, _ = train(mlp(), make_data())
    features = make_split(make_info(), 41).features
    together = predict(trainer.network, features, None)
    assert together.shape == (41, 3)
    for row in (0, 17, 40):
        np.testing.assert_allclose(predict(trainer.network, features[row : row + 1], None)[0], together[row], rtol=1e-5)
    assert predict(trainer.network, features[:0], None).shape == (0, 3)


def test_predictions_scale_features_as_training_did() -> None:
    layer = {"type": "dense", "units": 2, "kernel_initializer": {"type": "constant", "value": 1.0}}
    network = make_network(make_experiment([layer], "mean_squared_error"), make_info("regression", (2,)))
    scaling = Scaling(np.array([1, 2], "float32"), np.array([2, 0.5], "float32"))
    assert predict(network, np.array([[3, 4], [1, 2]], "float32"), scaling).tolist() == [[5, 5], [0, 0]]


def test_overflow_in_predictions_is_silent() -> None:
    layers = [{"type": "dense", "units": 2, "activation": "exponential"}]
    network = make_network(make_experiment(layers, "poisson"), make_info("regression", (2,)))
    assert np.isinf(predict(network, np.array([[1e4, 1e4], [-1e4, -1e4]], "float32"), None)).any()
