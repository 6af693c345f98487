"""Many runs at once, and many who follow them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.conftest import LONG, Studio, end_soon, over, training, wait
from tuilab.experiment.load import load_experiment
from tuilab.experiment.save import to_toml
from tuilab.runs import launch
from tuilab.runs.directory import create_run
from tuilab.runs.reader import following

RUNS, READERS = 20, 4
SECONDS = 5.0


SHARING = """
import time
from tuilab.engine.trainer import Trainer
train_batch = Trainer.train_batch
def sharing(trainer, *arguments, **options):
    time.sleep(0.02)
    return train_batch(trainer, *arguments, **options)
Trainer.train_batch = sharing
"""
"""So that twenty workers leave the processors to the readers, as they would have one each."""


def start_reader(studio: Studio) -> subprocess.Popen[str]:
    reader = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("watching.py")), str(studio.tuilab.runs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=studio.tuilab.environment(),
    )
    studio.started.append(reader)
    return reader


def test_twenty_runs_and_four_readers(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = to_toml(load_experiment(str(studio.model(LONG.replace("samples = 2000", "samples = 400")))))
    monkeypatch.setattr(launch, "PROGRAM", SHARING + launch.PROGRAM)
    monkeypatch.setenv("TUILAB_RUNS", str(studio.tuilab.runs))
    runs, workers, readers = [], [], []
    for number in range(RUNS):  # one after another: a worker has ten seconds to begin, and there may be two cores
        runs.append(create_run(studio.tuilab.runs, f"run-{number}", experiment))
        workers.append(launch.launch(runs[-1]))
        wait(lambda: training(runs[-1]))
        if not readers:
            readers += [start_reader(studio) for _ in range(READERS)]
    time.sleep(SECONDS)
    assert all(map(training, runs)), "all at once"
    for run in runs:
        end_soon(run)
    for run, worker in zip(runs, workers, strict=True):
        assert worker.process.wait(60) == 0, worker.complaints()
        over(run)
    watched = []
    for reader in readers:
        stdout, stderr = reader.communicate(timeout=60)
        assert reader.returncode == 0, stderr
        watched.append(json.loads(stdout))
    print([(one["looks"], one["longest"]) for one in watched])
    for run in runs:
        with following(run) as following_run:
            status = following_run.status()
            counts = "SELECT sum(count), max(bins.step) FROM bins JOIN series ON id = series WHERE name = 'loss'"
            assert following_run.connection.execute(counts).fetchone() == (status.step, status.step)
            epochs = [epoch.epoch for epoch in following_run.epochs()]
        assert epochs == list(range(1, status.epochs + 1))
        for one in watched:
            assert one["epochs"][run.name] == epochs
        assert "locked" not in (run.path / "worker.log").read_text()
