"""A training that is captured and restored ends with the bytes of one that was never stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.examples import make_data, make_trainer, mlp
from tests.kernels import every_device
from tuilab.engine.checkpoint import Checkpoint, capture, restore
from tuilab.engine.events import EpochDone, LayersSeen, StepsDone
from tuilab.engine.trainer import Trainer

pytestmark = every_device

SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam"},
    "nadam and its memory": {"optimizer": "nadam"},
    "gathered gradients": {"optimizer": {"type": "sgd", "momentum": 0.9, "gradient_accumulation_steps": 3}},
    "average": {"optimizer": {"type": "rmsprop", "use_ema": True, "ema_overwrite_frequency": 5}},
    "plateau": {"optimizer": {"type": "sgd", "learning_rate": {"type": "reduce_on_plateau", "patience": 1}}},
    "early stopping": {"early_stopping": {"patience": 2}},
    "class weights": {"class_weight": "balanced"},
}


def outcome(trainer: Trainer) -> tuple[bytes, list[Any], int]:
    for _ in trainer.run():
        pass
    results = [(done.epoch, done.step, dict(done.results), done.learning_rate, done.best) for done in trainer.history]
    return trainer.network.arena.values.tobytes(), results, trainer.samples


def stopped_after(trainer: Trainer, steps: int) -> Checkpoint:
    """The state of a training after `steps` steps, taken while it is suspended."""
    for event in trainer.run():
        if trainer.step >= steps and isinstance(event, (StepsDone, LayersSeen, EpochDone)):
            return capture(trainer)
    raise AssertionError("it ended before")


@pytest.mark.parametrize("steps", [1, 6, 8, 15])
@pytest.mark.parametrize("name", SETTINGS)
def test_going_on_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch, name: str, steps: int) -> None:
    monkeypatch.setattr("tuilab.engine.trainer.SECONDS_BETWEEN_EVENTS", 0)
    experiment = mlp(epochs=4, metrics=["accuracy"], **SETTINGS[name])
    whole = outcome(make_trainer(experiment, make_data()))
    checkpoint = stopped_after(make_trainer(experiment, make_data()), steps)
    other = make_trainer(experiment, make_data())
    restore(other, checkpoint)
    assert outcome(other) == whole


def test_a_finished_training_goes_on_from_its_last_step_not_from_its_best_epoch() -> None:
    stopping = {"patience": 50, "monitor": "loss", "min_delta": 0.3}
    whole = outcome(make_trainer(mlp(epochs=6, early_stopping=stopping), make_data()))
    short = make_trainer(mlp(epochs=3, early_stopping=stopping), make_data())
    outcome(short)
    assert short.values_to_go_on is not None
    longer = make_trainer(mlp(epochs=6, early_stopping=stopping), make_data())
    restore(longer, capture(short))
    assert outcome(longer) == whole


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    checkpoint = stopped_after(make_trainer(mlp(epochs=2, optimizer="adam"), make_data()), 3)
    other = make_trainer(mlp(epochs=2, optimizer={"type": "adam", "amsgrad": True}), make_data())
    before = other.network.arena.values.tobytes()
    with pytest.raises(ValueError, match=r"slots\.\w+ holds 256 numbers and held 0"):
        restore(other, checkpoint)
    sgd = make_trainer(mlp(epochs=2, optimizer="sgd"), make_data())
    with pytest.raises(ValueError, match=r"training\.optimizer is sgd and was adam"):
        restore(sgd, checkpoint)
    assert other.network.arena.values.tobytes() == before
    assert other.step == 0


def test_a_checkpoint_shares_no_memory_with_the_training() -> None:
    trainer = make_trainer(mlp(epochs=2), make_data())
    checkpoint = stopped_after(trainer, 1)
    for name, array in trainer.lasting_arrays().items():
        assert not np.shares_memory(array, checkpoint.arrays[name]), name
