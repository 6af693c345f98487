"""From a file, or the name of a ready-made experiment, to a checked Experiment."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuilab.blocks.block import Block
from tuilab.errors import ExperimentError, Problem, UsageError
from tuilab.experiment.document import Experiment
from tuilab.experiment.guard import MOST_KEY_PARTS, absurdity, read_guarded
from tuilab.experiment.problems import Location, model_at, place, problems_of
from tuilab.experiment.ready_made import ready_made_path
from tuilab.text import as_written, clean_text

PATHS = ("path", "validation_path", "test_path")
"""Settings of data that name files."""

_PART = r"[^.\[\]]+(?:\[[^.\[\]]+\])*"
KEY = re.compile(rf"{_PART}(?:\.{_PART})*")
"""A key of an override: names with dots between them, and indices in brackets."""


def load_experiment(model: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Return the experiment of a .toml file or a ready-made one by name, with `key.path=value` overrides applied.

    Paths in `data` start from the folder of the file, in an override from the working folder. Raises ExperimentError
    with every problem in the file, UsageError for an unknown name or a malformed override.
    """
    path = find_experiment(model)
    source = clean_text(str(model))
    document = parse(read_guarded(path), source)
    start_paths_from(path.parent, document)
    for override in overrides:
        apply_override(document, override)
    start_paths_from(Path(), document)
    return make_experiment(document, source)


def start_paths_from(folder: Path, document: dict[str, Any]) -> None:
    """Make the paths in `data` absolute, from a folder."""
    data = document.get("data")
    if isinstance(data, dict):
        change_paths(data, lambda path: os.path.abspath(folder / path))


def change_paths(data: dict[str, Any], change: Callable[[str], str]) -> None:
    """Replace every path in the settings of data; tables inside them are left as they are, and others put there."""
    numbers = str(data.get("path")).lower().endswith(".npy")
    for key in (*PATHS, "target") if numbers else PATHS:
        if isinstance(data.get(key), str):
            data[key] = change(data[key])
    dataset = data.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("path"), str):
        data["dataset"] = {**dataset, "path": change(dataset["path"])}


def find_experiment(model: str | Path) -> Path:
    """Return the file meant by `model`: a path that exists, or the name of a ready-made experiment."""
    path = Path(model)
    return path if path.suffix == ".toml" or os.path.isfile(path) else ready_made_path(str(model))


def parse(text: str, source: str = "") -> dict[str, Any]:
    """Return the tables of an experiment file; raises ExperimentError with line and column where it is not TOML."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExperimentError([Problem("", f"is not valid TOML: {clean_text(str(error))}")], source) from None


def make_experiment(document: dict[str, Any], source: str = "") -> Experiment:
    """Return the experiment that `document` describes; raises ExperimentError with every problem in it."""
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        raise ExperimentError(problems_of(error, Experiment, document), source) from None


def apply_override(document: dict[str, Any], override: str) -> None:
    """Set one value in `document`: `training.epochs=3`, `layers[0].units=64`, `training.optimizer.learning_rate=0.1`.

    The value is read as TOML where it is TOML, otherwise as text. A block that stands there as a bare name, or by
    default, becomes a table when one of its settings is set.
    """
    key, equals, text = override.partition("=")
    *parts, last = re.findall(r"[^.\[\]]+", key.strip()) or [""]
    if not equals or not KEY.fullmatch(key.strip()) or len(parts) >= MOST_KEY_PARTS:
        raise UsageError(f"--set {clean_text(override)}: write key=value, for example --set training.epochs=3")
    value = read_value(text.strip())
    holder: Any = document
    location: Location = ()
    for part in parts:
        location = (*location, _key(holder, part, location))
        holder = _settings_at(location, holder, document)
    holder[_key(holder, last, location)] = value


def _key(holder: Any, part: str, location: Location) -> int | str:
    """Return `part` as a key of `holder`, which stands at `location`; raises UsageError where it cannot be one."""
    if isinstance(holder, dict):
        return part
    here = place(location)
    if not isinstance(holder, list):
        raise UsageError(f"--set {here}.{clean_text(part, 60)}: {here} is {as_written(holder)}, it has no settings")
    if not re.fullmatch("[0-9]{1,6}", part) or int(part) >= len(holder):
        entries = f"has the entries 0 to {len(holder) - 1}" if holder else "has no entries"
        raise UsageError(f"--set {here}[{clean_text(part, 60)}]: {here} {entries}")
    return int(part)


def _settings_at(location: Location, holder: Any, document: dict[str, Any]) -> Any:
    """Return what `holder` has at `location`: a bare name as a table, a missing block as the table of its default."""
    key = location[-1]
    if isinstance(key, str) and key not in holder:
        model = model_at(location[:-1], Experiment, document)
        field = model.model_fields.get(key) if model else None
        name = field.default.type_name() if field and isinstance(field.default, Block) else None
        holder[key] = {"type": name} if name else {}
    elif isinstance(holder[key], str):
        holder[key] = {"type": holder[key]}
    return holder[key]


def read_value(text: str) -> Any:
    """Return a value typed on the command line: TOML where it is TOML, otherwise the text itself."""
    document = f"value = {text}"
    if problem := absurdity(document):
        raise UsageError(f"--set …={clean_text(text, 40)}: {problem.message}")
    try:
        parsed = tomllib.loads(document)
    except (ValueError, RecursionError):
        return float(text) if re.fullmatch(r"[+-]?([0-9]+\.|\.[0-9]+)", text) else text
    return parsed["value"] if set(parsed) == {"value"} else text
