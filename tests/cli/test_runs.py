"""`tuilab runs`: real runs, real processes, real terminals, and folders that others have prepared."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Tuilab
from tests.runs.made import make_run, worked_on
from tuilab.runs.deletion import delete_run
from tuilab.runs.lock import hold
from tuilab.runs.notes import add_tags
from tuilab.runs.table import read_rows

EPOCH = {"loss": 0.4, "accuracy": 0.8, "val_loss": 0.5, "val_accuracy": 0.7}
ENDLESS = ("train", "digits-mlp", "--epochs", "100000", "--detach", "--json")


def on_a_terminal(tuilab: Tuilab, *arguments: str, answer: str = "", **environment: str) -> tuple[int, str]:
    """Run the command on a pseudo-terminal, type an answer, and return its exit code and all that is to be seen."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tuilab", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=tuilab.folder,
        env=tuilab.environment(**{"TERM": "dumb", **environment}),
    )
    os.close(follower)
    os.write(leader, answer.encode())
    seen = b""
    with suppress(OSError):  # the other end was closed
        while part := os.read(leader, 65536):
            seen += part
    os.close(leader)
    return process.wait(timeout=60), seen.decode()


def listed(tuilab: Tuilab, *arguments: str) -> list[str]:
    return [row["run"] for row in tuilab("runs", "--json", *arguments).json]


def test_the_list_says_what_train_said(tuilab: Tuilab) -> None:
    trained = tuilab("train", "iris-8-8-3", "--epochs", "3", "--json").json
    (row,) = tuilab("runs", "list", "--json").json
    same = ("run", "device", "parameters", "seconds", "samples_per_second", "reason", "train", "validation", "test")
    assert {name: row[name] for name in same} == {name: trained[name] for name in same}
    assert (row["state"], row["epoch"], row["step"]) == (trained["status"], trained["epochs"], trained["steps"])
    assert row["best"]["epoch"] == trained["best_epoch"]
    assert (row["name"], row["epochs"], row["checkpoints"], row["tags"]) == ("iris-8-8-3", 3, [42], [])
    assert row["path"] == str(tuilab.runs / trained["run"])
    shown = tuilab("runs", "show", "last", "--json").json
    history, messages = shown.pop("history"), shown.pop("messages")
    assert shown == row
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
    assert {name: value for name, value in history[row["best"]["epoch"] - 1].items() if name in row["best"]} == {
        **row["best"]
    }
    assert messages[-1]["text"] == "finished"
    line = tuilab("runs").stdout.splitlines()[1]
    assert line.split()[:3] == [trained["run"], "finished", "3/3"]
    assert f"{row['best']['val_loss']:.4f}" in line
    assert f"{row['best']['val_accuracy']:.4f}" in line


def test_show_tells_a_person_everything(tuilab: Tuilab) -> None:
    trained = tuilab("train", "iris-8-8-3", "--epochs", "3", "--json").json
    tuilab("runs", "tag", "last", "good")
    tuilab("runs", "note", "last", "The first\none.")
    shown = tuilab("runs", "show", "last").stdout
    lines = {line.split("  ")[0]: line for line in shown.splitlines()}
    assert lines["state"].endswith(" finished")
    assert "epoch 3 of 3, step 42" in lines["progress"]
    assert "step 42" in lines["checkpoints"]
    assert lines["tags"].endswith(" good")
    assert lines["note"].endswith(" The first one.")
    assert trained["run"] in lines["path"]
    for part in ("train", "validation", "test"):
        assert f"{trained[part]['accuracy']:.4f}" in lines["accuracy"]


def test_a_run_that_trains_is_not_deleted(tuilab: Tuilab) -> None:
    started = tuilab(*ENDLESS).json
    try:
        tuilab.wait_for(started["run"], lambda seen: seen.status.step > 0)
        (row,) = tuilab("runs", "--json").json
        assert (row["state"], row["pid"], row["train"]) == ("running", started["pid"], None)
        assert row["results"]["loss"] > 0
        refused = tuilab("runs", "delete", "last", "--yes", "--force", code=2).stderr
        assert f"end it first with: tuilab stop {started['run']}" in refused
        assert tuilab.run_names() == [started["run"]]
    finally:
        os.kill(started["pid"], signal.SIGKILL)
    tuilab.wait_for(started["run"], lambda seen: not seen.alive)
    assert "failed: its worker was killed" in tuilab("runs", "show", "last").stdout
    tuilab("runs", "delete", "last", "--yes")
    assert tuilab.run_names() == []


def test_a_run_on_another_machine_is_deleted_only_by_force(tuilab: Tuilab) -> None:
    tuilab.runs.mkdir()
    worked_on(make_run(tuilab.runs, "far", state="running"), "gpu-server-9")
    assert "unknown on gpu-server-9" in tuilab("runs").stdout
    refused = tuilab("runs", "delete", "far", "--yes", code=2).stderr
    assert "on gpu-server-9, last heartbeat" in refused
    assert "delete it all the same with --force" in refused
    assert tuilab("runs", "delete", "far", "--yes", "--force", "--json").json == {"deleted": ["far"]}
    assert tuilab.run_names() == []


def test_a_worker_cannot_slip_in(tuilab: Tuilab) -> None:
    """The run says that it is finished, and a process has just begun to train it again."""
    tuilab.runs.mkdir()
    run = make_run(tuilab.runs, "one")
    with hold(run.path):
        assert "is being trained already" in tuilab("runs", "delete", "one", "--yes", code=2).stderr
    assert listed(tuilab) == ["one"]


def test_deletion_asks_on_a_terminal_and_nowhere_else(tuilab: Tuilab) -> None:
    tuilab.runs.mkdir()
    for name in ("one", "two", "three"):
        make_run(tuilab.runs, name)
    assert "write --yes" in tuilab("runs", "delete", "one", code=2).stderr
    code, seen = on_a_terminal(tuilab, "runs", "delete", "one", "two", answer="n\n")
    assert code == 1
    assert "Delete one, two (" in seen
    assert tuilab.run_names() == ["one", "three", "two"]
    code, seen = on_a_terminal(tuilab, "runs", "delete", "one", "two", "one", answer="y\n")
    assert code == 0
    assert "deleted two" in seen
    assert tuilab.run_names() == ["three"]
    tuilab("runs", "delete", "three", "nothing", "--yes", code=2)
    assert tuilab.run_names() == ["three"], "all or none"


def test_only_runs_are_deleted(tuilab: Tuilab) -> None:
    tuilab.runs.mkdir()
    make_run(tuilab.runs, "one")
    project = tuilab.folder / "project"
    project.mkdir()
    shutil.copy(tuilab.runs / "one" / "experiment.toml", project)
    assert "is not a run" in tuilab("runs", "delete", "./project", "--yes", code=2).stderr
    assert "name of a run is empty" in tuilab("runs", "delete", "", "--yes", code=2).stderr
    assert os.listdir(project) == ["experiment.toml"]
    assert listed(tuilab) == ["one"]


@pytest.mark.parametrize("by_path", [False, True])
def test_of_a_link_only_the_link_is_deleted(tuilab: Tuilab, by_path: bool) -> None:
    elsewhere = tuilab.folder / "elsewhere"
    elsewhere.mkdir()
    tuilab.runs.mkdir()
    run = make_run(elsewhere, "real")
    before = sorted(os.listdir(run.path))
    (tuilab.runs / "link").symlink_to(run.path)
    (run.path / "outside").symlink_to(tuilab.folder)
    tuilab("runs", "delete", "runs/link" if by_path else "link", "--yes")
    assert tuilab.run_names() == []
    assert sorted(os.listdir(run.path)) == sorted([*before, "outside"])
    tuilab("runs", "delete", run.path, "--yes")
    assert os.listdir(elsewhere) == []
    assert tuilab.folder.exists(), "a link inside is not followed"


@pytest.mark.parametrize("lock", ["link", "pipe", "folder"])
def test_something_odd_in_place_of_the_lock_does_not_keep_a_run(tuilab: Tuilab, lock: str) -> None:
    tuilab.runs.mkdir()
    run = make_run(tuilab.runs, "one")
    (run.path / "lock").unlink()
    precious = tuilab.write("precious", "mine")
    if lock == "link":
        (run.path / "lock").symlink_to(precious)
    elif lock == "pipe":
        os.mkfifo(run.path / "lock")
    else:
        (run.path / "lock").mkdir()
    tuilab("runs", "delete", "one", "--yes")
    assert tuilab.run_names() == []
    assert precious.read_text() == "mine"


def test_a_run_is_there_whole_or_gone(tuilab: Tuilab) -> None:
    """Whoever lists the runs while many are deleted sees none that is damaged."""
    tuilab.runs.mkdir()
    first = make_run(tuilab.runs, "run-00")
    for index in range(40):
        (first.path / f"file-{index}").touch()
    for index in range(1, 30):
        shutil.copytree(first.path, tuilab.runs / f"run-{index:02d}")
    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.extend(f"{row.run.name} {row.trouble}" for row in read_rows(tuilab.runs) if row.state != "finished")

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        for row in read_rows(tuilab.runs):
            delete_run(row.run)
    finally:
        done.set()
        watching.join()
    assert seen == []
    assert tuilab.run_names() == []


def test_leftovers_of_a_deletion_are_no_runs(tuilab: Tuilab) -> None:
    tuilab.runs.mkdir()
    run = make_run(tuilab.runs, "one")
    run.path.rename(tuilab.runs / ".one.0123abcd.part")
    assert listed(tuilab) == []
    assert "no run named" in tuilab("runs", "show", "last", code=2).stderr


def test_an_empty_folder_says_how_to_begin(tuilab: Tuilab) -> None:
    done = tuilab("runs")
    assert done.stdout == ""
    assert "tuilab train iris-8-8-3" in done.stderr
    assert tuilab("runs", "list", "--json", "--runs", tuilab.folder / "nowhere").json == []


@pytest.fixture
def three(tuilab: Tuilab) -> Tuilab:
    tuilab.runs.mkdir()
    make_run(tuilab.runs, "old", "training.optimizer.learning_rate=0.001", results=[EPOCH], age=9000)
    make_run(tuilab.runs, "middle", results=[{**EPOCH, "val_loss": 0.1}], age=100)
    make_run(tuilab.runs, "new", "layers[0].units=64")
    return tuilab


def test_filter_and_sort(three: Tuilab) -> None:
    assert listed(three) == ["new", "middle", "old"]
    assert listed(three, "--reverse") == ["old", "middle", "new"]
    assert listed(three, "--sort", "val_loss") == ["middle", "old", "new"]
    assert listed(three, "--sort", "val_loss", "--reverse") == ["old", "middle", "new"]
    assert listed(three, "--filter", "optimizer.learning_rate < 0.01") == ["old"]
    assert listed(three, "--filter", "val_loss<1", "--filter", "learning_rate>=0.01") == ["middle"]
    shown = three("runs", "list", "--filter", "val_loss < 1", "--sort", "learning_rate").stdout.splitlines()
    assert shown[0].split() == ["run", "state", "epoch", "learning_rate", "val_loss", "val_accuracy", "age", "size"]
    assert shown[1].split()[:6] == ["old", "finished", "1/4", "0.001", "0.5000", "0.7000"]
    nothing = three("runs", "--filter", "tag = no-such")
    assert (nothing.stdout, "no run fits; there are 3" in nothing.stderr) == ("", True)
    assert "did you mean 'learning_rate'" in three("runs", "--sort", "learning_rat", code=2).stderr
    assert "fits several settings" in three("runs", "--filter", "units = 3", code=2).stderr
    assert "write KEY OPERATOR VALUE" in three("runs", "--filter", "units", code=2).stderr


def test_options_before_a_command_are_not_forgotten(three: Tuilab) -> None:
    refused = three("runs", "--runs", "elsewhere", "delete", "old", "--yes", code=2)
    assert "write options after the command" in refused.stderr
    assert three.run_names() == ["middle", "new", "old"]


def test_compare(three: Tuilab) -> None:
    compared = three("runs", "compare", "old", "new", "--json").json
    assert compared["runs"] == ["old", "new"]
    assert compared["settings"] == {"layers[0].units": [8, 64], "training.optimizer.learning_rate": [0.001, 0.01]}
    assert compared["results"]["val_loss"] == [0.5, None]
    shown = [line.split() for line in three("runs", "compare", "old", "new").stdout.splitlines()]
    assert ["setting", "old", "new"] in shown
    assert ["layers[0].units", "8", "64"] in shown
    assert ["val_loss", "0.5000", "–"] in shown
    assert "no setting differs" in three("runs", "compare", "old", "old").stdout
    assert "at least two" in three("runs", "compare", "old", code=2).stderr
    (three.runs / "old" / "experiment.toml").write_text("[[[")
    foreign = three("runs", "compare", "old", "new", "--json").json
    assert foreign["settings"]["layers[0].units"] == [None, 64]
    assert "old has no experiment.toml that can be read" in three("runs", "compare", "old", "new").stderr


def test_tags_and_notes(three: Tuilab) -> None:
    assert three("runs", "tag", "old", "good", "paper-2").stdout == "good paper-2\n"
    assert three("runs", "tag", "new", "good", "--json").json == {"run": "new", "tags": ["good"], "note": ""}
    assert listed(three, "--filter", "tag = good") == ["new", "old"]
    assert three("runs", "list").stdout.splitlines()[3].endswith("good paper-2")
    assert three("runs", "tag", "old", "good", "--remove").stdout == "paper-2\n"
    assert "no tag 'good'" in three("runs", "tag", "old", "good", "--remove", code=2).stderr
    assert "1 to 40 letters" in three("runs", "tag", "old", "a b", code=2).stderr
    assert three("runs", "note", "old", "Too slow.").stdout == "Too slow.\n"
    assert three("runs", "note", "old").stdout == "Too slow.\n"
    assert three("runs", "show", "old", "--json").json["note"] == "Too slow."
    assert three("runs", "note", "old", "").stdout == three("runs", "note", "old").stdout == ""
    (three.runs / "old" / "notes.json").write_text('{"tags": 5}')
    assert listed(three) == ["new", "middle", "old"]
    assert "notes.json: " in three("runs", "show", "old").stderr
    assert "remove this file" in three("runs", "tag", "old", "x", code=2).stderr


def test_a_run_that_cannot_be_read_is_one_line(three: Tuilab) -> None:
    (three.runs / "middle" / "metrics.db").write_bytes(b"nonsense" * 1000)
    lines = three("runs").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["new", "finished"], ["old", "finished"], ["middle", "damaged"]]
    assert "metrics.db: is damaged" in lines[3]
    rows = three("runs", "--json").json
    assert [row["state"] for row in rows] == ["finished", "finished", "damaged"]
    assert list(rows[2]) == ["run", "state", "reason", "path"]
    assert "is damaged" in three("runs", "show", "middle", code=2).stderr
    three("runs", "delete", "middle", "--yes")
    assert listed(three) == ["new", "old"]


HOSTILE = "e\x1b[31m\n\x9b2J\u202e\x7f"


def test_hostile_folders_are_named_and_harm_nobody(three: Tuilab) -> None:
    shutil.copytree(three.runs / "old", three.runs / HOSTILE)
    status = {"experiment": HOSTILE, "device": HOSTILE, "reason": HOSTILE, "host": HOSTILE, "pid": 5}
    with closing(sqlite3.connect(three.runs / HOSTILE / "metrics.db")) as connection:
        (text,) = connection.execute("SELECT value FROM status").fetchone()
        odd = json.dumps({**json.loads(text), **status, "best": {"epoch": 5, "results": {HOSTILE: 1e300}}})
        connection.execute("UPDATE status SET value = ?", (odd,))
        connection.execute("INSERT INTO messages VALUES (99, 1e300, 5, 'state', ?)", (HOSTILE,))
        connection.commit()
    (three.runs / HOSTILE / "experiment.toml").write_text("# " + "x" * 10_000_000)
    (three.runs / HOSTILE / "notes.json").write_text(json.dumps({"note": HOSTILE, "tags": []}))
    name = "e\x1b"
    for arguments in (
        ["runs"],
        ["runs", "--json"],
        ["runs", "--sort", "learning_rate", "--filter", f"run ~ {name}"],
        ["runs", "show", name],
        ["runs", "show", name, "--json"],
        ["runs", "compare", name, "old"],
        ["runs", "compare", name, "old", "--json"],
        ["runs", "tag", name, "x", "--json"],
        ["runs", "note", name],
        ["runs", "delete", name, "--yes", "--json"],
    ):
        done = three(*arguments)
        said = (done.stdout + done.stderr).replace("\n", "")
        assert said.isprintable(), arguments
        assert "e�[31m" in said, arguments
    assert listed(three) == ["new", "middle", "old"]


def test_no_line_is_longer_than_the_terminal(three: Tuilab) -> None:
    long = "1120-" + "a-rather-long-name-of-an-experiment" * 2
    for index, ending in enumerate(("k3f", "b81", "c02", "d55", "e19")):
        run = make_run(
            three.runs,
            f"{long}-{ending}",
            f"layers[0].units={index + 3}",
            "training.metrics=['accuracy', 'mae']",
            results=[{**EPOCH, "val_mean_absolute_error": 12345.6}],
            age=10.0**index,
        )
        add_tags(run, [f"a-tag-of-forty-characters-or-so-{index}", "another"])
    worked_on(make_run(three.runs, "far", state="running"), "a-machine-with-a-long-name.example.org")
    (three.runs / f"{long}-k3f" / "metrics.db").unlink()
    commands = {
        "list": ["runs", "--sort", "learning_rate", "--filter", "layers[0].units > 2"],
        "plain": ["runs"],
        "compare": [
            "runs",
            "compare",
            "old",
            "new",
            "middle",
            *(f"{long}-{end}" for end in ("b81", "c02", "d55", "e19")),
        ],
        "show": ["runs", "show", f"{long}-b81"],
    }
    for columns in (60, 80, 132):
        for name, arguments in commands.items():
            code, seen = on_a_terminal(three, *arguments, COLUMNS=str(columns))
            assert code == 0
            lines = seen.replace("\r", "").splitlines()
            assert max(map(len, lines)) <= columns, (name, columns)
            if name == "plain":
                assert len(lines) == 10
                assert any("unknown" in line for line in lines)
                assert any("metrics.db: is missing" in line for line in lines)
                assert all(
                    line.split()[0].endswith(("k3f", "b81", "c02", "d55", "e19")) for line in lines if "…" in line[:20]
                )
            if name == "compare":
                headers = " ".join(line for line in lines if line.startswith("setting"))
                assert all(end in headers for end in ("old", "new", "middle", "b81", "c02", "d55", "e19")), (
                    "none is left out"
                )


def test_the_list_reads_little(three: Tuilab) -> None:
    """Each database is opened once, and nothing is loaded that a list does not need."""
    program = (
        "import sys, atexit, json\n"
        "opened = []\n"
        "sys.addaudithook(lambda name, found: opened.append(str(found[0])) if name == 'sqlite3.connect' else None)\n"
        "atexit.register(lambda: print('\\n' + json.dumps([opened, sorted(sys.modules)])))\n"
        "sys.argv = ['tuilab', 'runs']\n"
        "from tuilab.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=three.environment(), timeout=60
    )
    assert done.returncode == 0, done.stderr
    opened, loaded = json.loads(done.stdout.splitlines()[-1])
    assert sorted(Path(address.partition("?")[0]).parent.name for address in opened if "metrics.db" in address) == [
        "middle",
        "new",
        "old",
    ]
    assert not {"numpy", "safetensors", "textual", "psutil", "rich", "tuilab.engine", "tuilab.blocks"} & set(loaded)


def test_names_of_runs_are_completed(three: Tuilab) -> None:
    for words, cursor in (("tuilab runs show o", "3"), ("tuilab runs delete new o", "4")):
        environment = {"_TUILAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": cursor}
        program = "import sys; sys.argv = ['tuilab']; from tuilab.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env=three.environment(**environment),
            timeout=60,
        )
        assert done.stdout.split() == ["old"]
