"""Augmentation at work: in training alone, in order, resumable, on targets too, on any device, allocating nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engine import test_memory as memory
from tests.engine.examples import make_data, make_experiment, make_info, make_network, make_trainer, train
from tests.engine.test_checkpoint import outcome, stopped_after
from tests.engine.test_memory import LIMIT, _small_conversion_buffers, peak  # noqa: F401
from tests.engine.test_strict_device import same_on_both
from tuilab.blocks.augmentations import Augmentation
from tuilab.blocks.metric import Task
from tuilab.blocks.samples import Data, Scaling, Split
from tuilab.engine.batches import batches_for
from tuilab.engine.check import check_gradients
from tuilab.engine.checkpoint import restore
from tuilab.engine.inference import predict
from tuilab.engine.trainer import Trainer
from tuilab.experiment.document import Experiment

SHAPE = (6, 5, 2)
OUTPUT: dict[str, dict[str, Any]] = {
    "categorical": {"type": "dense", "units": 3, "activation": "softmax"},
    "binary": {"type": "dense", "units": 1, "activation": "sigmoid"},
    "multi_label": {"type": "dense", "units": 3, "activation": "sigmoid"},
    "regression": {"type": "dense", "units": 2},
}
LOSS = {"categorical": "categorical_crossentropy", "regression": "mean_squared_error"}

EVERY: list[Any] = [
    "random_flip",
    {"type": "random_crop", "height": 6, "width": 5, "padding": 1},
    {"type": "random_rotation", "factor": 0.1},
    {"type": "random_translation", "height_factor": 0.1, "width_factor": 0.2, "fill_mode": "constant"},
    {"type": "random_zoom", "height_factor": 0.2, "width_factor": 0.1, "interpolation": "nearest"},
    {"type": "random_brightness", "factor": 0.2},
    {"type": "random_contrast", "factor": 0.2},
    "random_erasing",
    {"type": "random_erasing", "fill_value": 0.0},
    "mixup",
    "cutmix",
    {"type": "resizing", "height": 9, "width": 4},
    {"type": "center_crop", "height": 5, "width": 4},
    {"type": "rescaling", "scale": 2.0, "offset": -1.0},
    {"type": "normalization", "mean": [0.1, 0.2], "variance": 2.0},
]


def experiment(augmentation: list[Any], task: Task = "categorical", **settings: Any) -> Experiment:
    layers = [{"type": "flatten"}, OUTPUT[task]]
    data = {"augmentation": augmentation, **settings.pop("data", {})}
    return make_experiment(layers, LOSS.get(task, "binary_crossentropy"), data=data, **settings)


def batches(trainer: Trainer, epoch: int = 1) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    trainer.train.shuffle(trainer.experiment.seed, epoch)
    found = []
    for index in range(len(trainer.train)):
        trainer.network.clock.epoch, trainer.network.clock.step = epoch, (epoch - 1) * len(trainer.train) + index
        x, labels = trainer.train.batch(index)
        targets = trainer.train.targets
        found.append((x.copy(), labels.copy(), None if targets is None else targets.copy()))
    return found


def test_every_augmentation_is_tried_here() -> None:
    assert {Augmentation.choose(choice).type_name() for choice in EVERY} == set(Augmentation.registry)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", OUTPUT)
def test_all_in_a_row_train_the_same_bytes_on_every_device(task: Task, dtype: str) -> None:
    settings = {"metrics": [], "statistics_every": 1, "dtype": dtype}
    if task in ("categorical", "binary"):
        settings |= {"metrics": ["accuracy"], "class_weight": "balanced"}
    same_on_both(experiment(EVERY, task, **settings), make_data(task, SHAPE))


def test_flat_pictures_are_pictures_all_the_same() -> None:
    flat, whole = (
        make_trainer(experiment(EVERY, data={"flatten": flat}), make_data(shape=SHAPE)) for flat in (True, False)
    )
    assert flat.plan.input_shape == (40,)
    assert whole.plan.input_shape == (5, 4, 2)
    for (x, *_), (pictures, *_) in zip(batches(flat), batches(whole), strict=True):
        assert np.array_equal(x, pictures.reshape(len(x), -1))


def test_they_act_in_the_order_of_the_list() -> None:
    scale, add = {"type": "rescaling", "scale": 2.0}, {"type": "rescaling", "scale": 1.0, "offset": 1.0}
    data = make_data(shape=SHAPE, train=4)
    for chain, expected in (([scale, add], lambda x: 2 * x + 1), ([add, scale], lambda x: 2 * (x + 1))):
        network = make_network(experiment(chain), data.info)
        x, _ = batches_for(network, data.train, None).batch(0)
        np.testing.assert_allclose(x, expected(data.train.features), rtol=1e-6)


def test_they_act_on_scaled_values() -> None:
    info = make_info(shape=SHAPE)
    split = Split(np.full((4, *SHAPE), 255, "uint8"), np.zeros(4, "int64"))
    brighter = [{"type": "random_brightness", "factor": [-0.25, -0.25]}]
    scaling = Scaling(np.float32(0), np.float32(1 / 255))
    x, _ = batches_for(make_network(experiment(brighter), info), split, scaling, training=True).batch(0)
    np.testing.assert_allclose(x, 0.75, rtol=1e-6)


def test_what_draws_acts_in_training_alone_what_is_fixed_everywhere() -> None:
    data = make_data(shape=SHAPE)
    assert data.validation is not None
    fixed = [entry for entry in EVERY if isinstance(entry, dict) and not Augmentation.choose(entry).random]
    only_fixed, all_of_them = (make_trainer(experiment(chain), data) for chain in (fixed, EVERY))
    for evaluated in (only_fixed, all_of_them):
        evaluated.network.arena.values[...] = np.linspace(-1, 1, evaluated.network.arena.values.size)
    assert only_fixed.evaluate(data.train) == all_of_them.evaluate(data.train)
    assert only_fixed.evaluate(data.validation) == all_of_them.evaluate(data.validation)
    for ours, theirs in ((predict(each.network, data.train.features, None) for each in (only_fixed, all_of_them)),):
        assert np.array_equal(ours, theirs)
    assert not np.array_equal(batches(only_fixed)[0][0], batches(all_of_them)[0][0])
    plain = make_trainer(experiment([]), data)
    assert plain.plan.input_shape == SHAPE
    assert all_of_them.plan.input_shape == (5, 4, 2)


def test_pictures_depend_on_seed_epoch_and_step_alone() -> None:
    data = make_data(shape=SHAPE, train=64)
    same = Data(data.info, Split(data.train.features[:1].repeat(64, axis=0), data.train.targets), None, None, None)
    trainer = make_trainer(experiment(["random_flip"], data={"batch_size": 32}), same)
    first, second = batches(trainer)
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], batches(trainer, epoch=2)[0][0])
    assert np.array_equal(first[0], batches(trainer)[0][0])
    assert not np.array_equal(first[0], batches(make_trainer(experiment(["random_flip"], seed=4), same))[0][0])


@pytest.mark.parametrize("steps", [1, 6, 8])
@pytest.mark.parametrize("shuffle", [True, False])
def test_going_on_within_an_epoch_gives_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, steps: int, shuffle: bool
) -> None:
    monkeypatch.setattr("tuilab.engine.trainer.SECONDS_BETWEEN_EVENTS", 0)
    settings = experiment(EVERY, epochs=3, metrics=["accuracy"], data={"shuffle": shuffle})
    data = make_data(shape=SHAPE)
    whole = outcome(make_trainer(settings, data))
    other = make_trainer(settings, data)
    restore(other, stopped_after(make_trainer(settings, data), steps))
    assert outcome(other) == whole
    assert whole != outcome(make_trainer(experiment([*EVERY[1:], EVERY[0]], epochs=3, data={"shuffle": shuffle}), data))


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
@pytest.mark.parametrize("task", OUTPUT)
def test_mixed_samples_have_mixed_targets_and_the_label_of_the_larger_share(task: Task, mixing: str) -> None:
    chain = [{"type": mixing, "alpha": 1.0} if mixing == "mixup" else mixing]
    data = make_data(task, SHAPE, train=40)
    x, labels, targets = batches(make_trainer(experiment(chain, task, data={"batch_size": 40}), data))[0]
    plain, before, none = batches(make_trainer(experiment([], task, data={"batch_size": 40}), data))[0]
    assert none is None
    assert targets is not None
    share, partners = shares(x, plain, mixing)
    truth = np.eye(3)[before] if task == "categorical" else before.reshape(40, -1).astype("float64")
    part = share[:, None]
    np.testing.assert_allclose(targets, part * truth + (1 - part) * truth[partners], atol=1e-4)
    assert (np.abs(share - 0.5) > 1e-3).all()
    kept = share > 0.5
    assert np.array_equal(labels[kept], before[kept])
    assert np.array_equal(labels[~kept], before[partners][~kept])
    assert 5 < kept.sum() < 35


def shares(x: np.ndarray, plain: np.ndarray, mixing: str) -> tuple[np.ndarray, np.ndarray]:
    """Find out from the pictures which two were mixed, and in which shares."""
    found = []
    flat, all_plain = x.reshape(len(x), -1).astype("float64"), plain.reshape(len(x), -1).astype("float64")
    for index, picture in enumerate(flat):
        own, best = all_plain[index], (np.inf, 1.0, index)
        for other, theirs in enumerate(all_plain):
            if mixing == "cutmix":
                wrong = ~((picture == own) | (picture == theirs))
                candidate = (float(wrong.sum()), float((picture == own).mean()), other)
            else:
                change = own - theirs
                share = (picture - theirs) @ change / max(change @ change, 1e-12)
                candidate = (round(np.abs(theirs + share * change - picture).max(), 4), share, other)
            if other == index:
                candidate = (round(np.abs(picture - own).max(), 4), 1.0, index)
            best = min(best, candidate, key=lambda each: each[0])
        assert best[0] == 0
        found.append(best[1:])
    share, partners = zip(*found, strict=True)
    return np.array(share), np.array(partners)


def test_the_loss_is_that_of_both_shares() -> None:
    data = make_data(shape=SHAPE, train=20)
    trainer = make_trainer(experiment([{"type": "mixup", "alpha": 1.0}], data={"batch_size": 20}), data)
    x, labels, targets = batches(trainer)[0]
    assert targets is not None
    probabilities = trainer.network.forward(x).astype("float64")
    trainer.network.measure(x, targets, training=True)
    expected = -(targets * np.log(probabilities)).sum(axis=1).mean()
    np.testing.assert_allclose(trainer.network.step_loss[0], expected, rtol=1e-5)
    _, events = train(experiment([{"type": "mixup", "alpha": 1.0}], data={"batch_size": 20}, epochs=1), data)
    told = next(event.losses[0] for event in events if hasattr(event, "losses"))
    np.testing.assert_allclose(told, expected, rtol=1e-5)
    assert labels.dtype == "int64"


def test_gradients_are_those_of_the_network_behind_the_fixed_ones() -> None:
    chain = [*EVERY[-4:], "random_flip"]
    checked = list(check_gradients(experiment(chain), make_data(shape=SHAPE, dtype="float64")))
    assert [one.parameter for one in checked] == ["kernel", "bias"]
    assert all(one.passed for one in checked)


@pytest.mark.parametrize("choice", EVERY, ids=lambda choice: Augmentation.choose(choice).type_name())
@pytest.mark.usefixtures("_small_conversion_buffers")
def test_a_step_allocates_no_array_memory(choice: Any) -> None:
    settings = choice if isinstance(choice, dict) else {"type": choice}
    small = {"height": 2, "width": 2} if "height" in settings else {}
    made = experiment([{**settings, **small, **({"mean": 0.1} if "mean" in settings else {})}])
    made = made.model_copy(update={"data": made.data.model_copy(update={"batch_size": memory.BATCH})})
    data = make_data(shape=(2, 2, 1), train=memory.TWO_STEPS, validation=0)
    assert peak(make_trainer(made, data)) < LIMIT


def test_mixing_needs_no_pictures() -> None:
    plain = make_trainer(experiment(["mixup"]), make_data())
    assert plain.plan.input_shape == (6,)
    assert replace(plain.plan, augmentation=()) != plain.plan
    outcome(plain)
