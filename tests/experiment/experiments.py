"""Experiments for tests: one small file, and any experiment that the registries can make; and how fast a test runs."""

from __future__ import annotations

import functools
import operator
import time
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tuilab.blocks.augmentations import Augmentation, colour, fixed, geometry
from tuilab.blocks.block import Block
from tuilab.blocks.constraints import NormConstraint
from tuilab.blocks.datasets import Folder
from tuilab.blocks.layers import Layer
from tuilab.blocks.layers.containers import Container, Residual
from tuilab.blocks.schedules import Step
from tuilab.experiment.document import DataSettings, Experiment, Training

USUAL_SECONDS = 0.005
"""That counting takes on a machine whose times are promised."""

IRIS = """
name = "small"
[data]
dataset = "iris"
[[layers]]
type = "dense"
units = 3
activation = "softmax"
[training]
loss = "categorical_crossentropy"
"""


@st.composite
def layers_inside(draw: st.DrawFn, deeper: bool = True) -> list[Layer]:
    """Draw the layers of a container; one of them may be a container as well."""
    blocks = [layer for layer in Layer.registry.values() if not issubclass(layer, Container)]
    layers = [draw(settings_of(block)) for block in draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=3))]
    if deeper and draw(st.booleans()):
        layers.append(Residual(layers=draw(layers_inside(deeper=False))))
    return layers


FACTOR = st.floats(-0.9, 0.9) | st.tuples(st.floats(-0.9, 0), st.floats(0, 0.9)).map(list)
SHARE = st.floats(0, 1) | st.lists(st.floats(0, 1), min_size=2, max_size=2)

BY_HAND: dict[tuple[type[BaseModel], str], st.SearchStrategy[Any]] = {
    **{(block, "factor"): FACTOR for block in (colour.RandomBrightness, geometry.RandomRotation)},
    **{(block, "factor"): SHARE for block in (colour.RandomContrast, colour.RandomErasing)},
    (Augmentation, "height_factor"): FACTOR,
    (Augmentation, "width_factor"): FACTOR,
    (colour.RandomErasing, "scale"): SHARE,
    (Augmentation, "value_range"): st.tuples(st.floats(-9, 0), st.floats(0, 300)).map(list),
    (fixed.Normalization, "variance"): st.floats(0, 9) | st.lists(st.floats(0, 9), min_size=1, max_size=4),
    (Container, "layers"): layers_inside(),
    (Container, "projection"): layers_inside(deeper=False),
    (Layer, "name"): st.from_regex(r"[A-Za-z0-9_.-]{1,60}", fullmatch=True),
    (NormConstraint, "axis"): st.integers(-3, 3) | st.lists(st.integers(0, 3), min_size=1, max_size=3),
    (Step, "boundaries"): st.sets(st.integers(0, 10**9), min_size=2, max_size=2).map(sorted),
    (Step, "values"): st.lists(st.floats(0, 1), min_size=3, max_size=3),
    (Experiment, "name"): st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=80),
    (Training, "device"): st.sampled_from(["auto", "cpu", "gpu", "gpu:1"]),
    (Folder, "path"): st.sampled_from(["/data/pictures", "a b", "ä%'\""]),
    (DataSettings, "path"): st.sampled_from(["/data/houses.csv", "a b.npz", "ä%'\".CSV"]),
}
"""Settings whose rule is not in their type and bounds."""

EXCLUDING = {"value_error", "not_in_order"}
"""The errors of settings that exclude each other."""


def experiments() -> st.SearchStrategy[Experiment]:
    """Return a strategy for experiments that load; whether their parts fit each other is left to chance."""
    return settings_of(Experiment)


@functools.cache
def settings_of(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Return a strategy for a block or a section, some settings left at their defaults."""
    required, optional = {}, {}
    for name, field in model.model_fields.items():
        by_hand = [found for (owner, known), found in BY_HAND.items() if name == known and issubclass(model, owner)]
        values = by_hand[0] if by_hand else values_of(field.annotation, field)
        (required if field.is_required() else optional)[name] = values
    return st.fixed_dictionaries(required, optional=optional).map(functools.partial(make, model)).filter(bool)


def make(model: type[BaseModel], settings: dict[str, Any]) -> BaseModel | None:
    """Return the model, or None where settings exclude each other."""
    if model is DataSettings and settings.get("dataset") is not None:
        settings = {**settings, "path": None, "target": None}
    try:
        return model(**settings)
    except ValidationError as error:
        if all(detail["type"] in EXCLUDING for detail in error.errors()):
            return None
        raise  # out of the bounds of a field: the strategy is wrong


def values_of(annotation: Any, field: FieldInfo) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a type, within the bounds of the field."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(operator.or_, (values_of(part, field) for part in arguments))
    if origin is typing.Annotated:
        return values_of(arguments[0], FieldInfo.from_annotation(annotation))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and Ellipsis not in arguments:
        return st.tuples(*(st.integers(1, 9) if part is int else values_of(part, field) for part in arguments))
    if origin in (list, tuple):
        least = next((rule.min_length for rule in field.metadata if isinstance(rule, MinLen)), 0)
        most = min([4, *(rule.max_length for rule in field.metadata if isinstance(rule, MaxLen))])
        return st.lists(values_of(arguments[0], FieldInfo.from_annotation(arguments[0])), min_size=least, max_size=most)
    if origin is dict:
        return st.dictionaries(st.text(max_size=20), values_of(arguments[1], field), max_size=4)
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        return st.text(max_size=next((rule.max_length for rule in field.metadata if isinstance(rule, MaxLen)), 30))
    if annotation in (int, float):
        return numbers(annotation, field)
    if issubclass(annotation, Block):
        kind: type[Block] = annotation
        return st.deferred(lambda: st.one_of([settings_of(block) for block in kind.registry.values()]))
    return settings_of(annotation)


def numbers(kind: type, field: FieldInfo) -> st.SearchStrategy[Any]:
    """Return a strategy for numbers within the bounds of the field."""
    low, high, above, below = None, None, False, False
    for rule in field.metadata:
        match rule:
            case Ge():
                low = rule.ge
            case Gt():
                low, above = rule.gt, True
            case Le():
                high = rule.le
            case Lt():
                high, below = rule.lt, True
    if kind is int:
        return st.integers(-(2**63) if low is None else low + above, 2**63 - 1 if high is None else high - below)
    return st.floats(low, high, exclude_min=above, exclude_max=below, allow_nan=False, allow_infinity=False)


def slowness() -> float:
    """Return how many times longer than usual this machine takes at the moment, at least 1: limits of time grow with
    it."""
    return _slowness([_seconds_to_count() for _ in range(5)])


def least_seconds(actions: Iterable[Callable[[], object]]) -> float:
    """Return the seconds of the quickest of these actions, on a machine as fast as usual: what this one is at the
    moment is measured between them, for it changes from one tenth of a second to the next."""
    counted, taken = [], []
    for action in actions:
        counted.append(_seconds_to_count())
        began = time.process_time()
        action()
        taken.append(time.process_time() - began)
    return min(taken) / _slowness(counted)


def _slowness(counted: Sequence[float]) -> float:
    return max(min(counted) / USUAL_SECONDS, 1.0)


def _seconds_to_count() -> float:
    """Of the processor's time, which other processes take none of."""
    began = time.process_time()
    sum(number % 7 for number in range(100_000))
    return time.process_time() - began
