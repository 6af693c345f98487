"""Matrix products by cuBLAS: a library of the same interface, which counts columns first as cuBLAS does, gives what
numpy gives."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from tuilab.engine.kernels.cublas import Blas, CublasError, layout


class Library:
    """cuBLAS, as its documentation has it."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.calls: list[str] = []
        self.cublasSgemm_v2 = lambda *arguments: self.gemm("float32", *arguments)
        self.cublasDgemm_v2 = lambda *arguments: self.gemm("float64", *arguments)

    def cublasCreate_v2(self, handle: Any) -> int:
        handle._obj.value = 77
        return self.status

    def cublasSetStream_v2(self, handle: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:
        self.calls.append(f"stream {stream.value} of {handle.value}")
        return 0

    def cublasSetWorkspace_v2(self, handle: ctypes.c_void_p, memory: ctypes.c_void_p, size: ctypes.c_size_t) -> int:
        self.calls.append(f"workspace {memory.value}, {size.value} of {handle.value}")
        return 0

    def gemm(self, dtype: str, handle: ctypes.c_void_p, *rest: Any) -> int:
        """C = α · op(A) · op(B) + β · C; op(A): (m, k), op(B): (k, n), C: (m, n), columns first, lda numbers apart."""
        turn_a, turn_b, m, n, k = (argument.value for argument in rest[:5])
        alpha, a, lda, b, ldb, beta, c, ldc = rest[5:]
        assert handle.value == 77
        assert (alpha._obj.value, beta._obj.value) == (1, 0)

        def matrix(address: ctypes.c_void_p, rows: int, columns: int, distance: ctypes.c_int) -> np.ndarray:
            assert distance.value >= rows, "cuBLAS refuses lines that overlap"
            numbers = (ctypes.c_char * (distance.value * columns * np.dtype(dtype).itemsize)).from_address(
                address.value or 0
            )
            return np.frombuffer(numbers, dtype).reshape(columns, distance.value)[:, :rows].T

        left = matrix(a, k, m, lda).T if turn_a else matrix(a, m, k, lda)
        right = matrix(b, n, k, ldb).T if turn_b else matrix(b, k, n, ldb)
        matrix(c, m, n, ldc)[...] = left @ right
        return self.status


def multiply(a: np.ndarray, b: np.ndarray, status: int = 0) -> np.ndarray | None:
    out = np.full((a.shape[0], b.shape[1]), np.nan, a.dtype)
    library = Library()
    blas = Blas(library, 5, 6, 7)
    library.status = status
    done = blas.multiply(a, b, out, (a.ctypes.data, b.ctypes.data, out.ctypes.data))
    return out if done else None


SIZES = [(2, 3, 4), (1, 1, 1), (1, 5, 2), (4, 1, 3), (3, 4, 1), (1, 4, 1), (1, 1, 6), (6, 1, 1), (17, 9, 5)]


def laid_out(rows: int, columns: int, how: str, dtype: str) -> np.ndarray:
    random = np.random.default_rng(rows * columns)
    wide = random.normal(size=(rows, columns + 3)).astype(dtype)
    matrix = np.ascontiguousarray(wide[:, :columns])
    return {"plain": matrix, "turned": np.asfortranarray(matrix), "part": wide[:, :columns]}[how]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "depth", "columns"), SIZES)
@pytest.mark.parametrize("left", ["plain", "turned", "part"])
@pytest.mark.parametrize("right", ["plain", "turned", "part"])
def test_products(dtype: str, rows: int, depth: int, columns: int, left: str, right: str) -> None:
    a, b = laid_out(rows, depth, left, dtype), laid_out(depth, columns, right, dtype)
    found = multiply(a, b)
    assert found is not None
    np.testing.assert_allclose(found, a @ b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((2, 6))[:, ::2], np.zeros((3, 4))),
        (np.zeros((2, 3)), np.zeros((3, 4), "float32")),
        (np.zeros((2, 3), "float16"), np.zeros((3, 4), "float16")),
        (np.zeros((2, 0)), np.zeros((0, 4))),
        (np.broadcast_to(np.zeros(3), (2, 3)), np.zeros((3, 4))),
    ],
)
def test_what_it_cannot_read_is_left_alone(a: np.ndarray, b: np.ndarray) -> None:
    assert multiply(a, b) is None


def test_several_matrices_at_once_are_left_alone() -> None:
    assert layout(np.zeros((2, 3, 4))) is None


def test_the_workspace_is_set_after_the_stream() -> None:
    library = Library()
    Blas(library, 5, 6, 7)
    assert library.calls == ["stream 5 of 77", "workspace 6, 7 of 77"]


def test_an_error_is_told() -> None:
    with pytest.raises(CublasError, match="error 13"):
        multiply(np.zeros((2, 2)), np.zeros((2, 2)), status=13)
    with pytest.raises(CublasError, match="error 1"):
        Blas(Library(status=1), 5, 6, 7)
