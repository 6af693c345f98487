"""Convolutions that cuDNN does: what it is told describes our arrays, and where it cannot, our own kernels do them."""

from __future__ import annotations

import inspect
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cudnn as package
import numpy as np
import pytest

from tests.engine.examples import end_of, losses_of, make_data, make_experiment
from tests.engine.test_image_kernels import Convolution as Case
from tests.gpu.cudnn import STREAM, CudnnKernels, Library
from tests.gpu.device import EmulatedKernels
from tests.gpu.test_flights import KERNELS, late  # noqa: F401 # a fixture
from tests.gpu.test_graph import images, is_recorded, start, weights
from tests.gpu.test_kernels import CHANNELS, MOVES, _same_numbers, normal, same_convolution  # noqa: F401 # a fixture
from tests.gpu.test_kernels import Device as Both
from tests.runs.recorded import new_run, recording
from tuilab.blocks.window import Window
from tuilab.engine import graph
from tuilab.engine.device import Device
from tuilab.engine.driver import Card
from tuilab.engine.kernels import cudnn
from tuilab.engine.kernels.cudnn import FORWARD, TO_IMAGE, TO_KERNEL, Convolution, Cudnn, CudnnError, CudnnMissingError
from tuilab.engine.kernels.launching import PRECISIONS
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.trainer import Trainer
from tuilab.experiment.document import Experiment
from tuilab.runs.reader import following
from tuilab.runs.training import RecordedTraining, fingerprint

DIRECTIONS = (FORWARD, TO_IMAGE, TO_KERNEL)
SIZES = [(1, 1), (1, 40), (33, 1), (32, 32), (70, 45), (9, 200)]
DATA = make_data(shape=(6, 5, 2), train=47)
CONVOLUTIONS = 2
"""In the experiment of `images`; the first of them has no gradient of the image."""
LAYERS: list[dict[str, Any]] = [
    {"type": "conv2d", "filters": 4, "kernel_size": 3, "strides": 2, "activation": "relu"},
    {"type": "conv2d", "filters": 6, "kernel_size": [2, 3], "padding": "same", "dilation_rate": 2, "groups": 2},
    {"type": "conv2d_transpose", "filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
    {"type": "separable_conv2d", "filters": 5, "kernel_size": 3},
    {"type": "flatten"},
    {"type": "dense", "units": 3, "activation": "softmax"},
]


def arrays_of(case: Case) -> dict[str, np.ndarray]:
    arrays = {"x": case.x, "kernel": case.kernel, "bias": case.bias, "dy": case.dy, "y": np.zeros_like(case.dy)}
    return arrays | {f"d{name}": np.zeros_like(arrays[name]) for name in ("x", "kernel", "bias")}


def on_device(case: Case, library: Library | None = None) -> Both:
    device = Both(arrays_of(case))
    device.ops = CudnnKernels(library)
    return device


def library_of(device: Both) -> Library:
    assert isinstance(device.ops, CudnnKernels)
    return device.ops.stand_in


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "SECONDS_AT_ONCE", 3600.0)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("channels", "groups", "filters"), CHANNELS)
def test_convolutions(padding: str, channels: int, groups: int, filters: int) -> None:
    for window, (strides, dilation), batch in itertools.product([(3, 3), (2, 3)], MOVES, (1, 3)):
        case = Case((7, 8), window, strides, dilation, channels, groups, filters, padding, batch, "float32")
        device = on_device(case)
        same_convolution(device, case.window)
        own = groups > 1 and filters // groups < 8
        assert library_of(device).executed == (0 if own else 4)
        assert device.ops.remarks == []


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_turn(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuilab.engine.kernels.gpu_convolutions.MOST_ALONG_Y", 2)
    ops, matrix = EmulatedKernels(), normal(rows, columns)
    out = ops.xp.zeros((columns, rows), dtype="float32")
    ops.convolutions._turn(ops.xp.array(matrix), out, rows, columns)
    assert (ops.to_host(out) == matrix.T).all()


def test_every_number_of_16_bits_is_widened() -> None:
    ops, bits = EmulatedKernels(), np.arange(1 << 16, dtype="uint16")
    expected = {
        "float16": bits.view("float16").astype("float32"),
        "bfloat16": (bits.astype("uint32") << 16).view("float32"),
    }
    for ops.precision, numbers in expected.items():
        out = ops.xp.zeros(bits.shape, dtype="float32")
        ops.over("widen", out, out.size, ops.xp.array(bits), ops.rounding, out, out.size)
        np.testing.assert_array_equal(ops.to_host(out), numbers)
        np.testing.assert_array_equal(np.signbit(ops.to_host(out)), np.signbit(numbers))


@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 1e-6), ("bfloat16", 2**-8), ("float16", 2**-11)])
def test_precisions(precision: str, tolerance: float) -> None:
    """As our own kernels, which round what they multiply; in 16 bits cuDNN rounds the result as well."""
    case = Case((9, 8), channels=5, filters=6, batch=3, dtype="float32")
    found = []
    for ops in (EmulatedKernels(), CudnnKernels()):
        ops.precision, a = precision, {name: ops.xp.array(array) for name, array in arrays_of(case).items()}
        ops.conv2d(a["x"], a["kernel"], a["bias"], case.window, a["y"])
        ops.conv2d_backward(a["x"], a["kernel"], a["dy"], case.window, a["dx"], a["dkernel"], None)
        found.append([ops.to_host(a[name]) for name in ("y", "dx", "dkernel")])
        assert ops.remarks == []
    for own, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(theirs, own, rtol=tolerance, atol=tolerance * np.abs(own).max())
        assert precision == "tf32" or not np.array_equal(theirs, own)


def test_what_cudnn_must_not_do() -> None:
    refused = {}
    for precision, exact in itertools.product(("float32", "tf32"), (False, True)):
        library = Library()
        Cudnn(library, STREAM).plan(make_convolution(precision=precision, exact=exact))
        refused[precision, exact] = library.refused
    always = {"NONDETERMINISTIC", "DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION"}
    assert refused["tf32", False] == always
    assert refused["float32", False] == always | {"TENSOR_CORE"}
    assert refused["float32", True] >= always | {"TENSOR_CORE", "WINOGRAD", "FFT"}


def make_convolution(before: tuple[int, int] = (1, 1), precision: str = "float32", exact: bool = False) -> Convolution:
    window = Window((3, 3), (1, 1), before=before)
    return Convolution(FORWARD, (2, 5, 6, 4), (8, 3, 3, 4), (2, 5, 6, 8), window, precision, exact)


def layers(**settings: Any) -> Experiment:
    return make_experiment(LAYERS, "categorical_crossentropy", data={"batch_size": 5}, **settings)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("experiment", [images, layers])
def test_a_recording_gives_the_numbers_of_single_steps(experiment: Any, precision: str) -> None:
    outcomes = []
    for alone in (False, True):
        library = Library()
        settings = experiment(epochs=3, precision=precision)
        trainer = start(settings, make_data(shape=(14, 9, 2), train=47), CudnnKernels(library))
        if alone:
            trainer._small = None
        events = list(trainer.run())
        assert end_of(events).status == "finished", end_of(events)
        assert (trainer.one_by_one, trainer.device.ops.remarks) == ("", [])
        assert is_recorded(trainer) != alone
        assert library.executed
        outcomes.append((losses_of(events), weights(trainer).tobytes()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("late", [KERNELS], indirect=True)
@pytest.mark.usefixtures("late")
def test_a_device_that_is_behind() -> None:
    test_a_recording_gives_the_numbers_of_single_steps(images, "bfloat16")


@pytest.mark.parametrize("experiment", [images, layers])
def test_a_training_gives_the_numbers_of_the_reference(experiment: Any) -> None:
    data = make_data(shape=(14, 9, 2), train=47)
    trainers = [start(experiment(), data, ops) for ops in (CudnnKernels(), NumpyKernels())]
    losses = [losses_of(list(trainer.run())) for trainer in trainers]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    np.testing.assert_allclose(*map(weights, trainers), rtol=1e-3, atol=1e-4)


def test_a_plan_is_made_once() -> None:
    library = Library()
    list(start(images(epochs=4), DATA, CudnnKernels(library)).run())
    assert len(DATA.train) % 5 == 2
    assert DATA.validation is not None
    assert len(DATA.validation) % 5 == 0
    shapes = 2  # full batches and the last one
    assert len(library.graphs) == shapes * (3 * CONVOLUTIONS - 1)
    assert library.executed > len(library.graphs)


def finished(ops: EmulatedKernels) -> Trainer:
    trainer = start(images(epochs=3), DATA, ops)
    events = list(trainer.run())
    assert end_of(events).status == "finished", end_of(events)
    return trainer


@pytest.mark.parametrize("library", [Library(unsupported=DIRECTIONS), Library(failing=DIRECTIONS)], ids=["plan", "run"])
def test_our_own_kernels_do_what_cudnn_cannot(library: Library) -> None:
    own, trainer = finished(EmulatedKernels()), finished(CudnnKernels(library))
    assert weights(trainer).tobytes() == weights(own).tobytes()
    assert trainer.one_by_one == ""
    assert is_recorded(trainer)
    remarks = trainer.device.ops.remarks
    assert len(remarks) == len(set(remarks)) == 3 * CONVOLUTIONS - 1
    reason = "No execution plans support the graph." if library.unsupported else "CUDNN_STATUS_EXECUTION_FAILED"
    assert remarks[0] == f"a convolution is done without cuDNN (forward, 3 × 3, 4 filters on 6 × 5 × 2): {reason}"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_only_what_cudnn_cannot_is_left_to_our_own_kernels(direction: str) -> None:
    case = Case((7, 8), channels=5, filters=6, dtype="float32")
    device = on_device(case, Library(unsupported=(direction,)))
    same_convolution(device, case.window)
    same_convolution(device, case.window)
    assert library_of(device).executed == (8 - (4 if direction == FORWARD else 2))
    assert len(device.ops.remarks) == 1
    assert device.ops.remarks[0].startswith(f"a convolution is done without cuDNN ({direction}, 3 × 3, 6 filters")


def test_what_fails_while_it_is_recorded_is_told() -> None:
    library = Library(failing=(TO_IMAGE,), recorded=True)
    trainer = finished(CudnnKernels(library))
    assert trainer.one_by_one == "CudnnError: CUDNN_STATUS_EXECUTION_FAILED"
    assert len(trainer.device.ops.remarks) == 1
    assert library.executed


def test_a_run_tells_what_is_done_without_cudnn(tmp_path: Path) -> None:
    trainer, run = start(images(epochs=2), DATA, CudnnKernels(Library(unsupported=(TO_KERNEL,)))), new_run(tmp_path)
    with run.hold() as lock, recording(run) as recorder:
        RecordedTraining(run, trainer, recorder, lock).train()
    with following(run) as reader:
        texts = [message.text for message in reader.messages()]
    told = [text for text in texts if "cuDNN" in text]
    assert told == trainer.device.ops.remarks
    assert len(told) == CONVOLUTIONS


def test_a_resumed_run_knows_another_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device("gpu", EmulatedKernels(), 5, Card(0, "Great Card", "00000000:01:00.0"))
    before = fingerprint(1, device)
    assert before == json.loads(json.dumps(before))
    monkeypatch.setattr("tuilab.runs.training._version", lambda package: "9.29.0")
    changed = {name for name, value in fingerprint(1, device).items() if before[name] != value}
    assert "cuDNN" in changed
    assert "cuDNN" not in fingerprint(1, Device("cpu", NumpyKernels(), 1))


def test_nothing_is_made_ready_while_it_is_recorded() -> None:
    ops, case = CudnnKernels(), Case((7, 8), channels=5, filters=6, dtype="float32")
    x, kernel, out = (ops.xp.array(array) for array in (case.x, case.kernel, case.dy))
    with pytest.raises(RuntimeError, match="never done before"):
        ops.record(lambda: ops.conv2d(x, kernel, None, case.window, out))
    assert not ops.stand_in.graphs


def test_no_memory_for_the_workspace() -> None:
    case = Case((7, 8), channels=5, filters=6, dtype="float32")
    device = on_device(case)
    ops, scratch = device.ops, device.ops.scratch

    def full(like: Any, dtype: str | None = None, shape: Any = None) -> Any:
        if dtype == "uint8":
            raise MemoryError
        return scratch(like, dtype, shape)

    ops.scratch = full  # type: ignore[method-assign] # a device that is full
    same_convolution(device, case.window)
    assert ops.used == 0
    assert len(ops.remarks) == 3
    assert "no memory for a workspace of 100 bytes" in ops.remarks[0]


def test_what_is_not_asked_of_cudnn() -> None:
    case = Case((7, 8), channels=5, filters=6, dtype="float64")
    device = on_device(case)
    same_convolution(device, case.window)
    assert library_of(device).graphs == []
    with pytest.raises(CudnnError, match="begins inside the image"):
        Cudnn(Library(), STREAM).plan(make_convolution(before=(-1, 0)))


def test_arrays_that_begin_anywhere() -> None:
    ops, case = CudnnKernels(), Case((7, 8), channels=5, filters=6, dtype="float32")
    x = ops.xp.zeros(case.x.size + 1, dtype="float32")[1:].reshape(case.x.shape)
    x[...] = ops.xp.array(case.x)
    out, kernel = ops.xp.array(case.dy), ops.xp.array(case.kernel)
    ops.conv2d(x, kernel, None, case.window, out)
    assert ops.stand_in.graphs == []
    ops.conv2d(ops.xp.array(case.x), kernel, None, case.window, out)
    assert len(ops.stand_in.graphs) == 1


@pytest.mark.parametrize("error", [CudnnMissingError("pip install it"), CudnnError("cuDNN does not start: no")])
def test_a_device_without_cudnn(error: CudnnError, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def open_cudnn() -> Cudnn:
        asked.append(1)
        raise error

    ops = EmulatedKernels()
    monkeypatch.setattr(ops, "open_cudnn", open_cudnn)
    finished(ops)
    assert asked == [1]
    missing = isinstance(error, CudnnMissingError)
    assert ops.remarks == ([] if missing else ["convolutions are done without cuDNN: cuDNN does not start: no"])


def test_a_handle_that_is_refused() -> None:
    def create_handle() -> Any:
        raise RuntimeError("cudnnHandle Create failed cudaGetDeviceCount(&count) != cudaSuccess")

    with pytest.raises(CudnnError, match="cuDNN does not start: cudnnHandle Create failed"):
        Cudnn(SimpleNamespace(create_handle=create_handle), STREAM)


def test_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "backend_version", lambda: 92800)
    monkeypatch.setattr(cudnn, "_cuda_of_library", lambda: 13)
    assert cudnn.load(13) is package
    assert cudnn.version(package) == "9.28.0"
    with pytest.raises(CudnnError) as told:
        cudnn.load(12)
    assert str(told.value) == (
        "cuDNN is made for CUDA 13, CuPy for CUDA 12: pip uninstall -y nvidia-cudnn-cu13, then "
        "pip install 'tuilab[cudnn12]'"
    )


@pytest.mark.parametrize(
    "error", [RuntimeError("Unable to find symbol cudnnGetVersion"), AssertionError("Found 2 libcudnn.so.x"), OSError()]
)
def test_the_python_package_alone(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend_version() -> int:
        raise error

    monkeypatch.setattr(package, "backend_version", backend_version)
    with pytest.raises(CudnnError) as told:
        cudnn.load(13)
    remedy = "pip install 'tuilab[cudnn13]' brings one"
    assert str(told.value) == f"the Python package finds no cuDNN, {remedy}: {error}"


def test_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cudnn", None)
    with pytest.raises(CudnnMissingError, match=r"^pip install 'tuilab\[cudnn12\]'$"):
        cudnn.load(12)


def test_the_package_takes_what_the_engine_gives_it() -> None:
    """As for what the emulated graph has in the package's place."""
    graph_class = package.pygraph
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (package.create_handle, (), {}),
        (package.set_stream, (), {"handle": 1, "stream": 2}),
        (graph_class.validate, (0,), {}),
        (graph_class.build_operation_graph, (0,), {}),
        (graph_class.create_execution_plans, (0, []), {}),
        (graph_class.deselect_numeric_notes, (0, []), {}),
        (graph_class.deselect_workspace_greater_than, (0, 1), {}),
        (graph_class.check_support, (0,), {}),
        (graph_class.build_plans, (0,), {}),
        (graph_class.get_workspace_size, (0,), {}),
        (graph_class.execute, (0, {}, 1), {"handle": 2}),
    ]
    for function, given, named in calls:
        inspect.signature(function).bind(*given, **named)
    assert package.heur_mode.A != package.heur_mode.FALLBACK
