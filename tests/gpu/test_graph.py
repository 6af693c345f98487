"""A step that was recorded once and is played again and again gives the numbers of single steps: nothing that changes
from step to step is part of the recording."""

from __future__ import annotations

from dataclasses import replace
from threading import Thread
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import end_of, losses_of, make_data, make_experiment
from tests.engine.test_augmenting import EVERY, OUTPUT, SHAPE
from tests.engine.test_augmenting import experiment as augmented
from tests.gpu.device import EmulatedKernels
from tuilab.blocks.arrays import Clock, Stream
from tuilab.blocks.samples import Data, Scaling, Split, Stored
from tuilab.engine import graph
from tuilab.engine.checkpoint import capture, restore
from tuilab.engine.device import Device
from tuilab.engine.events import Event, StepsDone
from tuilab.engine.graph import STEPS_AT_ONCE, StepGraph
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.trainer import Trainer
from tuilab.errors import DataError
from tuilab.experiment.document import Experiment

ADAM = {"type": "adam", "learning_rate": {"type": "cosine_decay", "decay_steps": 30}, "weight_decay": 0.01}
DENSE: list[dict[str, Any]] = [
    {"type": "dense", "units": 9, "activation": "relu", "kernel_regularizer": "l2"},
    {"type": "dropout", "rate": 0.3},
    {"type": "dense", "units": 7, "activation": "gelu"},
    {"type": "dense", "units": 3, "activation": "softmax"},
]
IMAGES: list[dict[str, Any]] = [
    {"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same", "use_bias": False},
    {"type": "batch_normalization"},
    {"type": "activation", "activation": "relu"},
    {"type": "max_pooling2d"},
    {"type": "spatial_dropout2d", "rate": 0.2},
    {"type": "conv2d", "filters": 5, "kernel_size": 2, "activation": "tanh"},
    {"type": "global_average_pooling2d"},
    {"type": "dense", "units": 3, "activation": "softmax"},
]


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "SECONDS_AT_ONCE", 3600.0)


def start(experiment: Experiment, data: Data, ops: Any = None) -> Trainer:
    return Trainer(experiment, data, Device("gpu", ops or EmulatedKernels(), steps_between_reads=5))


def dense(**settings: Any) -> Experiment:
    settings = {"optimizer": ADAM, "metrics": ["accuracy"], "statistics_every": 12, "epochs": 3, **settings}
    return make_experiment(DENSE, "categorical_crossentropy", data={"batch_size": 4}, **settings)


def images(**settings: Any) -> Experiment:
    settings = {"optimizer": ADAM, "metrics": ["accuracy"], "statistics_every": 7, **settings}
    return make_experiment(IMAGES, "categorical_crossentropy", data={"batch_size": 5}, **settings)


def is_recorded(trainer: Trainer) -> bool:
    return isinstance(trainer._small, StepGraph) and bool(trainer._small._recordings)


def weights(trainer: Trainer) -> np.ndarray:
    return trainer.device.ops.to_host(trainer.network.arena.values)


CASES = [(dense(), make_data(train=66)), (images(), make_data(shape=(6, 5, 2), train=47))]


@pytest.mark.parametrize(("experiment", "data"), CASES, ids=["dense", "images"])
def test_a_recording_gives_the_numbers_of_single_steps(experiment: Experiment, data: Data) -> None:
    outcomes = []
    for alone in (False, True):
        trainer = start(experiment, data)
        if alone:
            trainer._small = None
        events = list(trainer.run())
        assert end_of(events).status == "finished", end_of(events)
        assert trainer.one_by_one == ""
        assert is_recorded(trainer) != alone
        results = [epoch.results for epoch in trainer.history]
        outcomes.append((losses_of(events), results, weights(trainer).tobytes(), trainer.updater.state()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(("experiment", "data"), CASES, ids=["dense", "images"])
def test_a_recording_gives_the_numbers_of_the_reference(experiment: Experiment, data: Data) -> None:
    trainers = [start(experiment, data), Trainer(experiment, data, Device("cpu", NumpyKernels(), 1))]
    losses = [losses_of(list(trainer.run())) for trainer in trainers]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    np.testing.assert_allclose(*map(weights, trainers), rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(*(trainer.history for trainer in trainers), strict=True):
        assert ours.results == pytest.approx(theirs.results, rel=1e-4)


OTHERS: list[dict[str, Any]] = [
    {"optimizer": {"type": name, "clipnorm": 0.5}} for name in ("sgd", "adagrad", "adamax", "nadam", "lion", "adadelta")
]
OTHERS += [
    {"optimizer": {"type": "sgd", "momentum": 0.9, "nesterov": True, "global_clipnorm": 0.1}},
    {"optimizer": {"type": "rmsprop", "centered": True, "momentum": 0.5, "clipvalue": 0.01}},
    {"optimizer": {"type": "rmsprop", "learning_rate": {"type": "exponential_decay", "decay_steps": 3}}},
    {"class_weight": "balanced"},
    {"metrics": ["f1", "perplexity", "precision"]},
    {"dtype": "float64"},
]


@pytest.mark.parametrize("settings", OTHERS, ids=str)
def test_other_settings(settings: dict[str, Any]) -> None:
    test_a_recording_gives_the_numbers_of_single_steps(dense(epochs=1, **settings), make_data(train=66))


@pytest.mark.parametrize(("task", "loss"), [("regression", "mean_squared_error"), ("binary", "binary_crossentropy")])
def test_other_losses(task: Any, loss: str) -> None:
    last = {"type": "dense", "units": 2 if task == "regression" else 1}
    last["activation"] = "linear" if task == "regression" else "sigmoid"
    experiment = make_experiment([*DENSE[:3], last], loss, data={"batch_size": 4}, statistics_every=12, epochs=1)
    test_a_recording_gives_the_numbers_of_single_steps(experiment, make_data(task, train=66))


def test_pixels_are_scaled_on_the_device() -> None:
    data = make_data(shape=(6, 5, 2), train=47, scaling=Scaling(np.array(2, "float32"), np.array(1 / 9, "float32")))
    data.train.features[...] = data.train.features.round()
    test_a_recording_gives_the_numbers_of_single_steps(images(), data)


def test_both_recordings_are_played() -> None:
    trainer = start(dense(statistics_every=STEPS_AT_ONCE + 3), make_data(train=66))
    list(trainer.run())
    assert isinstance(trainer._small, StepGraph)
    assert {steps for _, steps, _ in trainer._small._recordings} == {1, STEPS_AT_ONCE}


def test_a_step_by_itself_sees_its_own_numbers_after_a_recording() -> None:
    """The same as at the last step by itself, while recordings have used others."""
    outcomes = []
    for alone in (False, True):
        trainer = start(dense(optimizer="sgd"), make_data(train=66))
        updater = trainer.updater
        if alone:
            trainer._small = None

        def rates(updater: Any = updater) -> tuple[tuple[float, ...], float]:
            updater.step += 1
            return (0.1 if updater.step % 12 == 1 else 0.02,), 1.0

        updater.next_coefficients = rates  # type: ignore[method-assign]  # a rate that jumps
        losses = losses_of(list(trainer.run()))
        assert is_recorded(trainer) != alone
        outcomes.append((losses, weights(trainer).tobytes()))
    assert outcomes[0] == outcomes[1]


def test_random_numbers_can_be_had_again_after_a_recording() -> None:
    trainer, ops = start(dense(), make_data(train=64)), EmulatedKernels()
    list(trainer.run())
    found, expected = (kernels.xp.zeros(9) for kernels in (trainer.device.ops, ops))
    stream = Stream(1, "dropout", trainer.network.clock)  # which shows where the last recording began
    trainer.device.ops.uniform(stream, found)
    ops.uniform(stream, expected)
    assert ops.to_host(found).tolist() == ops.to_host(expected).tolist()


def test_slow_steps_are_done_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "SECONDS_AT_ONCE", 1e-9)
    trainer = start(dense(), make_data(train=66))
    list(trainer.run())
    assert isinstance(trainer._small, StepGraph)
    assert {steps for _, steps, _ in trainer._small._recordings} == {1}


@pytest.mark.parametrize(("experiment", "data"), CASES, ids=["dense", "images"])
def test_a_resumed_training_goes_on_with_the_same_numbers(experiment: Experiment, data: Data) -> None:
    whole, begun, resumed = (start(experiment, data) for _ in range(3))
    list(whole.run())
    events = begun.run()
    for event in events:
        if isinstance(event, StepsDone) and event.step % 17 > 0:
            begun.stop("enough")
    restore(resumed, capture(begun))
    assert 0 < resumed.step < whole.step
    list(resumed.run())
    assert weights(resumed).tobytes() == weights(whole).tobytes()


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    trainer = start(dense(optimizer={"type": "sgd", "learning_rate": 1e4}), make_data(train=66))
    with np.errstate(all="ignore"):
        events: list[Event] = list(trainer.run())
    losses = losses_of(events)
    first = next(step for step, loss in enumerate(losses, 1) if not np.isfinite(loss))
    assert first > 1
    assert end_of(events).status == "diverged"
    assert end_of(events).reason == f"the loss is not finite at step {first}"


DIFFERING: list[dict[str, Any]] = [
    {"gradient_accumulation_steps": 2},
    {"gradient_accumulation_steps": 5, "global_clipnorm": 0.1},
    {"use_ema": True},
    {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    {"use_ema": True, "ema_overwrite_frequency": 2, "gradient_accumulation_steps": 3, "weight_decay": 0.01},
]


@pytest.mark.parametrize("settings", DIFFERING, ids=str)
def test_steps_that_differ(settings: dict[str, Any]) -> None:
    experiment, data = dense(optimizer={**ADAM, **settings}), make_data(train=66)
    test_a_recording_gives_the_numbers_of_single_steps(experiment, data)
    test_a_resumed_training_goes_on_with_the_same_numbers(experiment, data)


@pytest.mark.parametrize("task", OUTPUT)
def test_augmentation(task: Any) -> None:
    """The reference's random numbers, drawn on the device."""
    scaling = Scaling(np.array(0, "float32"), np.array(1 / 2, "float32"))
    settings = {"metrics": ["accuracy"], "class_weight": "balanced"} if task == "categorical" else {}
    experiment = augmented(EVERY, task, data={"batch_size": 5}, statistics_every=12, **settings)
    data = make_data(task, shape=SHAPE, train=47, scaling=scaling)
    test_a_recording_gives_the_numbers_of_single_steps(experiment, data)
    test_a_recording_gives_the_numbers_of_the_reference(experiment, data)
    test_a_resumed_training_goes_on_with_the_same_numbers(experiment, data)


class Slow(Stored):
    """Samples on a disk."""

    def __init__(self, features: np.ndarray) -> None:
        super().__init__(features.shape, str(features.dtype))
        self.features = features
        self.damaged = -1

    def read(self, rows: np.ndarray, out: np.ndarray) -> None:
        if self.damaged in rows:
            raise DataError("a sample is damaged")
        out[...] = self.features[rows]


def on_disk(data: Data) -> Data:
    validation = data.validation
    assert isinstance(data.train.features, np.ndarray)
    assert validation is not None
    assert isinstance(validation.features, np.ndarray)
    splits = [Split(Slow(split.features), split.targets) for split in (data.train, validation)]
    return replace(data, train=splits[0], validation=splits[1])


SCALED = Scaling(np.array(1, "float32"), np.array(1 / 2, "float32"))
LARGE: list[tuple[Experiment, Data]] = [
    (dense(optimizer={**ADAM, **DIFFERING[-1]}, statistics_every=9), make_data(train=66, scaling=SCALED)),
    (augmented(EVERY, data={"batch_size": 5}, statistics_every=9), make_data(shape=SHAPE, train=47, scaling=SCALED)),
]


@pytest.mark.parametrize(("experiment", "data"), LARGE, ids=["dense", "augmented"])
@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "on disk"])
def test_samples_that_do_not_lie_on_the_device(
    experiment: Experiment, data: Data, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for room in (True, False):
        ops = EmulatedKernels()
        monkeypatch.setattr(ops, "room", lambda room=room: 1 << 40 if room else 1)
        trainer = start(experiment, on_disk(data) if stored and not room else data, ops)
        assert (trainer.train.source is None) == room
        told = [] if room or stored else ["the samples take more than half of the GPU's free memory"]
        assert [remark.partition(":")[0] for remark in ops.remarks] == told
        events = list(trainer.run())
        assert end_of(events).status == "finished", end_of(events)
        assert trainer.one_by_one == ""
        assert isinstance(trainer._small, StepGraph)
        assert {place for _, _, place in trainer._small._recordings} == ({0} if room else {0, 1})
        results = [epoch.results for epoch in trainer.history]
        outcomes.append((losses_of(events), results, weights(trainer).tobytes(), trainer.updater.state()))
    assert outcomes[0] == outcomes[1]
    test_a_resumed_training_goes_on_with_the_same_numbers(experiment, on_disk(data))


def test_a_damaged_sample_ends_a_recorded_training() -> None:
    data = on_disk(make_data(train=66))
    trainer = start(dense(), data)
    source = data.train.features
    assert isinstance(source, Slow)
    trainer.train.shuffle(trainer.experiment.seed, 1)
    source.damaged = int(trainer.train._order[5 * trainer.network.batch_size])
    with pytest.raises(DataError, match="a sample is damaged"):
        list(trainer.run())
    assert is_recorded(trainer)
    assert trainer.step == 5


def test_a_training_on_another_thread_than_the_one_that_chose_the_device() -> None:
    experiment, data = dense(), make_data(train=66)
    expected, trainer = start(experiment, data), start(experiment, data)
    list(expected.run())
    events: list[Event] = []
    thread = Thread(target=lambda: events.extend(trainer.run()))
    thread.start()
    thread.join()
    assert end_of(events).status == "finished"
    assert weights(trainer).tobytes() == weights(expected).tobytes()


def test_every_kind_of_step_has_its_recording() -> None:
    trainer = start(dense(optimizer={"type": "sgd", "gradient_accumulation_steps": 3}), make_data(train=66))
    list(trainer.run())
    assert isinstance(trainer._small, StepGraph)
    roles = {role for role, _, _ in trainer._small._recordings}
    assert sorted((role.first, role.last) for role in roles) == [(False, False), (False, True), (True, False)]


def test_what_cannot_be_recorded_is_done_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, data = dense(), make_data(train=66)
    expected = start(experiment, data)
    list(expected.run())
    trainer = start(experiment, data)
    add = trainer.measures.add

    def add_with_memory(*arguments: Any) -> None:
        trainer.device.ops.xp.zeros(3)
        add(*arguments)

    monkeypatch.setattr(trainer.measures, "add", add_with_memory)
    events = list(trainer.run())
    assert end_of(events).status == "finished"
    assert trainer.one_by_one.startswith("RuntimeError: ")
    assert weights(trainer).tobytes() == weights(expected).tobytes()


def test_a_recording_does_nothing_before_it_is_played() -> None:
    ops, stream = EmulatedKernels(), Stream(1, "dropout", Clock())
    out = ops.xp.zeros(9, dtype="float32")
    recording = ops.record(lambda: ops.uniform(stream, out))
    assert not ops.to_host(out).any()
    recording.play()
    assert ops.to_host(out).all()


@pytest.mark.parametrize("what", ["memory", "upload", "read"])
def test_what_a_recording_refuses(what: str) -> None:
    ops = EmulatedKernels()
    x = ops.xp.zeros(9)
    acts = {"memory": lambda: x + x, "upload": lambda: ops.upload(np.zeros(9), x), "read": lambda: ops.to_host(x)}
    with pytest.raises(RuntimeError):
        ops.record(acts[what])
