"""A network that only runs forwards: it gives what one that trains gives, with two buffers for all layers."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import (
    EVERY_LAYER,
    GLOBAL_POOLINGS,
    IMAGE_LAYERS,
    SEQUENCE_LAYERS,
    make_experiment,
    make_info,
    make_split,
)
from tests.kernels import every_device, make_kernels
from tuilab.blocks.samples import Scaling, Split
from tuilab.engine.batches import batches_for
from tuilab.engine.inference import predict
from tuilab.engine.measures import Measures, evaluate
from tuilab.engine.network import Network
from tuilab.experiment.document import Experiment
from tuilab.experiment.plan import plan

pytestmark = every_device

OUTPUT: dict[str, Any] = {"type": "dense", "units": 3, "activation": "softmax"}
PADDED = [
    {"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same", "activation": "mish"},
    {"type": "zero_padding2d"},
    {"type": "conv2d", "filters": 4, "kernel_size": 3, "activation": "relu"},
    {"type": "zero_padding2d"},
]
SHORTCUTS = [
    {"type": "residual", "layers": PADDED[:1], "projection": PADDED[:1] * 2},
    {"type": "residual", "layers": [{"type": "residual", "layers": PADDED[:1] * 2}, {"type": "dropout", "rate": 0.5}]},
    {"type": "residual", "layers": [{"type": "activation", "activation": "tanh"}]},
]
NETWORKS = [
    (EVERY_LAYER, (6,)),
    ([*IMAGE_LAYERS, {"type": "flatten"}, OUTPUT], (6, 6, 2)),
    ([*SEQUENCE_LAYERS, {"type": "flatten"}, OUTPUT], (8, 3)),
    *(([layer, {"type": "flatten"}, OUTPUT], (8, 3)) for layer in GLOBAL_POOLINGS if layer["type"].endswith("1d")),
    *(([layer, {"type": "flatten"}, OUTPUT], (4, 4, 3)) for layer in GLOBAL_POOLINGS if layer["type"].endswith("2d")),
    ([*PADDED, *SHORTCUTS, {"type": "flatten"}, OUTPUT], (5, 4, 1)),
]


def make(experiment: Experiment, shape: tuple[int, ...], trains: bool, batch_size: int = 7) -> Network:
    planned = plan(experiment, make_info(shape=shape))
    training = experiment.training
    return Network(make_kernels(), planned, training.loss, batch_size, training.dtype, experiment.seed, trains=trains)


def classifier(layers: list[dict[str, Any]]) -> Experiment:
    return make_experiment(layers, "categorical_crossentropy", data={"flatten": False}, metrics=["accuracy"])


@pytest.mark.parametrize(("layers", "shape"), NETWORKS)
def test_predictions_and_results_are_those_of_a_network_that_trains(
    layers: list[dict[str, Any]], shape: tuple[int, ...]
) -> None:
    experiment = classifier(layers)
    learning, running = (make(experiment, shape, trains) for trains in (True, False))
    split = make_split(make_info(shape=shape), 18)
    found = []
    for network in (learning, running):
        outputs = [predict(network, split.features, None) for _ in range(2)]
        np.testing.assert_array_equal(*outputs)
        measures = Measures(network.ops, experiment.training.metrics, network.plan.outputs)
        found.append((outputs[0].tobytes(), evaluate(network, batches_for(network, split, None), measures)))
    assert found[0] == found[1]


def test_all_layers_write_to_two_buffers() -> None:
    layers = [{"type": "dense", "units": units, "activation": "gelu"} for units in (5, 3, 4, 5, 2)]
    network = make(classifier([*layers, OUTPUT]), (6,), trains=False)
    places = [bound.output.__array_interface__["data"][0] for bound in network.layers]  # type: ignore[attr-defined]
    assert len(set(places)) == 2
    assert all(before != after for before, after in pairwise(places))
    assert network.arena.gradients.size == 0


@pytest.mark.parametrize("trains", [True, False])
def test_a_batch_allocates_nothing(trains: bool) -> None:
    """Not one byte a sample, over many batches."""
    rows = 32_768
    before = np.setbufsize(256)
    experiment = classifier([{"type": "dense", "units": 4, "activation": "silu"}, OUTPUT])
    network = make(experiment, (6,), trains, rows)
    pixels = Split(np.ones((4 * rows + rows // 2, 6), "uint8"), np.zeros(4 * rows + rows // 2, "int64"))
    scaling = Scaling(np.array(1, "float32"), np.array(0.5, "float32"))
    measures = Measures(network.ops, experiment.training.metrics, network.plan.outputs)
    batches = batches_for(network, pixels, scaling)
    evaluate(network, batches, measures)
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        evaluate(network, batches, measures)
        assert tracemalloc.get_traced_memory()[1] - start < rows // 2
    finally:
        tracemalloc.stop()
        np.setbufsize(before)


def test_no_samples_give_no_outputs() -> None:
    network = make(classifier([OUTPUT]), (6,), trains=False)
    assert predict(network, np.empty((0, 6), "float32"), None).shape == (0, 3)
