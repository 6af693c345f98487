"""Matrix products by cuBLAS with a handle of our own: CuPy's may not be used while a stream is recorded."""

from __future__ import annotations

import ctypes
from typing import Any

from tuilab.blocks.arrays import Array

PRODUCTS = {"float32": ("cublasSgemm_v2", ctypes.c_float), "float64": ("cublasDgemm_v2", ctypes.c_double)}
AS_IT_IS, TURNED = 0, 1  # CUBLAS_OP_N, CUBLAS_OP_T
WORKSPACE_BYTES = 32 << 20
"""What NVIDIA recommends for its largest GPUs; others want less."""


class CublasError(RuntimeError):
    """cuBLAS refused something."""


def load() -> Any:
    """Return the cuBLAS that CuPy uses."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    return ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)


class Blas:
    """Matrix products on one stream. In full precision: no tensor core rounds what it multiplies."""

    def __init__(self, library: Any, stream: int, workspace: int, workspace_bytes: int) -> None:
        """stream, workspace: addresses; the memory belongs to the caller and has to stay."""
        self._library = library
        self._handle = ctypes.c_void_p()
        self._check(library.cublasCreate_v2(ctypes.byref(self._handle)))
        # In this order: a new stream takes the workspace away.
        self._check(library.cublasSetStream_v2(self._handle, ctypes.c_void_p(stream)))
        size = ctypes.c_size_t(workspace_bytes)
        self._check(library.cublasSetWorkspace_v2(self._handle, ctypes.c_void_p(workspace), size))

    def multiply(self, a: Array, b: Array, out: Array, addresses: tuple[int, int, int]) -> bool:
        """out = a · b, for matrices at these addresses; returns False, and does nothing, where cuBLAS cannot read them.

        a: (m, k), b: (k, n), out: (m, n), one line of numbers after the other.
        """
        left, right = layout(a), layout(b)
        dtype = out.dtype.name
        known = dtype in PRODUCTS and a.dtype == b.dtype == out.dtype and out.flags.c_contiguous
        if left is None or right is None or not known or 0 in (*out.shape, a.shape[1]):
            return False
        name, number = PRODUCTS[dtype]
        (rows, depth), columns = a.shape, b.shape[1]
        one, zero = number(1), number(0)
        # cuBLAS counts columns first, so that it sees every matrix turned: outᵀ = bᵀ · aᵀ.
        failed = getattr(self._library, name)(
            self._handle,
            *(ctypes.c_int(turn) for turn in (right[0], left[0])),
            *(ctypes.c_int(size) for size in (columns, rows, depth)),
            ctypes.byref(one),
            *(ctypes.c_void_p(addresses[1]), ctypes.c_int(right[1])),
            *(ctypes.c_void_p(addresses[0]), ctypes.c_int(left[1])),
            ctypes.byref(zero),
            *(ctypes.c_void_p(addresses[2]), ctypes.c_int(columns)),
        )
        self._check(failed)
        return True

    @staticmethod
    def _check(status: int) -> None:
        if status:
            raise CublasError(f"cuBLAS reports error {status}")


def layout(matrix: Array) -> tuple[int, int] | None:
    """Return whether a matrix lies there turned, and how many numbers one of its lines is from the next; None where its
    numbers have gaps."""
    if matrix.ndim != 2:
        return None
    (rows, columns), (down, along) = matrix.shape, (stride // matrix.dtype.itemsize for stride in matrix.strides)
    if along == 1 or columns == 1:
        line = down if rows > 1 else columns
        return (AS_IT_IS, line) if line >= columns else None
    if down == 1 or rows == 1:
        line = along if columns > 1 else rows
        return (TURNED, line) if line >= rows else None
    return None
