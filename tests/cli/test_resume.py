"""`tuilab resume`: a run that was interrupted ends with the bytes of one that was not."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Tuilab

MODEL = """
name = "own"
seed = 4
[data]
dataset = { type = "moons", samples = 4000, noise = 0.2 }
batch_size = 4
[[layers]]
type = "dense"
units = 32
activation = "relu"
[[layers]]
type = "batch_normalization"
[[layers]]
type = "dropout"
rate = 0.2
[[layers]]
type = "dense"
units = 1
activation = "sigmoid"
[training]
epochs = 8
loss = "binary_crossentropy"
metrics = ["accuracy", "auc"]
optimizer = { type = "adam", learning_rate = { type = "cosine_decay", initial_learning_rate = 0.01 } }
early_stopping = { monitor = "val_loss", patience = 6 }
"""


def weights(tuilab: Tuilab, run: str) -> bytes:
    """The final weights of a run."""
    folders = sorted((tuilab.runs / run / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    return (folders[-1] / "weights.safetensors").read_bytes()


def interrupt(tuilab: Tuilab, model: Path, number: signal.Signals, after: str) -> str:
    """Train `model`, send a signal a little after stderr says `after`, and return the run's name."""
    before = set(tuilab.run_names())
    process = tuilab.start("train", model)
    assert process.stderr is not None
    while after not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (4 if number == signal.SIGINT else -number)
    (run,) = set(tuilab.run_names()) - before
    return run


def test_an_interrupted_run_ends_as_if_nothing_had_happened(tuilab: Tuilab) -> None:
    model = tuilab.write("own.toml", MODEL)
    undisturbed = tuilab("train", model, "--json").json
    for _ in range(5):
        run = interrupt(tuilab, model, signal.SIGINT, "epoch 1/")
        stopped = json.loads((tuilab.runs / run / "result.json").read_text())
        assert stopped["status"] == "stopped"
        if stopped["steps"] % 720:
            break
    assert stopped["steps"] % 720, "in the middle of an epoch"
    done = tuilab("resume", run, "--json")
    assert f"after step {stopped['steps']}" in done.stderr
    for key in ("status", "epochs", "steps", "best_epoch", "train", "validation", "test"):
        assert done.json[key] == undisturbed[key], key
    assert weights(tuilab, run) == weights(tuilab, undisturbed["run"])
    histories = [
        json.loads((tuilab.runs / name / "result.json").read_text())["history"] for name in (run, undisturbed["run"])
    ]
    assert histories[0] == histories[1]
    assert "has done all its epochs" in tuilab("resume", run, code=2).stderr


def test_a_finished_run_is_extended(tuilab: Tuilab) -> None:
    constant = MODEL.replace('{ type = "cosine_decay", initial_learning_rate = 0.01 }', "0.01")
    whole = tuilab("train", tuilab.write("whole.toml", constant.replace("epochs = 8", "epochs = 5")), "--json").json
    part = tuilab("train", tuilab.write("part.toml", constant.replace("epochs = 8", "epochs = 3")), "--json").json
    more = tuilab("resume", part["run"], "--set", "training.epochs=5", "--json").json
    assert more["test"] == whole["test"]
    assert weights(tuilab, part["run"]) == weights(tuilab, whole["run"])
    assert "epochs = 5" in (tuilab.runs / part["run"] / "experiment.toml").read_text()


def test_a_change_that_does_not_fit_is_refused_by_name(tuilab: Tuilab) -> None:
    run = tuilab("train", tuilab.write("own.toml", MODEL), "--epochs", "1", "--json").json["run"]
    before = weights(tuilab, run)
    for change, what in {
        "layers[0].units=16": "layers: dense_1/kernel is [2, 16] and was [2, 32]",
        "training.optimizer=sgd": "training.optimizer is sgd and was adam",
        "data.batch_size=8": "data.batch_size is 8 and was 4",
        "training.metrics=[]": "training.metrics is [] and was ['accuracy', 'auc']",
        "seed=5": "seed is 5 and was 4",
        "data.dataset.noise=0.1": "data.dataset is",
    }.items():
        done = tuilab("resume", run, "--set", "training.epochs=3", "--set", change, code=2)
        assert "cannot go on with these settings" in done.stderr
        assert what in done.stderr
    assert weights(tuilab, run) == before


def test_a_damaged_checkpoint_is_left_out(tuilab: Tuilab) -> None:
    model = tuilab.write("own.toml", MODEL.replace("epochs = 8", "epochs = 2"))
    run = tuilab("train", model, "--json").json["run"]
    tuilab("resume", run, "--set", "training.epochs=3")
    newest = tuilab.runs / run / "checkpoints" / "step-002160"
    whole = (newest / "training.safetensors").read_bytes()
    (newest / "training.safetensors").write_bytes(whole[:-7] + b"damaged")
    done = tuilab("resume", run, "--set", "training.epochs=4", "--json")
    assert "step-002160 is left out: training.safetensors is damaged" in done.stderr
    assert "after step 1440" in done.stderr
    assert done.json["epochs"] == 4
    assert not newest.exists(), "what is damaged does not stay"
    for folder in (tuilab.runs / run / "checkpoints").iterdir():
        (folder / "training.json").write_text("[]") if (folder / "training.json").exists() else None
    refused = tuilab("resume", run, "--set", "training.epochs=5", code=2)
    assert "is not a checkpoint of a training" in refused.stderr
    assert "start anew with: tuilab train" in refused.stderr


def test_two_processes_never_train_one_run(tuilab: Tuilab) -> None:
    endless = MODEL.replace("epochs = 8", "epochs = 1").replace("early_stopping", "# early_stopping")
    run = tuilab("train", tuilab.write("own.toml", endless), "--json").json["run"]
    first = tuilab.start("resume", run, "--set", "training.epochs=1000")
    assert first.stderr is not None
    while "samples, on cpu" not in first.stderr.readline():
        assert first.poll() is None
    done = tuilab("resume", run, "--set", "training.epochs=1000", code=2)
    assert f"is being trained already, by process {first.pid}" in done.stderr
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    assert tuilab("resume", run, "--set", "training.epochs=2", "--json").json["epochs"] == 2


def test_a_run_that_died_before_its_results_were_written_gets_them(tuilab: Tuilab) -> None:
    stopping = MODEL.replace("patience = 6", "patience = 1, min_delta = 0.3").replace("epochs = 8", "epochs = 20")
    done = tuilab("train", tuilab.write("own.toml", stopping), "--json").json
    assert done["epochs"] < 20, "stopped early"
    (tuilab.runs / done["run"] / "result.json").unlink()
    again = tuilab("resume", done["run"], "--json").json
    for key in ("status", "reason", "epochs", "steps", "train", "validation", "test"):
        assert again[key] == done[key], key


@pytest.mark.parametrize("settings", [[], ["--set", "training.epochs=3"]])
def test_nothing_to_go_on_from(tuilab: Tuilab, settings: list[str]) -> None:
    run = interrupt(tuilab, tuilab.write("own.toml", MODEL), signal.SIGKILL, "epoch 1/")
    assert "no checkpoint to go on from" in tuilab("resume", run, *settings, code=2).stderr


KILLED = """
import sys
from tuilab.cli.main import main
from tuilab.runs import training
training.SECONDS_BETWEEN_CHECKPOINTS = 0
sys.argv = ["tuilab", *sys.argv[1:]]
main()
"""


def test_the_last_checkpoint_holds_the_final_weights(tuilab: Tuilab) -> None:
    """Also where one was written at the same step before the training ended with the weights of its best epoch."""
    model = tuilab.write("own.toml", MODEL.replace("patience = 6", "patience = 1, min_delta = 0.3"))
    process = tuilab.start("train", model, "--json", program=("-c", KILLED))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    result = json.loads(stdout)
    assert result["best_epoch"] < result["epochs"]
    assert tuilab("evaluate", "last", "--json").json["test"] == result["test"]


def test_a_run_that_is_killed_again_and_again_ends_as_if_nothing_had_happened(tuilab: Tuilab) -> None:
    """SIGKILL at random moments, also while a checkpoint is written after every epoch."""
    model = tuilab.write("own.toml", MODEL.replace("epochs = 8", "epochs = 12"))
    undisturbed = tuilab("train", model, "--json").json
    moments = random.Random(5)
    arguments, run, kills = ["train", str(model)], "", 0
    known = set(tuilab.run_names())
    while kills < 6:
        process = tuilab.start(*arguments, program=("-c", KILLED))
        assert process.stderr is not None
        while "epoch" not in (line := process.stderr.readline()):
            assert line or process.poll() is None
        time.sleep(moments.random() * 0.3)
        process.kill()
        process.communicate(timeout=60)
        kills += 1
        if not run:
            (run,) = set(tuilab.run_names()) - known
            arguments = ["resume", run]
        if (tuilab.runs / run / "result.json").exists():
            break
    result = tuilab.runs / run / "result.json"
    done = json.loads(result.read_text()) if result.exists() else tuilab("resume", run, "--json").json
    assert kills >= 2
    assert done["test"] == undisturbed["test"]
    assert weights(tuilab, run) == weights(tuilab, undisturbed["run"])
    assert not list((tuilab.runs / run).rglob("*.part")), "what the killed processes left is swept up"
