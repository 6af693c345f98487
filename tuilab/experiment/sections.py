"""The text of an experiment file in sections, so that one can be changed and all others stay as they were typed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tuilab.experiment.guard import QUOTED
from tuilab.experiment.problems import Location

LAYERS = ("layers",)
PLAIN_HEADER = re.compile(r"\[{1,2}([\w-]+(?:\.[\w-]+)*)\]", re.ASCII)


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

    @property
    def table(self) -> dict[str, Any]:
        """The settings of a layer, those of the layers inside it among them."""
        found = value_at(self.values, (*self.header, 0))
        return found if isinstance(found, dict) else {}


Sections = tuple[Section, ...]
Header = tuple[str, ...]


def split(text: str) -> Sections:
    """Return the sections of a text that is TOML; joined they are the same text."""
    return cut(text, (), lambda header, before: not (len(header) > 1 and header[:1] == before[:1] == LAYERS))


def cut(text: str, first: Header, begins: Callable[[Header, Header], bool]) -> Sections:
    """Return the sections of a text, the first one with the header `first`. `begins(header, before)` says whether a
    header begins a section, or goes on with the one before."""
    found: list[tuple[Header, list[str]]] = [(first, [])]
    comments: list[str] = []
    for line, bare, header in lines_of(text):
        if line.lstrip().startswith("#") and not bare.strip():
            comments.append(line)
            continue
        if header is not None and begins(header, found[-1][0]):
            found.append((header, []))
        found[-1][1].extend([*comments, line])
        comments.clear()
    found[-1][1].extend(comments)
    return tuple(Section(header, "".join(lines)) for header, lines in found)


def lines_of(text: str) -> Iterator[tuple[str, str, Header | None]]:
    """Yield every line: as it is, with its strings and comments blotted out, and the header that it is, if any."""
    depth = 0
    for line, bare in _lines(text):
        if not depth and bare.lstrip().startswith("["):
            yield line, bare, _header(line)
        else:
            depth += sum(1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", bare))
            yield line, bare, None


def joined(sections: Sections) -> str:
    return "".join(section.text for section in sections)


def _lines(text: str) -> list[tuple[str, str]]:
    """Return every line as it is, and with its strings and comments blotted out."""
    bare = QUOTED.sub(lambda match: re.sub(r"[^\n]", " " if match[0][0] == "#" else "x", match[0]), text)
    pattern = r"[^\n]*\n|[^\n]+"
    return list(zip(re.findall(pattern, text), re.findall(pattern, bare), strict=True))


def _header(line: str) -> Header:
    if plain := PLAIN_HEADER.match(line):
        return tuple(plain[1].split("."))
    names: list[str] = []
    value: Any = tomllib.loads(line)
    while value:
        value = value[0] if isinstance(value, list) else value
        if value:
            (name, value), *_ = value.items()
            names.append(name)
    return tuple(names)


def layers_of(sections: Sections, header: Header = LAYERS) -> list[int]:
    """Return where the sections of the layers are, from input to output; those with another header than the outermost
    ones are layers inside one."""
    return [place for place, section in enumerate(sections) if section.header == header]


def comments_of(text: str) -> list[str]:
    return [match[0].rstrip() for match in QUOTED.finditer(text) if match[0][0] == "#"]


def as_settings(value: Any) -> dict[str, Any]:
    """Return a block as a table of settings: a bare name is one with the name alone."""
    if isinstance(value, dict):
        return value
    return {"type": value} if isinstance(value, str) else {}


def with_inserted(sections: Sections, index: int, new: Sequence[Section], header: Header = LAYERS) -> Sections:
    """Return the sections with layers put before the layer with this index, a blank line between any two."""
    layers = layers_of(sections, header)
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
        between[-1] = ended_like(between[-1], sections[-1])
    return (*before, *between, *after)


def ended_like(section: Section, other: Section) -> Section:
    """End a section with as many empty lines as another."""
    end = other.text[len(other.text.rstrip()) :]
    return Section(section.header, section.text.rstrip() + (end if "\n" in end else "\n"))


def spaced(section: Section) -> Section:
    """End a section with an empty line."""
    text = section.text if section.text.endswith("\n") else section.text + "\n"
    return Section(section.header, text if text.endswith(("\n\n", "\n\r\n")) else text + "\n")


def _bare(value: Any) -> Any:
    """Return a value with blocks that have no settings as their bare names."""
    if isinstance(value, list):
        return [_bare(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"type"} and isinstance(value["type"], str):
        return value["type"]
    return {key: _bare(entry) for key, entry in value.items()}


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


def edited(text: str, location: Location, new: Mapping[str, Any]) -> str:
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
    return "".join([f"{header}\n", *(f"{written_key(key)} = {written(value)}\n" for key, value in table.items())])


def written(value: Any) -> str:
    """Return a value as it is written on one line."""
    import tomlkit

    if isinstance(value, dict):
        settings = ", ".join(f"{written_key(key)} = {written(item)}" for key, item in value.items())
        return f"{{ {settings} }}" if settings else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    return str(tomlkit.item(value).as_string())


def written_key(name: str) -> str:
    """Return the name of a setting as it is written."""
    import tomlkit

    return str(tomlkit.key(name).as_string())
