"""Checks that output, loss, metrics and data belong together, with the remedy where they do not."""

from __future__ import annotations

from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.errors import Problem
from tuilab.experiment.document import Experiment
from tuilab.text import clean_text, did_you_mean

ADVICE = {
    "binary": 'units = 1, activation = "sigmoid" with loss = "binary_crossentropy"',
    "categorical": 'activation = "softmax" with loss = "categorical_crossentropy"',
    "multi_label": 'activation = "sigmoid" with loss = "binary_crossentropy"',
    "regression": 'activation = "linear" with loss = "mean_squared_error"',
}


def output_problems(experiment: Experiment, info: DataInfo, shape: Shape) -> list[Problem]:
    """Return what is wrong between the last layer, the loss and the data; `shape` is that of one output sample."""
    index = len(experiment.layers) - 1
    last, loss = experiment.layers[-1], experiment.training.loss
    activation = last.output_activation()
    name = activation.type_name() if activation else "linear"
    if len(shape) != 1:
        return [Problem(f"layers[{index}]", f"the output has shape {shape}, one vector is needed: add a flatten layer")]
    units = shape[0]
    if name in ("softmax", "log_softmax") and units == 1:
        message = f"{name} over one unit is always {1 if name == 'softmax' else 0}: use {ADVICE['binary']}"
        return [Problem(f"layers[{index}].activation", message)]

    problems = []
    if loss.tasks is not None and info.task not in loss.tasks:
        message = f"{loss.type_name()} does not fit {_task(info)} data: use {ADVICE[info.task]}"
        problems.append(Problem("training.loss", message))
    elif loss.output_activations is not None and name not in loss.output_activations:
        fitting = " or ".join(f'"{fit}"' for fit in loss.output_activations)
        message = f"{loss.type_name()} needs an output with activation {fitting}, the last layer has {name}"
        problems.append(Problem(f"layers[{index}].activation", message))

    wanted = _wanted_units(info)
    if units not in wanted:
        what = {
            "binary": "two classes need 1 unit (or 2 with softmax)",
            "categorical": f"the data has {len(info.classes)} classes",
            "multi_label": f"the data has {len(info.classes)} labels",
            "regression": f"the data has {info.targets} value{'s' * (info.targets > 1)} to predict",
        }[info.task]
        message = f"{what}, the output has {units}: set units = {wanted[0]}"
        problems.append(Problem(f"layers[{index}].units", message))
    elif info.task == "binary" and loss.targets == "labels" and units == 1:
        message = f"{loss.type_name()} needs one unit a class: set units = 2, or use {ADVICE['binary']}"
        problems.append(Problem("training.loss", message))
    return problems


def training_problems(experiment: Experiment, info: DataInfo) -> list[Problem]:
    """Return what is wrong with metrics, monitors and class weights."""
    training, problems = experiment.training, []
    labels: set[str] = {"loss"}
    for index, metric in enumerate(training.metrics):
        place = f"training.metrics[{index}]"
        if info.task not in metric.tasks:
            problems.append(Problem(place, f"{metric.label} has no meaning for {_task(info)} data: take it out"))
        if metric.label in labels:
            problems.append(Problem(place, f"{metric.label} stands there twice: take one out"))
        labels.add(metric.label)

    known = labels | {f"val_{label}" for label in labels}
    monitors = [("training.early_stopping.monitor", training.early_stopping)] if training.early_stopping else []
    schedule = training.optimizer.learning_rate
    if hasattr(schedule, "monitor"):
        monitors.append(("training.optimizer.learning_rate.monitor", schedule))
    for place, monitored in monitors:
        monitor = monitored.monitor
        if monitor not in known:
            hint = did_you_mean(monitor, known) or f"; known here: {', '.join(sorted(known))}"
            problems.append(Problem(place, f"no result is named '{clean_text(monitor, 60)}'{hint}"))
        elif monitor.startswith("val_") and experiment.data.validation_split == 0:
            message = f'there is no validation part: set data.validation_split, or monitor = "{monitor[4:]}"'
            problems.append(Problem(place, message))

    if training.class_weight is not None and info.task not in ("binary", "categorical"):
        problems.append(Problem("training.class_weight", f"has no meaning for {_task(info)} data: take it out"))
    elif isinstance(training.class_weight, dict):
        for name in training.class_weight:
            if name not in info.classes:
                hint = did_you_mean(name, info.classes) or f"; classes: {clean_text(', '.join(info.classes))}"
                message = f"the data has no class '{clean_text(name, 60)}'{hint}"
                problems.append(Problem("training.class_weight", message))
    return problems


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
