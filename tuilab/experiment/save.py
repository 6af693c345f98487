"""From an Experiment to the text of a file, every default written out."""

from __future__ import annotations

from typing import Any

from tuilab.blocks.block import Block, as_table
from tuilab.experiment.document import Experiment


def to_document(experiment: Experiment) -> dict[str, Any]:
    """Return the tables of an experiment; settings that are unset are left out."""
    document: dict[str, Any] = as_table(experiment)
    return document


def to_toml(experiment: Experiment) -> str:
    """Return the text of an experiment file that loads as the same experiment."""
    import tomlkit

    document = tomlkit.document()
    for key, value in to_document(experiment).items():
        if key == "layers":
            tables = tomlkit.aot()
            for layer in value:
                tables.append(_table(layer))
            document.append(key, tables)
        elif isinstance(value, dict):
            document.append(key, _table(value))
        else:
            document.append(key, value)
    return tomlkit.dumps(document)


def _table(settings: dict[str, Any]) -> Any:
    """A table whose own tables stand inline, one setting a line."""
    import tomlkit

    table = tomlkit.table()
    for key, value in settings.items():
        table.append(key, _inline(value))
    return table


def _inline(value: Any) -> Any:
    import tomlkit

    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        for key, item in value.items():
            inline.append(key, _inline(item))
        return inline
    if isinstance(value, list):
        array = tomlkit.array()
        for item in value:
            array.append(_inline(item))
        return array
    return value


def brief(block: Block) -> dict[str, Any]:
    """Return a block as a table of its type and the settings that differ from their defaults; blocks in it that have
    no others by their names."""
    changed = {
        name: _brief_setting(value)
        for name, field in type(block).model_fields.items()
        if (value := getattr(block, name)) != field.default and value is not None
    }
    return {"type": block.type_name(), **changed}


def _brief_setting(value: Any) -> Any:
    if isinstance(value, Block):
        table = brief(value)
        return table if len(table) > 1 else table["type"]
    if isinstance(value, tuple):
        return [brief(item) if isinstance(item, Block) else item for item in value]
    return value


def short(block: Block) -> str:
    """Return a block in a few characters for tables: its type, and the settings that differ from their defaults."""
    changed = [
        _short_setting(name, value)
        for name, field in type(block).model_fields.items()
        if name != "name" and (value := getattr(block, name)) != field.default and value is not None
        if not (
            isinstance(value, tuple) and value and isinstance(value[0], Block)
        )  # layers, which have lines of their own
    ]
    return " ".join([block.type_name(), *changed])


def _short_setting(name: str, value: Any) -> str:
    if isinstance(value, Block):
        return short(value)
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    return f"{value:g}" if isinstance(value, float) else str(value)
