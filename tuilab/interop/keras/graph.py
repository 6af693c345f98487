"""A network as a graph of Keras layers: what stands in config.json, and where the weights of each layer go."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuilab.blocks.arrays import Shape
from tuilab.blocks.block import Block
from tuilab.blocks.layers.containers import Container, Residual
from tuilab.blocks.layers.layer import Layer
from tuilab.experiment.plan import PlannedLayer
from tuilab.interop.keras.blocks import PARTS, UnknownPartError, group_name, keras_class, keras_part


@dataclass(frozen=True)
class Node:
    """A layer of Keras'."""

    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[str, ...]
    shape: Shape
    """Of one sample of its output."""
    leaf: PlannedLayer | None = None
    """The layer whose weights it takes."""


class Graph:
    """Layers of Keras' from input to output."""

    def __init__(self, name: str, shape: Shape, dtype: str) -> None:
        self.name = name
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.problems: list[str] = []
        self._names: set[str] = set()
        self.add("input_layer", "InputLayer", {"batch_shape": [None, *shape]}, (), shape)

    def add(
        self,
        name: str,
        kind: str,
        config: dict[str, Any],
        inputs: Sequence[str],
        shape: Shape,
        leaf: PlannedLayer | None = None,
    ) -> str:
        """Put a layer behind others; return its name, which no other has."""
        free = plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        number = 1
        while free in self._names:
            number += 1
            free = f"{plain}_{number}"
        self._names.add(free)
        settings = {"name": free, "dtype": self.dtype, **config}
        self.nodes.append(Node(free, kind, settings, tuple(inputs), shape, leaf))
        return free

    def chain(self, layers: Sequence[PlannedLayer]) -> None:
        """Put the layers of a network behind the last one; what Keras has not is left in `problems`."""
        self._chain(layers, self.nodes[-1].name)

    def _chain(self, layers: Sequence[PlannedLayer], before: str) -> str:
        for layer in layers:
            if isinstance(layer.layer, Residual):
                ends = [self._chain(branch, before) for branch in layer.branches]
                ways = ends if len(ends) > 1 else [ends[0], before]
                before = self.add(layer.name, "Add", {}, ways, layer.output_shape)
            elif layer.branches:
                if not (isinstance(layer.layer, Container) and layer.layer.groups_only):
                    self.problems.append(f"{layer.name} is a {layer.layer.type_name()}, which Keras has not")
                for branch in layer.branches:
                    before = self._chain(branch, before)
            else:
                before = self._leaf(layer, before)
        return before

    def _leaf(self, layer: PlannedLayer, before: str) -> str:
        settings: dict[str, Any] = {}
        for field in type(layer.layer).model_fields:
            if field != "name" and (field != "trainable" or layer.parameters):
                try:
                    settings[field] = _setting(layer.layer, field)
                except UnknownPartError as error:
                    self.problems.append(f"{layer.name} has {error}")
        return self.add(
            layer.layer.name or layer.name,
            keras_class(type(layer.layer)),
            settings,
            [before],
            layer.output_shape,
            layer,
        )

    @property
    def is_chain(self) -> bool:
        return all(len(node.inputs) < 2 for node in self.nodes)

    def config(self) -> dict[str, Any]:
        """Return the description of the model: a Sequential one where the layers are a chain, else a Functional one."""
        layers = []
        for node in self.nodes:
            entry: dict[str, Any] = {
                "module": "keras.layers",
                "class_name": node.kind,
                "config": node.config,
                "registered_name": None,
            }
            if not self.is_chain:
                entry |= {"name": node.name, "inbound_nodes": self._inbound(node)}
            layers.append(entry)
        config: dict[str, Any] = {"name": self.name, "trainable": True, "layers": layers}
        if self.is_chain:
            return _model("Sequential", "keras", config)
        first, last = self.nodes[0].name, self.nodes[-1].name
        ends = {"input_layers": [[first, 0, 0]], "output_layers": [[last, 0, 0]]}
        return _model("Functional", "keras.src.models.functional", config | ends)

    def _inbound(self, node: Node) -> list[dict[str, Any]]:
        if not node.inputs:
            return []
        shapes = {one.name: one.shape for one in self.nodes}
        tensors = [
            {
                "class_name": "__keras_tensor__",
                "config": {"shape": [None, *shapes[name]], "dtype": self.dtype, "keras_history": [name, 0, 0]},
            }
            for name in node.inputs
        ]
        return [{"args": [tensors] if len(tensors) > 1 else tensors, "kwargs": {}}]

    def places(self) -> dict[str, str]:
        """Return for each layer its group in the file of weights: kinds numbered in the order in which Keras has the
        layers of a model, the farthest from the output first, those equally far as they are met on the way back."""
        nodes = {node.name: node for node in self.nodes}
        met: dict[str, int] = {}
        waiting = [self.nodes[-1].name]
        while waiting:
            name = waiting.pop()
            if name not in met:
                met[name] = len(met)
                waiting += reversed(nodes[name].inputs)
        far = dict.fromkeys(nodes, 0)
        for node in reversed(self.nodes):
            for name in node.inputs:
                far[name] = max(far[name], far[node.name] + 1)
        counts: Counter[str] = Counter()
        found = {}
        for name in sorted(nodes, key=lambda name: (-far[name], met[name])):
            group = group_name(nodes[name].kind)
            found[name] = f"layers/{group}_{counts[group]}" if counts[group] else f"layers/{group}"
            counts[group] += 1
        return found


def _setting(layer: Layer, field: str) -> Any:
    value = getattr(layer, field)
    if isinstance(value, Block) or (value is None and field.rpartition("_")[2] in PARTS):
        return keras_part(value)
    return value


def _model(kind: str, module: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}
