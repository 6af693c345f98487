"""How the values of a layer are distributed: counts against numpy's, and when and where they are taken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.engine.examples import make_data, make_experiment, make_network, mlp, train
from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo
from tuilab.engine import distributions
from tuilab.engine.distributions import BINS, Distribution, Distributions, distribution
from tuilab.engine.events import LayersSeen


def test_counts_are_those_of_numpy() -> None:
    values = np.random.default_rng(1).normal(size=5000).astype(np.float32)
    found = distribution(values)
    assert found is not None
    counts, edges = np.histogram(values.astype(np.float64), BINS)
    assert (found.least, found.most) == (edges[0], edges[-1])
    assert np.abs(np.array(found.counts) - counts).sum() <= 2  # values on an edge, to rounding
    assert sum(found.counts) == 5000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([math.nan, math.inf, -math.inf, 1e308], None),
        ([2.0, 2.0, math.nan], Distribution(2.0, 2.0, (2, *[0] * (BINS - 1)))),
        ([0.0, 1.0, math.inf], Distribution(0.0, 1.0, (1, *[0] * (BINS - 2), 1))),
        ([-1e300, 1e300], Distribution(-1e300, 1e300, (1, *[0] * (BINS - 2), 1))),
    ],
)
def test_odd_values(values: list[float], expected: Distribution | None) -> None:
    assert distribution(np.array(values)) == expected


@given(arrays.arrays(np.float64, st.integers(0, 50), elements=st.floats()))
def test_whatever_the_values(values: HostArray) -> None:
    found = distribution(values)
    good = values[np.abs(values) <= 1e300]
    assert (found is None) == (len(good) == 0)
    if found:
        assert len(found.counts) == BINS
        assert sum(found.counts) == len(good)
        assert (found.least, found.most) == (good.min(), good.max())


def test_a_layer_s_kernel_its_gradient_and_its_outputs() -> None:
    """y = relu(x·k), loss its square: the gradient of the kernel is 2 · y · x where y > 0."""
    layers = [
        {"type": "dropout", "rate": 0.0},
        {"type": "dense", "units": 1, "activation": "relu"},
        {"type": "dense", "units": 1},
    ]
    experiment = make_experiment(layers, "mean_squared_error")
    network = make_network(experiment, DataInfo((2,), "regression", targets=1))
    kernel, last = (entry for entry in network.arena.entries if entry.parameter.name == "kernel")
    kernel.value[...] = [[3], [4]]
    last.value[...] = 1
    seen = Distributions(network)
    network.measure(np.array([[2, 1], [-2, -1]], network.dtype), np.zeros((2, 1), network.dtype), training=True)
    network.backward()
    seen.before_update()
    network.arena.gradients.fill(np.nan)  # an update uses them up
    kernel.value[...] = [[5], [6]]
    dropout, hidden, output = seen.after_update()
    assert (dropout.weights, dropout.gradients) == (None, None)
    assert hidden.weights is not None
    assert (hidden.weights.least, hidden.weights.most) == (5, 6)
    assert hidden.gradients is not None
    assert (hidden.gradients.least, hidden.gradients.most) == (10, 20)  # the mean over two samples
    assert hidden.outputs is not None
    assert (hidden.outputs.least, hidden.outputs.most) == (0, 10)
    assert output.weights is not None
    assert sum(output.weights.counts) == 1


def test_of_many_values_some_are_looked_at_and_every_unit_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network(
        make_experiment([{"type": "dense", "units": 64}], "mean_squared_error"),
        DataInfo((640,), "regression", targets=64),
    )
    kernel = network.arena.entries[0]
    kernel.value[...] = np.arange(64)  # the number of the unit
    looked: list[HostArray] = []
    monkeypatch.setattr(distributions, "distribution", lambda values: looked.append(np.array(values)))
    network.measure(np.zeros((1, 640), network.dtype), np.zeros((1, 64), network.dtype), training=True)
    network.backward()
    seen = Distributions(network)
    seen.before_update()
    seen.after_update()
    weights = looked[1]
    assert 3000 < len(weights) <= distributions.MOST_VALUES
    assert set(weights) == set(range(64))


def test_a_training_tells_them_first_and_last_and_seldom_between() -> None:
    _, events = train(mlp(epochs=40, statistics_every=3), make_data(train=50, validation=0))
    seen = [event for event in events if isinstance(event, LayersSeen)]
    told = [event.step for event in seen if event.distributions]
    assert told[0] == seen[0].step == 1
    assert told[-1] == seen[-1].step
    assert len(told) < len(seen) / 4
    assert all(len(event.distributions) in (0, 2) for event in seen)
