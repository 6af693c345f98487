"""Follows one result over the epochs: the best so far, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tuilab.blocks.metrics import higher_is_better
from tuilab.errors import ExperimentError, Problem
from tuilab.experiment.document import EarlyStopping, Experiment


def check_monitors(experiment: Experiment, validation: bool) -> None:
    """Refuse to wait for results on a validation part that the data does not give."""
    training = experiment.training
    places = {
        "early_stopping": training.early_stopping,
        "optimizer.learning_rate": training.optimizer.learning_rate,
    }
    problems = [
        Problem(f"training.{place}.monitor", f'the data has no validation part: monitor = "{monitor[4:]}"')
        for place, settings in places.items()
        if (monitor := str(getattr(settings, "monitor", ""))).startswith("val_")
    ]
    if problems and not validation:
        raise ExperimentError(problems, experiment.name)


class Best:
    """The best epoch so far by one result."""

    def __init__(self, monitor: str, min_delta: float = 0.0) -> None:
        self.monitor = monitor
        self.sign = 1.0 if higher_is_better(monitor) else -1.0
        self.min_delta = min_delta
        self.value = math.nan
        self.epoch = 0

    def improved(self, epoch: int, results: Mapping[str, float]) -> bool:
        """Return whether this epoch is the best so far, and remember it if so."""
        value = results[self.monitor]
        better = math.isnan(self.value) or self.sign * (value - self.value) > self.min_delta
        if math.isnan(value) or not better:
            return False
        self.value, self.epoch = value, epoch
        return True


class Patience:
    """Early stopping: counts the epochs since the monitored result became better."""

    def __init__(self, settings: EarlyStopping) -> None:
        self.settings = settings
        self.best = Best(settings.monitor, settings.min_delta)

    def exhausted(self, epoch: int, results: Mapping[str, float]) -> bool:
        """Return whether it is time to stop, after an epoch with these results."""
        return not self.best.improved(epoch, results) and self.over(epoch)

    def over(self, epoch: int) -> bool:
        """Return whether the best epoch lies too far before `epoch`, the last one done."""
        return epoch > self.best.epoch and epoch - self.best.epoch >= self.settings.patience
