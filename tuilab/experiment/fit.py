"""Checks that output, loss, metrics and data belong together, with the remedy where they do not."""

from __future__ import annotations

from collections.abc import Sequence

from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers import Layer
from tuilab.blocks.layers.containers import last_of
from tuilab.blocks.losses import CosineSimilarity
from tuilab.blocks.metrics import TopK
from tuilab.errors import Problem
from tuilab.experiment.document import DataSettings, Experiment
from tuilab.text import clean_text, did_you_mean

ADVICE = {
    "binary": 'units = 1, activation = "sigmoid" with loss = "binary_crossentropy"',
    "categorical": 'activation = "softmax" with loss = "categorical_crossentropy"',
    "multi_label": 'activation = "sigmoid" with loss = "binary_crossentropy"',
    "regression": 'activation = "linear" with loss = "mean_squared_error"',
}

MOST_UNKNOWN = 10
"""Wrong class names told at once."""


def last_activation(experiment: Experiment) -> Activation | None:
    """Return the function that the network's outputs come from, None where the last layer has none."""
    activation = getattr(last_of(experiment.layers).layer, "activation", None)
    return activation if isinstance(activation, Activation) else None


def augmented_shape(data: DataSettings, info: DataInfo, problems: list[Problem] | None = None) -> Shape:
    """Return the shape of a sample after all augmentations, those left out that do not fit: `problems` get one more for
    each of these."""
    shape = info.input_shape
    for index, augmentation in enumerate(data.augmentation):
        try:
            shape = augmentation.output_shape(shape)
        except ValueError as error:
            if problems is not None:
                message = clean_text(f"{augmentation.type_name()} {error}")
                problems.append(Problem(f"data.augmentation[{index}]", message))
    return shape


def augmentation_problems(experiment: Experiment, info: DataInfo) -> list[Problem]:
    """Return what is wrong between the augmentations, the data and the loss."""
    data, loss = experiment.data, experiment.training.loss
    problems: list[Problem] = []
    augmented_shape(data, info, problems)
    for index, augmentation in enumerate(data.augmentation):
        name, place = augmentation.type_name(), f"data.augmentation[{index}]"
        if augmentation.shares_targets and loss.targets == "signs":
            message = f"{name} asks for a share of two classes, {loss.type_name()} for one: use {ADVICE[info.task]}"
            problems.append(Problem(place, message))
        if augmentation.bounded and data.normalization == "standardize":
            message = (
                f"{name} keeps values within its value_range, and standardized ones have no bounds: set "
                'data.normalization = "rescale", and put a normalization behind it'
            )
            problems.append(Problem(place, message))
    return problems


def output_problems(experiment: Experiment, info: DataInfo, shape: Shape) -> list[Problem]:
    """Return what is wrong between the last layer, the loss and the data; `shape` is that of one output sample."""
    problems = _loss_problems(experiment, info)
    if len(shape) == 1:
        return problems + _unit_problems(experiment, info, shape[0])
    written = " × ".join(map(str, shape))
    message = f"the output has the shape {written}, one vector is needed: add a flatten layer before the dense layers"
    return [*problems, Problem(last_of(experiment.layers).place, message)]


def _loss_problems(experiment: Experiment, info: DataInfo) -> list[Problem]:
    loss, activation = experiment.training.loss, last_activation(experiment)
    name = activation.type_name() if activation else "linear"
    if loss.tasks is not None and info.task not in loss.tasks:
        message = f"{loss.type_name()} does not fit {_task(info)} data: use {ADVICE[info.task]}"
        return [Problem("training.loss", message)]
    if loss.output_activations is not None and name not in loss.output_activations:
        fitting = " or ".join(f'"{fit}"' for fit in loss.output_activations)
        last = f"the last layer has {name}" if activation else "the last layer has none"
        message = f"{loss.type_name()} needs an output with activation {fitting}, {last}"
        return [Problem(_activation_place(experiment), message)]
    if name == "step" and loss.fuses_with != "step":
        return [Problem("training.loss", f'{loss.type_name()} learns nothing through a step: use loss = "perceptron"')]
    return []


def _unit_problems(experiment: Experiment, info: DataInfo, units: int) -> list[Problem]:
    loss, activation = experiment.training.loss, last_activation(experiment)
    wanted = _wanted_units(info)
    if activation is not None and activation.type_name() in ("softmax", "log_softmax") and units == 1:
        always = f"{activation.type_name()} over one unit is always {1 if activation.type_name() == 'softmax' else 0}"
        several = f"set units = {wanted[0]}, one for each class (one sigmoid unit is for two classes)"
        advice = several if info.task == "categorical" else f"use {ADVICE[info.task]}"
        return [Problem(_activation_place(experiment), f"{always}: {advice}")]
    if units not in wanted:
        what = {
            "binary": "two classes need 1 unit (or 2 with softmax)",
            "categorical": f"the data has {len(info.classes)} classes",
            "multi_label": f"the data has {len(info.classes)} labels",
            "regression": f"the data has {info.targets} value{'s' * (info.targets > 1)} to predict",
        }[info.task]
        place, remedy = last_of(experiment.layers).place, f"end with a dense layer of units = {wanted[0]}"
        if (setting := _output_setting(experiment.layers)) is not None:
            place, remedy = setting, f"set {setting.rpartition('.')[2]} = {wanted[0]}"
        return [Problem(place, f"{what}, the output has {units}: {remedy}")]
    if info.task == "binary" and loss.targets == "labels" and units == 1:
        message = f"{loss.type_name()} needs one unit a class: set units = 2, or use {ADVICE['binary']}"
        return [Problem("training.loss", message)]
    if isinstance(loss, CosineSimilarity) and units == 1:
        return [Problem("training.loss", f"cosine_similarity of one unit is always 1 or -1: use {ADVICE[info.task]}")]
    return []


def _activation_place(experiment: Experiment) -> str:
    place, written, _ = last_of(experiment.layers)
    return place + ".activation" if "activation" in type(written).model_fields else place


def _output_setting(layers: Sequence[Layer]) -> str | None:
    """Return the place of the setting that says how many outputs there are."""
    for count in range(len(layers), 0, -1):
        place, written, layer = last_of(layers[:count])
        if written.output_setting is not None:
            return f"{place}.{written.output_setting}"
        if not layer.keeps_shape:
            return None
    return None


def training_problems(experiment: Experiment, info: DataInfo) -> list[Problem]:
    """Return what is wrong with metrics, monitors and class weights."""
    training, problems = experiment.training, []
    labels: set[str] = {"loss"}
    for index, metric in enumerate(training.metrics):
        place = f"training.metrics[{index}]"
        if info.task not in metric.tasks:
            problems.append(Problem(place, f"{metric.label} has no meaning for {_task(info)} data: take it out"))
        elif isinstance(metric, TopK) and metric.k >= len(info.classes):
            message = f"{metric.label} of {len(info.classes)} classes is always 1: set k below {len(info.classes)}"
            problems.append(Problem(place, message))
        if metric.label in labels:
            problems.append(Problem(place, f"{metric.label} stands there twice: take one out"))
        labels.add(metric.label)

    known = labels | {f"val_{label}" for label in labels}
    monitors = {
        "training.early_stopping.monitor": getattr(training.early_stopping, "monitor", None),
        "training.optimizer.learning_rate.monitor": getattr(training.optimizer.learning_rate, "monitor", None),
    }
    for place, monitor in monitors.items():
        if monitor is None:
            continue
        if monitor not in known:
            hint = did_you_mean(monitor, known) or f"; known here: {', '.join(sorted(known))}"
            problems.append(Problem(place, f"no result is named '{clean_text(monitor, 60)}'{hint}"))
        elif monitor.startswith("val_") and not _may_validate(experiment.data):
            message = f'there is no validation part: set data.validation_split, or monitor = "{monitor[4:]}"'
            problems.append(Problem(place, message))

    if training.class_weight is not None and info.task not in ("binary", "categorical"):
        problems.append(Problem("training.class_weight", f"has no meaning for {_task(info)} data: take it out"))
    elif isinstance(training.class_weight, dict):
        unknown = [name for name in training.class_weight if name not in info.classes]
        for name in unknown[:MOST_UNKNOWN]:
            hint = did_you_mean(name, info.classes) or f"; classes: {clean_text(', '.join(info.classes))}"
            message = f"the data has no class '{clean_text(name, 60)}'{hint}"
            problems.append(Problem("training.class_weight", message))
    return problems


def _may_validate(data: DataSettings) -> bool:
    """Return whether there may be a validation part; what an .npz file brings is known only when it is read."""
    return data.validation_split > 0 or data.validation_path is not None or (data.path or "").lower().endswith(".npz")


def _wanted_units(info: DataInfo) -> tuple[int, ...]:
    if info.task == "binary":
        return (1, 2)
    return (info.targets,) if info.task == "regression" else (len(info.classes),)


def _task(info: DataInfo) -> str:
    return {
        "binary": "two-class",
        "categorical": f"{len(info.classes)}-class",
        "multi_label": "multi-label",
        "regression": "regression",
    }[info.task]
