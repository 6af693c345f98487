"""Changes of the values of an experiment file; every function returns a new document and leaves the old one alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from tuilab.blocks.block import Block, as_table
from tuilab.errors import UsageError
from tuilab.experiment.document import Experiment
from tuilab.experiment.nesting import layer_part
from tuilab.experiment.problems import Location, model_in, place
from tuilab.experiment.sections import as_settings, value_at
from tuilab.text import as_written, clean_text

FIRST_VALUES: dict[str, Any] = {
    "activation": "relu",
    "boundaries": [1000],
    "filters": 32,
    "kernel_size": 3,
    "layers": [{"type": "activation", "activation": "relu"}],
    "loss": "categorical_crossentropy",
    "pool_size": 2,
    "rate": 0.2,
    "stddev": 0.1,
    "target_shape": [-1],
    "units": 32,
    "values": [0.01, 0.001],
}
"""What a new block starts with where a setting has no default. A setting that is not here is left open, and marked."""


def location_of(written: str) -> Location:
    """Return the parts of a place such as `layers[2].kernel_initializer.stddev`. Raises UsageError."""
    parts = re.findall(r"\[([0-9]{1,6})\]|([^.\[\]]+)", written)
    location = tuple(name or int(index) for index, name in parts)
    if not location or place(location) != written:
        raise UsageError(
            f"{as_written(written)} is no place in an experiment, write training.epochs or layers[0].units"
        )
    return location


def with_value(document: dict[str, Any], location: Location, value: Any) -> dict[str, Any]:
    """Set a value, or take it away where it is None. Blocks on the way that are bare names or defaults become tables.

    A value that equals the default and is not written stays out.
    """
    if value is None and value_at(document, location) is None:
        return document
    if value_at(document, location) is None and same(value, default_at(document, location)):
        return document
    result = dict(document)
    holder: Any = result
    for depth, part in enumerate(location[:-1]):
        here = location[: depth + 1]
        inside = _opened(value_at(holder, (part,)), document, here, location[depth + 1])
        _put(holder, part, inside)
        holder = inside
    if value is None:
        del holder[location[-1]]
    else:
        _put(holder, location[-1], copy.deepcopy(value))
    return _tidy(result, location[:-1])


def _put(holder: Any, key: int | str, value: Any) -> None:
    """Set an entry of a table, or one of a list, which may be the one after its last."""
    if isinstance(holder, list) and key == len(holder):
        holder.append(value)
    else:
        holder[key] = value


def _opened(inside: Any, document: dict[str, Any], location: Location, key: int | str) -> Any:
    """Return a copy of what stands at `location`, in which `key` can be set: a list, or the table of a block."""
    if isinstance(key, int):
        entries = [] if inside is None else inside
        if not isinstance(entries, list) or key > len(entries):
            raise UsageError(f"there is nothing at {place((*location, key))}")
        return list(entries)
    if isinstance(inside, dict):
        return dict(inside)
    if isinstance(inside, str):
        return {"type": inside}
    default = default_at(document, location)
    if inside is None:
        return {"type": default["type"]} if isinstance(default, dict) and "type" in default else {}
    kind = kind_at(document, location)
    try:
        return kind.choose(inside).table() if kind is not None and issubclass(kind, Block) else {}
    except (ValidationError, PydanticCustomError):
        return {}


def _tidy(document: dict[str, Any], location: Location) -> dict[str, Any]:
    """Write a nested block without settings as its bare name, and a constant rate as a number."""
    holder = value_at(document, location[:-1]) if location else None
    here = value_at(document, location)
    if not isinstance(holder, dict) or not isinstance(here, dict) or not isinstance(here.get("type"), str):
        return document
    last = location[-1]
    if set(here) == {"type"}:
        holder[last] = here["type"]
    elif set(here) == {"type", "learning_rate"} and here["type"] == "constant":
        holder[last] = here["learning_rate"]
    return document


def with_type(document: dict[str, Any], location: Location, name: str) -> dict[str, Any]:
    """Put another block in the place of one; settings of the same name are kept where the new block takes them."""
    kind = kind_at(document, location)
    if kind is None or not issubclass(kind, Block):
        raise UsageError(f"{place(location)} is no block")
    registry = {known: block for known, block in kind.registry.items() if issubclass(block, kind)}
    if name not in registry:
        raise UsageError(f"there is no {kind.kind_name()} '{clean_text(name, 60)}'")
    old = value_at(document, location)
    settings = as_settings(old)
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        settings = {"type": "constant", "learning_rate": old, "initial_learning_rate": old}
    elif settings.get("type") == "constant" and "learning_rate" in settings:
        settings = {**settings, "initial_learning_rate": settings["learning_rate"]}
    elif "initial_learning_rate" in settings and name == "constant":
        settings = {**settings, "learning_rate": settings["initial_learning_rate"]}
    return with_value(document, location, _short_form(new_block(registry[name], settings), location))


def _short_form(table: dict[str, Any], location: Location) -> Any:
    if layer_part(location) == location:
        return table
    if table["type"] == "constant" and set(table) == {"type", "learning_rate"}:
        return table["learning_rate"]
    return table["type"] if set(table) == {"type"} else table


def new_block(block: type[Block], settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the table of a new block: with those settings of another that it takes, and first values where a setting
    has no default."""
    known = {name: value for name, value in (settings or {}).items() if name in block.model_fields}
    wrong = _wrong_settings(block, known)
    table = {"type": block.type_name(), **{name: value for name, value in known.items() if name not in wrong}}
    for name, field in block.model_fields.items():
        if field.is_required() and name not in table and name in FIRST_VALUES:
            table[name] = copy.deepcopy(FIRST_VALUES[name])
    return table


def _wrong_settings(block: type[Block], settings: dict[str, Any]) -> set[str]:
    try:
        block.model_validate(settings)
    except ValidationError as error:
        return {str(detail["loc"][0]) for detail in error.errors(include_url=False) if detail["loc"]}
    return set()


def default_at(document: dict[str, Any], location: Location) -> Any:
    """Return the default of a setting as it would be written, None where it has none."""
    if not location or isinstance(location[-1], int):
        return None
    model = settings_model(document, location[:-1])
    field = model.model_fields.get(str(location[-1])) if model is not None else None
    return None if field is None or field.is_required() else as_table(field.default)


def same(value: Any, default: Any) -> bool:
    """Return whether a value, written in any of its forms, is a default written as a table."""
    if isinstance(default, dict) and "type" in default:
        if isinstance(value, str):
            value = {"type": value}
        elif default["type"] == "constant" and isinstance(value, (int, float)):
            return bool(default.get("learning_rate") == value)
        return isinstance(value, dict) and {**default, **value} == default and value.get("type") == default["type"]
    return type(value) is type(default) and bool(value == default)


def settings_model(document: dict[str, Any], location: Location) -> type[BaseModel] | None:
    """Return the block or table of settings at a place, also where it is not written and its default stands."""
    model: type[BaseModel] | None = Experiment
    value: Any = document
    for part in location:
        default = None
        if isinstance(part, str):
            field = model.model_fields.get(part) if model is not None else None
            if field is None:
                return None
            model, default = model_in(field.annotation), field.default
            value = value.get(part) if isinstance(value, dict) else None
        else:
            value = value[part] if isinstance(value, list) and part < len(value) else None
        if model is not None and issubclass(model, Block) and not isinstance(value, list):
            model = _chosen(model, value, default)
    return model


def _chosen(kind: type[Block], value: Any, default: Any) -> type[Block] | None:
    """Return the block that a value names, whether or not its settings are right."""
    if value is None:
        return type(default) if isinstance(default, Block) else None
    if isinstance(value, (int, float)):
        value = "constant"
    name = as_settings(value).get("type")
    return kind.registry.get(name) if isinstance(name, str) else None


def kind_at(document: dict[str, Any], location: Location) -> type[BaseModel] | None:
    """Return what a setting is declared with: Activation, Layer, EarlyStopping; None for a plain value."""
    while location and isinstance(location[-1], int):
        location = location[:-1]
    holder = settings_model(document, location[:-1]) if location else None
    field = holder.model_fields.get(str(location[-1])) if holder is not None else None
    return model_in(field.annotation) if field is not None else None
