"""Operations on images over several threads: the numbers of the reference, with any number of threads, whatever shares
the batch out, and the same bytes every time."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import make_data, make_experiment
from tuilab.blocks.window import Pair, Window, slide
from tuilab.engine.checkpoint import capture, restore
from tuilab.engine.device import Device
from tuilab.engine.events import EpochDone
from tuilab.engine.kernels import patches, winograd
from tuilab.engine.kernels.numba import NumbaKernels
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.threads import Team, let_blas_use
from tuilab.engine.trainer import Trainer

THREADS = (1, 2, 3)
every_team = pytest.mark.parametrize("threads", THREADS)
Arrays = dict[str, np.ndarray]


def kernels(threads: int) -> NumbaKernels:
    """Kernels whose threads share everything, however small, and whose scratch memory holds NaN."""
    ops = NumbaKernels()
    ops.team = Team(threads)
    with ops.scratch(np.empty(1 << 18)) as memory:
        memory.fill(np.nan)
    return ops


@pytest.fixture(autouse=True)
def _nothing_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuilab.engine.kernels.images.SMALL", 0)


class Convolution:
    """A convolution of random numbers."""

    def __init__(
        self,
        size: Pair = (9, 7),
        window: Pair = (3, 3),
        strides: Pair = (1, 1),
        dilation: Pair = (1, 1),
        channels: int = 4,
        groups: int = 1,
        filters: int = 6,
        padding: Any = "same",
        batch: int = 4,
        dtype: str = "float64",
    ) -> None:
        random, self.filters = np.random.default_rng(5), filters
        self.window, outputs = slide(size, window, strides, dilation, padding)
        self.x = random.normal(size=(batch, *size, channels)).astype(dtype)
        self.kernel = random.normal(size=(*window, channels // groups, filters)).astype(dtype)
        self.bias = random.normal(size=filters).astype(dtype)
        self.dy = random.normal(size=(batch, *outputs, filters)).astype(dtype)

    def run(self, ops: Any, dtype: str | None = None) -> Arrays:
        """Return outputs and gradients, worked out in `dtype`."""
        x, kernel, bias, dy = (
            array.astype(dtype or array.dtype) for array in (self.x, self.kernel, self.bias, self.dy)
        )
        found = {"y": dy, "dx": x, "dkernel": kernel, "dbias": bias}
        found = {name: np.full_like(array, np.nan) for name, array in found.items()}
        ops.conv2d(x, kernel, bias, self.window, out=found["y"])
        ops.conv2d_backward(x, kernel, dy, self.window, found["dx"], found["dkernel"], found["dbias"])
        return found


def assert_close(found: Arrays, expected: Arrays, tolerance: float) -> None:
    for name, values in expected.items():
        error = np.abs(found[name] - values).max() / max(1.0, np.abs(values).max())
        assert error <= tolerance, f"{name} differs by {error:.1e}"


SIZES = [(9, 7), (8, 8), (13, 2), (1, 6)]
WINDOWS = [(3, 3), (1, 1), (2, 3), (5, 4)]
MOVES: list[tuple[Pair, Pair]] = [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 2)), ((1, 1), (1, 3))]
CHANNELS = [(1, 1, 1), (1, 1, 5), (4, 2, 6), (4, 4, 8), (3, 1, 2)]
"""Channels, groups, filters."""


@every_team
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_convolutions_of_every_kind(threads: int, padding: str, size: Pair) -> None:
    ops, reference = kernels(threads), NumpyKernels()
    for window, (strides, dilation), (channels, groups, filters), batch in itertools.product(
        WINDOWS, MOVES, CHANNELS, (1, 4)
    ):
        if 0 not in slide(size, window, strides, dilation, padding)[1]:  # type: ignore[arg-type]
            case = Convolution(size, window, strides, dilation, channels, groups, filters, padding, batch)
            assert_close(case.run(ops), case.run(reference), 1e-12)


TRANSFORMED = [
    {"size": (4, 4), "channels": 8, "filters": 40, "batch": 12},
    {"size": (3, 3), "channels": 32, "filters": 8, "batch": 13},
    {"size": (11, 8), "channels": 9, "filters": 17},
    {"size": (13, 15), "channels": 33, "filters": 31, "batch": 2},
    {"size": (26, 26), "channels": 16, "filters": 24, "padding": "valid"},
    {"size": (7, 7), "channels": 200, "filters": 130, "batch": 5},
    {"size": (30, 6), "channels": 12, "filters": 12, "batch": 1},
]


@every_team
@pytest.mark.parametrize("settings", TRANSFORMED, ids=lambda settings: "×".join(map(str, settings["size"])))
@pytest.mark.parametrize("several_chunks", [False, True])
def test_transformed_convolutions(
    monkeypatch: pytest.MonkeyPatch, threads: int, settings: dict[str, Any], several_chunks: bool
) -> None:
    if several_chunks:
        monkeypatch.setattr(winograd, "CHUNK_BYTES", 1)
        monkeypatch.setattr(winograd, "TILES_FOR_CHANNELS", 0.0)
    case = Convolution(**settings)
    assert winograd.fits(case.x, case.kernel, case.window, case.dy)
    expected, ops = case.run(NumpyKernels()), kernels(threads)
    assert_close(case.run(ops), expected, 1e-12)
    assert_close(case.run(ops, "float32"), expected, 1e-4)


@every_team
def test_several_chunks_of_patches(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(patches, "CHUNK_BYTES", 1)
    case = Convolution(strides=(2, 1), groups=2)
    assert_close(case.run(kernels(threads)), case.run(NumpyKernels()), 1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"window": (3, 4)},
        {"strides": (1, 2)},
        {"dilation": (2, 1)},
        {"groups": 2},
        {"channels": 7},
        {"filters": 7},
        {"size": (5, 5)},
        {"batch": 1},
    ],
    ids=str,
)
def test_other_convolutions_are_not_transformed(settings: dict[str, Any]) -> None:
    usual = {"size": (8, 8), "channels": 8, "filters": 8}
    for batch, expected in ((3, True), (4, True)):
        case = Convolution(**{**usual, "batch": batch})
        assert winograd.fits(case.x, case.kernel, case.window, case.dy) is expected
    case = Convolution(**{**usual, **settings})
    assert not winograd.fits(case.x, case.kernel, case.window, case.dy)


def test_an_exact_convolution_is_not_transformed() -> None:
    case, results = Convolution((8, 8), channels=16, filters=16, dtype="float32"), {}
    for exact in (False, True):
        ops = kernels(1)
        ops.exact = exact
        results[exact] = case.run(ops)["y"]
    plain = np.empty_like(results[True])
    patches.forward(kernels(1), Team(1), case.x, case.kernel, case.bias, case.window, plain)
    assert results[True].tobytes() == plain.tobytes() != results[False].tobytes()


@pytest.mark.parametrize("wanted", ["dx", "dkernel", "dbias"])
@pytest.mark.parametrize("channels", [4, 16])
def test_gradients_that_nobody_reads_are_left_out(wanted: str, channels: int) -> None:
    case, ops = Convolution((8, 8), channels=channels, filters=channels), kernels(2)
    expected = case.run(ops)
    into = {"dx": case.x, "dkernel": case.kernel, "dbias": case.bias}
    found = {name: np.empty_like(array) if name == wanted else None for name, array in into.items()}
    ops.conv2d_backward(case.x, case.kernel, case.dy, case.window, found["dx"], found["dkernel"], found["dbias"])
    assert np.array_equal(found[wanted], expected[wanted])  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("channels", [4, 16])
def test_what_is_not_finite_comes_out_as_such(value: float, channels: int) -> None:
    case, ops = Convolution((8, 8), channels=channels, filters=channels), kernels(2)
    case.x[1, 3, 3, 2] = value
    largest, chosen = np.empty((4, 4, 4, channels)), np.empty((4, 4, 4, channels), "uint8")
    window = Window((2, 2), (2, 2))
    with np.errstate(invalid="ignore"):
        found = case.run(ops)
        ops.max_pool2d(case.x, window, largest, chosen)
    assert not np.isfinite(found["y"][1, 3, 3]).any()
    assert not np.isfinite(found["dkernel"]).all()
    assert np.isfinite(found["y"][[0, 2, 3]]).all(), "the other images"
    assert not np.isfinite(largest[1, 1, 1, 2])
    assert np.isfinite(largest).sum() == largest.size - 1


@every_team
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("depth", [1, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_poolings(threads: int, padding: Any, depth: int, dtype: str) -> None:
    random, ops, reference = np.random.default_rng(3), kernels(threads), NumpyKernels()
    for size, window, strides in itertools.product(SIZES[:3], [(2, 2), (3, 1), (17, 16)], [(1, 1), (2, 2), (3, 4)]):
        placed, outputs = slide(size, window, strides, (1, 1), padding)
        if 0 in outputs:
            continue
        x = random.integers(0, 4, (4, *size, depth)).astype(dtype)  # several of them the largest
        dy = random.normal(size=(4, *outputs, depth)).astype(dtype)
        results = []
        for each in (reference, ops):
            largest, total, dx, dtotal = np.empty_like(dy), np.empty_like(dy), np.empty_like(x), np.empty_like(x)
            chosen = np.empty(dy.shape, "uint8" if window[0] * window[1] <= 256 else "uint32")
            each.max_pool2d(x, placed, largest, None)
            without = largest.copy()
            each.max_pool2d(x, placed, largest, chosen)
            each.max_pool2d_backward(chosen, dy, placed, dx)
            each.sum_pool2d(x, placed, total)
            each.sum_pool2d_backward(dy, placed, dtotal)
            results.append((without, largest, chosen, total, dx, dtotal))
        for expected, found in zip(*results, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@every_team
@pytest.mark.parametrize(("rows", "units"), [(1, 3), (2, 1), (63, 5), (64, 8), (1000, 7)])
def test_normalization_over_the_batch(threads: int, rows: int, units: int) -> None:
    """Also of numbers that have much in common."""
    random, ops, reference = np.random.default_rng(2), kernels(threads), NumpyKernels()
    x = (1e4 + random.normal(size=(rows, units))).astype("float32")
    dy = random.normal(size=x.shape).astype("float32")
    mean, variance, total, product = (np.empty(units, "float32") for _ in range(4))
    ops.moments(x, mean, variance)
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype="float64"), rtol=1e-6)
    np.testing.assert_allclose(variance, x.var(axis=0, dtype="float64"), rtol=1e-3, atol=1e-9)
    ops.standardize_sums(x, mean, dy, total, product)
    np.testing.assert_allclose(total, dy.sum(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(product, ((x - mean) * dy).sum(axis=0), rtol=1e-4, atol=1e-3)
    for name in ("standardize", "standardize_backward"):
        arrays = [mean, variance, total] if name == "standardize" else [mean, dy, variance, total, product]
        expected, found = np.empty_like(x), np.empty_like(x)
        getattr(reference, name)(x, *arrays, out=expected)
        getattr(ops, name)(x, *arrays, out=found)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@every_team
def test_dense_layers(threads: int) -> None:
    random, ops, reference = np.random.default_rng(2), kernels(threads), NumpyKernels()
    x, kernel, bias, dy = (random.normal(size=size) for size in ((7, 5), (5, 4), 4, (7, 4)))
    results = []
    for each in (reference, ops):
        y, dx, dkernel, dbias = map(np.empty_like, (dy, x, kernel, bias))
        each.linear(x, kernel, bias, y)
        each.linear_backward(x, kernel, dy, dx, dkernel, dbias)
        results.append((y, dx, dkernel, dbias))
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@every_team
@pytest.mark.parametrize("channels", [4, 16])
def test_nothing_is_allocated(threads: int, channels: int) -> None:
    case, ops = Convolution((40, 40), channels=channels, filters=channels, batch=32, dtype="float32"), kernels(threads)
    y, dx, dkernel, dbias = map(np.empty_like, (case.dy, case.x, case.kernel, case.bias))

    def step() -> None:
        ops.conv2d(case.x, case.kernel, case.bias, case.window, y)
        ops.conv2d_backward(case.x, case.kernel, case.dy, case.window, dx, dkernel, dbias)

    step()
    tracemalloc.start()
    step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64_000 < case.x.nbytes / 4


LAYERS = [
    {"type": "conv2d", "filters": 8, "kernel_size": 3, "activation": "relu"},
    {"type": "conv2d", "filters": 12, "kernel_size": 3, "padding": "same"},
    {"type": "batch_normalization"},
    {"type": "max_pooling2d"},
    {"type": "flatten"},
    {"type": "dense", "units": 3, "activation": "softmax"},
]


@pytest.fixture
def make_trainer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes trainers of a small convolutional network on some threads."""

    def make(threads: int, **settings: Any) -> Trainer:
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        experiment = make_experiment(LAYERS, "categorical_crossentropy", optimizer="adam", **settings)
        return Trainer(experiment, make_data(shape=(12, 12, 1)), Device("cpu", NumbaKernels(), 1))

    yield make
    let_blas_use(1)


def weights_after(trainer: Trainer, watch: Callable[[Trainer], None] = lambda _: None) -> bytes:
    for event in trainer.run():
        if isinstance(event, EpochDone):
            watch(trainer)
    return trainer.network.arena.values.tobytes()


@every_team
def test_trainings_give_the_same_bytes_every_time_also_resumed(threads: int, make_trainer: Any) -> None:
    checkpoints: list[Any] = []
    first = make_trainer(threads, epochs=3)
    assert first.device.ops.team.size == threads
    whole = weights_after(first, lambda trainer: checkpoints.append(capture(trainer)))
    assert weights_after(make_trainer(threads, epochs=3)) == whole
    resumed = make_trainer(threads, epochs=3)
    restore(resumed, checkpoints[0])
    assert weights_after(resumed) == whole


def test_trainings_on_more_threads_or_without_transforms_differ_in_rounding_alone(make_trainer: Any) -> None:
    usual = np.frombuffer(weights_after(make_trainer(1)), "float32")
    for threads, convolution in ((1, "exact"), (3, "auto"), (3, "exact")):
        other = np.frombuffer(weights_after(make_trainer(threads, convolution=convolution)), "float32")
        assert not np.array_equal(other, usual)
        np.testing.assert_allclose(other, usual, atol=2e-3)


def test_networks_of_vectors_leave_all_threads_to_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    ops, told = NumbaKernels(), []
    monkeypatch.setattr("tuilab.engine.kernels.images.let_blas_use", told.append)
    for sample, team in (((784,), 1), ((28, 28, 1), 3), ((20, 4), 3), ((), 1)):
        ops.prepare(sample, exact=False)
        assert ops.team.size == team
    assert told == [3, 1, 1, 3]
