"""Where a run stands: one small record that its worker keeps up to date and everybody may read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tuilab.text import clean_text

State: TypeAlias = Literal["running", "paused", "finished", "stopped", "diverged", "failed"]
Text: TypeAlias = Annotated[str, AfterValidator(partial(clean_text, limit=1000))]
"""One printable line, whoever wrote the database."""
Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
Seconds: TypeAlias = Annotated[float, Field(gt=-2.5e11, lt=2.5e11)]
"""As far as calendars go."""
Results: TypeAlias = dict[Text, float | None]
"""Loss and metrics by name; None for NaN and infinity."""


class BestEpoch(BaseModel):
    """The best epoch so far, by the result that the experiment watches."""

    model_config = ConfigDict(frozen=True)

    epoch: Count
    results: Results


class Status(BaseModel):
    """Where a run stands."""

    model_config = ConfigDict(frozen=True)

    state: State = "running"
    reason: Text = ""
    """Why it is in this state, in words; empty where there is nothing to say."""
    experiment: Text
    device: Text = ""
    threads: Annotated[int, Field(ge=0, le=65_536)] = 0
    parameters: Count = 0
    layers: Annotated[list[Text], Field(max_length=256)] = []
    """Names of the layers, in the order of the table of their statistics."""
    epochs: Count = 0
    """Planned."""
    steps_per_epoch: Count = 0
    samples_per_epoch: Count = 0
    epoch: Count = 0
    """Epochs that are over."""
    step: Count = 0
    """Steps done."""
    seconds: Seconds = 0.0
    """Spent on training, pauses left out."""
    samples_per_second: float | None = None
    learning_rate: float | None = None
    results: Results = {}
    """Of the epoch so far."""
    best: BestEpoch | None = None
    train: Results | None = None
    """Measured with the final weights, once the training is over."""
    validation: Results | None = None
    test: Results | None = None
    host: Text = ""
    pid: Annotated[int, Field(ge=0, lt=2**31)] = 0
    created: Seconds = 0.0
    """When the run was begun, in seconds since 1970."""
    heartbeat: Seconds = 0.0
    """When the worker wrote this."""


def finite(results: Mapping[str, float]) -> Results:
    """Return results as JSON can hold them: None for NaN and infinity."""
    return {name: storable(value) for name, value in results.items()}


def storable(value: float | None) -> float | None:
    """Return a number as JSON can hold it."""
    return value if value is not None and abs(value) < math.inf else None
