"""What is said of layers, in trainings that really go wrong, and in those that do not."""

from __future__ import annotations

import numpy as np
import pytest

from tuilab.data.load import load
from tuilab.engine.device import choose_device
from tuilab.engine.events import LayersSeen
from tuilab.engine.trainer import Trainer
from tuilab.experiment.load import load_experiment
from tuilab.tui.run_health import LOOKS, Health, judge
from tuilab.tui.run_view import NUMBERS, Layers


def trained(model: str, *overrides: str) -> Layers:
    """Train a ready-made experiment, and return the statistics of its layers."""
    experiment = load_experiment(model, [*overrides, "training.statistics_every=5"])
    trainer = Trainer(experiment, load(experiment.data, experiment.seed), choose_device("cpu"))
    looks = [event for event in trainer.run() if isinstance(event, LayersSeen)]
    numbers = [[[getattr(layer, name) for layer in look.layers] for look in looks] for name in NUMBERS]
    table = np.moveaxis(np.array(numbers, dtype=np.float64), 1, 2)
    steps = np.array([look.step for look in looks], dtype=np.float64)
    return Layers(tuple(layer.name for layer in looks[0].layers), np.arange(len(looks)), steps, table)


def first(layers: Layers, looks: int) -> Layers:
    return Layers(layers.names, layers.look[:looks], layers.step[:looks], layers.numbers[:, :, :looks])


def words(layers: Layers) -> list[str]:
    return [health.word for health in judge(layers)]


def words_over_time(layers: Layers) -> list[list[str]]:
    return [words(first(layers, looks)) for looks in range(1, len(layers.step) + 1)]


def test_eight_sigmoid_layers_vanish_from_the_first_look_to_the_last() -> None:
    over_time = words_over_time(trained("vanishing-sigmoid", "training.epochs=3"))
    assert len(over_time) > 20
    assert all(each == ["vanishing"] * 5 + ["ok"] * 4 for each in over_time)


def test_the_same_network_with_two_edits_is_always_ok() -> None:
    over_time = words_over_time(trained("vanishing-fixed", "training.epochs=3"))
    assert all(each == ["ok"] * 9 for each in over_time)


@pytest.mark.parametrize("model", ["digits-mlp", "iris-8-8-3", "xor-mlp", "perceptron-and", "diabetes-regression"])
def test_networks_that_learn_are_ok(model: str) -> None:
    over_time = words_over_time(trained(model, "training.epochs=4"))
    assert {word for each in over_time for word in each} == {"ok"}


def test_weights_that_start_too_large_explode() -> None:
    assert words(trained("exploding")) == ["exploding"] * 9


def test_units_that_a_large_step_has_killed_are_dead() -> None:
    layers = trained("digits-mlp", "training.epochs=2", 'training.optimizer={ type = "sgd", learning_rate = 2.0 }')
    health = judge(layers)
    assert health[1].word == "dead"
    assert health[1].share is not None
    assert health[1].share > 0.9
    assert str(health[1]) == f"× dead {health[1].share:.0%}"


def test_outputs_of_large_weights_are_saturated() -> None:
    large = '{ type = "random_normal", stddev = 2.0 }'
    edits = ['layers.0.activation="tanh"', f"layers.0.kernel_initializer={large}"]
    health = judge(trained("digits-mlp", "training.epochs=1", *edits))
    assert health[0].word == "saturated"
    assert health[0].share is not None
    assert health[0].share > 0.8


def test_layers_without_weights_have_no_word() -> None:
    layers = trained("overfit-regularized", "training.epochs=2")
    assert [bool(word) for word in words(layers)] == [not name.startswith("dropout") for name in layers.names]


def made(gradients: list[float], *, update: float = 1e-3, looks: int = 1, **numbers: float) -> Layers:
    """Return the statistics of layers with these gradients, all else alike."""
    values = {"weight_norm": 5.0, "update_ratio": update, **numbers}
    table = np.full((len(NUMBERS), len(gradients), looks), np.nan)
    for name, value in values.items():
        table[NUMBERS.index(name)] = value
    table[NUMBERS.index("gradient_norm")] = np.array(gradients)[:, None]
    return Layers(tuple(f"dense_{n}" for n in range(len(gradients))), np.arange(looks), np.arange(looks), table)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (made([0.011, 1.0]), ["ok", "ok"]),
        (made([0.009, 1.0]), ["vanishing", "ok"]),
        (made([1e-9, 1e-9]), ["ok", "ok"]),  # it has learned all there is
        (made([0.0, 0.0]), ["ok", "ok"]),
        (made([0.0, 1.0]), ["vanishing", "ok"]),
        (made([99.0, 1.0]), ["ok", "ok"]),
        (made([101.0, 1.0]), ["exploding", "ok"]),
        (made([1.0, np.nan]), ["ok", "exploding"]),
        (made([500.0], update=0.6), ["exploding"]),
        (made([500.0], update=0.02), ["ok"]),  # large targets, and a learning rate that suits them
        (made([1.4], update=1.0), ["ok"]),  # weights that began at zero
        (made([1.0], dead=0.39), ["ok"]),
        (made([1.0], dead=0.4), ["dead"]),
        (made([0.0, 1.0], dead=1.0), ["dead", "dead"]),
        (made([1.0], saturated=0.79), ["ok"]),
        (made([1.0], saturated=0.81), ["saturated"]),
        (made([1.0, 1.0], looks=0), ["", ""]),
        (made([]), []),
    ],
)
def test_the_thresholds(layers: Layers, expected: list[str]) -> None:
    assert words(layers) == expected


def test_one_odd_look_changes_no_word() -> None:
    layers = made([1.0, 1.0], looks=LOOKS)
    layers.get("gradient_norm")[0, -1] = 1e-6
    layers.get("dead")[:] = 0.1
    layers.get("dead")[0, -1] = 0.9
    assert words(layers) == ["ok", "ok"]
    layers.get("gradient_norm")[0, 1:] = 1e-6
    assert words(layers) == ["vanishing", "ok"]


def test_a_sign_stands_before_every_word() -> None:
    assert [str(health) for health in (Health("ok"), Health("vanishing"), Health("exploding"), Health(""))] == [
        "✓ ok",
        "↓ vanishing",
        "↑ exploding",
        "",
    ]
    assert str(Health("saturated", 0.8)) == "≡ saturated 80%"
