"""Rows of runs: what they say, picked by conditions, put in order, side by side."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.runs.made import make_run, worked_on
from tuilab.errors import UsageError
from tuilab.runs.comparison import compare
from tuilab.runs.directory import RunDirectory
from tuilab.runs.notes import add_tags
from tuilab.runs.reader import overview
from tuilab.runs.recorder import Recorder
from tuilab.runs.selection import FACTS, Condition, find_lookup, ordered
from tuilab.runs.settings import read_settings
from tuilab.runs.table import Row, describe, read_row, read_rows

GOOD = [{"loss": 0.9, "accuracy": 0.5, "val_loss": 0.8, "val_accuracy": 0.6}, {"loss": 0.4, "val_loss": 0.3}]


def rows_of(*runs: RunDirectory) -> list[Row]:
    return [read_row(run) for run in runs]


def names(rows: list[Row]) -> list[str]:
    return [row.run.name for row in rows]


def picked(rows: list[Row], condition: str) -> list[str]:
    parsed = Condition.parse(condition)
    lookup = find_lookup(rows, parsed.key)
    return names([row for row in rows if parsed.holds(lookup(row))])


def test_a_row_says_what_its_run_says(tmp_path: Path) -> None:
    final = {"train": {"loss": 0.2}, "validation": None, "test": {"loss": 0.25, "accuracy": None}}
    run = make_run(tmp_path, "one", results=GOOD, age=90, pid=77, host="box", threads=2, seconds=1.23456, **final)
    run.write_checkpoint(14, {"weights.safetensors": lambda path: path.write_bytes(b"w" * 1000) and None})
    add_tags(run, ["mine"])
    row = read_row(run)
    facts = describe(row)
    assert facts["best"] == {"epoch": 2, "loss": 0.4, "val_loss": 0.3}
    assert (facts["run"], facts["name"], facts["state"], facts["reason"]) == ("one", "iris-8-8-3", "finished", "")
    assert (facts["pid"], facts["host"], facts["threads"], facts["seconds"]) == (77, "box", 2, 1.235)
    assert (facts["epoch"], facts["epochs"], facts["step"], facts["checkpoints"]) == (2, 4, 28, [14])
    assert {part: facts[part] for part in final} == final
    assert (facts["tags"], facts["note"], facts["path"]) == (["mine"], "", str(run.path))
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert facts["size"] == sum(path.stat().st_size for path in files) > 1000
    assert row.age == pytest.approx(90, abs=5)
    assert row.results["best_epoch"] == 2
    assert (row.results["test.loss"], row.results["test.accuracy"], row.results["loss"]) == (0.25, None, 0.4)


def test_the_results_that_say_most(tmp_path: Path) -> None:
    validated = make_run(tmp_path, "validated", results=GOOD[:1])
    trained = make_run(tmp_path, "trained", results=[{"loss": 0.9, "mae": 0.5, "rmse": 1.0}])
    begun = make_run(tmp_path, "begun", state="running")
    assert [row.main_results() for row in rows_of(validated, trained, begun)] == [
        ["val_loss", "val_accuracy"],
        ["loss", "mae"],
        [],
    ]


def test_what_stands_in_the_log_of_the_database_is_read(tmp_path: Path) -> None:
    """A worker that was killed leaves its last rows in the write-ahead log."""
    run = make_run(tmp_path, "one", state="running")
    with run.hold(), closing(Recorder(run.path, overview(run).status)) as recorder:
        recorder.update(step=99)
        recorder.write()
        assert (run.path / "metrics.db-wal").stat().st_size > 0
        killed = RunDirectory(Path(shutil.copytree(run.path, tmp_path / "killed")))
    assert describe(read_row(killed))["step"] == 99
    assert read_row(killed).state == "failed"


def test_reading_a_run_at_rest_leaves_nothing_behind(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", results=GOOD)
    before = sorted(os.listdir(run.path))
    assert "metrics.db-wal" not in before
    assert read_row(run).results["val_loss"] == 0.3
    assert sorted(os.listdir(run.path)) == before


def test_a_run_that_cannot_be_read_is_a_row_with_its_reason(tmp_path: Path) -> None:
    good = make_run(tmp_path, "good", results=GOOD)
    for name in ("missing", "foreign", "nonsense", "folder", "pipe"):
        shutil.copytree(good.path, tmp_path / name)
        (tmp_path / name / "metrics.db").unlink()
    with closing(sqlite3.connect(tmp_path / "foreign" / "metrics.db")) as connection:
        connection.execute("CREATE TABLE status(value)")
    (tmp_path / "nonsense" / "metrics.db").write_bytes(b"nonsense" * 1000)
    (tmp_path / "folder" / "metrics.db").mkdir()
    os.mkfifo(tmp_path / "pipe" / "metrics.db")
    rows = {row.run.name: row for row in read_rows(tmp_path)}
    assert rows["good"].state == "finished"
    reasons = {name: row.trouble for name, row in rows.items() if row.state == "damaged"}
    assert set(reasons) == {"missing", "foreign", "nonsense", "folder", "pipe"}
    assert "is missing" in reasons["missing"]
    assert "another program's database" in reasons["foreign"]
    assert "not a plain file" in reasons["folder"]
    assert "not a plain file" in reasons["pipe"]
    assert "is damaged" in reasons["nonsense"]
    assert list(describe(rows["pipe"])) == ["run", "state", "reason", "path"]
    assert names(ordered(read_rows(tmp_path), FACTS["age"]))[0] == "good", "those without an age come last"


def change_status(run: RunDirectory, **changes: Any) -> None:
    """Write into the status of a run what no worker writes."""
    with closing(sqlite3.connect(run.path / "metrics.db")) as connection:
        (text,) = connection.execute("SELECT value FROM status").fetchone()
        connection.execute("UPDATE status SET value = ?", (json.dumps({**json.loads(text), **changes}),))
        connection.commit()


def test_numbers_that_no_run_writes_harm_nobody(tmp_path: Path) -> None:
    odd = make_run(tmp_path, "odd")
    change_status(
        odd, learning_rate=math.nan, samples_per_second=-math.inf, results={"loss": math.inf}, host="h\x1b[31mx"
    )
    facts = describe(read_row(odd))
    assert [facts[name] for name in ("learning_rate", "samples_per_second", "results")] == [None, None, {"loss": None}]
    assert facts["host"] == "h�[31mx"
    for changes in ({"created": math.nan}, {"seconds": math.inf}, {"epoch": 10**50}, {"pid": -1}):
        change_status(make_run(tmp_path, f"odd-{next(iter(changes))}"), **changes)
    assert [row.state for row in read_rows(tmp_path)] == ["finished", *["damaged"] * 4]


def test_settings_stand_at_their_places(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", "training.optimizer.learning_rate=0.5", "layers[0].kernel_regularizer.type=l2")
    found = read_settings(run)
    assert found["training.optimizer"] == "adam"
    assert found["training.optimizer.learning_rate"] == 0.5
    assert found["layers[0]"] == "dense"
    assert found["layers[0].units"] == 8
    assert found["layers[0].kernel_regularizer"] == "l2"
    assert found["data.shuffle"] is True
    assert found["seed"] == 7
    assert not any(place.endswith(".type") for place in found)
    (run.path / "experiment.toml").write_text(
        "layers = [{ kernel_size = [3, 3] }, {}]\nlearning_rate = inf\n[a]\nb = 1979-05-27"
    )
    assert read_settings(run) == {"layers[0].kernel_size": "[3, 3]", "learning_rate": "inf", "a.b": "1979-05-27"}


@pytest.mark.parametrize(
    "content",
    ["x = ", "a." * 5000 + "b = 1", "x = " + "[" * 50_000, "# " + "x" * 10_000_000, "\xff", "x = " + "9" * 5000],
    ids=["not TOML", "long key", "deep", "large", "not UTF-8", "long number"],
)
def test_a_foreign_experiment_has_no_settings(tmp_path: Path, content: str) -> None:
    run = make_run(tmp_path, "one")
    run.experiment_file.write_text(content, encoding="latin-1")
    started = time.perf_counter()
    assert read_settings(run) == {}
    assert time.perf_counter() - started < 1


def test_a_link_or_a_pipe_has_no_settings(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    run.experiment_file.rename(tmp_path / "elsewhere.toml")
    run.experiment_file.symlink_to(tmp_path / "elsewhere.toml")
    assert read_settings(run) == {}
    run.experiment_file.unlink()
    os.mkfifo(run.experiment_file)
    assert read_settings(run) == {}


@pytest.fixture
def three(tmp_path: Path) -> list[Row]:
    slow = make_run(tmp_path, "slow", "training.optimizer.learning_rate=0.001", results=GOOD, age=7200, seconds=10.0)
    fast = make_run(tmp_path, "fast", "training.optimizer=sgd", "layers[0].units=64", results=GOOD[:1], age=60)
    new = make_run(tmp_path, "new", model="perceptron-and", state="running", host="box")
    add_tags(slow, ["good", "paper-2"])
    return rows_of(slow, fast, new)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("training.optimizer.learning_rate < 0.01", "slow"),
        ("optimizer.learning_rate<=1e-3", "slow"),
        ("learning_rate >= 0.01", "fast new"),
        ("layers[0].units = 64", "fast"),
        ("layers[0].units == 64.0", "fast"),
        ("layers[0].units != 64", "slow new"),
        ("layers[0].units > 6_0", "fast"),
        ("layers[1].activation = softmax", ""),
        ("layers[2].activation = softmax", "slow fast"),
        ("layers[2].activation != softmax", "new"),
        ("optimizer = sgd", "fast new"),
        ("training.optimizer.type = sgd", "fast new"),
        ("optimizer = 'sgd'", "fast new"),
        ('optimizer ~ "AD"', "slow"),
        ("shuffle = true", "slow fast new"),
        ("shuffle = false", ""),
        ("val_loss < 0.5", "slow"),
        ("val_loss < 1", "slow fast"),
        ("val_accuracy > 0.5", "fast"),
        ("best_epoch = 2", "slow"),
        ("state = finished", "slow fast"),
        ("state != finished", "new"),
        ("experiment ~ iris", "slow fast"),
        ("name = perceptron-and", "new"),
        ("run = new", "new"),
        ("tag = good", "slow"),
        ("tag ~ paper", "slow"),
        ("tag != good", "fast new"),
        ("seed = 7", "slow fast"),
        ("device = cpu", "slow fast new"),
        ("epoch >= 1", "slow fast"),
        ("step = 28", "slow"),
        ("seconds = 10s", "slow"),
        ("age > 1 h", "slow"),
        ("age < 2min", "fast new"),
        ("size > 1KB", "slow fast new"),
        ("size > 1 GB", ""),
        ("epoch < many", ""),
        ("seed = 1" + "0" * 400 + " KB", ""),
    ],
)
def test_conditions(three: list[Row], condition: str, expected: str) -> None:
    assert " ".join(picked(three, condition)) == expected


@pytest.mark.parametrize("text", ["", "units", "= 5", "units ! 5", "!= 5", " < "])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write KEY OPERATOR VALUE"):
        Condition.parse(text)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("units", r"fits several settings: layers\[0\].units, layers\[1\].units"),
        ("learning_rat", "no run has .* did you mean 'learning_rate'"),
        ("val_los", "did you mean 'val_loss'"),
        ("stat", "did you mean 'state'"),
        ("rate", "no run has a setting or result named 'rate'"),
        ("\x1b[2J", "named '�"),
    ],
)
def test_unknown_keys_are_refused(three: list[Row], key: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find_lookup(three, key)


@pytest.mark.parametrize(
    ("key", "forwards", "backwards"),
    [
        ("age", "new fast slow", "slow fast new"),
        ("val_loss", "slow fast new", "fast slow new"),
        ("layers[2].units", "slow fast new", "slow fast new"),
        ("layers[0].units", "new slow fast", "fast slow new"),
        ("optimizer", "slow fast new", "fast new slow"),
        ("tag", "slow fast new", "slow fast new"),
    ],
)
def test_order(three: list[Row], key: str, forwards: str, backwards: str) -> None:
    lookup = find_lookup(three, key)
    assert " ".join(names(ordered(three, lookup))) == forwards
    assert " ".join(names(ordered(three, lookup, reverse=True))) == backwards, "without a value: last all the same"


def test_numbers_come_before_texts(tmp_path: Path) -> None:
    constant = make_run(tmp_path, "constant", "training.optimizer.learning_rate=0.5")
    falling = make_run(tmp_path, "falling", "training.optimizer.learning_rate=exponential_decay")
    rows = rows_of(falling, constant)
    assert names(ordered(rows, find_lookup(rows, "learning_rate"))) == ["constant", "falling"]
    assert picked(rows, "learning_rate < 1") == ["constant"]
    assert picked(rows, "learning_rate = exponential_decay") == ["falling"]


def test_side_by_side(tmp_path: Path) -> None:
    one = make_run(tmp_path, "one", results=GOOD, test={"loss": 0.5}, seconds=1.0)
    two = make_run(tmp_path, "two", "layers[1].units=9", "training.early_stopping.patience=5", results=GOOD[:1])
    compared = compare(rows_of(one, two))
    assert compared.settings == {
        "layers[1].units": [8, 9],
        "training.early_stopping.monitor": [None, "val_loss"],
        "training.early_stopping.patience": [None, 5],
        "training.early_stopping.min_delta": [None, 0.0],
        "training.early_stopping.restore_best_weights": [None, True],
    }
    assert compared.results["state"] == ["finished", "finished"]
    assert compared.results["epochs"] == [2, 1]
    assert compared.results["seconds"] == [1.0, 0.0]
    assert compared.results["best_epoch"] == [2, 1]
    assert compared.results["val_loss"] == [0.3, 0.8]
    assert compared.results["val_accuracy"] == [None, 0.6]
    assert compared.results["test.loss"] == [0.5, None]


def test_a_run_on_another_machine_is_unknown(tmp_path: Path) -> None:
    run = make_run(tmp_path, "far", state="running")
    worked_on(run, "gpu-server-9")
    facts = describe(read_row(run))
    assert (facts["state"], facts["host"], facts["pid"]) == ("unknown", "gpu-server-9", 4321)
    assert "on gpu-server-9, last heartbeat" in facts["reason"]
