"""Drafts: edits keep comments, are undone byte for byte, and are never a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.experiment.experiments import experiments, least_seconds, slowness
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers import Layer
from tuilab.errors import DataError, ExperimentError, StorageError, UsageError
from tuilab.experiment.draft import Draft, OnDisk
from tuilab.experiment.edits import FIRST_VALUES, default_at, location_of, same
from tuilab.experiment.load import load_experiment
from tuilab.experiment.plan import memory_bytes, plan
from tuilab.experiment.ready_made import ready_made
from tuilab.experiment.save import to_toml
from tuilab.experiment.sections import value_at

COMMENTED = """\
# What this file is for.
name = "small" # its name
seed = 7

# ---- data ----
[data]
dataset = "iris"   # three kinds of flowers
batch_size = 16

# the first
[[layers]]
type = "dense"
units = 8 # few
activation = "relu"

# the second
[[layers]]
type = "dense"
units = 3
activation = "softmax"

[training]
epochs = 5
# what is made small
loss = "categorical_crossentropy"

[training.optimizer]
type = "adam" # fast
learning_rate = 0.01

# the end
"""

NESTED = """\
# What this file is for.
name = "deep"
data = { dataset = "iris" } # flowers

# the way in
[[layers]]
type = "dense"
units = 8 # few

# twice the same
[[layers]]
type = "repeat"
name = "block1"
times = 2 # or more

# what is repeated
[[layers.layers]]
type = "dense" # inside
units = 8 # as before
activation = "relu"

[[layers.layers]]
type = "residual"
projection = [{ type = "dense", units = 6 }] # beside

# deep down
[[layers.layers.layers]]
type = "dense"
units = 6
[layers.layers.layers.activation]
type = "leaky_relu" # bent
negative_slope = 0.1

# the way out
[[layers]]
type = "dense"
units = 3
activation = "softmax"

[training]
loss = "categorical_crossentropy" # small
"""
INLINE = """\
[data]
dataset = "iris"
[[layers]] # all in one
type = "repeat"
layers = [
  { type = "dense", units = 4 }, # the first
  { type = "residual", layers = [{ type = "dense", units = 4 }, "prelu"] },
]
times = 3 # so often
[[layers]]
type = "dense"
units = 3
activation = "softmax"
[training]
loss = "categorical_crossentropy"
"""
ROWS = ["1", "2", "2.1", "2.2", "2.2.1", "2.2.2", "3"]


def nested(text: str = NESTED) -> Draft:
    return Draft.from_text(text)


def commented() -> Draft:
    return Draft.from_text(COMMENTED)


NAMES = [
    "dense",
    "dropout",
    "flatten",
    "reshape",
    "relu",
    "sigmoid",
    "sgd",
    "adam",
    "cosine_decay",
    "l2",
    "nothing",
    "",
]
PLACES = [
    "name", "seed", "data", "data.dataset", "data.batch_size", "data.path", "data.target", "layers", "layers[0]",
    "layers[0].units", "layers[1].activation", "layers[0].activation.alpha", "layers[2].kernel_initializer.stddev",
    "layers[0].name", "training", "training.loss", "training.optimizer", "training.optimizer.learning_rate",
    "training.optimizer.learning_rate.initial_learning_rate", "training.metrics", "training.metrics[0]",
    "training.metrics[1].average", "training.early_stopping.patience", "training.early_stopping", "unknown",
    "training.class_weight.a", "x.y.z", "layers[99].units", "[", "a..b", "layers[0][1]", "layers[1].times",
    "layers[1].layers", "layers[1].layers[0]", "layers[1].layers[0].units", "layers[0].layers[1].layers[0].units",
    "layers[1].layers[1].projection", "layers[1].layers[1].projection[0].activation", "layers[1].layers[0].name",
    "layers[1].layers[1].layers[0].activation.negative_slope", "layers[0].layers[1].layers[1]", "layers[0].layers",
]  # fmt: skip
PLAIN = st.booleans() | st.integers(-3, 2**70) | st.floats() | st.sampled_from(NAMES) | st.text(max_size=20)
VALUES = st.none() | st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
INDEX = st.integers(-1, 6)
EDITS = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(PLACES), VALUES),
    st.tuples(st.just("set"), st.text(max_size=20), VALUES),
    st.tuples(st.just("change_type"), st.sampled_from(PLACES), st.sampled_from(NAMES)),
    st.tuples(st.just("add"), INDEX, st.sampled_from([*Layer.registry, "nothing"])),
    st.tuples(st.just("delete"), INDEX, INDEX),
    st.tuples(st.just("duplicate"), INDEX, INDEX),
    st.tuples(st.just("repeat"), INDEX, INDEX, INDEX),
    st.tuples(st.just("move"), INDEX, INDEX, st.integers(-3, 3)),
    st.tuples(st.just("replace"), st.sampled_from(["activation", "kernel_regularizer"]), *[st.sampled_from(NAMES)] * 2),
    st.tuples(st.just("group"), INDEX, INDEX, st.sampled_from(["repeat", "residual", "dense"])),
    st.tuples(st.just("ungroup"), INDEX),
    st.tuples(st.just("take"), INDEX, INDEX, INDEX),
    st.tuples(st.just("reset")),
    st.tuples(st.just("undo")),
    st.tuples(st.just("redo")),
)
TEXTS = st.one_of(
    st.sampled_from([COMMENTED, NESTED, INLINE]),
    st.sampled_from([path.read_text() for path in ready_made().values()]),
    experiments().map(to_toml),
    st.sampled_from(
        [
            "",
            "layers = 5",
            'layers = ["dense", { type = "dropout", rate = 0.5 }] # so',
            "[layers]",
            "training.loss = 'mse'\n[training.optimizer]\n[[layers]]\n[layers.activation]\ntype='relu'",
            "data = { dataset = 'iris' }\r\n[[layers]]\r\ntype = 'dense'\r\n",
            "[training.optimizer.learning_rate]\n[training.optimizer]\n[training]\n[data]",
            "x = '''\n[[layers]]\n# no comment'''\n[a]\n'b.c' = 1",
            "[[layers]]\n[[layers.layers]]\n[layers.activation]\n[[layers.layers]]\n[[layers.layers.projection]]",
            "[[layers]]\ntype='repeat'\nlayers=['relu', {type='dense'}, 3]\n[[layers]]\n[training]\n[[layers.layers]]",
            "layers = [{ type = 'residual', layers = ['relu'], projection = ['relu'] }, 'relu', 'flatten']",
            "[[layers]]\r\ntype='residual'\r\n[[layers.layers]]\r\ntype='relu'\r\n[[layers.projection]]\r\n# end",
            "[[layers]]\nlayers.layers = 1\n[[layers]]\n[layers.layers]\n[[layers.layers.layers]]\n",
        ]
    ),
)


def difference(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that are gone, and those that are new."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


# Values


@pytest.mark.parametrize(
    ("place", "value", "gone", "new"),
    [
        ("layers[0].units", 9, ["units = 8 # few"], ["units = 9 # few"]),
        ("layers[1].use_bias", False, [], ["use_bias = false"]),
        ("layers[0].use_bias", True, [], []),  # the default, and not written
        ("layers[0].activation", "linear", ['activation = "relu"'], ['activation = "linear"']),  # the default
        ("layers[0].activation", None, ['activation = "relu"'], []),
        ("seed", 8, ["seed = 7"], ["seed = 8"]),
        ("name", "other", ['name = "small" # its name'], ['name = "other" # its name']),
        ("description", "words", [], ['description = "words"']),
        ("data.batch_size", 32, ["batch_size = 16"], ["batch_size = 32"]),
        ("data.dataset", {"type": "moons", "noise": 0.2}, ['dataset = "iris"   # three kinds of flowers'],
         ['dataset = { type = "moons", noise = 0.2 }   # three kinds of flowers']),
        ("training.optimizer.learning_rate", 0.1, ["learning_rate = 0.01"], ["learning_rate = 0.1"]),
        ("training.optimizer.beta_1", 0.8, [], ["beta_1 = 0.8"]),
        ("training.optimizer.type", "sgd", ['type = "adam" # fast'], ['type = "sgd" # fast']),
        ("training.optimizer", "sgd", ['type = "adam" # fast', "learning_rate = 0.01"], ['type = "sgd" # fast']),
        ("training.optimizer.learning_rate.initial_learning_rate", 0.5, ["learning_rate = 0.01"],
         ['learning_rate = { type = "constant", learning_rate = 0.01, initial_learning_rate = 0.5 }']),
        ("training.early_stopping.patience", 5, [], ["early_stopping = { patience = 5 }"]),
        ("training.metrics", ["accuracy"], [], ['metrics = ["accuracy"]']),
        ("training.class_weight", {"a b": 2.0}, [], ['class_weight = { "a b" = 2.0 }']),
    ],
)  # fmt: skip
def test_a_value_changes_its_line_only(place: str, value: Any, gone: list[str], new: list[str]) -> None:
    draft = commented()
    draft.set(place, value)
    assert difference(COMMENTED, draft.text) == (gone, new)


def test_a_setting_of_a_bare_name_makes_it_a_table_and_back() -> None:
    draft = commented()
    draft.set("layers[0].activation", "leaky_relu")
    draft.set("layers[0].activation.negative_slope", 0.3)
    assert 'activation = { type = "leaky_relu", negative_slope = 0.3 }' in draft.text
    draft.set("layers[0].activation.negative_slope", None)
    assert 'activation = "leaky_relu"' in draft.text


def test_a_setting_of_a_default_block_writes_the_block() -> None:
    draft = Draft.new()
    draft.set("training.optimizer.learning_rate", 0.01)
    assert 'optimizer = { type = "adam", learning_rate = 0.01 }' in draft.text
    draft.set("training.optimizer.learning_rate", None)
    assert 'optimizer = "adam"' in draft.text


def test_a_missing_section_is_added() -> None:
    draft = Draft.from_text("[training.optimizer]\ntype = 'sgd'\n")
    draft.set("training.loss", "mean_squared_error")
    draft.set("data.dataset", "iris")
    assert draft.text == (
        '[training]\nloss = "mean_squared_error"\n\n[training.optimizer]\ntype = \'sgd\'\n\n[data]\ndataset = "iris"\n'
    )


def test_a_section_gives_way_to_a_plain_value() -> None:
    draft = Draft.from_text(
        "[training]\nepochs = 3\n[training.optimizer.learning_rate]\ntype = 'cosine_decay'\n[data]\n"
    )
    draft.set("training.optimizer.learning_rate", 0.1)
    assert draft.document["training"] == {"epochs": 3, "optimizer": {"learning_rate": 0.1}}
    assert "cosine_decay" not in draft.text


@settings(deadline=None)
@given(st.sampled_from([place for place in PLACES if not place.startswith(("[", "a.."))]), VALUES)
def test_what_is_set_stands_in_the_file(place: str, value: Any) -> None:
    draft = commented()
    before = draft.document
    try:
        draft.set(place, value)
    except UsageError:
        return
    location = location_of(place)
    stands = value_at(draft.document, location)
    if value is None:
        assert stands is None
    elif stands is None:
        assert same(value, default_at(before, location))
    else:
        assert repr(bare(stands)) == repr(bare(value))


def bare(value: Any) -> Any:
    """A block without settings is the same as its name, a table and a list the same in any spelling."""
    if isinstance(value, dict):
        return value["type"] if set(value) == {"type"} else {key: value[key] for key in sorted(value)}
    return value


def test_another_type_keeps_settings_of_the_same_name() -> None:
    draft = commented()
    draft.change_type("training.optimizer", "sgd")
    assert draft.document["training"]["optimizer"] == {"type": "sgd", "learning_rate": 0.01}
    draft.change_type("training.optimizer.learning_rate", "cosine_decay")
    assert draft.document["training"]["optimizer"]["learning_rate"] == {
        "type": "cosine_decay",
        "initial_learning_rate": 0.01,
    }
    draft.change_type("training.optimizer.learning_rate", "constant")
    assert draft.document["training"]["optimizer"]["learning_rate"] == 0.01
    draft.set("training.optimizer.learning_rate", {"type": "constant", "learning_rate": 0.02})
    draft.change_type("training.optimizer.learning_rate", "polynomial")
    assert draft.document["training"]["optimizer"]["learning_rate"]["initial_learning_rate"] == 0.02
    draft.set("layers[0].name", "first")
    draft.change_type("layers[0]", "dropout")
    assert draft.document["layers"][0] == {"type": "dropout", "name": "first", "rate": FIRST_VALUES["rate"]}


def test_another_type_drops_settings_that_it_does_not_take() -> None:
    draft = commented()
    draft.set("training.optimizer", {"type": "adam", "beta_1": 0.0})
    draft.change_type("training.optimizer", "lion")  # whose beta_1 is above 0
    assert draft.document["training"]["optimizer"] == {"type": "lion"}


def test_all_layers_at_once() -> None:
    draft = Draft.open("vanishing-sigmoid")
    assert draft.replace("activation", "sigmoid", "relu") == 8
    assert [row.settings for row in draft.rows] == ["dense 64 relu"] * 8 + ["dense 10 softmax"]
    assert draft.replace("kernel_regularizer", None, "l2") == 9
    assert draft.text.count('kernel_regularizer = "l2"') == 9
    assert draft.replace("kernel_regularizer", "l2", None) == 9
    draft.undo()
    draft.undo()
    draft.undo()
    assert not draft.modified


# The stack


def test_layers_take_their_comments_along() -> None:
    draft = commented()
    draft.move(0, None, 1)
    assert draft.text.index("# the second") < draft.text.index("units = 3") < draft.text.index("# the first")
    assert draft.text.index("# the first") < draft.text.index("units = 8") < draft.text.index("[training]")
    draft.delete(0)
    gone, new = difference(COMMENTED, draft.text)
    assert gone == ["# the second", "units = 3", 'activation = "softmax"']
    assert new == []


def test_moving_ends_at_the_ends_of_the_stack() -> None:
    draft = commented()
    draft.move(0, None, -1)
    draft.move(0, 1, 1)
    assert not draft.modified
    draft.move(0, None, 9)
    assert [row.settings for row in draft.rows] == ["dense 3 softmax", "dense 8 relu"]


def test_an_edit_after_undoing_leaves_nothing_to_redo() -> None:
    draft = commented()
    draft.set("seed", 8)
    draft.undo()
    draft.set("seed", 9)
    assert not draft.can_redo
    draft.redo()
    assert draft.document["seed"] == 9
    draft.reset()
    assert draft.text == COMMENTED
    assert draft.can_undo


def test_a_new_dense_layer_has_an_activation() -> None:
    draft = commented()
    draft.add(0, "dense")
    assert draft.rows[0].settings == f"dense {FIRST_VALUES['units']} relu"


def test_inserting_duplicating_and_repeating() -> None:
    draft = commented()
    draft.add(1, "dropout")
    assert [row.type for row in draft.rows] == ["dense", "dropout", "dense"]
    assert '# few\nactivation = "relu"\n\n[[layers]]\ntype = "dropout"\nrate = 0.2\n\n# the second\n' in draft.text
    draft.repeat(0, 1, 3)
    assert [row.type for row in draft.rows] == ["dense", "dropout"] * 3 + ["dense"]
    draft.duplicate(6)
    assert [row.type for row in draft.rows] == ["dense", "dropout"] * 3 + ["dense"] * 2


def test_pasting_into_another_experiment() -> None:
    texts = commented().copied(0, 1)
    draft = Draft.new()
    draft.paste(0, texts)
    assert [row.settings for row in draft.rows] == ["dense 8 relu", "dense 3 softmax"]
    assert "# few" in draft.text
    assert draft.text.index("[[layers]]") < draft.text.index("[training]")


def test_copies_lose_a_name_that_is_taken() -> None:
    draft = commented()
    draft.set("layers[0].name", "first")
    draft.duplicate(0)
    assert [layer.get("name") for layer in draft.document["layers"]] == ["first", None, None]


def test_layers_in_one_list_are_written_apart_with_its_comments() -> None:
    layers = '[  # all of them\n  { type = "dense", units = 3 }, # the only one\n  "flatten",\n]'
    text = f'seed = 1\nlayers = {layers}\nname = "x" # last\n'
    draft = Draft.from_text(text)
    draft.add(2, "dropout")
    assert [layer["type"] for layer in draft.document["layers"]] == ["dense", "flatten", "dropout"]
    assert all(comment in draft.text for comment in ("# all of them", "# the only one", "# last"))
    assert draft.text.startswith('seed = 1\nname = "x" # last\n')


def test_too_many_layers_are_refused() -> None:
    draft = commented()
    with pytest.raises(UsageError, match="at most 256 layers"):
        draft.repeat(0, 0, 256)
    assert not draft.modified


# Layers inside layers


def test_rows_of_layers_inside_others() -> None:
    draft = nested()
    assert [row.number for row in draft.rows] == ROWS
    assert [row.settings for row in draft.rows] == [
        "dense 8",
        "repeat ×2",
        "dense 8 relu",
        "residual",
        "dense 6 leaky_relu 0.1",
        "dense 6",
        "dense 3 softmax",
    ]
    assert [row.depth for row in draft.rows] == [0, 0, 1, 1, 2, 2, 0]
    assert draft.rows[5].location == ("layers", 1, "layers", 1, "projection", 0)
    assert draft.rows[1].name == "block1"
    assert draft.problems == []
    draft.set("layers[1].layers[0].units", 6)
    draft.set("layers[0].units", 6)
    assert draft.problems == []
    assert [row.output_shape for row in draft.rows] == [(6,)] * 6 + [(3,)]
    once = 3 * (6 * 6 + 6)
    assert [row.parameters for row in draft.rows] == [30, 2 * once, 42, 84, 42, 42, 21]
    assert draft.totals is not None
    assert draft.totals.parameters == 30 + 2 * once + 21


def test_a_problem_is_marked_at_the_innermost_layer() -> None:
    draft = nested(INLINE)
    draft.set("layers[0].layers[1].layers[0].units", "many")
    assert {row.number: row.problem for row in draft.rows if row.problem} == {
        "1.2.1": 'units: must be an integer, got "many"'
    }
    assert [row.output_shape for row in draft.rows] == [None, (4,), None, None, None, None]
    draft.set("layers[0].layers[1].layers[0].units", 5)
    assert [row.number for row in draft.rows if row.problem] == ["1.2"]
    assert "add a projection" in draft.rows[2].problem
    assert [row.output_shape for row in draft.rows] == [None, (4,), None, (5,), (5,), None]
    draft.set("training.epochs", 0)  # now it is not planned as a whole
    assert [row.number for row in draft.rows if row.problem] == ["1.2"]


@pytest.mark.parametrize(
    ("place", "value", "gone", "new"),
    [
        ("layers[1].layers[0].units", 9, ["units = 8 # as before"], ["units = 9 # as before"]),
        ("layers[1].times", 3, ["times = 2 # or more"], ["times = 3 # or more"]),
        ("layers[1].layers[1].name", "here", [], ['name = "here"']),
        ("layers[1].layers[1].layers[0].activation.negative_slope", 0.5, ["negative_slope = 0.1"],
         ["negative_slope = 0.5"]),
        ("layers[1].layers[1].projection[0].units", 9, ['projection = [{ type = "dense", units = 6 }] # beside'],
         ["# beside", "[[layers.layers.projection]]", "units = 9"]),
        ("layers[1].layers[1].projection", None, ['projection = [{ type = "dense", units = 6 }] # beside'], []),
    ],
)  # fmt: skip
def test_a_value_deep_inside_changes_its_line_only(place: str, value: Any, gone: list[str], new: list[str]) -> None:
    draft = nested()
    draft.set(place, value)
    assert difference(NESTED, draft.text) == (gone, new)


def test_layers_written_as_a_list_are_written_apart_where_they_change() -> None:
    draft = nested(INLINE)
    draft.set("layers[0].layers[0].units", 5)
    assert draft.text == INLINE.replace(
        """layers = [
  { type = "dense", units = 4 }, # the first
  { type = "residual", layers = [{ type = "dense", units = 4 }, "prelu"] },
]
times = 3 # so often
""",
        """times = 3 # so often

# the first
[[layers.layers]]
type = "dense"
units = 5

[[layers.layers]]
type = "residual"

[[layers.layers.layers]]
type = "dense"
units = 4

[[layers.layers.layers]]
type = "prelu"
""",
    )


def test_another_type_of_layer_inside() -> None:
    draft = nested()
    draft.change_type("layers[1].layers[0]", "dropout")
    assert draft.document["layers"][1]["layers"][0] == {"type": "dropout", "rate": 0.2}
    draft.change_type("layers[1].layers[1]", "repeat")  # takes layers as well
    assert [row.number for row in draft.rows] == ["1", "2", "2.1", "2.2", "2.2.1", "3"]
    assert "# deep down" in draft.text
    draft.change_type("layers[1]", "dense")
    assert [row.number for row in draft.rows] == ["1", "2", "3"]
    draft.change_type("layers[1]", "residual")
    assert [row.number for row in draft.rows] == ["1", "2", "2.1", "3"]
    assert draft.text.count("[[layers.layers]]") == 1


def test_all_layers_at_once_are_those_inside_too() -> None:
    draft = nested()
    assert draft.replace("kernel_regularizer", None, "l2") == 5
    assert draft.text.count('kernel_regularizer = "l2"') == 5


def numbers(draft: Draft) -> list[str]:
    return [f"{row.number} {row.settings}" for row in draft.rows]


def test_adding_and_taking_out_inside() -> None:
    draft = nested()
    draft.add(draft.after(2), "flatten")
    draft.add(draft.rows[5].location, "dropout")
    draft.add(draft.after(1), "prelu")
    assert numbers(draft)[1:6] == [
        "2 repeat ×2",
        "2.1 dense 8 relu",
        "2.2 flatten",
        "2.3 residual",
        "2.3.1 dropout 0.2",
    ]
    assert numbers(draft)[8] == "3 prelu"
    draft.delete(3)
    draft.delete(7)
    draft.delete(4)
    assert draft.text == NESTED
    draft.delete(2, 3)  # all that is in it
    assert [row.number for row in draft.rows] == ["1", "2", "3"]
    assert "is missing" in draft.rows[1].problem
    draft.add(("layers", 1, "layers", 0), "dense")
    assert numbers(draft)[1:3] == ["2 repeat ×2", "2.1 dense 32 relu"]


def test_moving_ends_at_the_ends_of_the_layer_around() -> None:
    draft = nested()
    draft.move(2, None, 1)
    assert numbers(draft)[2:6] == ["2.1 residual", "2.1.1 dense 6 leaky_relu 0.1", "2.1.2 dense 6", "2.2 dense 8 relu"]
    assert draft.text.index("# deep down") < draft.text.index("# what is repeated") < draft.text.index("# the way out")
    before = draft.text
    draft.move(5, None, 1)
    draft.move(3, None, -1)
    draft.move(4, None, 2)
    assert draft.document == tomllib.loads(before)
    draft.move(1, None, -9)
    assert [row.number for row in draft.rows] == ["1", "1.1", "1.1.1", "1.1.2", "1.2", "2", "3"]


@pytest.mark.parametrize(
    ("first", "last", "where", "indices"),
    [
        (2, 2, ("layers", 1, "layers"), range(1)),
        (2, 4, ("layers", 1, "layers"), range(2)),
        (4, 5, ("layers", 1, "layers"), range(1, 2)),  # one of the layers and one of the projection
        (1, 2, ("layers",), range(1, 2)),
        (0, 4, ("layers",), range(2)),
        (5, 6, ("layers",), range(1, 3)),
    ],
)
def test_a_choice_of_several_depths_grows(first: int, last: int, where: object, indices: range) -> None:
    assert nested().chosen(first, last) == (where, indices)


def test_layers_go_from_one_depth_to_another() -> None:
    draft = nested()
    draft.paste(0, draft.copied(4))
    assert numbers(draft)[0] == "1 dense 6 leaky_relu 0.1"
    assert "[layers.activation]" in draft.text
    draft.paste(draft.after(5), draft.copied(2))  # a whole block into itself
    assert numbers(draft)[6:10] == [
        "3.2.2 repeat ×2",
        "3.2.2.1 dense 8 relu",
        "3.2.2.2 residual",
        "3.2.2.2.1 dense 6 leaky_relu 0.1",
    ]
    assert draft.text.count("# deep down") == 3
    draft.repeat(3, None, 3)
    assert [row.number for row in draft.rows if row.depth == 1] == ["3.1", "3.2", "3.3", "3.4"]


def test_layers_are_put_into_a_group_and_out_again() -> None:
    draft = commented()
    draft.group(0, 1, "residual")
    assert numbers(draft) == ["1 residual", "1.1 dense 8 relu", "1.2 dense 3 softmax"]
    draft.group(2, None, "repeat")
    assert numbers(draft)[2:] == ["1.2 repeat ×2", "1.2.1 dense 3 softmax"]
    assert draft.text.index("# the first") < draft.text.index("# few") < draft.text.index("# the second")
    assert draft.ungroup(2) == 2
    assert numbers(draft)[2:] == ["1.2 dense 3 softmax", "1.3 dense 3 softmax"]
    draft.delete(3)
    assert draft.ungroup(0) == 2
    assert draft.document == tomllib.loads(COMMENTED)
    assert not difference(COMMENTED, draft.text)[0]


def test_taking_a_group_apart_keeps_what_stands_above_it() -> None:
    draft = nested()
    draft.set("layers[1].layers[0].name", "first")
    draft.ungroup(1)
    assert numbers(draft)[1:3] == ["2 dense 8 relu", "3 residual"]
    assert [layer.get("name") for layer in draft.document["layers"]] == [None, "first", None, None, None, None]
    assert "# twice the same" in draft.text
    with pytest.raises(UsageError, match="no layers in dense"):
        draft.ungroup(1)
    with pytest.raises(UsageError, match="takes no layers"):
        draft.group(0, 1, "dense")


def test_layers_are_at_most_eight_deep() -> None:
    draft = commented()
    for row in range(7):
        draft.group(row, None, "repeat")
    assert draft.rows[7].number == "1.1.1.1.1.1.1.1"
    draft.set((*draft.rows[7].location, "units"), 5)
    with pytest.raises(UsageError, match="at most 8 deep"):
        draft.group(7, None, "repeat")
    with pytest.raises(UsageError, match="at most 8 deep"):
        draft.paste(draft.after(7), draft.copied(0))
    with pytest.raises(UsageError, match="at most 8 deep"):
        draft.add(draft.after(7), "residual")
    with pytest.raises(UsageError, match="at most 256 layers"):
        draft.repeat(7, None, 256)


def test_thousands_of_layers_inside_one_are_refused_at_once() -> None:
    began = time.process_time()
    draft = Draft.from_text("[[layers]]\ntype = 'repeat'\nlayers = [" + "'denes'," * 30_000 + "]\n")
    assert draft.rows[0].problem == "layers: holds 30,000 layers, at most 256 can be in a network"
    assert time.process_time() - began < 5 * slowness()


def test_a_file_that_is_deeper_says_so() -> None:
    layer = '{ type = "dense", units = 3 }'
    for _ in range(7):
        layer = f'{{ type = "repeat", layers = [{layer}] }}'
    header, rest = "[[layers]]\ntype = 'residual'\n", '[training]\nloss = "categorical_crossentropy"\n'
    draft = Draft.from_text(f'[data]\ndataset = "iris"\n{header}layers = [{layer}]\n{rest}')
    assert len(draft.rows) == 9
    assert [problem.place for problem in draft.problems] == ["layers[0]"]
    assert "holds layers inside one another 9 deep, at most 8 can be" in draft.problems[0].message
    with pytest.raises(UsageError):
        draft.set((*draft.rows[-1].location, "units"), 4)


# What is shown


def test_rows_and_totals_are_those_of_the_plan() -> None:
    draft = Draft.open("mnist-mlp")
    experiment = load_experiment("mnist-mlp")
    planned = plan(experiment, experiment.data.dataset.info())  # type: ignore[union-attr]
    assert draft.input_shape == (784,)
    assert [(row.output_shape, row.parameters, row.problem) for row in draft.rows] == [
        (layer.output_shape, layer.parameter_count, "") for layer in planned.layers
    ]
    assert draft.rows[0].settings == "dense 512 relu he_normal"
    assert draft.totals is not None
    assert draft.totals.parameters == planned.parameter_count == 535_818
    assert draft.totals.memory_bytes == memory_bytes(planned, experiment)
    assert draft.totals.multiply_adds == 784 * 512 + 512 * 256 + 256 * 10
    assert draft.checked() == experiment


def test_a_layer_that_does_not_fit_is_marked_and_the_rest_stays_editable() -> None:
    draft = Draft.open("digits-mlp")
    draft.add(1, "reshape")
    draft.set("layers[1].target_shape", [5, 5])
    first, second, *rest = draft.rows
    assert first.output_shape == (128,)
    assert second.output_shape is None
    assert "128" in second.problem
    assert [row.output_shape for row in rest] == [None, None]
    assert [row.problem for row in rest] == ["", ""]
    assert draft.totals is None
    draft.set("layers[3].units", 11)
    draft.set("layers[1].target_shape", [128])
    assert [row.output_shape for row in draft.rows] == [(128,), (128,), (64,), (11,)]
    assert draft.rows[3].problem == "units: the data has 10 classes, the output has 11: set units = 10"
    draft.set("layers[3].units", 10)
    assert draft.problems == []


def test_a_wrong_setting_is_marked_and_the_layers_before_it_keep_their_shapes() -> None:
    draft = Draft.open("digits-mlp")
    draft.set("layers[1].units", "many")
    assert draft.experiment is None
    assert draft.rows[0].output_shape == (128,)
    assert draft.rows[1].output_shape is None
    assert draft.rows[1].problem == 'units: must be an integer, got "many"'
    with pytest.raises(ExperimentError, match="must be an integer"):
        draft.checked()
    with pytest.raises(ExperimentError):
        draft.full_text()


def test_data_that_cannot_be_read_is_a_problem() -> None:
    draft = commented()

    def missing(settings: object) -> DataInfo:
        raise DataError("there is no such file")

    draft.describe = missing
    draft.look_again()
    assert [str(problem) for problem in draft.problems] == ["data.dataset: there is no such file"]
    assert draft.rows[0].output_shape is None


def test_the_full_text_is_an_experiment_with_absolute_paths(tmp_path: Path) -> None:
    file = tmp_path / "houses.toml"
    file.write_text(
        '[data]\npath = "houses.csv"\ntarget = "price"\n[[layers]]\ntype = "dense"\nunits = 1\n'
        '[training]\nloss = "mean_squared_error"\n'
    )
    full = tomllib.loads(Draft.open(file).full_text())
    assert full["data"]["path"] == str(tmp_path / "houses.csv")
    assert full["training"]["epochs"] == 10


@pytest.mark.parametrize("type", [*Layer.registry])
def test_a_new_layer_of_any_type_has_all_that_it_must_have(type: str) -> None:
    draft = Draft.new()
    draft.add(0, type)
    assert draft.experiment is not None


def test_an_edit_of_thirty_layers_takes_less_than_ten_milliseconds() -> None:
    draft = Draft.open("vanishing-sigmoid")
    draft.repeat(0, 0, 22)

    def edit(units: int) -> None:
        draft.set("layers[3].units", units)
        assert draft.rows[3].output_shape == (units,)

    assert least_seconds(partial(edit, units) for units in range(20, 40)) < 0.010
    assert len(draft.rows) == 30


def test_an_edit_inside_others_takes_less_than_ten_milliseconds() -> None:
    draft = Draft.open("vanishing-sigmoid")
    for row in (6, 3, 0):
        draft.repeat(row, None, 5)
        draft.group(row, row + 5, "repeat")
        draft.group(row + 2, row + 4, "residual")
    draft.add(draft.rows[4].location, "dropout")

    def edit(rate: float) -> None:
        draft.set((*draft.rows[4].location, "rate"), rate)
        assert draft.rows[4].settings.startswith("dropout")

    assert least_seconds(partial(edit, rate / 20) for rate in range(20)) < 0.010
    assert len(draft.rows) == 28


# Files


def test_saving_keeps_every_comment(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(COMMENTED)
    file.chmod(0o640)
    draft = Draft.open(file)
    draft.set("layers[0].units", 9)
    assert draft.modified
    draft.save()
    assert not draft.modified
    assert file.read_text() == COMMENTED.replace("units = 8", "units = 9")
    assert file.stat().st_mode & 0o777 == 0o640
    draft.undo()
    assert draft.modified
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def test_saving_does_not_overwrite_what_somebody_else_wrote(tmp_path: Path) -> None:
    file, other = tmp_path / "small.toml", tmp_path / "other.toml"
    file.write_text(COMMENTED)
    other.write_text("# mine")
    draft = Draft.open(file)
    draft.set("seed", 8)
    with pytest.raises(OnDisk, match="exists already"):
        draft.save(other)
    file.write_text(COMMENTED + "# changed")
    with pytest.raises(OnDisk, match="changed by somebody else"):
        draft.save()
    assert file.read_text() == COMMENTED + "# changed"
    draft.save(overwrite=True)
    assert file.read_text() == COMMENTED.replace("seed = 7", "seed = 8")


def test_saving_follows_links_and_makes_a_new_place(tmp_path: Path) -> None:
    file, link = tmp_path / "small.toml", tmp_path / "link.toml"
    file.write_text(COMMENTED)
    link.symlink_to(file)
    draft = Draft.open(link)
    draft.set("seed", 8)
    draft.save()
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    with pytest.raises(StorageError, match="cannot be written"):
        draft.save(loop)
    assert link.is_symlink()
    assert "seed = 8" in file.read_text()
    draft.save(tmp_path / "new.toml")
    assert draft.path == tmp_path / "new.toml"


def test_a_file_with_a_byte_order_mark_is_not_taken_for_changed(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_bytes(b"\xef\xbb\xbf" + COMMENTED.replace("\n", "\r\n").encode())
    draft = Draft.open(file)
    draft.set("layers[0].units", 9)
    draft.save()
    assert b"units = 9 # few\r\n" in file.read_bytes()


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    draft = commented()
    with pytest.raises(UsageError, match="no file yet"):
        draft.save()
    with pytest.raises(StorageError, match="cannot be written"):
        draft.save(tmp_path / "missing" / "small.toml")
    assert not draft.modified
    assert draft.path is None


def test_paths_of_data_mean_the_same_file_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    file = tmp_path / "a" / "houses.toml"
    file.write_text('[data]\npath = "houses.csv" # here\n')
    draft = Draft.open(file)
    draft.save(tmp_path / "b" / "houses.toml")
    assert draft.text == '[data]\npath = "../a/houses.csv" # here\n'
    assert (tmp_path / "b" / "houses.toml").read_text() == draft.text
    assert not draft.modified


def test_a_ready_made_experiment_has_no_file() -> None:
    draft = Draft.open("digits-mlp")
    assert draft.path is None
    assert not draft.modified
    assert draft.name == "digits-mlp"


def test_what_is_not_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("[[[")
    with pytest.raises(ExperimentError, match="not valid TOML"):
        Draft.open(file)
    with pytest.raises(ExperimentError, match="no such file"):
        Draft.open(tmp_path / "missing.toml")
    with pytest.raises(UsageError, match="did you mean 'digits-mlp'"):
        Draft.open("digit-mlp")


def test_a_text_that_no_file_can_hold_is_refused() -> None:
    draft = commented()
    for value in ("\ud800", "x" * 300_000, 10**500):
        with pytest.raises(UsageError):
            draft.set("description", value)
    assert not draft.modified


# Crashes

CRASHING = """
import os, sys, time
from pathlib import Path
from tuilab.experiment.draft import Draft
draft = Draft.open(sys.argv[1])
draft.set("seed", 8)
draft.keep(Path(sys.argv[2]))
print("kept", flush=True)
time.sleep(60)
"""


def test_unsaved_changes_outlive_a_crash(tmp_path: Path) -> None:
    file, folder = tmp_path / "small.toml", tmp_path / "state"
    file.write_text(COMMENTED)
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(file), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "kept\n"
        assert Draft.recover(folder) is None  # whose program still runs
        process.send_signal(signal.SIGKILL)
        process.wait()
    draft = Draft.recover(folder)
    assert draft is not None
    assert draft.path == file
    assert draft.modified
    assert "seed = 8" in draft.text
    draft.undo()
    assert draft.text == COMMENTED
    draft.redo()
    assert Draft.recover(folder) is None  # it is taken
    draft.save()
    assert list(folder.iterdir()) == []


def test_discarded_changes_are_not_recovered(tmp_path: Path) -> None:
    draft = commented()
    draft.set("seed", 8)
    draft.keep(tmp_path)
    draft.set("seed", 9)
    draft.keep(tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 1
    draft.discard()
    assert list(tmp_path.iterdir()) == []
    assert Draft.recover(tmp_path / "missing") is None


def test_damaged_recovery_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_bytes(os.urandom(100))
    (tmp_path / "c.json").write_text('{"text": "[[[", "saved": "", "on_disk": "", "path": null}')
    assert Draft.recover(tmp_path) is None
    assert len(list(tmp_path.glob("*.json"))) == 3


# Anything


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(TEXTS, st.lists(EDITS, max_size=12))
def test_any_edits_are_undone_byte_for_byte(text: str, edits: list[tuple[Any, ...]]) -> None:
    draft = Draft.from_text(text)
    assert draft.text == text
    for name, *arguments in edits:
        before, refused = draft.text, None
        try:
            if name == "take":
                first, last, at = arguments
                draft.paste(at, draft.copied(first, last))
            else:
                getattr(draft, name)(*arguments)
        except UsageError as error:
            refused = error
        assert refused is None or (str(refused) and draft.text == before)
        assert draft.document == tomllib.loads(draft.text) or "nan" in draft.text
        assert all(problem.message for problem in draft.problems)
        if draft.experiment is None:
            assert draft.problems
    while draft.can_redo:
        draft.redo()
    last = draft.text
    while draft.can_undo:
        draft.undo()
    assert draft.text == text
    assert not draft.modified
    while draft.can_redo:
        draft.redo()
    assert draft.text == last


# Layers that another one makes


@pytest.mark.parametrize(("model", "made"), [("vgg16", 27), ("vgg19", 30), ("vgg16-transfer", 24)])
def test_layers_that_another_makes_have_rows_like_those_in_the_file(model: str, made: int) -> None:
    draft = Draft.open(model)
    shown, totals = [row for row in draft.rows if row.made is not None], draft.totals
    assert len(shown) == made
    assert draft.ungroup(0) == sum(row.depth == 1 for row in shown)
    assert draft.totals == totals
    assert not draft.problems
    written = draft.rows[: len(shown)]
    assert all(row.made is None for row in written)
    for one, other in zip(shown, written, strict=True):
        assert (one.name, one.output_shape, one.parameters) == (other.name, other.output_shape, other.parameters)
    draft.undo()
    assert [row.made for row in draft.rows if row.made is not None] == [row.made for row in shown]


def test_layers_that_another_makes_cannot_be_changed() -> None:
    draft = Draft.open("vgg16")
    text, place = draft.text, ("layers", 0, "layers", 0, "layers", 1)
    for edit in (
        lambda: draft.delete(2),
        lambda: draft.copied(2),
        lambda: draft.duplicate(1, 2),
        lambda: draft.move(2, 3, 1),
        lambda: draft.group(2, 3, "repeat"),
        lambda: draft.ungroup(1),
        lambda: draft.add(place, "dense"),
        lambda: draft.set("layers[0].layers[0].layers[1].filters", 7),
    ):
        with pytest.raises(UsageError, match=r"vgg16 makes these layers, .*: ungroup vgg16 first"):
            edit()
    assert draft.text == text
