"""What the trainer tells: one stream of facts for the progress bar, the recorder and the tests alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tuilab.engine.distributions import LayerDistributions
from tuilab.engine.statistics import LayerState

Status: TypeAlias = Literal["finished", "stopped", "diverged"]


@dataclass(frozen=True)
class TrainingStarted:
    """Everything is bound; the first step comes next."""

    device: str
    parameters: int
    epochs: int
    steps_per_epoch: int
    samples: int
    """Training samples an epoch."""


@dataclass(frozen=True)
class StepsDone:
    """One or more steps since the last such event."""

    epoch: int
    """From 1."""
    step: int
    """Steps done since the start of training."""
    losses: tuple[float, ...]
    """The loss of each of these steps."""
    results: Mapping[str, float]
    """Loss and metrics of the epoch so far."""
    learning_rate: float
    samples: int
    """Samples seen since the start of training."""
    seconds: float
    """Since the start of training."""


@dataclass(frozen=True)
class LayersSeen:
    """The state of every layer at one step."""

    epoch: int
    step: int
    layers: tuple[LayerState, ...]
    distributions: tuple[LayerDistributions, ...] = ()
    """Of every layer, about once a second; otherwise empty."""


@dataclass(frozen=True)
class EpochDone:
    """An epoch and its validation are over."""

    epoch: int
    step: int
    results: Mapping[str, float]
    """loss and metrics over the epoch, and with `val_` before their names those on the validation part."""
    learning_rate: float
    seconds: float
    """Of this epoch, validation included."""
    samples_per_second: float
    best: bool
    """Whether this is the best epoch so far."""


@dataclass(frozen=True)
class TrainingDone:
    """Nothing follows."""

    status: Status
    epoch: int
    step: int
    seconds: float
    reason: str
    """Why training ended, in words; empty when all epochs were run."""


@dataclass(frozen=True)
class UpdatesSkipped:
    """Gradients were not finite, so that the weights were left as they are, since the last such event."""

    updates: int
    loss_scale: float
    """From now on."""

    def __str__(self) -> str:
        count = "an update was" if self.updates == 1 else f"{self.updates:,} updates were"
        return f"{count} skipped, gradients were not finite; the loss is scaled by {self.loss_scale:,.10g} now"


Event: TypeAlias = TrainingStarted | StepsDone | UpdatesSkipped | LayersSeen | EpochDone | TrainingDone
