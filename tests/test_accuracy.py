"""Ready-made experiments reach what they promise, with their own seed and with three others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tuilab
from tuilab.errors import DivergedError

SEEDS = [None, 1, 2, 3]
HAS_MNIST = (Path(os.environ.get("TUILAB_DATA", "")) / "mnist").is_dir()
needs_mnist = pytest.mark.skipif(not HAS_MNIST, reason="needs MNIST: set TUILAB_DATA to a folder that holds mnist/")


def trained(name: str, seed: int | None = None) -> tuilab.Trained:
    return tuilab.train(name, *([] if seed is None else [f"seed={seed}"]))


@pytest.mark.parametrize("seed", SEEDS)
@needs_mnist
def test_mnist_mlp(seed: int | None) -> None:
    outcome = trained("mnist-mlp", seed)
    assert len(outcome.history["loss"]) == 10
    assert outcome.results["test"]["accuracy"] >= 0.98


@pytest.mark.parametrize("seed", SEEDS)
@needs_mnist
def test_mnist_book(seed: int | None) -> None:
    assert trained("mnist-book", seed).results["test"]["accuracy"] >= 0.965


@needs_mnist
def test_mnist_perceptron() -> None:
    assert 0.91 <= trained("mnist-perceptron").results["test"]["accuracy"] <= 0.94


@pytest.mark.parametrize("seed", SEEDS)
def test_digits_mlp(seed: int | None) -> None:
    assert trained("digits-mlp", seed).results["test"]["accuracy"] >= 0.96


@pytest.mark.parametrize("seed", SEEDS)
def test_iris(seed: int | None) -> None:
    """The seed also chooses the split."""
    assert trained("iris-8-8-3", seed).results["test"]["accuracy"] >= (0.93 if seed is None else 0.9)


@pytest.mark.parametrize("seed", SEEDS)
def test_spiral(seed: int | None) -> None:
    results = trained("spiral", seed).results
    assert results["train"]["accuracy"] >= 0.99
    assert results["test"]["accuracy"] >= 0.97


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gate", ["and", "or", "nand"])
def test_perceptrons(gate: str, seed: int | None) -> None:
    assert trained(f"perceptron-{gate}", seed).results["train"]["accuracy"] == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_xor_needs_a_hidden_layer(seed: int | None) -> None:
    assert trained("perceptron-xor", seed).results["train"]["accuracy"] <= 0.75
    assert trained("xor-mlp", seed).results["train"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("name", "result", "least"),
    [
        ("pass-fail", "accuracy", 0.9),
        ("multilabel", "accuracy", 0.95),
        ("diabetes-regression", "r2", 0.4),
        ("playground-circle", "accuracy", 0.93),
        ("playground-xor", "accuracy", 0.93),
        ("playground-gauss", "accuracy", 0.97),
        ("vanishing-fixed", "accuracy", 0.95),
        ("optimizer-momentum", "accuracy", 0.9),
        ("optimizer-adagrad", "accuracy", 0.85),
        ("optimizer-rmsprop", "accuracy", 0.9),
        ("optimizer-adam", "accuracy", 0.9),
        ("optimizer-sgd", "accuracy", 0.75),
    ],
)
def test_others_learn(name: str, result: str, least: float) -> None:
    assert trained(name).results["test"][result] >= least


def test_eight_sigmoid_layers_learn_nothing_because_gradients_vanish() -> None:
    norms: dict[str, list[float]] = {}

    def remember(event: object) -> None:
        if isinstance(event, tuilab.LayersSeen):
            for layer in event.layers:
                assert layer.gradient_norm is not None
                norms.setdefault(layer.name, []).append(layer.gradient_norm)

    outcome = tuilab.train("vanishing-sigmoid", on_event=remember)
    assert outcome.results["test"]["accuracy"] < 0.2
    first, last = norms["dense_1"], norms["dense_9"]
    assert max(first) < 1e-4 * max(last)


def test_exploding_diverges_and_names_a_layer() -> None:
    with pytest.raises(DivergedError, match=r"dense_\d \(layers\[\d\]\)"):
        trained("exploding")


def test_overfit_and_its_remedy() -> None:
    overfit, regularized = trained("overfit"), trained("overfit-regularized")
    assert overfit.results["train"]["accuracy"] == 1
    assert overfit.history["val_loss"][-1] > 3 * min(overfit.history["val_loss"])
    assert overfit.results["test"]["loss"] > 1.5 * regularized.results["test"]["loss"]
    assert regularized.results["test"]["accuracy"] >= overfit.results["test"]["accuracy"]
