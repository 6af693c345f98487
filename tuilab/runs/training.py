"""One training with its run folder: created before the first step, completed after the last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.samples import Data, Scaling, Split
from tuilab.engine.batches import Batches
from tuilab.engine.device import choose_device
from tuilab.engine.events import Event, TrainingDone
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
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.weights import load_weights, save_weights
from tuilab.text import clean_text

WEIGHTS = "weights.safetensors"


class RecordedTraining:
    """A training that leaves a run folder behind, or nothing where the folder cannot be completed."""

    def __init__(self, experiment: Experiment, data: Data, folder: Path) -> None:
        self.trainer = Trainer(experiment, data, choose_device(experiment.training.device))
        self.run = create_run(
            folder,
            experiment.name,
            {
                "experiment.toml": to_toml(experiment),
                "data.json": json.dumps(
                    {"info": data.info.to_dict(), "scaling": data.scaling.to_dict() if data.scaling else None}, indent=1
                ),
            },
        )
        self.result: dict[str, Any] = {}

    def events(self) -> Iterator[Event]:
        """Train, hand every event on, and write weights and results at the end."""
        try:
            for event in self.trainer.run():
                if isinstance(event, TrainingDone):
                    self._complete(event)
                yield event
        except BaseException:
            if not self.result:
                self.run.discard()
            raise

    def _complete(self, done: TrainingDone) -> None:
        trainer = self.trainer
        best = self._save_best()
        last = self._save(done.step)
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
            "best_checkpoint": best or last,
            "reason": done.reason,
            **{name: finite(trainer.evaluate(split)) if split else None for name, split in parts.items()},
        }
        history = [{"epoch": epoch.epoch, **finite(epoch.results)} for epoch in trainer.history]
        self.run.write_json("result.json", {**result, "history": history})
        self.result = result

    def _save(self, step: int) -> str:
        network = self.trainer.network
        return self.run.write_checkpoint(step, {WEIGHTS: lambda path: save_weights(network, path)}).name

    def _save_best(self) -> str | None:
        """Keep the weights of the best epoch; None where the training ended with them anyway."""
        trainer, xp = self.trainer, self.trainer.device.ops.xp
        values = trainer.network.arena.values
        if not trainer.best.epoch or xp.array_equal(values, trainer.best_values):
            return None
        final = values.copy()
        xp.copyto(values, trainer.best_values)
        name = self._save(trainer.history[trainer.best.epoch - 1].step)
        xp.copyto(values, final)
        return name


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
        load_weights(self.network, run.checkpoint(best) / WEIGHTS)

    def predict(self, features: HostArray) -> HostArray:
        """Return the outputs for features as the data set stores them: (n, …) → (n, units)."""
        return predict(self.network, features, self.scaling)

    def evaluate(self, split: Split) -> dict[str, float]:
        """Return loss and metrics on one part of the data."""
        network, metrics = self.network, self.experiment.training.metrics
        batches = Batches(network.ops, split, self.scaling, network.plan.input_shape, network.batch_size, network.dtype)
        return evaluate(network, batches, Measures(network.ops, metrics, network.plan.outputs))
