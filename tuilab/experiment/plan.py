"""Works out, before any array exists, what a network will look like, and finds what does not fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.arrays import Shape
from tuilab.blocks.layers.layer import Layer, Parameter
from tuilab.blocks.metrics import Outputs
from tuilab.errors import ExperimentError, Problem
from tuilab.experiment.document import Experiment
from tuilab.experiment.fit import output_problems, training_problems


@dataclass(frozen=True)
class PlannedLayer:
    """One layer with its place: name, shapes of one sample, and parameters."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: tuple[Parameter, ...]

    @property
    def parameter_count(self) -> int:
        return sum(math.prod(parameter.shape) for parameter in self.parameters)

    @property
    def trainable_count(self) -> int:
        return sum(math.prod(parameter.shape) for parameter in self.parameters if parameter.trainable)


@dataclass(frozen=True)
class Plan:
    """A network before it is bound to arrays."""

    input_shape: Shape
    layers: tuple[PlannedLayer, ...]
    outputs: Outputs
    fused: bool
    """Whether the last activation is computed together with the loss."""

    @property
    def parameter_count(self) -> int:
        return sum(layer.parameter_count for layer in self.layers)

    @property
    def trainable_count(self) -> int:
        return sum(layer.trainable_count for layer in self.layers)


def plan(experiment: Experiment, info: DataInfo) -> Plan:
    """Return the network of an experiment on data of this kind; raises ExperimentError with every problem."""
    shape = input_shape(experiment, info)
    problems: list[Problem] = []
    layers: list[PlannedLayer] = []
    names: dict[str, int] = {}
    for index, layer in enumerate(experiment.layers):
        name = layer.name or f"{layer.type_name()}_{index + 1}"
        if name in names:
            problems.append(Problem(f"layers[{index}].name", f"layers[{names[name]}] has the name '{name}' already"))
        names[name] = index
        try:
            output = layer.output_shape(shape)
            layers.append(PlannedLayer(name, layer, shape, output, tuple(layer.parameters(shape))))
        except ValueError as error:
            problems.append(Problem(f"layers[{index}]", f"{layer.type_name()} {error}"))
            break
        shape = output
    else:
        problems += output_problems(experiment, info, shape)
    problems += training_problems(experiment, info)
    if problems:
        raise ExperimentError(problems, experiment.name)
    activation = experiment.layers[-1].output_activation()
    last = activation.type_name() if activation else "linear"
    scores = experiment.training.loss.targets == "signs" and last not in ("sigmoid", "hard_sigmoid", "step", "softmax")
    fused = activation is not None and experiment.training.loss.fuses_with == last
    return Plan(input_shape(experiment, info), tuple(layers), Outputs(info.task, shape[0], 0.0 if scores else 0.5), fused)


def input_shape(experiment: Experiment, info: DataInfo) -> Shape:
    """Return the shape in which the network sees one sample: images as vectors where `data.flatten` says so, or where
    it says nothing and the first layer that looks at shapes is dense."""
    flatten = experiment.data.flatten
    if flatten is None:
        first = next((layer for layer in experiment.layers if not layer.keeps_shape), None)
        flatten = first is not None and first.takes_vectors
    return (math.prod(info.input_shape),) if flatten else info.input_shape


def memory_bytes(planned: Plan, batch_size: int, slots: int, item_bytes: int) -> int:
    """Return about how much memory training takes: parameters, gradients and `slots` optimizer arrays, and each
    layer's output and the gradients between layers for one batch."""
    parameters = planned.parameter_count + planned.trainable_count * (1 + slots)
    sizes = [math.prod(planned.input_shape), *(math.prod(layer.output_shape) for layer in planned.layers)]
    return item_bytes * (parameters + batch_size * (sum(sizes) + 2 * max(sizes)))
