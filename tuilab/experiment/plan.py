"""Works out, before any array exists, what a network will look like, and finds what does not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

from tuilab.blocks.arrays import Shape
from tuilab.blocks.augmentations import Augmentation
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers.containers import MOST_LAYERS, Container, first_wish, last_of, leaf_count
from tuilab.blocks.layers.layer import Layer, Parameter
from tuilab.blocks.metrics import Outputs
from tuilab.errors import ExperimentError, Problem
from tuilab.experiment.document import Experiment
from tuilab.experiment.fit import (
    augmentation_problems,
    augmented_shape,
    last_activation,
    output_problems,
    training_problems,
)
from tuilab.text import clean_text


@dataclass(frozen=True)
class PlannedLayer:
    """One layer with its place: name, shapes of one sample, parameters, and the layers inside it."""

    name: str
    """That of a layer inside another begins with the other's and a slash."""
    place: str
    """In the experiment file: `layers[2]`, `layers[2].layers[0]`."""
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: tuple[Parameter, ...]
    """Its own."""
    branches: tuple[tuple[PlannedLayer, ...], ...] = ()
    """What `layer.branches()` holds."""

    @property
    def leaves(self) -> tuple[PlannedLayer, ...]:
        """All layers in it that contain none, from input to output; of a layer that contains none, itself."""
        if not self.branches:
            return (self,)
        return tuple(leaf for branch in self.branches for inner in branch for leaf in inner.leaves)

    @property
    def parameter_count(self) -> int:
        return sum(math.prod(parameter.shape) for leaf in self.leaves for parameter in leaf.parameters)

    @property
    def trainable_count(self) -> int:
        parameters = (parameter for leaf in self.leaves for parameter in leaf.parameters)
        return sum(math.prod(parameter.shape) for parameter in parameters if parameter.trainable)


@dataclass(frozen=True)
class Plan:
    """A network before it is bound to arrays."""

    input_shape: Shape
    layers: tuple[PlannedLayer, ...]
    outputs: Outputs
    fused: bool
    """Whether the last activation is computed together with the loss."""
    augmentation: tuple[Augmentation, ...] = ()
    """What is done to samples of the data before they have the input shape."""
    exact: bool = False
    """Whether convolutions are products and sums alone, without a transform."""

    @cached_property
    def leaves(self) -> tuple[PlannedLayer, ...]:
        """All layers that contain none: those with arrays of their own."""
        return tuple(leaf for layer in self.layers for leaf in layer.leaves)

    @property
    def parameter_count(self) -> int:
        return sum(layer.parameter_count for layer in self.layers)

    @property
    def trainable_count(self) -> int:
        return sum(layer.trainable_count for layer in self.layers)


def plan(experiment: Experiment, info: DataInfo, trainable: bool = True) -> Plan:
    """Return the network of an experiment on data of this kind; raises ExperimentError with every problem. Where it
    need not be `trainable`, what it gives may not suit the loss: layers that others are to follow."""
    problems = augmentation_problems(experiment, info)
    layers = None
    if (count := sum(leaf_count(layer) for layer in experiment.layers)) > MOST_LAYERS:
        problems.append(Problem("layers", f"come to {count:,} with those inside others, at most {MOST_LAYERS} can be"))
    else:
        layers = _plan_layers(experiment.layers, input_shape(experiment, info), "", "layers", problems)
    if trainable:
        if layers is not None:
            problems += output_problems(experiment, info, layers[-1].output_shape)
        problems += training_problems(experiment, info)
    if problems or layers is None:
        raise ExperimentError(problems, clean_text(experiment.name))
    loss, last = experiment.training.loss, last_of(experiment.layers)
    activation, fusing = last_activation(experiment), last.layer.output_activation()
    fused = fusing is not None and loss.fuses_with == fusing.type_name()
    probabilities = activation is not None and activation.type_name() in ("sigmoid", "hard_sigmoid", "step", "softmax")
    threshold = 0.0 if loss.targets == "signs" and not probabilities else 0.5
    outputs = Outputs(info.task, layers[-1].output_shape[0], threshold)
    augmentation = tuple(experiment.data.augmentation)
    exact = experiment.training.convolution == "exact"
    return Plan(input_shape(experiment, info), layers, outputs, fused, augmentation, exact)


def _plan_layers(
    layers: Sequence[Layer], shape: Shape, around: str, here: str, problems: list[Problem], trainable: bool = True
) -> tuple[PlannedLayer, ...] | None:
    """Return layers one after another, for inputs of `shape`; None, with a problem more, where they do not fit."""
    planned: list[PlannedLayer] = []
    names: dict[str, str] = {}
    for index, layer in enumerate(layers):
        name, place = layer.name or f"{layer.type_name()}_{index + 1}", f"{here}[{index}]"
        if name in names:
            problems.append(Problem(f"{place}.name", f"{names[name]} has the name '{name}' already: choose another"))
        names[name] = place
        known = len(problems)
        try:
            one = plan_layer(layer if trainable else frozen(layer), shape, around + name, place, problems)
        except ValueError as error:
            if len(problems) == known:
                problems.append(Problem(place, clean_text(f"{layer.type_name()} {error}")))
            return None
        planned.append(one)
        shape = one.output_shape
    return tuple(planned)


def plan_layer(layer: Layer, shape: Shape, name: str, place: str, problems: list[Problem]) -> PlannedLayer:
    """Return one layer for inputs of `shape`. Raises ValueError where it does not fit, with a problem more where that
    is a layer inside it."""
    branches: list[tuple[PlannedLayer, ...]] = []
    for branch in layer.branches():
        start = branches[-1][-1].output_shape if branch.follows else shape
        around = f"{name}/{branch.name}/" if branch.name else f"{name}/"
        inside: list[Problem] = []
        inner = _plan_layers(branch.layers, start, around, f"{place}.{branch.field}", inside, layer.trainable)
        if inside and branch.field not in type(layer).model_fields:  # no place in the file
            raise ValueError(f"does not fit: its {inside[0].message}")
        problems += inside
        if inner is None:
            raise ValueError
        branches.append(inner)
    output = layer.output_shape(shape)
    parameters = tuple(layer.parameters(shape))
    for parameter in parameters:
        if parameter.constraint is not None:
            parameter.constraint.check(parameter.shape)
    return PlannedLayer(name, place, layer, shape, output, parameters, tuple(branches))


def in_line(layers: Sequence[PlannedLayer]) -> list[PlannedLayer]:
    """Return layers one after another as they run: those inside a layer that only groups them in its place."""
    found: list[PlannedLayer] = []
    for layer in layers:
        groups = isinstance(layer.layer, Container) and layer.layer.groups_only
        found += in_line([one for branch in layer.branches for one in branch]) if groups else [layer]
    return found


def largest_inputs(layers: Sequence[PlannedLayer]) -> list[int]:
    """Return the most values of a sample that a layer takes: of `layers`, of those inside them, and so on."""
    flat = in_line(layers)
    inside = [largest_inputs(branch) for layer in flat for branch in layer.branches]
    sizes = (max(depth) for depth in zip_longest(*inside, fillvalue=0))
    return [max(math.prod(layer.input_shape) for layer in flat), *sizes]


def frozen(layer: Layer) -> Layer:
    """Return a layer whose parameters training does not change."""
    return layer.model_copy(update={"trainable": False})


def input_shape(experiment: Experiment, info: DataInfo) -> Shape:
    """Return the shape in which the network sees one sample, augmented: images as vectors where `data.flatten` says so,
    or where it says nothing and the first layer that looks at shapes is dense."""
    flatten = experiment.data.flatten
    if flatten is None:
        flatten = first_wish(experiment.layers) or False
    shape = augmented_shape(experiment.data, info)
    return (math.prod(shape),) if flatten else shape


def memory_bytes(planned: Plan, experiment: Experiment) -> int:
    """Return about how much memory training takes, without the data: parameters, those of the best epoch and those
    before the last update, gradients and the optimizer's arrays; and for one batch each layer's output and the
    gradients between layers."""
    return _parameter_bytes(planned, experiment) + experiment.data.batch_size * _sample_bytes(planned, experiment)


def batch_size_within(planned: Plan, experiment: Experiment, available: int) -> int:
    """Return about how many samples a step training has room for in so many bytes, the data aside; 0 where it has not
    for one."""
    room = available - _parameter_bytes(planned, experiment)
    return max(room // _sample_bytes(planned, experiment), 0)


def largest_layer(planned: Plan, experiment: Experiment) -> tuple[PlannedLayer, int]:
    """Return the layer that takes most memory in training, and about how many bytes: its parameters with all that
    belongs to them, and its output for one batch."""

    def size(layer: PlannedLayer) -> int:
        outputs = experiment.data.batch_size * math.prod(layer.output_shape)
        return _parameter_bytes(layer, experiment) + outputs * _item_bytes(experiment)

    largest = max(planned.leaves, key=size)
    return largest, size(largest)


def _parameter_bytes(planned: Plan | PlannedLayer, experiment: Experiment) -> int:
    optimizer = experiment.training.optimizer
    slots = len(optimizer.used_slots()) + optimizer.use_ema + (optimizer.gradient_accumulation_steps is not None)
    copies = 1 + len(optimizer.used_slots()) if experiment.training.precision == "float16" else 0
    arrays = 2 + slots + copies  # an update in float16 may be taken back
    return (2 * planned.parameter_count + planned.trainable_count * arrays) * _item_bytes(experiment)


def _sample_bytes(planned: Plan, experiment: Experiment) -> int:
    sizes = [math.prod(planned.input_shape), *(math.prod(layer.output_shape) for layer in planned.leaves)]
    return (sum(sizes) + 2 * max(sizes)) * _item_bytes(experiment)


def _item_bytes(experiment: Experiment) -> int:
    return 8 if experiment.training.dtype == "float64" else 4
