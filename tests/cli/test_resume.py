"""`tuilab resume`: a run that was interrupted ends with the bytes of one that was not."""

from __future__ import annotations

import json
import os
import signal
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


SLOWLY = """
import sys
from tuilab.runs import launch
launch.PROGRAM = sys.argv.pop(1) + launch.PROGRAM
from tuilab.cli.main import main
main()
"""
SLOW_STEPS = """
import os, time
from tuilab.engine.trainer import Trainer
train_batch = Trainer.train_batch
def slow(trainer, *arguments, **options):
    if os.path.exists("slow"):
        time.sleep(0.05)
    return train_batch(trainer, *arguments, **options)
Trainer.train_batch = slow
"""
"""A run takes minutes as long as there is a file `slow`, so that it cannot be over before the next command comes."""


def start(tuilab: Tuilab, model: Path) -> str:
    """Start a slow training in the background, and return the run's name once it has done its first steps."""
    tuilab.write("slow", "")
    process = tuilab.start(SLOW_STEPS, "train", model, "--detach", "--json", program=("-c", SLOWLY))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    run: str = json.loads(stdout)["run"]
    tuilab.wait_for(run, lambda seen: seen.status.step > 0)
    return run


def quicken(tuilab: Tuilab) -> None:
    """Let the training go on as fast as it can."""
    (tuilab.folder / "slow").unlink()


def kill(tuilab: Tuilab, run: str) -> None:
    """Kill the worker of a run, and wait until its end shows."""
    os.kill(tuilab.overview(run).status.pid, signal.SIGKILL)
    tuilab.wait_for(run, lambda seen: not seen.alive)


def facts(tuilab: Tuilab, run: str) -> list[object]:
    """What two trainings with the same numbers have in common."""
    return [(row.epoch, row.step, row.learning_rate, row.best, row.results) for row in tuilab.epochs(run)]


def test_an_interrupted_run_ends_as_if_nothing_had_happened(tuilab: Tuilab) -> None:
    model = tuilab.write("own.toml", MODEL)
    undisturbed = tuilab("train", model, "--json").json
    run = start(tuilab, model)
    tuilab("stop", run)
    stopped = tuilab.wait_for(run, lambda seen: not seen.alive)
    assert (stopped.state, stopped.reason) == ("stopped", "it was asked to stop")
    assert stopped.status.step % 720, "in the middle of an epoch"
    done = tuilab("resume", run, "--json")
    assert f"after step {stopped.status.step:,}" in done.stderr
    for key in ("status", "epochs", "steps", "best_epoch", "train", "validation", "test"):
        assert done.json[key] == undisturbed[key], key
    assert weights(tuilab, run) == weights(tuilab, undisturbed["run"])
    assert facts(tuilab, run) == facts(tuilab, undisturbed["run"])
    assert "has done all its epochs" in tuilab("resume", run, code=2).stderr
    assert tuilab.overview(run).state == "finished", "what was refused changes nothing"


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
    assert "after step 1,440" in done.stderr
    assert done.json["epochs"] == 4
    assert not newest.exists(), "what is damaged does not stay"
    for folder in (tuilab.runs / run / "checkpoints").iterdir():
        (folder / "training.json").write_text("[]") if (folder / "training.json").exists() else None
    refused = tuilab("resume", run, "--set", "training.epochs=5", code=2)
    assert "is not a checkpoint of a training" in refused.stderr
    assert "start anew with: tuilab train" in refused.stderr


def test_two_processes_never_train_one_run(tuilab: Tuilab) -> None:
    endless = MODEL.replace("epochs = 8", "epochs = 1000").replace("early_stopping", "# early_stopping")
    run = start(tuilab, tuilab.write("own.toml", endless))
    seen = tuilab.overview(run)
    done = tuilab("resume", run, code=2)
    assert f"is being trained already, by process {seen.status.pid}" in done.stderr
    assert tuilab.overview(run).state == "running"
    kill(tuilab, run)
    dead = tuilab.overview(run)
    assert (dead.state, "was killed" in dead.reason) == ("failed", True)
    assert tuilab("resume", run, "--set", "training.epochs=2", "--json").json["epochs"] == 2


def test_a_run_that_died_before_its_results_were_written_gets_them(tuilab: Tuilab) -> None:
    """The last checkpoint is there, the final state is not."""
    stopping = MODEL.replace("patience = 6", "patience = 1, min_delta = 0.3").replace("epochs = 8", "epochs = 20")
    model = tuilab.write("own.toml", stopping)
    done = tuilab("train", model, "--json").json
    assert done["epochs"] < 20, "stopped early"
    process = tuilab.start("train", model, "--json", program=("-c", DIES_AT_THE_END))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4, stderr
    assert "ended by SIGKILL" in stderr
    (run,) = set(tuilab.run_names()) - {done["run"]}
    assert tuilab.overview(run).state == "failed"
    again = tuilab("resume", run, "--json").json
    for key in ("status", "reason", "epochs", "steps", "train", "validation", "test"):
        assert again[key] == done[key], key


DIES_AT_THE_END = """
import sys
from tuilab.runs import launch
launch.PROGRAM = '''
import os, signal, sys
sys.path.append(sys.argv.pop(1))
from tuilab.engine.trainer import Trainer
Trainer.evaluate = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from tuilab.runs.worker import main
sys.exit(main(*sys.argv[1:]))
'''
from tuilab.cli.main import main
sys.argv = ["tuilab", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("settings", [[], ["--set", "training.epochs=3"]])
def test_a_run_without_a_checkpoint_begins_anew(tuilab: Tuilab, settings: list[str]) -> None:
    model = tuilab.write("own.toml", MODEL)
    run = start(tuilab, model)
    kill(tuilab, run)
    assert not (tuilab.runs / run / "checkpoints").exists()
    done = tuilab("resume", run, *settings, "--json").json
    assert done["test"] == tuilab("train", model, *settings, "--json").json["test"]
    assert [row.epoch for row in tuilab.epochs(run)] == list(range(1, done["epochs"] + 1))


def test_the_last_checkpoint_holds_the_final_weights(tuilab: Tuilab) -> None:
    """Also where one was written at the same step before the training ended with the weights of its best epoch."""
    model = tuilab.write("own.toml", MODEL.replace("patience = 6", "patience = 1, min_delta = 0.3"))
    result = tuilab("train", model, "--set", "training.checkpoint_every=1", "--json").json
    assert result["best_epoch"] < result["epochs"]
    assert tuilab("evaluate", "last", "--json").json["test"] == result["test"]
