"""What the screens know of a run: read bit by bit, always the same as if it were read at once."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuilab.engine.events import EpochDone, LayersSeen, StepsDone, TrainingStarted
from tuilab.engine.statistics import LayerState
from tuilab.runs.database import FILE
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.reader import overview
from tuilab.runs.recorder import Recorder
from tuilab.tui import run_view
from tuilab.tui.run_view import MOST_EPOCHS, MOST_MESSAGES, RunView, Snapshot

LAYERS = ("dense_1", "dropout_2", "dense_3")
STEPS = 100
"""Of an epoch."""


class Written:
    """A run whose worker is this test: it holds the run, and writes what it is told to."""

    def __init__(self, run: RunDirectory, pid: int = 0) -> None:
        self.run = run
        status = overview(run).status
        self.recorder = Recorder(run.path, status.model_copy(update={"pid": pid, "state": "running"}))
        self.step = status.step

    def epoch(self, count: int = 1, looks: int = 2, layers: tuple[str, ...] = LAYERS) -> None:
        """Let so many epochs pass."""
        for _ in range(count):
            epoch = self.step // STEPS + 1
            losses = tuple(1 / np.sqrt(np.arange(self.step + 1, self.step + STEPS + 1)))
            results = {"loss": losses[-1], "accuracy": 1 - losses[-1]}
            for _ in range(looks):
                self.step += STEPS // looks
                states = tuple(_state(name, self.step) for name in layers)
                self.recorder.record(LayersSeen(epoch, self.step, states))
            self.step = epoch * STEPS
            self.recorder.record(StepsDone(epoch, self.step, losses, results, 1e-3, self.step * 32, self.step / 1000))
            validation = {f"val_{name}": 2 * value for name, value in results.items()}
            self.recorder.record(EpochDone(epoch, self.step, {**results, **validation}, 1e-3, 0.1, 3200.0, epoch == 1))

    def write(self) -> None:
        self.recorder.write()


def _state(name: str, step: int) -> LayerState:
    if name.startswith("dropout"):
        return LayerState(name, None, None, None, 0.5, 0.1, None, None)
    return LayerState(name, 1 / step, 5.0, 1e-3, 0.1, 0.2, 0.25, None)


@contextmanager
def written(run: RunDirectory, pid: int = 0) -> Iterator[Written]:
    with run.hold():
        one = Written(run, pid)
        with closing(one.recorder):
            one.recorder.record(TrainingStarted("cpu", 139, 10, STEPS, 32 * STEPS))
            yield one


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return create_run(tmp_path, "own", 'name = "own"\n')


@pytest.fixture
def view(run: RunDirectory) -> Iterator[RunView]:
    with closing(RunView(run)) as view:
        yield view


def content(snapshot: Snapshot) -> dict[str, Any]:
    """Return everything in a snapshot, in lists that can be compared."""
    curves = {
        name: [part.tolist() for part in (curve.step, curve.mean, curve.least, curve.most)]
        for name, curve in snapshot.curves.items()
    }
    layers = snapshot.layers
    return {
        "curves": curves,
        "epochs": [row.epoch for row in snapshot.epochs.rows],
        "epoch steps": snapshot.epochs.step.tolist(),
        "results": {name: np.nan_to_num(values).tolist() for name, values in snapshot.epochs.results.items()},
        "layers": (layers.names, layers.look.tolist(), layers.step.tolist(), np.nan_to_num(layers.numbers).tolist()),
        "messages": [message.text for message in snapshot.messages],
    }


def at_once(run: RunDirectory) -> dict[str, Any]:
    with closing(RunView(run)) as view:
        return content(view.poll())


def test_everything_of_a_run_is_there(run: RunDirectory, view: RunView) -> None:
    with written(run) as worker:
        worker.epoch(2)
        worker.recorder.tell("checkpoint", "checkpoint after step 200")
        worker.write()
        seen = view.poll()
    assert seen.seen is not None
    assert (seen.seen.state, seen.seen.status.step, seen.trouble) == ("running", 200, "")
    assert seen.curves["loss"].step.tolist() == list(range(1, 201))
    assert seen.curves["loss"].mean[3] == 0.5
    assert seen.newest("accuracy") == pytest.approx(1 - 1 / np.sqrt(200))
    assert seen.newest("nothing") is None
    assert seen.epochs.step.tolist() == [100, 200]
    assert seen.epochs.results["val_loss"].tolist() == pytest.approx([0.2, 2 / np.sqrt(200)])
    assert seen.layers.names == LAYERS
    assert seen.layers.step.tolist() == [50, 100, 150, 200]
    assert seen.layers.get("gradient_norm")[2].tolist() == [1 / 50, 1 / 100, 1 / 150, 1 / 200]
    assert np.isnan(seen.layers.get("gradient_norm")[1]).all()
    assert [message.text for message in seen.messages] == ["checkpoint after step 200"]


def test_bit_by_bit_is_the_same_as_at_once_while_bins_join_and_looks_are_thinned(
    run: RunDirectory, view: RunView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuilab.runs.series.MOST_BINS", 64)
    monkeypatch.setattr("tuilab.runs.recorder.MOST_LAYER_ROWS", 60)
    monkeypatch.setattr(run_view, "MOST_EPOCHS", 8)
    with written(run) as worker:
        for _ in range(30):
            worker.epoch(looks=3)
            worker.write()
            seen = view.poll()
            now, fresh = content(seen), at_once(run)
            assert (now["curves"], now["layers"]) == (fresh["curves"], fresh["layers"])
    assert 30 < len(seen.curves["loss"].step) < 130
    assert len(seen.layers.step) < 40
    assert now["epochs"] == list(range(2, 31, 2))


def test_where_nothing_is_new_the_snapshot_is_the_same_object(run: RunDirectory, view: RunView) -> None:
    with written(run) as worker:
        worker.epoch()
        worker.write()
        first = view.poll()
        assert view.poll() is first
        worker.recorder.tell("state", "something")
        worker.write()
        second = view.poll()
        assert second is not first
        assert second.epochs is first.epochs
        assert second.layers is first.layers


def test_a_run_that_goes_back_to_a_checkpoint_is_read_anew(run: RunDirectory, view: RunView) -> None:
    with written(run, pid=1) as worker:
        worker.epoch(2)
        worker.write()
        state, history = worker.recorder.state(), list(_epochs(2))
        worker.epoch(2, layers=("dense_1",) * 3)
        worker.write()
        assert len(view.poll().curves["loss"].step) == 400
    with written(run, pid=2) as worker:
        worker.recorder.rewind(state, history)
        worker.recorder.update(step=200)
        worker.step = 200
        worker.epoch(3)
        worker.write()
        seen = content(view.poll())
        assert seen == at_once(run)
    assert seen["curves"]["loss"][0] == list(range(1, 501))
    assert seen["epochs"] == [1, 2, 3, 4, 5]


def _epochs(count: int) -> Iterator[EpochDone]:
    for epoch in range(1, count + 1):
        yield EpochDone(epoch, epoch * STEPS, {"loss": 0.1}, 1e-3, 0.1, 3200.0, False)


def test_a_worker_that_is_gone_is_told_and_nothing_is_left_open(run: RunDirectory, view: RunView) -> None:
    with written(run) as worker:
        worker.epoch()
        worker.write()
        view.poll()
    seen = view.poll().seen
    assert seen is not None
    assert (seen.state, seen.reason) == ("failed", "its worker was killed, or the machine went down, after step 100")
    assert view.poll().curves["loss"].step.size == 100
    assert view._connection is None


def test_a_deleted_run_is_told_and_what_was_read_stays(run: RunDirectory, view: RunView) -> None:
    with written(run) as worker:
        worker.epoch()
        worker.write()
        before = view.poll()
        moved = run.path.rename(run.path.with_name("elsewhere"))
        seen = view.poll()
        assert seen.trouble == f"run {run.name} is gone: its folder was deleted, moved or renamed"
        assert seen.curves is before.curves
        assert view.poll() is seen
        moved.rename(run.path)
        assert view.poll().trouble == ""
        assert content(view.poll()) == content(before)


def test_another_run_in_its_place_is_read_anew(run: RunDirectory, view: RunView) -> None:
    with written(run) as worker:
        worker.epoch(3)
        worker.write()
        view.poll()
        shutil.rmtree(run.path)
        other = create_run(run.path.parent, "other", 'name = "other"\n')
        other.path.rename(run.path)
        seen = view.poll()
    assert seen.trouble == ""
    assert seen.curves == {}
    assert seen.seen is not None
    assert seen.seen.status.experiment == "other"


@pytest.mark.parametrize("alive", [True, False])
def test_a_database_that_is_damaged_under_an_open_view_is_told(run: RunDirectory, view: RunView, alive: bool) -> None:
    with written(run) as worker:
        worker.epoch(3)
        worker.write()
        worker.recorder.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = view.poll() if alive else None
        path = run.path / FILE
        path.write_bytes(b"\x1b[31mno database" * 1000)
        if alive:  # until then, what is known in memory is still right
            worker.epoch()
            worker.write()
        seen = view.poll()
    assert str(path) in seen.trouble
    assert "\x1b" not in seen.trouble
    if before is not None:
        assert seen.curves is before.curves
    assert view.poll() is seen


def test_hostile_rows_do_no_harm(run: RunDirectory, view: RunView) -> None:
    with written(run) as worker:
        worker.epoch()
        worker.write()
    with closing(sqlite3.connect(run.path / FILE)) as connection, connection:
        connection.execute("UPDATE series SET name = ? WHERE name = 'accuracy'", ("\x1b[2Jaccuracy",))
        connection.execute("INSERT INTO messages VALUES (9, 1e300, 0, ?, ?)", ("\x1b[0m", "[bold]\x1b]0;mine\x07"))
        for look, layer in ((5, 10**15), (2**62, 0), (7, -1)):
            connection.execute("INSERT INTO layers(look, layer, step) VALUES (?, ?, ?)", (look, layer, 2**62))
    seen = view.poll()
    assert seen.trouble == ""
    assert "�[2Jaccuracy" in seen.curves
    assert seen.messages[-1].text == "[bold]�]0;mine�"
    assert seen.layers.numbers.shape == (7, 3, 3)


def test_very_many_epochs_and_messages_are_thinned(run: RunDirectory, view: RunView) -> None:
    with written(run) as worker:
        rows = [(n, n, 0.1, 1e-3, 3200.0, 0, '{"loss": 1.0}') for n in range(1, 100_001)]
        worker.recorder._add("INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        worker.recorder.update(epoch=100_000)
        for number in range(MOST_MESSAGES + 100):
            worker.recorder.tell("state", f"message {number}")
        worker.write()
        seen = view.poll()
    assert MOST_EPOCHS < len(seen.epochs.rows) <= 2 * MOST_EPOCHS
    assert seen.epochs.rows[-1].epoch == 100_000
    assert [message.text for message in seen.messages[:: MOST_MESSAGES - 1]] == ["message 100", "message 1099"]


def test_a_run_of_a_million_steps_is_read_quickly(run: RunDirectory) -> None:
    """Beside the time that writing takes on the same machine at the same moment."""
    layers = tuple(f"dense_{n}" for n in range(8))
    opened, took, wrote = [], [], []
    with written(run) as worker:

        def write(epochs: int) -> None:
            worker.epoch(epochs, looks=1, layers=layers)
            worker.write()

        for _ in range(100):
            write(100)
        for more in range(8):
            with closing(RunView(run)) as view:
                opened.append(seconds(view.poll))
                seen = view.poll().seen
                assert seen is not None
                assert seen.status.step == 1_000_000 + more * 101 * STEPS
                write(1)
                took.append(seconds(view.poll))
            wrote.append(seconds(lambda: write(100)))
    assert min(opened) < 30 * min(wrote), "a third of the time that it takes to write them"
    assert min(took) < 0.5 * min(wrote)


def seconds(act: Callable[[], object]) -> float:
    """Return how long this thread works on something."""
    started = time.thread_time()
    act()
    return time.thread_time() - started


def test_layers_can_be_left_for_the_next_look(run: RunDirectory, view: RunView) -> None:
    with written(run) as one:
        one.epoch(3)
        one.write()
        first = view.poll(quick=True)
        assert (first.layers.names, len(first.layers.step)) == (LAYERS, 0)
        assert len(first.curves["loss"].mean) == 3 * STEPS
        second = view.poll()
        assert content(second) == at_once(run)
        assert len(second.layers.step) == 6
        assert view.poll() is second
