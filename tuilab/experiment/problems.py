"""Turns what pydantic found wrong into places and remedies that a reader of the experiment file understands."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from datetime import date, time
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tuilab.blocks.block import Block
from tuilab.errors import Problem
from tuilab.text import as_written, clean_text, did_you_mean

Location: TypeAlias = tuple[int | str, ...]

MOST_PROBLEMS = 20

PLAIN = {
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "string_unicode": "must be text in Unicode",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table of settings",
}
"""What to say for pydantic's types of error, where its own words are those of a programmer."""
WRITTEN = (bool, int, float, str, list, Mapping, date, time)
"""What a value in a document can be."""


def problems_of(error: ValidationError, model: type[BaseModel], document: Any) -> list[Problem]:
    """Return what is wrong, found when `document` was validated as `model`: the first MOST_PROBLEMS places, and how
    many more there are."""
    found: dict[Location, list[ErrorDetails]] = {}
    above: set[Location] = set()
    for detail in error.errors(include_url=False):
        location = _in_document(detail, document)
        found.setdefault(location, []).append(detail)
        above.update(location[:depth] for depth in range(len(location)))
    for location in above & found.keys():  # a part is wrong: what is said about the whole only echoes it
        found[location] = [detail for detail in found[location] if not _of_whole(detail, location)]
        if not found[location]:
            del found[location]
    problems = [
        Problem(place(location), clean_text(message, 400))
        for location, details in list(found.items())[:MOST_PROBLEMS]
        for message in _messages(details, location, model, document)
    ]
    more = len(found) - MOST_PROBLEMS
    return [*problems, Problem("", f"and {more} more like these")] if more > 0 else problems


def place(location: Location) -> str:
    """Write a location as in the experiment file: `layers[2].units`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", part) else as_written(part)
            text += f".{key}" if text else key
    return text


def model_at(location: Location, model: type[BaseModel], document: Any) -> type[BaseModel] | None:
    """Return the block or table of settings that stands at `location` of a document for `model`."""
    current: type[BaseModel] | None = model
    value = document
    for part in location:
        value = value[part]
        if isinstance(part, str):
            if current is None or part not in current.model_fields:
                return None
            current = model_in(current.model_fields[part].annotation)
        if current is not None and issubclass(current, Block):
            name = value.get("type") if isinstance(value, Mapping) else value
            if isinstance(name, str):
                current = current.registry.get(name, current)
    return current


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in `X`, `X | None` or `list[X]`."""
    if not typing.get_args(annotation):
        return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return next((model for part in typing.get_args(annotation) if (model := model_in(part))), None)


def _in_document(detail: ErrorDetails, document: Any) -> Location:
    """Return where something is wrong, without the names that pydantic adds for the forms of a union: what stands in
    the document, and the last name where it is missing there."""
    kept: list[int | str] = []
    value = document
    location = detail["loc"]
    for part in location:
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, Mapping) and part in value):
            kept.append(part)
            value = value[part]
    if detail["type"] == "missing":
        kept.append(location[-1])
    return tuple(kept)


def _of_union(detail: ErrorDetails, location: Location) -> bool:
    return detail["type"] != "missing" and len(location) < len(detail["loc"])


def _of_whole(detail: ErrorDetails, location: Location) -> bool:
    return detail["type"] == "too_short" or _of_union(detail, location)


def _messages(details: list[ErrorDetails], location: Location, model: type[BaseModel], document: Any) -> list[str]:
    """Return what to say about one place; the forms of a union that did not fit are one message."""
    messages: list[str] = []
    for detail in details:
        message = _message(detail, location, model, document)
        if messages and _of_union(detail, location):
            messages[-1] += " or " + message.removeprefix("must be ")
        else:
            messages.append(message)
    return [message + _given(message, location, document) for message in messages]


def _message(detail: ErrorDetails, location: Location, model: type[BaseModel], document: Any) -> str:
    kind = detail["type"]
    if kind == "missing":
        return _missing_setting(str(location[-1]), model_at(location[:-1], model, document))
    if kind == "extra_forbidden":
        return _unknown_setting(str(location[-1]), model_at(location[:-1], model, document), model)
    if kind in PLAIN:
        return PLAIN[kind]
    message = detail["msg"].removeprefix("Value error, ")
    message = re.sub(r"^(Input|String|List|Tuple|Dictionary) should ", "must ", message)
    message = re.sub(r" after validation, not .*", "", message)
    message = re.sub(r"\bitem(s?)$", lambda match: "entries" if match[1] else "entry", message)
    message = message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    if kind == "literal_error":
        message = message.replace("'", '"')
    return message[:1].lower() + message[1:]


def _given(message: str, location: Location, document: Any) -> str:
    """Return ", got …" with the value in the document, where the message says what must stand there."""
    if not message.startswith("must ") or ", got " in message:
        return ""
    value = document
    for part in location:
        value = value[part]
    return f", got {as_written(value)}" if isinstance(value, WRITTEN) else ""


def _missing_setting(name: str, here: type[BaseModel] | None) -> str:
    field = here.model_fields.get(name) if here is not None else None
    description = (field.description if field is not None else None) or ""
    return f"is missing ({description[:1].lower()}{description[1:].rstrip('.')})" if description else "is missing"


def _unknown_setting(name: str, here: type[BaseModel] | None, model: type[BaseModel]) -> str:
    known = list(here.model_fields) if here is not None else []
    if home := _home(name, model):
        top = " at the top of the file" * (home == name)
        return f"unknown setting, did you mean '{home}'{top}?"
    others = f"known here: {', '.join(known)}" if known else "nothing can be set here"
    return "unknown setting" + (did_you_mean(name, known) or f"; {others}")


def _home(name: str, model: type[BaseModel], prefix: str = "") -> str:
    """Return where a setting of this name belongs that stands in a wrong place; empty for an unknown name."""
    if name in model.model_fields:
        return prefix + name
    inner = ((field, model_in(info.annotation)) for field, info in model.model_fields.items() if field != "layers")
    return next((home for field, part in inner if part and (home := _home(name, part, f"{prefix}{field}."))), "")
