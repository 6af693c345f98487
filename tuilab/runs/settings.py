"""The settings of a run by their places in its experiment.toml: `training.optimizer.learning_rate` → 0.001."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from typing import Any, TypeAlias

from tuilab.experiment.guard import MOST_BYTES, absurdity
from tuilab.runs.directory import RunDirectory
from tuilab.runs.plain_file import read_plain

Setting: TypeAlias = bool | int | float | str


def read_settings(run: RunDirectory) -> dict[str, Setting]:
    """Return every setting of a run by its place; none where its experiment.toml is missing, damaged or foreign.

    A block stands at its place with its name, its settings below: `layers[0]` → "dense", `layers[0].units` → 64.
    """
    try:
        text = read_plain(run.experiment_file, MOST_BYTES).decode()
        document = {} if absurdity(text) else tomllib.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    return dict(_flat("", document))


def _flat(place: str, value: Any) -> Iterator[tuple[str, Setting]]:
    if isinstance(value, dict):
        name = place.rpartition(".")[2]
        if value.keys() == {"type", name}:  # learning_rate = { type = "constant", learning_rate = 0.001 }
            yield from _flat(place, value[name])
            return
        for key, item in value.items():
            yield from _flat(place if key == "type" and place else f"{place}.{key}".lstrip("."), item)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _flat(f"{place}[{index}]", item)
    elif isinstance(value, list):
        yield place, f"[{', '.join(shown(item) for item in value)}]"
    else:
        yield place, value if isinstance(value, (bool, int, str)) or _finite(value) else str(value)


def _finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def shown(value: Any) -> str:
    """Return a setting as it is written, without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)
