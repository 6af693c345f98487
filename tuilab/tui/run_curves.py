"""The curves of runs, laid over each other, and in what the runs differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.errors import TuilabError
from tuilab.runs.comparison import Comparison, compare
from tuilab.runs.reader import RunReader, glancing
from tuilab.runs.settings import Setting
from tuilab.runs.table import Row
from tuilab.tui.listing import Cell, Column, Line, Listing, make_listing
from tuilab.tui.numbers import NONE, number
from tuilab.tui.run_list import STATE_TONES, setting

MOST_RUNS = 8
SIGNS = "●◆▲■○◇△□"
"""Of the runs that are laid over each other, beside their colours."""


@dataclass(frozen=True)
class Curve:
    """One result of one run over its epochs."""

    epoch: HostArray
    """(n,), with fractions where it is told step by step."""
    value: HostArray


Curves = dict[str, Curve]
"""Of one run, by the name of the result: `loss`, `val_loss`, …"""


def read_curves(row: Row) -> Curves:
    """Return the curves of a run; none where it cannot be read, or has not come so far."""
    if row.overview is None:
        return {}
    try:
        with glancing(row.run) as (reader, _):
            return _curves(reader, row.overview.status.steps_per_epoch)
    except TuilabError:
        return {}


def _curves(reader: RunReader, steps_per_epoch: int) -> Curves:
    found: Curves = {}
    epochs = reader.epochs()
    for name in dict.fromkeys(name for epoch in epochs for name in epoch.results):
        values = [epoch.results.get(name) for epoch in epochs]
        numbers = [np.nan if value is None else value for value in values]
        found[name] = Curve(np.array([epoch.epoch for epoch in epochs], float), np.array(numbers, float))
    steps = reader.curve("loss")  # every step, and there before the first epoch is over
    if len(steps.step) and steps_per_epoch:
        found["loss"] = Curve(steps.step / steps_per_epoch, steps.mean)
    return found


def result_names(curves: Sequence[Curves]) -> list[str]:
    """Return what can be laid over each other, what most runs have first: their loss, best on the validation part."""
    counted = Counter(name for each in curves for name in each)
    first = {"val_loss": 0, "loss": 1}
    return sorted(counted, key=lambda name: (-counted[name], first.get(name, 2), not name.startswith("val_")))


@dataclass(frozen=True)
class Marked:
    """A run among those that are laid over each other."""

    sign: int
    """Which of the eight signs and colours is its own."""
    row: Row
    """Of a run that can be read."""


def differences(runs: Sequence[Marked]) -> str:
    """Return in which settings runs differ, in one line."""
    found = _differing(compare([run.row for run in runs]))
    parts = [f"{name} {' | '.join(map(setting, values))}" for name, values in found.items()]
    return f"differ in {', '.join(parts)}" if parts else "no setting differs"


def comparison(runs: Sequence[Marked], before: Listing | None = None) -> Listing:
    """Return runs side by side: a line for each setting that differs and each result, a column for each run."""
    found = compare([run.row for run in runs])
    settings = [_line(name, map(setting, values), "accent") for name, values in _differing(found).items()]
    if not settings:
        settings = [_line("no setting differs", ["" for _ in runs], "quiet")]
    states = [Cell(str(state), STATE_TONES.get(str(state), "")) for state in found.results.pop("state")]
    results = [Line("state", (Cell("state"), *states))]
    names = {"epochs": "epochs done"}  # beside the setting
    results += [_line(names.get(name, name), map(_result, values)) for name, values in found.results.items()]
    columns = [Column("name", "", right=False, least=14)]
    columns += [Column(str(run.sign), SIGNS[run.sign], least=6, tone=f"line-{run.sign + 1}") for run in runs]
    return make_listing(columns, [*settings, *results], before)


def _line(name: str, values: Iterable[str], tone: str = "") -> Line:
    return Line(name, (Cell(name, tone), *map(Cell, values)))


def _result(value: str | float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value) if isinstance(value, float) else str(value or NONE)


def _differing(found: Comparison) -> dict[str, list[Setting | None]]:
    """Return the settings that differ by the shortest clear name, without those that only say what a run is."""
    told = ("name", "description")
    return {place.removeprefix("training."): values for place, values in found.settings.items() if place not in told}
