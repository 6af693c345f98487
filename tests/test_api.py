"""The public API for notebooks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tuilab
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.samples import Data, Split
from tuilab.engine.events import EpochDone, TrainingDone, TrainingStarted
from tuilab.errors import ExperimentError, UsageError


def test_train_gives_history_results_and_network() -> None:
    events: list[object] = []
    trained = tuilab.train("iris-8-8-3", "training.epochs=12", on_event=events.append)
    assert {name: len(values) for name, values in trained.history.items()} == {
        "loss": 12,
        "accuracy": 12,
        "val_loss": 12,
        "val_accuracy": 12,
    }
    assert trained.history["loss"][-1] < trained.history["loss"][0] / 2
    assert set(trained.results) == {"train", "validation", "test"}
    assert trained.results["validation"]["loss"] == pytest.approx(trained.history["val_loss"][-1])
    assert {name: value.shape for name, value in trained.network.parameters()}["dense_1/kernel"] == (4, 8)
    assert isinstance(events[0], TrainingStarted)
    assert isinstance(events[-1], TrainingDone)
    assert sum(isinstance(event, EpochDone) for event in events) == 12


def test_predict_takes_features_as_they_are_stored() -> None:
    trained = tuilab.train("iris-8-8-3", "training.epochs=30")
    test = trained.data.test
    assert test is not None
    probabilities = trained.predict(test.features)
    assert probabilities.shape == (len(test), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    accuracy = float((probabilities.argmax(axis=1) == test.targets).mean())
    assert accuracy == pytest.approx(trained.results["test"]["accuracy"])
    assert trained.predict(test.features[:0]).shape == (0, 3)


def test_data_of_ones_own() -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((400, 2)).astype("float32")
    info = DataInfo(input_shape=(2,), task="binary", classes=("out", "in"))
    data = Data(info, Split(x, (np.hypot(*x.T) < 1).astype("int64")), None, None, None)
    trained = tuilab.train("playground-circle", "training.optimizer=adam", data=data)
    assert trained.results["train"]["accuracy"] > 0.9
    assert "validation" not in trained.results


def test_load_tells_what_is_wrong(tmp_path: Path) -> None:
    assert tuilab.load("mnist-mlp", "seed=4").seed == 4
    with pytest.raises(UsageError, match="did you mean 'mnist-mlp'"):
        tuilab.load("mnist-mpl")
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\n')
    with pytest.raises(ExperimentError) as caught:
        tuilab.load(path)
    assert [problem.place for problem in caught.value.problems] == ["data", "layers", "training"]


def test_importing_the_package_loads_no_numpy() -> None:
    program = "import sys, tuilab; assert 'numpy' not in sys.modules; tuilab.load; assert 'numpy' in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        tuilab.trian  # noqa: B018 # the access is the test
