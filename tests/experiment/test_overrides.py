"""`--set key=value`: every form, and what is said about those that are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.experiment.experiments import IRIS
from tuilab.blocks.activations import LeakyRelu
from tuilab.blocks.datasets import Moons
from tuilab.blocks.initializers import VarianceScaling
from tuilab.blocks.layers.dense import Dense
from tuilab.blocks.metrics import Accuracy, TopK
from tuilab.blocks.optimizers import Adam, Sgd
from tuilab.blocks.schedules import Constant, CosineDecay, ExponentialDecay
from tuilab.errors import ExperimentError, UsageError
from tuilab.experiment.document import Experiment
from tuilab.experiment.load import apply_override, load_experiment, make_experiment, parse, read_value


def small(*overrides: str, text: str = IRIS) -> Experiment:
    document = parse(text)
    for override in overrides:
        apply_override(document, override)
    return make_experiment(document)


def usage(override: str, text: str = IRIS) -> str:
    with pytest.raises(UsageError) as error:
        small(override, text=text)
    assert error.value.exit_code == 2
    return str(error.value)


def problem(override: str) -> str:
    with pytest.raises(ExperimentError) as error:
        small(override)
    return str(error.value)


def test_plain_values() -> None:
    experiment = small("training.epochs=3", "seed = 7", " name = own run ", "data.shuffle=false", "data.test_split=.5")
    assert experiment.training.epochs == 3
    assert experiment.seed == 7
    assert experiment.name == "own run"
    assert experiment.data.shuffle is False
    assert experiment.data.test_split == 0.5


def test_the_last_one_wins() -> None:
    assert small("training.epochs=3", "training.epochs=4").training.epochs == 4


def test_blocks() -> None:
    experiment = small(
        "data.dataset=moons",
        "training.optimizer=sgd",
        'training.metrics=["accuracy", { type = "top_k", k = 2 }]',
        'layers[0].activation={ type = "leaky_relu", negative_slope = 0.1 }',
        'training.early_stopping={ monitor = "loss" }',
    )
    assert experiment.data.dataset == Moons()
    assert experiment.training.optimizer == Sgd()
    assert experiment.training.metrics == [Accuracy(), TopK(k=2)]
    assert experiment.layers[0] == Dense(units=3, activation=LeakyRelu(negative_slope=0.1))
    assert experiment.training.early_stopping is not None
    assert experiment.training.early_stopping.monitor == "loss"


def test_a_setting_of_a_block_that_stands_there_as_a_bare_name() -> None:
    experiment = small("data.dataset=moons", "data.dataset.noise=0.3", "layers[0].activation=leaky_relu")
    assert experiment.data.dataset == Moons(noise=0.3)
    experiment = small("training.optimizer=sgd", "training.optimizer.momentum=0.9")
    assert experiment.training.optimizer == Sgd(momentum=0.9)
    text = IRIS.replace('"softmax"', '"leaky_relu"')
    experiment = small("layers[0].activation.negative_slope=0.1", text=text)
    assert experiment.layers[0] == Dense(units=3, activation=LeakyRelu(negative_slope=0.1))


def test_a_setting_of_a_block_that_stands_there_by_default() -> None:
    assert small("training.optimizer.learning_rate=0.1").training.optimizer == Adam(learning_rate=0.1)
    experiment = small("training.optimizer.type=sgd", "training.optimizer.momentum=0.5")
    assert experiment.training.optimizer == Sgd(momentum=0.5)
    experiment = small("training.optimizer.learning_rate.learning_rate=0.5")
    assert experiment.training.optimizer == Adam(learning_rate=Constant(learning_rate=0.5))
    experiment = small(
        "layers[0].kernel_initializer.type=variance_scaling",
        "layers[0].kernel_initializer.scale=2",
        "training.early_stopping.patience=7",
    )
    assert experiment.layers[0].settings()["kernel_initializer"] == VarianceScaling(scale=2).table()
    assert experiment.training.early_stopping is not None
    assert experiment.training.early_stopping.patience == 7


def test_a_setting_of_a_table() -> None:
    text = IRIS + 'optimizer = { type = "adam", learning_rate = { type = "cosine_decay" } }'
    experiment = small("training.optimizer.learning_rate.alpha=0.1", "training.optimizer.beta_1=0.5", text=text)
    assert experiment.training.optimizer == Adam(beta_1=0.5, learning_rate=CosineDecay(alpha=0.1))
    experiment = small("training.optimizer.learning_rate=exponential_decay", text=text)
    assert experiment.training.optimizer == Adam(learning_rate=ExponentialDecay())


def test_entries_of_a_list() -> None:
    text = IRIS + 'metrics = ["accuracy", "auc"]'
    assert small("layers[0].units=5").layers[0] == small("layers.0.units=5").layers[0]
    assert small("layers[0].units=5").layers[0].settings()["units"] == 5
    assert small("training.metrics[1]=accuracy", "training.metrics[1].kind=binary", text=text).training.metrics == [
        Accuracy(),
        Accuracy(kind="binary"),
    ]
    weights = small("training.class_weight.setosa=2", "training.class_weight.Iris 2=0.5").training.class_weight
    assert weights == {"setosa": 2.0, "Iris 2": 0.5}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1e-3", 0.001),
        ("1_000", 1000),
        (".5", 0.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("true", True),
        ("True", "True"),
        ("relu", "relu"),
        ('"3"', "3"),
        ("'a b'", "a b"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ("[1, 2", "[1, 2"),
        ('{ type = "l2", l2 = 0.1 }', {"type": "l2", "l2": 0.1}),
        ("a = 1", "a = 1"),
        ("1\nother = 2", "1\nother = 2"),
        ("1\n[other]", "1\n[other]"),
        ("1 # remark", 1),
        ("houses.csv", "houses.csv"),
        ("/data/a=b.csv", "/data/a=b.csv"),
    ],
    ids=ascii,
)
def test_values(text: str, value: Any) -> None:
    read = read_value(text)
    assert read == value
    assert type(read) is type(value)


def test_equals_signs_in_the_value() -> None:
    assert small("description=a=b=c").description == "a=b=c"


@pytest.mark.parametrize(
    "override",
    [
        *(
            "",
            "=",
            "=3",
            "epochs",
            "training.epochs",
            "training.epochs:3",
            ".=3",
            "..=3",
            "[0]=3",
            "[]=3",
            " =3",
            "a. =3",
        ),
        *("training..epochs=3", ".seed=3", "seed.=3", "layers[0=3", "layers0]=3", "layers[]=3", "layers[0]units=3"),
        *("layers[[0]].units=3", "a.b.c.d.e.f.g.h.i=3", "a[0][0][0][0][0][0][0][0]=3", "a." * 50_000 + "a=3"),
    ],
    ids=lambda override: override[:20],
)
def test_what_is_no_override(override: str) -> None:
    shown = override if len(override) <= 200 else override[:199] + "…"
    assert usage(override) == f"--set {shown}: write key=value, for example --set training.epochs=3"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("layers[1].units=3", "--set layers[1]: layers has the entries 0 to 0"),
        ("layers[1]=relu", "--set layers[1]: layers has the entries 0 to 0"),
        ("layers[-1].units=3", "--set layers[-1]: layers has the entries 0 to 0"),
        ("layers.units=3", "--set layers[units]: layers has the entries 0 to 0"),
        ("layers[9999999999999999999].units=3", "--set layers[9999999999999999999]: layers has the entries 0 to 0"),
        ("layers[0].units.x=3", "--set layers[0].units.x: layers[0].units is 3, it has no settings"),
        ("seed.x.y=3", "--set seed.x: seed is 1, it has no settings"),
        ("empty[0].x=3", "--set empty[0]: empty has no entries"),
        ("seed.\x1b[2J=3", None),
        ("seed.\x1b=3", "--set seed.�: seed is 1, it has no settings"),
        ("\x1b\n", "--set � : write key=value, for example --set training.epochs=3"),
        ("seed=" + "9" * 400, "--set …=" + "9" * 39 + "…: a number has 400 digits or more"),
        ("seed=" + "[" * 100_000, "--set …=" + "[" * 39 + "…: is nested more than 16 deep"),
        ("data={ " + "a." * 100_000 + "a = 1 }", "--set …={ " + "a." * 18 + "a…: a key has more than 8 parts"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_an_override_of_what_is_not_there(override: str, message: str | None) -> None:
    said = usage(override, text="seed = 1\nempty = []" + IRIS)
    assert message is None or said == message
    assert "\x1b" not in said


def test_a_long_list_counts_its_entries() -> None:
    text = IRIS.replace("[[layers]]", '[[layers]]\ntype = "flatten"\n[[layers]]\ntype = "flatten"\n[[layers]]')
    assert usage("layers[3].units=1", text=text) == "--set layers[3]: layers has the entries 0 to 2"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=3", "epochs: unknown setting, did you mean 'training.epochs'?"),
        ("training.epoch=3", "training.epoch: unknown setting, did you mean 'epochs'?"),
        ("training.epochs=three", 'training.epochs: must be an integer, got "three"'),
        ("training.epochs=", 'training.epochs: must be an integer, got ""'),
        ("training.epochs=3.0", "training.epochs: must be an integer, got 3.0"),
        ("data.shuffle=True", 'data.shuffle: must be true or false, got "True"'),
        ("name=5", "name: must be text in quotes, got 5"),
        ("name.x=5", "name: must be text in quotes, got a table"),
        ("layers[0].unts=3", "layers[0].unts: unknown setting, did you mean 'units'?"),
        ("layers[0]=3", "layers[0]: must be the name of a layer or a table with `type`, got 3"),
        ("training.metrics=accuracy", 'training.metrics: must be a list, got "accuracy"'),
        ("training.optimizer=adm", "training.optimizer: unknown optimizer 'adm', did you mean 'adam'?"),
        (
            "layers[0].activation.negative_slope=1",
            "layers[0].activation.negative_slope: unknown setting; nothing can be set here",
        ),
        (
            "layers[0].kernel_regularizer.l2=1",
            'layers[0].kernel_regularizer: add the key `type` with the name of a regularizer, for example type = "l1"',
        ),
        ("data.path=a.csv", "data: dataset and path exclude each other, keep one of them"),
        ("seed=1979-05-27", "seed: must be an integer, got 1979-05-27"),
    ],
)
def test_an_override_that_gives_a_wrong_experiment(override: str, message: str) -> None:
    assert problem(override) == message


def test_overrides_reach_ready_made_experiments() -> None:
    experiment = load_experiment("mnist-mlp", ["training.epochs=3", "layers[0].units=64"])
    assert experiment.training.epochs == 3
    assert experiment.layers[0].settings()["units"] == 64
    assert load_experiment("mnist-mlp").training.epochs != 3


PARTS = st.sampled_from(["training", "layers", "data", "optimizer", "units", "name", "type", "0", "[0]", "[-1]", "x"])


@given(
    st.text(max_size=30)
    | st.builds("{}={}".format, st.lists(PARTS, max_size=9).map(".".join), st.text(max_size=10))
    | st.builds("{}={}".format, st.lists(PARTS, max_size=5).map(".".join), st.sampled_from(["1", "[]", "{}", "adam"]))
)
def test_any_override_gives_an_experiment_or_says_why_not(override: str) -> None:
    try:
        assert isinstance(small(override), Experiment)
    except (UsageError, ExperimentError) as error:
        said = str(error)
    else:
        return
    assert said
    assert not any(character in said for character in "\x1b\x00\r")
