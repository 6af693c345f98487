"""The layers of an experiment as they are shown while it is being edited: also when something in it is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers import Layer
from tuilab.errors import ExperimentError, Problem
from tuilab.experiment.document import DataSettings, Experiment
from tuilab.experiment.load import make_experiment
from tuilab.experiment.plan import input_shape, memory_bytes, plan, plan_layer
from tuilab.experiment.save import short
from tuilab.experiment.sections import as_settings
from tuilab.text import clean_text


@dataclass(frozen=True)
class LayerRow:
    """One layer as it is shown."""

    index: int
    type: str
    settings: str
    """The type with the settings that differ from their defaults."""
    output_shape: Shape | None
    """None where it is not known: this layer or one before it does not fit."""
    parameters: int | None
    problem: str
    """What is wrong with it and the remedy; empty where nothing is."""


@dataclass(frozen=True)
class Totals:
    """What the whole network comes to."""

    parameters: int
    trainable: int
    multiply_adds: int
    """Of the forward pass of one sample."""
    memory_bytes: int


@dataclass(frozen=True)
class Stack:
    """What an experiment comes to with data of one kind."""

    experiment: Experiment | None
    """None where a setting is wrong."""
    problems: tuple[Problem, ...]
    input_shape: Shape | None
    rows: tuple[LayerRow, ...]
    totals: Totals | None
    """None where something does not fit."""


def data_settings(document: Mapping[str, Any]) -> DataSettings | None:
    """Return the data of a document, None where something is wrong there."""
    try:
        return DataSettings.model_validate(document.get("data"))
    except ValidationError:
        return None


def stack_of(document: dict[str, Any], info: DataInfo | None, data_problems: Sequence[Problem] = ()) -> Stack:
    """Work out everything that can be known of a document; `info` is None where the data is not known."""
    try:
        experiment: Experiment | None = make_experiment(document)
        problems = list(data_problems)
    except ExperimentError as error:
        experiment, problems = None, [*error.problems, *data_problems]
    planned = None
    if experiment is not None and info is not None:
        try:
            planned = plan(experiment, info)
        except ExperimentError as error:
            problems += error.problems
    written = document.get("layers")
    tables = [as_settings(table) for table in written] if isinstance(written, list) else []
    layers = list(experiment.layers) if experiment else [_layer(table) for table in tables]
    shape = _input_shape(document, experiment, layers, info)
    rows = _rows(tables, layers, shape, problems)
    totals = None
    if planned is not None and experiment is not None:
        adds = sum(layer.layer.multiply_adds(layer.input_shape) for layer in planned.layers)
        totals = Totals(planned.parameter_count, planned.trainable_count, adds, memory_bytes(planned, experiment))
    return Stack(experiment, tuple(problems), shape, tuple(rows), totals)


def _layer(settings: dict[str, Any]) -> Layer | None:
    try:
        return Layer.choose(settings)
    except (ValidationError, PydanticCustomError):
        return None


def _input_shape(
    document: dict[str, Any], experiment: Experiment | None, layers: Sequence[Layer | None], info: DataInfo | None
) -> Shape | None:
    if info is None:
        return None
    if experiment is not None:
        return input_shape(experiment, info)
    data = data_settings(document)
    known = [layer for layer in layers if layer is not None]
    if data is None:
        return None
    return input_shape(Experiment.model_construct(data=data, layers=known), info)  # type: ignore[call-arg]  # not read


def _rows(
    tables: Sequence[dict[str, Any]],
    layers: Sequence[Layer | None],
    shape: Shape | None,
    problems: Sequence[Problem],
) -> list[LayerRow]:
    rows = []
    for index, (table, layer) in enumerate(zip(tables, layers, strict=True)):
        here = f"layers[{index}]"
        said = [_said(problem, here) for problem in problems if _is_at(problem.place, here)]
        name = clean_text(str(table.get("type", "?")), 40)
        output, count = None, None
        if layer is not None and shape is not None:
            inside: list[Problem] = []
            try:
                planned = plan_layer(layer, shape, name, here, inside)
                output, count = planned.output_shape, planned.parameter_count
            except ValueError as error:
                said = said or [_said(problem, here) for problem in inside] or [clean_text(f"{name} {error}", 400)]
        settings = short(layer) if layer is not None else name
        rows.append(LayerRow(index, name, clean_text(settings), output, count, "; ".join(said)))
        shape = output
    return rows


def _is_at(place: str, here: str) -> bool:
    return place == here or place.startswith((f"{here}.", f"{here}["))


def _said(problem: Problem, here: str) -> str:
    """Return what a problem says, with the setting that it is about."""
    setting = problem.place.removeprefix(here).lstrip(".")
    return f"{setting}: {problem.message}" if setting else problem.message
