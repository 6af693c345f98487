"""Fits the arrays of a Keras file to the parameters of a network: by name, or by kind and order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tuilab.experiment.plan import PlannedLayer
from tuilab.interop.keras.blocks import group_name, keras_class, written
from tuilab.interop.keras.layout import Contents, StoredArray, StoredLayer

SHOWN = 30


@dataclass
class Fit:
    """Which array becomes which parameter, and what does not fit."""

    arrays: dict[str, StoredArray] = field(default_factory=dict)
    """`layer name/parameter` → array."""
    missing: list[str] = field(default_factory=list)
    """What the network has and the file has not."""
    extra: list[str] = field(default_factory=list)
    """What the file has and the network has not."""
    different: list[str] = field(default_factory=list)
    """What is there with another shape."""

    @property
    def complete(self) -> bool:
        return not (self.missing or self.extra or self.different)

    def lines(self) -> list[str]:
        """Return what does not fit, a line each."""
        found = [
            *(f"missing in the file: {written(name)}" for name in self.missing),
            *(f"not in the network: {written(name)}" for name in self.extra),
            *self.different,
        ]
        return found[:SHOWN] + [f"and {len(found) - SHOWN} more"] * (len(found) > SHOWN)


def fit(contents: Contents, leaves: Sequence[PlannedLayer], paths: Mapping[str, tuple[str, ...]] | None = None) -> Fit:
    """Return which array of a file each parameter of a network takes; `leaves`: the layers that contain none; `paths`:
    where a file of Keras 3 has them, as far as that is known.

    Names count where all layers on one side are named on the other. Otherwise layers are taken in order, in files of
    Keras 3 those of each kind, where all shapes fit so. What is left goes by name.
    """
    wanted = [leaf for leaf in leaves if leaf.parameters]
    by_name = _by_name(contents, wanted)
    if len(by_name) in (len(wanted), len(contents.layers)) and by_name:
        return _fit(contents, wanted, by_name)
    by_order = _by_order(contents, wanted, paths or _numbered(leaves))
    ordered = _fit(contents, wanted, by_order)
    if ordered.complete or not by_name:
        return ordered
    return _fit(contents, wanted, by_name)


def _by_name(contents: Contents, wanted: Sequence[PlannedLayer]) -> dict[str, StoredLayer]:
    """Return the layers of the file for those of the network that were given the same name."""
    stored = Counter(layer.name for layer in contents.layers)
    names = Counter(leaf.layer.name for leaf in wanted)
    found = {layer.name: layer for layer in contents.layers if layer.name and stored[layer.name] == 1}
    return {
        leaf.name: found[leaf.layer.name]
        for leaf in wanted
        if leaf.layer.name is not None and leaf.layer.name in found and names[leaf.layer.name] == 1
    }


def _by_order(
    contents: Contents, wanted: Sequence[PlannedLayer], paths: Mapping[str, tuple[str, ...]]
) -> dict[str, StoredLayer]:
    if contents.layout == "keras 2":
        return {leaf.name: layer for leaf, layer in zip(wanted, contents.layers, strict=False)}
    found = {layer.path: layer for layer in contents.layers}
    return {leaf.name: found[paths[leaf.name]] for leaf in wanted if paths.get(leaf.name) in found}


def _numbered(leaves: Sequence[PlannedLayer]) -> dict[str, tuple[str, ...]]:
    """Return where Keras 3 puts the layers of a chain without groups: by their kind, numbered."""
    counts: Counter[str] = Counter()
    paths: dict[str, tuple[str, ...]] = {}
    for leaf in leaves:
        group = group_name(keras_class(type(leaf.layer)))
        paths[leaf.name] = (f"{group}_{counts[group]}" if counts[group] else group,)
        counts[group] += 1
    return paths


def _fit(contents: Contents, wanted: Sequence[PlannedLayer], pairs: Mapping[str, StoredLayer]) -> Fit:
    """Compare every parameter with what its layer has in the file."""
    result = Fit()
    used: set[str] = set()
    for leaf in wanted:
        layer = pairs.get(leaf.name)
        arrays = [] if layer is None else _in_order(layer.arrays, [parameter.name for parameter in leaf.parameters])
        for index, parameter in enumerate(leaf.parameters):
            name = f"{leaf.name}/{parameter.name}"
            if index >= len(arrays):
                result.missing.append(f"{name} {parameter.shape}")
                continue
            array = arrays[index]
            used.add(array.key)
            if array.shape == parameter.shape:
                result.arrays[name] = array
            else:
                result.different.append(_difference(name, parameter.shape, array.shape))
    for layer in contents.layers:
        for array in layer.arrays:
            if array.key not in used:
                label = "/".join(layer.path) if not layer.name else layer.name
                result.extra.append(f"{label}/{array.name} {array.shape}")
    return result


def _in_order(arrays: Sequence[StoredArray], parameters: Sequence[str]) -> Sequence[StoredArray]:
    """Return the arrays of a layer in the order of its parameters: by their names where they have the same ones."""
    named = {array.name.rpartition("/")[2].partition(":")[0]: array for array in arrays}
    return [named[name] for name in parameters] if set(named) == set(parameters) else arrays


def _difference(name: str, wanted: tuple[int, ...], found: tuple[int, ...]) -> str:
    turned = len(wanted) == len(found) and sorted(wanted) == sorted(found)
    what = (
        "transposed"
        if turned
        else "of another shape"
        if math.prod(wanted) != math.prod(found)
        else "laid out differently"
    )
    return f"{what}: {written(name)} is {found} in the file, {wanted} in the network"
