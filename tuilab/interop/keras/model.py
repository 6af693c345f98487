"""From a Keras model's own description to an experiment: a chain of layers that we have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tuilab.blocks.augmentations import Augmentation
from tuilab.blocks.layers import Layer
from tuilab.blocks.layers.containers import Container
from tuilab.errors import TuilabError
from tuilab.interop.keras.blocks import PARTS, UnknownPartError, block_class, group_name, part, written
from tuilab.text import as_written

MOST_NESTING = 8
MODELS = ("Sequential", "Functional", "Model")
UNUSED = {
    *("dtype", "batch_input_shape", "batch_shape", "input_shape", "input_dim", "input_length", "seed", "lora_rank"),
    *("lora_alpha", "renorm_clipping", "renorm_momentum", "virtual_batch_size", "sparse", "ragged", "autocast"),
}
"""Settings of Keras' layers that say nothing about what comes out."""
SEQUENCE_SIZES = ("kernel_size", "strides", "dilation_rate", "pool_size")
"""Settings that Keras writes as lists of one number for sequences."""
ACTIVATION_LAYERS = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "Softmax": "softmax",
}


class UnknownModelError(TuilabError):
    """A Keras model that cannot be an experiment: not a chain, or with layers that we have not."""


@dataclass
class Chain:
    """What a Keras model comes to."""

    name: str
    input_shape: tuple[int | None, ...]
    layers: list[dict[str, Any]]
    """Tables of an experiment file."""
    paths: dict[str, tuple[str, ...]]
    """Name of a layer that contains none, with those around it → its place in files of Keras 3."""
    axes: dict[str, Any]
    """Name of a layer that normalizes → the axis of a batch along which it does."""
    preparation: list[dict[str, Any]]
    """What is done to samples before the first layer: augmentations of an experiment file."""
    notes: list[str]
    """What was left out, in words."""


def read_model(config: dict[str, Any], version: str) -> Chain:
    """Return the chain of layers that the description of a model comes to, written by that version of Keras.

    Raises UnknownModelError with everything that keeps it from being one.
    """
    reading = _Reading(version)
    try:
        layers = reading.model(config, (), (), 0)
    except UnknownPartError as error:
        raise UnknownModelError(f"no experiment can be made of this model: {error}") from None
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise UnknownModelError("the description of the model is damaged or none of Keras'") from None
    if reading.problems:
        raise UnknownModelError("\n".join(["no experiment can be made of this model:", *reading.problems[:30]]))
    if not layers:
        raise UnknownModelError("no experiment can be made of this model: it has no layers")
    if reading.input_shape is None:
        raise UnknownModelError("no experiment can be made of this model: it does not say what goes in")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", written(config["config"].get("name") or "keras")) or "keras"
    return Chain(name, reading.input_shape, layers, reading.paths, reading.axes, reading.preparation, reading.notes)


class _Reading:
    """One description on its way to tables."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.paths: dict[str, tuple[str, ...]] = {}
        self.axes: dict[str, Any] = {}
        self.input_shape: tuple[int | None, ...] | None = None
        self.preparation: list[dict[str, Any]] = []
        self.begun = False
        """Whether a layer was met that is more than input or scaling."""

    def model(
        self, model: dict[str, Any], around: tuple[str, ...], path: tuple[str, ...], depth: int
    ) -> list[dict[str, Any]]:
        """Return the tables of a model's layers; `around` are the names around it, `path` its place in the file."""
        if model.get("class_name") not in MODELS:
            raise UnknownPartError(f"it is a {written(model.get('class_name'))}, not a Sequential or Functional model")
        if depth > MOST_NESTING:
            raise UnknownPartError(f"it has models in models, more than {MOST_NESTING} deep")
        config = model["config"]
        entries = config if isinstance(config, list) else config["layers"]  # a list: Keras 1
        if model["class_name"] != "Sequential":
            entries = list(_in_line(config))
        for shape in (
            (config.get("build_input_shape"), config.get("batch_input_shape")) if isinstance(config, dict) else ()
        ):
            self._input(shape)
        tables: list[dict[str, Any]] = []
        taken: set[str] = set()
        counts: dict[str, int] = {}
        for entry in entries:
            kind, settings = entry["class_name"], entry["config"]
            group = group_name(kind)
            number = counts[group] = counts.get(group, -1) + 1
            place = (*path, f"{group}_{number}" if number else group)
            given = settings.get("name", kind) if isinstance(settings, dict) else kind
            name = _free(re.sub(r"[^A-Za-z0-9_.-]", "_", written(given))[:50] or group, taken)
            try:
                table = self._layer(entry, kind, settings, name, around, place, depth)
            except UnknownPartError as error:
                self.problems.append(f"layer {written(given)}: {error}")
                continue
            if table is not None:
                taken.add(name)
                tables.append({"type": table.pop("type"), "name": name, **table})
        return tables

    def _input(self, shape: Any) -> None:
        """Take the shape of a batch, where it is the first that the description names."""
        if self.input_shape is None and isinstance(shape, list) and len(shape) > 1:
            if not all(size is None or (type(size) is int and 0 < size <= 1_000_000) for size in shape[1:]):
                raise UnknownPartError(f"its input has the shape {as_written(str(shape))}")
            self.input_shape = tuple(shape[1:])

    def _layer(
        self,
        entry: dict[str, Any],
        kind: str,
        settings: dict[str, Any],
        name: str,
        around: tuple[str, ...],
        place: tuple[str, ...],
        depth: int,
    ) -> dict[str, Any] | None:
        """Return the table of one layer, None where it does nothing here."""
        if kind == "Lambda":
            raise UnknownPartError("Lambda holds code, which is not run")
        own = str(entry.get("registered_name") or "")
        module = str(entry.get("module") or "keras")
        if ">" in own or module.partition(".")[0] not in ("keras", "tf_keras", "tensorflow", "builtins"):
            raise UnknownPartError(f"{written(kind)} is somebody's own code, which is not run")
        if not isinstance(settings, dict) and kind not in MODELS:
            raise UnknownPartError(f"{written(kind)} has no settings")
        if kind in MODELS:
            inner = self.model(entry, (*around, name), place, depth + 1)
            return {"type": "repeat", "layers": inner} if inner else None
        self._input(settings.get("batch_shape") or settings.get("batch_input_shape"))
        if kind == "InputLayer":
            return None
        if kind == "Rescaling" or _acts_in_training_alone(kind):
            self._prepare(kind, settings)
            return None
        self.begun = True
        here = "/".join((*around, name))
        table = _activation_table(kind, settings) if kind in ACTIVATION_LAYERS else self._table(kind, settings, here)
        self.paths[here] = place
        return table

    def _prepare(self, kind: str, settings: dict[str, Any]) -> None:
        """Take a layer that only prepares samples as part of the data."""
        if self.begun:
            raise UnknownPartError(f"{kind} comes after other layers; only before them it is part of the data")
        if kind != "Rescaling":
            self.notes.append(f"left out, as it acts in training alone: {kind}")
            return
        scale, offset = settings["scale"], settings["offset"]
        if isinstance(scale, (int, float)) and isinstance(offset, (int, float)):
            self.preparation.append({"type": "rescaling", "scale": float(scale), "offset": float(offset)})
            return
        count = max(len(value) for value in (scale, offset) if isinstance(value, list))
        scales, offsets = (value if isinstance(value, list) else [value] * count for value in (scale, offset))
        if min(scales) <= 0:
            raise UnknownPartError("Rescaling has a scale for each channel, not all above 0")
        pairs = list(zip(scales, offsets, strict=True))
        # x · scale + offset = (x − mean) / √variance
        mean, variance = [-offset / scale for scale, offset in pairs], [1 / scale**2 for scale in scales]
        self.preparation.append({"type": "normalization", "mean": mean, "variance": variance})

    def _table(self, kind: str, settings: dict[str, Any], here: str) -> dict[str, Any]:
        block = block_class(Layer, kind)
        if block is None or issubclass(block, Container):
            raise UnknownPartError(f"{written(kind)}, which tuilab has not")
        table: dict[str, Any] = {"type": block.type_name()}
        for key, value in settings.items():
            if key == "name" or key in UNUSED:
                continue
            if key == "axis":
                self.axes[here] = value[0] if isinstance(value, list) and len(value) == 1 else value
                continue
            if key not in block.model_fields:
                if not _does_nothing(key, value):
                    raise UnknownPartError(f"{written(kind)} with {written(key)} = {as_written(value)}")
            elif key.rpartition("_")[2] in PARTS:  # kernel_initializer, activation
                chosen = self._part(key, value)
                if chosen is not None:
                    table[key] = chosen
            elif isinstance(value, list) and len(value) == 1 and type(value[0]) is int and key in SEQUENCE_SIZES:
                table[key] = value[0]
            elif value is not None:
                table[key] = value
        return table

    def _part(self, key: str, value: Any) -> dict[str, Any] | None:
        try:
            chosen = part(key, value)
            if chosen == {"type": "hard_sigmoid"} and self.version[:2] in ("1.", "2."):
                raise UnknownPartError(
                    "activation is the hard_sigmoid of Keras 2, another function than that of Keras 3"
                )
            return chosen
        except UnknownPartError as error:
            if key.endswith("activation"):
                raise
            self.notes.append(f"left out: {error}")  # it matters only in training
            return None


def _acts_in_training_alone(kind: str) -> bool:
    block = block_class(Augmentation, kind)
    return block is not None and issubclass(block, Augmentation) and block.random


def _does_nothing(key: str, value: Any) -> bool:
    """Return whether a setting that we have not is as if it were not there."""
    return value is None or value is False or value == [] or (key == "data_format" and value == "channels_last")


def _activation_table(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the table of a layer that is an activation."""
    name = ACTIVATION_LAYERS[kind]
    activation: dict[str, Any] = {"type": name}
    slope = settings.get("negative_slope", settings.get("alpha"))
    if kind == "ReLU":
        most, threshold = settings.get("max_value"), _number(settings.get("threshold") or 0)
        most = None if most is None else _number(most)
        if threshold or (most is not None and (most != 6 or slope)):
            raise UnknownPartError("ReLU with a threshold, or a largest value that is not 6")
        if most is not None:
            activation = {"type": "relu6"}
        elif slope:
            activation = {"type": "leaky_relu", "negative_slope": _number(slope)}
    elif kind == "LeakyReLU":
        activation["negative_slope"] = _number(0.3 if slope is None else slope)
    elif kind == "ELU":
        activation["alpha"] = _number(settings.get("alpha", 1.0))
    elif settings.get("axis", -1) not in (-1, [-1]):
        raise UnknownPartError("Softmax along another axis than the last")
    return {"type": "activation", "activation": activation, "trainable": bool(settings.get("trainable", True))}


def _number(value: Any) -> float:
    """Return a number that Keras may have put into an array of its own description."""
    if isinstance(value, dict):
        value = value.get("config", {}).get("value")
    return float(value)


def _in_line(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the layers of a Functional model from its input to its output; raises UnknownPartError where they are no
    chain."""
    layers = {layer.get("name") or layer["config"]["name"]: layer for layer in config["layers"]}
    before: dict[str, str] = {}
    for name, layer in layers.items():
        nodes = layer["inbound_nodes"]
        if layer["class_name"] == "InputLayer" and not nodes:
            continue
        if len(nodes) != 1:
            raise UnknownPartError(f"its layers are no chain: {written(name)} is used {len(nodes)} times")
        sources = list(_sources(nodes[0]))
        if len(sources) != 1:
            raise UnknownPartError(f"its layers are no chain: {written(name)} takes {len(sources)} inputs")
        before[name] = sources[0]
    starts, ends = (_names(config[key]) for key in ("input_layers", "output_layers"))
    if len(starts) != 1 or len(ends) != 1:
        raise UnknownPartError("its layers are no chain: it has several inputs or outputs")
    way = [ends[0]]
    while way[-1] in before:
        way.append(before[way[-1]])
        if len(way) > len(layers):
            raise UnknownPartError("its layers are no chain: they go round in a circle")
    if way[-1] != starts[0] or len(way) != len(layers):
        raise UnknownPartError("its layers are no chain: some lead elsewhere")
    yield from (layers[name] for name in reversed(way))


def _sources(node: Any) -> Iterator[str]:
    """Yield the layers whose outputs a node takes, as Keras 3 and as Keras 2 describe it."""
    if isinstance(node, dict):
        extra = {key: value for key, value in node["kwargs"].items() if key not in ("training", "mask")}
        if extra or node["kwargs"].get("training"):
            raise UnknownPartError("a layer of it is called with arguments of its own")
        yield from _histories(node["args"])
    else:
        for source in node:
            if len(source) > 3 and source[3]:
                raise UnknownPartError("a layer of it is called with arguments of its own")
            yield source[0]


def _histories(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]["keras_history"][0]
    elif isinstance(value, list):
        for entry in value:
            yield from _histories(entry)


def _names(value: Any) -> Sequence[str]:
    """Return the layers of a model's inputs or outputs: one as ["name", 0, 0], several as a list of these."""
    return [value[0]] if value and isinstance(value[0], str) else [entry[0] for entry in value]


def _free(name: str, taken: set[str]) -> str:
    """Return a name that no other layer has."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
