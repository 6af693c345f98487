"""Runs side by side: the settings in which they differ, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuilab.runs.settings import Setting
from tuilab.runs.table import Row


@dataclass(frozen=True)
class Comparison:
    """Values by name, one for each run; None where a run has none."""

    settings: dict[str, list[Setting | None]]
    results: dict[str, list[str | float | None]]


def compare(rows: Sequence[Row]) -> Comparison:
    """Return in which settings runs that can be read differ, by their places, and all their results."""
    places = dict.fromkeys(place for row in rows for place in row.settings)
    settings = {place: [row.settings.get(place) for row in rows] for place in places}
    statuses = [row.overview.status for row in rows if row.overview]
    results: dict[str, list[str | float | None]] = {
        "state": [row.state for row in rows],
        "epochs": [status.epoch for status in statuses],
        "seconds": [round(status.seconds, 3) for status in statuses],
    }
    for name in dict.fromkeys(name for row in rows for name in row.results):
        results[name] = [row.results.get(name) for row in rows]
    return Comparison({place: values for place, values in settings.items() if _differ(values)}, results)


def _differ(values: Sequence[Setting | None]) -> bool:
    return any(value != values[0] for value in values)
