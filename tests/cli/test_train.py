"""`tuilab train`, `evaluate` and `predict` as a user meets them: real processes, real signals, a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import Tuilab

LONG = ("train", "digits-mlp", "--epochs", "100000")


def test_from_models_to_a_prediction(tuilab: Tuilab) -> None:
    """The way that the messages lead: models → train → evaluate → sample → predict."""
    assert "iris-8-8-3" in tuilab("models").stdout
    trained = tuilab("train", "iris-8-8-3", "--json").json
    assert trained["status"] == "finished"
    assert trained["test"]["accuracy"] >= 0.93
    evaluated = tuilab("evaluate", "last", "--json").json
    assert evaluated == {part: trained[part] for part in ("run", "train", "validation", "test")}
    tuilab("datasets", "sample", "iris", "samples.csv", "--count", "30")
    predicted = tuilab("predict", trained["run"], "samples.csv", "--json").json
    assert len(predicted) == 30
    assert all(row["prediction"] in ("setosa", "versicolor", "virginica") for row in predicted)
    assert all(sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5) for row in predicted)
    assert all(row["prediction"] == max(row["probabilities"], key=row["probabilities"].get) for row in predicted)
    shown = tuilab("predict", trained["run"], "samples.csv").stdout.splitlines()
    assert len(shown) == 31
    assert predicted[0]["prediction"] in shown[1]


def test_json_has_the_promised_form(tuilab: Tuilab) -> None:
    done = tuilab("train", "iris-8-8-3", "--epochs", "2", "--json")
    result = done.json
    assert list(result) == [
        *("run", "status", "device", "parameters", "epochs", "steps", "seconds", "samples_per_second"),
        *("best_epoch", "reason", "train", "validation", "test"),
    ]
    assert (result["device"], result["parameters"], result["epochs"], result["steps"]) == ("cpu", 139, 2, 28)
    assert "epoch 2/2" in done.stderr


def test_a_run_holds_experiment_weights_and_results(tuilab: Tuilab) -> None:
    result = tuilab("train", "iris-8-8-3", "--epochs", "2", "--seed", "5", "--json").json
    run = tuilab.runs / result["run"]
    experiment = tomllib.loads((run / "experiment.toml").read_text())
    assert (experiment["seed"], experiment["training"]["epochs"]) == (5, 2)
    assert experiment["training"]["optimizer"]["beta_1"] == 0.9, "defaults are written out"
    weights = load_file(run / "checkpoints" / "step-000028" / "weights.safetensors")
    assert {name: value.shape for name, value in weights.items()} == {
        "dense_1/kernel": (4, 8),
        "dense_1/bias": (8,),
        "dense_2/kernel": (8, 8),
        "dense_2/bias": (8,),
        "dense_3/kernel": (8, 3),
        "dense_3/bias": (3,),
    }
    assert [epoch.epoch for epoch in tuilab.epochs(run.name)] == [1, 2]
    status = tuilab.overview(run.name).status
    assert (status.state, status.train, status.test) == ("finished", result["train"], result["test"])
    assert tuilab.run_names() == [result["run"]]


def test_the_best_epoch_is_kept(tuilab: Tuilab) -> None:
    result = tuilab("train", "overfit", "--epochs", "60", "--json").json
    assert result["best_epoch"] < 60
    history = [epoch.results["val_loss"] for epoch in tuilab.epochs(result["run"])]
    lowest = min(loss for loss in history if loss is not None)
    assert history[result["best_epoch"] - 1] == lowest
    best = tuilab("evaluate", "last", "--best", "--json").json
    assert best["validation"]["loss"] == pytest.approx(lowest)
    assert tuilab("evaluate", "last", "--json").json["validation"]["loss"] > lowest


def test_averaged_weights_are_what_is_kept(tuilab: Tuilab) -> None:
    """The last epoch is the best one, and the training ends with other weights than it had."""
    averaged = ("--set", "training.optimizer.use_ema=true", "--epochs", "3")
    result = tuilab("train", "digits-mlp", *averaged, "--json").json
    assert result["best_epoch"] == 3
    assert tuilab("evaluate", "last", "--json").json["test"] == result["test"]
    assert tuilab("evaluate", "last", "--best", "--json").json["test"] != result["test"]
    assert tuilab("resume", "last", "--set", "training.epochs=4", "--json").json["epochs"] == 4


def test_a_run_can_be_trained_again_from_its_own_file(tuilab: Tuilab) -> None:
    first = tuilab("train", "iris-8-8-3", "--epochs", "3", "--json").json
    again = tuilab("train", tuilab.runs / first["run"] / "experiment.toml", "--json").json
    assert again["run"] != first["run"]
    assert [again[part] for part in ("train", "validation", "test")] == [
        first[part] for part in ("train", "validation", "test")
    ]


def test_settings_change_the_experiment(tuilab: Tuilab) -> None:
    changed = ("--set", "layers[0].units=5", "--set", "training.optimizer.learning_rate=0.5", "--epochs", "1")
    result = tuilab("train", "iris-8-8-3", *changed, "--json").json
    assert result["parameters"] == 4 * 5 + 5 + 5 * 8 + 8 + 8 * 3 + 3
    experiment = tomllib.loads((tuilab.runs / result["run"] / "experiment.toml").read_text())
    assert experiment["training"]["optimizer"]["learning_rate"] == {"type": "constant", "learning_rate": 0.5}


def test_a_table_of_ones_own(tuilab: Tuilab) -> None:
    generator = np.random.default_rng(3)
    rows = [(a, b, "yes" if a + b > 1 else "no") for a, b in generator.random((300, 2))]
    tuilab.write("own.csv", "a,b,answer\n" + "\n".join(f"{a:.4f},{b:.4f},{answer}" for a, b, answer in rows))
    tuilab.write(
        "own.toml",
        """
        name = "own"
        [data]
        path = "own.csv"
        target = "answer"
        [[layers]]
        type = "dense"
        units = 1
        activation = "sigmoid"
        [training]
        epochs = 60
        loss = "binary_crossentropy"
        optimizer = { type = "adam", learning_rate = 0.05 }
        metrics = ["accuracy"]
        """,
    )
    result = tuilab("train", "own.toml", "--json").json
    assert result["test"]["accuracy"] >= 0.9
    tuilab.write("new.csv", "b,a\n0.9,0.95\n0.05,0.1\n")
    predicted = tuilab("predict", "last", "new.csv", "--json").json
    assert [row["prediction"] for row in predicted] == ["yes", "no"]
    moved = tuilab.folder / "elsewhere"
    moved.mkdir()
    (tuilab.folder / "own.csv").rename(moved / "own.csv")
    assert "own.csv" in tuilab("evaluate", "last", code=1).stderr


def test_regression_and_several_labels(tuilab: Tuilab) -> None:
    tuilab("train", "diabetes-regression", "--epochs", "30")
    tuilab("datasets", "sample", "diabetes", "patients.csv")
    predicted = tuilab("predict", "last", "patients.csv", "--json").json
    assert all(list(row) == ["prediction"] and 0 < row["prediction"] < 400 for row in predicted)
    tuilab("train", "multilabel", "--epochs", "30")
    tuilab("datasets", "sample", "multilabel", "days.csv")
    labelled = tuilab("predict", "last", "days.csv", "--json").json
    assert all(
        row["prediction"] == [name for name, value in row["probabilities"].items() if value > 0.5] for row in labelled
    )


def test_images(tuilab: Tuilab) -> None:
    tuilab("train", "digits-mlp", "--epochs", "5")
    tuilab("datasets", "sample", "digits", "digits.npy", "--count", "50")
    assert np.load(tuilab.folder / "digits.npy").shape == (50, 8, 8, 1)
    predicted = tuilab("predict", "last", "digits.npy", "--json").json
    assert {row["prediction"] for row in predicted} <= set("0123456789")
    assert len(predicted) == 50


def test_divergence_ends_with_3_and_names_the_layer(tuilab: Tuilab) -> None:
    done = tuilab("train", "exploding", "--json", code=3)
    assert done.json["status"] == "diverged"
    assert re.search(r"dense_\d \(layers\[\d\]\)", done.json["reason"])
    assert done.json["test"]["accuracy"] is not None, "the weights that are kept are finite"
    tuilab("evaluate", done.json["run"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_trained(tuilab: Tuilab, number: signal.Signals) -> None:
    process = tuilab.start(*LONG, "--json")
    assert process.stderr is not None
    while "epoch 1/" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 4, stderr
    assert "Traceback" not in stderr
    result = json.loads(stdout)
    assert result["status"] == "stopped"
    assert number.name in result["reason"]
    assert result["test"] is None, "whoever stops a training does not want to wait"
    assert tuilab("evaluate", "last", "--json").json["train"]["accuracy"] > 0.3


def _on_a_terminal(tuilab: Tuilab, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run the command on a pseudo-terminal, and return its exit code and all it wrote."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tuilab", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=tuilab.folder,
        env=tuilab.environment(**{"TERM": "xterm-256color", "LINES": "24", **environment}),
    )
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end was closed
            break
        if not part:
            break
        written += part
    os.close(leader)
    return process.wait(timeout=60), written.decode()


def test_a_terminal_gets_a_bar_and_the_next_steps(tuilab: Tuilab) -> None:
    code, text = _on_a_terminal(tuilab, "train", "digits-mlp", "--epochs", "8")
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "━" in text
    assert re.search(r"epoch 8/8 ━+.*loss \d\.\d{4}.*samples/s.*\d:\d\d left", plain)
    assert "tuilab predict" in plain
    assert "tuilab datasets sample digits samples.npy" in plain


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escape_codes_where_nobody_wants_them(tuilab: Tuilab, environment: dict[str, str]) -> None:
    code, text = _on_a_terminal(tuilab, "train", "iris-8-8-3", "--epochs", "2", **environment)
    assert code == 0
    assert "\x1b" not in text
    assert "epoch 2/2" in text


def test_weights_do_not_depend_on_what_else_was_trained(tuilab: Tuilab) -> None:
    """The same seed gives the same bytes twice, from process to process."""

    def weights() -> bytes:
        run = tuilab("train", "digits-mlp", "--epochs", "2", "--json").json["run"]
        (file,) = (tuilab.runs / run / "checkpoints").glob("*/weights.safetensors")
        return file.read_bytes()

    assert weights() == weights()


def test_mnist_from_the_shared_files(tuilab: Tuilab) -> None:
    data = os.environ.get("TUILAB_DATA", "")
    if not (Path(data) / "mnist").is_dir():
        pytest.skip("needs MNIST: set TUILAB_DATA to a folder that holds mnist/")
    result = tuilab("train", "mnist-perceptron", "--epochs", "2", "--json", "--data-dir", data).json
    assert result["test"]["accuracy"] > 0.9
    without = tuilab("train", "mnist-perceptron", "--data-dir", tuilab.folder / "nothing", code=1)
    assert "tuilab datasets fetch mnist" in without.stderr
