"""What becomes of a Keras file here: data, experiments of one's own, weights that do not fit, training it further."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.cli.conftest import Tuilab
from tests.cli.conftest import tuilab as tuilab
from tests.interop.conftest import Keras
from tuilab.errors import ExperimentError, UsageError
from tuilab.experiment.load import load_experiment
from tuilab.interop.keras.exported import NotInKerasError, export_keras
from tuilab.interop.keras.imported import MismatchError, import_keras
from tuilab.interop.keras.model import UnknownModelError
from tuilab.runs.directory import RunDirectory, find_run
from tuilab.runs.trained import TrainedRun

DENSE = """
[data]
dataset = "iris"
[[layers]]
type = "dense"
units = 8
activation = "relu"
[[layers]]
type = "dense"
units = 5
activation = "tanh"
[[layers]]
type = "dense"
units = 3
activation = "softmax"
[training]
loss = "categorical_crossentropy"
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_commands_from_a_model_to_a_training_and_back(keras: Keras, tuilab: Tuilab) -> None:
    samples, expected = keras.example("dense")
    done = tuilab("import", keras.file("dense"), "--data", "iris", "--set", "training.epochs=2", "--json").json
    assert (done["parameters"], done["loaded"], done["left_out"]) == (103, 6, [])
    assert "does not say how its samples were scaled" in done["notes"][0]
    run = done["run"]
    assert tuilab("evaluate", run, "--json").json["test"]["loss"] > 0
    shown = tuilab("runs", "show", run, "--json").json
    assert (shown["state"], shown["epoch"], shown["checkpoints"]) == ("finished", 0, [0])
    before = tuilab("evaluate", run, "--json").json["train"]["loss"]
    trained = tuilab("resume", run, "--json").json
    assert trained["epochs"] == 2
    assert trained["train"]["loss"] < before
    tuilab("export", run, "--to", "keras", "back.keras")
    np.save(tuilab.folder / "samples.npy", samples)
    ours = tuilab("predict", run, "samples.npy", "--json").json
    theirs = keras.predict(tuilab.folder / "back.keras", samples)
    np.testing.assert_allclose([list(row["probabilities"].values()) for row in ours], theirs, rtol=1e-4, atol=1e-6)
    assert np.abs(theirs - expected).max() > 1e-3
    assert "is there already; --force" in tuilab("export", run, "back.keras", code=2).stderr
    tuilab("export", run, "back.keras", "--force")
    assert "ends in .keras" in tuilab("export", run, "back.h5", code=2).stderr


def test_a_training_begins_with_the_weights_of_the_file(keras: Keras, tuilab: Tuilab) -> None:
    file = keras.file("dense")
    still = ("--set", "training.epochs=1", "--set", "training.optimizer={type='sgd', learning_rate=1e-30}")
    run = tuilab("import", file, "--data", "iris", *still, "--json").json["run"]
    before = tuilab("evaluate", run, "--json").json["train"]["loss"]
    assert tuilab("resume", run, "--json").json["train"]["loss"] == pytest.approx(before, rel=1e-6)
    assert "begins with the weights that the run was made with" in tuilab("runs", "show", run).stdout


def test_without_data_there_is_nothing_to_train_on(keras: Keras, tuilab: Tuilab) -> None:
    run = tuilab("import", keras.file("dense"), "--json").json["run"]
    for command in ("evaluate", "resume"):
        assert "--set data.dataset=NAME" in tuilab(command, run, code=1).stderr
    summary = tuilab("summary", tuilab.runs / run / "experiment.toml", "--json").json
    assert summary["parameters"] == 103
    tuilab("resume", run, "--set", "data.dataset=iris", "--set", "training.epochs=1")


def test_classes_can_be_named(keras: Keras, runs: Path) -> None:
    names = 'data.dataset.names=["cat", "dog", "owl"]'
    assert TrainedRun(import_keras(keras.file("dense"), runs, overrides=[names]).run).info.classes == (
        "cat",
        "dog",
        "owl",
    )
    with pytest.raises(ExperimentError, match="names must name all 3 classes, there are 2"):
        import_keras(keras.file("dense"), runs, overrides=['data.dataset.names=["cat", "dog"]'])


def test_images_of_another_shape_and_of_open_size(keras: Keras, runs: Path) -> None:
    made = import_keras(keras.file("open_size"), runs, data="digits")
    assert made.plan.input_shape == (8, 8, 1)
    with pytest.raises(UsageError, match=r"leaves open how large its samples are, \? × \? × 1"):
        import_keras(keras.file("open_size"), runs)
    with pytest.raises(UsageError, match="the data has samples of 8 × 8 × 1, the model takes 4"):
        import_keras(keras.file("dense"), runs, data="digits")
    with pytest.raises(ExperimentError, match="the data has 10 classes, the output has 3"):
        import_keras(keras.file("chain"), runs, data="digits")


def test_weights_are_found_by_order_in_an_experiment_without_names(keras: Keras, tmp_path: Path, runs: Path) -> None:
    samples, expected = keras.example("dense")
    experiment = write(tmp_path, DENSE)
    for suffix in (".keras", ".weights.h5", ".h5"):
        trained = TrainedRun(import_keras(keras.file("dense", suffix), runs, model=experiment).run)
        scaled = samples / trained.scaling.scale + trained.scaling.offset
        np.testing.assert_allclose(trained.predict(scaled.astype("f4")), expected, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_listed_and_nothing_is_made(keras: Keras, tmp_path: Path, runs: Path) -> None:
    def said(text: str) -> str:
        with pytest.raises(MismatchError) as caught:
            import_keras(keras.file("dense"), runs, model=write(tmp_path, text))
        assert not runs.exists()
        return str(caught.value)

    one_less = DENSE.replace('[[layers]]\ntype = "dense"\nunits = 5\nactivation = "tanh"\n', "")
    assert re.search(r"not in the network: dense_\d/0 \(5, 3\)", said(one_less))  # Keras counts across models
    one_more = DENSE.replace("[training]", '[[layers]]\ntype = "dense"\nunits = 3\nactivation = "softmax"\n[training]')
    assert "missing in the file: dense_4/kernel (3, 3)" in said(one_more)
    other = DENSE.replace("units = 5", "units = 6")
    assert "of another shape: dense_2/kernel is (8, 5) in the file, (8, 6) in the network" in said(other)


def test_transposed_weights_are_told(keras: Keras, tmp_path: Path, runs: Path) -> None:
    with h5py.File(keras.file("dense", ".weights.h5")) as file, h5py.File(tmp_path / "t.weights.h5", "w") as turned:
        file.copy("layers", turned)
        kernel = turned["layers/dense/vars/0"][()]
        del turned["layers/dense/vars/0"]
        turned["layers/dense/vars/0"] = kernel.T
    with pytest.raises(MismatchError, match=r"transposed: dense_1/kernel is \(8, 4\) in the file, \(4, 8\) in the net"):
        import_keras(tmp_path / "t.weights.h5", runs, model=write(tmp_path, DENSE))


def test_a_part_of_the_weights_on_demand(keras: Keras, tmp_path: Path, runs: Path) -> None:
    """As for transfer: the convolutions of a file, and a top that is still to be trained."""
    model = import_keras(keras.file("vgg"), runs)
    text = model.run.experiment_file.read_text()
    changed = text.replace("classes = 10", "classes = 7").replace("units = 10", "units = 7")
    changed = changed.replace('name = "predictions"', 'name = "top"')
    made = import_keras(keras.file("vgg"), runs, model=write(tmp_path, changed), partial=True)
    assert made.fit.missing == ["top/kernel (32, 7)", "top/bias (7,)"]
    assert made.fit.extra == ["predictions/0 (32, 10)", "predictions/1 (10,)"]
    before, after = (dict(TrainedRun(run.run).network.parameters()) for run in (model, made))
    np.testing.assert_array_equal(before["block3_conv2/kernel"], after["block3_conv2/kernel"])
    assert np.ptp(after["top/kernel"]) > 0
    with pytest.raises(MismatchError):
        import_keras(keras.file("dense"), runs, model=write(tmp_path, changed), partial=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("branched", "its layers are no chain: dense is used|its layers are no chain: add takes 2 inputs"),
        ("recurrent", "layer lstm: LSTM, which tuilab has not"),
    ],
)
def test_models_that_are_no_experiments(keras: Keras, runs: Path, name: str, message: str) -> None:
    for suffix in (".keras", ".h5"):
        with pytest.raises(UnknownModelError, match=message):
            import_keras(keras.file(name, suffix), runs)
    assert not runs.exists()


def test_data_and_model_exclude_each_other(keras: Keras, runs: Path) -> None:
    with pytest.raises(UsageError, match="choose one"):
        import_keras(keras.file("dense"), runs, model="iris-8-8-3", data="iris")


def keras2(target: Path, functional: bool) -> None:
    """Write a model as Keras 2 does: its description, and arrays named `dense/kernel:0`."""
    dense = {
        "name": "dense",
        "trainable": True,
        "dtype": "float32",
        "units": 3,
        "activation": "softmax",
        "use_bias": True,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        **dict.fromkeys(
            ("kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint")
        ),
    }
    given = {"batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "ragged": False, "name": "input_1"}
    layers = [{"class_name": "InputLayer", "config": given}, {"class_name": "Dense", "config": dense}]
    config: dict = {"name": "old", "layers": layers}
    if functional:
        layers[0] |= {"name": "input_1", "inbound_nodes": []}
        layers[1] |= {"name": "dense", "inbound_nodes": [[["input_1", 0, 0, {}]]]}
        config |= {"input_layers": [["input_1", 0, 0]], "output_layers": [["dense", 0, 0]]}
    with h5py.File(target, "w") as file:
        kind = "Functional" if functional else "Sequential"
        file.attrs["model_config"] = json.dumps({"class_name": kind, "config": config}).encode()
        file.attrs["keras_version"] = b"2.15.0"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"input_1", b"dense"]
        weights.attrs["keras_version"] = b"2.15.0"
        weights.create_group("input_1").attrs["weight_names"] = []
        group = weights.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        group["dense/kernel:0"] = np.arange(12, dtype="f4").reshape(4, 3)
        group["dense/bias:0"] = np.arange(3, dtype="f4")


@pytest.mark.parametrize("functional", [False, True])
def test_models_of_keras_2(tmp_path: Path, runs: Path, functional: bool) -> None:
    keras2(tmp_path / "old.h5", functional)
    made = import_keras(tmp_path / "old.h5", runs)
    logits = np.ones(4) @ np.arange(12).reshape(4, 3) + np.arange(3)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(TrainedRun(made.run).predict(np.ones((1, 4), "f4"))[0], expected, rtol=1e-5)


RESIDUAL = """
name = "residual"
[data]
dataset = "digits"
[[layers]]
type = "conv2d"
filters = 4
kernel_size = 3
[[layers]]
type = "repeat"
times = 2
[[layers.layers]]
type = "residual"
layers = [
  { type = "conv2d", filters = 6, kernel_size = 3, padding = "same", use_bias = false },
  { type = "batch_normalization" },
  { type = "activation", activation = { type = "elu", alpha = 0.5 } },
  { type = "conv2d", filters = 4, kernel_size = 3, padding = "same" },
]
projection = [{ type = "conv2d", filters = 4, kernel_size = 1 }]
[[layers]]
type = "residual"
layers = [{ type = "conv2d", filters = 4, kernel_size = 1 }]
[[layers]]
type = "flatten"
[[layers]]
type = "dense"
units = 10
activation = "softmax"
[training]
epochs = 1
loss = "categorical_crossentropy"
"""


def test_residual_and_repeated_layers_become_a_graph(keras: Keras, tuilab: Tuilab) -> None:
    """Trained with us, so that statistics and the scaling of pixels count too."""
    experiment = tuilab.write("residual.toml", RESIDUAL)
    run = tuilab("train", experiment, "--json").json["run"]
    tuilab("export", run, "out.keras")
    samples = np.random.default_rng(3).integers(0, 17, (20, 8, 8, 1)).astype("f4")
    np.save(tuilab.folder / "samples.npy", samples)
    ours = tuilab("predict", run, "samples.npy", "--json").json
    theirs = keras.predict(tuilab.folder / "out.keras", samples)
    np.testing.assert_allclose([list(row["probabilities"].values()) for row in ours], theirs, rtol=1e-4, atol=1e-6)
    assert "no chain" in tuilab("import", "out.keras", code=1).stderr
    back = tuilab("import", "out.keras", "--model", experiment, "--json").json
    assert back["left_out"] == []
    again = tuilab("predict", back["run"], "samples.npy", "--json").json
    assert again == ours


@pytest.mark.parametrize("model", ["iris-8-8-3", "digits-mlp", "diabetes-regression"])
def test_what_is_done_to_samples_goes_with_the_model(keras: Keras, tuilab: Tuilab, model: str) -> None:
    run = tuilab("train", model, "--epochs", "1", "--json").json["run"]
    experiment = load_experiment(tuilab.runs / run / "experiment.toml")
    shape = experiment.data.dataset.info().input_shape
    samples = np.random.default_rng(4).uniform(0, 16, (6, *shape)).astype("f4")
    trained = TrainedRun(run_of(tuilab, run))
    export_keras(trained, tuilab.folder / "out.keras")
    theirs = keras.predict(tuilab.folder / "out.keras", samples)
    np.testing.assert_allclose(trained.predict(samples), theirs, rtol=1e-4, atol=1e-5)
    back = import_keras(tuilab.folder / "out.keras", tuilab.runs)
    np.testing.assert_allclose(TrainedRun(back.run).predict(samples), theirs, rtol=1e-4, atol=1e-5)


def run_of(tuilab: Tuilab, name: str) -> RunDirectory:
    return find_run(tuilab.runs, name)


def test_what_keras_has_not_is_named(tuilab: Tuilab) -> None:
    run = tuilab("train", "perceptron-and", "--json").json["run"]
    trained = TrainedRun(run_of(tuilab, run))
    with pytest.raises(NotInKerasError, match="the activation step, which Keras has not"):
        export_keras(trained, tuilab.folder / "out.keras")
    assert not list(tuilab.folder.glob("*.keras"))
