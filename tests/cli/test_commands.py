"""The commands that train nothing, and what every command has in common."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import Tuilab

COMMANDS = {
    "help": ["--help"],
    "train": ["train", "perceptron-and"],
    "evaluate": ["evaluate", "last"],
    "predict": ["predict", "last", "gate.csv"],
    "summary": ["summary", "mnist-mlp"],
    "check": ["check", "perceptron-and"],
    "models": ["models"],
    "blocks": ["blocks", "adam"],
    "datasets": ["datasets"],
    "devices": ["devices"],
}


@pytest.fixture
def trained(tuilab: Tuilab) -> Tuilab:
    tuilab("train", "perceptron-and")
    tuilab("datasets", "sample", "gate_and", "gate.csv")
    return tuilab


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_loads_textual_and_help_loads_no_numpy(trained: Tuilab, name: str) -> None:
    program = (
        "import sys, atexit, json\n"
        "atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))\n"
        f"sys.argv = ['tuilab', *{COMMANDS[name]!r}]\n"
        "from tuilab.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=trained.folder,
        env=trained.environment(),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "tuilab.cli.main" in loaded
    assert not {"textual", "sklearn", "torch"} & loaded
    if name != "train":
        assert "sqlite3" not in loaded
    if name in ("help", "models", "blocks", "train"):
        assert "numpy" not in loaded
    if name == "help":
        assert not {"pydantic", "rich", "safetensors"} & loaded


def test_summary_of_the_design(tuilab: Tuilab) -> None:
    settings = ["--set", "layers[2].units=10", "--set", "layers[2].activation=softmax"]
    tuilab.write(
        "design.toml",
        """
        name = "design"
        [data]
        dataset = "mnist"
        [[layers]]
        type = "dense"
        units = 512
        activation = "relu"
        [[layers]]
        type = "dropout"
        rate = 0.2
        [[layers]]
        type = "dense"
        units = 11
        [training]
        loss = "categorical_crossentropy"
        """,
    )
    result = tuilab("summary", "design.toml", *settings, "--json").json
    assert (result["name"], result["parameters"], result["trainable"]) == ("design", 407050, 407050)
    assert result["layers"] == [
        {"name": "dense_1", "type": "dense", "output_shape": [512], "parameters": 401920},
        {"name": "dropout_2", "type": "dropout", "output_shape": [512], "parameters": 0},
        {"name": "dense_3", "type": "dense", "output_shape": [10], "parameters": 5130},
    ]
    assert result["memory_bytes"] > 407050 * 4 * 4
    shown = tuilab("summary", "design.toml", *settings).stdout
    assert "407,050 parameters" in shown
    assert "401,920" in shown


def test_check_agrees_and_would_notice(tuilab: Tuilab) -> None:
    result = tuilab("check", "iris-8-8-3", "--json").json
    assert result["passed"]
    assert [row["parameter"] for row in result["parameters"]] == ["kernel", "bias"] * 3
    assert all(row["entries"] > 0 and row["error"] < 1e-6 for row in result["parameters"])


def test_models_prints_a_file_that_trains(tuilab: Tuilab) -> None:
    path = tuilab.write("mine.toml", tuilab("models", "xor-mlp").stdout)
    assert tuilab("train", path, "--json").json["train"]["accuracy"] == 1
    names = [row["name"] for row in tuilab("models", "--json").json]
    assert {"perceptron-xor", "mnist-mlp", "vanishing-fixed", "optimizer-rmsprop"} <= set(names)


def test_blocks_explain_themselves(tuilab: Tuilab) -> None:
    kinds = tuilab("blocks", "--json").json
    assert {"layer", "activation", "optimizer", "schedule", "dataset"} <= set(kinds)
    assert "leaky_relu" in kinds["activation"]
    shown = tuilab("blocks", "leaky_relu").stdout
    assert "negative_slope" in shown
    assert "0.2" in shown
    (adam,) = tuilab("blocks", "adam", "--json").json
    assert adam["kind"] == "optimizer"
    assert "Kingma" in adam["documentation"]
    assert {"name": "beta_1", "type": "float, from 0, below 1", "default": "0.9"}.items() <= next(
        row for row in adam["settings"] if row["name"] == "beta_1"
    ).items()
    assert [row["kind"] for row in tuilab("blocks", "orthogonal", "--json").json] == ["initializer", "regularizer"]
    assert "did you mean 'adam'" in tuilab("blocks", "adamm", code=2).stderr
    assert "epochs" in tuilab("blocks", "training").stdout


def test_datasets_and_devices(tuilab: Tuilab) -> None:
    sets = {row["name"]: row for row in tuilab("datasets", "--json").json}
    assert sets["iris"]["here"] is True
    assert sets["mnist"]["here"] is False
    assert sets["mnist"]["input_shape"] == [28, 28, 1]
    assert "needs no download" in tuilab("datasets", "fetch", "iris", code=2).stderr
    assert "did you mean 'iris'" in tuilab("datasets", "fetch", "irsi", code=2).stderr
    assert "as .npy" in tuilab("datasets", "sample", "digits", "d.csv", code=2).stderr
    facts = tuilab("devices", "--json").json
    assert [row["name"] for row in facts] == ["cpu", "gpu"]
    assert facts[0]["available"] is True


def test_kernels_can_be_compiled_ahead(tuilab: Tuilab) -> None:
    warmed = tuilab("devices", "--warm", "--json")
    assert warmed.stderr == "compiling kernels; they are kept for the next time\n"
    assert warmed.json[0]["available"] is True


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tuilab: Tuilab, shell: str) -> None:
    words = "tuilab train mnist-"
    environment = {
        "_TUILAB_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": "2",
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    program = "import sys; sys.argv = ['tuilab']; from tuilab.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=tuilab.environment(**environment),
        timeout=60,
    )
    assert {"mnist-book", "mnist-mlp", "mnist-perceptron"} <= set(done.stdout.replace('"', " ").split())


def test_runs_are_found_by_parts_of_their_names(tuilab: Tuilab) -> None:
    first = tuilab("train", "perceptron-and", "--json").json["run"]
    second = tuilab("train", "perceptron-or", "--json").json["run"]
    assert tuilab("evaluate", "last", "--json").json["run"] == second
    assert tuilab("evaluate", first[:-2], "--json").json["run"] == first
    assert tuilab("evaluate", first[-3:], "--json").json["run"] == first
    assert tuilab("evaluate", tuilab.runs / first, "--json").json["run"] == first
    assert "fits several runs" in tuilab("evaluate", first[:2], code=2).stderr  # the month; the day may have changed
    assert "no run named" in tuilab("evaluate", "nothing", code=2).stderr


def test_a_reader_that_goes_away_is_no_error(tuilab: Tuilab) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tuilab", "blocks"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=tuilab.environment(),
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(timeout=60)
    assert errors == b""
    assert process.returncode == 1
