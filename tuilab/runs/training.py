"""One training with its run folder: created before the first step, completed after the last, gone on with later."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from tuilab import __version__
from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.samples import Data, Scaling, Split
from tuilab.engine.batches import Batches
from tuilab.engine.checkpoint import restore
from tuilab.engine.device import choose_device, devices
from tuilab.engine.events import EpochDone, Event, TrainingDone
from tuilab.engine.inference import predict
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.measures import Measures, evaluate
from tuilab.engine.network import Network
from tuilab.engine.trainer import Trainer
from tuilab.errors import UsageError
from tuilab.experiment.document import Experiment
from tuilab.experiment.load import load_experiment
from tuilab.experiment.plan import plan
from tuilab.experiment.save import to_toml
from tuilab.runs.checkpoints import BEST, WEIGHTS, load_checkpoint, resumable_checkpoints, save_checkpoint
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.weights import load_weights
from tuilab.text import clean_text

SECONDS_BETWEEN_CHECKPOINTS = 30.0


class RecordedTraining:
    """A training with its run folder: begun anew, or gone on with."""

    def __init__(self, run: RunDirectory, trainer: Trainer) -> None:
        self.run = run
        self.trainer = trainer
        self.resumed = trainer.step > 0
        self.result: dict[str, Any] = {}
        self.fingerprint = fingerprint()

    @classmethod
    def start(cls, experiment: Experiment, data: Data, folder: Path) -> RecordedTraining:
        """Return the training of a new run in `folder`."""
        trainer = Trainer(experiment, data, choose_device(experiment.training.device))
        facts = {"info": data.info.to_dict(), "scaling": data.scaling.to_dict() if data.scaling else None}
        files = {"experiment.toml": to_toml(experiment), "data.json": json.dumps(facts, indent=1)}
        return cls(create_run(folder, experiment.name, files), trainer)

    @classmethod
    def resume(cls, run: RunDirectory, experiment: Experiment, data: Data) -> tuple[RecordedTraining, list[str]]:
        """Return the training of a run that goes on from its newest good checkpoint, and what there is to say about it.

        Raises UsageError where there is nothing to go on from or to, or `experiment` does not fit the checkpoint.
        """
        trainer = Trainer(experiment, data, choose_device(experiment.training.device))
        said = []
        for folder in resumable_checkpoints(run):
            try:
                checkpoint, before = load_checkpoint(folder)
            except ValueError as error:
                said.append(f"{folder.name} is left out: {error}")
                continue
            try:
                restore(trainer, checkpoint)
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(f"run {clean_text(run.name)} cannot go on with these settings: {error}") from None
            break
        else:
            hint = f"start anew with: tuilab train {run.experiment_file}"
            raise UsageError("\n".join([*said, f"run {clean_text(run.name)} has no checkpoint to go on from; {hint}"]))
        complete = (run.path / "result.json").exists()
        if trainer.epoch >= experiment.training.epochs and complete:
            wanted = f"--set training.epochs={2 * experiment.training.epochs}"
            raise UsageError(f"run {clean_text(run.name)} has done all its epochs; more with {wanted}")
        training = cls(run, trainer)
        changed = [name for name, value in training.fingerprint.items() if before.get(name) != value]
        if changed:
            said.append(f"numbers may differ from a run without interruption: other {', '.join(changed)}")
        return training, said

    def events(self) -> Iterator[Event]:
        """Train, hand every event on, write checkpoints on the way, weights and results at the end."""
        saved = perf_counter()
        try:
            with self.run.hold():
                self.run.sweep()
                if self.resumed:
                    self.run.rewind(self.trainer.step)
                    self.run.write_text("experiment.toml", to_toml(self.trainer.experiment))
                for event in self.trainer.run():
                    if isinstance(event, TrainingDone):
                        self._complete(event)
                    elif isinstance(event, EpochDone) and perf_counter() - saved >= SECONDS_BETWEEN_CHECKPOINTS:
                        save_checkpoint(self.run, self.trainer, self.fingerprint)
                        saved = perf_counter()
                    yield event
        except BaseException:
            if not self.resumed and not self.run.checkpoints():
                self.run.discard()
            raise

    def _complete(self, done: TrainingDone) -> None:
        trainer = self.trainer
        save_checkpoint(self.run, trainer, self.fingerprint, resumable=done.status != "diverged")
        data = trainer.data
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        result = {
            "run": self.run.name,
            "status": done.status,
            "device": trainer.device.name,
            "parameters": trainer.plan.parameter_count,
            "epochs": done.epoch,
            "steps": done.step,
            "seconds": round(done.seconds, 3),
            "samples_per_second": round(trainer.samples / done.seconds, 1) if done.seconds else None,
            "best_epoch": trainer.best.epoch or None,
            "reason": done.reason,
            **{name: finite(trainer.evaluate(split)) if split else None for name, split in parts.items()},
        }
        history = [{"epoch": epoch.epoch, **finite(epoch.results)} for epoch in trainer.history]
        self.run.write_json("result.json", {**result, "history": history})
        self.result = result


def fingerprint() -> dict[str, Any]:
    """Return what must be the same for a resumed training to give the same bytes."""
    import numpy as np

    threads = [os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "tuilab": __version__,
        "NumPy": np.__version__,
        "processor": devices()[0].description.partition(",")[0],
        "number of threads": f"{cores} cores, {' '.join(threads).strip() or 'all'}",
    }


def finite(results: Any) -> dict[str, float | None]:
    """Return results as JSON can hold them: null for NaN and infinity."""
    return {name: value if abs(value) < float("inf") else None for name, value in results.items()}


class TrainedRun:
    """A finished run, ready to evaluate and predict, with its final weights or those of its best epoch."""

    def __init__(self, run: RunDirectory, best: bool = False) -> None:
        self.run = run
        self.experiment = load_experiment(run.experiment_file)
        facts = run.read_json("data.json")
        try:
            self.info = DataInfo.from_dict(facts["info"])
            self.scaling = Scaling.from_dict(facts["scaling"]) if facts["scaling"] else None
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"{clean_text(str(run.path / 'data.json'))}: is damaged or not a file of a run") from None
        self.network = Network(
            NumpyKernels(),
            plan(self.experiment, self.info),
            self.experiment.training.loss,
            self.experiment.data.batch_size,
            self.experiment.training.dtype,
            self.experiment.seed,
        )
        folder = run.checkpoint()
        load_weights(self.network, folder / (BEST if best and (folder / BEST).exists() else WEIGHTS))

    def predict(self, features: HostArray) -> HostArray:
        """Return the outputs for features as the data set stores them: (n, …) → (n, units)."""
        return predict(self.network, features, self.scaling)

    def evaluate(self, split: Split) -> dict[str, float]:
        """Return loss and metrics on one part of the data."""
        network, metrics = self.network, self.experiment.training.metrics
        batches = Batches(network.ops, split, self.scaling, network.plan.input_shape, network.batch_size, network.dtype)
        return evaluate(network, batches, Measures(network.ops, metrics, network.plan.outputs))
