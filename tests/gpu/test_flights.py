"""Steps and copies that the device does when it comes to them: the host waits for what it reads, not for more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.gpu import test_graph
from tests.gpu.device import TAPE, EmulatedKernels
from tests.gpu.test_graph import (
    ADAM,
    DIFFERING,
    LARGE,
    _nobody_waits,  # noqa: F401 # a fixture that every test uses
    dense,
    is_recorded,
    make_data,
    start,
)
from tuilab.blocks.samples import Data
from tuilab.engine import graph
from tuilab.engine.events import LayersSeen, StepsDone
from tuilab.engine.graph import StepGraph
from tuilab.experiment.document import Experiment


@pytest.fixture
def late(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the device do what it is told only when somebody waits for it: kernels, copies, or both."""
    TAPE.queue.late, TAPE.copies.late = request.param
    with np.errstate(all="ignore"):  # the host has left `quiet` when the device begins
        yield
    TAPE.queue.synchronize()
    TAPE.copies.synchronize()
    TAPE.queue.late = TAPE.copies.late = False


KERNELS, COPIES, BOTH = (True, False), (False, True), (True, True)


@pytest.mark.parametrize("late", [KERNELS], indirect=True)
@pytest.mark.parametrize("settings", [{}, DIFFERING[-1]], ids=str)
@pytest.mark.usefixtures("late")
def test_nothing_waits_for_the_device_but_what_is_told(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "MOST_STEPS", 4)
    experiment, data = dense(optimizer={**ADAM, **settings}, statistics_every=20), make_data(train=90)
    test_graph.test_a_recording_gives_the_numbers_of_single_steps(experiment, data)
    trainer, told, most = start(experiment, data), 0, 0
    small = trainer._small
    assert isinstance(small, StepGraph)
    losses = small.losses

    def seen(wait: bool) -> list[float]:
        nonlocal most
        most = max(most, len(small._under_way))
        return losses(wait)

    small.losses = seen  # type: ignore[method-assign]  # looks on
    for event in trainer.run():
        told += len(event.losses) if isinstance(event, StepsDone) else 0
        if not isinstance(event, LayersSeen):
            assert (told, small.pending) == (trainer.step, 0)
    assert most == 2


@pytest.mark.parametrize("late", [KERNELS], indirect=True)
@pytest.mark.usefixtures("late")
def test_a_loss_that_arrives_late_names_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MOST_STEPS", 2)
    test_graph.test_a_loss_that_is_not_finite_ends_the_training()


def test_nobody_waits_for_two_slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "SECONDS_AT_ONCE", 1e-9)
    trainer = start(dense(), make_data(train=66))
    small = trainer._small
    assert isinstance(small, StepGraph)
    begin = small._begin

    def alone(*arguments: Any) -> int:
        assert small.pending == 0
        return begin(*arguments)

    monkeypatch.setattr(small, "_begin", alone)
    list(trainer.run())
    assert is_recorded(trainer)


@pytest.mark.parametrize("late", [KERNELS, COPIES, BOTH], indirect=True)
@pytest.mark.parametrize(("experiment", "data"), LARGE, ids=["dense", "augmented"])
@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "on disk"])
@pytest.mark.usefixtures("late")
def test_copies_arrive_before_they_are_read_and_stay_as_long(
    experiment: Experiment, data: Data, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_graph.test_samples_that_do_not_lie_on_the_device(experiment, data, stored, monkeypatch)


@pytest.mark.parametrize("late", [COPIES], indirect=True)
@pytest.mark.usefixtures("late")
def test_the_emulator_copies_when_somebody_waits() -> None:
    ops = EmulatedKernels()
    staging = ops.staging((3,), "int64")
    staging.host()[:] = 1, 2, 3
    staging.send()
    assert ops.to_host(staging.device).tolist() != [1, 2, 3]
    staging.receive()
    assert ops.to_host(staging.device).tolist() == [1, 2, 3]


def test_a_thread_that_uses_two_devices_by_turns() -> None:
    first, second = EmulatedKernels(), EmulatedKernels()
    for ops in (first, second, second, first):
        ops.xp.zeros(3)
        assert TAPE.here.device is ops
        ops.count_up(ops.xp.zeros(3))
        assert TAPE.here.device is ops
