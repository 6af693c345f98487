"""What a training tells comes into the database once, completely and soon; at little cost, and back again."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.examples import make_data, make_trainer, mlp
from tests.runs.recorded import bins, epoch_done, new_run, recording, rows, steps_done
from tuilab.engine.events import EpochDone, Event, LayersSeen, StepsDone, TrainingDone, TrainingStarted
from tuilab.engine.statistics import LayerState
from tuilab.errors import BusyError, DiskFullError, UsageError
from tuilab.runs import database, recorder, series
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import following
from tuilab.runs.recorder import MOST_EVENTS, MOST_LAYER_ROWS, Recorder
from tuilab.runs.status import BestEpoch
from tuilab.runs.training import RecordedTraining

NOTHING = {"series": {}, "looks": 0, "looks_level": 0}


def layer(name: str, gradient_norm: float | None = 1.5) -> LayerState:
    return LayerState(name, gradient_norm, 2.5, 0.001, 0.1, 0.2, 0.0, None)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return new_run(tmp_path)


def test_events_in_rows_out(run: RunDirectory) -> None:
    events: list[Event] = [
        TrainingStarted("cpu", 139, 4, 20, 200),
        LayersSeen(1, 1, (layer("a"), layer("b", math.nan))),
        steps_done(2, [3.0, 1.0], accuracy=0.25),
        steps_done(3, [0.5], accuracy=0.5),
        EpochDone(1, 3, {"loss": 1.5, "val_loss": 1.25}, 0.01, 2.0, 100.0, best=True),
        steps_done(4, [0.25], accuracy=0.75),
        EpochDone(2, 4, {"loss": 1.0, "val_loss": math.inf}, 0.001, 2.5, 90.0, best=False),
        TrainingDone("finished", 2, 4, 0.4, ""),
    ]
    with recording(run) as recorder:
        for event in events:
            recorder.record(event)
        recorder.write()
    with following(run) as reader:
        status, epochs, layers = reader.status(), reader.epochs(), reader.layers()
        loss, speed = reader.curve("loss"), reader.curve("samples_per_second")
        assert reader.series()[:4] == ["loss", "accuracy", "learning_rate", "samples_per_second"]
        assert set(reader.series()[4:]) == {"cpu_percent", "memory_bytes"}
        assert reader.epochs(after=1) == epochs[1:]
        assert reader.layers(after_step=1) == []
        assert len(reader.curve("memory_bytes").step) == 1
    assert (status.device, status.parameters, status.epochs) == ("cpu", 139, 4)
    assert (status.steps_per_epoch, status.samples_per_epoch, status.layers) == (20, 200, ["a", "b"])
    assert (status.epoch, status.step, status.seconds, status.samples_per_second) == (2, 4, 0.4, 100.0)
    assert (status.learning_rate, status.results) == (0.01, {"loss": 0.25, "accuracy": 0.75})
    assert status.best == BestEpoch(epoch=1, results={"loss": 1.5, "val_loss": 1.25})
    assert [
        (row.epoch, row.step, row.seconds, row.learning_rate, row.samples_per_second, row.best) for row in epochs
    ] == [
        (1, 3, 2.0, 0.01, 100.0, True),
        (2, 4, 2.5, 0.001, 90.0, False),
    ]
    assert [row.results for row in epochs] == [{"loss": 1.5, "val_loss": 1.25}, {"loss": 1.0, "val_loss": None}]
    assert [(row.step, row.layer, row.gradient_norm, row.weight_norm, row.saturated) for row in layers] == [
        (1, 0, 1.5, 2.5, None),
        (1, 1, None, 2.5, None),
    ]
    assert (loss.step.tolist(), loss.mean.tolist()) == ([1, 2, 3, 4], [3.0, 1.0, 0.5, 0.25])
    assert speed.step.tolist() == [3, 4]  # the first event says how far it is, not how fast it goes
    assert speed.mean == pytest.approx([100, 100])
    assert bins(run, "loss")[0] == (0, 1, 1, 3.0, 3.0, 3.0)


def test_nothing_is_written_before_it_is_time(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "SHORTEST_INTERVAL", 1e6)
    with recording(run) as writer:
        writer.record(steps_done(1, [0.5]))
        assert writer.status.step == 1
        assert writer.status.results == {"loss": 0.5}
        assert bins(run, "loss") == []
        writer.write()
        assert len(bins(run, "loss")) == 1
        assert not writer.due()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
def test_values_that_cannot_be_summed_are_left_out_of_curves(run: RunDirectory, value: float) -> None:
    with recording(run) as recorder:
        recorder.record(steps_done(3, [1.0, value, 3.0], precision=value))
        recorder.record(steps_done(4, [4.0], precision=0.5))
        recorder.record(LayersSeen(1, 4, (layer("a", value),)))
        recorder.record(EpochDone(1, 4, {"loss": 1.0, "precision": value}, 0.01, 1.0, 100.0, best=True))
        recorder.write()
    with following(run) as reader:
        assert reader.curve("loss").step.tolist() == [1, 3, 4]
        assert reader.curve("precision").step.tolist() == [4]
        stored = value if value == 1e308 else None
        assert reader.epochs()[0].results == {"loss": 1.0, "precision": stored}
        assert reader.status().best == BestEpoch(epoch=1, results={"loss": 1.0, "precision": stored})
        assert reader.layers()[0].gradient_norm == stored


def test_states_messages_and_answers(run: RunDirectory, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tuilab.run")
    with recording(run) as recorder:
        recorder.record(steps_done(7, [0.5]))
        recorder.enter("paused", "by a command")
        recorder.enter("paused", "by a command")
        recorder.answer("0001-a", "stop", True, "stops after step 7")
        recorder.answer("0002-b", "not a command", False, "action: Field required")
        recorder.tell("checkpoint", "one\x1b[2J")
        recorder.write(durable=True)
    with following(run) as reader:
        assert (reader.status().state, reader.status().reason) == ("paused", "by a command")
        told = reader.messages()
        assert reader.messages(after=told[1].id) == told[2:]
    assert [(row.step, row.kind, row.text) for row in told] == [
        (7, "state", "paused: by a command"),
        (7, "command", "stops after step 7"),
        (7, "command", "not a command was refused: action: Field required"),
        (7, "checkpoint", "one�[2J"),
    ]
    answers = rows(run, "SELECT name, step, command, accepted, answer FROM commands ORDER BY name")
    assert answers[0] == ("0001-a", 7, "stop", 1, "stops after step 7")
    assert answers[1] == ("0002-b", 7, "not a command", 0, "action: Field required")
    assert abs(told[0].time - time.time()) < 60
    assert "\x1b" not in caplog.text
    assert "one" in caplog.text


def test_a_run_of_a_million_steps_stays_small(run: RunDirectory) -> None:
    """The losses of every step, accuracy, five layers every twenty steps, a thousand epochs."""
    generator = np.random.default_rng(0)
    layers = [f"layer {number}" for number in range(5)]
    began = 0
    with recording(run) as recorder:
        while began < 1_000_000:
            for step in range(began, began + 1000, 20):
                recorder.record(LayersSeen(1, step, tuple(map(layer, layers))))
            began += 1000
            recorder.record(steps_done(began, generator.normal(size=1000).tolist(), accuracy=0.5))
            recorder.record(epoch_done(began // 1000, began, accuracy=0.5, val_loss=0.5, val_accuracy=0.5))
            if recorder.due():
                recorder.write()
        recorder.write()
    with following(run) as reader:
        assert reader.status().step == 1_000_000
        assert len(reader.epochs()) == 1000
        loss, accuracy = reader.curve("loss"), reader.curve("accuracy")
        looks = len(reader.layers())
    assert series.MOST_BINS / 2 <= len(loss.step) <= series.MOST_BINS + 1
    assert (loss.step[0], loss.step[-1], len(accuracy.step)) == (256, 1_000_000, 1000)
    assert math.isclose(
        (loss.mean * np.diff(loss.step, prepend=0)).sum(),
        np.random.default_rng(0).normal(size=10**6).sum(),
        rel_tol=1e-9,
    )
    assert MOST_LAYER_ROWS / 2 <= looks <= MOST_LAYER_ROWS + 5
    assert sum(path.stat().st_size for path in run.path.glob("metrics.db*")) < 10e6


def test_layers_are_thinned(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_LAYER_ROWS", 10)
    with recording(run) as writer:
        for look in range(40):
            writer.record(LayersSeen(1, look, (layer("a"), layer("b"))))
            if look % 7 == 0:
                writer.write()
        writer.write()
    assert [step for (step,) in rows(run, "SELECT step FROM layers WHERE layer = 1 ORDER BY look")] == [
        0,
        8,
        16,
        24,
        32,
    ]
    with recording(run) as writer:
        assert writer.looks_level == 3


def test_what_waits_is_bounded(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "SHORTEST_INTERVAL", 1e6)
    with recording(run) as writer:
        writer.write()
        for _ in range(MOST_EVENTS - 1):
            writer.record(steps_done(1, [0.5]))
        assert not writer.due()
        writer.record(steps_done(1, [0.5]))
        assert writer.due()
        writer.write()
        assert not writer.due()


@contextmanager
def locked_by(begin: str, run: RunDirectory, seconds: float = 60.0) -> Iterator[None]:
    """Keep the writer of a database without WAL waiting, as a reader does that takes its time (BEGIN), or another
    program that writes (BEGIN IMMEDIATE)."""
    locked, over = threading.Event(), threading.Event()

    def other() -> None:
        with closing(sqlite3.connect(run.path / "metrics.db", isolation_level=None)) as connection:
            connection.execute(begin)
            connection.execute("SELECT * FROM status").fetchone()
            locked.set()
            over.wait(seconds)

    thread = threading.Thread(target=other)
    thread.start()
    assert locked.wait(30)
    yield
    over.set()
    thread.join()


@pytest.fixture
def without_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_file_system", lambda run: "nfs4")


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
@pytest.mark.usefixtures("without_wal")
def test_where_writing_is_slow_there_is_less_of_it(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    with recording(run) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(time, "perf_counter", lambda: 0.0)  # as on a disk that takes no time
            writer.write()
        assert writer._next_write - time.monotonic() < 2
        with locked_by(begin, run, seconds=1.0):
            writer.write()
        assert writer._next_write - time.monotonic() > 5
        writer._next_write = 0.0
        assert writer.due()


@pytest.mark.usefixtures("without_wal")
def test_a_transaction_that_fails_is_made_up_for(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SECONDS_TO_WAIT", 0.05)
    with recording(run) as writer:
        writer.record(steps_done(2, [3.0, 1.0], accuracy=0.5))
        writer.tell("state", "hello")
        with locked_by("BEGIN", run):
            for _ in range(2):
                with pytest.raises(BusyError, match=r"metrics.db: database is locked"):
                    writer.write()
            writer.record(steps_done(3, [2.0], accuracy=0.5))
            writer.record(epoch_done(1, 3))
        assert rows(run, "SELECT * FROM bins") == []
        writer.write()
        writer.write()
    assert [row[:4] for row in bins(run, "loss")] == [(0, 1, 1, 3.0), (1, 2, 1, 1.0), (2, 3, 1, 2.0)]
    with following(run) as reader:
        assert [message.text for message in reader.messages()] == ["hello"]
        assert [row.epoch for row in reader.epochs()] == [1]
        assert reader.status().step == 3


def test_training_waits_while_another_program_keeps_the_database_locked(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SECONDS_TO_WAIT", 0.05)
    trainer = make_trainer(mlp(epochs=3), make_data())
    with run.hold() as lock, recording(run) as writer:
        training = RecordedTraining(run, trainer, writer, lock)
        with locked_by("BEGIN IMMEDIATE", run, seconds=1.2):
            assert training.train() == "finished"
    with following(run) as reader:
        assert [row.epoch for row in reader.epochs()] == [1, 2, 3]
        told = [message.text for message in reader.messages()]
        assert [text for text in told if text.startswith("another program kept the database locked for ")]
        assert reader.status().state == "finished"


def test_a_full_disk_is_made_up_for(run: RunDirectory) -> None:
    losses = np.random.default_rng(0).normal(size=3000).tolist()
    with recording(run) as writer:
        (pages,) = writer.connection.execute("PRAGMA page_count").fetchone()
        writer.connection.execute(f"PRAGMA max_page_count={pages + 2}")
        writer.record(steps_done(3000, losses))
        for _ in range(2):
            with pytest.raises(DiskFullError, match="free some space"):
                writer.write()
        writer.connection.execute("PRAGMA max_page_count=100000")
        writer.write()
        assert [row[3] for row in bins(run, "loss")] == losses


TIMED = {"cpu_percent", "memory_bytes"}
"""Series that depend on the moment when they are taken."""


def contents(run: RunDirectory) -> dict[str, list[Any]]:
    """Return everything that must not depend on interruptions."""
    with following(run) as reader:
        names = sorted(set(reader.series()) - TIMED)
        levels = "SELECT level FROM series WHERE name = ?"
        found: dict[str, list[Any]] = {name: [*rows(run, levels, name), *bins(run, name)] for name in names}
        found["epochs"], found["best"] = reader.epochs(), [reader.status().best]
        found["layers"] = rows(run, "SELECT * FROM layers ORDER BY look, layer")
    return found


@given(data=st.data(), total=st.integers(1, 120))
@settings(max_examples=15, deadline=None)
def test_rewound_and_gone_on_as_if_nothing_had_happened(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, total: int
) -> None:
    """Wherever a checkpoint was, wherever it was rewound, at whatever steps there were events and transactions; also
    where series had to be thinned after the checkpoint."""
    told = sorted(data.draw(st.sets(st.integers(1, total), max_size=30)) | {total})
    written = data.draw(st.sets(st.sampled_from(told)))
    checkpoint, end = (data.draw(st.sampled_from([0, *told])) for _ in range(2))
    checkpoint, end = min(checkpoint, end), max(checkpoint, end)
    values = np.random.default_rng(total).normal(size=total + 1).tolist()
    events: dict[int, list[Event]] = {}
    for before, last in pairwise([0, *told]):
        happened: list[Event] = [LayersSeen(1, last, (layer("a", values[last]),))] if last % 2 else []
        happened.append(steps_done(last, values[before + 1 : last + 1], accuracy=values[last]))
        if last % 10 == 0:
            happened.append(epoch_done(last // 10, last, best=values[last] > 0))
        events[last] = happened
    history = [event for step in told if step <= checkpoint for event in events[step] if isinstance(event, EpochDone)]

    def record(writer: Recorder, first: int, last: int) -> None:
        for step in told:
            if first < step <= last:
                for event in events[step]:
                    writer.record(event)
                if step in written:
                    writer.write()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "MOST_BINS", 6)
        patch.setattr(recorder, "MOST_LAYER_ROWS", 5)
        run, undisturbed = (new_run(tmp_path_factory.mktemp("runs")) for _ in range(2))
        with recording(undisturbed) as writer:
            record(writer, 0, total)
            writer.write()
        with recording(run) as writer:
            record(writer, 0, checkpoint)
            writer.write()
            state = json.loads(json.dumps(writer.state()))
            record(writer, checkpoint, end)
            writer.write()
        with recording(run) as writer:
            writer.rewind(state, history)
            writer.write()
            assert max((row[1] for row in bins(run, "loss")), default=0) == checkpoint
            found = contents(run)
            assert max((row[2] for row in found["layers"]), default=0) <= checkpoint
            assert [row.epoch for row in found["epochs"]] == [event.epoch for event in history]
            best = max((event.epoch for event in history if event.best), default=None)
            assert found["best"] == [best and BestEpoch(epoch=best, results={"loss": 1 / best})]
            writer._last = next((event for event in events.get(checkpoint, []) if isinstance(event, StepsDone)), None)
            record(writer, checkpoint, total)
            writer.write()
        assert contents(run) == contents(undisturbed)


def test_series_that_came_after_the_checkpoint_are_forgotten(run: RunDirectory) -> None:
    """Others may take their numbers."""
    with recording(run) as writer:
        for step in (1, 2):
            writer.record(steps_done(step, [1.0], accuracy=0.5, precision=0.25))
        writer.write()
    with recording(run) as writer:
        writer.record(steps_done(2, [5.0], accuracy=0.5))
        writer.rewind(NOTHING, [])
        writer.record(steps_done(1, [2.0], recall=0.75, precision=0.125))
        writer.write()
    with following(run) as reader:
        assert "accuracy" not in reader.series()
        curves = {name: reader.curve(name).mean.tolist() for name in ("loss", "accuracy", "precision", "recall")}
    assert curves == {"loss": [2.0], "accuracy": [], "precision": [0.125], "recall": [0.75]}


def test_rewinding_with_a_new_database(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after one that was damaged: the curves begin at the checkpoint."""
    monkeypatch.setattr(series, "MOST_BINS", 4)
    with recording(run) as writer:
        writer.record(steps_done(18, [1.0] * 18))
        state = writer.state()
    new = new_run(tmp_path / "new")
    with recording(new) as writer:
        writer.rewind(state, [epoch_done(1, 18)])
        writer.record(steps_done(19, [2.0]))
        writer.write()
    assert bins(new, "loss") == [(16, 19, 3, 4.0, 1.0, 2.0)]
    assert rows(new, "SELECT level FROM series WHERE name = 'loss'") == [(2,)]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"series": [], "looks": 0, "looks_level": 0},
        {"series": {"loss": {}}, "looks": 0, "looks_level": 0},
        {"series": {"loss": None}, "looks": 0, "looks_level": 0},
        {"series": {"loss": {"level": math.inf, "count": math.inf, "open": []}}, "looks": 0, "looks_level": 0},
        {"series": {}, "looks": "many", "looks_level": 0},
        {"series": {}, "looks": 0, "looks_level": 10**9},
    ],
)
def test_a_state_that_is_none(run: RunDirectory, state: dict[str, Any]) -> None:
    with recording(run) as writer:
        writer.record(steps_done(1, [1.0]))
        with pytest.raises(UsageError, match="damaged or foreign"):
            writer.rewind(state, [])
        writer.write()
    assert len(bins(run, "loss")) == 1


def test_a_level_that_no_run_comes_to(run: RunDirectory) -> None:
    with recording(run) as writer:
        writer.connection.execute("INSERT INTO series VALUES (1, 'loss', 1000000000000000000)")
    with pytest.raises(UsageError, match="it holds what no run writes"), recording(run):
        pass


def test_the_database_is_one_file_in_the_end(run: RunDirectory) -> None:
    with recording(run) as writer:
        writer.record(steps_done(1, [1.0]))
        writer.write()
        assert (run.path / "metrics.db-wal").exists()
    assert [path.name for path in run.path.glob("metrics.db*")] == ["metrics.db"]


def test_a_reader_that_stays_leaves_everything_in_the_one_file(run: RunDirectory, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    with ExitStack() as stack:
        with recording(run) as writer:
            writer.record(steps_done(5, [1.0]))
            writer.write()
            reader = stack.enter_context(following(run))
            assert reader.status().step == 5
        shutil.copy(run.path / "metrics.db", copy)
    with following(RunDirectory(copy)) as reader:
        assert reader.status().step == 5
