"""Matrix products by cuBLAS: a library of the same interface, which counts columns first as cuBLAS does, gives what
numpy gives."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from tests.gpu.device import read_as
from tuilab.engine.kernels.cublas import Blas, CublasError, layout

torch = pytest.importorskip("torch")

IN_MEMORY = {0: "float32", 1: "float64", 2: "uint16", 14: "uint16"}
"""By cudaDataType: CUDA_R_32F, CUDA_R_64F, CUDA_R_16F, CUDA_R_16BF."""
DOUBLE = 70
SUPPORTED = {
    (0, 0, 0, 68): "float32",
    (1, 1, 1, DOUBLE): "float64",
    (0, 0, 0, 77): "tf32",
    (14, 14, 0, 68): "bfloat16",
    (2, 2, 0, 68): "float16",
}
"""By the types of A, B and C and the cublasComputeType_t: CUBLAS_COMPUTE_32F, _64F, _32F_FAST_TF32."""


class Library:
    """cuBLAS, as its documentation has it."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.calls: list[str] = []

    def cublasCreate_v2(self, handle: Any) -> int:
        handle._obj.value = 77
        return self.status

    def cublasSetMathMode(self, handle: ctypes.c_void_p, mode: ctypes.c_int) -> int:
        self.calls.append(f"mode {mode.value} of {handle.value}")
        return 0

    def cublasSetStream_v2(self, handle: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:
        self.calls.append(f"stream {stream.value} of {handle.value}")
        return 0

    def cublasSetWorkspace_v2(self, handle: ctypes.c_void_p, memory: ctypes.c_void_p, size: ctypes.c_size_t) -> int:
        self.calls.append(f"workspace {memory.value}, {size.value} of {handle.value}")
        return 0

    def cublasGemmEx(self, handle: ctypes.c_void_p, *rest: Any) -> int:
        """C = α · op(A) · op(B) + β · C; op(A): (m, k), op(B): (k, n), C: (m, n), columns first, lda numbers apart."""
        turn_a, turn_b, m, n, k = (argument.value for argument in rest[:5])
        alpha, a, type_a, lda, b, type_b, ldb, beta, c, type_c, ldc, compute, algorithm = rest[5:]
        assert handle.value == 77
        assert (alpha._obj.value, beta._obj.value) == (1, 0)
        assert type(alpha._obj) is type(beta._obj) is (ctypes.c_double if compute.value == DOUBLE else ctypes.c_float)
        assert algorithm.value == -1
        precision = SUPPORTED[type_a.value, type_b.value, type_c.value, compute.value]

        def matrix(address: ctypes.c_void_p, kind: int, rows: int, columns: int, distance: ctypes.c_int) -> np.ndarray:
            assert distance.value >= rows, "cuBLAS refuses lines that overlap"
            dtype = np.dtype(IN_MEMORY[kind])
            numbers = (ctypes.c_char * (distance.value * columns * dtype.itemsize)).from_address(address.value or 0)
            return np.frombuffer(numbers, dtype).reshape(columns, distance.value)[:, :rows].T

        def factor(address: ctypes.c_void_p, kind: int, rows: int, columns: int, distance: ctypes.c_int) -> np.ndarray:
            found = np.ascontiguousarray(matrix(address, kind, rows, columns, distance))
            return found if precision in ("float32", "float64") else read_as(precision, found)

        left = factor(a, type_a.value, k, m, lda).T if turn_a else factor(a, type_a.value, m, k, lda)
        right = factor(b, type_b.value, n, k, ldb).T if turn_b else factor(b, type_b.value, k, n, ldb)
        matrix(c, type_c.value, m, n, ldc)[...] = left @ right
        return self.status


def multiply(a: np.ndarray, b: np.ndarray, status: int = 0, precision: str = "float32") -> np.ndarray | None:
    out = np.full((a.shape[0], b.shape[1]), np.nan, a.dtype if precision == "float32" else "float32")
    library = Library()
    blas = Blas(library, 5, 6, 7)
    library.status = status
    done = blas.multiply(a, b, out, (a.ctypes.data, b.ctypes.data, out.ctypes.data), precision)
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


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
@pytest.mark.parametrize(("rows", "depth", "columns"), SIZES)
def test_products_of_rounded_numbers(precision: str, rows: int, depth: int, columns: int) -> None:
    dtype = {"tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    left, right = (torch.from_numpy(laid_out(*size, "plain", "float32")) for size in ((rows, depth), (depth, columns)))
    bits = [one.to(dtype).view(torch.float32 if precision == "tf32" else torch.int16).numpy() for one in (left, right)]
    a, b = (one if precision == "tf32" else one.view("uint16") for one in bits)
    wide = [one.to(dtype).double().numpy() for one in (left, right)]
    near = 2e-3 if precision == "tf32" else 1e-5
    for first, second in ((a, b), (np.asfortranarray(a), np.asfortranarray(b))):
        found = multiply(first, second, precision=precision)
        assert found is not None
        np.testing.assert_allclose(found, wide[0] @ wide[1], rtol=near, atol=near * depth)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_rounded_numbers_have_to_come_as_they_are_wanted(precision: str) -> None:
    other = "uint16" if precision == "tf32" else "float32"
    assert multiply(np.zeros((2, 3), other), np.zeros((3, 4), other), precision=precision) is None


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


def test_full_precision_is_asked_for_and_the_workspace_after_the_stream() -> None:
    library = Library()
    Blas(library, 5, 6, 7)
    assert library.calls == ["mode 0 of 77", "stream 5 of 77", "workspace 6, 7 of 77"]


def test_an_error_is_told() -> None:
    with pytest.raises(CublasError, match="error 13"):
        multiply(np.zeros((2, 2)), np.zeros((2, 2)), status=13)
    with pytest.raises(CublasError, match="error 1"):
        Blas(Library(status=1), 5, 6, 7)
