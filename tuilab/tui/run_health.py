"""Whether the layers of a network learn, judged from their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.tui.run_view import Layers

LOOKS = 5
"""So many of the newest looks are judged together, so that one odd batch changes no word."""
VANISHING = 0.01
EXPLODING = 100.0
REPLACED = 0.5
DEAD = 0.4
SATURATED = 0.8

Word: TypeAlias = Literal["", "ok", "vanishing", "exploding", "dead", "saturated"]
SIGNS: dict[Word, str] = {"": " ", "ok": "✓", "vanishing": "↓", "exploding": "↑", "dead": "×", "saturated": "≡"}


@dataclass(frozen=True)
class Health:
    """What is to be said of one layer."""

    word: Word
    """Empty for a layer that has nothing to learn."""
    share: float | None = None
    """Of its units or outputs, where the word is dead or saturated."""

    def __str__(self) -> str:
        share = "" if self.share is None else f" {self.share:.0%}"
        return f"{SIGNS[self.word]} {self.word}{share}".rstrip()


def judge(layers: Layers) -> list[Health]:
    """Return the health of every layer over the last few looks. The first word that is true of a layer is said:

    exploding: a gradient that is not finite; or a hundred times that of every layer after it, so it grew on its
        way back (Pascanu, Mikolov & Bengio, 2013); or a norm of at least 100 with an update at least half as large as
        the weights, which replaces them (about 1e-3 of the weights is healthy: Karpathy, CS231n).
    dead: at least 40 % of the units have slope 0 for every sample of each batch that was looked at: the share at which
        CS231n calls the learning rate too high.
    saturated: at least 80 % of the outputs lie where the slope is below a tenth of its steepest (Glorot & Bengio, 2010,
        who watch sigmoid layers stop learning this way).
    vanishing: a gradient that is at most a hundredth of the largest of the layers after it: it fell by two orders of
        magnitude on its way back (Hochreiter, 1991; Glorot & Bengio, 2010). In trainings that go well it stays above a
        twentieth.
    ok: none of these.
    """
    numbers = {name: layers.get(name) for name in ("gradient_norm", "weight_norm", "update_ratio", "dead", "saturated")}
    recent = {name: values[:, -LOOKS:] for name, values in numbers.items()}
    if not len(layers.step):
        return [Health("")] * len(layers.names)
    gradient, update = np.median(recent["gradient_norm"], axis=1), np.median(recent["update_ratio"], axis=1)
    dead, saturated = recent["dead"].min(axis=1), np.median(recent["saturated"], axis=1)
    learns: HostArray = np.asarray(np.isfinite(numbers["weight_norm"]).any(axis=1))
    found = []
    largest_after = 0.0
    for index in reversed(range(len(layers.names))):
        if learns[index]:
            found.append(_judge(gradient[index], largest_after, update[index], dead[index], saturated[index]))
            largest_after = max(largest_after, np.nan_to_num(gradient[index]))
        else:
            found.append(Health(""))
    return found[::-1]


def _judge(gradient: float, largest_after: float, update: float, dead: float, saturated: float) -> Health:
    """Judge one layer by what is typical of it; NaN where there is no such number."""
    grown = largest_after > 0 and gradient >= EXPLODING * largest_after
    replaced = gradient >= EXPLODING and update >= REPLACED
    if np.isnan(gradient) or grown or replaced:
        return Health("exploding")
    if dead >= DEAD:
        return Health("dead", float(dead))
    if saturated >= SATURATED:
        return Health("saturated", float(saturated))
    return Health("vanishing" if largest_after > 0 and gradient <= VANISHING * largest_after else "ok")
