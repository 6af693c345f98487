"""`tuilab runs pack`, `unpack` and `export`: real trainings, real processes."""

from __future__ import annotations

import csv
import io
import os
import pty
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Tuilab
from tests.cli.test_resume import MODEL, facts, quicken, start, weights


def test_a_copy_taken_while_it_trains_goes_on_like_the_run(tuilab: Tuilab) -> None:
    run = start(tuilab, tuilab.write("own.toml", MODEL))
    tuilab("checkpoint", run)
    file = tuilab.folder / "a.zip"
    packed = tuilab("runs", "pack", run, file, "--json").json
    assert packed == {"run": run, "file": str(file), "size": file.stat().st_size}
    quicken(tuilab)
    whole = tuilab.wait_for(run, lambda seen: not seen.alive)
    assert whole.state == "finished"

    unpacked = tuilab("runs", "unpack", file, "--name", "copy", "--json").json
    assert unpacked == {"run": "copy", "path": str(tuilab.runs / "copy")}
    copy = tuilab.overview("copy")
    assert (copy.state, copy.reason) == ("stopped", "packed while it trained")
    assert 0 < copy.status.step < whole.status.step
    assert set(tuilab("evaluate", "copy", "--json").json["test"]) == {"loss", "accuracy", "auc"}
    assert tuilab("resume", "copy", "--json").json["test"] == whole.status.test
    assert weights(tuilab, "copy") == weights(tuilab, run)
    assert facts(tuilab, "copy") == facts(tuilab, run)
    assert tuilab.run_names() == sorted([run, "copy"])


def test_a_run_travels_under_its_name(tuilab: Tuilab) -> None:
    run = tuilab("train", "iris-8-8-3", "--epochs", "2", "--json").json["run"]
    done = tuilab("runs", "pack", "last", "a.zip")
    assert done.stdout.startswith(f"{run} is in a.zip  ")
    assert done.stderr == ""
    assert "a.zip: is there already; --force replaces it" in tuilab("runs", "pack", "last", "a.zip", code=2).stderr
    tuilab("runs", "pack", "last", "a.zip", "--force")
    refused = tuilab("runs", "unpack", "a.zip", code=2)
    assert refused.stderr == f"tuilab: there is a run {run} already; choose another name with --name NAME\n"
    assert tuilab("runs", "unpack", "a.zip", "--runs", "others").stdout == f"run {run}\n"
    here, there = (tuilab("evaluate", run, "--json", "--runs", folder).json for folder in (tuilab.runs, "others"))
    assert here == there


def test_what_goes_wrong_is_told(tuilab: Tuilab) -> None:
    tuilab("train", "xor-mlp", "--epochs", "1")
    assert "there is no such folder" in tuilab("runs", "pack", "last", "missing/a.zip", code=2).stderr
    assert "choose another place" in tuilab("runs", "pack", "last", "n" * 300, code=5).stderr
    assert "no run named 'other'" in tuilab("runs", "pack", "other", "a.zip", code=2).stderr
    for missing in ("missing.zip", "n" * 300):
        assert "there is no such file" in tuilab("runs", "unpack", missing, code=2).stderr
    tuilab.write("a.zip", "\x1b[2J")
    assert "is no intact archive of a run" in tuilab("runs", "unpack", "a.zip", code=2).stderr
    with zipfile.ZipFile(tuilab.folder / "b.zip", "w") as archive:
        archive.writestr("run/\x1b[2J", "")
    assert "run/�[2J does not belong to a run" in tuilab("runs", "unpack", "b.zip", code=2).stderr
    assert len(tuilab.run_names()) == 1


BAR_AT_ONCE = """
from tuilab.cli import archive, main
archive.SECONDS_WITHOUT_BAR = 0
main.main()
"""
BAR_AFTER_A_MINUTE = BAR_AT_ONCE.replace("= 0", "= 60")


@pytest.mark.parametrize(("program", "term", "expected"), [
    (("-c", BAR_AFTER_A_MINUTE), "xterm-256color", False),
    (("-c", BAR_AT_ONCE), "xterm-256color", True),
    (("-c", BAR_AT_ONCE), "dumb", False),
])  # fmt: skip
def test_a_bar_where_it_takes_long(tuilab: Tuilab, program: tuple[str, str], term: str, expected: bool) -> None:
    tuilab("train", "xor-mlp", "--epochs", "1")
    leader, follower = pty.openpty()
    command = [sys.executable, *program, "runs", "pack", "last", "a.zip"]
    environment = tuilab.environment(TERM=term, LINES="24")
    process = subprocess.Popen(
        command, stdin=follower, stdout=subprocess.PIPE, stderr=follower, text=True, cwd=tuilab.folder, env=environment
    )
    os.close(follower)
    stdout, _ = process.communicate(timeout=60)
    written = b""
    try:
        while part := os.read(leader, 65536):
            written += part
    except OSError:  # the other end was closed
        pass
    os.close(leader)
    assert process.returncode == 0
    assert " is in a.zip" in stdout
    assert "\x1b" not in stdout
    assert ("checkpoints/step-000001/" in written.decode() and "━" in written.decode()) == expected
    assert expected or not written


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), strict=True))


def test_runs_as_a_table(tuilab: Tuilab) -> None:
    result = tuilab("train", "iris-8-8-3", "--epochs", "2", "--json").json
    tuilab("train", "xor-mlp", "--epochs", "1", "--set", 'name="=1+1"')
    rows = {row["run"]: row for row in read(tuilab("runs", "export").stdout)}
    assert len(rows) == 2
    row = rows[result["run"]]
    assert (row["state"], row["epochs"], row["layers[0].units"]) == ("finished", "2", "8")
    assert float(row["test.loss"]) == result["test"]["loss"]
    assert {other["experiment"] for other in rows.values()} == {"iris-8-8-3", "'=1+1"}
    listed = {row["run"]: row for row in tuilab("runs", "export", "--json").json}
    assert listed.keys() == rows.keys()
    assert listed[result["run"]]["layers[0].units"] == 8
    assert {other["experiment"] for other in listed.values()} == {"iris-8-8-3", "=1+1"}


def test_a_run_as_a_table(tuilab: Tuilab) -> None:
    run = tuilab("train", "iris-8-8-3", "--epochs", "3", "--json").json["run"]
    epochs = read(tuilab("runs", "export", run).stdout)
    assert [(row["epoch"], row["step"]) for row in epochs] == [("1", "14"), ("2", "28"), ("3", "42")]
    assert [float(row["val_loss"]) for row in epochs] == [row.results["val_loss"] for row in tuilab.epochs(run)]
    steps = read(tuilab("runs", "export", run, "--steps").stdout)
    assert [row["step"] for row in steps if row["series"] == "loss"] == [str(step) for step in range(1, 43)]
    assert tuilab("runs", "export", run, "--json").json[0]["epoch"] == 1
    assert tuilab("runs", "export", run, "--steps", "--json").json[0].keys() == steps[0].keys()

    done = tuilab("runs", "export", run, "--csv", "a.csv")
    assert (done.stdout, done.stderr) == ("", "3 rows are in a.csv\n")
    assert read((tuilab.folder / "a.csv").read_text()) == epochs
    assert (tuilab.folder / "a.csv").read_bytes().count(b"\r\n") == 4
    assert read(tuilab("runs", "export", run, "--csv", "-").stdout) == epochs


def test_exports_that_cannot_be(tuilab: Tuilab) -> None:
    assert tuilab("runs", "export", "--json").json == []
    assert tuilab("runs", "export").stdout == ""
    assert "name the run: tuilab runs export RUN --steps" in tuilab("runs", "export", "--steps", code=2).stderr
    assert "--csv and --json: choose one" in tuilab("runs", "export", "--csv", "-", "--json", code=2).stderr
    assert "is not a plain file" in tuilab("runs", "export", "--csv", "/dev/null", code=2).stderr
    assert "choose another file" in tuilab("runs", "export", "--csv", "n" * 300, code=5).stderr
    assert Path("/dev/null").is_char_device()
