"""Changes of values, written into the text of an experiment file: what does not change stays as it was typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tuilab.experiment.nesting import is_layer_list, layer_part, with_setting, within
from tuilab.experiment.problems import Location
from tuilab.experiment.sections import Section, Sections, edited, section_text, spaced, value_at


def changed(sections: Sections, old: Mapping[str, Any], new: Mapping[str, Any]) -> Sections:
    """Return the sections after a change of values from `old` to `new`; as many outermost layers stand in both, each in
    a section of its own. Comments, order and spelling of everything else stay."""
    new = _spelled_like(old, new)
    for location in differences(old, new):
        layer = layer_part(location)
        if layer:
            change = partial(
                with_setting, index=int(layer[-1]), keys=location[len(layer) :], table=value_at(new, layer)
            )
            sections = within(sections, layer[:-1], change)
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


def differences(old: Any, new: Any, at: Location = ()) -> Iterator[Location]:
    """Yield where two documents differ: as deep as both have tables, or lists of equal length."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                yield (*at, key)
            else:
                yield from differences(old[key], new[key], (*at, key))
    elif is_layer_list(at) and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, (*at, index))
    elif type(old) is not type(new) or old != new:
        yield at


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
    text = edited(sections[best].text, location, new)
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
