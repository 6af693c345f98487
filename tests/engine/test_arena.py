"""All parameters in one flat buffer: places, order, first values, and gaps that stay zero."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.examples import EVERY_LAYER, make_data, make_experiment, make_info, make_network, mlp, train
from tuilab.blocks.optimizers import Optimizer
from tuilab.engine.network import Network


def every_layer(dtype: str = "float32", **settings: object) -> Network:
    experiment = make_experiment(EVERY_LAYER, "categorical_crossentropy", dtype=dtype, **settings)
    return make_network(experiment, make_info())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_parameter_starts_at_a_multiple_of_256_bytes(dtype: str) -> None:
    arena = every_layer(dtype).arena
    assert arena.values.dtype == arena.gradients.dtype == dtype
    base, gradients = arena.values.ctypes.data, arena.gradients.ctypes.data
    for entry in arena.entries:
        assert (entry.value.ctypes.data - base) % 256 == 0
        assert entry.place.start * arena.values.itemsize == entry.value.ctypes.data - base
        assert entry.gradient is None or entry.gradient.ctypes.data - gradients == entry.value.ctypes.data - base


def test_trainable_parameters_come_first_and_none_overlap() -> None:
    layers = [{**layer, "trainable": index != 6} for index, layer in enumerate(EVERY_LAYER)]
    arena = make_network(make_experiment(layers, "categorical_crossentropy"), make_info()).arena
    trainable = [entry.gradient is not None for entry in arena.entries]
    assert trainable == sorted(trainable, reverse=True)
    assert [entry.parameter.trainable for entry in arena.entries] == trainable
    assert sum(trainable) == len(arena.segments)
    assert len(trainable) - sum(trainable) == 4  # the frozen layer's kernel and bias, two moving averages
    end = 0
    for entry in arena.entries:
        assert entry.place.start >= end
        end = entry.place.stop
        assert entry.place.stop <= arena.trainable_size or entry.gradient is None
    assert end <= arena.values.size < end + 64
    assert arena.gradients.size == arena.trainable_size == arena.trainable_values.size
    assert [(place.start, place.stop) for place in arena.segments] == [
        (entry.place.start, entry.place.stop) for entry in arena.entries if entry.gradient is not None
    ]


def test_parameters_are_views_of_the_arena() -> None:
    arena = every_layer().arena
    arena.values.fill(3)
    arena.gradients.fill(4)
    assert all((entry.value == 3).all() and entry.value.shape == entry.parameter.shape for entry in arena.entries)
    assert all((entry.gradient == 4).all() for entry in arena.entries if entry.gradient is not None)


def gaps(network: Network) -> np.ndarray:
    mask = np.ones(network.arena.values.size, bool)
    for entry in network.arena.entries:
        mask[entry.place] = False
    return mask


@pytest.mark.parametrize("name", sorted(Optimizer.registry))
def test_gaps_stay_zero_through_training(name: str) -> None:
    optimizer = {"type": name, "weight_decay": 0.01, "use_ema": True, "clipnorm": 1.0, "gradient_accumulation_steps": 2}
    if name == "rmsprop":
        optimizer["centered"] = True
    experiment = make_experiment(EVERY_LAYER, "categorical_crossentropy", optimizer=optimizer)
    trainer, _ = train(experiment, make_data())
    mask = gaps(trainer.network)
    assert mask.sum() > 100
    assert not trainer.network.arena.values[mask].any()
    assert not trainer.network.arena.gradients[mask[: trainer.network.arena.trainable_size]].any()


def test_first_values_depend_on_seed_and_place_alone() -> None:
    """The same in both precisions; another seed, layer or parameter has other numbers."""
    single, double, other = every_layer("float32"), every_layer("float64"), every_layer(seed=4)
    for ours, theirs in zip(single.arena.entries, double.arena.entries, strict=True):
        np.testing.assert_array_equal(ours.value, theirs.value.astype("float32"))
    kernels = [network.arena.of_layer(2)[0].value for network in (single, other)]
    assert not np.isclose(*kernels).any()
    twins = [{"type": "dense", "units": 6}, {"type": "dense", "units": 6}, {"type": "dense", "units": 3}]
    first, second, _ = (
        entry.value
        for entry in make_network(make_experiment(twins, "hinge"), make_info()).arena.entries
        if entry.parameter.name == "kernel"
    )
    assert not np.isclose(first, second).any()


def test_values_from_the_host_keep_the_precision_of_the_network() -> None:
    network = make_network(mlp(), make_info())
    entry = network.arena.entries[0]
    network.arena.write(entry, np.full(entry.parameter.shape, 1 / 3), network.ops)
    assert entry.value.dtype == "float32"
    assert (entry.value == np.float32(1 / 3)).all()
