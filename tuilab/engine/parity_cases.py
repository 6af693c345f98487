"""A few small experiments for every block that works on arrays, made from the registries: new blocks are among them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import HostArray, Shape, host_generator
from tuilab.blocks.augmentations import Augmentation
from tuilab.blocks.block import Block
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers import Layer
from tuilab.blocks.layers.containers import Container
from tuilab.blocks.losses import Loss
from tuilab.blocks.metric import Task
from tuilab.blocks.metrics import Metric
from tuilab.blocks.optimizers import Optimizer
from tuilab.blocks.regularizers import Regularizer
from tuilab.blocks.samples import Data, Split
from tuilab.errors import ExperimentError
from tuilab.experiment.document import Experiment
from tuilab.experiment.load import make_experiment
from tuilab.experiment.plan import plan

KINDS: tuple[type[Block], ...] = (
    Layer,
    Activation,
    Loss,
    Optimizer,
    Metric,
    Regularizer,
    Constraint,
    Augmentation,
)
"""Kinds whose blocks compute on the device; initializers and schedules compute on the host."""
SAMPLES = 20
BATCH = 8
"""Two full batches and a smaller one."""
VECTOR, SEQUENCE, IMAGE, PHOTO = (12,), (10, 4), (8, 7, 4), (32, 32, 3)
CLASSES = tuple("abcdefg")
"""More than the five that top_k asks for."""
INSIDE = [{"type": "dense", "units": 4, "activation": "tanh"}]
"""Keeps the shape of what has four channels."""
REQUIRED: dict[str, Any] = {
    "units": 5,
    "filters": 4,
    "kernel_size": 3,
    "rate": 0.3,
    "stddev": 0.2,
    "activation": "tanh",
    "layers": INSIDE,
    "target_shape": [-1, 2],
    "factor": 0.3,
    "scale": 0.5,
    "mean": 0.25,
    "variance": 2.0,
    "height": 6,
    "width": 5,
    "height_factor": 0.25,
    "width_factor": 0.25,
}
"""Values for settings that have no default, by their name."""
CHANGED: dict[str, Any] = {
    "strides": 2,
    "dilation_rate": 2,
    "groups": 2,
    "depth_multiplier": 2,
    "times": 2,
    "projection": INSIDE,
    "shared_axes": [1],
    "cropping": 1,
    "label_smoothing": 0.1,
    "momentum": 0.8,
    "weight_decay": 0.01,
    "clipnorm": 0.1,
    "global_clipnorm": 0.1,
    "clipvalue": 0.01,
    "gradient_accumulation_steps": 2,
    "ema_overwrite_frequency": 2,
    "fill_value": 0.5,
}
"""Values that lead to other code than the defaults, by the name of the setting."""
TASKS: dict[Task, tuple[str, str]] = {
    "categorical": ("categorical_crossentropy", "softmax"),
    "binary": ("binary_crossentropy", "sigmoid"),
    "multi_label": ("binary_crossentropy", "sigmoid"),
    "regression": ("mean_squared_error", "linear"),
}
"""Loss and output activation of each task."""
OUTPUT_UNITS: dict[Task, int] = {"categorical": len(CLASSES), "binary": 1, "multi_label": len(CLASSES), "regression": 2}


@dataclass(frozen=True)
class Case:
    """A training of three steps in which one block has a part."""

    settings: str
    """The block's, as far as they are not its defaults."""
    experiment: Experiment
    data: Data

    def in_float32(self) -> Case:
        """Return the same training without rounded products."""
        training = self.experiment.training.model_copy(update={"precision": "float32"})
        return replace(self, experiment=self.experiment.model_copy(update={"training": training}))


def blocks() -> Iterator[tuple[type[Block], type[Block]]]:
    """Yield kind and block for everything that is to be compared. What only stands for other layers has no numbers of
    its own."""
    for kind in KINDS:
        for block in kind.registry.values():
            alone = issubclass(block, Container) and block.groups_only and "layers" not in block.model_fields
            if not alone:
                yield kind, block


def cases(kind: type[Block], block: type[Block], dtype: str) -> Iterator[Case]:
    """Yield every case of one block that fits together: with its defaults, and with each setting changed."""
    for settings in variants(block):
        choice = {"type": block.type_name(), **settings}
        said = ", ".join(f"{name} = {value}" for name, value in settings.items() if name not in REQUIRED)
        for document, info in _documents(kind, block, choice):
            document["training"]["dtype"] = dtype
            try:
                experiment = make_experiment(document)
                plan(experiment, info)
            except ExperimentError:  # a variant that does not go with this shape, or with its other settings
                continue
            yield Case(said, experiment, make_data(info, kind is Augmentation))


def rounded_cases(precision: str) -> Iterator[Case]:
    """Yield trainings whose products and convolutions are of rounded numbers."""
    convolution = {"type": "conv2d", "filters": 6, "kernel_size": 3, "activation": "tanh"}
    for first, shape in ((_hidden(), VECTOR), (convolution, IMAGE)):
        document = _document([first, {"type": "flatten"}, _output("categorical")], "categorical", precision=precision)
        yield Case(str(first["type"]), make_experiment(document), make_data(_info(shape=shape)))


def variants(block: type[Block]) -> Iterator[dict[str, Any]]:
    """Yield settings of a block: the least that it needs, and those with one more, each of its truths and choices and
    what `CHANGED` knows; last all of these together that it has."""
    fields, hints = block.model_fields, get_type_hints(block)
    least = {name: REQUIRED[name] for name, field in fields.items() if field.is_required() and name in REQUIRED}
    yield least
    changed: dict[str, Any] = {}
    for name, field in fields.items():
        if name in least:
            continue
        values = [value for value in _choices(hints[name]) if value != field.default]
        values += [CHANGED[name]] if name in CHANGED else []
        for value in values:
            yield {**least, name: value}
            changed[name] = value
    if len(changed) > 1:
        yield {**least, **changed, "trainable": True} if "trainable" in fields else {**least, **changed}


def _choices(hint: Any) -> list[Any]:
    """Return the values of a setting that is true or false, or one of a few words."""
    if hint is bool:
        return [True, False]
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [value for part in get_args(hint) if part is not NoneType for value in _choices(part)]


def _documents(kind: type[Block], block: Any, choice: dict[str, Any]) -> Iterator[tuple[dict[str, Any], DataInfo]]:
    """Yield experiments, as their files would be, in which a block has a part."""
    if kind is Layer:
        for shape in (VECTOR, SEQUENCE, IMAGE):
            before = _hidden(units=shape[-1])  # it learns, so that the layer has a gradient to hand on
            layers = [before, choice, {"type": "flatten"}, _output("categorical")]
            yield _document(layers, "categorical"), _info(shape=shape)
    elif kind is Activation:
        for shape in (VECTOR, SEQUENCE):
            layers = [_hidden(activation=choice), {"type": "flatten"}, _output("categorical")]
            yield _document(layers, "categorical"), _info(shape=shape)
    elif kind is Loss:
        for task, activation in product(block.tasks or TASKS, block.output_activations or ("linear", "tanh")):
            yield _document([_hidden(), _output(task, activation)], task, loss=choice), _info(task)
    elif kind is Optimizer:
        slower = {**choice, "learning_rate": 0.02}
        yield _document([_hidden(), _output("categorical")], "categorical", optimizer=slower), _info()
    elif kind is Metric:
        for task in block.tasks:
            yield _document([_hidden(), _output(task)], task, metrics=[choice]), _info(task)
    elif kind is Augmentation:
        document = _document([{"type": "flatten"}, _output("categorical")], "categorical")
        document["data"]["augmentation"] = [choice]
        yield document, _info(shape=IMAGE)
    elif kind is Regularizer:
        for place in ("kernel_regularizer", "bias_regularizer", "activity_regularizer"):
            yield _document([_hidden(**{place: choice}), _output("categorical")], "categorical"), _info()
    elif kind is Constraint:
        for place in ("kernel_constraint", "bias_constraint"):
            yield _document([_hidden(**{place: choice}), _output("categorical")], "categorical"), _info()


def _hidden(**settings: Any) -> dict[str, Any]:
    return {"type": "dense", "units": 6, "activation": "tanh", **settings}


def _output(task: Task, activation: str | None = None) -> dict[str, Any]:
    return {"type": "dense", "units": OUTPUT_UNITS[task], "activation": activation or TASKS[task][1]}


def _document(layers: list[dict[str, Any]], task: Task, **training: Any) -> dict[str, Any]:
    sgd = {"type": "sgd", "learning_rate": 0.1}
    return {
        "data": {"dataset": "iris", "batch_size": BATCH, "flatten": False},
        "layers": layers,
        "training": {"loss": TASKS[task][0], "optimizer": sgd, "epochs": 1, **training},
    }


def _info(task: Task = "categorical", shape: Shape = VECTOR) -> DataInfo:
    classes = {"binary": CLASSES[:2], "regression": ()}.get(task, CLASSES)
    return DataInfo(shape, task, classes, targets=OUTPUT_UNITS["regression"] if task == "regression" else 1)


def make_data(info: DataInfo, pictures: bool = False) -> Data:
    """Return random samples, the same every time; of `pictures` between 0 and 1."""
    generator = host_generator(0, f"parity of {info.task} {info.input_shape}")
    shape = (SAMPLES, *info.input_shape)
    features = generator.random(shape) if pictures else generator.normal(size=shape)
    flat = features.reshape(SAMPLES, math.prod(info.input_shape))
    targets: HostArray
    if info.task in ("categorical", "binary"):
        targets = generator.integers(0, len(info.classes), SAMPLES)
    elif info.task == "multi_label":
        targets = generator.integers(0, 2, (SAMPLES, len(info.classes))).astype("float32")
    else:
        targets = (flat[:, : info.targets] + generator.random((SAMPLES, info.targets))).astype("float32")
    return Data(info, Split(features.astype("float32"), targets), None, None, None)
