"""Convolutions by cuDNN, where it is installed, through NVIDIA's `nvidia-cudnn-frontend`."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tuilab.blocks.arrays import Shape
from tuilab.blocks.window import Pair, Window
from tuilab.text import clean_text

FORWARD, TO_IMAGE, TO_KERNEL = "forward", "gradient of the image", "gradient of the kernel"
IMAGE, KERNEL, OUTPUT = 1, 2, 3
"""The arrays of a convolution, as cuDNN calls them by number."""
RESULT = {FORWARD: OUTPUT, TO_IMAGE: IMAGE, TO_KERNEL: KERNEL}
TYPES = {"float32": "FLOAT", "tf32": "FLOAT", "bfloat16": "BFLOAT16", "float16": "HALF"}
"""Of the numbers in all three arrays, by `training.precision`; they are summed up as float32."""
WORKSPACE_BYTES = 64 << 20
"""That a plan may take beside as much as the arrays in float32: most ways for those copy them into another order."""


class CudnnError(RuntimeError):
    """cuDNN cannot do something."""


class CudnnMissingError(CudnnError):
    """cuDNN is not installed."""


@dataclass(frozen=True)
class Convolution:
    """What a plan is for."""

    direction: str
    """FORWARD, TO_IMAGE or TO_KERNEL."""
    image: Shape
    """(batch, height, width, channels)"""
    kernel: Shape
    """(filters, height, width, channels of a group): cuDNN's order, not that of `Ops.conv2d`."""
    output: Shape
    """(batch, rows, columns, filters)"""
    window: Window
    precision: str
    exact: bool
    """By products and sums alone, without transforms."""

    def __str__(self) -> str:
        (height, width), image = self.window.size, " × ".join(map(str, self.image[1:]))
        return f"{self.direction}, {height} × {width}, {self.output[3]} filters on {image}"

    @property
    def workspace_bytes(self) -> int:
        """How many a plan may take."""
        return WORKSPACE_BYTES + 4 * sum(map(math.prod, (self.image, self.kernel, self.output)))

    @property
    def after(self) -> Pair:
        """How many zeros follow the image, below it and to its right: enough for the last window."""
        rows, columns = (self._after(axis) for axis in (0, 1))
        return rows, columns

    def _after(self, axis: int) -> int:
        window, outputs = self.window, self.output[1 + axis]
        end = (outputs - 1) * window.strides[axis] + window.span[axis] - window.before[axis]
        return max(0, end - self.image[1 + axis])


def load(cuda: int) -> Any:
    """Return the Python package of cuDNN, which has found a cuDNN for this CUDA (12, 13).

    Raises CudnnMissingError where there is none, and CudnnError where it does not fit, both with the remedy.
    """
    remedy = f"pip install 'tuilab[cudnn{cuda}]'"
    try:
        import cudnn

        cudnn.backend_version()
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cudnn"
        raise CudnnMissingError(remedy) if missing else CudnnError(f"cuDNN cannot be loaded: {_said(error)}") from error
    except Exception as error:  # of several kinds, assertions among them
        raise CudnnError(f"the Python package finds no cuDNN, {remedy} brings one: {_said(error)}") from error
    made_for = _cuda_of_library()
    if made_for != cuda:
        remove = f"pip uninstall -y nvidia-cudnn-cu{made_for}"
        raise CudnnError(f"cuDNN is made for CUDA {made_for}, CuPy for CUDA {cuda}: {remove}, then {remedy}")
    return cudnn


def version(package: Any) -> str:
    """Return the version of cuDNN itself: 9.28.0."""
    number = int(package.backend_version())
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"


def _cuda_of_library() -> int:
    """Return the CUDA that the loaded cuDNN was made for: 12, 13."""
    try:
        made_for: int = ctypes.CDLL("libcudnn.so.9").cudnnGetCudartVersion()
    except (OSError, AttributeError) as error:
        raise CudnnError(f"it is not a cuDNN 9: {_said(error)}") from error
    return made_for // 1000


class Cudnn:
    """cuDNN on one stream."""

    def __init__(self, package: Any, stream: int) -> None:
        """package: the Python package of cuDNN; stream: its address. Raises CudnnError."""
        self.package = package
        with _as_ours("cuDNN does not start: "):
            self.handle = package.create_handle()
            package.set_stream(handle=self.handle, stream=stream)

    def plan(self, convolution: Convolution) -> Plan:
        """Return a convolution ready to be done; raises CudnnError where cuDNN has no way that gives the same numbers
        each time, in the precision that is asked for."""
        if min(convolution.window.before) < 0:
            raise CudnnError("its window begins inside the image")
        with _as_ours():
            return Plan(self, _plan(self, convolution))


class Plan:
    """A convolution that cuDNN has got ready."""

    def __init__(self, cudnn: Cudnn, graph: Any) -> None:
        self._cudnn, self._graph = cudnn, graph
        self.workspace_bytes = int(graph.get_workspace_size())

    def run(self, addresses: dict[int, int], workspace: int) -> None:
        """Do it; addresses: of IMAGE, KERNEL and OUTPUT. Raises CudnnError."""
        with _as_ours():
            self._graph.execute(addresses, workspace, handle=self._cudnn.handle)


def _plan(cudnn: Cudnn, convolution: Convolution) -> Any:
    """Return cuDNN's graph of one convolution, with the way that its heuristics put first of those that are allowed.

    It is not the fastest of several that were timed: which one that is changes from run to run, and its bytes with it.
    """
    package, direction, window = cudnn.package, convolution.direction, convolution.window
    kind = getattr(package.data_type, TYPES[convolution.precision])
    single = package.data_type.FLOAT
    graph = package.pygraph(
        io_data_type=kind, intermediate_data_type=single, compute_data_type=single, handle=cudnn.handle
    )
    shapes = {IMAGE: convolution.image, KERNEL: convolution.kernel, OUTPUT: convolution.output}

    def given(number: int) -> Any:
        dim, stride = channels_last(shapes[number])
        return graph.tensor(dim=dim, stride=stride, data_type=kind, uid=number)

    slides = {
        "pre_padding": list(window.before),
        "post_padding": list(convolution.after),
        "stride": list(window.strides),
        "dilation": list(window.dilation),
    }
    if direction == FORWARD:
        result = graph.conv_fprop(image=given(IMAGE), weight=given(KERNEL), **slides)
    elif direction == TO_IMAGE:
        result = graph.conv_dgrad(loss=given(OUTPUT), filter=given(KERNEL), **slides)
    else:
        result = graph.conv_wgrad(image=given(IMAGE), loss=given(OUTPUT), **slides)
    dim, stride = channels_last(shapes[RESULT[direction]])
    result.set_output(True).set_dim(dim).set_stride(stride).set_data_type(kind).set_uid(RESULT[direction])
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([package.heur_mode.A, package.heur_mode.FALLBACK])
    graph.deselect_numeric_notes(_refused(package, convolution))
    graph.deselect_workspace_greater_than(convolution.workspace_bytes)
    graph.check_support()
    graph.build_plans()
    return graph


def channels_last(shape: Shape) -> tuple[list[int], list[int]]:
    """Return sizes and strides as cuDNN counts them, channels second, of an array that has them last."""
    first, height, width, channels = shape
    return [first, channels, height, width], [height * width * channels, 1, width * channels, channels]


def _refused(package: Any, convolution: Convolution) -> list[Any]:
    """Return what cuDNN says of ways to compute that are not wanted."""
    notes = package.numerical_note
    refused = [notes.NONDETERMINISTIC, notes.DOWN_CONVERT_INPUTS, notes.REDUCED_PRECISION_REDUCTION]
    if convolution.precision == "float32":
        refused.append(notes.TENSOR_CORE)  # it would round float32 to tf32
    if convolution.exact:
        refused += [note for name, note in notes.__members__.items() if name.startswith(("WINOGRAD", "FFT"))]
    return refused


@contextmanager
def _as_ours(words: str = "") -> Iterator[None]:
    """Raise CudnnError in the place of whatever cuDNN raises: it has exceptions of its own, and those of Python."""
    try:
        yield
    except Exception as error:
        raise CudnnError(f"{words}{_said(error)}") from error


def _said(error: Exception) -> str:
    return clean_text(" ".join(str(error).split()), 200)
