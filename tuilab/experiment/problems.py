"""Turns what pydantic found wrong into places and remedies that a reader of the experiment file understands."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tuilab.blocks.block import Block
from tuilab.errors import Problem
from tuilab.text import clean_text, did_you_mean

Location = Sequence[int | str]


def problems_of(error: ValidationError, model: type[BaseModel], document: Any) -> list[Problem]:
    """Return every problem in `error`, found when `document` was validated as `model`."""
    found = []
    for detail in error.errors(include_url=False):
        location = _without_union_tags(detail["loc"], document)
        problem = Problem(place(location), _message(detail, location, model, document))
        if problem not in found:
            found.append(problem)
    return found


def place(location: Location) -> str:
    """Write a location as in the experiment file: `layers[2].units`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{clean_text(part, 60)}" if text else clean_text(part, 60)
    return text


def _without_union_tags(location: Location, document: Any) -> Location:
    """Drop the names that pydantic adds for the branches of a union; keep what stands in the document, and the last
    name where it is missing there."""
    kept: list[int | str] = []
    value = document
    for index, part in enumerate(location):
        if isinstance(value, Mapping) and (part in value or index == len(location) - 1):
            kept.append(part)
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            kept.append(part)
            value = value[part]
    return kept


def _message(detail: ErrorDetails, location: Location, model: type[BaseModel], document: Any) -> str:
    kind = detail["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        known = _fields_at(location[:-1], model, document)
        name = str(location[-1])
        others = f"; known here: {', '.join(known)}" if known else ""
        return "unknown setting" + (did_you_mean(name, known) or others)
    message = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    message = message[:1].lower() + message[1:]
    given = detail["input"]
    if message.startswith("must") and isinstance(given, (bool, int, float, str)):
        message += f", got {clean_text(repr(given), 60)}"
    return clean_text(message, 400)


def _fields_at(location: Location, model: type[BaseModel], document: Any) -> list[str]:
    """Return the settings that the block or table at `location` knows."""
    current: type[BaseModel] | None = model
    value = document
    for part in location:
        value = value[part]
        if isinstance(part, int):
            continue
        if current is None or part not in current.model_fields:
            return []
        current = _model_in(current.model_fields[part].annotation)
    if current is not None and issubclass(current, Block) and isinstance(value, Mapping):
        current = current.registry.get(str(value.get("type")), current)
    return list(current.model_fields) if current is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in `X`, `X | None` or `list[X]`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for part in typing.get_args(annotation) if (model := _model_in(part))), None)
