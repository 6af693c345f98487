"""The Runs screen over real runs of real workers: every action by its key."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from tests.runs.made import make_run, worked_on
from tests.tui.screens.trained import SECONDS_TO_HAPPEN, on_screen, opened, text_of, train, training, until
from tuilab.runs.commands import Command, send
from tuilab.runs.directory import RunDirectory
from tuilab.runs.notes import add_tags, read_notes
from tuilab.runs.reader import overview
from tuilab.runs.settings import read_settings
from tuilab.tui.app import Lab
from tuilab.tui.forms.pick import PickScreen
from tuilab.tui.run_curves import SIGNS
from tuilab.tui.screens import runs as runs_screen
from tuilab.tui.screens import runs_compare
from tuilab.tui.screens.runs import RunsScreen
from tuilab.tui.screens.runs_compare import CompareScreen
from tuilab.tui.screens.runs_dialogs import AskScreen, ConfirmScreen
from tuilab.tui.widgets.line_chart import LineChart
from tuilab.tui.widgets.table import Table

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="session")
def three_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs that differ in their learning rate and epochs."""
    folder = tmp_path_factory.mktemp("trained")
    for name, rate, epochs in (("first", 0.01, 3), ("second", 0.02, 4), ("third", 0.05, 5)):
        train(folder, name, f"training.optimizer.learning_rate={rate}", f"training.epochs={epochs}")
    return folder


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUILAB_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("TUILAB_STATE", str(tmp_path / "state"))
    for screen in (runs_screen, runs_compare):  # no test waits long
        monkeypatch.setattr(screen, "SECONDS_BETWEEN_LOOKS", 0.1)


@pytest.fixture
def runs(three_trained: Path, tmp_path: Path) -> Path:
    """Copies of the three."""
    return shutil.copytree(three_trained, tmp_path / "runs")


def screen_of(lab: Lab) -> RunsScreen:
    assert isinstance(lab.screen, RunsScreen)
    return lab.screen


def names_of(lab: Lab) -> list[str]:
    return [line.key for line in screen_of(lab).table.listing.lines]


async def at(lab: Lab, pilot: Pilot[str], name: str) -> None:
    """Put the cursor on a run, once it is there."""
    screen = screen_of(lab)
    await until(pilot, lambda: screen.found and name in screen.found.rows)
    screen.table.move_to(name)
    await pilot.pause()


async def write(pilot: Pilot[str], text: str) -> None:
    """Write into a field, once it has the focus."""
    await until(pilot, lambda: isinstance(pilot.app.focused, Input))
    await pilot.press(*("space" if character == " " else character for character in text))


async def test_the_newest_run_is_first_with_its_results(runs: Path) -> None:
    async with opened(runs, "runs", (80, 24)) as (lab, pilot):
        await until(pilot, on_screen(pilot, "third", "5/5", "val_loss", "val_accuracy"))
        assert names_of(lab) == ["third", "second", "first"]
        assert text_of(pilot).count("finished") == 4  # the run under the cursor says it once more
        assert "3 runs" in text_of(pilot)


async def test_without_runs_the_screen_says_what_to_do(tmp_path: Path) -> None:
    async with opened(tmp_path / "none", "runs") as (lab, pilot):
        await until(pilot, on_screen(pilot, "There are no runs yet"))
        await pilot.press(*"cxrfoD", "enter", "space")
        make_run(tmp_path / "none", "made")
        await pilot.press("escape")
        await until(pilot, lambda: names_of(lab) == ["made"])


async def test_a_run_is_followed_while_it_trains(runs: Path) -> None:
    async with opened(runs, "runs") as (_, pilot):
        await until(pilot, on_screen(pilot, "third"))
        with training(runs, "live", "training.epochs=100000") as run:
            await until(pilot, on_screen(pilot, "live", "running", "1 running"))
            before = overview(run).status.epoch
            await until(pilot, lambda: f" {before}/" not in text_of(pilot) and "/100000" in text_of(pilot))
        await until(pilot, on_screen(pilot, "live", "failed"))


async def test_a_filter_of_words_and_conditions_is_applied_while_it_is_written(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await until(pilot, on_screen(pilot, "first"))
        await pilot.press("slash")
        await write(pilot, "ir")
        await until(pilot, lambda: names_of(lab) == ["third", "first"])
        await write(pilot, ",learning_rate<0.02")
        await until(pilot, lambda: names_of(lab) == ["first"])
        await pilot.press("enter")
        await until(pilot, on_screen(pilot, "filter: ir,learning_rate<0.02", "1 of 3"))
        await pilot.press("escape")
        await until(pilot, lambda: len(names_of(lab)) == 3)


async def test_a_wrong_filter_is_told_in_its_place(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await until(pilot, on_screen(pilot, "first"))
        await pilot.press("slash")
        await write(pilot, "<3")
        await until(pilot, on_screen(pilot, "write KEY OPERATOR VALUE"))
        assert len(names_of(lab)) == 3
        await pilot.press("escape", "slash")
        await write(pilot, "learning_rat = 3")
        await until(pilot, on_screen(pilot, "did you mean 'learning_rate'?"))
        await pilot.press("escape", "slash")
        await write(pilot, "nothing like this")
        await until(pilot, on_screen(pilot, "No run fits."))


async def test_runs_are_sorted_by_what_is_picked(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await until(pilot, on_screen(pilot, "first"))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(lab.screen, PickScreen))
        await write(pilot, "optim learning")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(lab.screen, RunsScreen) and names_of(lab) == ["first", "second", "third"])
        await until(pilot, on_screen(pilot, "by training.optimizer.learning_rate", "0.05"))
        await pilot.press("O")
        await until(pilot, lambda: names_of(lab) == ["third", "second", "first"])


async def test_a_column_is_put_in_and_out(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await until(pilot, on_screen(pilot, "first"))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(lab.screen, PickScreen))
        await write(pilot, "batch")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(lab.screen, PickScreen) and "✓" in text_of(pilot))
        await pilot.press("escape")
        await until(pilot, on_screen(pilot, "batch_size"))
        await pilot.press("C")
        await until(pilot, on_screen(pilot, "✓"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(lab.screen, PickScreen) and "✓" not in text_of(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "batch_size" not in text_of(pilot))


async def test_tags_are_written_and_taken_away(runs: Path) -> None:
    add_tags(RunDirectory(runs / "second"), ["old"])
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "second")
        await pilot.press("number_sign")
        await until(pilot, lambda: isinstance(lab.screen, AskScreen) and isinstance(lab.focused, Input))
        assert lab.screen.query_one(Input).value == "old"
        await pilot.press(*["backspace"] * 3)
        await write(pilot, "good fast")
        await pilot.press("enter")
        await until(pilot, on_screen(pilot, "good fast"))
        assert read_notes(RunDirectory(runs / "second")).tags == ("good", "fast")
        await pilot.press("number_sign")
        await until(pilot, lambda: isinstance(lab.screen, AskScreen))
        await write(pilot, " no/slash")
        await pilot.press("enter")
        await until(pilot, on_screen(pilot, "a tag is 1 to 40 letters"))


async def test_a_note_is_written(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "first")
        await pilot.press("N")
        await until(pilot, lambda: isinstance(lab.screen, AskScreen))
        await write(pilot, "too slow")
        await pilot.press("enter")
        await until(pilot, on_screen(pilot, "note  too slow"))
        assert read_notes(RunDirectory(runs / "first")).note == "too slow"


async def test_marked_runs_lie_over_each_other_with_what_differs(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "third")
        await pilot.press("space", "space")
        await until(pilot, on_screen(pilot, f"overlay {SIGNS[0]} {SIGNS[1]}", "learning_rate 0.05 | 0.02"))
        chart = lab.screen.query_one(LineChart).chart
        assert [(line.name, len(line.y)) for line in chart.lines] == [(SIGNS[0], 5), (SIGNS[1], 4)]
        assert chart.title == "val_loss"
        await pilot.press("escape")
        await until(pilot, lambda: "overlay" not in text_of(pilot))


async def test_eight_runs_are_compared_and_no_ninth(tmp_path: Path) -> None:
    for number in range(9):
        rate = f"training.optimizer.learning_rate=0.0{number + 1}"
        make_run(
            tmp_path / "runs", f"run-{number}", rate, results=[{"loss": 1.0, "val_loss": 0.1 * number}], age=number
        )
    async with opened(tmp_path / "runs", "runs") as (lab, pilot):
        await at(lab, pilot, "run-0")
        await pilot.press(*["space"] * 8)
        await until(pilot, on_screen(pilot, f"overlay {' '.join(SIGNS)}"))
        await pilot.press("space")
        await until(pilot, on_screen(pilot, "8 runs can be laid over each other"))
        await pilot.press("c")
        await until(pilot, on_screen(pilot, *SIGNS, "run-7", "optimiz…g_rate", "0.08"))


async def test_compare_shows_settings_that_differ_and_results(runs: Path) -> None:
    async with opened(runs, "runs", (80, 24)) as (lab, pilot):
        await at(lab, pilot, "second")
        await pilot.press("c")
        assert isinstance(lab.screen, RunsScreen)  # there is nothing to compare yet
        await pilot.press("space", "space", "c")
        await until(pilot, on_screen(pilot, "optimizer.learning_rate", "0.02", "0.01", "epochs", "state"))
        assert "batch_size" not in text_of(pilot)
        await pilot.press("end")
        await until(pilot, on_screen(pilot, "test.accuracy"))
        chart = lab.screen.query_one(LineChart)
        await until(pilot, lambda: chart.chart.title == "val_loss")
        await pilot.press("right")
        assert chart.chart.title == "loss"
        assert len(chart.chart.lines[0].x) == 4 * 14  # every step, by the epoch it belongs to
        assert chart.chart.lines[0].x[-1] == 4.0
        await pilot.press("left", "l")
        assert chart.chart.title == "val_loss"
        assert chart.chart.log
        await pilot.press("escape")
        assert isinstance(lab.screen, RunsScreen)


async def test_a_run_that_is_deleted_while_it_is_compared_is_told(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "third")
        await pilot.press("space", "space", "c")
        await until(pilot, on_screen(pilot, "optimizer.learning_rate"))
        shutil.rmtree(runs / "third")
        await until(pilot, on_screen(pilot, "third is gone or cannot be read any more"))
        shutil.rmtree(runs / "second")
        await until(pilot, lambda: isinstance(lab.screen, RunsScreen) and names_of(lab) == ["first"])


async def test_enter_opens_a_run_on_the_train_screen(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "second")
        await pilot.press("enter")
        await until(pilot, lambda: lab.current_mode == "train")
        assert lab.session.run == RunDirectory(runs / "second")


async def test_fork_puts_the_experiment_on_the_build_screen(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "third")
        await pilot.press("f")
        await until(pilot, lambda: lab.current_mode == "build")
        assert lab.session.draft.checked().training.epochs == 5
        lab.session.draft.set("training.epochs", 99)
        await pilot.press("3")
        await at(lab, pilot, "first")
        await pilot.press("f")
        await until(pilot, on_screen(pilot, "has changes that are not saved"))
        assert lab.session.draft.checked().training.epochs == 3


async def test_delete_asks_first(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "second")
        await pilot.press("D")
        await until(pilot, on_screen(pilot, "Delete second", "for good?"))
        await pilot.press("enter")  # keep it
        assert (runs / "second").exists()
        await pilot.press("D")
        await until(pilot, lambda: isinstance(lab.screen, ConfirmScreen))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(lab.screen, RunsScreen) and names_of(lab) == ["third", "first"])
        assert not (runs / "second").exists()


async def test_a_run_that_may_train_elsewhere_is_not_deleted(runs: Path) -> None:
    worked_on(make_run(runs, "far", state="running"), "another-machine")
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "far")
        await pilot.press("D", "y")
        await until(pilot, on_screen(pilot, "may be being trained"))
        assert (runs / "far").exists()


async def test_stop_and_resume(runs: Path) -> None:
    with training(runs, "live", "training.epochs=100000") as run:
        async with opened(runs, "runs") as (lab, pilot):

            async def becomes(state: str) -> None:
                await until(pilot, lambda: (row := screen_of(lab).row) and row.state == state)

            await at(lab, pilot, "live")
            await until(pilot, lambda: overview(run).status.step)
            await becomes("running")
            await pilot.press("x")
            await becomes("stopped")
            step = overview(run).status.step
            await pilot.press("r")
            await becomes("running")
            await until(pilot, lambda: overview(run).status.step > step)
            send(run, Command(action="pause"))
            await becomes("paused")
            await pilot.press("r")
            await becomes("running")


async def test_a_finished_run_goes_on_for_more_epochs(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "first")
        await pilot.press("r")
        await until(pilot, on_screen(pilot, "first has done its 3 epochs"))
        await pilot.press("backspace", "2", "enter")
        await until(pilot, on_screen(pilot, "write a whole number above 3"))
        await pilot.press("backspace", "8", "enter")
        await until(pilot, on_screen(pilot, "8/8"))
        assert read_settings(RunDirectory(runs / "first"))["training.epochs"] == 8


async def test_a_run_that_cannot_go_on_says_why(runs: Path) -> None:
    run = make_run(runs, "broken", state="stopped")
    run.experiment_file.write_text("name = 3")
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "broken")
        await pilot.press("r")
        await until(pilot, on_screen(pilot, "experiment.toml"))
        await pilot.press("f")
        await until(pilot, lambda: lab.current_mode == "build")  # wrong settings can be put right there


async def test_a_run_is_damaged_and_another_is_deleted_while_they_are_shown(runs: Path) -> None:
    async with opened(runs, "runs", (120, 40)) as (lab, pilot):
        await at(lab, pilot, "second")
        await pilot.press("space", "space")
        await until(pilot, on_screen(pilot, "overlay"))
        for part in runs.glob("second/metrics.db*"):
            part.write_bytes(b"\x1b[31mjunk" * 1000)
        shutil.rmtree(runs / "first")
        await until(pilot, on_screen(pilot, "damaged"))
        await until(pilot, lambda: names_of(lab) == ["third", "second"])
        await at(lab, pilot, "second")
        assert "metrics.db" in text_of(pilot)
        await pilot.press("f")
        await until(pilot, lambda: lab.current_mode == "build")


async def test_hostile_names_are_harmless(runs: Path) -> None:
    run = make_run(runs, "\x1b[31m[bold]$(id)\x07日本語の名前", state="failed", experiment="\x1b[5m")
    run.write_text("notes.json", json.dumps({"tags": ["ok"], "note": "[red]no\x1b]0;x\x07"}))
    async with opened(runs, "runs", (80, 24)) as (lab, pilot):
        await until(pilot, lambda: len(names_of(lab)) == 4)
        await at(lab, pilot, run.name)
        await until(pilot, on_screen(pilot, "[bold]", "[red]no"))
        for keys in (["space", "up", "space", "c"], ["escape", "D"], ["escape", "number_sign"], ["escape", "enter"]):
            await pilot.press(*keys)
            await pilot.pause()
            assert not set(map(chr, range(32))) & set(text_of(pilot).replace("\n", ""))


@pytest.mark.parametrize("size", [(20, 5), (30, 8), (50, 12), (80, 24), (120, 40), (200, 60)])
async def test_any_size_can_be_drawn(runs: Path, size: tuple[int, int]) -> None:
    async with opened(runs, "runs", size) as (lab, pilot):
        await until(pilot, lambda: screen_of(lab).found)
        await pilot.press("space", "space")
        await pilot.pause(0.3)
        text_of(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(lab.screen, CompareScreen) and lab.screen.curves)
        text_of(pilot)
        await pilot.resize_terminal(20, 5)
        text_of(pilot)
        await pilot.press("escape", "o")
        await until(pilot, lambda: isinstance(lab.screen, PickScreen))
        await pilot.press("escape", "slash", "escape", "D", "escape")
        await pilot.resize_terminal(80, 24)
        await until(pilot, on_screen(pilot, "third", "second", "first"))


async def test_a_look_that_finds_nothing_new_draws_nothing(runs: Path) -> None:
    async with opened(runs, "runs") as (lab, pilot):
        await at(lab, pilot, "third")
        screen = screen_of(lab)
        await until(pilot, lambda: screen.query_one(LineChart).chart.lines)
        before = screen.found
        await until(pilot, lambda: screen.found is not before)
        await pilot.pause()
        drawn: list[str] = []
        for widget in screen.query("*"):
            widget.refresh = lambda *regions, name=str(widget), **how: drawn.append(name)  # type: ignore[method-assign]
        before = screen.found
        await until(pilot, lambda: screen.found is not before)
        await pilot.pause()
        assert [name for name in drawn if not name.startswith("Table")] == []  # in a table an age may have changed


async def test_a_thousand_runs_leave_the_keys_quick(tmp_path: Path) -> None:
    first = make_run(tmp_path / "runs", "run-0000", results=[{"loss": 1.0, "val_loss": 0.5}])
    for number in range(1, 1000):
        shutil.copytree(first.path, tmp_path / "runs" / f"run-{number:04d}")
    async with opened(tmp_path / "runs", "runs", (80, 24)) as (lab, pilot):
        await until(pilot, lambda: len(names_of(lab)) == 1000)
        table = lab.screen.query_one(Table)
        taken = []
        for row in range(table.row, table.row + 50):
            started = time.perf_counter()
            lab.post_message(Key("down", None))  # the pilot itself would wait until the machine rests
            while table.row == row:
                assert time.perf_counter() < started + SECONDS_TO_HAPPEN
                await asyncio.sleep(0.001)
            taken.append(time.perf_counter() - started)
            assert table.row == row + 1
        assert sorted(taken)[len(taken) // 2] < 0.2
