"""What a Keras file turned out to hold: told by the process that reads it to the one that asked for it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

MOST_OBJECTS = 20_000
"""Groups and arrays in a file."""
MOST_DEPTH = 24
"""Of groups in groups."""
MOST_ARRAY_BYTES = 16 << 30
MOST_CONFIG_BYTES = 32 << 20
REFUSED = 3
"""Exit code of the reader for a file that it will not read; the reason is on stdout."""


@dataclass(frozen=True)
class StoredArray:
    """An array of the file: its own name, and the one that it has among the arrays handed over."""

    name: str
    key: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StoredLayer:
    """A layer that keeps something, with its arrays in Keras' order."""

    path: tuple[str, ...]
    """Where it stands, from the outermost model inwards: names in the file, such as `dense_1` for the second dense."""
    name: str
    """Its own name, as its maker gave it; empty where the file does not say."""
    arrays: tuple[StoredArray, ...]


@dataclass(frozen=True)
class Contents:
    """All that is used of a file."""

    layout: str
    """`keras 3` numbers the layers of a kind, `keras 2` tells their order."""
    version: str
    config: str
    """The model's own description as JSON; empty where the file holds weights alone."""
    layers: tuple[StoredLayer, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Contents:
        """Return what `to_json` gave."""
        values: dict[str, Any] = json.loads(text)
        layers = [
            StoredLayer(
                tuple(layer["path"]),
                layer["name"],
                tuple(StoredArray(one["name"], one["key"], tuple(one["shape"])) for one in layer["arrays"]),
            )
            for layer in values.pop("layers")
        ]
        return cls(**values, layers=tuple(layers))
