"""The comparison of a device with the reference: what is wrong shows, block by block, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cupy_backends.cuda.api.runtime import CUDARuntimeError

from tuilab.blocks.activations import Activation, Relu, Tanh
from tuilab.blocks.layers import Layer
from tuilab.blocks.losses import Loss
from tuilab.engine import parity, parity_cases
from tuilab.engine.kernels.numba import NumbaKernels
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.parity import Compared, compare_blocks, largest_difference
from tuilab.engine.parity_cases import KINDS, blocks, cases, variants


class WrongTanh(NumpyKernels):
    def activate(self, activation: Activation, x: Any, bias: Any, out: Any) -> None:
        super().activate(activation, x, bias, out)
        if type(activation) is Tanh:
            out *= 1.001


class WrongMask(NumpyKernels):
    def draw_mask(self, stream: Any, rate: float, out: Any) -> None:
        super().draw_mask(stream, rate, out)
        out[...] = out[::-1].copy()


class WrongRate(NumpyKernels):
    def update(self, optimizer: Any, w: Any, g: Any, slots: Any, coefficients: Any, kept: float) -> None:
        super().update(optimizer, w, g, slots, coefficients, kept)
        if optimizer.type_name() == "adam":
            w += 0.001


class WrongPooling(NumpyKernels):
    def max_pool2d_backward(self, chosen: Any, dy: Any, window: Any, dx: Any) -> None:
        super().max_pool2d_backward(chosen, dy, window, dx)
        dx[:, -1] = 0


class WrongBatchOfOne(NumpyKernels):
    """Wrong where the last batch is smaller than the others."""

    def loss_from_logits(self, loss: Any, activation: Any, target: Any, logits: Any, *arrays: Any) -> None:
        super().loss_from_logits(loss, activation, target, logits, *arrays)
        if len(logits) < parity_cases.BATCH and loss.type_name() == "binary_focal_crossentropy":
            arrays[2][...] *= 1.01


class WrongStatistics(NumpyKernels):
    def count_flat(self, activation: Any, x: Any, y: Any, least: float, dead: Any, flat: Any) -> None:
        super().count_flat(activation, x, y, least, dead, flat)
        if type(activation) is Relu:
            dead += 0.1


class NoNumber(NumpyKernels):
    def add_to_metric(self, metric: Any, outputs: Any, labels: Any, prediction: Any, state: Any) -> None:
        super().add_to_metric(metric, outputs, labels, prediction, state)
        if metric.type_name() == "r2":
            state[...] = np.nan


class Raises(NumpyKernels):
    def moments(self, x: Any, mean: Any, variance: Any) -> None:
        raise ValueError("no such kernel")


class Dies(NumpyKernels):
    def moments(self, x: Any, mean: Any, variance: Any) -> None:
        raise CUDARuntimeError(700)


def failed(ops: NumpyKernels) -> dict[str, Compared]:
    return {f"{row.kind} {row.name}": row for row in compare_blocks(ops) if not row.passed}


@pytest.fixture(autouse=True)
def _each_block_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare with the defaults alone, which a broken kernel breaks too."""
    groups = [{"groups": 2}]  # whose default fits no layer as small as these
    first = {"group_normalization": groups}
    monkeypatch.setattr(parity_cases, "variants", lambda block: first.get(block.type_name(), list(variants(block))[:1]))


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        (WrongMask(), {"layer dropout", "layer spatial_dropout1d", "layer spatial_dropout2d"}),
        (WrongRate(), {"optimizer adam"}),
        (WrongPooling(), {"layer max_pooling2d", "layer max_pooling1d"}),
        (WrongBatchOfOne(), {"loss binary_focal_crossentropy"}),
        (WrongStatistics(), {"activation relu", "loss poisson"}),
        (NoNumber(), {"metric r2"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_wrong_shows_and_nothing_else(ops: NumpyKernels, expected: set[str]) -> None:
    assert failed(ops).keys() == expected


def test_what_many_use_shows_in_many() -> None:
    found = failed(WrongTanh())
    assert {"activation tanh", "layer activation", "optimizer sgd"} <= found.keys()
    assert "activation relu" not in found
    assert found["activation tanh"].difference > 1e-4
    assert found["activation tanh"].where.startswith("defaults: ")


def test_what_raises_is_told_and_the_rest_is_compared() -> None:
    assert {row.name: row.trouble for row in failed(Raises()).values()} == {
        "batch_normalization": "ValueError: no such kernel"
    }


def test_a_device_that_dies_ends_it() -> None:
    rows = list(compare_blocks(Dies()))
    assert (rows[-1].name, rows[-1].passed) == ("batch_normalization", False)
    assert "a kernel reached for memory that is not its own" in rows[-1].trouble
    assert all(row.passed for row in rows[:-1])


def test_double_precision_is_compared_more_closely() -> None:
    rows = {f"{row.kind} {row.name}": row for row in compare_blocks(NumbaKernels(), "float64")}
    assert all(row.passed for row in rows.values()), [row for row in rows.values() if not row.passed]
    assert max(row.difference for row in rows.values()) < 1e-9


def test_every_block_is_there() -> None:
    found = {(kind.kind_name(), block.type_name()) for kind, block in blocks()}
    every = {(kind.kind_name(), name) for kind in KINDS for name in kind.registry}
    assert every - found == {("layer", "vgg16"), ("layer", "vgg19")}, "they have no numbers of their own"


def test_a_new_block_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Layer, Activation, Loss):
        monkeypatch.setattr(kind, "registry", dict(kind.registry))

    class Doubled(Tanh):
        """Like tanh, and twice as much of it: y = 2 · tanh(x)."""

    assert ("activation", "doubled") in {(kind.kind_name(), block.type_name()) for kind, block in blocks()}
    assert len(list(cases(Activation, Doubled, "float32"))) == 2


def test_settings_are_changed_one_by_one_and_all_together() -> None:
    found = list(variants(Layer.registry["separable_conv2d"]))
    least = {"filters": 4, "kernel_size": 3}
    assert found[0] == least
    assert {**least, "padding": "same"} in found
    assert {**least, "use_bias": False} in found
    assert {**least, "strides": 2} in found
    assert found[-1] == {
        **least,
        "trainable": True,
        "padding": "same",
        "strides": 2,
        "dilation_rate": 2,
        "depth_multiplier": 2,
        "use_bias": False,
    }


def test_a_block_without_a_case_does_not_pass() -> None:
    nothing = parity.Compared("layer", "unknown", 0, 0.0, 1e-4, "")
    assert not nothing.passed


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.5, 0.0], [0.0, 0.0], 0.5),
        ([np.nan, 2.0], [np.nan, 2.0], 0.0),
        ([np.nan, 2.0, np.inf], [np.nan, 2.5, np.inf], 0.2),
        ([np.nan, 2.0], [1.0, 2.0], np.inf),
        ([1.0, 2.0], [np.nan, 2.0], np.inf),
        ([np.inf, 2.0], [np.inf, 2.0], 0.0),
    ],
)
def test_differences(found: list[float], wanted: list[float], expected: float) -> None:
    name, difference = largest_difference({"x": np.array(found)}, {"x": np.array(wanted)})
    assert difference == expected
    assert name == ("x" if expected else "")


def test_small_gradients_are_compared_with_the_largest() -> None:
    wanted = {"gradient of a": np.array([1.0]), "gradient of b": np.array([1e-9])}
    found = {"gradient of a": np.array([1.0]), "gradient of b": np.array([3e-9])}
    assert largest_difference(found, wanted) == ("gradient of b", pytest.approx(2e-7))
