"""Keras' names of layers and of the parts of layers, and ours: both ways."""

from __future__ import annotations

import re
from typing import Any

from tuilab.blocks.activations import Activation
from tuilab.blocks.block import Block
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import Initializer
from tuilab.blocks.regularizers import Regularizer
from tuilab.text import as_written, clean_text

OTHER_CLASSES = {
    "avgpool1d": "average_pooling1d",
    "avgpool2d": "average_pooling2d",
    "convolution1d": "conv1d",
    "convolution2d": "conv2d",
    "convolution2dtranspose": "conv2d_transpose",
    "globalavgpool1d": "global_average_pooling1d",
    "globalavgpool2d": "global_average_pooling2d",
    "globalmaxpool1d": "global_max_pooling1d",
    "globalmaxpool2d": "global_max_pooling2d",
    "maxpool1d": "max_pooling1d",
    "maxpool2d": "max_pooling2d",
    "separableconvolution2d": "separable_conv2d",
    "orthogonalinitializer": "orthogonal",
    "orthogonalregularizer": "orthogonal",
    "nonneg": "non_neg",
    "swish": "silu",
}
"""Keras' other names, without underscores and capitals → ours."""
IRREGULAR = {"Prelu": "PReLU", "L1L2": "L1L2"}
"""Our classes whose names Keras writes differently."""
PARTS: dict[str, type[Block]] = {
    "activation": Activation,
    "initializer": Initializer,
    "regularizer": Regularizer,
    "constraint": Constraint,
}
"""Ends of the names of settings that are blocks themselves → what they are."""


class UnknownPartError(ValueError):
    """A part of a Keras model that has no counterpart here; the text says which."""


def block_class(kind: type[Block], keras_name: str) -> type[Block] | None:
    """Return our class for a name of Keras', such as `MaxPooling2D` or `leaky_relu`; None where there is none."""
    plain = keras_name.lower().replace("_", "")
    known = {name.replace("_", ""): block for name, block in kind.registry.items()}
    return known.get(OTHER_CLASSES.get(plain, plain).replace("_", ""))


def keras_class(block: type[Block]) -> str:
    """Return what Keras calls a class of ours: Conv2dTranspose → Conv2DTranspose."""
    name = block.__name__
    return IRREGULAR.get(name) or re.sub(r"(?<=\d)d", "D", name)


def group_name(class_name: str) -> str:
    """Return what a class of Keras' is called inside its files: MaxPooling2D → max_pooling2d."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def part(setting: str, value: Any) -> dict[str, Any] | None:
    """Return the table of a part that Keras describes: a name, a class with settings, or nothing.

    Raises UnknownPartError for what we have not.
    """
    kind = next(kind for end, kind in PARTS.items() if setting.endswith(end))
    if value is None:
        return {"type": "linear"} if kind is Activation else None
    name, settings = (value, {}) if isinstance(value, str) else _described(setting, value)
    block = block_class(kind, name)
    if block is None:
        raise UnknownPartError(f"{setting} is {as_written(name)}, which tuilab has not")
    fields = {key: item for key, item in settings.items() if key in block.model_fields}
    if kind is Activation and block.type_name() == "leaky_relu" and "alpha" in settings:
        fields["negative_slope"] = settings["alpha"]
    return {"type": block.type_name(), **fields}


def _described(setting: str, value: Any) -> tuple[str, dict[str, Any]]:
    """Return name and settings of a serialized object of Keras'."""
    if isinstance(value, dict):
        name, config = value.get("class_name"), value.get("config")
        if name == "function" and isinstance(config, str):  # a function, known by its name alone
            return config, {}
        if isinstance(name, str) and (config is None or isinstance(config, dict)):
            if value.get("registered_name") not in (None, name) and ">" in str(value.get("registered_name")):
                raise UnknownPartError(f"{setting} is {as_written(name)}, somebody's own code, which is not run")
            return name, config or {}
    raise UnknownPartError(f"{setting} is {as_written(value)}, which is no part of Keras'")


def keras_part(block: Block | None) -> Any:
    """Return a part of ours as Keras describes it. Raises UnknownPartError for what Keras has not."""
    if block is None:
        return None
    if isinstance(block, Activation):
        return keras_activation(block)
    module = next(f"{end}s" for end, kind in PARTS.items() if isinstance(block, kind))
    name = {"Orthogonal": "OrthogonalInitializer" if module == "initializers" else "OrthogonalRegularizer"}.get(
        type(block).__name__, keras_class(type(block))
    )
    return {"module": f"keras.{module}", "class_name": name, "config": block.settings(), "registered_name": None}


NOT_IN_KERAS = ("step",)


def keras_activation(activation: Activation) -> Any:
    """Return an activation as Keras describes it: by name, or as a layer that is called like a function."""
    name = activation.type_name()
    if name in NOT_IN_KERAS:
        raise UnknownPartError(f"the activation {name}, which Keras has not")
    changed = {
        field: value
        for field, info in type(activation).model_fields.items()
        if (value := getattr(activation, field)) != info.default
    }
    if not changed:
        return name
    if name in ("leaky_relu", "elu"):
        return {
            "module": "keras.layers",
            "class_name": {"leaky_relu": "LeakyReLU", "elu": "ELU"}[name],
            "config": {"name": f"{name}_function", **changed},
            "registered_name": None,
        }
    said = ", ".join(f"{field} = {as_written(value)}" for field, value in changed.items())
    raise UnknownPartError(f"the activation {name} with {said}, which Keras has only as a function without settings")


def written(text: Any) -> str:
    """Return a name out of a file, clean enough for a message."""
    return clean_text(str(text), 60)
