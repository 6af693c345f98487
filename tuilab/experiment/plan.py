"""Works out, before any array exists, what a network will look like, and finds what does not fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers.layer import Layer, Parameter
from tuilab.blocks.metrics import Outputs
from tuilab.errors import ExperimentError, Problem
from tuilab.experiment.document import Experiment
from tuilab.experiment.fit import last_activation, output_problems, training_problems
from tuilab.text import clean_text


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
            message = f"layers[{names[name]}] has the name '{name}' already: choose another"
            problems.append(Problem(f"layers[{index}].name", message))
        names[name] = index
        try:
            output = layer.output_shape(shape)
            parameters = tuple(layer.parameters(shape))
            for parameter in parameters:
                if parameter.constraint is not None:
                    parameter.constraint.check(parameter.shape)
            layers.append(PlannedLayer(name, layer, shape, output, parameters))
        except ValueError as error:
            problems.append(Problem(f"layers[{index}]", clean_text(f"{layer.type_name()} {error}")))
            break
        shape = output
    else:
        problems += output_problems(experiment, info, shape)
    problems += training_problems(experiment, info)
    if problems:
        raise ExperimentError(problems, clean_text(experiment.name))
    loss, last = experiment.training.loss, experiment.layers[-1]
    activation, fusing = last_activation(experiment), last.output_activation()
    fused = fusing is not None and loss.fuses_with == fusing.type_name()
    probabilities = activation is not None and activation.type_name() in ("sigmoid", "hard_sigmoid", "step", "softmax")
    threshold = 0.0 if loss.targets == "signs" and not probabilities else 0.5
    return Plan(input_shape(experiment, info), tuple(layers), Outputs(info.task, shape[0], threshold), fused)


def input_shape(experiment: Experiment, info: DataInfo) -> Shape:
    """Return the shape in which the network sees one sample: images as vectors where `data.flatten` says so, or where
    it says nothing and the first layer that looks at shapes is dense."""
    flatten = experiment.data.flatten
    if flatten is None:
        first = next((layer for layer in experiment.layers if not layer.keeps_shape), None)
        flatten = first is not None and first.takes_vectors
    return (math.prod(info.input_shape),) if flatten else info.input_shape


def memory_bytes(planned: Plan, experiment: Experiment) -> int:
    """Return about how much memory training takes, without the data: parameters, those of the best epoch and those
    before the last update, gradients and the optimizer's arrays; and for one batch each layer's output and the
    gradients between layers."""
    optimizer = experiment.training.optimizer
    slots = len(optimizer.used_slots()) + optimizer.use_ema + (optimizer.gradient_accumulation_steps is not None)
    parameters = 2 * planned.parameter_count + planned.trainable_count * (2 + slots)
    sizes = [math.prod(planned.input_shape), *(math.prod(layer.output_shape) for layer in planned.layers)]
    item_bytes = 8 if experiment.training.dtype == "float64" else 4
    return item_bytes * (parameters + experiment.data.batch_size * (sum(sizes) + 2 * max(sizes)))
