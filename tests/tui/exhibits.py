"""Runs with the same numbers on every machine and at every time, and a lab that shows them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tuilab.engine.events import EpochDone, LayersSeen, StepsDone, TrainingStarted
from tuilab.engine.statistics import LayerState
from tuilab.experiment.load import load_experiment
from tuilab.experiment.save import to_toml
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.notes import add_tags, write_note
from tuilab.runs.reader import overview
from tuilab.runs.recorder import Recorder

NOON = 1_773_489_600.0
"""The 14th of March 2026, 12:00 in Greenwich: now, for all that is shown."""
STEPS, BATCH = 36, 32
"""Steps of an epoch, and samples of a step."""
SECONDS_A_STEP = 1 / 1536
LAYERS = ("dense_1", "dense_2", "dropout_3", "dense_4")
FINISHED, STOPPED, RUNNING, KILLED = (
    "0314-digits-mlp-k3f",
    "0314-digits-mlp-b8t",
    "0314-three-layers-x9d",
    "0312-vanishing-sigmoid-q2m",
)
THREE_LAYERS = """\
name = "three-layers"
seed = 7

[data]
dataset = "digits"

[[layers]]
type = "dense"
units = 64
activation = "sigmoid"

[[layers]]
type = "dense"
units = 64

[[layers]]
type = "dropout"
rate = 0.2

[[layers]]
type = "dense"
units = 10
activation = "softmax"

[training]
epochs = 40
loss = "categorical_crossentropy"
optimizer = { type = "adam", learning_rate = 0.001 }
metrics = ["accuracy"]
"""


@dataclass
class Clock:
    """Takes the place of time.time, from which everything that is shown has its times."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


class Load:
    """What a process asks of its machine, always the same."""

    def now(self) -> dict[str, float]:
        return {"cpu_percent": 98.0, "memory_bytes": 184e6}


@dataclass
class Writer:
    """Writes a training as a worker would, of a network that learns at a given pace."""

    run: RunDirectory
    clock: Clock
    pace: float
    epochs: int
    rate: float

    def write(self, epochs: int, extra_steps: int, end: tuple[str, str] | None, size: float) -> None:
        """Let so many epochs and steps pass, and end in a state, if at all; the folder takes so many bytes."""
        status = overview(self.run).status.model_copy(update={"pid": os.getpid()})
        with closing(Recorder(self.run.path, status)) as recorder:
            recorder.loads = Load()  # type: ignore[assignment]
            recorder.record(TrainingStarted("cpu", 17_226, self.epochs, STEPS, STEPS * BATCH))
            recorder.tell("state", "running")
            for epoch in range(1, epochs + 2):
                steps = STEPS if epoch <= epochs else extra_steps
                for step in range((epoch - 1) * STEPS + 1, (epoch - 1) * STEPS + steps + 1):
                    self._step(recorder, epoch, step)
                if epoch <= epochs:
                    self._epoch(recorder, epoch)
                if epoch % 10 == 0:
                    recorder.tell("checkpoint", f"checkpoint after step {epoch * STEPS:,}")
            if end is not None:
                self._end(recorder, *end)
            recorder.write()
        content = sum(path.stat().st_size for path in self.run.path.rglob("*") if path.is_file())
        with (self.run.path / "padding").open("wb") as file:  # SQLite's files are not as large everywhere
            file.truncate(max(int(size) - content, 0))

    def _loss(self, step: int) -> float:
        return 0.02 + 2.28 * math.exp(-step * self.pace) + 0.03 * math.sin(1.7 * step) * math.exp(-step * self.pace / 2)

    def _step(self, recorder: Recorder, epoch: int, step: int) -> None:
        self.clock.now += SECONDS_A_STEP
        if step % 12 == 1:
            recorder.record(LayersSeen(epoch, step, _layers(step)))
        loss = self._loss(step)
        results = {"loss": loss, "accuracy": math.exp(-loss)}
        recorder.record(StepsDone(epoch, step, (loss,), results, self.rate, step * BATCH, step * SECONDS_A_STEP))

    def _epoch(self, recorder: Recorder, epoch: int) -> None:
        step = epoch * STEPS
        loss = self._loss(step)
        validation = loss + 0.06 + 0.0008 * epoch + 0.01 * math.sin(epoch)
        results = {"loss": loss, "accuracy": math.exp(-loss)}
        held_out = {"val_loss": validation, "val_accuracy": math.exp(-validation)}
        recorder.record(
            EpochDone(epoch, step, results | held_out, self.rate, STEPS * SECONDS_A_STEP, 49_152.0, epoch % 3 == 0)
        )

    def _end(self, recorder: Recorder, state: str, reason: str) -> None:
        recorder.enter(state, reason)  # type: ignore[arg-type]
        if state == "finished":
            loss = self._loss(recorder.status.step)
            parts = {
                name: {"loss": loss + more, "accuracy": 0.99 - more}
                for name, more in {"train": 0.0, "validation": 0.0512, "test": 0.0143}.items()
            }
            recorder.update(**parts)


def _layers(step: int) -> tuple[LayerState, ...]:
    """Return a layer to which no gradient comes back, one most of whose units are dead, one that is nothing to learn,
    and one that does well."""
    swing = 1 + 0.3 * math.sin(step / 9)
    return (
        LayerState("dense_1", swing * 1e-1 * math.exp(-step / 55) + 3e-6, 8.1, 2e-6, 0.51, 0.02, None, 0.11),
        LayerState("dense_2", swing * 2e-2, 8.4 + step / 4000, 4e-4, 0.03, 0.1, min(0.03 + step / 900, 0.62), None),
        LayerState("dropout_3", None, None, None, 0.03, 0.1, None, None),
        LayerState("dense_4", swing * 9e-2, 3.9 + step / 3000, 1.3e-3, 0.1, 0.2, None, None),
    )


def write_runs(folder: Path, clock: Clock) -> None:
    """Write a finished run, a stopped one, one whose worker was killed, and one that goes on as long as it is held."""
    for name, begun, model, pace, epochs, rate, done, extra, end, size in (
        (KILLED, 2 * 86_400.0, "vanishing-sigmoid", 0.00002, 20, 0.1, 7, 12, None, 3.1e6),
        (STOPPED, 7_500.0, "digits-mlp", 0.004, 30, 0.0005, 12, 5, ("stopped", "asked to stop"), 12.4e6),
        (FINISHED, 4_200.0, "digits-mlp", 0.01, 30, 0.002, 30, 0, ("finished", ""), 12.4e6),
        (RUNNING, 95.0, "", 0.008, 40, 0.001, 21, 17, None, 8.3e6),
    ):
        clock.now = NOON - begun
        overrides = [f"training.optimizer.learning_rate={rate}"]
        text = to_toml(load_experiment(model, overrides)) if model else THREE_LAYERS
        run = create_run(folder, model or "three-layers", text)
        run = RunDirectory(run.path.rename(folder / name))
        with run.hold():
            Writer(run, clock, pace, epochs, rate).write(done, extra, end, size)
    add_tags(RunDirectory(folder / FINISHED), ["baseline"])
    write_note(RunDirectory(folder / FINISHED), "the rate of the paper; all else as it was")
    clock.now = NOON


@contextmanager
def exhibited(folder: Path) -> Iterator[Path]:
    """Give a folder with the runs; one of them is held, as a worker would."""
    with pytest.MonkeyPatch.context() as patch:  # not longer: this may last for many tests, and the clocks of others go
        clock = Clock()
        patch.setattr(time, "time", clock)
        write_runs(folder, clock)
    with RunDirectory(folder / RUNNING).hold():
        yield folder
