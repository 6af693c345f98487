"""Tables of runs for spreadsheets: numbers stay numbers, and nothing in them is run."""

from __future__ import annotations

import csv
import io
import math
import os
import resource
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tuilab.engine.events import EpochDone, StepsDone, TrainingStarted
from tuilab.errors import DiskFullError, UsageError
from tuilab.experiment.load import load_experiment
from tuilab.experiment.save import to_toml
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.export import epoch_records, run_records, save_csv, step_records, write_csv
from tuilab.runs.notes import add_tags, write_note
from tuilab.runs.reader import overview
from tuilab.runs.recorder import Recorder


def make_run(folder: Path, model: str = "xor-mlp", epochs: int = 2, **status: Any) -> RunDirectory:
    """A run that has recorded so many epochs of three steps each; the second is the best."""
    run = create_run(folder, model, to_toml(load_experiment(model)))
    with closing(Recorder(run.path, overview(run).status.model_copy(update=status))) as recorder:
        recorder.record(TrainingStarted("cpu", parameters=9, epochs=epochs, steps_per_epoch=3, samples=12))
        for epoch in range(1, epochs + 1):
            loss, step = 1 / epoch, 3 * epoch
            losses = (loss + 0.25, loss - 0.25, loss)
            recorder.record(
                StepsDone(epoch, step, losses, {"loss": loss}, 0.5, samples=12 * epoch, seconds=float(epoch))
            )
            results = {"loss": loss, "val_loss": math.nan if epoch == 1 else 2 * loss}
            recorder.record(EpochDone(epoch, step, results, 0.5, seconds=1.0, samples_per_second=12.0, best=epoch == 2))
        recorder.enter("finished")
        recorder.update(test={"loss": 0.75, "+more": 1.0})
        recorder.write()
    return run


def as_csv(records: list[dict[str, Any]]) -> str:
    target = io.StringIO(newline="")
    write_csv(records, target)
    return target.getvalue()


def test_every_run_is_a_row(tmp_path: Path) -> None:
    first = make_run(tmp_path, created=1e9)
    second = make_run(tmp_path, "iris-8-8-3", epochs=1)
    add_tags(first, ["good", "old"])
    write_note(first, "mine,\nall of it")
    table = {record["run"]: record for record in run_records(tmp_path)}
    assert list(table) == sorted([first.name, second.name])
    row, other = table[first.name], table[second.name]
    assert list(row) == list(other)
    assert list(row)[:10] == [
        "run", "experiment", "state", "created", "epochs", "steps", "seconds", "best_epoch", "tags", "note"
    ]  # fmt: skip
    assert list(row.values())[1:10] == [
        "xor-mlp", "finished", "2001-09-09T01:46:40+00:00", 2, 6, 2.0, 2, "good old", "mine,\nall of it"
    ]  # fmt: skip
    assert list(row)[-4:] == ["best.loss", "best.val_loss", "test.loss", "test.+more"]
    assert list(row.values())[-4:] == [0.5, 1.0, 0.75, 1.0]
    experiment = load_experiment("xor-mlp")
    assert row["data.batch_size"] == experiment.data.batch_size
    assert row["layers[0]"] == "dense"
    assert (row["layers[2].units"], other["layers[2].units"]) == (None, 3), "what only other runs have is empty"
    assert (other["best_epoch"], other["best.loss"]) == (None, None)


def test_a_run_that_cannot_be_read_is_a_row_all_the_same(tmp_path: Path) -> None:
    run, good = make_run(tmp_path), make_run(tmp_path, created=-2e11)
    (run.path / "metrics.db").write_bytes(b"x")
    (run.path / "notes.json").write_bytes(b"x")
    table = {record["run"]: record for record in run_records(tmp_path)}
    assert (table[run.name]["state"], table[run.name]["epochs"], table[run.name]["best.loss"]) == (
        "damaged",
        None,
        None,
    )
    assert table[run.name]["layers[0]"] == "dense"
    assert (table[good.name]["created"], table[good.name]["epochs"]) == (None, 2)
    assert run_records(tmp_path / "missing") == []


def test_a_run_cannot_pass_a_setting_for_a_fact(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.experiment_file.write_text('run = "other"\nstate = "running"\n[test]\nloss = 0\n')
    (record,) = run_records(tmp_path)
    assert (record["run"], record["state"], record["test.loss"]) == (run.name, "finished", 0.75)


def test_every_epoch_is_a_row(tmp_path: Path) -> None:
    facts = {"seconds": 1.0, "learning_rate": 0.5, "samples_per_second": 12.0}
    assert epoch_records(make_run(tmp_path)) == [
        {"epoch": 1, "step": 3, **facts, "best": False, "loss": 1.0, "val_loss": None},
        {"epoch": 2, "step": 6, **facts, "best": True, "loss": 0.5, "val_loss": 1.0},
    ]


def test_every_bin_of_a_curve_is_a_row(tmp_path: Path) -> None:
    records = step_records(make_run(tmp_path))
    loss = [(row["step"], row["mean"], row["least"], row["most"]) for row in records if row["series"] == "loss"]
    means = [1.25, 0.75, 1.0, 0.75, 0.25, 0.5]
    assert loss == [(step, mean, mean, mean) for step, mean in enumerate(means, start=1)]
    assert {row["series"] for row in records} > {"loss", "learning_rate"}
    long = make_run(tmp_path, epochs=10_000)
    first = next(row for row in step_records(long) if row["series"] == "loss")
    assert first["step"] > 1
    assert first["least"] < first["mean"] < first["most"] == 1.25


def test_a_damaged_run_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.path / "metrics.db").write_bytes(b"x" * 5000)
    for read in (epoch_records, step_records):
        with pytest.raises(UsageError, match=r"metrics\.db: is damaged"):
            read(run)


CELLS = {
    "=1+1": "'=1+1",
    "+1": "'+1",
    "-1": "'-1",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1": "' =1",
    "\rx": "' x",
    "  =1": "'  =1",
    "\n=1": "' =1",
    "\u00a0=1": "'\u00a0=1",
    "＝1": "'＝1",
    "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0",
    "a=1": "a=1",
    "'=1": "'=1",
    "": "",
    "a,b": "a,b",
    'say "x"': 'say "x"',
    "two\r\nlines": "two  lines",
    "\x1b[2J\x9b\u202e\x00": "�[2J���",
    "\udcff": "�",
    "a" * 5000: "a" * 4095 + "…",
}  # fmt: skip
NUMBERS = {-1.5: "-1.5", -3: "-3", 0.1: "0.1", 1e-300: "1e-300", math.nan: "", -math.inf: "", True: "true", None: ""}


@pytest.mark.parametrize("given", [*CELLS, *NUMBERS], ids=lambda cell: repr(cell)[:20])
def test_no_cell_is_run(given: Any) -> None:
    expected = (CELLS if isinstance(given, str) else NUMBERS)[given]
    text = as_csv([{"a": given, "b": 1}])
    header, row = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert (header, row) == (["a", "b"], [expected, "1"])
    assert text.count("\r\n") == text.count("\n") == text.count("\r") == 2
    assert text.encode()
    if isinstance(given, str) and given:
        header, _ = csv.reader(io.StringIO(as_csv([{given: 1}]), newline=""))
        assert header == [expected], "a column's name is a cell, too"


def test_a_hostile_run_stays_text(tmp_path: Path) -> None:
    run = make_run(tmp_path, experiment="=1+1")
    run.experiment_file.write_text('name = "@x"\n"=key" = "\\u001B[2J"\n')
    run.path.rename(tmp_path / "=\x1b[0m")
    header, row = csv.reader(io.StringIO(as_csv(run_records(tmp_path)), newline=""))
    record = dict(zip(header, row, strict=True))
    assert record["run"] == "'=�[0m"
    assert record["experiment"] == "'=1+1"
    assert record["name"] == "'@x"
    assert record["'=key"] == "�[2J"
    assert record["test.+more"] == "1.0"


def test_no_runs_are_no_lines() -> None:
    assert as_csv([]) == ""


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    save_csv([{"a": "ü", "b": 1.5}], file)
    assert file.read_bytes() == "a,b\r\nü,1.5\r\n".encode()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DiskFullError, match=r"a\.csv: file too large; free some space, or choose another file"):
            save_csv([{"a": "x" * 100}] * 500, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == "a,b\r\nü,1.5\r\n".encode()
    assert os.listdir(tmp_path) == ["a.csv"]
    with pytest.raises(UsageError, match="is not a plain file"):
        save_csv([], tmp_path)
