"""How kernels on a GPU are started: which threads, on what, and where the numbers lie that change from step to step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from threading import local
from typing import Any, Protocol, TypeAlias

import numpy as np

from tuilab.blocks.arrays import Array, ArrayModule, HostArray, Shape, Staging
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.kernels.queues import PinnedMemory, Queue
from tuilab.engine.kernels.sources import REALS

Grid: TypeAlias = tuple[int, int, int]

THREADS = 256
"""Of a block."""
LANES, LINES = 32, 8
"""The same as a rectangle."""
MOST_BLOCKS = 4096
"""Of kernels whose threads take several numbers each: a few for every place that any GPU has for one."""
ROWS_OF_A_BLOCK = 64
MOST_PARTS = 256
"""Of a sum over rows."""
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
"""In the order of cuda/numbers.cuh."""


_NUMBERS = count()
_HERE = local()
"""Which device the thread has entered."""


class Kernel(Protocol):
    def __call__(self, grid: Grid, block: Grid, arguments: tuple[Any, ...]) -> None:
        """Start the kernel; arguments: arrays of the device, and numpy's scalars as wide as the kernel declares."""
        ...


class Library(Protocol):
    """The kernels in `cuda/*.cu`, compiled."""

    def kernel(self, name: str, real: str) -> Kernel:
        """Return a kernel for numbers of the type `real`, "float" or "double"."""
        ...


class Recording(Protocol):
    """What a device was told to do."""

    def play(self) -> None:
        """Tell it again; does not wait until it is done."""
        ...


class LaunchingKernels(NumpyKernels):
    """`NumpyKernels` that can start kernels of their own.

    No number that changes from step to step is an argument of a kernel: kernels read it from the device's memory, so
    that the kernels of a step can be started again as they are.
    """

    records = True
    queue: Queue
    """Of all kernels."""
    copies: Queue
    """Of copies from the host meanwhile."""

    def __init__(self, xp: ArrayModule, library: Library) -> None:
        self._number = next(_NUMBERS)
        self.xp = xp
        self._compiled = library
        super().__init__()
        self._tables: dict[tuple[str, bytes], Array] = {}
        self.clock: Array = xp.zeros(2, dtype="uint64")
        """Step and epoch, as kernels see them."""
        self._clock_holds = 0, 0
        self.recording = False
        self.precision = "float32"
        """Of what products and convolutions multiply (`training.precision`), one of PRECISIONS."""

    @property
    def rounding(self) -> int:
        """`precision` as kernels know it."""
        return PRECISIONS.index(self.precision)

    def upload(self, values: HostArray, into: Array) -> None:
        """Copy values of the host into an array of the same shape and dtype on the device."""
        raise NotImplementedError  # abstract

    def enter(self) -> None:
        """Let what this thread says be for this device; every function of `xp` and every kernel begins with it."""
        if getattr(_HERE, "number", None) != self._number:
            self.use()
            _HERE.number = self._number

    def use(self) -> None:
        """Let the array module know that this thread speaks of this device."""
        raise NotImplementedError  # abstract

    def staging(self, shape: Shape, dtype: str) -> Staging:
        return PinnedMemory(self, shape, dtype)

    def pinned(self, shape: Shape, dtype: str) -> HostArray:
        """Return memory of the host that the device reads and writes by itself."""
        raise NotImplementedError  # abstract

    def send(self, values: HostArray, into: Array, queue: Queue) -> None:
        """Tell the device to copy pinned memory into an array of the same shape and dtype; it must not change before
        that is done."""
        raise NotImplementedError  # abstract

    def fetch(self, array: Array, into: HostArray) -> None:
        """Tell the device to copy an array into pinned memory of the same shape and dtype, after what it was told
        before; the memory is neither read nor written before that is done."""
        raise NotImplementedError  # abstract

    def record(self, act: Callable[[], None]) -> Recording:
        """Return what `act` tells the device to do, which does not happen yet. All that it reads from the host is part
        of the recording. Raises RuntimeError where something in it cannot be recorded: memory that is not there yet, or
        waiting for a result."""
        self.recording = True
        try:
            return self.capture(act)
        finally:
            self.recording = False

    def capture(self, act: Callable[[], None]) -> Recording:
        raise NotImplementedError  # abstract

    def set_clock(self, step: int, epoch: int) -> None:
        """Let kernels see where training stands; while a step is recorded the device knows it by itself."""
        if not self.recording and self._clock_holds != (step, epoch):
            self.upload(np.array([step, epoch], "uint64"), self.clock)
            self._clock_holds = step, epoch

    def forget_clock(self) -> None:
        """The device moves its clock on by itself."""
        self._clock_holds = -1, -1

    def start(self, name: str, like: Array, grid: Grid, block: Grid, *arguments: Any) -> None:
        """Start a kernel for numbers of the dtype of `like`. Whole numbers become `long long`, others `double`, None a
        pointer to nothing."""
        self.enter()
        kernel = self._compiled.kernel(name, REALS[like.dtype.name])
        kernel(grid, block, tuple(map(_argument, arguments)))

    def over(self, name: str, like: Array, size: int, *arguments: Any) -> None:
        """Start a kernel whose threads share `size` numbers."""
        if size:
            self.start(name, like, (min(-(-size // THREADS), MOST_BLOCKS), 1, 1), (THREADS, 1, 1), *arguments)

    def by_line(self, name: str, like: Array, lines: int, *arguments: Any) -> None:
        """Start a kernel that gives every one of `lines` rows a warp."""
        if lines:
            self.start(name, like, (-(-lines // LINES), 1, 1), (LANES, LINES, 1), *arguments)

    def in_one_block(self, name: str, like: Array, *arguments: Any) -> None:
        self.start(name, like, (1, 1, 1), (THREADS, 1, 1), *arguments)

    def sum_columns(
        self,
        name: str,
        shape: tuple[int, int],
        arguments: Sequence[Any],
        a: Array,
        b: Array | None = None,
        scale: float = 1.0,
    ) -> None:
        """Start a kernel that sums over rows, and write its sums times `scale`; shape: (rows, units), a, b: of `units`
        numbers."""
        with self.scratch(a, "float64", self.parts_shape(shape)) as parts:
            self.start_columns(name, a, shape, arguments, parts)
            self.over("add_up", a, shape[1], parts, parts.shape[0], shape[1], scale, a, b)

    def parts_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """Return the shape of what a kernel that sums over rows leaves to be added up."""
        rows, units = shape
        return max(1, min(-(-rows // ROWS_OF_A_BLOCK), MOST_PARTS)), 2, units

    def start_columns(
        self, name: str, like: Array, shape: tuple[int, int], arguments: Sequence[Any], parts: Array
    ) -> None:
        (rows, units), count = shape, parts.shape[0]
        grid = -(-units // LANES), count, 1
        self.start(name, like, grid, (LANES, LINES, 1), *arguments, rows, units, max(1, -(-rows // count)), parts)

    def table(self, values: Sequence[int] | HostArray, dtype: str = "int64") -> Array:
        """Return an array on the device with these values; it is made once."""
        host = np.ascontiguousarray(values, dtype=dtype)
        key = dtype, host.tobytes()
        if key not in self._tables:
            self._tables[key] = self.xp.asarray(host)
        return self._tables[key]


def alike(*arrays: Array | None) -> bool:
    """Whether kernels can take these arrays: of one real type, their numbers one after the other."""
    given = [array for array in arrays if array is not None]
    dtype = given[0].dtype
    return dtype.name in REALS and all(array.dtype == dtype and array.flags.c_contiguous for array in given)


def _argument(value: Any) -> Any:
    if value is None:
        return np.uint64(0)
    if isinstance(value, int):
        return np.int64(value)
    return np.float64(value) if isinstance(value, float) else value


def rows_of(x: Array) -> tuple[int, int]:
    """Return how many rows an array has, all axes but the last taken together, and how many numbers a row."""
    units = x.shape[-1]
    return x.size // max(units, 1), units
