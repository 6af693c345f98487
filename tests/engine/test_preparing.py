"""Batches prepared ahead of their step: the same numbers as without, errors that arrive, no thread that stays."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import make_data, make_experiment, make_trainer
from tests.engine.test_augmenting import EVERY, SHAPE, experiment
from tests.engine.test_checkpoint import outcome, stopped_after
from tests.kernels import every_device
from tuilab.blocks.arrays import HostArray
from tuilab.blocks.samples import Data, Scaling, Split, Stored
from tuilab.engine import batches, preparing
from tuilab.engine.checkpoint import restore
from tuilab.engine.preparing import Ahead, Moment
from tuilab.engine.trainer import Trainer
from tuilab.errors import DataError

pytestmark = every_device

MAIN = threading.current_thread()


class Listed(Stored):
    """Samples that note who reads them; what is negative cannot be read."""

    def __init__(self, features: HostArray) -> None:
        super().__init__(features.shape, str(features.dtype))
        self.features = features
        self.readers: list[str] = []

    def read(self, rows: HostArray, out: HostArray) -> None:
        self.readers.append(threading.current_thread().name)
        out[...] = self.features[rows]
        if out.min() < 0:
            raise DataError("a sample is damaged")


def pixels(data: Data) -> HostArray:
    return np.random.default_rng(1).integers(0, 256, data.train.features.shape).astype("uint8")


def made(monkeypatch: pytest.MonkeyPatch, ahead: bool, stored: bool = False, layers: Any = None) -> Trainer:
    """Return a training that prepares its batches ahead, or when they are wanted."""
    monkeypatch.setattr(batches, "one_to_spare", lambda: ahead)
    monkeypatch.setattr(preparing, "SECONDS_WORTH_A_THREAD", 0.0)
    data = make_data(shape=SHAPE)
    features = pixels(data)
    split = Split(Listed(features) if stored else features, data.train.targets)
    scaling = Scaling(np.array(3, "float32"), np.array(1 / 255, "float32"))
    chosen = experiment(EVERY, epochs=3) if layers is None else make_experiment(layers, "categorical_crossentropy")
    return make_trainer(chosen, Data(data.info, split, data.validation, None, scaling))


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name == "tuilab-errand"}


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "on disk"])
def test_the_same_bytes_with_and_without(monkeypatch: pytest.MonkeyPatch, stored: bool) -> None:
    inline, ahead = made(monkeypatch, False), made(monkeypatch, True, stored)
    assert (inline.train._early, ahead.train._early) == (False, True)
    assert outcome(ahead) == outcome(inline)
    assert threads() == set()


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "on disk"])
def test_a_training_goes_on_with_the_same_bytes(monkeypatch: pytest.MonkeyPatch, stored: bool) -> None:
    whole = made(monkeypatch, True, stored)
    expected = outcome(whole)
    checkpoint = stopped_after(made(monkeypatch, True, stored), steps=6)
    assert threads() == set()
    resumed = made(monkeypatch, True, stored)
    restore(resumed, checkpoint)
    assert outcome(resumed) == expected


def test_all_but_the_first_batch_of_an_epoch_are_prepared_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = made(monkeypatch, True, stored=True)
    list(trainer.run())
    source = trainer.data.train.features
    assert isinstance(source, Listed)
    count = len(trainer.train)
    assert source.readers == [MAIN.name, *["tuilab-errand"] * (count - 1)] * 3


def test_samples_on_disk_without_augmentation_are_those_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [{"type": "conv2d", "filters": 2, "kernel_size": 3}, {"type": "flatten"}, {"type": "dense", "units": 3}]
    layers[-1]["activation"] = "softmax"
    in_memory, on_disk = (made(monkeypatch, False, stored, layers) for stored in (False, True))
    assert outcome(on_disk) == outcome(in_memory)


def test_a_small_network_takes_samples_from_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [{"type": "dense", "units": 3, "activation": "softmax"}]
    in_memory, on_disk = (made(monkeypatch, False, stored, layers) for stored in (False, True))
    assert (on_disk._small is None) == (in_memory._small is None)
    assert outcome(on_disk) == outcome(in_memory)


def test_an_error_of_the_thread_reaches_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = made(monkeypatch, True, stored=True)
    source = trainer.data.train.features
    assert isinstance(source, Listed)
    source.features = source.features.astype("int64")
    trainer.train.shuffle(trainer.experiment.seed, 1)
    source.features[trainer.train._order[2 * trainer.network.batch_size]] = -1
    source.read = lambda rows, out: _raise_below_zero(source, rows, out)  # type: ignore[method-assign]
    with pytest.raises(DataError, match="a sample is damaged"):
        list(trainer.run())
    assert trainer.step == 2
    assert threads() == set()


def _raise_below_zero(source: Listed, rows: HostArray, out: HostArray) -> None:
    if (source.features[rows] < 0).any():
        raise DataError("a sample is damaged")
    out[...] = source.features[rows]


def test_a_training_that_is_left_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = made(monkeypatch, True, stored=True)
    running = trainer.run()
    trainer.step_by_step = True
    while trainer.step < 2:
        next(running)
    running.close()
    assert threads() == set()


def test_the_order_changes_while_nobody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = made(monkeypatch, True, stored=True)
    source, seen, begun = trainer.data.train.features, [], threading.Event()
    assert isinstance(source, Listed)

    def read(rows: HostArray, out: HostArray) -> None:
        before = rows.tolist()
        if threading.current_thread() is not MAIN:
            begun.set()
            time.sleep(0.05)
        seen.append(before == rows.tolist())

    source.read = read  # type: ignore[method-assign]
    trainer.train.shuffle(1, 1)
    trainer.train.batch(0)
    assert begun.wait(5)
    trainer.train.shuffle(1, 2)
    assert seen == [True, True]


def test_what_was_prepared_for_another_moment_is_not_used() -> None:
    done: list[tuple[int, Moment]] = []
    ahead = Ahead(lambda place, moment: done.append((place, moment)), always=True)
    first, second, other = Moment(0, 1, 0), Moment(1, 1, 1), Moment(1, 1, 7)
    assert ahead.take(first, second) == 0
    assert ahead.take(other, None) == 0
    assert done == [(0, first), (1, second), (0, other)]


def test_what_takes_no_time_is_done_when_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "perf_counter", lambda: 0.0)  # nor where another process comes between
    names: list[str] = []
    ahead = Ahead(lambda place, moment: names.append(threading.current_thread().name), always=False)
    for step in range(4):
        assert ahead.take(Moment(step, 1, step), Moment(step + 1, 1, step + 1)) == 0
    assert names == [MAIN.name] * 4


def test_an_error_in_what_nobody_wants_is_nobodys() -> None:
    def prepare(place: int, moment: Moment) -> None:
        if moment.batch == 1:
            raise DataError("never wanted")

    ahead = Ahead(prepare, always=True)
    ahead.take(Moment(0, 1, 0), Moment(1, 1, 1))
    assert ahead.take(Moment(0, 2, 5), None) == 0
    ahead.take(Moment(0, 1, 0), Moment(1, 1, 1))
    ahead.forget()
