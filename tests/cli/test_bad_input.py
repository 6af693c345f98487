"""What is wrong gets one clear message with place and remedy, the right exit code, and leaves no half-written run."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Tuilab

GOOD = """
name = "own"
[data]
dataset = "iris"
[[layers]]
type = "dense"
units = 8
activation = "relu"
[[layers]]
type = "dense"
units = 3
activation = "softmax"
[training]
epochs = 1
loss = "categorical_crossentropy"
"""

WRONG_FILES = {
    "unknown block": (GOOD.replace('"relu"', '"rleu"'), ["layers[0].activation", "did you mean 'relu'"]),
    "misspelt key": (GOOD.replace("epochs", "epohcs"), ["training.epohcs", "did you mean 'epochs'"]),
    "wrong type": (GOOD.replace("units = 8", 'units = "eight"'), ["layers[0].units: must be an integer"]),
    "out of bounds": (GOOD.replace("units = 8", "units = -3"), ["layers[0].units: must be greater than 0, got -3"]),
    "shapes that do not fit": (
        GOOD.replace(
            '[[layers]]\ntype = "dense"\nunits = 8', '[[layers]]\ntype = "reshape"\ntarget_shape = [5]', 1
        ).replace('activation = "relu"\n', "", 1),
        ["layers[0]: reshape cannot lay 4 values", "target_shape"],
    ),
    "softmax over one unit": (
        GOOD.replace("units = 3", "units = 1").replace('"iris"', '"breast_cancer"'),
        ["layers[1].activation", "softmax over one unit is always 1", "sigmoid"],
    ),
    "loss that does not fit the output": (
        GOOD.replace('activation = "softmax"', ""),
        ["layers[1].activation", "categorical_crossentropy needs", '"softmax"'],
    ),
    "loss that does not fit the data": (
        GOOD.replace("categorical_crossentropy", "perceptron").replace('"iris"', '"diabetes"'),
        ["training.loss", "mean_squared_error"],
    ),
    "more classes than units": (
        GOOD.replace("units = 3", "units = 2"),
        ["layers[1].units", "3 classes", "set units = 3"],
    ),
    "not TOML": (GOOD.replace("[data]", "[data"), ["not valid TOML", "line 3"]),
    "binary junk": ("\x00\x01\x02", ["not valid TOML"]),
    "deeply nested": ("x = " + "[" * 5000 + "]" * 5000, ["nested"]),
    "hostile key": (".".join("a" * 50_000) + " = 1", ["key"]),
    "huge": ("# " + "x" * 300_000, ["256 KiB"]),
    "empty": ("", ["data: is missing", "layers: is missing", "training: is missing"]),
    "escape codes": (GOOD.replace('"relu"', '"\\u001b]0;gotcha\\u0007"'), ["layers[0].activation"]),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_experiment_files(tuilab: Tuilab, case: str) -> None:
    text, wanted = WRONG_FILES[case]
    path = tuilab.write("wrong.toml", text)
    done = tuilab("train", path, code=2)
    for part in wanted:
        assert part in done.stderr
    assert done.stdout == ""
    assert tuilab.run_names() == []
    assert tuilab("summary", path, code=2).stderr == done.stderr


def test_every_problem_is_told_at_once(tuilab: Tuilab) -> None:
    text = GOOD.replace("units = 8", "units = -3").replace('"relu"', '"rleu"').replace("epochs = 1", "epochs = 0")
    lines = tuilab("train", tuilab.write("wrong.toml", text), code=2).stderr.splitlines()
    assert [line.split(": ")[2] for line in lines] == ["layers[0].units", "layers[0].activation", "training.epochs"]


def test_files_that_are_not_there(tuilab: Tuilab) -> None:
    assert "nothing.toml: there is no such file" in tuilab("train", "nothing.toml", code=2).stderr
    assert "did you mean 'mnist-mlp'" in tuilab("train", "mnist-mpl", code=2).stderr
    assert "--set" in tuilab("train", "iris-8-8-3", "--set", "epochs", code=2).stderr
    assert "tuilab predict" not in tuilab("predict", "last", "nothing.csv", code=2).stderr


def test_a_gpu_that_is_not_there(tuilab: Tuilab) -> None:
    done = tuilab("train", "iris-8-8-3", "--device", "gpu", code=None)
    assert done.code == 1
    assert "--device cpu" in done.stderr
    assert tuilab.run_names() == []
    assert "training.device" in tuilab("train", "iris-8-8-3", "--device", "tpu", code=2).stderr


def test_predicting_what_does_not_fit(tuilab: Tuilab) -> None:
    tuilab("train", "iris-8-8-3", "--epochs", "1")
    assert (
        "no column 'sepal length (cm)'"
        in tuilab("predict", "last", tuilab.write("few.csv", "a,b\n1,2\n"), code=1).stderr
    )
    assert "there is no such file" in tuilab("predict", "last", "nothing.csv", code=1).stderr
    tuilab.write("text.csv", "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n1,2,3,large\n")
    assert "large" in tuilab("predict", "last", "text.csv", code=1).stderr


def _foreign(path: Path) -> None:
    path.write_bytes(gzip.compress(b"GIF89a" + bytes(100)))


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize("damage", [_foreign, _truncated])
def test_damaged_idx_files(tuilab: Tuilab, damage: object) -> None:
    shared = Path(os.environ.get("TUILAB_DATA", "")) / "mnist"
    if not shared.is_dir():
        pytest.skip("needs MNIST: set TUILAB_DATA to a folder that holds mnist/")
    folder = tuilab.folder / "data" / "mnist"
    folder.mkdir(parents=True)
    for file in shared.iterdir():
        shutil.copyfile(file, folder / file.name)
    assert callable(damage)
    damage(folder / "train-labels-idx1-ubyte.gz")
    done = tuilab("train", "mnist-perceptron", "--data-dir", tuilab.folder / "data", code=1)
    assert "train-labels-idx1-ubyte.gz" in done.stderr
    assert tuilab.run_names() == []


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("a,b,kind\n1,2,x\n3,nan,y\n5,6,x\n", ["row", "b"]),
        ("a,b,kind\n" + "1,2,x\n" * 30 + "3,4,y\n", ["y"]),
        ("a,b,kind\n", ["no"]),
        ("a,b\n1,2\n", ["kind"]),
    ],
)
def test_tables_that_no_network_can_learn_from(tuilab: Tuilab, table: str, wanted: list[str]) -> None:
    tuilab.write("own.csv", table)
    own = GOOD.replace('dataset = "iris"', 'path = "own.csv"\ntarget = "kind"')
    done = tuilab("train", tuilab.write("own.toml", own), code=1)
    assert "own.csv" in done.stderr
    for part in wanted:
        assert part in done.stderr
    assert tuilab.run_names() == []


def test_an_unwritable_runs_folder(tuilab: Tuilab) -> None:
    tuilab.write("file", "")
    done = tuilab("train", "iris-8-8-3", "--runs", tuilab.folder / "file" / "runs", code=5)
    assert "--runs DIR" in done.stderr


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(tuilab: Tuilab, tiny_disk: Path) -> None:
    """The weights of digits-mlp (69 KB) do not fit: exit 5, and nothing of the run is left."""
    done = tuilab("train", "digits-mlp", "--epochs", "1", "--runs", tiny_disk, code=5)
    assert "no space left on device" in done.stderr
    assert "free some space" in done.stderr
    assert list(tiny_disk.iterdir()) == []
    full = tiny_disk / "full"
    full.write_bytes(bytes(64 * 1024))
    tuilab("train", "iris-8-8-3", "--epochs", "1", "--runs", tiny_disk, code=5)
    assert list(tiny_disk.iterdir()) == [full]


def test_a_damaged_run(tuilab: Tuilab) -> None:
    run = tuilab.runs / tuilab("train", "iris-8-8-3", "--epochs", "1", "--json").json["run"]
    (weights,) = run.glob("checkpoints/*/weights.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as weights" in tuilab("evaluate", "last", code=2).stderr
    weights.write_bytes(whole)
    (run / "data.json").write_text("{")
    assert "data.json" in tuilab("evaluate", "last", code=2).stderr
    (run / "data.json").write_text('{"info": 3}')
    assert "data.json" in tuilab("evaluate", "last", code=2).stderr
