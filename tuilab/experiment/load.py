"""From a file, or the name of a ready-made experiment, to a checked Experiment."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuilab.errors import ExperimentError, Problem, UsageError
from tuilab.experiment.document import Experiment
from tuilab.experiment.guard import absurdity, read_guarded
from tuilab.experiment.problems import problems_of
from tuilab.experiment.ready_made import ready_made_path
from tuilab.text import clean_text


def load_experiment(model: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Return the experiment of a .toml file or a ready-made one by name, with `key.path=value` overrides applied.

    Raises ExperimentError with every problem in the file, UsageError for an unknown name or a malformed override.
    """
    path = find_experiment(model)
    source = clean_text(str(model))
    document = parse(read_guarded(path), source)
    if isinstance(document.get("data"), dict) and isinstance(document["data"].get("path"), str):
        document["data"]["path"] = str((path.parent / document["data"]["path"]).resolve())
    for override in overrides:
        apply_override(document, override)
    return make_experiment(document, source)


def find_experiment(model: str | Path) -> Path:
    """Return the file meant by `model`: a path that exists, or the name of a ready-made experiment."""
    path = Path(model)
    if path.suffix == ".toml" or path.is_file():
        return path
    return ready_made_path(str(model))


def parse(text: str, source: str = "") -> dict[str, Any]:
    """Return the tables of an experiment file; raises ExperimentError with line and column where it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError([Problem("", f"is not valid TOML: {clean_text(str(error))}")], source) from None
    except (ValueError, RecursionError) as error:
        raise ExperimentError([Problem("", f"cannot be parsed: {clean_text(str(error))}")], source) from None


def make_experiment(document: dict[str, Any], source: str = "") -> Experiment:
    """Return the experiment that `document` describes; raises ExperimentError with every problem in it."""
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        raise ExperimentError(problems_of(error, Experiment, document), source) from None


def apply_override(document: dict[str, Any], override: str) -> None:
    """Set one value in `document`: `training.epochs=3`, `layers[0].units=64`, `training.optimizer.learning_rate=0.1`.

    The value is read as TOML where it is TOML, otherwise as text. A block that stands there as a bare name becomes a
    table when one of its settings is set.
    """
    key, equals, text = override.partition("=")
    parts: list[str] = re.findall(r"[^.\[\]]+", key.strip())
    if not equals or not parts or len(parts) > 8:
        raise UsageError(f"--set {clean_text(override)}: write key=value, for example --set training.epochs=3")
    value = read_value(text.strip())
    holder: Any = document
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        where = clean_text(".".join(parts[: depth + 1]))
        if isinstance(holder, list):
            if not part.isdecimal() or int(part) >= len(holder):
                raise UsageError(f"--set {where}: there are entries 0 to {len(holder) - 1}")
            index: Any = int(part)
        elif isinstance(holder, dict):
            index = part
        else:
            raise UsageError(f"--set {where}: the value before it has no settings")
        if last:
            holder[index] = value
        else:
            inner = holder[index] if isinstance(holder, list) else holder.setdefault(index, {})
            if isinstance(inner, str):
                inner = holder[index] = {"type": inner}
            holder = inner


def read_value(text: str) -> Any:
    """Return a value typed on the command line: TOML where it is TOML, otherwise the text itself."""
    document = f"value = {text}"
    if absurdity(document):
        raise UsageError(f"--set …={clean_text(text, 40)}: the value is too deep or too long")
    try:
        parsed = tomllib.loads(document)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return text
    return parsed["value"] if set(parsed) == {"value"} else text
