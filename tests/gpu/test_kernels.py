"""Every kernel of the GPU gives the numbers of the reference, run by the emulator."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.engine.test_image_kernels import Convolution
from tests.gpu.device import EmulatedKernels
from tuilab.blocks.activations import Activation, LeakyRelu, Linear, LogSoftmax, Sigmoid, Softmax
from tuilab.blocks.arrays import Clock, Stream
from tuilab.blocks.crossentropies import BinaryCrossentropy, CategoricalCrossentropy
from tuilab.blocks.metric import Outputs, Task
from tuilab.blocks.metrics import Accuracy
from tuilab.blocks.optimizers import Optimizer
from tuilab.blocks.window import Pair, Window, slide
from tuilab.engine.kernels.gpu_activations import form_of
from tuilab.engine.kernels.numpy import NumpyKernels

Arrays = dict[str, Any]
TOLERANCES = {"float32": 2e-5, "float64": 1e-12}
both = pytest.mark.parametrize("dtype", TOLERANCES)
RANDOM = np.random.default_rng(3)
START = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Every test draws the same ones, whatever was run before it in this process."""
    RANDOM.bit_generator.state = START


def normal(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RANDOM.normal(size=shape).astype(dtype)


class Device:
    """Arrays by name on the reference and on the emulated GPU; what one does on both comes out the same."""

    def __init__(self, arrays: Arrays) -> None:
        self.reference, self.ops = NumpyKernels(), EmulatedKernels()
        with self.ops.scratch(self.ops.clock, shape=(1 << 16,)) as memory:
            memory.view("float64").fill(np.nan)
        self.host = {name: array.copy() for name, array in arrays.items()}
        self.device = {name: self.ops.xp.array(array) for name, array in arrays.items()}

    def same(self, act: Callable[[Any, Arrays], object], tolerance: float | None = None) -> None:
        with np.errstate(all="ignore"):
            act(self.reference, self.host)
            act(self.ops, self.device)
        for name, expected in self.host.items():
            found = self.ops.to_host(self.device[name])
            assert found.dtype == expected.dtype
            limit = tolerance or TOLERANCES.get(expected.dtype.name, 0)
            size = np.abs(np.where(np.isfinite(expected), expected, 0)).max(initial=1.0)
            np.testing.assert_allclose(found, expected, rtol=limit, atol=limit * size, err_msg=name)


SIZES = [(1, 1), (1, 5), (3, 32), (67, 33), (130, 7), (9, 700)]
"""Rows and units."""


@both
@pytest.mark.parametrize("size", [1, 7, 8, 9, 4097])
def test_random_numbers_are_those_of_the_reference(dtype: str, size: int) -> None:
    clock = Clock()
    device = Device({"u": np.zeros(size, dtype), "mask": np.zeros(size, dtype)})
    for clock.step, clock.epoch in ((0, 0), (5, 3), (2**40, 3)):
        stream = Stream(7, "layers[0].dropout", clock)
        device.same(lambda ops, a, stream=stream: ops.uniform(stream, a["u"]))
        device.same(lambda ops, a, stream=stream: ops.draw_mask(stream, 0.3, a["mask"]))
        for name in ("u", "mask"):
            assert device.host[name].tobytes() == device.ops.to_host(device.device[name]).tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "int64", "float64"])
@pytest.mark.parametrize("width", [1, 3, 4, 784])
def test_samples_are_gathered(dtype: str, width: int) -> None:
    source = RANDOM.integers(0, 100, (20, width)).astype(dtype)
    rows = RANDOM.integers(0, 19, 11)
    device = Device({"source": source, "rows": rows, "out": np.zeros((11, width), dtype)})
    device.same(lambda ops, a: ops.gather(a["source"], a["rows"], a["out"]))
    device.same(lambda ops, a: ops.gather(a["source"][1:], a["rows"][8:9], a["out"][3:4]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("size", [1, 300])
def test_counting_up(dtype: str, size: int) -> None:
    Device({"out": np.full(size, 7, dtype)}).same(lambda ops, a: ops.count_up(a["out"]))


@both
@pytest.mark.parametrize("source", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "bool", "float32"])
@pytest.mark.parametrize("sizes", [(0, 0), (1, 1), (0, 12), (12, 1)])
def test_samples_are_scaled(dtype: str, source: str, sizes: tuple[int, int]) -> None:
    arrays = {
        "source": RANDOM.integers(0, 2 if source == "bool" else 120, (9, 4, 3)).astype(source),
        "rows": RANDOM.integers(0, 9, 5),
        "offset": normal(sizes[0], dtype=dtype),
        "scale": normal(sizes[1], dtype=dtype),
        "out": np.zeros((5, 12), dtype),
    }

    def load(ops: Any, a: Arrays) -> None:
        offset, scale = (a[name] if a[name].size else None for name in ("offset", "scale"))
        ops.load(a["source"].reshape(9, 12), a["rows"], offset, scale, out=a["out"])

    Device(arrays).same(load)


def activations() -> list[Activation]:
    known = [block() for block in Activation.registry.values() if block not in (Softmax, LogSoftmax)]
    return [*known, LeakyRelu(negative_slope=0.05), Activation.choose({"type": "gelu", "approximate": True})]


@both
@pytest.mark.parametrize("activation", activations(), ids=lambda block: block.type_name())
def test_activations(dtype: str, activation: Activation) -> None:
    assert form_of(activation) is not None
    for rows, units in SIZES:
        arrays = {name: 3 * normal(rows, units, dtype=dtype) for name in ("x", "y", "dy", "out")}
        arrays |= {"bias": normal(units, dtype=dtype), "dbias": np.zeros(units, dtype)}
        device = Device(arrays)
        device.same(lambda ops, a: ops.activate(activation, a["x"], a["bias"], a["y"]))
        device.same(lambda ops, a: ops.activate_backward(activation, a["x"], a["y"], a["dy"], a["dbias"], a["out"]))
        device.same(lambda ops, a: ops.activate_backward(activation, a["x"], a["y"], a["dy"], None, a["dy"]))
        device.same(lambda ops, a: ops.activate(activation, a["out"], None, a["out"]))


@both
def test_an_activation_keeps_what_is_not_finite(dtype: str) -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0]], dtype)
    for activation in activations():
        device = Device({"x": values, "y": np.zeros_like(values)})
        device.same(lambda ops, a, activation=activation: ops.activate(activation, a["x"], None, a["y"]))


@both
@pytest.mark.parametrize("name", ["relu", "tanh", "relu6", "gelu", "linear"])
def test_units_without_a_slope_are_counted(dtype: str, name: str) -> None:
    activation = Activation.choose(name)
    for rows, units in SIZES:
        x = 6 * normal(rows, units, dtype=dtype)
        x[:, ::3] = -30
        y = np.zeros_like(x)
        NumpyKernels().activate(activation, x, None, y)
        device = Device({"x": x, "y": y, "dead": np.zeros(()), "flat": np.zeros(())})
        device.same(lambda ops, a: ops.count_flat(activation, a["x"], a["y"], 0.1, a["dead"], a["flat"]))


LOSSES = list(itertools.product([(1, 2), (3, 10), (21, 33), (9, 100)], [0.0, 0.1]))


@both
@pytest.mark.parametrize(("shape", "smoothing"), LOSSES)
@pytest.mark.parametrize("one_of_many", [True, False])
def test_softmax_and_crossentropy(dtype: str, shape: Pair, smoothing: float, one_of_many: bool) -> None:
    shares = RANDOM.dirichlet(np.ones(shape[1]), shape[0]).astype(dtype)
    arrays = {name: np.zeros(shape, dtype) for name in ("p", "dz")} | {"losses": np.zeros(shape[0], dtype)}
    arrays |= {"z": 5 * normal(*shape, dtype=dtype), "t": shares.argmax(axis=1) if one_of_many else shares}
    loss = CategoricalCrossentropy(label_smoothing=smoothing)
    Device(arrays).same(
        lambda ops, a: ops.loss_from_logits(loss, Softmax(), a["t"], a["z"], a["p"], a["losses"], a["dz"])
    )


@both
@pytest.mark.parametrize(("shape", "smoothing"), [((1, 1), 0.0), *LOSSES])
def test_sigmoid_and_crossentropy(dtype: str, shape: Pair, smoothing: float) -> None:
    arrays = {name: np.zeros(shape, dtype) for name in ("p", "dz")} | {"losses": np.zeros(shape[0], dtype)}
    arrays |= {"z": 9 * normal(*shape, dtype=dtype), "t": RANDOM.integers(0, 2, shape).astype(dtype)}
    loss = BinaryCrossentropy(label_smoothing=smoothing)
    Device(arrays).same(
        lambda ops, a: ops.loss_from_logits(loss, Sigmoid(), a["t"], a["z"], a["p"], a["losses"], a["dz"])
    )


@both
def test_logits_that_are_not_finite(dtype: str) -> None:
    z = np.array([[0, np.inf, 1], [np.nan, 1, 2], [-np.inf, 0, 1], [1e30, -1e30, 0]], dtype)
    arrays = {name: np.zeros_like(z) for name in ("p", "dz")} | {"losses": np.zeros(4, dtype)}
    device = Device({"z": z, "t": np.array([2, 0, 1, 0]), **arrays})
    loss = CategoricalCrossentropy()
    for ops, a in ((device.reference, device.host), (device.ops, device.device)):
        with np.errstate(all="ignore"):
            ops.loss_from_logits(loss, Softmax(), a["t"], a["z"], a["p"], a["losses"], a["dz"])
    losses = device.host["losses"], device.ops.to_host(device.device["losses"])
    finite = [np.isfinite(found) for found in losses]
    assert finite[0].tolist() == finite[1].tolist() == [False, False, False, True]


@both
@pytest.mark.parametrize(("task", "units"), [("categorical", 4), ("binary", 1), ("binary", 2), ("multi_label", 5)])
def test_right_answers_are_counted(dtype: str, task: Task, units: int) -> None:
    outputs, rows = Outputs(task, units), 300
    labels = RANDOM.integers(0, max(units, 2), rows)
    if task == "multi_label":
        labels = RANDOM.integers(0, 2, (rows, units)).astype(dtype)
    prediction = RANDOM.random((rows, units)).astype(dtype).round(1)  # with several that are largest
    prediction[0] = np.nan
    device = Device({"labels": labels, "p": prediction, "state": np.array([3.0, 4.0])})
    device.same(lambda ops, a: ops.add_to_metric(Accuracy(), outputs, a["labels"], a["p"], a["state"]))


@both
@pytest.mark.parametrize("name", sorted(Optimizer.registry))
def test_updates(dtype: str, name: str) -> None:
    fields = Optimizer.registry[name].model_fields
    options = [{}, {"weight_decay": 0.1}]
    options += [{"momentum": 0.9}] * ("momentum" in fields) + [{"momentum": 0.9, "nesterov": True}] * (
        "nesterov" in fields
    )
    options += [{"amsgrad": True}] * ("amsgrad" in fields)
    for settings in options:
        optimizer, memory = Optimizer.choose({"type": name, **settings}), {}
        slots = {slot: np.full(3000, optimizer.slot_start(slot), dtype) for slot in optimizer.used_slots()}
        device = Device({"w": normal(3000, dtype=dtype), "g": normal(3000, dtype=dtype), **slots})
        for step in range(1, 4):
            coefficients = optimizer.coefficients(0.01 * step, step, memory)
            device.host["g"][:] = gradient = normal(3000, dtype=dtype)
            device.device["g"] = device.ops.xp.array(gradient)

            def update(ops: Any, a: Arrays, coefficients: Any = coefficients, optimizer: Any = optimizer) -> None:
                slots = [a[slot] for slot in optimizer.used_slots()]
                ops.update(optimizer, a["w"], a["g"], slots, coefficients, 1 - 0.01 * (optimizer.weight_decay or 0))
                a["g"][...] = 0  # what it holds after an update has no meaning

            device.same(update)


@both
def test_norms(dtype: str) -> None:
    places = np.array([(0, 0, 700), (2, 700, 701), (0, 1000, 3000), (3, 900, 900)])
    x = normal(3000, dtype=dtype) * dtype_limit(dtype)
    device = Device({"x": x, "minus": x / 3, "out": np.zeros(5)})
    device.same(lambda ops, a: ops.norms(a["x"], None, places, a["out"]))
    device.same(lambda ops, a: ops.norms(a["x"], a["minus"], places, a["out"]))
    device.same(lambda ops, a: ops.norms(a["x"], None, places[:0], a["out"]))


def dtype_limit(dtype: str) -> float:
    """A number whose square is beyond what the type holds, but for double precision."""
    return 1e25 if dtype == "float32" else 1.0


@both
@pytest.mark.parametrize("size", [1, 5, 1024, 5001])
def test_mean_and_deviation(dtype: str, size: int) -> None:
    device = Device({"x": 1000 + normal(size, dtype=dtype), "facts": np.zeros((2, 3))})
    device.same(lambda ops, a: ops.mean_and_deviation(a["x"], a["facts"][0, 1:2].reshape(()), a["facts"][1, 2, ...]))


@both
@pytest.mark.parametrize(("rows", "units"), SIZES)
def test_normalization(dtype: str, rows: int, units: int) -> None:
    vectors = ("mean", "variance", "scale", "shift", "total", "product", "level", "slope")
    arrays = {name: normal(units, dtype=dtype) for name in vectors}
    arrays |= {name: 2 + normal(rows, units, dtype=dtype) for name in ("x", "dy", "y", "dx")}
    device = Device(arrays)
    device.same(lambda ops, a: ops.moments(a["x"], a["mean"], a["variance"]))
    device.same(lambda ops, a: ops.standardize(a["x"], a["mean"], a["scale"], a["shift"], a["y"]))
    device.same(lambda ops, a: ops.standardize_sums(a["x"], a["mean"], a["dy"], a["total"], a["product"]))
    device.same(
        lambda ops, a: ops.standardize_backward(a["x"], a["mean"], a["dy"], a["scale"], a["level"], a["slope"], a["dx"])
    )


@both
@pytest.mark.parametrize(("rows", "units"), SIZES)
def test_linear(dtype: str, rows: int, units: int) -> None:
    arrays = {"x": normal(rows, 6, dtype=dtype), "kernel": normal(6, units, dtype=dtype)}
    arrays |= {"bias": normal(units, dtype=dtype), "dbias": normal(units, dtype=dtype)}
    arrays |= {"y": normal(rows, units, dtype=dtype), "dy": normal(rows, units, dtype=dtype)}
    arrays |= {"dx": normal(rows, 6, dtype=dtype), "dkernel": normal(6, units, dtype=dtype)}
    device = Device(arrays)
    device.same(lambda ops, a: ops.linear(a["x"], a["kernel"], a["bias"], a["y"]))
    device.same(lambda ops, a: ops.linear_backward(a["x"], a["kernel"], a["dy"], a["dx"], a["dkernel"], a["dbias"]))
    device.same(lambda ops, a: ops.linear_backward(a["x"], a["kernel"], a["dy"], None, None, a["dbias"]))


MOVES: list[tuple[Pair, Pair]] = [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 3))]
CHANNELS = [(1, 1, 1), (4, 2, 6), (4, 4, 8), (3, 1, 70), (20, 1, 5), (16, 2, 18)]
"""Channels, groups, filters."""


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("channels", "groups", "filters"), CHANNELS)
def test_convolutions(padding: str, channels: int, groups: int, filters: int) -> None:
    for window, (strides, dilation), batch in itertools.product([(3, 3), (1, 1), (2, 3)], MOVES, (1, 3)):
        case = Convolution((7, 8), window, strides, dilation, channels, groups, filters, padding, batch)
        arrays = {"x": case.x, "kernel": case.kernel, "bias": case.bias, "dy": case.dy, "y": np.zeros_like(case.dy)}
        arrays |= {f"d{name}": np.zeros_like(arrays[name]) for name in ("x", "kernel", "bias")}
        same_convolution(Device(arrays), case.window)


def test_convolutions_in_single_precision() -> None:
    case = Convolution((9, 8), (3, 3), channels=5, filters=6, batch=7, dtype="float32")
    arrays = {"x": case.x, "kernel": case.kernel, "bias": case.bias, "dy": case.dy, "y": np.zeros_like(case.dy)}
    arrays |= {f"d{name}": np.zeros_like(arrays[name]) for name in ("x", "kernel", "bias")}
    same_convolution(Device(arrays), case.window)


def same_convolution(device: Device, window: Window) -> None:
    device.same(lambda ops, a: ops.conv2d(a["x"], a["kernel"], a["bias"], window, a["y"]))
    device.same(lambda ops, a: ops.conv2d(a["x"], a["kernel"], None, window, a["y"]))
    device.same(
        lambda ops, a: ops.conv2d_backward(a["x"], a["kernel"], a["dy"], window, a["dx"], a["dkernel"], a["dbias"])
    )


POOLINGS = list(itertools.product([(2, 2), (3, 2), (1, 1)], [(1, 1), (2, 2), (3, 1)], ["valid", "same"]))


@both
@pytest.mark.parametrize(("size", "strides", "padding"), POOLINGS)
@pytest.mark.parametrize("numbers", ["uint8", "uint32"])
def test_poolings(dtype: str, size: Pair, strides: Pair, padding: Any, numbers: str) -> None:
    window, outputs = slide((7, 6), size, strides, (1, 1), padding)
    x = normal(3, 7, 6, 5, dtype=dtype).round(1)  # with several that are largest
    x[0, 2, 2, 0] = np.nan
    shape = (3, *outputs, 5)
    arrays = {"x": x, "y": np.zeros(shape, dtype), "chosen": np.zeros(shape, numbers)}
    device = Device({**arrays, "dy": normal(*shape, dtype=dtype), "dx": np.zeros_like(x)})
    device.same(lambda ops, a: ops.max_pool2d(a["x"], window, a["y"], a["chosen"]))
    device.same(lambda ops, a: ops.max_pool2d_backward(a["chosen"], a["dy"], window, a["dx"]))
    device.same(lambda ops, a: ops.max_pool2d(a["x"], window, a["y"], None))
    device.same(lambda ops, a: ops.sum_pool2d_backward(a["dy"], window, a["dx"]))
    device.same(lambda ops, a: ops.sum_pool2d(a["x"], window, a["y"]))


AXES: list[tuple[tuple[int, ...], Any]] = [
    ((5,), None),
    ((), None),
    ((9, 1001), None),
    ((70, 9), -1),
    ((9, 70), 0),
    ((3, 4, 5, 6), (0, 1)),
    ((3, 4, 5, 6), (1, 3)),
    ((3, 4, 5, 6), (0, 2, -1)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool"])
@pytest.mark.parametrize(("shape", "axes"), AXES)
@pytest.mark.parametrize("keepdims", [True, False])
def test_sums_and_maxima_over_axes(dtype: str, shape: tuple[int, ...], axes: Any, keepdims: bool) -> None:
    x = (9 * RANDOM.normal(size=shape)).astype(dtype)
    into = "float32" if dtype == "float32" else "float64"
    device = Device({"x": np.asarray(x), "out": np.asarray(x.sum(axis=axes, keepdims=keepdims), into)})
    device.same(lambda ops, a: ops.xp.sum(a["x"], axis=axes, keepdims=keepdims, out=a["out"]))
    if dtype.startswith("float"):
        device.same(lambda ops, a: ops.xp.max(a["x"], axis=axes, keepdims=keepdims, out=a["out"]))


@both
def test_a_sum_over_what_is_not_in_order(dtype: str) -> None:
    device = Device({"x": normal(6, 5, dtype=dtype), "out": np.zeros(6, dtype)})
    device.same(lambda ops, a: ops.xp.sum(a["x"].T, axis=0, out=a["out"]))


@both
def test_the_same_numbers_give_the_same_sums(dtype: str) -> None:
    x, ops = normal(3000, 7, dtype=dtype), EmulatedKernels()
    outcomes = set()
    for _ in range(2):  # threads run in another order
        out = ops.xp.empty(7, dtype=dtype)
        ops.sum_rows(ops.xp.asarray(x), out)
        ops.activate(Linear(), out, None, out)
        outcomes.add(ops.to_host(out).tobytes())
    assert len(outcomes) == 1
