"""A run's folder and its parts are complete or absent."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tuilab.errors import StorageError, UsageError
from tuilab.runs.directory import RunDirectory, create_run, find_run, new_name, run_names, runs_folder
from tuilab.runs.reader import overview


def test_names_are_readable_and_unique() -> None:
    names = {new_name("MNIST: a/b \x1b[2J") for _ in range(200)}
    assert all(re.fullmatch(r"\d{4}-mnist-a-b-2j-[a-z2-9]{3}", name) for name in names)
    assert len(names) > 190
    assert re.fullmatch(r"\d{4}-run-[a-z2-9]{3}", new_name("…"))


def test_a_name_that_is_taken_is_not_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["1121-own-abc", "1121-own-abc", "1121-own-abd"])
    monkeypatch.setattr("tuilab.runs.directory.new_name", lambda experiment: next(names))
    assert [create_run(tmp_path, "own", "").name for _ in range(2)] == ["1121-own-abc", "1121-own-abd"]


def test_create_makes_all_or_nothing(tmp_path: Path) -> None:
    run = create_run(tmp_path / "deep" / "runs", "own", "name = 'own'")
    assert sorted(path.name for path in run.path.iterdir()) == ["commands", "experiment.toml", "metrics.db"]
    assert overview(run).status.experiment == "own"
    assert run_names(tmp_path / "deep" / "runs") == [run.name]
    blocked = tmp_path / "blocked"
    blocked.write_text("a file in the way")
    with pytest.raises(StorageError, match="choose another folder"):
        create_run(blocked, "own", "name = 'own'")


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    run = create_run(tmp_path, "own", "")
    with pytest.raises(UsageError, match="has no checkpoint"):
        run.checkpoint()
    run.write_checkpoint(7, {"a": lambda path: path.write_bytes(b"1") and None})

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, os.strerror(28), str(path))

    with pytest.raises(StorageError, match="free some space"):
        run.write_checkpoint(8, {"a": fail})
    assert [path.name for path in (run.path / "checkpoints").iterdir()] == ["step-000007"]
    assert run.checkpoint().name == "step-000007"
    run.write_checkpoint(999_999, {"a": lambda path: path.write_bytes(b"2") and None})
    run.write_checkpoint(1_000_000, {"a": lambda path: path.write_bytes(b"2") and None})
    assert run.checkpoint().name == "step-1000000"


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_json("result.json", {"loss": 1.5})
    run.write_json("result.json", {"loss": 0.5})
    assert run.read_json("result.json") == {"loss": 0.5}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    (tmp_path / "result.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match="damaged"):
        run.read_json("result.json")
    with pytest.raises(UsageError, match="missing"):
        run.read_json("other.json")


def test_where_runs_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUILAB_RUNS", str(tmp_path / "environment"))
    assert runs_folder() == tmp_path / "environment"
    assert runs_folder(tmp_path / "flag") == tmp_path / "flag"
    monkeypatch.delenv("TUILAB_RUNS")
    assert runs_folder().parts[-2:] == ("tuilab", "runs")


def test_find_run(tmp_path: Path) -> None:
    for name in ("1121-iris-abc", "1121-iris-abd", "1121-mnist-xyz"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "experiment.toml").touch()
    (tmp_path / ".1121-hidden.part").mkdir()
    (tmp_path / ".1121-hidden.part" / "experiment.toml").touch()
    os.utime(tmp_path / "1121-iris-abd" / "experiment.toml", (2e9, 2e9))
    assert find_run(tmp_path, "last").name == "1121-iris-abd"
    assert find_run(tmp_path, "abc").name == "1121-iris-abc"
    assert find_run(tmp_path, "1121-mnist").name == "1121-mnist-xyz"
    assert find_run(Path("/nowhere"), str(tmp_path / "1121-iris-abc")).name == "1121-iris-abc"
    with pytest.raises(UsageError, match="several runs: 1121-iris-abc, 1121-iris-abd"):
        find_run(tmp_path, "1121-iris")
    with pytest.raises(UsageError, match="did you mean '1121-mnist-xyz'"):
        find_run(tmp_path, "1121-mnist-xyy")
    with pytest.raises(UsageError, match="no run named ''"):
        find_run(tmp_path, "")
    with pytest.raises(UsageError, match="no run named 'last'"):
        find_run(tmp_path / "empty", "last")


def test_results_are_plain_json(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_json("result.json", {"name": "é"})
    assert json.loads((tmp_path / "result.json").read_bytes()) == {"name": "é"}
