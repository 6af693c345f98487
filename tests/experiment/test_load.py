"""Loading an experiment: from a file, from a ready-made name; and everything that can be wrong in one, told plainly."""

from __future__ import annotations

import random
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.experiment.experiments import IRIS
from tuilab.blocks.activations import Softmax
from tuilab.blocks.datasets import Iris, Moons
from tuilab.blocks.layers.dense import Dense
from tuilab.blocks.losses import CategoricalCrossentropy
from tuilab.blocks.optimizers import Adam
from tuilab.errors import ExperimentError, UsageError
from tuilab.experiment import ready_made as ready_made_module
from tuilab.experiment.document import Experiment
from tuilab.experiment.load import find_experiment, load_experiment, make_experiment, parse
from tuilab.experiment.plan import plan
from tuilab.experiment.ready_made import models_folder, ready_made, ready_made_path
from tuilab.experiment.save import to_toml
from tuilab.text import clean_text


def problems(document: dict[str, Any] | str) -> list[str]:
    """Return what is wrong with a document, one line each."""
    with pytest.raises(ExperimentError) as error:
        make_experiment(parse(document) if isinstance(document, str) else document)
    return str(error.value).splitlines()


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the small experiment with one value changed: `layers.0.units`."""
    document = parse(IRIS)
    *parts, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    holder: Any = document
    for part in parts:
        holder = holder[part] if isinstance(part, int) else holder.setdefault(part, {})
    holder[last] = value
    return document


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(IRIS)
    experiment = load_experiment(path)
    assert experiment == load_experiment(str(path))
    assert experiment.name == "small"
    assert experiment.data.dataset == Iris()
    assert experiment.layers == [Dense(units=3, activation=Softmax())]
    assert experiment.training.loss == CategoricalCrossentropy()
    assert experiment.training.optimizer == Adam()
    assert (experiment.seed, experiment.training.epochs, experiment.data.batch_size) == (0, 10, 32)


def test_a_file_needs_no_suffix_when_it_exists(tmp_path: Path) -> None:
    path = tmp_path / "iris-8-8-3"
    path.write_text(IRIS)
    assert load_experiment(path).name == "small"


def test_a_block_has_four_forms() -> None:
    document = parse(IRIS)
    for written in ("moons", {"type": "moons"}, Moons()):
        document["data"]["dataset"] = written
        assert make_experiment(document).data.dataset == Moons()
    document["training"]["optimizer"] = {"type": "adam", "learning_rate": 0.1}
    assert make_experiment(document).training.optimizer == Adam(learning_rate=0.1)


def test_own_data_lies_beside_the_experiment_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    text = IRIS.replace('dataset = "iris"', 'path = "../houses.csv"\ntarget = "price"')
    (tmp_path / "sub" / "own.toml").write_text(text)
    for model in ("sub/own.toml", tmp_path / "sub" / "own.toml"):
        assert load_experiment(model).data.path == str(tmp_path / "houses.csv")
    (tmp_path / "sub" / "own.toml").write_text(text.replace("target", 'test_path = "new.csv"\ntarget'))
    assert load_experiment("sub/own.toml").data.test_path == str(tmp_path / "sub" / "new.csv")
    (tmp_path / "own.toml").write_text(text.replace("../houses.csv", "/data/houses.csv"))
    assert load_experiment("own.toml").data.path == "/data/houses.csv"


def test_own_data_of_an_override_lies_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "own.toml").write_text(
        IRIS.replace('dataset = "iris"', 'path = "houses.csv"\ntarget = "price"')
    )
    assert load_experiment("sub/own.toml", ["data.path=flats.csv"]).data.path == str(tmp_path / "flats.csv")
    assert load_experiment("sub/own.toml", ["seed=1"]).data.path == str(tmp_path / "sub" / "houses.csv")


# Ready-made experiments


def test_the_ready_made_experiments_of_a_checkout() -> None:
    known = ready_made()
    assert models_folder().is_dir()
    assert list(known) == sorted(known)
    assert {"mnist-mlp", "iris-8-8-3", "perceptron-xor", "xor-mlp", "spiral"} <= set(known)
    assert ready_made_path("iris-8-8-3") == known["iris-8-8-3"] == find_experiment("iris-8-8-3")
    assert load_experiment("iris-8-8-3").name == "iris-8-8-3"


def test_the_ready_made_experiments_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "tuilab"
    (package / "models").mkdir(parents=True)
    (package / "models" / "own.toml").write_text(IRIS)
    monkeypatch.setattr(ready_made_module, "__file__", str(package / "experiment" / "ready_made.py"))
    assert list(ready_made()) == ["own"]
    assert load_experiment("own").name == "small"


@pytest.mark.parametrize("name", ready_made())
def test_a_ready_made_experiment(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name
    assert len(experiment.description) >= 40
    assert "\n" not in experiment.description
    assert experiment.data.dataset is not None
    assert plan(experiment, experiment.data.dataset.info()).parameter_count > 0
    assert make_experiment(tomllib.loads(to_toml(experiment))) == experiment
    assert experiment.seed > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("iris-8-8", "no experiment named 'iris-8-8', did you mean 'iris-8-8-3'?"),
        ("Mnist_MLP", "no experiment named 'Mnist_MLP', did you mean 'mnist-mlp'?"),
        ("zzz", "no experiment named 'zzz'; 'tuilab models' lists them, a file of your own ends in .toml"),
        ("", "no experiment named ''; 'tuilab models' lists them, a file of your own ends in .toml"),
        ("..", "no experiment named '..'; 'tuilab models' lists them, a file of your own ends in .toml"),
        ("\x1b[2J\n", "no experiment named '�[2J '; 'tuilab models' lists them, a file of your own ends in .toml"),
        ("\udcff\0", "no experiment named '��'; 'tuilab models' lists them, a file of your own ends in .toml"),
    ],
    ids=ascii,
)
def test_an_unknown_name(name: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        load_experiment(name)
    assert str(error.value) == message
    assert error.value.exit_code == 2


def test_a_very_long_name() -> None:
    with pytest.raises(UsageError, match=r"no experiment named 'x{59}…'"):
        load_experiment("x" * 100_000)


def test_loading_takes_no_numpy() -> None:
    code = "import sys; from tuilab.experiment.load import load_experiment; load_experiment('mnist-mlp')"
    loaded = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "tuilab.experiment.load" in loaded
    assert {"numpy", "scipy", "rich", "typer", "tomlkit"}.isdisjoint(loaded)


# What can be wrong

WRONG: list[tuple[str, Any, str]] = [
    ("layers.0.units", -3, ": must be greater than 0, got -3"),
    ("layers.0.units", "64", ': must be an integer, got "64"'),
    ("layers.0.units", 3.0, ": must be an integer, got 3.0"),
    ("layers.0.units", True, ": must be an integer, got true"),
    ("layers.0.units", 10**7, ": must be at most 1000000, got 10000000"),
    ("layers.0.units", [3], ": must be an integer, got a list"),
    ("layers.0.units", {}, ": must be an integer, got a table"),
    ("layers.0.use_bias", 1, ": must be true or false, got 1"),
    ("layers.0.use_bias", "yes", ': must be true or false, got "yes"'),
    ("layers.0.activation", "softmx", ": unknown activation 'softmx', did you mean 'softmax'?"),
    ("layers.0.activation", 3, ": must be the name of an activation or a table with `type`, got 3"),
    ("layers.0.kernel_regularizer", 0.1, ": must be the name of a regularizer or a table with `type`, got 0.1"),
    ("layers.0.kernel_regularizer", {"type": "l2", "l2": -1}, ".l2: must be at least 0, got -1"),
    (
        "layers.0.kernel_regularizer",
        {"l2": 1},
        ': add the key `type` with the name of a regularizer, for example type = "l1"',
    ),
    ("layers.0.name", "my layer", ': must be 1 to 60 letters, digits, dots, dashes or underscores, got "my layer"'),
    ("layers.0.type", "densse", ": unknown layer 'densse', did you mean 'dense'?"),
    ("layers.0.type", 1, ": `type` must be the name of a layer, got 1"),
    ("layers.0", 3, ": must be the name of a layer or a table with `type`, got 3"),
    ("layers.0", "dense", ".units: is missing (number of outputs)"),
    ("layers", [], ": must have at least 1 entry, got an empty list"),
    ("layers", "dense", ': must be a list, got "dense"'),
    ("layers", [{"type": "flatten"}] * 257, ": must have at most 256 entries, got a list"),
    ("data", "iris", ': must be a table of settings, got "iris"'),
    ("data.dataset", "irys", ": unknown dataset 'irys', did you mean 'iris'?"),
    ("data.dataset", {"type": "moons", "sample": 3}, ".sample: unknown setting, did you mean 'samples'?"),
    ("data.dataset", {"type": "moons", "samples": 3}, ".samples: must be at least 10, got 3"),
    ("data.validation_split", 1.0, ": must be less than 1, got 1.0"),
    ("data.validation_split", "10%", ': must be a number, got "10%"'),
    ("data.batch_size", 0, ": must be greater than 0, got 0"),
    ("data.normalization", "zscore", ': must be "auto", "none", "standardize" or "rescale", got "zscore"'),
    ("data.flatten", "yes", ': must be true or false, got "yes"'),
    ("data.path", 3, ": must be text in quotes, got 3"),
    ("data.path", "a\x1bb.csv", ': must be printable on one line, got "a�b.csv"'),
    ("data.target", 3, ": must be text in quotes or a list, got 3"),
    ("data.target", ["a", 1], "[1]: must be text in quotes, got 1"),
    ("training.loss", "mse", ": unknown loss 'mse': write mean_squared_error"),
    ("training.loss", {"type": "huber", "delta": 0}, ".delta: must be greater than 0, got 0"),
    ("training.epochs", 0, ": must be greater than 0, got 0"),
    ("training.optimizer", "amad", ": unknown optimizer 'amad', did you mean 'adamax'?"),
    (
        "training.optimizer",
        {"type": "adam", "lerning_rate": 1},
        ".lerning_rate: unknown setting, did you mean 'learning_rate'?",
    ),
    ("training.optimizer", {"type": "adam", "learning_rate": -1}, ".learning_rate: must be at least 0, got -1"),
    (
        "training.optimizer",
        {"type": "adam", "learning_rate": float("nan")},
        ".learning_rate: must be a finite number, got nan",
    ),
    (
        "training.optimizer",
        {"type": "adam", "learning_rate": 10**400},
        ".learning_rate: must be a number, got a huge number",
    ),
    (
        "training.optimizer",
        {"type": "adam", "learning_rate": {"type": "cosine_decay", "alfa": 1}},
        ".learning_rate.alfa: unknown setting, did you mean 'alpha'?",
    ),
    (
        "training.optimizer",
        {"type": "adam", "learning_rate": {"type": "step", "boundaries": [3, 2], "values": [1]}},
        ".learning_rate: boundaries must rise from one to the next, got [3, 2]",
    ),
    (
        "training.optimizer",
        {"type": "sgd", "clipnorm": 1, "clipvalue": 1},
        ": clipnorm and clipvalue exclude each other, keep one of them",
    ),
    ("training.metrics", "accuracy", ': must be a list, got "accuracy"'),
    ("training.metrics", ["acc"], "[0]: unknown metric 'acc': write accuracy"),
    ("training.metrics", [{"type": "top_k", "k": 0}], "[0].k: must be at least 1, got 0"),
    ("training.early_stopping", 3, ": must be a table of settings, got 3"),
    ("training.early_stopping", {"patienc": 3}, ".patienc: unknown setting, did you mean 'patience'?"),
    ("training.early_stopping", {"monitor": 3}, ".monitor: must be text in quotes, got 3"),
    ("training.class_weight", "balancd", ': must be a table or "balanced", got "balancd"'),
    ("training.class_weight", {"setosa": "a"}, '.setosa: must be a number, got "a"'),
    ("training.class_weight", {"setosa": -1.0}, ".setosa: must be at least 0, got -1.0"),
    ("training.device", "tpu", ': must be "auto", "cpu", "gpu", or "gpu:1" for the second GPU, got "tpu"'),
    ("training.device", "gpu:", ': must be "auto", "cpu", "gpu", or "gpu:1" for the second GPU, got "gpu:"'),
    ("training.dtype", "float16", ': must be "float32" or "float64", got "float16"'),
    ("training.epoch", 3, ": unknown setting, did you mean 'epochs'?"),
    ("nam", "x", ": unknown setting, did you mean 'name'?"),
    ("optimiser", "x", ": unknown setting; known here: name, description, seed, data, layers, training"),
    ("zzz", "x", ": unknown setting; known here: name, description, seed, data, layers, training"),
    ("name", "", ': must have at least 1 character, got ""'),
    ("name", "x" * 81, ': must have at most 80 characters, got "' + "x" * 59 + '…"'),
    ("name", "\x1b[31mred", ': must be printable on one line, got "�[31mred"'),
    ("name", "two\nlines", ': must be printable on one line, got "two lines"'),
    ("name", 3, ": must be text in quotes, got 3"),
    ("name", "\udcff", ': must be text in Unicode, got "�"'),
    ("description", "x" * 2001, ': must have at most 2000 characters, got "' + "x" * 59 + '…"'),
    ("seed", -1, ": must be at least 0, got -1"),
    ("seed", 2**63, ": must be less than 9223372036854775808, got 9223372036854775808"),
]
"""Where, what, and how the message goes on after the place."""


@pytest.mark.parametrize(
    ("path", "value", "message"), WRONG, ids=[f"{path}={ascii(value)[:30]}" for path, value, _ in WRONG]
)
def test_one_thing_wrong(path: str, value: Any, message: str) -> None:
    place = path.replace(".0", "[0]").replace("[0].type", "[0]")
    assert problems(changed(path, value)) == [place + message]


def test_everything_wrong_is_told_at_once() -> None:
    text = """
        nam = "x"
        seed = "a"
        [data]
        dataset = "irys"
        batchsize = 32
        [[layers]]
        type = "dense"
        units = -3
        activation = "sftmax"
        [[layers]]
        type = "dropout"
        [[layers]]
        type = "dense"
        units = -3
        kernel_initializer = { type = "he_normal", zzz = 1 }
        kernel_regularizer = { type = "l2", l2 = "strong" }
        [training]
        loss = "cat"
        metrics = ["accuracy", "accurcy"]
        early_stopping = { monitor = "loss", patience = -1 }
        epochs = 0
    """
    assert problems(text) == [
        'seed: must be an integer, got "a"',
        "data.dataset: unknown dataset 'irys', did you mean 'iris'?",
        "data.batchsize: unknown setting, did you mean 'batch_size'?",
        "layers[0].units: must be greater than 0, got -3",
        "layers[0].activation: unknown activation 'sftmax', did you mean 'softmax'?",
        "layers[1].rate: is missing (share of the values that is dropped)",
        "layers[2].units: must be greater than 0, got -3",
        "layers[2].kernel_initializer.zzz: unknown setting; nothing can be set here",
        'layers[2].kernel_regularizer.l2: must be a number, got "strong"',
        "training.epochs: must be greater than 0, got 0",
        "training.loss: unknown loss 'cat'; 'tuilab blocks' lists every loss",
        "training.metrics[1]: unknown metric 'accurcy', did you mean 'accuracy'?",
        "training.early_stopping.patience: must be at least 0, got -1",
        "nam: unknown setting, did you mean 'name'?",
    ]


def test_no_more_than_twenty_places_are_told() -> None:
    said = problems({**parse(IRIS), **{f"key{number}": 1 for number in range(25)}})
    assert len(said) == 21
    assert said[-1] == "and 5 more like these"


def test_the_file_is_named_in_every_line(tmp_path: Path) -> None:
    path = tmp_path / "own\x1b.toml"
    path.write_text(IRIS.replace("units = 3", "units = 0\nuse_bias = 0"))
    with pytest.raises(ExperimentError) as error:
        load_experiment(path)
    assert error.value.source == f"{tmp_path}/own�.toml"
    assert str(error.value).splitlines() == [
        f"{tmp_path}/own�.toml: layers[0].units: must be greater than 0, got 0",
        f"{tmp_path}/own�.toml: layers[0].use_bias: must be true or false, got 0",
    ]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("data.seed", "'seed' at the top of the file"),
        ("data.layers", "'layers' at the top of the file"),
        ("training.batch_size", "'data.batch_size'"),
        ("training.validation_split", "'data.validation_split'"),
        ("training.learning_rate", "'training.optimizer.learning_rate'"),
        ("training.patience", "'training.early_stopping.patience'"),
        ("training.optimizer", None),
        ("epochs", "'training.epochs'"),
        ("layers.0.loss", "'training.loss'"),
    ],
)
def test_a_setting_in_the_wrong_place(path: str, hint: str | None) -> None:
    if hint is None:
        assert make_experiment(changed(path, "sgd"))
    else:
        assert problems(changed(path, 1)) == [f"{path.replace('.0', '[0]')}: unknown setting, did you mean {hint}?"]


DATA = [
    ("", 'data: name a data set (dataset = "iris") or a file of your own (path = "houses.csv", target = "price")'),
    ('dataset = "iris"\npath = "a.csv"', "data: dataset and path exclude each other, keep one of them"),
    (
        'dataset = "iris"\ntarget = "species"',
        "data: target goes with path; what iris predicts is settled, take target out",
    ),
    (
        'path = "a.npz"\ntarget = "y"',
        "data: target goes with a .csv file; y_train of an .npz file is predicted, take target out",
    ),
    (
        'dataset = "iris"\nvalidation_path = "b.csv"',
        "data: validation_path goes with a .csv file in path, take it out",
    ),
    ('path = "a.npz"\ntest_path = "b.csv"', "data: test_path goes with a .csv file in path, take it out"),
    (
        'path = "a.npy"',
        'data: target must name the .npy file of what is to be predicted: target = "labels.npy"',
    ),
    (
        'path = "a.npy"\ntarget = "price"',
        'data: target must name the .npy file of what is to be predicted: target = "labels.npy"',
    ),
    ('path = "a.xlsx"', 'data: path must name a .csv, .npz or .npy file, got "a.xlsx"'),
    ('path = ""', 'data: path must name a .csv, .npz or .npy file, got ""'),
    ('path = "csv"', 'data: path must name a .csv, .npz or .npy file, got "csv"'),
    ('path = "a\\u0000.csv"', 'data.path: must be printable on one line, got "a�.csv"'),
]


@pytest.mark.parametrize(("text", "message"), DATA)
def test_where_the_data_come_from(text: str, message: str) -> None:
    assert problems(IRIS.replace('dataset = "iris"', text)) == [message]


@pytest.mark.parametrize("text", ['path = "a.csv"\ntarget = ["x", "y"]', 'path = "A.NPZ"', 'path = "a.csv"'])
def test_own_data(text: str) -> None:
    assert make_experiment(parse(IRIS.replace('dataset = "iris"', text))).data.dataset is None


def test_names_from_the_file_are_cleaned_and_quoted() -> None:
    document = parse(IRIS)
    document["\x1b[2J"] = 1
    document["two words"] = 1
    document[""] = 1
    document["layers"][0]["activation"] = "\x1b]0;title\x07\u202e"
    document["layers"][0]["\n"] = 1
    said = problems(document)
    assert said == [
        "layers[0].activation: unknown activation '�]0;title��'; 'tuilab blocks' lists every activation",
        'layers[0]." ": ' + said[1].split(": ", 1)[1],
        '"�[2J": unknown setting; known here: name, description, seed, data, layers, training',
        '"two words": unknown setting; known here: name, description, seed, data, layers, training',
        '"": unknown setting; known here: name, description, seed, data, layers, training',
    ]


def test_a_key_that_is_no_text_at_all() -> None:
    assert len(problems({**parse(IRIS), "\udcff": 1})) == 1


# Whatever comes in


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x.toml"


def refusal(load: Callable[[], Experiment]) -> ExperimentError | None:
    """Return why an experiment is refused; one that is not can be planned, or not, and is written as it was loaded."""
    try:
        experiment = load()
        if experiment.data.dataset is not None:
            plan(experiment, experiment.data.dataset.info())
    except ExperimentError as error:
        return error
    assert make_experiment(parse(to_toml(experiment))) == experiment
    return None


def assert_plain(error: ExperimentError | None) -> None:
    if error is not None:
        lines = str(error).splitlines()
        assert len(lines) == len(error.problems) > 0
        assert all(clean_text(line, 1000) == line for line in lines)


def load_or_refuse(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    assert_plain(refusal(lambda: load_experiment(path)))


FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TOKENS = [
    *(
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        '"',
        "'",
        '"""',
        "\\",
        "#",
        "\n",
        "\t",
        " ",
        "-",
        "_",
        "\x1b",
        "\x00",
    ),
    *("1", "0", "-1", "1e400", "nan", "inf", "true", "1979-05-27", "0x7f", "9" * 50, "1.5", "ü", "\u202e", "\\u001b"),
    *("[data]", "[[layers]]", "[training]", "name", "type", "units", "seed", "layers", "training", "data", "= 3"),
    *('"dense"', '"adam"', '"softmax"', '"mnist"', '"flatten"', '"reshape"', "target_shape = [-1]", "{ type = 3 }"),
    *('kernel_constraint = "max_norm"', 'class_weight = "balanced"', "optimizer.", 'path = "a.csv"'),
]


@FUZZ
@given(raw=st.binary(max_size=2000))
def test_random_bytes(scratch: Path, raw: bytes) -> None:
    load_or_refuse(scratch, raw)


@FUZZ
@given(text=st.text(max_size=2000) | st.lists(st.sampled_from(TOKENS), max_size=100).map("".join))
def test_random_text(scratch: Path, text: str) -> None:
    load_or_refuse(scratch, text.encode("utf-8", "surrogatepass"))


@FUZZ
@given(
    name=st.sampled_from(list(ready_made())),
    seed=st.integers(0, 2**32),
    words=st.lists(st.sampled_from(TOKENS) | st.text(max_size=8), min_size=1, max_size=6),
)
def test_ready_made_files_with_damage(scratch: Path, name: str, seed: int, words: list[str]) -> None:
    """Pieces are cut out, moved and put in at random places of a file that was right."""
    chance = random.Random(seed)
    text = ready_made_path(name).read_text(encoding="utf-8")
    for word in words:
        start = chance.randrange(len(text) + 1)
        end = start + chance.choice([0, 0, 1, 5, 50])
        piece = chance.choice([word, word, text[end : end + chance.randrange(80)]])
        text = text[:start] + piece + text[end:]
    load_or_refuse(scratch, text.encode())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(TOKENS)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("type"), inner, max_size=3)
    ),
    max_leaves=6,
)


@FUZZ
@given(
    name=st.sampled_from(list(ready_made())),
    seed=st.integers(0, 2**32),
    values=st.lists(VALUES, min_size=1, max_size=3),
)
def test_ready_made_documents_with_wrong_values(name: str, seed: int, values: list[Any]) -> None:
    """Any setting, at any depth, may hold anything that TOML can write."""
    chance = random.Random(seed)
    document = tomllib.loads(ready_made_path(name).read_text(encoding="utf-8"))
    for value in values:
        holder: Any = document
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(holder[key], (dict, list)) and chance.random() < 0.8:
                holder = holder[key]
                continue
            holder[key] = value
            break
    assert_plain(refusal(lambda: make_experiment(document)))
