"""A GPU by CuPy: its arrays, its compiler, our kernels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NoReturn

import cupy
import cupyx
import numpy as np

from tuilab.blocks.arrays import Array, HostArray, Shape
from tuilab.engine.kernels import cudnn
from tuilab.engine.kernels.cublas import WORKSPACE_BYTES, Blas, load
from tuilab.engine.kernels.gpu import CudaKernels
from tuilab.engine.kernels.launching import Kernel
from tuilab.engine.kernels.queues import Queue
from tuilab.engine.kernels.sources import file_of_kernel, source


class CupyLibrary:
    """Kernels that CuPy compiles when they are first asked for, and keeps in its cache folder for later processes."""

    def __init__(self) -> None:
        self._modules: dict[tuple[str, str], Any] = {}
        self._kernels: dict[tuple[str, str], Kernel] = {}

    def kernel(self, name: str, real: str) -> Kernel:
        if (name, real) not in self._kernels:
            file = file_of_kernel()[name]
            if (file, real) not in self._modules:
                self._modules[file, real] = cupy.RawModule(code=source(file, real), options=("-std=c++17",))
            self._kernels[name, real] = self._modules[file, real].get_function(name)
        return self._kernels[name, real]


class CupyKernels(CudaKernels):
    """The operations of one GPU, on a stream of its own."""

    def __init__(self, index: int = 0) -> None:
        self._device = cupy.cuda.Device(index)
        self._device.use()
        self.stream: Any = cupy.cuda.Stream()
        self.queue, self.copies = self.stream, cupy.cuda.Stream()
        super().__init__(cupy, CupyLibrary())
        self._workspace = cupy.empty(WORKSPACE_BYTES, dtype="uint8")
        self._blas = Blas(load(), self.stream.ptr, self._workspace.data.ptr, WORKSPACE_BYTES)

    def use(self) -> None:
        self._device.use()  # CuPy remembers both for each thread
        self.stream.use()

    def room(self) -> int:
        free, _ = self._device.mem_info
        return int(free + cupy.get_default_memory_pool().free_bytes())

    def pinned(self, shape: Shape, dtype: str) -> HostArray:
        self.enter()
        memory: HostArray
        try:
            memory = cupyx.empty_pinned(shape, dtype)
        except (RuntimeError, MemoryError):
            self.remark("page-locked memory is refused: the host waits for copies to the GPU")
            memory = np.empty(shape, dtype)
        return memory

    def send(self, values: HostArray, into: Array, queue: Queue) -> None:
        self.enter()
        device: Any = into
        device.set(values, stream=queue)

    def fetch(self, array: Array, into: HostArray) -> None:
        self.enter()
        device: Any = array
        device.get(out=into, stream=self.stream, blocking=False)

    def upload(self, values: HostArray, into: Array) -> None:
        self.enter()
        device: Any = into
        device.set(values)

    def to_host(self, array: Array) -> HostArray:
        self.enter()
        device: Any = array
        host: HostArray = device.get()
        return host

    def quiet(self) -> AbstractContextManager[None]:
        return nullcontext()  # a GPU gives infinity and NaN without a word

    def erf(self, x: Array, out: Array) -> None:
        from cupyx.scipy.special import erf

        self.enter()
        erf(x, out)

    def address(self, array: Array) -> int:
        device: Any = array
        return int(device.data.ptr)

    def open_cudnn(self) -> cudnn.Cudnn:
        library = cudnn.load(cupy.cuda.runtime.runtimeGetVersion() // 1000)
        return cudnn.Cudnn(library, self.stream.ptr)

    def multiply(self, a: Array, b: Array, out: Array, precision: str = "float32") -> bool:
        self.enter()
        device: tuple[Any, ...] = a, b, out
        left, right, into = (array.data.ptr for array in device)
        return self._blas.multiply(a, b, out, (left, right, into), precision)

    def capture(self, act: Callable[[], None]) -> CudaGraph:
        self.enter()
        with cupy.cuda.using_allocator(_no_memory):  # `with self.stream` would end with the default one as current
            self.stream.begin_capture()
            try:
                act()
            except BaseException:
                with suppress(Exception):  # what went wrong first is what matters
                    self.stream.end_capture()
                raise
            graph = self.stream.end_capture()
        graph.upload(self.stream)
        return CudaGraph(graph, self.stream, self.memory)


class CudaGraph:
    """A recording that CUDA made. Its kernels use the scratch memory as it was, which therefore stays."""

    def __init__(self, graph: Any, stream: Any, memory: Array) -> None:
        self._graph, self._stream, self._memory = graph, stream, memory

    def play(self) -> None:
        self._graph.launch(self._stream)


def _no_memory(size: int) -> NoReturn:
    """A CUDA graph does not keep memory that was taken while it was recorded."""
    raise RuntimeError(f"{size} bytes are wanted within a step")
