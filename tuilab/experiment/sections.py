"""The text of an experiment file in sections, so that one can be changed and all others stay as they were typed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tuilab.experiment.guard import QUOTED
from tuilab.experiment.problems import Location

LAYERS = ("layers",)


@dataclass(frozen=True)
class Section:
    """A header with the comment right above it and what follows; the first section stands before any header.

    A layer with its sub-tables ([layers.activation]) is one section.
    """

    header: tuple[str, ...]
    text: str

    @cached_property
    def values(self) -> dict[str, Any]:
        return tomllib.loads(self.text)

    @property
    def is_layer(self) -> bool:
        return self.header[:1] == LAYERS


Sections = tuple[Section, ...]


def split(text: str) -> Sections:
    """Return the sections of a text that is TOML; joined they are the same text."""
    found: list[tuple[tuple[str, ...], list[str]]] = [((), [])]
    comments: list[str] = []
    depth = 0
    for line, bare in _lines(text):
        if line.lstrip().startswith("#") and not bare.strip():
            comments.append(line)
            continue
        is_header = not depth and bare.lstrip().startswith("[")
        if is_header:
            header = _header(line)
            if not (len(header) > 1 and header[:1] == found[-1][0][:1] == LAYERS):
                found.append((header, []))
        else:
            depth += sum(1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", bare))
        found[-1][1].extend([*comments, line])
        comments.clear()
    found[-1][1].extend(comments)
    return tuple(Section(header, "".join(lines)) for header, lines in found)


def joined(sections: Sections) -> str:
    return "".join(section.text for section in sections)


def _lines(text: str) -> list[tuple[str, str]]:
    """Return every line as it is, and with its strings and comments blotted out."""
    bare = QUOTED.sub(lambda match: re.sub(r"[^\n]", " " if match[0][0] == "#" else "x", match[0]), text)
    pattern = r"[^\n]*\n|[^\n]+"
    return list(zip(re.findall(pattern, text), re.findall(pattern, bare), strict=True))


def _header(line: str) -> tuple[str, ...]:
    names: list[str] = []
    value: Any = tomllib.loads(line)
    while value:
        value = value[0] if isinstance(value, list) else value
        if value:
            (name, value), *_ = value.items()
            names.append(name)
    return tuple(names)


def layers_of(sections: Sections) -> list[int]:
    """Return where the sections of the layers are, from input to output."""
    return [place for place, section in enumerate(sections) if section.is_layer]


def with_layers_apart(sections: Sections, document: Mapping[str, Any]) -> Sections:
    """Return sections in which every layer has one of its own; where the file has them as one list, it is rewritten."""
    layers = document.get("layers", [])
    apart = [section.values.get("layers") for section in sections if section.is_layer]
    if isinstance(layers, list) and apart == [[layer] for layer in layers]:
        return sections
    tables = [as_settings(layer) for layer in layers] if isinstance(layers, list) else []
    written = [Section(LAYERS, section_text("[[layers]]", table) + "\n") for table in tables]
    rest, comments = [], ""
    for section in sections:
        if section.is_layer:
            continue
        if "layers" in section.values:
            before = section.text
            section = Section(section.header, _edited(before, LAYERS, {}))
            kept = set(_comments(section.text))
            comments = "".join(f"{line}\n" for line in _comments(before) if line not in kept)
        rest.append(section)
    if comments and written:
        written[0] = Section(LAYERS, comments + written[0].text)
    return with_inserted(tuple(rest), 0, written)


def _comments(text: str) -> list[str]:
    return [match[0].rstrip() for match in QUOTED.finditer(text) if match[0][0] == "#"]


def as_settings(value: Any) -> dict[str, Any]:
    """Return a block as a table of settings: a bare name is one with the name alone."""
    if isinstance(value, dict):
        return value
    return {"type": value} if isinstance(value, str) else {}


def with_inserted(sections: Sections, index: int, new: list[Section]) -> Sections:
    """Return the sections with layers put before the layer with this index, a blank line between any two."""
    layers = layers_of(sections)
    if index < len(layers):
        at = layers[index]
    elif layers:
        at = layers[-1] + 1
    else:
        trainings = [place for place, section in enumerate(sections) if section.header[:1] == ("training",)]
        at = trainings[0] if trainings else len(sections)
    before = list(sections[:at])
    if before and before[-1].text:
        before[-1] = spaced(before[-1])
    after = sections[at:]
    between = [spaced(section) for section in new]
    if not after and between:
        between[-1] = Section(LAYERS, between[-1].text.rstrip() + "\n")
    return (*before, *between, *after)


def spaced(section: Section) -> Section:
    """End a section with an empty line."""
    text = section.text if section.text.endswith("\n") else section.text + "\n"
    return Section(section.header, text if text.endswith(("\n\n", "\n\r\n")) else text + "\n")


def changed(sections: Sections, old: Mapping[str, Any], new: Mapping[str, Any]) -> Sections:
    """Return the sections after a change of values from `old` to `new`; as many layers stand in both, each in a section
    of its own. Comments, order and spelling of everything else stay."""
    new = _spelled_like(old, new)
    for location in differences(old, new):
        if location[0] == "layers" and len(location) > 1:
            place = layers_of(sections)[int(location[1])]
            layer = {"layers": [new["layers"][location[1]]]}
            inside = ("layers", 0, *location[2:])
            text = _edited(sections[place].text, inside, layer)
            sections = (*sections[:place], Section(LAYERS, text), *sections[place + 1 :])
        else:
            sections = _with_value(sections, location, new)
    return sections


def _spelled_like(old: Any, new: Any) -> Any:
    """Return `new` with bare names of blocks as tables where they are tables in `old`."""
    if isinstance(old, dict) and isinstance(new, str):
        return {"type": new}
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _spelled_like(old.get(key), value) for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_spelled_like(before, after) for before, after in zip(old, new, strict=True)]
    return new


def _bare(value: Any) -> Any:
    """Return a value with blocks that have no settings as their bare names."""
    if isinstance(value, list):
        return [_bare(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"type"} and isinstance(value["type"], str):
        return value["type"]
    return {key: _bare(entry) for key, entry in value.items()}


def differences(old: Any, new: Any, at: Location = ()) -> Iterator[Location]:
    """Yield where two documents differ: as deep as both have tables, or lists of equal length."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                yield (*at, key)
            else:
                yield from differences(old[key], new[key], (*at, key))
    elif at == LAYERS and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, (*at, index))
    elif type(old) is not type(new) or old != new:
        yield at


def value_at(document: Any, location: Location) -> Any:
    """Return what stands at a place of a document, None where there is nothing."""
    for part in location:
        if isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        elif isinstance(document, Mapping):
            document = document.get(part)
        else:
            return None
    return document


def _with_value(sections: Sections, location: Location, new: Mapping[str, Any]) -> Sections:
    """Write the value that `new` has at a place outside the layers, or take it away where there is none."""
    value = value_at(new, location)
    if not isinstance(value, dict):
        sections = tuple(section for section in sections if section.header[: len(location)] != location)
    known = [place for place, section in enumerate(sections) if _may_hold(section, location)]
    best = max(known, key=lambda place: (_depth(sections[place], location), len(sections[place].header)))
    top = location[:1]
    if len(location) > 1 and not _depth(sections[best], location):
        return _with_section(sections, top, new)
    if len(location) == 1 and isinstance(value, dict):
        return _with_section(sections, top, new)
    text = _edited(sections[best].text, location, new)
    return (*sections[:best], Section(sections[best].header, text), *sections[best + 1 :])


def _may_hold(section: Section, location: Location) -> bool:
    depth = len(section.header)
    return not section.is_layer and depth < len(location) and section.header == location[:depth]


def _depth(section: Section, location: Location) -> int:
    """How far down the way to a place leads in a section."""
    depth = 0
    while depth < len(location) - 1 and value_at(section.values, location[: depth + 1]) is not None:
        depth += 1
    return depth


def _with_section(sections: Sections, top: Location, new: Mapping[str, Any]) -> Sections:
    """Give a table of the document a section of its own, with what is not written in others."""
    name = str(top[0])
    elsewhere = {section.header[1] for section in sections if section.header[:1] == top and len(section.header) > 1}
    own = {key: value for key, value in new[name].items() if key not in elsewhere}
    section = Section((name,), section_text(f"[{name}]", own))
    under = [place for place, other in enumerate(sections) if other.header[:1] == top]
    at = under[0] if under else len(sections)
    before = list(sections[:at])
    if before and before[-1].text:
        before[-1] = spaced(before[-1])
    return (*before, spaced(section) if under else section, *sections[at:])


def _edited(text: str, location: Location, new: Mapping[str, Any]) -> str:
    """Return the text of a section in which the value at `location` is the one in `new`, or is gone where there is
    none; what stands inline is written anew as a whole."""
    import tomlkit
    from tomlkit.items import AoT, Table

    end = len(text) - len(_after_values(text))
    document: Any = tomlkit.parse(text[:end])
    holder, depth = document, 0
    while depth < len(location) - 1 and isinstance(value_at(holder, location[depth : depth + 1]), (AoT, Table)):
        holder, depth = holder[location[depth]], depth + 1
    key, value = location[depth], value_at(new, location[: depth + 1])
    if value is not None:
        holder[key] = tomlkit.value(written(_bare(value)))
    elif key in holder:
        del holder[key]
    return tomlkit.dumps(document) + text[end:]


def _after_values(text: str) -> str:
    """Return the empty lines and comments at the end of a section."""
    lines = _lines(text)
    start = len(lines)
    while start and not lines[start - 1][1].strip():
        start -= 1
    return "".join(line for line, _ in lines[start:])


def section_text(header: str, table: Mapping[str, Any]) -> str:
    """Return a section of its own, one setting a line."""
    return "".join([f"{header}\n", *(f"{_key(key)} = {written(value)}\n" for key, value in table.items())])


def written(value: Any) -> str:
    """Return a value as it is written on one line."""
    import tomlkit

    if isinstance(value, dict):
        settings = ", ".join(f"{_key(key)} = {written(item)}" for key, item in value.items())
        return f"{{ {settings} }}" if settings else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    return str(tomlkit.item(value).as_string())


def _key(name: str) -> str:
    import tomlkit

    return str(tomlkit.key(name).as_string())
