"""Schedules: how the learning rate changes during training."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, MutableMapping
from itertools import pairwise
from math import ceil, cos, floor, inf, pi, pow
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tuilab.blocks.block import Block
from tuilab.blocks.metrics import higher_is_better
from tuilab.errors import ExperimentError, Problem
from tuilab.text import clean_text

Rate = Annotated[float, Field(ge=0)]
Steps = Annotated[int, Field(gt=0)]


class Schedule(Block, kind=True):
    """The learning rate as a function of the step; a bare number is a constant rate.

    A step is one update of the weights; the first has number 0. Where `decay_steps` is left out, the decay takes the
    whole planned training.
    """

    other_names: ClassVar[dict[str, str]] = {
        "exponential": "exponential_decay",
        "piecewise": "step",
        "piecewise_constant": "step",
        "piecewise_constant_decay": "step",
        "multi_step": "step",
        "cosine": "cosine_decay",
        "cosine_annealing": "cosine_decay",
        "warmup": "cosine_decay with warmup_steps and warmup_target",
        "polynomial_decay": "polynomial",
        "linear": "polynomial, whose power of 1 is a straight line",
        "linear_decay": "polynomial, whose power of 1 is a straight line",
        "inverse_time_decay": "inverse_time",
        "onecycle": "one_cycle",
        "plateau": "reduce_on_plateau",
        "reduce_lr_on_plateau": "reduce_on_plateau",
    }

    remembers: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers in `memory` that are its own."""

    @classmethod
    def from_number(cls, number: float) -> Self:
        block = cls.registry["constant"].model_validate({"learning_rate": number})
        assert isinstance(block, cls)
        return block

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        """Return the learning rate of optimizer step `step` (the first is 0) of `total_steps` planned."""
        raise NotImplementedError  # abstract

    def epoch_done(self, results: Mapping[str, float], memory: MutableMapping[str, float]) -> None:
        """Learn how the epoch went (`{"loss": …, "val_loss": …}`). What must be known later goes into `memory`,
        which checkpoints keep."""


class Constant(Schedule):
    """The same learning rate from the first step to the last.

    rate = learning_rate
    """

    learning_rate: float = Field(0.001, ge=0, description="The rate.")

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        return self.learning_rate


class ExponentialDecay(Schedule):
    """Falls by the same factor over every stretch of decay_steps.

    rate = initial_learning_rate · decay_rate^(step / decay_steps); staircase: the exponent rounded down
    """

    initial_learning_rate: Rate = Field(0.001, description="The first rate.")
    decay_steps: Steps | None = Field(None, description="Steps of one stretch; none: the whole training.")
    decay_rate: float = Field(0.1, gt=0, description="Factor over one stretch.")
    staircase: bool = Field(False, description="Fall at the end of each stretch only.")

    @model_validator(mode="after")
    def _check_stairs(self) -> Self:
        if self.staircase and self.decay_steps is None:
            raise ValueError("staircase needs decay_steps, the length of one stair")
        return self

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        stretches = step / (self.decay_steps or total_steps)
        return self.initial_learning_rate * self.decay_rate ** (floor(stretches) if self.staircase else stretches)


class Step(Schedule):
    """Constant pieces: one rate up to and with each boundary, the last one after them.

    rate = values[i] with the first i for which step ≤ boundaries[i]
    """

    boundaries: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, description="Last step of each piece.")
    values: list[Rate] = Field(description="Rate of each piece, one more than boundaries.")

    @model_validator(mode="after")
    def _check_pieces(self) -> Self:
        if any(after <= before for before, after in pairwise(self.boundaries)):
            raise ValueError(f"boundaries must rise from one to the next, got {self.boundaries}")
        wanted = len(self.boundaries) + 1
        if len(self.values) != wanted:
            raise ValueError(f"{wanted - 1} boundaries need {wanted} values, got {len(self.values)}")
        return self

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        return self.values[bisect_left(self.boundaries, step)]


class CosineDecay(Schedule):
    """Half a cosine wave from the rate down to alpha times the rate, after a warm-up when asked for (Loshchilov and
    Hutter, 2017).

    warm-up: rate = from initial_learning_rate in a straight line to warmup_target over warmup_steps
    then: rate = top · (alpha + (1 − alpha) · (1 + cos(π · t / decay_steps)) / 2), t = min(step − warmup_steps,
    decay_steps), top = warmup_target, or initial_learning_rate without a warm-up
    """

    initial_learning_rate: Rate = Field(0.001, description="The first rate.")
    decay_steps: Steps | None = Field(None, description="Steps of the fall; none: what the warm-up leaves.")
    alpha: float = Field(0.0, ge=0, le=1, description="Share of the rate that is left in the end.")
    warmup_target: Rate | None = Field(None, description="Rate at the end of the warm-up.")
    warmup_steps: int = Field(0, ge=0, description="Steps of the warm-up.")

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        if self.warmup_steps and self.warmup_target is None:
            raise ValueError("warmup_steps needs warmup_target, the rate at the end of the warm-up")
        if self.warmup_target is not None and not self.warmup_steps:
            raise ValueError("warmup_target needs warmup_steps, the length of the warm-up")
        return self

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top = self.warmup_target
        decay_steps = self.decay_steps or max(total_steps - self.warmup_steps, 1)
        done = min((step - self.warmup_steps) / decay_steps, 1)
        return anneal(top, self.alpha * top, done)


class Polynomial(Schedule):
    """Falls to end_learning_rate in a straight line (power 1) or a curve; with cycle, again and again in ever longer
    stretches.

    rate = (initial_learning_rate − end_learning_rate) · (1 − step / decay_steps)^power + end_learning_rate;
    cycle: decay_steps times the smallest whole number that makes it reach step
    """

    initial_learning_rate: Rate = Field(0.001, description="The first rate.")
    decay_steps: Steps | None = Field(None, description="Steps of the fall; none: the whole training.")
    end_learning_rate: Rate = Field(0.0001, description="The last rate.")
    power: float = Field(1.0, gt=0, description="1: a straight line; above: falls early; below: falls late.")
    cycle: bool = Field(False, description="Start again from a higher rate after decay_steps.")

    @model_validator(mode="after")
    def _check_cycle(self) -> Self:
        if self.cycle and self.decay_steps is None:
            raise ValueError("cycle needs decay_steps, the length of the first fall")
        return self

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        decay_steps = self.decay_steps or total_steps
        if self.cycle:
            decay_steps *= max(ceil(step / decay_steps), 1)
        left = pow(1 - min(step / decay_steps, 1), self.power)
        return (self.initial_learning_rate - self.end_learning_rate) * left + self.end_learning_rate


class InverseTime(Schedule):
    """Falls as one over the time: fast at first, then ever more slowly.

    rate = initial_learning_rate / (1 + decay_rate · step / decay_steps); staircase: the fraction rounded down
    """

    initial_learning_rate: Rate = Field(0.001, description="The first rate.")
    decay_steps: Steps | None = Field(None, description="Steps that count as 1; none: the whole training.")
    decay_rate: float = Field(1.0, ge=0, description="Growth of the divisor over decay_steps.")
    staircase: bool = Field(False, description="Fall every decay_steps only.")

    @model_validator(mode="after")
    def _check_stairs(self) -> Self:
        if self.staircase and self.decay_steps is None:
            raise ValueError("staircase needs decay_steps, the length of one stair")
        return self

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        time = step / (self.decay_steps or total_steps)
        return self.initial_learning_rate / (1 + self.decay_rate * (floor(time) if self.staircase else time))


class OneCycle(Schedule):
    """Up in half a cosine wave, then down in a longer one to almost nothing; allows large rates (Smith and Topin,
    2018, as in PyTorch; the momentum is left alone).

    rises from max_learning_rate / div_factor over the first pct_start of the training, then falls to
    max_learning_rate / div_factor / final_div_factor
    """

    max_learning_rate: Rate = Field(0.01, description="The rate at the top.")
    total_steps: Steps | None = Field(None, description="Steps of the cycle; none: the whole training.")
    pct_start: float = Field(0.3, ge=0, le=1, description="Share of the steps before the top.")
    div_factor: float = Field(25.0, gt=0, description="The first rate is max_learning_rate divided by this.")
    final_div_factor: float = Field(1e4, gt=0, description="The last rate is the first divided by this.")

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        last = (self.total_steps or total_steps) - 1
        top = self.pct_start * (last + 1) - 1
        first_rate = self.max_learning_rate / self.div_factor
        step = min(step, last)
        if step <= top and top > 0:
            return anneal(first_rate, self.max_learning_rate, step / top)
        done = (step - top) / (last - top) if last > top else 0.0
        return anneal(self.max_learning_rate, first_rate / self.final_div_factor, done)


class ReduceOnPlateau(Schedule):
    """Falls by a factor whenever the monitored result has not become better for `patience` epochs.

    after each epoch: better by more than min_delta → waiting starts again; otherwise, at `patience` epochs without
    that, rate ← max(rate · factor, min_lr), and the next `cooldown` epochs do not count
    """

    remembers: ClassVar[tuple[str, ...]] = ("plateau_rate", "plateau_best", "plateau_waited", "plateau_cooling")

    initial_learning_rate: Rate = Field(0.001, description="The first rate.")
    monitor: str = Field("val_loss", description="loss, val_loss or a metric, with or without val_.")
    factor: float = Field(0.1, gt=0, lt=1, description="What the rate is multiplied by.")
    patience: int = Field(10, ge=0, description="Epochs without a better result that are waited for.")
    min_delta: float = Field(0.0001, ge=0, description="Smallest change that counts as better.")
    cooldown: int = Field(0, ge=0, description="Epochs after a fall in which nothing is counted.")
    min_lr: Rate = Field(0.0, description="The rate never falls below this.")
    mode: Literal["auto", "min", "max"] = Field("auto", description="Whether less or more is better; auto: by name.")

    def rate(self, step: int, total_steps: int, memory: Mapping[str, float]) -> float:
        return memory.get("plateau_rate", self.initial_learning_rate)

    def epoch_done(self, results: Mapping[str, float], memory: MutableMapping[str, float]) -> None:
        if self.monitor not in results:
            message = f"there is no result '{clean_text(self.monitor, 60)}', choose from {', '.join(results)}"
            raise ExperimentError([Problem("training.optimizer.learning_rate.monitor", message)])
        sign = -1 if self.mode == "max" or (self.mode == "auto" and higher_is_better(self.monitor)) else 1
        current = sign * results[self.monitor]  # now less is better
        rate = self.rate(0, 0, memory)
        waited = memory.get("plateau_waited", 0)
        cooling = max(memory.get("plateau_cooling", 0) - 1, 0)
        if current + self.min_delta < memory.get("plateau_best", inf):
            memory["plateau_best"] = current
            waited = 0
        elif not cooling:
            waited += 1
            if waited >= self.patience and rate > self.min_lr:
                rate, waited, cooling = max(rate * self.factor, self.min_lr), 0, self.cooldown
        memory.update(plateau_rate=rate, plateau_waited=waited, plateau_cooling=cooling)


def anneal(start: float, end: float, done: float) -> float:
    """Return the rate when the share `done` of half a cosine wave from `start` to `end` lies behind."""
    return end + (start - end) * (1 + cos(pi * done)) / 2
