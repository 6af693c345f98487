"""A GPU by CuPy: its arrays, its compiler, our kernels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NoReturn

import cupy

from tuilab.blocks.arrays import Array, HostArray
from tuilab.engine.kernels.cublas import WORKSPACE_BYTES, Blas, load
from tuilab.engine.kernels.gpu import CudaKernels
from tuilab.engine.kernels.launching import Kernel
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
    """The operations of one GPU, on a stream of its own, which is that of the thread that makes them."""

    def __init__(self, index: int = 0) -> None:
        cupy.cuda.Device(index).use()
        self.stream = cupy.cuda.Stream().use()
        super().__init__(cupy, CupyLibrary())
        self._workspace = cupy.empty(WORKSPACE_BYTES, dtype="uint8")
        self._blas = Blas(load(), self.stream.ptr, self._workspace.data.ptr, WORKSPACE_BYTES)

    def upload(self, values: HostArray, into: Array) -> None:
        device: Any = into
        device.set(values)

    def to_host(self, array: Array) -> HostArray:
        device: Any = array
        host: HostArray = device.get()
        return host

    def quiet(self) -> AbstractContextManager[None]:
        return nullcontext()  # a GPU gives infinity and NaN without a word

    def erf(self, x: Array, out: Array) -> None:
        from cupyx.scipy.special import erf

        erf(x, out)

    def multiply(self, a: Array, b: Array, out: Array) -> bool:
        device: tuple[Any, ...] = a, b, out
        left, right, into = (array.data.ptr for array in device)
        return self._blas.multiply(a, b, out, (left, right, into))

    def capture(self, act: Callable[[], None]) -> CudaGraph:
        with self.stream, cupy.cuda.using_allocator(_no_memory):
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
