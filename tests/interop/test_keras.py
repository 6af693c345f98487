"""Keras' models and weights, in and out: every format, the same predictions, and what is said where it does not fit."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.interop.conftest import Keras
from tuilab.blocks.arrays import HostArray
from tuilab.errors import UsageError
from tuilab.interop.keras.exported import export_keras
from tuilab.interop.keras.imported import Imported, import_keras
from tuilab.runs.reader import overview
from tuilab.runs.trained import TrainedRun

CHAINS = ["dense", "regression", "one_unit", "unbuilt_input", "images", "every", "chain", "vgg", "nested"]


def predicted(made: Imported, samples: HostArray) -> HostArray:
    return TrainedRun(made.run).predict(samples)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", CHAINS)
def test_a_model_becomes_a_run_that_predicts_the_same(keras: Keras, runs: Path, name: str, suffix: str) -> None:
    samples, expected = keras.example(name)
    made = import_keras(keras.file(name, suffix), runs)
    np.testing.assert_allclose(predicted(made, samples), expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected) > 0.01
    seen = overview(made.run)
    assert seen.state == "finished"
    assert seen.reason.startswith(f"imported from {name}{suffix} (Keras 3.")
    assert seen.status.parameters == made.plan.parameter_count


@pytest.mark.parametrize("name", CHAINS)
def test_weights_alone_go_into_an_experiment(keras: Keras, runs: Path, name: str) -> None:
    samples, expected = keras.example(name)
    model = import_keras(keras.file(name), runs)
    file = keras.file(name, ".weights.h5")
    made = import_keras(file, runs, model=str(model.run.experiment_file))
    np.testing.assert_allclose(predicted(made, samples), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="--model EXPERIMENT"):
        import_keras(file, runs)


@pytest.mark.parametrize("name", CHAINS)
def test_an_exported_run_predicts_the_same_in_keras(keras: Keras, runs: Path, tmp_path: Path, name: str) -> None:
    samples, expected = keras.example(name)
    made = import_keras(keras.file(name), runs)
    export_keras(TrainedRun(made.run), tmp_path / "back.keras")
    np.testing.assert_allclose(keras.predict(tmp_path / "back.keras", samples), expected, rtol=1e-4, atol=1e-5)
    again = import_keras(tmp_path / "back.keras", runs)
    np.testing.assert_allclose(predicted(again, samples), expected, rtol=1e-4, atol=1e-5)


def old_weights(source: Path, target: Path) -> None:
    """Write the weights of a Keras 3 .h5 file as Keras 1 did: those of VGG16 are still downloaded so."""
    with h5py.File(source) as model, h5py.File(target, "w") as file:
        names = list(model["model_weights"].attrs["layer_names"])
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            layer, group = model["model_weights"][name], file.create_group(name)
            paths = list(layer.attrs["weight_names"])
            own = [f"{name}_{letter}_1:0" for letter, _ in zip("Wb", paths, strict=False)]
            group.attrs["weight_names"] = [one.encode() for one in own]
            for path, one in zip(paths, own, strict=True):
                group[one] = layer[path][()]


def test_old_files_of_vgg16(keras: Keras, runs: Path, tmp_path: Path) -> None:
    samples, expected = keras.example("vgg")
    model = import_keras(keras.file("vgg"), runs)
    old_weights(keras.file("vgg", ".h5"), tmp_path / "vgg_weights_tf_dim_ordering_tf_kernels.h5")
    made = import_keras(
        tmp_path / "vgg_weights_tf_dim_ordering_tf_kernels.h5", runs, model=str(model.run.experiment_file)
    )
    np.testing.assert_allclose(predicted(made, samples), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_vgg16(keras: Keras, runs: Path, tmp_path: Path) -> None:
    """The real one: 138,357,544 parameters, 224 × 224 pixels, 1000 classes, in every format, and back."""
    samples, expected = keras.example("vgg16")
    assert np.ptp(expected) > expected.mean()
    old_weights(keras.file("vgg16", ".h5"), tmp_path / "old.h5")
    model = import_keras(keras.file("vgg16"), runs)
    assert model.plan.parameter_count == 138_357_544
    experiment = str(model.run.experiment_file)
    every = [
        model,
        import_keras(keras.file("vgg16", ".h5"), runs),
        import_keras(keras.file("vgg16", ".weights.h5"), runs, model=experiment),
        import_keras(tmp_path / "old.h5", runs, model=experiment),
    ]
    for made in every:
        trained = TrainedRun(made.run)
        difference = np.abs(trained.predict(samples) - expected).max() / expected.max()
        print(f"{made.run.name}: largest difference {difference:.1e} of the largest output")
        assert difference < 1e-4
    export_keras(TrainedRun(model.run), tmp_path / "back.keras")
    back = keras.predict(tmp_path / "back.keras", samples)
    print(f"back in Keras: {np.abs(back - expected).max() / expected.max():.1e}")
    np.testing.assert_allclose(back, expected, rtol=1e-4)
