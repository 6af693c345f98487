"""A device whose arrays are not numpy's: nothing leaves it but through `to_host`, nothing enters but through `asarray`.

The numbers are numpy's; what is refused is what a GPU would refuse, or would wait for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from tuilab.blocks.arrays import HostArray, Stream
from tuilab.engine.kernels.numpy import NumpyKernels

ENTRANCES = ("asarray", "array", "ascontiguousarray")


class Refused(TypeError):
    """Something that only arrays in the host's memory can do."""


def wrap(result: Any, kind: Callable[[HostArray], Any] | None = None) -> Any:
    return (kind or StrictArray)(np.asarray(result)) if isinstance(result, (np.ndarray, np.generic)) else result


def unwrap(value: Any) -> Any:
    if isinstance(value, StrictArray):
        return value.inner
    if isinstance(value, (np.ndarray, np.generic)):
        raise Refused(f"an array of the host among those of the device: {value!r}")
    return type(value)(map(unwrap, value)) if isinstance(value, (tuple, list)) else value


def refuse(name: str) -> Callable[..., NoReturn]:
    def method(self: Any, *_: Any, **__: Any) -> NoReturn:
        raise Refused(f"{name} of an array on the device")

    return method


def apply(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *others: self.made(function(self.inner, *map(unwrap, others)))


class StrictArray:
    """An array on the device."""

    def __init__(self, inner: HostArray) -> None:
        self.inner = inner

    dtype = property(lambda self: self.inner.dtype)
    shape = property(lambda self: self.inner.shape)
    ndim = property(lambda self: self.inner.ndim)
    size = property(lambda self: self.inner.size)
    strides = property(lambda self: self.inner.strides)
    T = property(lambda self: self.made(self.inner.T))

    __getitem__ = apply(operator.getitem)
    __add__, __radd__, __sub__, __mul__ = map(apply, (operator.add, operator.add, operator.sub, operator.mul))
    reshape, view, astype = map(apply, (np.ndarray.reshape, np.ndarray.view, np.ndarray.astype))
    transpose = apply(np.ndarray.transpose)

    def made(self, result: Any) -> Any:
        """Return what a function made of the numbers as an array of the device."""
        return wrap(result, type(self))

    def __len__(self) -> int:
        return len(self.inner)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.inner[unwrap(key)] = unwrap(value)

    def fill(self, value: float) -> None:
        self.inner.fill(unwrap(value))

    for name in ("float", "int", "bool", "index", "array", "array_ufunc", "array_function", "eq", "lt", "gt"):
        vars()[f"__{name}__"] = refuse(f"__{name}__")
    for name in ("item", "tolist", "any", "all", "sum", "mean", "std", "max", "min", "ctypes", "data"):
        vars()[name] = refuse(name)
    __hash__ = None  # type: ignore[assignment]


class StrictFunction:
    """A function of the array module."""

    kind: type[StrictArray] = StrictArray

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.function = name, function

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if "where" in settings and self.name != "copyto":
            raise Refused(f"{self.name}(where=…), which CuPy has not")
        if self.name in ENTRANCES and not isinstance(args[0], StrictArray):
            return wrap(self.function(args[0], *map(unwrap, args[1:]), **settings), self.kind)
        out = settings.get("out")
        result = self.function(*map(unwrap, args), **{name: unwrap(value) for name, value in settings.items()})
        return out if out is not None else wrap(result, self.kind)

    @property
    def at(self) -> StrictFunction:
        return StrictFunction(f"{self.name}.at", self.function.at)


class StrictModule:
    """numpy's functions on arrays of the device."""

    inf = np.inf
    lib = SimpleNamespace(
        stride_tricks=SimpleNamespace(as_strided=StrictFunction("as_strided", np.lib.stride_tricks.as_strided))
    )

    def __getattr__(self, name: str) -> StrictFunction:
        return StrictFunction(name, getattr(np, name))


class StrictKernels(NumpyKernels):
    """The operations of the device."""

    xp = StrictModule()

    def erf(self, x: Any, out: Any) -> None:
        super().erf(x.inner, out.inner)

    def uniform(self, stream: Stream, out: Any) -> None:
        super().uniform(stream, out.inner)

    def gather(self, source: Any, rows: Any, out: Any) -> None:
        super().gather(source.inner, rows.inner, out.inner)

    def to_host(self, array: Any) -> HostArray:
        return super().to_host(array.inner)
