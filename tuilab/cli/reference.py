"""The reference page of a block, made from its own declaration."""

from __future__ import annotations

import inspect
import json
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tuilab.blocks import (
    activations,
    augmentations,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from tuilab.blocks.block import Block, as_table
from tuilab.experiment.document import DataSettings, EarlyStopping, Experiment, Training
from tuilab.experiment.save import short

KINDS: tuple[type[Block], ...] = (
    layers.Layer,
    activations.Activation,
    initializers.Initializer,
    regularizers.Regularizer,
    constraints.Constraint,
    losses.Loss,
    metrics.Metric,
    optimizers.Optimizer,
    schedules.Schedule,
    datasets.Dataset,
    augmentations.Augmentation,
)


SECTIONS: dict[str, type[BaseModel]] = {
    "experiment": Experiment,
    "data": DataSettings,
    "training": Training,
    "early_stopping": EarlyStopping,
}


def kinds() -> dict[str, dict[str, type[Block]]]:
    """Return kind → name → block."""
    return {kind.kind_name(): kind.registry for kind in KINDS}


def plural(kind: str) -> str:
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def describe(name: str) -> list[dict[str, Any]]:
    """Return name, kind, documentation and settings, as plain values, of every block called `name` and of the section
    of the experiment file called so."""
    found = [(registry[name], kind) for kind, registry in kinds().items() if name in registry]
    sections = [(SECTIONS[name], "section of an experiment file")] if name in SECTIONS else []
    return [
        {
            "name": name,
            "kind": kind,
            "documentation": inspect.cleandoc(model.__doc__ or ""),
            "settings": [
                {
                    "name": setting,
                    "type": _type(field),
                    "default": _default(field),
                    "description": field.description or "",
                }
                for setting, field in model.model_fields.items()
            ],
        }
        for model, kind in [*found, *sections]
    ]


def _type(field: FieldInfo) -> str:
    """A setting's type and bounds in words: `int, above 0`."""
    words = [(Gt, "gt", "above"), (Ge, "ge", "from"), (Lt, "lt", "below"), (Le, "le", "to")]
    bounds = [
        f", {word} {getattr(bound, attribute):g}"
        for bound in field.metadata
        for kind, attribute, word in words
        if isinstance(bound, kind)
    ]
    return _annotation(field.annotation) + "".join(bounds)


def _annotation(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation.kind_name()
    arguments = [argument for argument in get_args(annotation) if argument not in (type(None), ...)]
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, arguments))
    if get_origin(annotation) in (list, tuple):
        return f"list of {_annotation(arguments[0])}"
    if get_origin(annotation) is Annotated:
        return _annotation(arguments[0])
    if get_origin(annotation) is dict:
        return "table"
    if arguments:
        return " | ".join(map(_annotation, arguments))
    if issubclass(annotation, BaseModel):
        return "table"
    return "text" if annotation is str else str(annotation.__name__)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "–"
    return short(field.default) if isinstance(field.default, Block) else json.dumps(as_table(field.default))
