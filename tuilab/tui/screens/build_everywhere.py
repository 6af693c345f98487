"""What can be changed in all layers at once: every sigmoid to relu, a penalty on all kernels."""

from __future__ import annotations

from tuilab.blocks.activations import Activation
from tuilab.blocks.block import Block
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import Initializer
from tuilab.blocks.regularizers import Regularizer
from tuilab.experiment.draft import Draft
from tuilab.experiment.edits import settings_model
from tuilab.tui.forms.fields import Choice

SETTINGS: dict[str, type[Block]] = {
    "activation": Activation,
    "kernel_initializer": Initializer,
    "bias_initializer": Initializer,
    "kernel_regularizer": Regularizer,
    "bias_regularizer": Regularizer,
    "activity_regularizer": Regularizer,
    "kernel_constraint": Constraint,
}
NONE = "none"


def uses(draft: Draft) -> dict[tuple[str, str], int]:
    """Return in how many layers each setting has each block, by their names."""
    found: dict[tuple[str, str], int] = {}
    for row in draft.rows:
        model = settings_model(draft.document, row.location)
        for setting in SETTINGS:
            if model is not None and setting in model.model_fields:
                key = setting, draft.type_at((*row.location, setting)) or NONE
                found[key] = found.get(key, 0) + 1
    return dict(sorted(found.items(), key=lambda item: list(SETTINGS).index(item[0][0])))


def uses_as_choices(draft: Draft) -> list[Choice]:
    return [
        Choice(f"{setting} {block}", f"in {count} layer{'s' * (count > 1)}")
        for (setting, block), count in uses(draft).items()
    ]


def blocks_for(setting: str) -> list[Choice]:
    """Return what a setting can become."""
    kind = SETTINGS[setting]
    choices = [Choice(name, block.summary(), block.documentation()) for name, block in kind.registry.items()]
    return [Choice(NONE, "nothing"), *choices] if kind in (Regularizer, Constraint) else choices


def penalties(draft: Draft) -> str:
    """Return the penalties on kernels in a few words: `l2 in 2 of 3 layers`."""
    found = {block: count for (setting, block), count in uses(draft).items() if setting == "kernel_regularizer"}
    total = sum(found.values())
    return ", ".join(f"{block} in {count} of {total} layers" for block, count in found.items() if block != NONE) or "no"
