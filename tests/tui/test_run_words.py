"""What the Train screen says of a run, in words and numbers."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import Epoch, Message, Overview
from tuilab.runs.series import Curve
from tuilab.runs.status import Status
from tuilab.tui import run_words
from tuilab.tui.run_view import Layers, Snapshot
from tuilab.tui.run_words import (
    Happening,
    clock,
    happenings,
    layer_listing,
    notice,
    part,
    percent,
    plain,
    power,
    progress,
    results,
    scientific,
    shared_range,
    steps_ahead,
)

RUN = RunDirectory(Path("/runs/own"))


def snapshot(state: Any = "running", reason: str = "", **status: Any) -> Snapshot:
    """Return a run half-way through its 4 epochs of 100 steps."""
    facts = {
        "device": "cpu",
        "epochs": 4,
        "steps_per_epoch": 100,
        "epoch": 2,
        "step": 200,
        "seconds": 50.0,
        "learning_rate": 0.01,
    }
    full = Status(experiment="own", **{**facts, **status})
    return Snapshot(RUN, Overview(RUN, full, state, reason, None))


def curve(*values: float) -> Curve:
    numbers = np.array(values)
    return Curve(np.arange(1, len(values) + 1), numbers, numbers, numbers)


def test_lengths_of_time() -> None:
    assert [clock(seconds) for seconds in (0, 5.4, 65, 3723, 100_000)] == [
        "0:00",
        "0:05",
        "1:05",
        "1:02:03",
        "1 d 03:46",
    ]


def test_numbers_stay_as_short_as_their_columns() -> None:
    values = (0.0, 3.14159e-2, 1e-300, 123456.0, math.nan, math.inf)
    assert [scientific(value) for value in values] == ["0", "3.1e-2", "1.0e-300", "1.2e5", "–", "–"]
    values = (0.0, 4.2, 28.44, 1234.5, 2.5e7, math.nan)
    assert [plain(value) for value in values] == ["0.00", "4.20", "28.4", "1,234", "2.5e7", "–"]
    assert [percent(value) for value in (0.0, 0.414, math.nan)] == ["0%", "41%", ""]
    assert [power(value) for value in (1e-6, 0.1, 1.0, 1000.0, 1e5)] == ["1e-6", "0.1", "1", "1000", "1e5"]


def test_results_come_before_what_every_run_has() -> None:
    curves = {name: curve(1.0) for name in ("loss", "learning_rate", "cpu_percent", "accuracy")}
    assert results(replace(snapshot(), curves=curves)) == ["loss", "accuracy", "learning_rate", "cpu_percent"]


def test_progress_of_a_run_that_goes_on() -> None:
    curves = {"samples_per_second": curve(5.0, 1280.0), "cpu_percent": curve(99.6), "memory_bytes": curve(2.5e8)}
    told = progress(replace(snapshot(), curves=curves))
    assert told.share == 0.5
    assert [text for text, _ in told.parts] == [
        "epoch 3/4",
        "step 200/400",
        "  1,280 samples/s",
        " 0:50 left",
        "lr 0.01",
        "cpu 100%  250 MB",
    ]
    assert progress(Snapshot(RUN)).parts == ()


def test_the_first_step_says_nothing_of_the_time_left() -> None:
    """Kernels may have been compiled in it."""
    told = progress(replace(snapshot(step=1, seconds=4.0), curves={"samples_per_second": curve(8.0)}))
    assert [text for text, _ in told.parts] == ["epoch 3/4", "step   1/400", "lr 0.01"]


def test_progress_of_a_run_on_a_gpu() -> None:
    told = {"gpu_percent": 93.0, "gpu_memory_bytes": 1.21e10, "gpu_watts": 312.4, "gpu_celsius": 61.0}
    curves = {name: curve(value) for name, value in told.items()} | {"cpu_percent": curve(99.0)}
    assert progress(replace(snapshot(device="gpu:1"), curves=curves)).parts[-1][0] == "gpu:1  93% 12.1 GB 312 W 61 °C"
    del curves["gpu_watts"]
    assert progress(replace(snapshot(device="gpu"), curves=curves)).parts[-1][0] == "gpu  93% 12.1 GB 61 °C"
    assert "gpu" not in progress(replace(snapshot(device="gpu"), curves={})).parts[-1][0]


def test_progress_of_a_run_that_is_over() -> None:
    told = progress(snapshot("finished", epoch=4, step=400, seconds=3700.0))
    assert told.share == 1.0
    assert [text for text, _ in told.parts] == ["epoch 4/4", "step 400/400", "took 1:01:40", "lr 0.01"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (snapshot(), ("", "")),
        (snapshot("running", "its worker is being started"), ("running: its worker is being started", "warn")),
        (snapshot("paused", "by a command"), ("paused: by a command", "warn")),
        (snapshot("stopped", "it was asked to stop"), ("stopped: it was asked to stop · space goes on", "warn")),
        (snapshot("failed", "killed"), ("failed: killed · space goes on from the last checkpoint", "bad")),
        (snapshot("diverged", "NaN"), ("diverged: NaN", "bad")),
        (snapshot("finished", test={"loss": 0.25}), ("finished · test loss 0.2500", "good")),
        (
            snapshot("finished", "no better for 3 epochs", train={"loss": 1.0}, validation={"loss": None}),
            ("finished: no better for 3 epochs · validation loss –", "good"),
        ),
        (replace(snapshot(), trouble="metrics.db: is damaged"), ("metrics.db: is damaged", "bad")),
        (Snapshot(RUN), ("", "")),
    ],
)
def test_what_must_be_known(given: Snapshot, expected: tuple[str, str]) -> None:
    assert notice(given) == expected


def test_events_stand_in_the_order_in_which_they_happened() -> None:
    now = time.time()
    messages = [
        Message(1, now, 0, "state", "running"),
        Message(2, now, 150, "command", "pause"),
        Message(3, now - 1e6, 200, "checkpoint", "checkpoint after step 200"),
        Message(4, 1e300, 90, "state", "goes on after step 90"),
    ]
    epochs = [
        Epoch(1, 100, 1.0, 0.1, 10.0, True, {"loss": 0.5, "val_loss": 0.25}),
        Epoch(2, 200, 1.0, 0.1, 10.0, False, {"loss": 0.4, "val_loss": 0.26}),
        Epoch(3, 300, 1.0, 0.1, 10.0, True, {"loss": 0.3}),
    ]
    clock_, day = time.strftime("%H:%M:%S", time.localtime(now)), time.strftime("%d %b", time.localtime(now - 1e6))
    assert happenings(messages, epochs) == (
        Happening(clock_, "running"),
        Happening("", "best: epoch 1  val_loss 0.2500"),
        Happening(clock_, "pause", by_command=True),
        Happening(day, "checkpoint after step 200"),
        Happening("", "goes on after step 90"),
        Happening("", "best: epoch 3  loss 0.3000"),
    )


def test_the_table_of_layers() -> None:
    numbers = np.full((7, 2, 1), np.nan)
    numbers[:, 0, 0] = [0.031, 28.4, 8e-4, 0.1, 0.2, 0.02, np.nan]
    layers = Layers(("dense_1", "dropout_2"), np.zeros(1), np.ones(1), numbers)
    listing = layer_listing(layers, ["▃▃", ""], None)
    assert [[cell.text for cell in line.cells] for line in listing.lines] == [
        ["dense_1", "▃▃", "3.1e-2", "28.4", "8.0e-4", "2%", "", "✓ ok"],
        ["dropout_2", "", "", "", "", "", "", ""],
    ]


def test_gradients_share_whole_powers_of_ten() -> None:
    assert shared_range(np.array([[0.02, 0.5], [np.nan, 0.0]])) == pytest.approx((0.01, 1.0))
    assert shared_range(np.array([[0.5]])) == pytest.approx((0.01, 1.0))
    assert shared_range(np.array([[1e-30, 1.0]])) == pytest.approx((1e-12, 1.0))
    assert shared_range(np.array([[np.inf, np.nan, 0.0]])) == (0.1, 10.0)


def test_charts_of_a_run_that_goes_on_have_room_ahead_but_not_beyond_its_end() -> None:
    assert steps_ahead(snapshot(epochs=100)) == pytest.approx(10 ** (12 / 5))
    assert steps_ahead(snapshot(step=399, epochs=4)) == 400
    assert steps_ahead(snapshot("finished", step=400)) is None
    assert steps_ahead(snapshot(step=0)) is None
    for step in range(1, 5000, 7):
        ahead = steps_ahead(snapshot(step=step, epochs=10**6))
        assert ahead is not None
        assert ahead > step


def test_the_last_steps_of_a_series() -> None:
    steps = np.array([10.0, 20.0, 30.0, 40.0])
    assert steps[part(steps, None, 40)].tolist() == [10, 20, 30, 40]
    assert steps[part(steps, 15, 40)].tolist() == [30, 40]


def test_the_day_of_old_events_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_words.time, "time", lambda: 2e9)
    assert happenings([Message(1, 0.0, 0, "state", "x")], [])[0].when in ("01 Jan", "31 Dec")
