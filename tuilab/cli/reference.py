"""The reference page of a block, made from its own declaration."""

from __future__ import annotations

import json
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo

from tuilab.blocks import (
    activations,
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
)


def kinds() -> dict[str, dict[str, type[Block]]]:
    """Return kind → name → block."""
    return {kind.kind_name(): kind.registry for kind in KINDS}


def describe_block(block: type[Block]) -> dict[str, Any]:
    """Return name, kind, documentation and settings of a block as plain values."""
    settings = [
        {
            "name": name,
            "type": _type(field),
            "default": _default(field),
            "description": field.description or "",
        }
        for name, field in block.model_fields.items()
    ]
    facts = {"name": block.type_name(), "kind": block.kind_name(), "documentation": block.documentation()}
    return {**facts, "settings": settings}


def _type(field: FieldInfo) -> str:
    """A setting's type and bounds in words: `int, above 0`."""
    annotation = field.annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    for noise in ("typing.", "tuilab.blocks.", "Literal", "NoneType"):
        text = text.replace(noise, "")
    text = text.replace(" | None", "")
    words = {
        annotated_types.Gt: "above",
        annotated_types.Ge: "from",
        annotated_types.Lt: "below",
        annotated_types.Le: "to",
    }
    for bound in field.metadata:
        if type(bound) in words:
            (value,) = vars(bound).values() if hasattr(bound, "__dict__") else (getattr(bound, bound.__slots__[0]),)
            text += f", {words[type(bound)]} {value}"
    return text


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "–"
    return short(field.default) if isinstance(field.default, Block) else json.dumps(as_table(field.default))
