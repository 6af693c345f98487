"""What the Train screen says of a run: a line of progress, what happened, a line for each layer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.runs.reader import Epoch, Message
from tuilab.tui.listing import Cell, Column, Line, Listing, make_listing
from tuilab.tui.numbers import NONE, memory, number
from tuilab.tui.run_health import Word, judge
from tuilab.tui.run_view import Layers, Snapshot

ALONGSIDE = (
    "learning_rate",
    "samples_per_second",
    "cpu_percent",
    "memory_bytes",
    "gpu_percent",
    "gpu_memory_bytes",
    "gpu_watts",
    "gpu_celsius",
)
"""Series of every run that are not results."""
LOADS: dict[str, dict[str, Callable[[float], str]]] = {
    "cpu": {"cpu_percent": "{:>3.0f}%".format, "memory_bytes": lambda size: f"{memory(size):>7}"},
    "gpu": {
        "gpu_percent": "{:>3.0f}%".format,
        "gpu_memory_bytes": lambda size: f"{memory(size):>7}",
        "gpu_watts": "{:>3.0f} W".format,
        "gpu_celsius": "{:.0f} °C".format,
    },
}
"""Series that tell what is asked of a kind of device, and how they are written."""
TONES = {"vanishing": "warn", "dead": "warn", "saturated": "warn", "exploding": "bad", "ok": "good", "": ""}
LAYER_COLUMNS = (
    Column("layer", "layer", right=False, least=7),
    Column("trend", "", right=False),
    Column("gradient", "now"),
    Column("weights", "weights", rank=2),
    Column("ratio", "update/weight", rank=1),
    Column("dead", "dead", rank=3),
    Column("saturated", "saturated", rank=4),
    Column("state", "state", right=False),
)
EXPLANATIONS: dict[Word, str] = {
    "": "has no weights to learn",
    "ok": "",
    "vanishing": "next to no gradient comes back to this layer",
    "exploding": "its gradient grows without bounds",
    "dead": "of its units are reached by no sample",
    "saturated": "of its outputs lie where the activation is flat",
}


def clock(seconds: float) -> str:
    """Return a length of time as a clock shows it: `0:05`, `1:02:03`, `3 d 04:00`."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def scientific(value: float) -> str:
    """Return a number in powers of ten, always as short: `3.1e-2`."""
    if not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def power(value: float) -> str:
    """Return a power of ten: `1e-6`, and `0.1`, `1`, `10` as such."""
    exponent = round(math.log10(value))
    return f"{value:g}" if -2 < exponent < 4 else f"1e{exponent}"


def plain(value: float) -> str:
    """Return a norm as people write it down, with about three digits."""
    if not math.isfinite(value):
        return NONE
    if abs(value) >= 1e6:
        return scientific(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percent(value: float) -> str:
    """Return a share."""
    return f"{value:.0%}" if math.isfinite(value) else ""


def results(snapshot: Snapshot) -> list[str]:
    """Return the names of all series that are told step by step, results first."""
    names = [name for name in snapshot.curves if name not in ALONGSIDE]
    return [*names, *(name for name in ALONGSIDE if name in snapshot.curves)]


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    share: float
    """Of the steps that are planned."""
    parts: tuple[tuple[str, int], ...]
    """What there is to say, and a rank: where there is no room, the highest ranks are left out first."""


def progress(snapshot: Snapshot) -> Progress:
    """Return what the line of progress says; parts keep their width while numbers change."""
    if snapshot.seen is None:
        return Progress(0.0, ())
    status = snapshot.seen.status
    planned = status.epochs * status.steps_per_epoch
    if not planned:
        return Progress(0.0, (("waiting for the first step", 0),))
    share = min(status.step / planned, 1.0)
    epoch = min(status.epoch + 1, status.epochs) if snapshot.seen.alive else status.epoch
    width = len(f"{planned:,}")
    parts = [
        (f"epoch {epoch:>{len(str(status.epochs))}}/{status.epochs}", 0),
        (f"step {status.step:>{width},}/{planned:,}", 3),
    ]
    first = snapshot.seen.alive and status.step <= 1  # a step in which kernels are loaded says nothing of the others
    speed = snapshot.newest("samples_per_second") or status.samples_per_second
    if speed is not None and not first:
        parts.append((f"{speed:>7,.0f} samples/s", 4))
    if not snapshot.seen.alive:
        parts.append((f"took {clock(status.seconds)}", 1))
    elif not first:
        left = status.seconds / status.step * (planned - status.step)
        parts.append((f"{clock(left):>5} left", 1))
    if status.learning_rate is not None:
        parts.append((f"lr {status.learning_rate:<7.3g}".rstrip(), 2))
    if load := _load(snapshot, status.device or "cpu"):
        parts.append((load, 5))
    return Progress(share, tuple(parts))


def _load(snapshot: Snapshot, device: str) -> str:
    """Return what the training asks of its device; nothing where that is not known."""
    series = LOADS["gpu" if device.startswith("gpu") else "cpu"]
    told = {name: value for name in series if (value := snapshot.newest(name)) is not None}
    return " ".join([device, *(series[name](value) for name, value in told.items())]) if told else ""


def notice(snapshot: Snapshot) -> tuple[str, str]:
    """Return what must be known of a run that is not simply running, and its tone; nothing where it is."""
    if snapshot.trouble:
        return snapshot.trouble, "bad"
    seen = snapshot.seen
    if seen is None or (seen.state == "running" and not seen.reason):
        return "", ""
    reason = f"{seen.state}: {seen.reason}" if seen.reason else seen.state
    if seen.state == "finished":
        parts = {"test": seen.status.test, "validation": seen.status.validation, "training": seen.status.train}
        told = [f"{name} {_spoken(values)}" for name, values in parts.items() if values]
        return " · ".join([reason, *told[:1]]), "good"
    hints = {"failed": " · space goes on from the last checkpoint", "stopped": " · space goes on", "paused": ""}
    return reason + hints.get(seen.state, ""), "bad" if seen.state in ("failed", "diverged") else "warn"


def _spoken(values: Mapping[str, float | None]) -> str:
    return " ".join(f"{name} {number(value)}" for name, value in values.items())


@dataclass(frozen=True)
class Happening:
    """One line of what happened."""

    when: str
    text: str
    by_command: bool = False
    """Whether somebody asked for it."""


def happenings(messages: Sequence[Message], epochs: Sequence[Epoch]) -> tuple[Happening, ...]:
    """Return what happened, the newest last: messages with their time, and between them, by their steps, the epochs
    that were the best so far. The others would push everything else out of sight."""
    found: list[Happening] = []
    best = [epoch for epoch in epochs if epoch.best]
    at = 0
    for message in messages:
        while at < len(best) and best[at].step <= message.step:
            found.append(_of_epoch(best[at]))
            at += 1
        found.append(Happening(_moment(message.time), message.text, message.kind == "command"))
    return (*found, *map(_of_epoch, best[at:]))


def _of_epoch(epoch: Epoch) -> Happening:
    validation = {name: value for name, value in epoch.results.items() if name.startswith("val_")}
    told = [f"{name} {number(value)}" for name, value in (validation or epoch.results).items()]
    return Happening("", "  ".join([f"best: epoch {epoch.epoch}", *told]))


def _moment(seconds: float) -> str:
    try:
        then = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return ""
    return time.strftime("%H:%M:%S" if time.time() - seconds < 86_400 else "%d %b", then)


def layer_listing(layers: Layers, trends: Sequence[str], before: Listing | None) -> Listing:
    """Return the table of the layers; `trends`: a small chart of each one's gradients."""
    health = judge(layers)
    lines = []
    for index, name in enumerate(layers.names):
        gradient, weights, ratio, dead, saturated = (
            _newest(layers, number_, index)
            for number_ in ("gradient_norm", "weight_norm", "update_ratio", "dead", "saturated")
        )
        tone = TONES[health[index].word]
        learns = bool(health[index].word)
        lines.append(
            Line(
                str(index),
                (
                    Cell(name, "" if learns else "quiet"),
                    Cell(trends[index], tone if tone != "good" else "quiet"),
                    Cell(scientific(gradient) if learns else ""),
                    Cell(plain(weights) if learns else ""),
                    Cell(scientific(ratio) if learns else ""),
                    Cell(percent(dead)),
                    Cell(percent(saturated)),
                    Cell(str(health[index]), tone),
                ),
            )
        )
    return make_listing(LAYER_COLUMNS, lines, before)


def _newest(layers: Layers, name: str, index: int) -> float:
    values = layers.get(name)[index]
    return float(values[-1]) if len(values) else math.nan


def shared_range(gradients: HostArray) -> tuple[float, float]:
    """Return whole powers of ten that enclose the gradients of all layers, at least two of them, so that the small
    charts of all layers compare and do not jump."""
    good = gradients[np.isfinite(gradients) & (gradients > 0)]
    if not good.size:
        return 0.1, 10.0
    high = math.ceil(math.log10(good.max()))
    low = math.floor(math.log10(good.min()))
    low = max(min(low, high - 2), high - 12)
    return 10.0**low, 10.0**high


def steps_ahead(snapshot: Snapshot) -> float | None:
    """Return the step up to which charts reach: in a run that goes on, a little further than it has come, so that its
    curves grow into the room there is and do not move at every step."""
    seen = snapshot.seen
    if seen is None or not seen.alive or not seen.status.step:
        return None
    status = seen.status
    ahead: float = 10.0 ** (math.ceil(5 * math.log10(max(status.step, 10)) + 0.1) / 5)  # five stretches a decade
    return min(ahead, max(status.epochs * status.steps_per_epoch, status.step))


def part(steps: HostArray, last: int | None, newest: float) -> slice:
    """Return where the last so many steps before `newest` are in a series with these steps; None: all of them."""
    if last is None:
        return slice(None)
    return slice(int(np.searchsorted(steps, newest - last)), None)


def window(step: int, zoom: int) -> int | None:
    """Return how many of so many steps are shown: all, a fifth or a 25th, as a round number."""
    wanted = step / 5**zoom
    if zoom == 0 or wanted < 10:
        return None
    power = 10 ** math.floor(math.log10(wanted))
    return int(power * max(digit for digit in (1, 2, 5) if digit * power <= wanted))


def rate_problem(text: str) -> str:
    """Return what is wrong with a learning rate as it was typed, or nothing."""
    try:
        rate = float(text)
    except ValueError:
        return "must be a number, such as 0.001"
    return "" if 0 < rate < math.inf else "must be greater than 0"


def epochs_problem(text: str) -> str:
    """Return what is wrong with a number of epochs as it was typed, or nothing."""
    return "" if text.strip().isdecimal() and int(text) > 0 else "must be a whole number, such as 20"
