"""Layers inside layers, in the text of an experiment file: each in a section of its own, so that it can be changed,
moved, taken out of the layer around it and put into another one."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tuilab.blocks.layers import Layer
from tuilab.experiment.problems import Location, model_in
from tuilab.experiment.sections import (
    LAYERS,
    Header,
    Section,
    Sections,
    as_settings,
    comments_of,
    cut,
    edited,
    ended_like,
    joined,
    layers_of,
    lines_of,
    section_text,
    spaced,
    value_at,
    with_inserted,
    written_key,
)

Change = Callable[[Sections, Header], Sections]
"""Changes the layers with a header among some sections."""


@lru_cache
def lists_of(type: str | None = None) -> tuple[str, ...]:
    """Return the settings of a type of layer that hold layers; those of all types where there is no such type."""
    block = Layer.registry.get(type) if type is not None else None
    fields = [item for known in ([block] if block else Layer.registry.values()) for item in known.model_fields.items()]
    return tuple(dict.fromkeys(name for name, field in fields if model_in(field.annotation) is Layer))


def is_layer_list(location: Location) -> bool:
    """Return whether layers are at a place: `layers`, `layers[2].layers`, `layers[2].projection`."""
    names, indices = location[::2], location[1::2]
    inner = all(name in lists_of() for name in names[1:])
    return len(location) % 2 == 1 and names[0] == "layers" and inner and all(isinstance(part, int) for part in indices)


def layer_part(location: Location) -> Location:
    """Return the innermost layer that a place belongs to: `layers[2].layers[0]`; empty where it is in none."""
    end = 0
    while len(location) > end + 1 and is_layer_list(location[: end + 1]) and isinstance(location[end + 1], int):
        end += 2
    return location[:end]


def plain(layers: Any) -> list[dict[str, Any]]:
    """Return layers as tables, those inside them too: a bare name is one with the name alone."""
    tables = [as_settings(layer) for layer in layers]
    return [
        {key: plain(value) if _holds_layers(key, value) else value for key, value in table.items()} for table in tables
    ]


def _holds_layers(key: str, value: Any) -> bool:
    return key in lists_of() and isinstance(value, list)


def with_layers_apart(sections: Sections, document: Mapping[str, Any]) -> Sections:
    """Return sections in which every outermost layer has one of its own; where the file has them as one list, it is
    rewritten."""
    layers = document.get("layers", [])
    apart = [section.values.get("layers") for section in sections if section.is_layer]
    if isinstance(layers, list) and apart == [[layer] for layer in layers]:
        return sections
    written = layer_sections(LAYERS, layers if isinstance(layers, list) else [])
    rest, comments = [], ""
    for section in sections:
        if section.is_layer:
            continue
        if "layers" in section.values:
            before = section.text
            section = Section(section.header, edited(before, LAYERS, {}))
            comments = _lost(before, section.text)
        rest.append(section)
    return with_inserted(tuple(rest), 0, _commented(comments, written))


def _lost(before: str, after: str) -> str:
    """Return the comments that are no more there, as lines."""
    kept = set(comments_of(after))
    return "".join(f"{line}\n" for line in comments_of(before) if line not in kept)


def _commented(comments: str, sections: Sequence[Section]) -> list[Section]:
    """Put comments above the first of some sections."""
    return [Section(one.header, one.text if number else comments + one.text) for number, one in enumerate(sections)]


def layer_sections(header: Header, layers: Sequence[Any]) -> list[Section]:
    """Return layers as new sections, one setting a line; those inside them below."""
    return [Section(header, _layer_text(header, table)) for table in plain(layers)]


def _layer_text(header: Header, table: Mapping[str, Any]) -> str:
    inner = {key: value for key, value in table.items() if _holds_layers(key, value) and value}
    own = {key: value for key, value in table.items() if key not in inner}
    below = (layer_sections((*header, key), value) for key, value in inner.items())
    return section_text(f"[[{'.'.join(header)}]]", own) + "\n" + "".join(map(joined, map(tuple, below)))


def parts_of(section: Section) -> Sections:
    """Return a layer without those inside, then these, each with what is inside it. What stands in an order in which
    that cannot be told apart is rewritten."""
    header = section.header
    parts = cut(section.text, header, lambda new, _: new[:-1] == header and new[-1] in lists_of())
    try:
        if _assembled(parts) == section.table:
            return parts
    except tomllib.TOMLDecodeError:
        pass
    text = _layer_text(header, section.table)
    parts = cut(text, header, lambda new, _: new[:-1] == header and new[-1] in lists_of())
    return tuple(_commented(_lost(section.text, text), parts))


def _assembled(parts: Sections) -> dict[str, Any]:
    table = dict(parts[0].table)
    for part in parts[1:]:
        table[part.header[-1]] = [*table.get(part.header[-1], []), part.table]
    return table


def _opened(section: Section, name: str) -> Sections:
    """Return the parts of a layer, of which those that its setting `name` holds have sections of their own."""
    head, *others = parts_of(section)
    written = head.table.get(name)
    if written is None:
        return (head, *others)
    without = _edited_layer(head, (name,), {})
    new = layer_sections((*head.header, name), written if isinstance(written, list) else [])
    if not new:
        return (without, *others)
    opened = (spaced(without), *_commented(_lost(head.text, without.text), new), *others)
    return (*opened[:-1], ended_like(opened[-1], section))


def _edited_layer(section: Section, keys: Location, table: Mapping[str, Any]) -> Section:
    new: Any = [table]
    for name in reversed(section.header):
        new = {name: new}
    return Section(section.header, edited(section.text, (*section.header, 0, *keys), new))


def within(sections: Sections, where: Location, change: Change, header: Header = ()) -> Sections:
    """Return the sections after a change of the layers that the list at `where` holds; raises KeyError or IndexError
    where there is no such layer around them."""
    name, *inner = where
    header = (*header, str(name))
    if not inner:
        return change(sections, header)
    place = layers_of(sections, header)[int(inner[0])]
    around = _opened(sections[place], str(inner[1]))
    text = joined(within(around, tuple(inner[1:]), change, header))
    return (*sections[:place], Section(header, text), *sections[place + 1 :])


def with_setting(sections: Sections, header: Header, index: int, keys: Location, table: Mapping[str, Any]) -> Sections:
    """Return the sections after one layer was given the setting at `keys` that `table` has, or lost it."""
    place = layers_of(sections, header)[index]
    before = sections[place]
    if len(keys) == 1 and keys[0] in lists_of():
        inner = (*header, str(keys[0]))
        rest = tuple(part for part in _opened(before, inner[-1]) if part.header != inner)
        parts = with_inserted(rest, 0, layer_sections(inner, value_at(table, keys) or []), inner)
        after = ended_like(Section(header, joined(parts)), before)
    else:
        head, *others = parts_of(before)
        after = Section(header, joined((_edited_layer(head, keys, table), *others)))
    return (*sections[:place], after, *sections[place + 1 :])


# Whole layers


def reheaded(section: Section, header: Header) -> Section:
    """Return a layer, with all inside it, under another header: as one that is inside another layer, or is no more."""
    old = len(section.header)
    lines = []
    for line, bare, names in lines_of(section.text):
        if names is not None and names[:old] == section.header:
            start, end = bare.index("["), bare.rindex("]") + 1
            brackets = 2 if bare[start : start + 2] == "[[" else 1
            new = section_text(
                "[" * brackets + ".".join((*header, *map(written_key, names[old:]))) + "]" * brackets, {}
            )
            line = line[:start] + new.rstrip() + line[end:]
        lines.append(line)
    return Section(header, "".join(lines))


def with_gone(sections: Sections, header: Header, chosen: range) -> Sections:
    places = layers_of(sections, header)
    gone = {places[index] for index in chosen}
    return tuple(section for place, section in enumerate(sections) if place not in gone)


def with_moved(sections: Sections, header: Header, chosen: range, by: int) -> Sections:
    """Return the sections after a stretch of layers was moved, at most to the end of the list."""
    places = layers_of(sections, header)
    by = max(-chosen[0], min(by, len(places) - 1 - chosen[-1]))
    order = [index for index in range(len(places)) if index not in chosen]
    order[chosen[0] + by : chosen[0] + by] = chosen
    result = list(sections)
    for place, index in zip(places, order, strict=True):
        result[place] = sections[places[index]]
    return (*map(spaced, result[:-1]), *result[-1:])


def with_group(sections: Sections, header: Header, chosen: range, table: Mapping[str, Any]) -> Sections:
    """Return the sections after a stretch of layers was put into the list `layers` of a new one."""
    places = [layers_of(sections, header)[index] for index in chosen]
    inside = [spaced(reheaded(sections[place], (*header, "layers"))) for place in places]
    text = _layer_text(header, table) + joined(tuple(inside))
    group = ended_like(Section(header, text), sections[places[-1]])
    gone = with_gone(sections, header, chosen)
    return with_inserted(gone, chosen.start, [group], header)


def contents_of(sections: Sections, header: Header, index: int, name: str) -> list[Section]:
    """Return the layers that the list `name` of a layer holds, as they would stand in its place, with the comments that
    stand above it."""
    head, *others = _opened(sections[layers_of(sections, header)[index]], name)
    inside = [reheaded(part, header) for part in others if part.header == (*header, name)]
    return _commented("".join(f"{line}\n" for line in comments_of(head.text)), inside)


def with_pasted(sections: Sections, header: Header, index: int, new: Sequence[Section]) -> Sections:
    """Return the sections with layers put before the layer with this index; those whose name is taken lose it."""
    places = layers_of(sections, header)
    names = (sections[place].table.get("name") for place in places)
    taken = {name for name in names if isinstance(name, str)}
    pasted = []
    for section in new:
        name = section.table.get("name")
        if isinstance(name, str) and name in taken:
            (section,) = with_setting((section,), section.header, 0, ("name",), {})
        if isinstance(name, str):
            taken.add(name)
        pasted.append(reheaded(section, header))
    return with_inserted(sections, max(0, min(index, len(places))), pasted, header)


def _inner(table: dict[str, Any]) -> list[dict[str, Any]]:
    held = (table[name] for name in lists_of() if isinstance(table.get(name), list))
    return [layer for layers in held for layer in plain(layers)]


def leaves(table: dict[str, Any]) -> int:
    """Return how many layers without layers inside there are in one, itself where it has none."""
    return sum(map(leaves, _inner(table))) or 1


def depth(table: dict[str, Any]) -> int:
    """Return how deep layers are inside one another, 1 for a layer that has none inside."""
    return 1 + max(map(depth, _inner(table)), default=0)
