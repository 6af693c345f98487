"""What the Runs screen lists: read again only where something may have changed."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from tests.runs.made import make_run, worked_on
from tuilab.runs.notes import add_tags
from tuilab.tui.run_curves import Marked, comparison, differences, read_curves, result_names
from tuilab.tui.run_list import RunList, View, filter_problem, header

RESULTS = [{"loss": 2.0, "val_loss": 0.5, "accuracy": 0.8}, {"loss": 1.0, "val_loss": 0.25, "accuracy": 0.9}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_run(tmp_path, "slow", "training.optimizer.learning_rate=0.001", results=RESULTS[:1], age=300)
    make_run(tmp_path, "quick", "training.optimizer.learning_rate=0.1", results=RESULTS, age=200)
    make_run(tmp_path, "going", state="paused", age=100)
    return tmp_path


def names(folder: Path, **view: object) -> list[str]:
    return list(RunList(folder).look(View(**view)).rows)  # type: ignore[arg-type]  # as the tests give them


def test_order(folder: Path) -> None:
    assert names(folder) == ["going", "quick", "slow"]
    assert names(folder, reverse=True) == ["slow", "quick", "going"]
    assert names(folder, sort="val_loss") == ["quick", "slow", "going"]
    assert names(folder, sort="learning_rate") == ["slow", "going", "quick"]


def test_filter(folder: Path) -> None:
    assert names(folder, filter="ow") == ["slow"]
    assert names(folder, filter="state = finished, val_loss < 0.3") == ["quick"]
    assert names(folder, filter=" , ") == ["going", "quick", "slow"]
    found = RunList(folder).look(View(filter="val_los < 1"))
    assert "did you mean 'val_loss'?" in found.problem
    assert len(found.rows) == 3
    assert filter_problem("< 3").startswith("< 3: write KEY OPERATOR VALUE")
    assert filter_problem("state = finished") == ""


def test_cells(folder: Path) -> None:
    add_tags(make_run(folder, "tagged", results=RESULTS, age=65), ["good"])
    listing = RunList(folder).look(View(columns=("data.batch_size",))).listing
    cells = dict(zip((column.key for column in listing.columns), listing.lines[0].cells, strict=True))
    texts = {key: cell.text for key, cell in cells.items()}
    expected = {"run": "tagged", "state": "finished", "epoch": "2/4", "val_loss": "0.2500", "tag": "good", "age": "1m"}
    assert expected.items() <= texts.items()
    assert texts["data.batch_size"] == "8"
    assert listing.lines[1].cells[1] == ("failed", "bad")  # nobody trains it


def test_only_what_may_have_changed_is_read_again(folder: Path) -> None:
    runs = RunList(folder)
    before = runs.look(View()).every
    (folder / "quick" / "metrics.db-wal").touch()  # as readers leave it
    add_tags(before["slow"].run, ["new"])
    worked_on(make_run(folder, "alive", state="running"), "another-machine")
    now = runs.look(View()).every
    assert now["quick"] is before["quick"]
    assert now["slow"] is not before["slow"]
    assert now["slow"].notes.tags == ("new",)
    assert runs.look(View()).every["alive"] is not now["alive"]  # its worker may die at any time


def test_a_look_leaves_nothing_behind(folder: Path) -> None:
    worked_on(make_run(folder, "rests", results=RESULTS), socket.gethostname())
    before = sorted(folder.rglob("*"))
    row = RunList(folder).look(View()).every["rests"]
    assert read_curves(row)["val_loss"].value.tolist() == [0.5, 0.25]
    assert sorted(path for path in folder.rglob("rests/*")) == [path for path in before if "rests/" in str(path)]


def test_damaged_and_deleted_runs(folder: Path) -> None:
    runs = RunList(folder)
    runs.look(View())
    (folder / "slow" / "metrics.db").write_bytes(b"junk" * 100)
    shutil.rmtree(folder / "quick")
    found = runs.look(View())
    assert list(found.rows) == ["going", "slow"]
    assert found.listing.lines[1].rest.startswith("metrics.db: is ")
    assert found.listing.lines[1].cells[1] == ("damaged", "bad")
    assert read_curves(found.rows["slow"]) == {}


def test_keys(folder: Path) -> None:
    runs = RunList(folder)
    runs.look(View())
    keys = runs.keys()
    assert keys["age"] == "fact"
    assert keys["val_loss"] == "result"
    assert keys["training.optimizer.learning_rate"] == "setting"


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("training.optimizer.learning_rate", "learning_rate"),
        ("layers[0].units", "layers[0].units"),
        ("val_loss", "val_loss"),
        ("test.accuracy", "accuracy"),
    ],
)
def test_headers(key: str, title: str) -> None:
    assert header(key) == title


def test_runs_side_by_side(folder: Path) -> None:
    rows = RunList(folder).look(View()).every
    marked = [Marked(3, rows["slow"]), Marked(0, rows["quick"])]
    assert differences(marked) == "differ in optimizer.learning_rate 0.001 | 0.1"
    assert differences([marked[0], marked[0]]) == "no setting differs"
    listing = comparison(marked)
    assert [column.header for column in listing.columns] == ["", "■", "●"]
    texts = {line.cells[0].text: [cell.text for cell in line.cells[1:]] for line in listing.lines}
    assert texts["optimizer.learning_rate"] == ["0.001", "0.1"]
    assert texts["val_loss"] == ["0.5000", "0.2500"]
    assert texts["best_epoch"] == ["1", "2"]
    assert comparison(marked[:1]).lines[0].cells[0].text == "no setting differs"


def test_results_that_most_runs_have_come_first() -> None:
    every, some = {"loss": 1, "val_loss": 1, "accuracy": 1, "val_accuracy": 1}, {"loss": 1}
    curves = [every, every, some]
    assert result_names(curves) == ["loss", "val_loss", "val_accuracy", "accuracy"]  # type: ignore[arg-type]  # names do
