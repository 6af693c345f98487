"""The layers of an experiment as they are shown while it is being edited: also when something in it is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers import Layer
from tuilab.errors import ExperimentError, Problem
from tuilab.experiment.document import DataSettings, Experiment
from tuilab.experiment.load import make_experiment
from tuilab.experiment.nesting import lists_of, plain
from tuilab.experiment.plan import PlannedLayer, input_shape, memory_bytes, plan, plan_layer
from tuilab.experiment.problems import Location, place
from tuilab.experiment.save import short
from tuilab.experiment.sections import LAYERS
from tuilab.text import clean_text


@dataclass(frozen=True)
class LayerRow:
    """One layer as it is shown."""

    location: Location
    """In the document: ("layers", 2), and ("layers", 2, "layers", 0) for one inside it."""
    number: str
    """2 for the second layer, 2.1 for the first one inside it."""
    type: str
    name: str
    """Empty where it has none."""
    settings: str
    """The type with the settings that differ from their defaults."""
    output_shape: Shape | None
    """None where it is not known: this layer or one before it does not fit."""
    parameters: int | None
    """Of a layer that repeats others: all of them. Of one that is repeated: once."""
    problem: str
    """What is wrong with it and the remedy, without what is wrong with layers inside it; empty where nothing is."""
    times: int = 1
    """How often the layers inside it come."""
    has_inside: bool = False
    """Whether there are layers inside it."""
    input_shape: Shape | None = None
    made: Layer | None = None
    """The layer itself where another one makes it, as `vgg16` does: then it has no place in the document."""

    @property
    def depth(self) -> int:
        """0 for an outermost layer."""
        return len(self.location) // 2 - 1


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

    @cached_property
    def _places(self) -> dict[Location, int]:
        return {row.location: index for index, row in enumerate(self.rows)}

    def row_at(self, location: Location) -> int | None:
        """Return which row is that of the layer at a place."""
        return self._places.get(location)

    def nearest_row(self, location: Location) -> int | None:
        """Return the row of the innermost layer that a place belongs to, None where it is in no layer."""
        found = (self.row_at(location[:end]) for end in range(len(location), 1, -1))
        return next((row for row in found if row is not None), None)

    def written_row(self, row: int) -> int:
        """Return the row of a layer; of one that another layer makes, that of the other."""
        while self.rows[row].made is not None:
            row -= 1
        return row

    def last_inside(self, row: int) -> int:
        """Return the last row of those inside a layer; the row itself where none are."""
        depth = self.rows[row].depth
        return next(
            (at - 1 for at in range(row + 1, len(self.rows)) if self.rows[at].depth <= depth), len(self.rows) - 1
        )


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
    tables = plain(written) if isinstance(written, list) else []
    layers = list(experiment.layers) if experiment else [_layer(table) for table in tables]
    shape = _input_shape(document, experiment, layers, info)
    more: list[Problem] = []
    at = shape
    if planned is None:
        for index, layer in enumerate(layers):
            at = _after(layer, at, f"layers[{index}]", more)
    known = planned.layers if planned is not None else ()
    rows = _marked(_rows(tables, layers, shape, LAYERS, planned=known), problems, more)
    totals = None
    if planned is not None and experiment is not None:
        adds = sum(layer.layer.multiply_adds(layer.input_shape) for layer in planned.layers)
        totals = Totals(planned.parameter_count, planned.trainable_count, adds, memory_bytes(planned, experiment))
    return Stack(experiment, tuple(problems), shape, tuple(rows), totals)


def _layer(settings: dict[str, Any]) -> Layer | None:
    type = settings.get("type")
    if not isinstance(type, str) or type not in Layer.registry:  # thousands of them are to be refused at once
        return None
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


def _after(layer: Layer | None, shape: Shape | None, here: str, problems: list[Problem]) -> Shape | None:
    """Return the shape that a layer gives for inputs of `shape`; None, with a problem more, where it does not fit."""
    if layer is None or shape is None:
        return None
    inside: list[Problem] = []
    try:
        return plan_layer(layer, shape, layer.type_name(), here, inside).output_shape
    except ValueError as error:
        problems += inside or [Problem(here, clean_text(f"{layer.type_name()} {error}", 400))]
        return None


def _planned(layer: Layer | None, shape: Shape | None) -> PlannedLayer | None:
    try:
        return plan_layer(layer, shape, layer.type_name(), "", []) if layer and shape is not None else None
    except ValueError:  # it is among the problems
        return None


def _rows(
    tables: Sequence[dict[str, Any]],
    layers: Sequence[Layer | None],
    shape: Shape | None,
    where: Location,
    around: str = "",
    count: int = 0,
    planned: Sequence[PlannedLayer] = (),
    made: bool = False,
) -> list[LayerRow]:
    """Return the rows of the layers in one list, those inside them below each; `count` are numbered before. `planned`
    are the same layers, where they were planned already; `made`: whether another layer makes them."""
    rows = []
    for index, (table, layer) in enumerate(zip(tables, layers, strict=True)):
        location, number = (*where, index), f"{around}{count + index + 1}"
        name, type = table.get("name"), clean_text(str(table.get("type", "?")), 40)
        known = planned[index] if planned else _planned(layer, shape)
        output = known.output_shape if known else None
        branches: dict[str, Sequence[PlannedLayer]] = {}
        for branch, one in zip(layer.branches(), known.branches, strict=True) if layer and known else ():
            branches.setdefault(branch.field, one)
        inside: list[LayerRow] = []
        numbered = 0
        for held, entries, inner, of_it in _lists_inside(table, layer):
            there, plans = (*location, held), branches.get(held, ())
            inside += _rows(entries, inner, shape, there, f"{number}.", numbered, plans, made or of_it)
            numbered += len(entries)
        times = max(Counter(branch.field for branch in layer.branches()).values(), default=1) if layer else 1
        settings = type if layer is None else _words(layer, times) if inside else short(layer)
        shown = clean_text(name, 60) if isinstance(name, str) else ""
        parameters = known.parameter_count if known else None
        words = clean_text(settings)
        itself = layer if made else None
        row = LayerRow(location, number, type, shown, words, output, parameters, "", times, bool(inside), shape, itself)
        rows.append(row)
        rows += inside
        shape = output
    return rows


def _lists_inside(
    table: dict[str, Any], layer: Layer | None
) -> Iterator[tuple[str, list[dict[str, Any]], list[Layer | None], bool]]:
    """Give each list of layers inside a layer: the name of the setting that holds them, their tables, the layers, and
    whether the layer makes them."""
    for held in lists_of(table.get("type") if isinstance(table.get("type"), str) else None):
        entries = table.get(held)
        if isinstance(entries, list):
            inner = [_layer(entry) for entry in entries] if layer is None else list(getattr(layer, held))
            yield held, entries, inner, False
    if layer is not None:
        for branch in layer.branches():
            if branch.field not in type(layer).model_fields:
                yield branch.field, [made.table() for made in branch.layers], list(branch.layers), True


def _words(layer: Layer, times: int) -> str:
    """Return a layer around others with the settings that differ from their defaults: `repeat ×3`."""
    settings = short(layer.model_copy(update={"times": 1} if times > 1 else {})).split(" ")
    return " ".join([settings[0], *([f"×{times}"] if times > 1 else []), *settings[1:]])


def _marked(rows: Sequence[LayerRow], problems: Sequence[Problem], more: Sequence[Problem]) -> list[LayerRow]:
    """Return the rows with what is wrong, each thing at the innermost layer that it belongs to; `more` only where
    nothing else is."""
    known = {place(row.location): index for index, row in enumerate(rows)}
    said: dict[int, list[str]] = {}
    for some in (problems, more):
        before = set(said)
        for problem in some:
            here = problem.place
            while here and here not in known:
                here = here[: max(here.rfind("."), here.rfind("["), 0)]
            if here and known[here] not in before:
                said.setdefault(known[here], []).append(_said(problem, here))
    return [replace(row, problem="; ".join(said[index])) if index in said else row for index, row in enumerate(rows)]


def _said(problem: Problem, here: str) -> str:
    """Return what a problem says, with the setting that it is about."""
    setting = problem.place.removeprefix(here).lstrip(".")
    return f"{setting}: {problem.message}" if setting else problem.message
