"""Matrix products by cuBLAS with a handle of our own: CuPy's may not be used while a stream is recorded."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from tuilab.blocks.arrays import Array


class Product(NamedTuple):
    """A kind of product, as cublasGemmEx is told."""

    dtype: str
    """Of the arrays that are multiplied; those of 16 bits hold what only cuBLAS takes for numbers."""
    type: int
    """The same as a cudaDataType."""
    out_dtype: str
    out_type: int
    compute: int
    """How it sums up, a cublasComputeType_t: in the type of `out`."""


PRODUCTS = {
    "float32": Product("float32", 0, "float32", 0, 68),
    "float64": Product("float64", 1, "float64", 1, 70),
    "tf32": Product("float32", 0, "float32", 0, 77),
    "bfloat16": Product("uint16", 14, "float32", 0, 68),
    "float16": Product("uint16", 2, "float32", 0, 68),
}
NUMBERS = {"float32": ctypes.c_float, "float64": ctypes.c_double}
DEFAULT_MATH, DEFAULT_ALGORITHM = 0, -1  # CUBLAS_DEFAULT_MATH, CUBLAS_GEMM_DEFAULT
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
    """Matrix products on one stream, in full precision where no other is asked for: the mode forbids everything that
    would round numbers more than their own type does."""

    def __init__(self, library: Any, stream: int, workspace: int, workspace_bytes: int) -> None:
        """stream, workspace: addresses; the memory belongs to the caller and has to stay."""
        self._library = library
        self._handle = ctypes.c_void_p()
        self._check(library.cublasCreate_v2(ctypes.byref(self._handle)))
        self._check(library.cublasSetMathMode(self._handle, ctypes.c_int(DEFAULT_MATH)))
        # In this order: a new stream takes the workspace away.
        self._check(library.cublasSetStream_v2(self._handle, ctypes.c_void_p(stream)))
        size = ctypes.c_size_t(workspace_bytes)
        self._check(library.cublasSetWorkspace_v2(self._handle, ctypes.c_void_p(workspace), size))

    def multiply(
        self, a: Array, b: Array, out: Array, addresses: tuple[int, int, int], precision: str = "float32"
    ) -> bool:
        """out = a · b, for matrices at these addresses; returns False, and does nothing, where cuBLAS cannot read them.

        a: (m, k), b: (k, n), out: (m, n), one line of numbers after the other. precision: that of numbers of float32.
        """
        left, right = layout(a), layout(b)
        product = PRODUCTS.get(out.dtype.name if precision == "float32" else precision)
        dtypes = a.dtype.name, b.dtype.name, out.dtype.name
        if product is None or dtypes != (product.dtype, product.dtype, product.out_dtype):
            return False
        if left is None or right is None or not out.flags.c_contiguous or 0 in (*out.shape, a.shape[1]):
            return False
        (rows, depth), columns, number = a.shape, b.shape[1], NUMBERS[product.out_dtype]
        one, zero = number(1), number(0)

        def matrix(address: int, kind: int, line: int) -> tuple[Any, ...]:
            return ctypes.c_void_p(address), ctypes.c_int(kind), ctypes.c_int(line)

        # cuBLAS counts columns first, so that it sees every matrix turned: outᵀ = bᵀ · aᵀ.
        failed = self._library.cublasGemmEx(
            self._handle,
            *(ctypes.c_int(turn) for turn in (right[0], left[0])),
            *(ctypes.c_int(size) for size in (columns, rows, depth)),
            ctypes.byref(one),
            *matrix(addresses[1], product.type, right[1]),
            *matrix(addresses[0], product.type, left[1]),
            ctypes.byref(zero),
            *matrix(addresses[2], product.out_type, columns),
            ctypes.c_int(product.compute),
            ctypes.c_int(DEFAULT_ALGORITHM),
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
