"""The Train screen over real workers: watch, pause, step, change, stop, go on, and whatever may happen to a run."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import numpy as np
import psutil
import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.screens.trained import make, on_screen, opened, text_of, train, training, until
from tuilab.runs import reader
from tuilab.runs.database import FILE
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import look
from tuilab.runs.reader import Message, following, overview
from tuilab.runs.settings import read_settings
from tuilab.tui import themes
from tuilab.tui.app import Lab
from tuilab.tui.run_view import Snapshot
from tuilab.tui.run_words import happenings
from tuilab.tui.screens import train as train_screen
from tuilab.tui.screens.train import TrainScreen, window
from tuilab.tui.screens.train_charts import ChartPanel, CursorChart
from tuilab.tui.screens.train_layer import LayerScreen
from tuilab.tui.screens.train_panels import EventLines, LayerTable

pytestmark = pytest.mark.asyncio

LONG = "training.epochs=100000"
LEARNED = 1000
"""Steps after which no epoch is the best so far, so that no line of one pushes an event out of sight."""


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUILAB_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("TUILAB_STATE", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of digits-mlp."""
    folder = tmp_path_factory.mktemp("digits")
    train(folder, "digits", "training.epochs=3", model="digits-mlp")
    return folder


@pytest.fixture
def runs(digits: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(digits, tmp_path / "runs")


@asynccontextmanager
async def watching(
    runs: Path, name: str, size: tuple[int, int] = (120, 40), data: Path | None = None
) -> AsyncIterator[tuple[Lab, Pilot[str]]]:
    """Open a lab that watches a run."""
    async with opened(runs, "train", size, data=data) as (lab, pilot):
        lab.watch_run(RunDirectory(runs / name))
        await until(pilot, lambda: screen_of(lab).shown is not None)
        yield lab, pilot


@asynccontextmanager
async def watching_live(
    runs: Path, size: tuple[int, int] = (120, 40), *overrides: str
) -> AsyncIterator[tuple[Lab, Pilot[str]]]:
    """Open a lab that watches a run while it is trained."""
    with training(runs, "live", LONG, *overrides, model="digits-mlp"):
        async with watching(runs, "live", size) as (lab, pilot):
            await until(pilot, lambda: state_of(lab) == "running" and step_of(lab) > 0)
            yield lab, pilot


def screen_of(lab: Lab) -> TrainScreen:
    screen = lab.get_screen_stack("train")[0]
    assert isinstance(screen, TrainScreen)
    return screen


def shown(lab: Lab) -> Snapshot:
    snapshot = screen_of(lab).shown
    assert snapshot is not None
    return snapshot


def state_of(lab: Lab) -> str:
    """What the bar at the top says of the run."""
    return screen_of(lab)._state


def step_of(lab: Lab) -> int:
    seen = shown(lab).seen
    return seen.status.step if seen else 0


def rate_of(lab: Lab) -> float:
    seen = shown(lab).seen
    assert seen is not None
    assert seen.status.learning_rate is not None
    return seen.status.learning_rate


def chart_of(lab: Lab, panel: str) -> CursorChart:
    return screen_of(lab).query_one(f"#{panel} CursorChart", CursorChart)


def told(lab: Lab) -> list[str]:
    """What stands on the toasts."""
    return [toast.message for toast in lab._notifications]


async def test_pictures_wait_while_somebody_types_but_not_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        lab.pressed = time.monotonic() + 1000  # by somebody who never stops
        for _ in range(2):
            before = step_of(lab)
            await until(pilot, lambda before=before: step_of(lab) > before)
        monkeypatch.setattr(train_screen, "LONGEST_REST", 1000.0)
        before = step_of(lab)
        await asyncio.sleep(2.0)
        assert step_of(lab) == before
        lab.pressed = 0.0
        await until(pilot, lambda: step_of(lab) > before)


async def test_without_a_run_it_says_what_to_do(tmp_path: Path) -> None:
    async with opened(tmp_path, "train") as (_, pilot):
        await until(pilot, on_screen(pilot, "Nothing to watch yet", "t there trains it"))
        await pilot.press("tab", "enter", "space", "l", "s", "z", "m", "e", "escape", "L", "plus", "K", "c", "left")
        await until(pilot, on_screen(pilot, "Nothing to watch yet"))


async def test_a_finished_run_is_all_there(runs: Path) -> None:
    async with watching(runs, "digits") as (lab, pilot):
        await until(pilot, on_screen(pilot, "digits  finished", "finished · test loss", "epoch 3/3", "✓ ok"))
        await until(pilot, lambda: text_of(pilot).count("✓ ok") == 3)
        text = text_of(pilot)
        for words in ("loss", "accuracy", "train", "validation", "gradient norm by layer", "layer × time", "events"):
            assert words in text
        for layer in ("dense_1", "dense_2", "dense_3"):
            assert text.count(layer) == 2  # in the table and in the heat map
        assert "epoch 3" in text
        assert "checkpoint after step 123" in text
        with following(RunDirectory(runs / "digits")) as reader:
            loss = reader.epochs()[-1].results["val_loss"]
        lines = {line.name: line for line in chart_of(lab, "watch-loss").chart.lines}
        assert lines["validation"].y[-1] == loss
        assert len(lines["train"].y) == 123


async def test_t_trains_the_experiment_and_the_screen_follows_it_to_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path, "build", (120, 40)) as (lab, pilot):
        await pilot.press("t")
        await until(pilot, lambda: isinstance(lab.screen, TrainScreen))
        await until(pilot, on_screen(pilot, "finished · test loss"))
        assert (tmp_path / shown(lab).run.name).is_dir()


async def test_space_pauses_point_steps_and_space_goes_on(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        await pilot.press("space")
        await until(pilot, lambda: state_of(lab) == "paused")
        paused_at = step_of(lab)
        await pilot.press("full_stop")
        await until(pilot, lambda: step_of(lab) == paused_at + 1 and state_of(lab) == "paused")
        await until(pilot, on_screen(pilot, f"does step {paused_at + 1:,} and pauses"))
        await pilot.press("space")
        await until(pilot, lambda: state_of(lab) == "running" and step_of(lab) > paused_at + 10)


async def test_brackets_halve_and_double_the_learning_rate(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        await pilot.press("space")  # else what it learns meanwhile pushes the event out of sight
        await until(pilot, lambda: state_of(lab) == "paused")
        await pilot.press("left_square_bracket", "left_square_bracket")
        await until(pilot, lambda: rate_of(lab) == pytest.approx(0.0005))
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: rate_of(lab) == pytest.approx(0.001))
        await until(pilot, on_screen(pilot, "learning rate 0.0005 → 0.001"))


async def test_a_typed_learning_rate_and_number_of_epochs_reach_the_worker(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        await pilot.press("L")
        await until(pilot, on_screen(pilot, "Learning rate"))
        assert lab.screen.query_one(Input).value == "0.002"
        await pilot.press(*["backspace"] * 5, *"x", "enter")
        await until(pilot, on_screen(pilot, "must be a number"))
        await pilot.press("backspace", *"0.03", "enter")
        await until(pilot, lambda: rate_of(lab) == pytest.approx(0.03))
        await pilot.press("plus")
        await until(pilot, on_screen(pilot, "Epochs in all", "100000 are planned"))
        await pilot.press(*["backspace"] * 6, *"50000", "enter")
        await until(pilot, on_screen(pilot, "/50000"))


async def test_a_command_that_is_refused_is_told_in_a_toast(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        await until(pilot, lambda: step_of(lab) > 100)
        await pilot.press("plus")
        await until(pilot, on_screen(pilot, "Epochs in all"))
        await pilot.press(*["backspace"] * 6, "1", "enter")
        await until(pilot, lambda: any("was refused" in text for text in told(lab)))
        assert state_of(lab) == "running"


async def test_c_writes_a_checkpoint_and_x_stops_with_one_more(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        run = shown(lab).run
        await until(pilot, lambda: step_of(lab) > LEARNED)
        await pilot.press("c")
        await until(pilot, lambda: run.checkpoints())
        await until(pilot, on_screen(pilot, "checkpoint after step"))
        await pilot.press("x")
        await until(pilot, on_screen(pilot, "stopped: it was asked to stop · space goes on"))
        assert state_of(lab) == "stopped"
        await until(pilot, lambda: look(run.path)[0] == "dead")


async def test_stop_after_the_epoch_finishes_it(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        await pilot.press("X")
        await until(pilot, lambda: state_of(lab) == "stopped")
        seen = shown(lab).seen
        assert seen is not None
        assert seen.status.step == seen.status.epoch * seen.status.steps_per_epoch


async def test_a_stopped_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        await until(pilot, lambda: step_of(lab) > LEARNED)
        await pilot.press("x")
        await until(pilot, lambda: state_of(lab) == "stopped")
        stopped_at = step_of(lab)
        for _ in range(3):  # as keys pressed at once; one worker is enough
            screen_of(lab).action_go_on()
        await until(pilot, lambda: state_of(lab) == "running" and step_of(lab) > stopped_at)
        await until(pilot, on_screen(pilot, f"goes on after step {stopped_at:,}"))
        steps = shown(lab).curves["loss"].step  # the last of each bin; how many steps a bin holds depends on the pace
        bins = np.diff(steps, prepend=0)
        assert steps[-1] > stopped_at
        assert (bins > 0).all()
        assert len(np.unique(bins[:-1])) == 1
        assert len(lab.session.launched) == 1


async def test_a_finished_run_gets_more_epochs(runs: Path) -> None:
    async with watching(runs, "digits") as (_lab, pilot):
        await until(pilot, on_screen(pilot, "+ more epochs"))
        await pilot.press("plus")
        await until(pilot, on_screen(pilot, "Epochs in all", "3 are planned, 3 are done"))
        await pilot.press("enter")
        await until(pilot, on_screen(pilot, "epoch 4/4", "finished"))


async def test_a_worker_that_cannot_go_on_says_why(runs: Path) -> None:
    shutil.rmtree(runs / "digits" / "checkpoints")
    (runs / "digits" / "experiment.toml").write_text("name = 1")
    async with watching(runs, "digits") as (lab, pilot):
        await until(pilot, on_screen(pilot, "+ more epochs"))
        await pilot.press("plus", "enter")
        await until(pilot, lambda: any("name" in text for text in told(lab)))


async def test_k_kills_after_a_question(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (_lab, pilot):
        await pilot.press("K")
        await until(pilot, on_screen(pilot, "Kill live?", "Let it run"))
        await pilot.press("enter")  # which lets it run
        await pilot.press("K")
        await until(pilot, on_screen(pilot, "Kill live?"))
        await pilot.press("y")
        await until(pilot, on_screen(pilot, "stopped: killed by a command"))


async def test_a_worker_that_was_killed_is_told_and_its_run_goes_on(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        await until(pilot, lambda: step_of(lab) > LEARNED)
        await pilot.press("c")
        await until(pilot, on_screen(pilot, "checkpoint after step"))
        owner = look(shown(lab).run.path)[1]
        assert owner is not None
        psutil.Process(owner.pid).send_signal(signal.SIGKILL)
        await until(pilot, on_screen(pilot, "failed: its worker was killed", "space goes on from the last checkpoint"))
        await pilot.press("space")
        await until(pilot, lambda: state_of(lab) == "running")
        await until(pilot, on_screen(pilot, "goes on after step"))


async def test_a_run_that_is_deleted_under_the_screen_is_told_in_place(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        curves, path = shown(lab).curves, shown(lab).run.path
        shutil.rmtree(path.rename(tmp_path / ".gone"))  # at once, whatever its worker and the lab do there
        await until(pilot, on_screen(pilot, "run live is gone: its folder was deleted, moved or renamed", "unreadable"))
        assert shown(lab).curves.keys() == curves.keys()
        await pilot.press("space", "c", "l", "z", "tab", "enter", "up")
        await until(pilot, on_screen(pilot, "unreadable"))


async def test_a_damaged_run_is_told_in_place(runs: Path) -> None:
    (runs / "digits" / FILE).write_bytes(b"\x1b[2Jno database" * 300)
    async with watching(runs, "digits") as (_, pilot):
        await until(pilot, on_screen(pilot, "metrics.db", "unreadable"))
        assert "\x1b" not in text_of(pilot)


async def test_hostile_texts_reach_the_screen_as_plain_text(runs: Path) -> None:
    name = "[red]\x1b[31mdigits"
    run = RunDirectory((runs / "digits").rename(runs / name))
    with closing(sqlite3.connect(run.path / FILE)) as connection, connection:
        row = ("[bold]\x1b]0;mine\x07\u202e words",)
        connection.execute("INSERT INTO messages(time, step, kind, text) VALUES (0, 123, 'state', ?)", row)
        connection.execute("UPDATE status SET value = replace(value, 'dense_1', '[blink]d\\u001b[5m')")
        connection.execute("UPDATE series SET name = '[/]\x1b[1m' WHERE name = 'accuracy'")
    async with watching(runs, name) as (_, pilot):
        await until(pilot, on_screen(pilot, "[red]�[31mdigits", "[bold]�]0;mine�� words", "[blink]d�[5m", "[/]�[1m"))
        assert not {"\x1b", "\x07", "\u202e"} & set(text_of(pilot))
        await pilot.press("tab", "tab", "enter")
        await until(pilot, on_screen(pilot, "1 of 3", "[blink]d�[5m"))


async def test_r_restarts_with_the_experiment_of_the_build_screen_and_stops_the_old_run(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        old = shown(lab).run
        await pilot.press("R")
        await until(pilot, lambda: lab.session.run != old and shown(lab).run == lab.session.run)
        await until(pilot, lambda: overview(old).state == "stopped")
        assert overview(shown(lab).run).status.experiment == "iris-8-8-3"


async def test_the_run_of_another_terminal_is_followed_too(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        os.kill(overview(shown(lab).run).status.pid, signal.SIGTERM)
        await until(pilot, on_screen(pilot, "stopped: SIGTERM was received"))


async def test_the_cursor_reads_both_charts_at_the_same_place(runs: Path) -> None:
    async with watching(runs, "digits") as (lab, pilot):
        loss, accuracy = chart_of(lab, "watch-loss"), chart_of(lab, "watch-result")
        await until(pilot, lambda: loss.chart.lines)
        await pilot.press("left")
        assert loss.chart.cursor == accuracy.chart.cursor == 1.0
        await pilot.press(*["left"] * 10)
        assert loss.chart.cursor == accuracy.chart.cursor
        step, values = loss.values_at(loss.chart.cursor or 0.0)
        assert 50 < step < 123
        await until(pilot, on_screen(pilot, f"{values['validation']:.4f}"))
        await pilot.press("home")
        assert loss.chart.cursor == 0.0
        await pilot.press("end")
        assert loss.chart.cursor is None


async def test_log_smoothing_zoom_and_other_results(runs: Path) -> None:
    async with watching(runs, "digits") as (lab, pilot):
        loss, other = chart_of(lab, "watch-loss"), chart_of(lab, "watch-result")
        await until(pilot, lambda: loss.chart.lines)
        await pilot.press("l")
        assert (loss.chart.log, other.chart.log) == (True, False)
        await pilot.press("s")
        assert (loss.chart.smoothing, other.chart.smoothing) == (0.6, 0.6)
        await until(pilot, on_screen(pilot, "loss · smoothed 0.6"))
        await pilot.press("s", "s")
        assert loss.chart.smoothing == 0.0
        await pilot.press("z")
        await until(pilot, on_screen(pilot, "loss · last 20 steps"))
        assert loss.chart.last == other.chart.last == 20
        await pilot.press("z")
        assert loss.chart.last is None
        for name in ("learning_rate", "samples_per_second", "cpu_percent", "memory_bytes", "loss", "accuracy"):
            await pilot.press("m")
            await until(pilot, on_screen(pilot, name))
        assert screen_of(lab).query_one("#watch-result", ChartPanel).result == "accuracy"


@pytest.mark.parametrize(
    ("step", "expected"), [(0, [None] * 3), (123, [None, 20, None]), (60_000, [None, 10_000, 2_000])]
)
async def test_zoom_shows_a_round_number_of_steps(step: int, expected: list[int | None]) -> None:
    assert [window(step, zoom) for zoom in range(3)] == expected


async def test_a_layer_is_shown_large_with_its_weights(runs: Path) -> None:
    async with watching(runs, "digits") as (lab, pilot):
        await until(pilot, on_screen(pilot, "dense_2"))
        await pilot.press("tab", "tab", "down", "enter")
        await until(pilot, on_screen(pilot, "2 of 3", "dense_2", "✓ ok", "update / weight"))
        await until(pilot, on_screen(pilot, *(f"{kind} at step 121" for kind in ("weights", "gradients", "outputs"))))
        assert isinstance(lab.screen, LayerScreen)
        chart = next(iter(lab.screen._charts.values()))
        gradients = shown(lab).layers.get("gradient_norm")[1]
        assert np.array_equal(chart.chart.lines[0].y, gradients)
        await pilot.press("down")
        await until(pilot, on_screen(pilot, "3 of 3", "weights at step 121"))
        await pilot.press("escape")
        await until(pilot, on_screen(pilot, "layer × time"))


async def test_a_layer_whose_distributions_were_not_recorded_is_shown_all_the_same(runs: Path) -> None:
    with closing(sqlite3.connect(runs / "digits" / FILE)) as connection, connection:
        connection.execute("DELETE FROM distributions")
    async with watching(runs, "digits") as (_, pilot):
        await until(pilot, on_screen(pilot, "dense_2"))
        await pilot.press("tab", "tab", "enter")
        await until(pilot, on_screen(pilot, "1 of 3", "weights: nothing recorded"))


async def test_tab_brings_one_panel_after_the_other_forward_where_there_is_little_room(runs: Path) -> None:
    async with watching(runs, "digits", (80, 24)) as (lab, pilot):
        await until(pilot, on_screen(pilot, "╭─ loss", "gradient norm by layer"))
        assert "╭─ accuracy" not in text_of(pilot)
        for title in ("╭─ accuracy", "╭─ accuracy", "╭─ layer × time", "╭─ events", "╭─ loss"):
            await pilot.press("tab")
            await until(pilot, on_screen(pilot, title, "gradient norm by layer"))
            assert text_of(pilot).count("╭─") == 2
        await pilot.press("shift+tab")
        await until(pilot, on_screen(pilot, "╭─ events"))
        assert isinstance(lab.focused, EventLines)


async def test_e_shows_the_events_alone_and_escape_all_again(runs: Path) -> None:
    async with watching(runs, "digits", (80, 24)) as (_, pilot):
        await until(pilot, on_screen(pilot, "╭─ loss"))
        await pilot.press("e")
        await until(pilot, lambda: "╭─ loss" not in text_of(pilot) and "╭─ events" in text_of(pilot))
        assert "gradient norm" not in text_of(pilot)
        await pilot.press("escape")
        await until(pilot, on_screen(pilot, "gradient norm by layer"))


SIZES = [(80, 24), (120, 40), (200, 60), (60, 50), (120, 20), (40, 12), (20, 5)]


async def test_every_size_shows_something_and_a_resize_back_is_the_same(runs: Path) -> None:
    async with watching(runs, "digits") as (_, pilot):
        await until(pilot, on_screen(pilot, "finished · test loss"))
        await until(pilot, lambda: text_of(pilot).count("✓ ok") == 3)
        before = text_of(pilot)
        for columns, rows in SIZES:
            await pilot.resize_terminal(columns, rows)
            await until(pilot, lambda rows=rows: len(text_of(pilot).splitlines()) == rows)
            assert "epoch 3/3" in text_of(pilot)
            assert any("⠀" < character <= "⣿" for character in text_of(pilot))  # something of the curves
            await pilot.press("tab", "tab")
            await until(pilot, on_screen(pilot, "dense_1"[: max(columns - 14, 1)]))
            await pilot.press("shift+tab", "shift+tab")
            await pilot.resize_terminal(120, 40)
            await until(pilot, lambda: text_of(pilot) == before)


async def test_another_run_takes_the_place_of_the_first(runs: Path) -> None:
    shutil.copytree(runs / "digits", runs / "again")
    async with watching(runs, "digits") as (lab, pilot):
        await until(pilot, on_screen(pilot, "digits  finished"))
        first = screen_of(lab).follower
        lab.watch_run(RunDirectory(runs / "again"))
        await until(pilot, on_screen(pilot, "again  finished"))
        assert first is not None
        first.join(60)
        assert not first.is_alive()


async def test_a_run_is_looked_at_less_often_while_another_screen_is_in_front(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        follower = screen_of(lab).follower
        assert follower is not None
        assert follower.on_screen
        await pilot.press("4")
        await until(pilot, lambda: not follower.on_screen)
        step = step_of(lab)
        await pilot.press("2")
        await until(pilot, lambda: step_of(lab) > step)


async def test_events_stay_where_they_are_read_and_follow_at_the_end() -> None:
    class Events(App[None]):
        def get_theme_variable_defaults(self) -> dict[str, str]:
            return themes.DEFAULT_VARIABLES

        def compose(self) -> ComposeResult:
            yield EventLines()

    def many(count: int) -> tuple[Message, ...]:
        return tuple(Message(number, 0.0, number, "state", f"message {number}") for number in range(count))

    async with Events().run_test(size=(40, 5)) as pilot:
        lines = pilot.app.query_one(EventLines)
        lines.show(happenings(many(20), ()))
        await until(pilot, on_screen(pilot, "message 15", "message 19"))
        lines.focus()
        await pilot.press("up", "up")
        await until(pilot, on_screen(pilot, "message 13", "message 17"))
        lines.show(happenings(many(25), ()))
        await until(pilot, on_screen(pilot, "message 13", "message 17"))
        await pilot.press("end")
        await until(pilot, on_screen(pilot, "message 24"))
        lines.show(happenings(many(30), ()))
        await until(pilot, on_screen(pilot, "message 29"))
        await pilot.press("home")
        await until(pilot, on_screen(pilot, "message 0", "message 4"))


async def test_settings_of_the_worker_are_those_that_were_asked_for(tmp_path: Path) -> None:
    async with watching_live(tmp_path) as (lab, pilot):
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: rate_of(lab) == pytest.approx(0.001))
        run = shown(lab).run  # its file is written a moment later
        await until(pilot, lambda: read_settings(run).get("training.optimizer.learning_rate") == 0.001)


async def test_a_new_run_whose_worker_is_being_started_offers_no_keys_that_would_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SECONDS_TO_START", 600.0)
    make(tmp_path, "young", model="digits-mlp")
    async with watching(tmp_path, "young") as (lab, pilot):
        await until(pilot, on_screen(pilot, "starting", "its worker is being started"))
        assert "space pause" not in text_of(pilot)
        assert screen_of(lab).query_one(LayerTable).listing.lines == ()
