"""The fields of a form, made from the declaration of a block or a table of settings: no widgets, only what to show."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from tuilab.blocks.block import Block, as_table
from tuilab.blocks.layers import Layer
from tuilab.blocks.schedules import Constant
from tuilab.errors import Problem, TuilabError
from tuilab.experiment.edits import default_at, kind_at, settings_model
from tuilab.experiment.load import read_value
from tuilab.experiment.problems import Location, place
from tuilab.experiment.save import short
from tuilab.experiment.sections import as_settings, value_at, written
from tuilab.text import clean_text

Kind: TypeAlias = Literal[
    "number", "text", "value", "switch", "choice", "block", "rate", "blocks", "layers", "table", "more", "add"
]
"""number: int or float; text: as it is typed; value: written as in the file; switch: yes or no; choice: one of a few
words; block: one of a registry; rate: a number or a schedule; blocks: a list of blocks; layers: those inside a layer,
edited elsewhere; table: settings of its own that may be absent; more: the rest of the fields; add: one more entry of a
list."""

LAST = ("name", "trainable", "description")
"""Fields that come after all others, because few need them."""
SECTIONS = ("data", "layers", "training")
"""What has forms of its own."""
MORE = "…"
"""In the location of the line that stands for the rest of the fields."""


@dataclass(frozen=True)
class Choice:
    """One of the values that a field can take."""

    name: str
    summary: str = ""
    documentation: str = ""


@dataclass(frozen=True)
class Field:
    """One line of a form."""

    location: Location
    name: str
    kind: Kind
    value: str
    """As it is shown."""
    depth: int = 0
    written: bool = False
    """Whether it stands in the file; otherwise its default is shown."""
    optional: bool = False
    """Whether it can be nothing."""
    description: str = ""
    problem: str = ""
    open: bool | None = None
    """Whether the settings of its block are shown below it; None where it has none."""


def fields_of(
    document: dict[str, Any],
    location: Location,
    problems: Sequence[Problem] = (),
    opened: Collection[Location] = (),
    most: int = 1000,
) -> list[Field]:
    """Return the fields of the block or table at `location`, those of unfolded ones below them.

    Of more than `most` fields, those that nobody has set are one line, `more`.
    """
    return list(_Fields(document, problems, opened).form(location, most))


@dataclass(frozen=True)
class _Fields:
    """Makes the fields of one document."""

    document: dict[str, Any]
    problems: Sequence[Problem]
    opened: Collection[Location]

    def form(self, location: Location, most: int) -> Iterator[Field]:
        kind = kind_at(self.document, location) if location else None
        if kind is not None and issubclass(kind, Block):
            name = as_settings(value_at(self.document, location)).get("type", "?")
            said = self._said(location, True)
            about = f"What kind of {kind.kind_name()} this is; settings of the same name are kept."
            yield Field(location, "type", "block", clean_text(str(name), 60), 0, True, False, about, said)
        yield from self._settings(location, most, 0)

    def _settings(self, location: Location, most: int, depth: int) -> Iterator[Field]:
        model, written = settings_model(self.document, location), value_at(self.document, location)
        if model is None:
            return
        elsewhere = SECTIONS if not location else ()
        names = sorted((name for name in model.model_fields if name not in elsewhere), key=LAST.__contains__)
        shown = names
        if len(names) > most and (*location, MORE) not in self.opened:
            first = [name for name in names if name not in LAST][: most - 1]
            shown = [name for name in names if name in first or value_at(written, (name,)) is not None]
        for name in shown:
            yield from self._field((*location, name), model.model_fields[name], depth)
        unknown = [key for key in written if key not in model.model_fields] if isinstance(written, dict) else []
        for key in unknown:
            if key != "type" or not issubclass(model, Block):
                here = (*location, key)
                value, said = text_of(written[key]), self._said(here, False)
                yield Field(here, clean_text(key, 40), "value", value, depth, True, True, "", said)
        if len(shown) < len(names):
            hidden = [name for name in names if name not in shown]
            yield Field((*location, MORE), "", "more", f"{len(hidden)} more", depth, description=", ".join(hidden))

    def _field(self, location: Location, info: FieldInfo, depth: int) -> Iterator[Field]:
        value, kind = value_at(self.document, location), kind_of(info.annotation)
        is_open = location in self.opened if self._has_settings(location, kind) else None
        yield Field(
            location,
            str(location[-1]),
            kind,
            shown_value(self.document, location, kind),
            depth,
            value is not None,
            type(None) in typing.get_args(info.annotation),
            info.description or "",
            self._said(location, bool(is_open)),
            is_open,
        )
        if is_open and kind == "blocks":
            yield from self._entries(location, depth + 1)
        elif is_open:
            yield from self._settings(location, 1000, depth + 1)

    def _has_settings(self, location: Location, kind: Kind) -> bool:
        if kind == "blocks":
            return True
        if kind not in ("block", "rate", "table") or (kind == "table" and value_at(self.document, location) is None):
            return False
        inner = settings_model(self.document, location)
        return inner is not None and inner is not Constant and bool(inner.model_fields)

    def _entries(self, location: Location, depth: int) -> Iterator[Field]:
        entries = value_at(self.document, location)
        count = len(entries) if isinstance(entries, list) else 0
        for index in range(count):
            here = (*location, index)
            inner = settings_model(self.document, here)
            is_open = here in self.opened if inner is not None and inner.model_fields else None
            about = inner.summary() if inner is not None and issubclass(inner, Block) else ""
            value, said = shown_value(self.document, here, "block"), self._said(here, bool(is_open))
            yield Field(here, str(index + 1), "block", value, depth, True, True, about, said, is_open)
            if is_open:
                yield from self._settings(here, 1000, depth + 1)
        yield Field((*location, count), "", "add", "add one", depth, description="One more.")

    def _said(self, location: Location, is_open: bool) -> str:
        """Return what is wrong with a setting; where its own settings are not shown, also with those."""
        here = place(location)
        inside = () if is_open else (f"{here}.", f"{here}[")
        return "; ".join(
            problem.message for problem in self.problems if problem.place == here or problem.place.startswith(inside)
        )


def kind_of(annotation: Any) -> Kind:
    """Return how a setting of this type is edited."""
    parts = [part for part in _parts(annotation) if part is not type(None)]
    if len(parts) > 1:
        return "value"
    (part,) = parts
    if typing.get_origin(part) is tuple and typing.get_args(part)[0] is Layer:
        return "layers"
    if typing.get_origin(part) is list:
        inner = typing.get_args(part)[0]
        return "blocks" if isinstance(inner, type) and issubclass(inner, Block) else "value"
    if typing.get_origin(part) is Literal:
        return "choice"
    if not isinstance(part, type):
        return "value"
    if issubclass(part, Block):
        return "rate" if part.kind_name() == "schedule" else "block"
    if issubclass(part, BaseModel):
        return "table"
    return {bool: "switch", int: "number", float: "number", str: "text"}.get(part, "value")  # type: ignore[return-value]


def _parts(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Annotated:
        return _parts(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return [inner for part in typing.get_args(annotation) for inner in _parts(part)]
    return [annotation]


def shown_value(document: dict[str, Any], location: Location, kind: Kind) -> str:
    """Return a value, or the default that stands where it is not written, in few characters."""
    value = value_at(document, location)
    if value is None:
        value = default_at(document, location)
    if value is None:
        model = settings_model(document, location[:-1])
        field = model.model_fields.get(str(location[-1])) if model is not None else None
        return "required" if field is not None and field.is_required() else "none"
    if kind in ("block", "rate"):
        return _short_block(kind_at(document, location), value)
    if kind in ("blocks", "layers") and isinstance(value, list):
        names = [_short_block(kind_at(document, location), entry) for entry in value]
        return ", ".join(names) or "none"
    if kind == "table":
        return "yes" if isinstance(value, dict) else clean_text(str(value), 60)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text_of(value)


def text_of(value: Any) -> str:
    """Return a plain value as it is typed."""
    if isinstance(value, str):
        return clean_text(value, 400)
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return clean_text(written(value), 400) if value is not None else ""


def _short_block(kind: type[BaseModel] | None, value: Any) -> str:
    if kind is None or not issubclass(kind, Block):
        return clean_text(str(value), 60)
    try:
        block = kind.choose(value)
    except (ValidationError, PydanticCustomError):
        name = value.get("type", "?") if isinstance(value, dict) else value
        return clean_text(str(name), 60)
    return words_of(block)


def words_of(block: Block) -> str:
    """Return a block in a few words, a constant rate as its number."""
    if isinstance(block, Constant):
        return f"{block.learning_rate:g}"
    rate = getattr(block, "learning_rate", None)
    if not isinstance(rate, Constant):
        return short(block)
    usual = type(block).model_fields["learning_rate"].default
    name, *rest = short(block.model_copy(update={"learning_rate": usual})).split(" ")
    return " ".join([name, f"{rate.learning_rate:g}", *rest])


def edited_text(document: dict[str, Any], field: Field) -> str:
    """Return the text with which the editing of a field begins."""
    value = value_at(document, field.location)
    if value is None:
        value = default_at(document, field.location)
    if field.kind == "rate" and isinstance(value, dict):
        value = value.get("learning_rate")
    return text_of(value)


def value_of(field: Field, text: str) -> Any:
    """Return what a typed text means for a field, None where it is empty: the text itself where it is not what belongs
    there, so that it is kept and marked."""
    text = text.strip()
    if not text:
        return None
    if field.kind == "text":
        return text
    if field.kind in ("number", "rate"):
        plain = text.replace(",", "").replace("_", "").replace(" ", "")
        for number in (int, float):
            try:
                return number(plain)
            except ValueError:
                continue
        return text
    try:
        return read_value(text)
    except TuilabError:
        return text


def choices_of(document: dict[str, Any], location: Location) -> list[Choice]:
    """Return what a field can be chosen from: the words of a Literal, or the blocks of a kind."""
    kind = kind_at(document, location)
    if kind is not None and issubclass(kind, Block):
        return [
            Choice(name, block.summary(), block.documentation())
            for name, block in kind.registry.items()
            if issubclass(block, kind)
        ]
    model = settings_model(document, location[:-1])
    field = model.model_fields.get(str(location[-1])) if model is not None else None
    words = [] if field is None else [word for part in _parts(field.annotation) for word in typing.get_args(part)]
    return [Choice(str(word)) for word in words]


def bounds_of(info: FieldInfo) -> str:
    """Return the bounds of a number in words: `above 0, to 1`."""
    words = ((Gt, "gt", "above"), (Ge, "ge", "from"), (Lt, "lt", "below"), (Le, "le", "to"))
    return ", ".join(
        f"{word} {getattr(bound, attribute):,}"
        for bound in info.metadata
        for kind, attribute, word in words
        if isinstance(bound, kind)
    )


def explanation(document: dict[str, Any], field: Field) -> str:
    """Return what a field is, its bounds and its default."""
    model = settings_model(document, field.location[:-1]) if field.location else None
    info = model.model_fields.get(str(field.location[-1])) if model is not None else None
    if info is None or field.name == "type":
        return field.description
    facts = [bounds_of(info)]
    if not info.is_required():
        default = info.default
        shown = words_of(default) if isinstance(default, Block) else text_of(as_table(default))
        facts.append(f"default {shown or 'none'}" if default is not None else "default none")
    return " ".join(
        [field.description, *(f"({'; '.join(known)})" for known in [[fact for fact in facts if fact]] if known)]
    )
