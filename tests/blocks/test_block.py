"""Every block of every kind: how it is chosen, what it refuses, how it is written and documented."""

from __future__ import annotations

import re
import types
import typing
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from tuilab.blocks.activations import Activation, LeakyRelu, Relu
from tuilab.blocks.block import Block, as_table, snake_case
from tuilab.blocks.constraints import MaxNorm
from tuilab.blocks.datasets import Dataset
from tuilab.blocks.layers import Layer
from tuilab.blocks.layers.dense import Dense
from tuilab.blocks.losses import Loss
from tuilab.blocks.metrics import Metric
from tuilab.blocks.optimizers import Adam, Adamw, Optimizer, Sgd
from tuilab.blocks.regularizers import L2
from tuilab.blocks.schedules import Constant, CosineDecay, Schedule, Step
from tuilab.experiment.document import DataSettings, EarlyStopping, Experiment, Training

KINDS = [kind for kind in Block.__subclasses__() if kind.__module__.startswith("tuilab.")]
BLOCKS = [block for kind in KINDS for block in kind.registry.values()]
SECTIONS = [Experiment, DataSettings, Training, EarlyStopping]

REQUIRED: dict[str, dict[str, Any]] = {
    "dataset folder": {"path": "/data/pictures"},
    "layer dense": {"units": 3},
    "layer activation": {"activation": Relu()},
    "layer reshape": {"target_shape": (2, 2)},
    "layer dropout": {"rate": 0.5},
    "layer gaussian_noise": {"stddev": 0.1},
    "layer conv2d": {"filters": 4, "kernel_size": (3, 3)},
    "layer conv1d": {"filters": 4, "kernel_size": 3},
    "layer conv2d_transpose": {"filters": 4, "kernel_size": (3, 3)},
    "layer depthwise_conv2d": {"kernel_size": (3, 3)},
    "layer separable_conv2d": {"filters": 4, "kernel_size": (3, 3)},
    "layer spatial_dropout1d": {"rate": 0.5},
    "layer spatial_dropout2d": {"rate": 0.5},
    "layer repeat": {"layers": (Dense(units=3),)},
    "layer residual": {"layers": (Dense(units=3),)},
    "augmentation random_crop": {"height": 4, "width": 4},
    "augmentation random_rotation": {"factor": 0.1},
    "augmentation random_translation": {"height_factor": 0.1, "width_factor": [0.0, 0.2]},
    "augmentation random_zoom": {"height_factor": 0.1},
    "augmentation random_brightness": {"factor": 0.1},
    "augmentation random_contrast": {"factor": 0.1},
    "augmentation rescaling": {"scale": 0.5},
    "augmentation normalization": {"mean": [0.5], "variance": 1.0},
    "augmentation resizing": {"height": 8, "width": 8},
    "augmentation center_crop": {"height": 4, "width": 4},
    "schedule step": {"boundaries": [10], "values": [0.1, 0.01]},
}


def title(block: type[Block]) -> str:
    return f"{block.kind_name()} {block.type_name()}"


def made(block: type[Block], **settings: Any) -> Block:
    return block(**{**REQUIRED.get(title(block), {}), **settings})


def refusal(kind: type[Block], choice: Any) -> str:
    with pytest.raises(PydanticCustomError) as error:
        kind.choose(choice)
    return str(error.value)


class Shade(Block, kind=True):
    """A kind that only this test knows."""

    other_names = {"gray": "grey"}


class Grey(Shade):
    """Grey."""

    level: float = Field(0.5, ge=0, le=1, description="How light.")


class DarkBlue2D(Shade):
    """Dark blue."""

    pattern: Shade | None = Field(None, description="What it is laid over.")
    strokes: tuple[int, ...] = Field((), description="Lengths.")


class Warm(Shade, abstract=True):
    """What warm shades share."""


class Red(Warm):
    """Red."""


def test_the_registry_of_a_kind_holds_its_blocks_and_nothing_else() -> None:
    assert Shade.registry == {"grey": Grey, "dark_blue2_d": DarkBlue2D, "red": Red}
    assert "grey" not in Activation.registry
    assert "grey" not in Block.registry


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("LeakyRelu", "leaky_relu"),
        ("Relu6", "relu6"),
        ("L1L2", "l1_l2"),
        ("R2", "r2"),
        ("MaxNorm", "max_norm"),
        ("Sgd", "sgd"),
        ("BinaryFocalCrossentropy", "binary_focal_crossentropy"),
    ],
)
def test_snake_case(name: str, written: str) -> None:
    assert snake_case(name) == written


def test_a_block_is_chosen_by_name_table_or_itself() -> None:
    assert Activation.choose("relu") == Relu()
    assert Activation.choose({"type": "leaky_relu"}) == LeakyRelu()
    assert Activation.choose({"type": "leaky_relu", "negative_slope": 0.1}) == LeakyRelu(negative_slope=0.1)
    block = LeakyRelu(negative_slope=0.3)
    assert Activation.choose(block) is block


def test_a_bare_number_is_a_constant_learning_rate_and_nothing_else() -> None:
    assert Schedule.choose(0.1) == Constant(learning_rate=0.1)
    assert Schedule.choose(1) == Constant(learning_rate=1.0)
    assert Adam(learning_rate=0.5).learning_rate == Constant(learning_rate=0.5)
    assert refusal(Activation, 3) == "must be the name of an activation or a table with `type`, got 3"
    assert refusal(Schedule, True) == "must be the name of a schedule or a table with `type`, got true"


def test_choosing_does_not_change_the_table_that_was_given() -> None:
    table = {"type": "leaky_relu", "negative_slope": 0.1}
    Activation.choose(table)
    assert table == {"type": "leaky_relu", "negative_slope": 0.1}


def test_a_block_of_another_kind_is_refused() -> None:
    message = refusal(Activation, L2())
    assert message.startswith("must be the name of an activation or a table with `type`, got ")


def test_an_abstract_kind_takes_only_its_own_blocks() -> None:
    assert Warm.choose("red") == Red()
    assert refusal(Warm, "grey").startswith("unknown shade 'grey'")


@pytest.mark.parametrize(
    ("kind", "choice", "message"),
    [
        (Activation, "rel", "unknown activation 'rel', did you mean 'relu'?"),
        (Activation, "ReLU", "unknown activation 'ReLU', did you mean 'relu'?"),
        (Activation, "LeakyReLU", "unknown activation 'LeakyReLU', did you mean 'leaky_relu'?"),
        (Activation, {"type": "sofmax"}, "unknown activation 'sofmax', did you mean 'softmax'?"),
        (Activation, "zzz", "unknown activation 'zzz'; 'tuilab blocks' lists every activation"),
        (Activation, "", "unknown activation ''; 'tuilab blocks' lists every activation"),
        (Shade, "gray", "unknown shade 'gray': write grey"),
        (Loss, "mse", "unknown loss 'mse': write mean_squared_error"),
        (Metric, "acc", "unknown metric 'acc': write accuracy"),
        (Optimizer, "momentum", "unknown optimizer 'momentum': write { type = \"sgd\", momentum = 0.9 }"),
        (Dataset, "xor_gate", "unknown dataset 'xor_gate': write gate_xor"),
        (Layer, "Dense", "unknown layer 'Dense', did you mean 'dense'?"),
        (Activation, {"type": 3}, "`type` must be the name of an activation, got 3"),
        (Loss, {"type": ["hinge"]}, "`type` must be the name of a loss, got a list"),
        (Shade, {"level": 1}, 'add the key `type` with the name of a shade, for example type = "grey"'),
        (Shade, {}, 'add the key `type` with the name of a shade, for example type = "grey"'),
        (Shade, ["grey"], "must be the name of a shade or a table with `type`, got a list"),
        (Shade, None, "must be the name of a shade or a table with `type`, got nothing"),
        (Shade, 10**5000, "must be the name of a shade or a table with `type`, got a huge number"),
        (Shade, "\x1b[31m\u202e\nx", "unknown shade '�[31m� x'; 'tuilab blocks' lists every shade"),
    ],
    ids=lambda value: (
        value.kind_name() if isinstance(value, type) else ascii(value)[:30] if isinstance(value, str) else ""
    ),
)
def test_a_wrong_choice_says_what_to_write(kind: type[Block], choice: Any, message: str) -> None:
    assert refusal(kind, choice) == message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind_name())
def test_other_names_lead_to_blocks_that_exist(kind: type[Block]) -> None:
    for other, remedy in kind.other_names.items():
        assert other not in kind.registry, f"{other} is a block itself"
        named = re.findall(r'type = "(\w+)"', remedy) or [re.split(r"[ ,]", remedy)[0]]
        home = Layer if "a layer" in remedy else kind
        assert set(named) <= set(home.registry), f"{other} → {remedy}"


def test_every_error_of_nested_blocks_is_told_with_its_place() -> None:
    choice = {
        "type": "dense",
        "units": 0,
        "activation": {"type": "leaky_relu", "negative_slope": -1, "slope": 1},
        "kernel_regularizer": "l_2",
    }
    with pytest.raises(ValidationError) as error:
        TypeAdapter(list[Layer]).validate_python([{"type": "dense", "units": 1}, choice])
    assert [(detail["loc"], detail["msg"]) for detail in error.value.errors()] == [
        ((1, "units"), "Input should be greater than 0"),
        ((1, "activation", "negative_slope"), "Input should be greater than or equal to 0"),
        ((1, "activation", "slope"), "Extra inputs are not permitted"),
        ((1, "kernel_regularizer"), "unknown regularizer 'l_2', did you mean 'l2'?"),
    ]


def test_a_table_writes_every_setting_and_leaves_out_what_is_unset() -> None:
    assert Grey(level=1).table() == {"type": "grey", "level": 1.0}
    assert Grey().settings() == {"level": 0.5}
    assert DarkBlue2D(pattern=Grey(), strokes=(1, 2)).table() == {
        "type": "dark_blue2_d",
        "pattern": {"type": "grey", "level": 0.5},
        "strokes": [1, 2],
    }
    assert DarkBlue2D().table() == {"type": "dark_blue2_d", "strokes": []}
    assert as_table({"a": (Grey(), EarlyStopping())}) == {
        "a": [
            {"type": "grey", "level": 0.5},
            {"monitor": "val_loss", "patience": 3, "min_delta": 0.0, "restore_best_weights": True},
        ]
    }


def plain(value: Any) -> bool:
    """Whether TOML can hold a value."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return type(value) in (str, int, float, bool)


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_the_table_of_a_block_makes_the_same_block(block: type[Block]) -> None:
    made_block = made(block)
    table = made_block.table()
    assert plain(table)
    assert table["type"] == block.type_name()
    assert block.choose(table) == made_block
    kind = next(kind for kind in KINDS if issubclass(block, kind))
    assert kind.choose(table) == made_block
    if block.type_name() not in ("sgd", "adamw"):  # both have a default of their own for a setting of the kind
        unset = {name for name, field in block.model_fields.items() if field.default is None}
        assert set(table) - {"type"} == set(block.model_fields) - unset


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_what_can_be_unset_is_unset_by_default(block: type[Block]) -> None:
    for name, field in block.model_fields.items():
        if type(None) in typing.get_args(field.annotation):
            assert field.default is None, f"{name} = None cannot be written in a file"


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_only_blocks_with_a_row_have_settings_without_default(block: type[Block]) -> None:
    required = {name for name, field in block.model_fields.items() if field.is_required()}
    assert required == set(REQUIRED.get(title(block), {}))


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_a_block_does_not_change(block: type[Block]) -> None:
    made_block = made(block)
    for name in block.model_fields:
        with pytest.raises(ValidationError, match="Instance is frozen"):
            setattr(made_block, name, getattr(made_block, name))
    with pytest.raises(ValidationError, match="Instance is frozen"):
        made_block.colour = "red"  # type: ignore[attr-defined]


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_a_block_refuses_settings_that_it_does_not_have(block: type[Block]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        made(block, no_such_setting=1)


def kinds_of(annotation: Any) -> set[Any]:
    """Return the plain types in an annotation: {int} for `int | None`."""
    if typing.get_origin(annotation) is Literal:
        return {Literal}
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Annotated:
        return set().union(*map(kinds_of, typing.get_args(annotation)))
    return {annotation}


WRONG = {
    int: ["1", 1.5, 1.0, True, [1], {}, "x"],
    float: ["0.5", True, [0.5], {}, "x", float("nan"), float("inf")],
    bool: [1, 0, "true", "x", 0.0],
    str: [1, True, 0.5, ["a"]],
    Literal: [1, True, "no such choice", ["a"]],
}


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_types_are_strict(block: type[Block]) -> None:
    """A text is no number, a number no text, and true neither; NaN and infinity are not accepted."""
    for name, field in block.model_fields.items():
        for kind in kinds_of(field.annotation) & set(WRONG):
            lists = kind is int or "list[float]" in str(field.annotation)
            wrong = [value for value in WRONG[kind] if not (lists and isinstance(value, list))]
            for value in wrong:
                with pytest.raises(ValidationError):
                    made(block, **{name: value})


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (Step, {"boundaries": [True], "values": [0.1, 0.2]}),
        (Step, {"boundaries": ["1"], "values": [0.1, 0.2]}),
        (Step, {"boundaries": [1], "values": [True, 0.2]}),
        (MaxNorm, {"axis": True}),
        (MaxNorm, {"axis": ["0"]}),
        (Layer.registry["reshape"], {"target_shape": [True]}),
        (Layer.registry["reshape"], {"target_shape": ["1"]}),
    ],
)
def test_types_are_strict_in_lists_too(make: type[Block], settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make(**settings)


def test_a_whole_number_is_a_number() -> None:
    assert Grey(level=1).level == 1.0
    assert type(Grey(level=1).level) is float


def test_kind_names() -> None:
    assert [kind.kind_name() for kind in KINDS] == [snake_case(kind.__name__) for kind in KINDS]
    assert Relu.kind_name() == "activation"
    assert Adamw.kind_name() == "optimizer"
    assert Red.kind_name() == "shade"
    assert {kind.kind_name() for kind in KINDS} == {
        *("activation", "augmentation", "constraint", "dataset", "initializer", "layer"),
        *("loss", "metric", "optimizer", "regularizer", "schedule"),
    }


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_a_block_is_documented(block: type[Block]) -> None:
    assert "__doc__" in vars(block)
    documentation = block.documentation()
    assert len(documentation) >= 40
    first = documentation.split("\n\n")[0]
    assert first[0].isupper() or first[0].isdigit()
    assert first.endswith((".", ":"))
    assert "\n" not in block.summary()
    assert not block.summary().endswith(".")
    assert block.summary().count("(") == block.summary().count(")")


@pytest.mark.parametrize("model", [*BLOCKS, *SECTIONS], ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_defaults_are_blocks_that_their_own_table_makes() -> None:
    assert Sgd().learning_rate == Constant(learning_rate=0.01)
    assert Sgd.choose("sgd") == Sgd()
    assert Adamw.choose({"type": "adamw"}).weight_decay == 0.004
    assert Dense(units=2).activation == Activation.choose("linear")
    rate = CosineDecay(initial_learning_rate=0.1)
    assert Adam(learning_rate=rate).table()["learning_rate"] == {
        "type": "cosine_decay",
        "initial_learning_rate": 0.1,
        "alpha": 0.0,
        "warmup_steps": 0,
    }
