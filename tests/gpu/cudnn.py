"""cuDNN without a GPU: convolutions are described to NVIDIA's own Python package (1.28), which refuses what it does not
know, and NumPy does them, at the addresses that are given."""

from __future__ import annotations

import ctypes
from typing import Any

import cudnn as package
import numpy as np

from tests.gpu.device import TAPE, EmulatedKernels, nearest, read_as
from tuilab.blocks.arrays import HostArray
from tuilab.engine.kernels.cudnn import FORWARD, RESULT, TO_IMAGE, TO_KERNEL, Cudnn

STREAM = 5
STAGES = [
    "validate",
    "build_operation_graph",
    "create_execution_plans",
    "deselect_numeric_notes",  # it marks plans, and has to find some
    "deselect_workspace_greater_than",
    "check_support",
    "build_plans",
]
"""What has to be called, in this order."""
DIRECTIONS = {"CONV_FPROP": FORWARD, "CONV_DGRAD": TO_IMAGE, "CONV_WGRAD": TO_KERNEL}
PORTS = {FORWARD: ("image", "weight", "Y"), TO_IMAGE: ("DX", "filter", "loss"), TO_KERNEL: ("image", "DW", "loss")}
"""What the package calls image, kernel and output."""
PRECISIONS = {"FLOAT": "float32", "BFLOAT16": "bfloat16", "HALF": "float16"}
WORKSPACE = 100


class NotSupportedError(Exception):
    """As the package's own: not a RuntimeError."""


class Library:
    """The package, as far as the engine uses it."""

    data_type, numerical_note, heur_mode = package.data_type, package.numerical_note, package.heur_mode

    def __init__(
        self, unsupported: tuple[str, ...] = (), failing: tuple[str, ...] = (), recorded: bool = False
    ) -> None:
        """Directions for which it has no plan, and those in which a plan cannot be executed, or not `recorded`."""
        self.unsupported, self.failing, self.recorded = unsupported, failing, recorded
        self.handle = object()
        self.graphs: list[Graph] = []
        self.executed = 0
        self.refused: set[str] = set()

    def backend_version(self) -> int:
        return 92800

    def create_handle(self) -> object:
        return self.handle

    def set_stream(self, handle: object, stream: int) -> None:
        assert handle is self.handle
        assert stream == STREAM

    def pygraph(self, **settings: Any) -> Graph:
        self.graphs.append(Graph(self, **settings))
        return self.graphs[-1]


class Graph(package.pygraph):
    """One convolution. What describes it is the package's, what needs a GPU is done here."""

    def __init__(
        self, library: Library, io_data_type: Any, intermediate_data_type: Any, compute_data_type: Any, handle: object
    ) -> None:
        assert handle is library.handle
        assert intermediate_data_type == compute_data_type == package.data_type.FLOAT
        types = {"intermediate_data_type": intermediate_data_type, "compute_data_type": compute_data_type}
        super().__init__(io_data_type=io_data_type, **types)
        self.stand_in, self.stages = library, list[str]()
        self.precision = PRECISIONS[io_data_type.name]

    def reach(self, stage: str) -> None:
        self.stages.append(stage)
        assert self.stages == STAGES[: len(self.stages)]

    def validate(self) -> None:
        self.reach("validate")
        (node,) = self.nodes
        self.direction = DIRECTIONS[node.node_type.name]
        tensors = {**node.inputs, **node.outputs}
        given = [tensors[port] for port in PORTS[self.direction]]
        for number, tensor in enumerate(given, start=1):
            tensor.validate()
            _, channels, height, width = tensor.dim
            assert list(tensor.stride) == [height * width * channels, 1, width * channels, channels]
            assert tensor.uid == number
            assert tensor.uid_assigned
            assert PRECISIONS[tensor.data_type.name] == self.precision
            assert not tensor.is_virtual
        self.shapes = [tuple(tensor.dim[place] for place in (0, 2, 3, 1)) for tensor in given]
        names = ("pre_padding", "post_padding", "stride", "dilation")
        self.before, self.after, self.strides, self.dilation = (node.params[name] for name in names)
        image, kernel, output = self.shapes
        assert image[0] == output[0]
        assert image[3] % kernel[3] == 0
        assert kernel[0] == output[3]
        for axis in (0, 1):
            assert min(self.before[axis], self.after[axis]) >= 0
            span = (kernel[1 + axis] - 1) * self.dilation[axis] + 1
            room = image[1 + axis] + self.before[axis] + self.after[axis] - span
            assert output[1 + axis] == room // self.strides[axis] + 1

    def build_operation_graph(self) -> None:
        self.reach("build_operation_graph")

    def create_execution_plans(self, heuristics: list[Any]) -> None:  # type: ignore[override] # always given
        self.reach("create_execution_plans")
        assert all(isinstance(mode, package.heur_mode) for mode in heuristics)

    def deselect_numeric_notes(self, notes: list[Any]) -> None:  # type: ignore[override] # the older package's
        self.reach("deselect_numeric_notes")
        assert all(isinstance(note, package.numerical_note) for note in notes)
        refused = {note.name for note in notes}
        assert {"NONDETERMINISTIC", "DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION"} <= refused
        if self.precision == "float32" and "TENSOR_CORE" not in refused:
            self.precision = "tf32"
        self.stand_in.refused |= refused

    def deselect_workspace_greater_than(self, limit: int) -> None:  # type: ignore[override] # the older package's
        self.reach("deselect_workspace_greater_than")
        assert limit >= WORKSPACE

    def check_support(self) -> None:
        self.reach("check_support")
        if self.direction in self.stand_in.unsupported:
            raise NotSupportedError("No execution plans support the graph.")

    def build_plans(self) -> None:  # type: ignore[override] # by default as they are wanted
        self.reach("build_plans")

    def get_workspace_size(self) -> int:  # type: ignore[override] # of the plan that was built
        assert self.stages == STAGES
        return WORKSPACE

    def execute(  # type: ignore[override] # the older package's, which takes addresses alone
        self, tensor_to_device_buffer: dict[int, int], workspace: int, handle: object = None
    ) -> None:
        assert self.stages == STAGES
        assert handle is self.stand_in.handle
        assert sorted(tensor_to_device_buffer) == [1, 2, 3]
        addresses = [tensor_to_device_buffer[number] for number in (1, 2, 3)]
        assert all(type(address) is int and address and address % 16 == 0 for address in (*addresses, workspace))
        if self.direction in self.stand_in.failing and (TAPE.calls is not None or not self.stand_in.recorded):
            raise RuntimeError("CUDNN_STATUS_EXECUTION_FAILED")
        self.stand_in.executed += 1
        TAPE.do(lambda: self.work(addresses, workspace))

    def work(self, addresses: list[int], workspace: int) -> None:
        dtype = np.dtype("uint16" if self.precision in ("bfloat16", "float16") else "float32")
        at(workspace, (WORKSPACE,), np.dtype("uint8")).fill(255)
        places = [at(address, shape, dtype) for address, shape in zip(addresses, self.shapes, strict=True)]
        image, kernel, output = (
            place if self.precision == "float32" or number == RESULT[self.direction] else read_as(self.precision, place)
            for number, place in enumerate(places, start=1)
        )
        found = {
            FORWARD: lambda: self.forward(image, kernel),
            TO_IMAGE: lambda: self.to_image(kernel, output),
            TO_KERNEL: lambda: self.to_kernel(image, output),
        }[self.direction]()
        places[RESULT[self.direction] - 1][...] = written_as(self.precision, found.astype("float32"))

    def seen(self, image: HostArray) -> HostArray:
        """Return views of an image with zeros around it: (height, width of the kernel, *shape of output, channels)."""
        _, (_, height, width, _), (_, rows, columns, _) = self.shapes
        (down, right), (y, x) = self.strides, self.dilation
        return np.array(
            [[image[:, i * y :: down, j * x :: right][:, :rows, :columns] for j in range(width)] for i in range(height)]
        )

    def padded(self, image: HostArray) -> HostArray:
        around = [(0, 0), *zip(self.before, self.after, strict=True), (0, 0)]
        return np.pad(image.astype("float64"), around)

    def in_groups(self, channels: HostArray) -> HostArray:
        groups = self.shapes[0][3] // self.shapes[1][3]
        return channels.reshape(*channels.shape[:-1], groups, -1)

    def forward(self, image: HostArray, kernel: HostArray) -> HostArray:
        seen, weights = self.in_groups(self.seen(self.padded(image))), self.in_groups(np.moveaxis(kernel, 0, -1))
        return np.einsum("ijbyxgc,ijcgf->byxgf", seen, weights).reshape(self.shapes[2])

    def to_kernel(self, image: HostArray, output: HostArray) -> HostArray:
        seen, slopes = self.in_groups(self.seen(self.padded(image))), self.in_groups(output)
        found = np.einsum("ijbyxgc,byxgf->gfijc", seen, slopes)
        return found.reshape(self.shapes[1])

    def to_image(self, kernel: HostArray, output: HostArray) -> HostArray:
        """Add up the slopes where each number of the image was seen."""
        numbers = np.arange(np.prod(self.shapes[0]), dtype="float64").reshape(self.shapes[0])
        seen = self.in_groups(self.seen(self.padded(numbers + 1))).astype("int64")
        weights = self.in_groups(np.moveaxis(kernel, 0, -1))
        slopes = np.einsum("byxgf,ijcgf->ijbyxgc", self.in_groups(output).astype("float64"), weights)
        found = np.zeros(numbers.size + 1)
        np.add.at(found, seen.ravel(), slopes.ravel())
        return found[1:].reshape(self.shapes[0])


def at(address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostArray:
    """Return the array at an address."""
    size = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


def written_as(precision: str, x: HostArray) -> HostArray:
    """Return numbers as memory holds them in a precision."""
    if precision == "float16":
        return x.astype("float16").view("uint16")
    return x if precision in ("float32", "tf32") else (nearest(x, 16).view("uint32") >> 16).astype("uint16")


class CudnnKernels(EmulatedKernels):
    """The operations of an emulated GPU where cuDNN is installed."""

    def __init__(self, library: Library | None = None) -> None:
        super().__init__()
        self.stand_in = library or Library()

    def open_cudnn(self) -> Cudnn:
        return Cudnn(self.stand_in, STREAM)
