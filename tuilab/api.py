"""For notebooks and scripts: load an experiment, train it, get the history and the network.

import tuilab

trained = tuilab.train("iris-8-8-3", "training.epochs=50")
trained.results["test"]["accuracy"]
trained.history["val_loss"]
trained.predict(features)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.samples import Data
from tuilab.data.load import load as load_data
from tuilab.engine.device import choose_device
from tuilab.engine.events import EpochDone, Event, LayersSeen, StepsDone, TrainingDone
from tuilab.engine.failures import device_failures_told
from tuilab.engine.inference import predict
from tuilab.engine.network import Network
from tuilab.engine.trainer import Trainer
from tuilab.errors import DivergedError
from tuilab.experiment.document import Experiment
from tuilab.experiment.load import load_experiment

__all__ = ["EpochDone", "LayersSeen", "StepsDone", "Trained", "load", "train"]


@dataclass(frozen=True)
class Trained:
    """An experiment after its training."""

    experiment: Experiment
    data: Data
    network: Network
    history: dict[str, list[float]]
    """loss, metrics and both on the validation part (`val_…`) by name, one number an epoch."""
    results: dict[str, dict[str, float]]
    """Loss and metrics of the final network on `train`, `validation` and `test`, those that there are."""

    def predict(self, features: HostArray) -> HostArray:
        """Return the network's outputs for features as the data set stores them: (n, …) → (n, units)."""
        return predict(self.network, features, self.data.scaling)


def load(model: str | Path, *overrides: str) -> Experiment:
    """Return the experiment of a .toml file or a ready-made one, with `key=value` overrides as for `--set`.

    Raises ExperimentError with every problem in it, UsageError for an unknown name.
    """
    return load_experiment(model, overrides)


def train(
    model: Experiment | str | Path,
    *overrides: str,
    data: Data | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Trained:
    """Train an experiment in this process and return the outcome; nothing is written to disk.

    `data` replaces what the experiment names; `on_event` is called with everything that happens. Raises DivergedError
    when the loss becomes NaN or infinite, ExperimentError and DataError for what cannot be trained, DeviceError
    where the device is not there or fails.
    """
    experiment = load(model, *overrides) if isinstance(model, (str, Path)) else model
    if data is None:
        data = load_data(experiment.data, experiment.seed)
    with device_failures_told():
        trainer = Trainer(experiment, data, choose_device(experiment.training.device))
        for event in trainer.run():
            if on_event is not None:
                on_event(event)
            if isinstance(event, TrainingDone) and event.status == "diverged":
                raise DivergedError(event.reason)
        labels = trainer.history[0].results if trainer.history else ()
        history = {label: [epoch.results[label] for epoch in trainer.history] for label in labels}
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        results = {name: trainer.evaluate(split) for name, split in parts.items() if split}
    return Trained(experiment, data, trainer.network, history, results)
