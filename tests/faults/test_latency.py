"""How soon a worker does what it is asked for: within 200 ms, or after the step that it is doing."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.faults.conftest import LONG, Studio, ask, training, wait
from tuilab.runs.commands import Command, answer, send
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import following, overview

SOON = 0.2
"""Seconds."""

SECOND_LONG = """
import time
from tuilab.engine.trainer import Trainer
train_batch = Trainer.train_batch
def slow(trainer, *arguments, **options):
    time.sleep(1.0)
    return train_batch(trainer, *arguments, **options)
Trainer.train_batch = slow
"""


def seconds_to_answer(run: RunDirectory, action: str) -> float:
    began = time.monotonic()
    name = send(run, Command.model_validate({"action": action}))
    wait(lambda: answer(run, name) is not None)
    return time.monotonic() - began


def answered(run: RunDirectory) -> list[tuple[int, str, int]]:
    """Return every answer in the order of answering: the step, the command, whether it was accepted."""
    with following(run) as reader:
        return reader.connection.execute("SELECT step, command, accepted FROM commands ORDER BY time").fetchall()


def test_short_steps(studio: Studio) -> None:
    """Running and paused."""
    run, _ = studio.detached("train", studio.model(LONG))
    wait(lambda: training(run))
    seconds = [seconds_to_answer(run, action) for _ in range(5) for action in ("checkpoint", "pause", "step", "resume")]
    print(f"{statistics.median(seconds) * 1000:.0f} ms, at most {max(seconds) * 1000:.0f} ms")
    assert statistics.median(seconds) < SOON


def test_long_steps(studio: Studio) -> None:
    studio.worker = SECOND_LONG
    run, _ = studio.detached("train", studio.model(LONG))
    wait(lambda: training(run))
    seconds, late = [], []
    for action in ("checkpoint", "pause", "resume", "checkpoint"):
        time.sleep(0.3)
        done = overview(run).status.step
        seconds.append(seconds_to_answer(run, action))
        late.append(answered(run)[-1][0] - done)
    print([f"{one * 1000:.0f} ms" for one in seconds], late)
    assert max(late) <= 1
    assert statistics.median(seconds) < 1.0 + SOON


def test_fifty_commands_in_a_row(studio: Studio) -> None:
    run, _ = studio.detached("train", studio.model(LONG))
    wait(lambda: training(run))
    rates = [f"{rate / 1e4:.4f}" for rate in range(1, 11)]
    orders = [
        Command.model_validate(order)
        for rate in rates
        for order in (
            {"action": "pause"},
            {"action": "step"},
            {"action": "set", "key": "learning_rate", "value": rate},
            {"action": "set", "key": "epochs", "value": "0"},
            {"action": "resume"},
        )
    ]
    names = [send(run, order) for order in orders]
    wait(lambda: answer(run, names[-1]) is not None)
    found = answered(run)
    assert [command for _, command, _ in found] == [str(order) for order in orders]
    assert [accepted for _, _, accepted in found] == [int(order.value != "0") for order in orders]
    wait(lambda: not list((run.path / "commands").iterdir()))  # the last one goes after it is answered
    wait(lambda: overview(run).status.learning_rate == pytest.approx(0.001))
    assert ask(run, "stop").accepted
