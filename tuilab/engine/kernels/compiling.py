"""Compiles the fused kernels: once for a machine, kept in the cache folder of the user.

A kernel is a function over C-ordered arrays and numbers. It runs on one thread, without Python's lock, and gives NaN
and infinity as IEEE arithmetic does: the engine looks for them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.compiler import Compiler
from numba.core.event import Listener, install_listener

if "scipy.linalg" not in sys.modules:
    # numba asks whether scipy.linalg is there, for covariances alone; loading it takes 12 MiB and a tenth of a second.
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]  # how Python is told that there is none
    import numba.np.arraymath

    del sys.modules["scipy.linalg"]

FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}
"""What the compiler may do: fuse a product with a sum, reorder sums, drop the sign of zero, divide by multiplying.
Never "nnan" or "ninf", which would let it forget NaN and infinity."""


@dataclass(frozen=True)
class Kernel:
    """A compiled function, and the arguments that trainings give it."""

    dispatcher: Any
    signatures: tuple[str, ...]
    """As numba writes them, with "f" for the precision of the training."""

    def compile(self, dtype: str) -> None:
        """Compile for this precision, or take it from the cache."""
        for signature in self.signatures:
            self.dispatcher.compile(f"({signature.replace('f[', f'{dtype}[')},)")


KERNELS: list[Kernel] = []
"""Every kernel that was imported so far."""


def kernel(*signatures: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function when it is called first, or ahead for the `signatures` of ordinary trainings: "f[:, ::1],
    int64", f being the precision."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=FAST_MATH)(function)
        _keep(dispatcher)
        KERNELS.append(Kernel(dispatcher, signatures))
        return dispatcher

    return compiled


def part(function: Callable[..., Any]) -> Any:
    """Make a function that kernels are built from, compiled with each of them."""
    return numba.njit(nogil=True, error_model="numpy", fastmath=FAST_MATH)(function)


def apart(function: Callable[..., Any]) -> Any:
    """`part`, of arrays none of which shares memory with another: loops over many of them are vectorized unasked."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": FAST_MATH, "forceinline": True}
    return numba.njit(pipeline_class=_Apart, **options)(function)


class _Apart(Compiler):
    """Tells LLVM what only the caller knows."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


class _Cache(FunctionCache):
    """numba's cache on the disk; one that is damaged, full or not ours to write means compiling, never an error."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # what reading a damaged file can raise has no end
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


def _keep(dispatcher: Any) -> None:
    """Give a function a cache in our folder; where that cannot be written, it is compiled in every process."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder(before))
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError:  # no place to write
        return
    finally:
        numba.config.CACHE_DIR = before


@cache
def cache_folder(parent: str) -> Path:
    """Return the folder of compiled kernels, in `parent` or, where that is empty, in the user's cache.

    It is another one whenever any of their sources changes: numba itself looks at the file of a kernel, not at those of
    its parts."""
    from platformdirs import user_cache_path

    digest = blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return (Path(parent) if parent else user_cache_path("tuilab") / "kernels") / digest.hexdigest()


def compile_all(dtype: str) -> Iterator[tuple[int, int]]:
    """Compile every kernel for a precision, or load it from the cache; yield how many are done, of how many."""
    for done, each in enumerate(KERNELS):
        yield done, len(KERNELS)
        each.compile(dtype)
    yield len(KERNELS), len(KERNELS)


class _Watch(Listener):
    def __init__(self, report: Callable[[int], None]) -> None:
        self.report, self.count = report, 0

    def on_start(self, event: Any) -> None:
        self.count += 1
        self.report(self.count)

    def on_end(self, event: Any) -> None:
        pass


def watched(report: Callable[[int], None]) -> AbstractContextManager[Any]:
    """Let `report` hear of every function that is compiled in the block, not only taken from the cache: how many there
    were with this one."""
    context: AbstractContextManager[Any] = install_listener("numba:compile", _Watch(report))
    return context
