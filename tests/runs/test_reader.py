"""What a run tells, read while it is written; and where it stands, whoever is left to say so."""

from __future__ import annotations

import json
import multiprocessing
import platform
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.runs.recorded import epoch_done, new_run, recording, steps_done
from tuilab.engine.distributions import Distribution, LayerDistributions
from tuilab.engine.events import LayersSeen
from tuilab.engine.statistics import LayerState
from tuilab.errors import UsageError
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import FILE, Owner, hold
from tuilab.runs.reader import SECONDS_TO_START, Overview, ago, following, overview, try_overview


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return new_run(tmp_path)


def test_a_run_that_has_just_been_made(run: RunDirectory) -> None:
    with following(run) as reader:
        assert reader.status().experiment == "own"
        assert reader.distributions(0) == {}
        assert reader.epochs() == reader.messages() == reader.layers() == reader.series() == []
        assert (reader.levels(), reader.first_look(), reader.layer_table().shape) == ({}, 0, (0, 10))
        curve = reader.curve("loss")
        assert len(curve.step) == len(curve.mean) == len(curve.least) == len(curve.most) == 0


def test_only_what_is_new(run: RunDirectory) -> None:
    with recording(run) as recorder, following(run) as reader:
        for number in range(1, 8):
            recorder.record(LayersSeen(1, number, (LayerState("a", number, None, None, None, None, None, None),)))
            recorder.record(steps_done(number, [1 / number]))
            recorder.record(epoch_done(number, number))
            recorder.tell("state", f"message {number}")
            recorder.write()
            assert [row.epoch for row in reader.epochs(after=number - 1)] == [number]
            assert [row.text for row in reader.messages(after=number - 1)] == [f"message {number}"]
            assert [row.gradient_norm for row in reader.layers(after_step=number - 1)] == [number]
            assert reader.curve("loss", first=number - 1).step.tolist() == [number]
        assert [row.epoch for row in reader.epochs(after=2)] == [3, 4, 5, 6, 7]
        assert [row.epoch for row in reader.epochs(every=3)] == [3, 6]
        assert [row.text for row in reader.messages(most=2)] == ["message 6", "message 7"]
        assert reader.layer_table(after_look=5)[:, :4].tolist() == [[6, 0, 7, 7]]
        assert np.isnan(reader.layer_table()[:, 4:]).all()
        assert reader.first_look() == 1
        assert reader.levels()["loss"] == 0


def test_the_newest_distributions_of_a_layer(run: RunDirectory) -> None:
    state = (LayerState("a", *[1.0] * 7), LayerState("b", *[1.0] * 7))
    first, second, third = (Distribution(-number, number, (1, 2, 3)) for number in (1.0, 2.0, 3.0))
    with recording(run) as recorder, following(run) as reader:
        for seen in (
            LayersSeen(1, 1, state, (LayerDistributions(first, second, third), LayerDistributions(None, None, first))),
            LayersSeen(1, 2, state),
            LayersSeen(1, 3, state, (LayerDistributions(third, None, second), LayerDistributions(None, None, third))),
        ):
            recorder.record(seen)
        recorder.write()
        assert reader.distributions(0) == {"gradients": (1, second), "outputs": (3, second), "weights": (3, third)}
        assert reader.distributions(1) == {"outputs": (3, third)}
        assert reader.distributions(2) == {}
        recorder.rewind({"series": {}, "looks": 0, "looks_level": 0}, [])
        recorder.write()
        assert reader.distributions(0) == {}


@pytest.mark.parametrize(
    ("least", "most", "counts"),
    [(2, 1, "[1]"), (-9e999, 1, "[1]"), (0, 9e999, "[1]"), (0, 1, "1"), (0, 1, "[-1]"), (0, 1, "[1.5]"), (0, 1, "[")],
)
def test_distributions_that_no_run_writes(run: RunDirectory, least: float, most: float, counts: str) -> None:
    with recording(run) as recorder:
        values = (0, "weights", 1, least, most, counts)
        recorder.connection.execute("INSERT INTO distributions VALUES (?, ?, ?, ?, ?, ?)", values)
    with pytest.raises(UsageError, match=r"metrics\.db"), following(run) as reader:
        reader.distributions(0)


def write(path: Path, steps: int) -> None:
    with recording(RunDirectory(path)) as recorder:
        for step in range(1, steps + 1):
            recorder.record(steps_done(step, [float(step)]))
            recorder.record(epoch_done(step, step))
            recorder.write(durable=step % 50 == 0)


def test_what_is_read_while_it_is_written_belongs_together(run: RunDirectory) -> None:
    """A reader in a transaction sees one moment, and never waits."""
    steps, seen = 200, []
    process = multiprocessing.get_context("spawn").Process(target=write, args=(run.path, steps))
    process.start()
    with following(run) as reader:
        while process.is_alive():
            reader.connection.execute("BEGIN")
            step = reader.status().step
            curve, epochs = reader.curve("loss"), reader.epochs()
            reader.connection.execute("COMMIT")
            assert curve.step.tolist() == curve.mean.tolist() == list(range(1, step + 1))
            assert [row.epoch for row in epochs] == list(range(1, step + 1))
            seen.append(step)
            time.sleep(0.005)
        assert reader.status().step == steps
    process.join()
    assert process.exitcode == 0
    assert len(set(seen)) > 3
    assert seen == sorted(seen)


def test_a_curve_of_bins(run: RunDirectory) -> None:
    losses = np.random.default_rng(0).normal(size=100_000)
    with recording(run) as recorder:
        recorder.record(steps_done(100_000, losses.tolist()))
        recorder.write()
    with following(run) as reader:
        size = 2 ** reader.levels()["loss"]
        curve = reader.curve("loss")
        rest = reader.curve("loss", first=size * 10)
    whole = losses[: len(losses) // size * size].reshape(-1, size)
    count = len(whole)
    assert curve.step[:count].tolist() == list(range(size, count * size + 1, size))
    np.testing.assert_allclose(curve.mean[:count], whole.mean(axis=1), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(curve.least[:count], whole.min(axis=1))
    np.testing.assert_array_equal(curve.most[:count], whole.max(axis=1))
    assert curve.step[-1] == 100_000
    np.testing.assert_array_equal(rest.mean, curve.mean[10:])


# Where a run stands


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    """A moment at which the reader's clock stands still."""
    moment = time.time()
    monkeypatch.setattr("tuilab.runs.reader.time", SimpleNamespace(time=lambda: moment))
    return moment


def stands(run: RunDirectory, held: bool, owner: Owner | None, **status: Any) -> Overview:
    """Return where a run stands whose status and lock say this."""
    with recording(run) as recorder:
        recorder.update(**status)
        recorder.write()
    with ExitStack() as stack:
        if held:
            stack.enter_context(hold(run.path))
        if owner is not None:
            (run.path / FILE).write_text(json.dumps(asdict(owner)).ljust(4096))
        return overview(run)


HERE = Owner.this_process()
GONE = Owner(platform.node(), HERE.boot, 2**31 - 1, 1.0)
ELSEWHERE = Owner("else\x1bwhere", "boot", 77, 1.0)
FULL = Owner(platform.node(), HERE.boot, HERE.pid, HERE.started, trouble="the disk is\x1b full")
KILLED = "its worker was killed, or the machine went down, after step 1,234"


@pytest.mark.parametrize(
    ("held", "owner", "status", "state", "reason"),
    [
        (True, HERE, {}, "running", ""),
        (True, HERE, {"state": "paused", "reason": "by a command"}, "paused", "by a command"),
        (True, FULL, {}, "paused", "the disk is� full"),
        (True, GONE, {}, "unknown", f"on {platform.node()}, last heartbeat 0 s ago"),
        (True, ELSEWHERE, {}, "unknown", "on else�where, last heartbeat 0 s ago"),
        (False, ELSEWHERE, {"state": "paused"}, "unknown", "on else�where, last heartbeat 0 s ago"),
        (False, ELSEWHERE, {"state": "finished"}, "finished", ""),
        (False, GONE, {}, "failed", KILLED),
        (False, HERE, {}, "failed", KILLED),
        (False, GONE, {"state": "paused", "reason": "by a command"}, "failed", KILLED),
        (False, FULL, {}, "failed", "the disk is� full"),
        (False, GONE, {"state": "stopped", "reason": "it was asked to stop"}, "stopped", "it was asked to stop"),
        (
            False,
            FULL,
            {"state": "diverged", "reason": "the loss is\x1b not finite"},
            "diverged",
            "the loss is� not finite",
        ),
        (False, None, {"step": 0, "created": 1e11}, "running", "its worker is being started"),
        (False, None, {"step": 0, "created": 1.0}, "failed", "its worker never started"),
        (False, GONE, {"step": 0}, "failed", "its worker was killed, or the machine went down, after step 0"),
    ],
)
@pytest.mark.usefixtures("now")
def test_where_a_run_stands(
    run: RunDirectory, held: bool, owner: Owner | None, status: dict[str, Any], state: str, reason: str
) -> None:
    seen = stands(run, held, owner, **{"step": 1234, **status})
    assert (seen.state, seen.reason) == (state, reason)
    assert seen.alive == (state in ("running", "paused", "unknown"))
    with following(run) as reader:
        if not held:
            assert overview(run, reader) == seen


def test_a_worker_has_a_while_to_start(run: RunDirectory, now: float) -> None:
    assert stands(run, False, None, created=now - SECONDS_TO_START + 1).state == "running"
    assert stands(run, False, None, created=now - SECONDS_TO_START - 1).state == "failed"


def test_what_cannot_be_read_is_told(run: RunDirectory, tmp_path: Path) -> None:
    assert isinstance(try_overview(run), Overview)
    (run.path / "metrics.db").write_bytes(b"own")
    told = try_overview(run)
    assert isinstance(told, str)
    assert "metrics.db: is damaged" in told
    with pytest.raises(UsageError, match="is damaged"):
        overview(run)
    told = try_overview(RunDirectory(tmp_path / "nowhere"))
    assert isinstance(told, str)
    assert "is missing" in told


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-60, "0 s ago"),
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (86400 * 400, "400 d ago"),
    ],
)
def test_how_long_ago(now: float, seconds: float, said: str) -> None:
    assert ago(now - seconds) == said


def test_the_status_bears_what_a_recorder_writes(run: RunDirectory) -> None:
    """Limits against hostile files must not catch honest ones: 256 layers, long texts, the largest numbers."""
    names = tuple(LayerState(f"{number} " + "x" * 2000, *[1.0] * 7) for number in range(256))
    with recording(run) as recorder:
        recorder.record(LayersSeen(1, 1, names))
        recorder.record(steps_done(1, [1e30], **{"metric " * 20: 1e308}))
        recorder.enter("failed", "y" * 5000)
        recorder.update(seconds=1e9, parameters=10**15, step=2**53)
        recorder.write()
    with following(run) as reader:
        status = reader.status()
    assert (len(status.layers), status.step, status.parameters) == (256, 2**53, 10**15)
    assert all(len(name) == 1000 for name in status.layers)
    assert len(status.reason) == 1000
