"""Everything that a training needs to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.block import as_table
from tuilab.engine.events import EpochDone
from tuilab.engine.trainer import Trainer
from tuilab.text import clean_text


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps.

    arrays: flat, in host memory; numbers: what JSON can hold. Random numbers and the order of samples are not in it:
    they depend on seed, epoch and step alone.
    """

    arrays: dict[str, HostArray]
    numbers: dict[str, Any]


def capture(trainer: Trainer) -> Checkpoint:
    """Return the state of a trainer whose `run` is suspended between two events, or is over."""
    to_host = trainer.device.ops.to_host
    arrays = {name: to_host(array) for name, array in trainer.lasting_arrays().items()}
    if trainer.values_to_go_on is not None:
        arrays["values"] = trainer.values_to_go_on
    return Checkpoint(
        arrays,
        {
            "epoch": trainer.epoch,
            "step": trainer.step,
            "samples": trainer.samples,
            "statistics_due": trainer.statistics_due,
            "seconds": trainer.seconds(),
            "settings": settings_that_stay(trainer),
            "schedule": as_table(trainer.experiment.training.optimizer.learning_rate),
            "updater": trainer.updater.state(),
            "best": {"value": trainer.best.value, "epoch": trainer.best.epoch},
            "history": [asdict(done) for done in trainer.history],
        },
    )


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Bring a new trainer to the state of `checkpoint`.

    Raises ValueError, and changes nothing, where the two do not fit; says what differs.
    """
    numbers, ours, arrays = checkpoint.numbers, trainer.lasting_arrays(), dict(checkpoint.arrays)
    before, now = numbers["settings"], settings_that_stay(trainer)
    for place in [*now, *before]:
        if before.get(place) != now.get(place):
            is_now, was = clean_text(str(now.get(place))), clean_text(str(before.get(place)))
            raise ValueError(f"{place} is {is_now} and was {was}")
    if "loss_scaling" in ours.keys() ^ arrays.keys():  # the precision is another one: its scale begins anew, or is over
        for named in (ours, arrays):
            named.pop("loss_scaling", None)
    for name in sorted(ours.keys() | arrays.keys()):
        size = ours[name].size if name in ours else 0
        stored = arrays[name].size if name in arrays else 0
        if size != stored:
            raise ValueError(f"{name} holds {size:,} numbers and held {stored:,}")
    for name, array in ours.items():
        array[...] = trainer.device.ops.xp.asarray(arrays[name], dtype=array.dtype)
    trainer.epoch, trainer.step = numbers["epoch"], numbers["step"]
    trainer.samples, trainer.seconds_before = numbers["samples"], numbers["seconds"]
    trainer.statistics_due = numbers["statistics_due"]
    trainer.updater.restore(numbers["updater"])
    if numbers["schedule"] != as_table(trainer.experiment.training.optimizer.learning_rate):
        trainer.updater.forget_schedule()
    trainer.best.value, trainer.best.epoch = numbers["best"]["value"], numbers["best"]["epoch"]
    trainer.history = [EpochDone(**done) for done in numbers["history"]]


def settings_that_stay(trainer: Trainer) -> dict[str, Any]:
    """Return what cannot change between two steps of one training, by its place in the experiment, as JSON holds it."""
    experiment, training = trainer.experiment, trainer.experiment.training
    layers = {f"layers: {name}": list(parameter.shape) for name, parameter in trainer.network.parameters()}
    data = {f"data.{name}": value for name, value in as_table(experiment.data).items()}
    return {
        **layers,
        **data,
        "seed": experiment.seed,
        "training.optimizer": training.optimizer.type_name(),
        "training.metrics": [metric.label for metric in training.metrics],
        "training.dtype": training.dtype,
    }
