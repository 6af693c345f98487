"""What may go wrong under an open lab: it says so in its place, and stays up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.runs.made import make_run
from tests.tui.screens.trained import make, on_screen, opened, text_of, train, training, until
from tests.tui.window import DOWN, ENTER, ESCAPE, QUIT, TAB, Window
from tuilab.runs.database import FILE
from tuilab.runs.directory import RunDirectory, run_names
from tuilab.runs.lock import look
from tuilab.runs.reader import overview
from tuilab.tui.screens import runs as runs_screen
from tuilab.tui.screens import runs_compare

LONG = "training.epochs=100000"
HOSTILE = "\x1b[31m\x1b]0;mine\x07\x9b5m\u202e[bold]日本"
LEFT = "[31m"
"""What is left of it as plain text, in whatever it stands."""


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUILAB_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("TUILAB_STATE", str(tmp_path / "state"))
    for screen in (runs_screen, runs_compare):  # no test waits long
        monkeypatch.setattr(screen, "SECONDS_BETWEEN_LOOKS", 0.1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("first", "second"):
        train(folder, name, "training.epochs=3")
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "runs")


def hostile_experiments(folder: Path) -> None:
    """Write an experiment in which everything that has a name has a hostile one, and one with hostile data alone."""
    rows = [f"{number},{number % 7},{HOSTILE if number % 2 else 'b'}" for number in range(60)]
    (folder / "[bold]日本.csv").write_text("\n".join([f"{HOSTILE},\x1b[8mwide,y", *rows]))
    name = json.dumps(HOSTILE)  # which TOML reads, too
    (folder / "hostile.toml").write_text(
        f"""
        name = {name}
        description = {name}
        layers = [{{ type = "dense", units = 4, name = {name} }}, {{ type = "dense", {name} = 1 }}, {{ type = {name} }}]
        data = {{ path = {name}, target = {name}, {name} = 1 }}
        training = {{ loss = {name}, metrics = [{name}], {name} = 1 }}
        """
    )
    (folder / "table.toml").write_text(
        """
        data = { path = "[bold]日本.csv", target = "y" }
        layers = [{ type = "dense", units = 1, activation = "sigmoid" }]
        training = { loss = "binary_crossentropy", epochs = 2 }
        """
    )


def hostile_run(runs: Path) -> RunDirectory:
    """Make a finished run in which everything that has a name has a hostile one."""
    train(runs, "ready", "training.epochs=3", model="digits-mlp")
    run = RunDirectory((runs / "ready").rename(runs / HOSTILE))
    with closing(sqlite3.connect(run.path / FILE)) as connection, connection:
        connection.execute("INSERT INTO messages(time, step, kind, text) VALUES (0, 123, 'state', ?)", (HOSTILE,))
        for name in ("dense_1", "digits-mlp"):
            there, instead = json.dumps(name), json.dumps(HOSTILE)
            connection.execute("UPDATE status SET value = replace(value, ?, ?)", (there, instead))
        connection.execute("UPDATE series SET name = ? WHERE name = 'accuracy'", (HOSTILE,))
    (run.path / "experiment.toml").write_text(f"name = {json.dumps(HOSTILE)}\nlayers = [{{ {HOSTILE} = 1 }}]")
    (run.path / "notes.json").write_text(json.dumps({"tags": ["ok", HOSTILE], "note": HOSTILE}))
    return run


def test_no_escape_code_of_an_experiment_or_its_data_reaches_the_terminal(tmp_path: Path) -> None:
    """The window takes nothing but what a lab has to send; see Picture."""
    hostile_experiments(tmp_path)
    with Window.opened(tmp_path, "hostile.toml") as window:
        window.until_shown("unknown layer", LEFT)
        window.press("t")
        window.until_shown("must be", "printable")
        for _ in range(3):
            window.press(*[DOWN] * 12, "?")
            window.until_shown("go to Build")
            window.press(ESCAPE)
            window.until(lambda: "go to Build" not in window.picture.text)
            window.press(TAB)
        window.press("o")
        window.until_shown("Open an experiment")
        window.press(*"table.toml", ENTER)
        window.until_shown("input [bold]日本.csv")
        window.press("4")
        window.until_shown("60 samples", LEFT)
        window.press("1")
        window.until_shown("input [bold]日本.csv")
        window.press("t")
        window.until_shown("finished", "━ train")


def test_no_escape_code_of_a_run_reaches_the_terminal(tmp_path: Path) -> None:
    run = hostile_run(tmp_path / "runs")
    noted = make_run(tmp_path / "runs", "noted", experiment=HOSTILE, reason=HOSTILE, state="failed")
    (noted.path / "notes.json").write_text(json.dumps({"tags": ["ok"], "note": HOSTILE}))
    with Window.opened(tmp_path) as window:
        window.until_shown("dense")
        window.press("3")
        window.until_shown("2 runs", "noted", LEFT)
        for key, title in (("#", "Tags of"), ("N", "Note on"), ("D", "for good")):
            for at in ("g", "G"):
                window.press(at, key)
                window.until_shown(title)
                window.press(ESCAPE)
                window.until(lambda title=title: title not in window.picture.text)  # else alt and the next key
        window.press("G")
        window.until_shown("epoch 3/3")
        window.press("f")
        window.until_shown("has no", "experiment.toml", LEFT)
        window.press("g", " ", "G", " ", "c")
        window.until_shown("over the epochs", LEFT)
        window.press(ESCAPE, "/")
        window.until_shown("a name, or: learning_rate")
        window.press(*"[31m", ENTER)
        window.until_shown("1 of 2")
        window.press(ENTER)
        window.until_shown("epoch 3/3", "finished", LEFT)
        for keys in (("m", "m"), ("e",), (ESCAPE,), (TAB, TAB, ENTER), (DOWN,), (ESCAPE,), (" ",), (QUIT,)):
            window.press(*keys)
        window.until_ended()
    assert (run.path / FILE).is_file()


def garbage(run: Path) -> None:
    """As a disk that fails leaves it."""
    (run / FILE).write_bytes(b"\x1b[2J no database" * 500)
    for ending in ("-wal", "-shm"):
        (run / f"{FILE}{ending}").unlink(missing_ok=True)


def truncated(run: Path) -> None:
    (run / "experiment.toml").write_text("name = 'half\n[trai")


def without_lock(run: Path) -> None:
    (run / "lock").unlink(missing_ok=True)


def deleted(run: Path) -> None:
    """At once, whatever its worker and the lab do there."""
    shutil.rmtree(run.rename(run.parent.with_name("gone")))


DAMAGES = {"deleted": deleted, "garbage": garbage, "truncated": truncated, "without a lock": without_lock}


@pytest.mark.asyncio
@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_run_is_damaged_under_the_train_screen(runs: Path, damage: str, live: bool) -> None:
    with training(runs, "live", LONG) as run:
        name = "live" if live else "first"
        async with opened(runs, "train") as (lab, pilot):
            lab.watch_run(RunDirectory(runs / name))
            await until(pilot, on_screen(pilot, name, "running" if live else "finished", "━ train"))
            DAMAGES[damage](runs / name)
            if damage == "deleted":
                await until(pilot, on_screen(pilot, f"run {name} is gone", "unreadable"))
            elif damage == "garbage":
                await until(pilot, on_screen(pilot, FILE, "unreadable"))
            await pilot.press("l", "s", "z", "tab", "tab", "enter", "escape", "space", "c", "plus", "escape")
            await pilot.press("3", "f", "1", "escape", "3", "2")
            await until(pilot, on_screen(pilot, name, "━ train"))
        run.path.mkdir(exist_ok=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_run_is_damaged_under_the_list_of_runs(runs: Path, damage: str) -> None:
    async with opened(runs, "runs") as (_, pilot):
        await until(pilot, on_screen(pilot, "first", "second"))
        await pilot.press("G")  # the first is the older one
        await until(pilot, on_screen(pilot, "parameters"))
        DAMAGES[damage](runs / "first")
        if damage == "deleted":
            await until(pilot, lambda: "first" not in text_of(pilot))
        elif damage == "garbage":
            await until(pilot, on_screen(pilot, "damaged", FILE))
        await pilot.press("space", "f", "3", "enter", "3", "r", "escape", "number_sign", "escape", "N", "escape", "o")
        await pilot.press("escape", "D", "escape")
        await until(pilot, on_screen(pilot, "second", "finished"))


@pytest.mark.asyncio
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_run_is_damaged_while_it_is_compared(runs: Path, damage: str) -> None:
    train(runs, "third", "training.epochs=4")
    async with opened(runs, "runs") as (_, pilot):
        await until(pilot, on_screen(pilot, "first", "second", "third"))
        await pilot.press("g", "space", "space", "space", "c")
        await until(pilot, on_screen(pilot, "3 runs", "over the epochs", "state"))
        DAMAGES[damage](runs / "second")
        if damage in ("deleted", "garbage"):
            await until(pilot, on_screen(pilot, "second is gone or cannot be read any more"))
        await pilot.press("right", "m", "l", "down", "left")
        await until(pilot, on_screen(pilot, "over the epochs", "first", "third"))


@pytest.mark.asyncio
async def test_a_worker_is_killed_while_its_run_is_in_the_list_and_compared(runs: Path) -> None:
    with training(runs, "live", LONG) as run:
        async with opened(runs, "runs") as (_, pilot):
            await until(pilot, on_screen(pilot, "live", "1 running"))
            await pilot.press("g", "space", "space", "c")
            await until(pilot, on_screen(pilot, "over the epochs", "running"))
            owner = look(run.path)[1]
            assert owner is not None
            psutil.Process(owner.pid).kill()
            await until(pilot, on_screen(pilot, "over the epochs", "failed"))
            await pilot.press("escape", "escape", "g")  # back to the list, without marks, to the run
            await until(pilot, on_screen(pilot, "failed: its worker was"))


def a_file(path: Path) -> None:
    path.write_text("no folder")


def a_circle(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.asyncio
@pytest.mark.parametrize("make_odd", [a_file, a_circle])
async def test_something_odd_in_place_of_the_folder_of_runs(tmp_path: Path, make_odd: Callable[[Path], None]) -> None:
    folder = tmp_path / "runs"
    make_odd(folder)
    async with opened(folder, "runs") as (lab, pilot):
        await until(pilot, on_screen(pilot, "There are no runs yet"))
        await pilot.press("2", "1", "t")
        await until(pilot, lambda: any(str(folder) in toast.message for toast in lab._notifications))
        assert lab.current_mode == "build"
        folder.unlink()
        await pilot.press("t")
        await until(pilot, on_screen(pilot, "finished", "━ train"))


@pytest.mark.asyncio
async def test_the_folder_of_runs_goes_away_and_comes_back(runs: Path) -> None:
    async with opened(runs, "runs") as (_, pilot):
        await until(pilot, on_screen(pilot, "first", "second"))
        away = runs.rename(runs.with_name("away"))
        await until(pilot, on_screen(pilot, "There are no runs yet"))
        await pilot.press("enter", "space", "c", "f", "r", "D", "x")
        away.rename(runs)
        await until(pilot, on_screen(pilot, "first", "second"))


@pytest.fixture
def long(tmp_path: Path) -> Iterator[Window]:
    """A lab that trains, and whose experiment has a change that is not saved."""
    text = (make(tmp_path / "made", "long", LONG, model="digits-mlp").path / "experiment.toml").read_text()
    (tmp_path / "long.toml").write_text(text)
    with Window.opened(tmp_path, "long.toml") as window:
        window.until_shown("dense")
        window.press("D", "t")
        window.until_shown("2 Train", "━ train", "pause")
        yield window


def only_run(folder: Path) -> RunDirectory:
    (name,) = run_names(folder / "runs")
    return RunDirectory(folder / "runs" / name)


def wait(happened: Callable[[], object]) -> None:
    limit = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


def assert_goes_on(run: RunDirectory) -> None:
    before = overview(run).status.step
    wait(lambda: overview(run).status.step > before)
    assert overview(run).state == "running"


def test_a_terminal_that_hangs_up_ends_the_lab_and_not_the_training(long: Window, tmp_path: Path) -> None:
    lab = psutil.Process(long.pid)
    helpers = {process.pid for process in lab.children(recursive=True)} - {overview(only_run(tmp_path)).status.pid}
    long.hang_up()
    long.until_ended()
    wait(lambda: not any(psutil.pid_exists(pid) for pid in helpers))
    assert_goes_on(only_run(tmp_path))
    with Window.opened(tmp_path, "long.toml") as window:
        window.until_shown("not saved", "Ask again next time")


def test_a_signal_ends_the_lab_and_not_the_training(long: Window, tmp_path: Path) -> None:
    os.kill(long.pid, signal.SIGTERM)
    long.until_ended()
    assert_goes_on(only_run(tmp_path))


def test_a_lab_is_suspended_and_comes_back(tmp_path: Path) -> None:
    lab = f"{sys.executable} -m tuilab"
    with Window.opened(tmp_path, program=("sh", "-i"), PS1="ready> ", ENV="") as window:
        window.until_shown("ready>")
        window.press(f"{lab}\r")
        window.until_shown("dense", "Layers")
        window.press("\x1a")  # ctrl+z
        window.until(lambda: window.written.count(b"ready>") == 2)
        window.press("fg\r")
        window.until(lambda: window.written.rfind(b"Layers") > window.written.rfind(b"fg"))
        window.press(QUIT)
        window.until(lambda: window.written.count(b"ready>") == 3)
        window.press("echo code $?\r")
        window.until(lambda: b"code 0" in window.written)


def test_full_disk(tmp_path: Path) -> None:
    """Runs full_disk.py where it may mount file systems, which are gone with it: in a name space of its own."""
    own_mounts = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    inside = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "--basetemp", str(tmp_path / "inside")]
    tests = str(Path(__file__).with_name("full_disk.py"))
    done = subprocess.run([*own_mounts, *inside, tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
