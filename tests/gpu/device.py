"""A GPU without a GPU: arrays that refuse what a device's arrays refuse, kernels that the emulator runs, and recordings
of what a step starts, which can be played again."""

from __future__ import annotations

from collections.abc import Callable
from threading import local
from typing import Any

import numpy as np

from tests.engine.strict_device import Refused, StrictArray, StrictFunction, StrictModule, unwrap
from tests.gpu.emulator import Emulator
from tests.gpu.queues import EmulatedQueue
from tuilab.blocks.arrays import HostArray, Shape
from tuilab.engine.kernels.gpu import CudaKernels

VIEWS = ("as_strided", "broadcast_to")
"""Functions that return views of what is there."""


class Tape:
    """What a device was told to do, while it is being recorded."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] | None = None
        self.queue, self.copies = EmulatedQueue(), EmulatedQueue()
        self.here = local()
        self.full = False
        """Whether no memory is left."""

    @property
    def refuses_memory(self) -> bool:
        return self.full or self.calls is not None

    def do(self, call: Callable[[], None]) -> None:
        assert hasattr(self.here, "device"), "this thread has not said of which device it speaks"
        if self.calls is None:
            self.queue.tell(call)
        else:
            self.calls.append(call)


TAPE = Tape()
"""Of the device that is being recorded; arrays write into it what is done to them."""


class Flags:
    def __init__(self, array: HostArray) -> None:
        self.c_contiguous = array.flags.c_contiguous


class EmulatedArray(StrictArray):
    """An array of the emulated GPU."""

    flags = property(lambda self: Flags(self.inner))
    nbytes = property(lambda self: self.inner.nbytes)

    def made(self, result: Any) -> Any:
        if TAPE.refuses_memory and not np.may_share_memory(result, self.inner):
            raise Refused("an allocation within a step")
        return super().made(result)

    def __getitem__(self, key: Any) -> Any:
        place = unwrap(key)
        places = place if isinstance(place, tuple) else (place,)
        if any(isinstance(one, np.ndarray) for one in places):
            raise Refused("an array as an index, which allocates")
        return self.made(self.inner[places if Ellipsis in places else (*places, ...)])  # one number is a view as well

    def __setitem__(self, key: Any, value: Any) -> None:
        place, given = unwrap(key), unwrap(value)
        TAPE.do(lambda: self.inner.__setitem__(place, given))

    def fill(self, value: float) -> None:
        given = unwrap(value)
        TAPE.do(lambda: self.inner.fill(given))

    def __iadd__(self, other: Any) -> EmulatedArray:
        given = unwrap(other)
        TAPE.do(lambda: self.inner.__iadd__(given))
        return self


class EmulatedFunction(StrictFunction):
    """A function of the array module; within a step it has to be given the memory for its result."""

    kind = EmulatedArray

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if "where" in settings and self.name != "copyto":
            raise Refused(f"{self.name}(where=…), which CuPy has not")
        if settings.get("out") is None and self.name != "copyto":
            if TAPE.refuses_memory and self.name not in VIEWS:
                raise Refused(f"{self.name} allocates within a step")
            TAPE.queue.synchronize()
            return super().__call__(*args, **settings)
        given, named = tuple(map(unwrap, args)), {name: unwrap(value) for name, value in settings.items()}
        TAPE.do(lambda: self.function(*given, **named))
        return settings.get("out")

    @property
    def at(self) -> Callable[..., None]:
        def act(*args: Any) -> None:
            given = tuple(map(unwrap, args))
            TAPE.do(lambda: self.function.at(*given))

        return act


class EmulatedModule(StrictModule):
    """CuPy's functions, as far as numpy has them."""

    def __getattr__(self, name: str) -> Any:
        return np.finfo if name == "finfo" else EmulatedFunction(name, getattr(np, name))


class Recorded:
    """A `Recording`."""

    def __init__(self, calls: list[Callable[[], None]]) -> None:
        self.calls = calls

    def play(self) -> None:
        for call in self.calls:
            TAPE.queue.tell(call)


def read_as(precision: str, x: HostArray) -> HostArray:
    """Return what cuBLAS makes of numbers in memory, as float32."""
    if precision == "tf32":
        return nearest(x, 13)
    return x.view("float16").astype("float32") if precision == "float16" else (x.astype("uint32") << 16).view("float32")


def nearest(x: HostArray, bits: int) -> HostArray:
    """Return the nearest floats, of two the even ones, whose last `bits` bits are 0; not of the largest."""
    steps = np.ldexp(np.float64(1), np.frexp(x.astype("float64"))[1] - 24 + bits)
    return (np.rint(x / steps) * steps).astype("float32")


class EmulatedKernels(CudaKernels):
    """The operations of the emulated GPU."""

    queue, copies = TAPE.queue, TAPE.copies

    def __init__(self) -> None:
        super().__init__(EmulatedModule(), Emulator(TAPE.do))
        self.addressed: dict[int, HostArray] = {}

    def address(self, array: Any) -> int:
        assert array.flags.c_contiguous
        address = int(array.inner.ctypes.data)
        self.addressed[address] = array.inner  # for whoever keeps the address alone
        return address

    def use(self) -> None:
        TAPE.here.device = self

    def room(self) -> int:
        return 1 << 40

    def upload(self, values: HostArray, into: Any) -> None:
        if TAPE.calls is not None:
            raise Refused("numbers of the host within a step")
        assert values.shape == into.shape
        assert values.dtype == into.dtype
        given = values.copy()
        TAPE.queue.tell(lambda: into.inner.__setitem__(..., given))

    def pinned(self, shape: Shape, dtype: str) -> HostArray:
        memory = np.empty(shape, dtype)
        memory.view("uint8").fill(0xAB)
        return memory

    def send(self, values: HostArray, into: Any, queue: Any) -> None:
        assert (values.shape, values.dtype) == (into.shape, into.dtype)
        queue.tell(lambda: into.inner.__setitem__(..., values))

    def fetch(self, array: Any, into: HostArray) -> None:
        assert (array.shape, array.dtype) == (into.shape, into.dtype)
        TAPE.queue.tell(lambda: into.__setitem__(..., array.inner))

    def to_host(self, array: Any) -> HostArray:
        if TAPE.calls is not None:
            raise Refused("waiting within a step")
        TAPE.queue.synchronize()
        return np.array(array.inner)

    def erf(self, x: Any, out: Any) -> None:
        from scipy.special import erf

        TAPE.do(lambda: erf(x.inner, out=out.inner))

    def multiply(self, a: Any, b: Any, out: Any, precision: str = "float32") -> bool:
        """What cuBLAS does: it reads bits of 16-bit numbers, rounds to TF32 by itself, and sums in float32."""
        if precision == "float32":
            return False
        assert a.dtype == b.dtype == ("float32" if precision == "tf32" else "uint16")
        assert out.dtype == "float32"
        TAPE.do(lambda: np.matmul(*(read_as(precision, one.inner) for one in (a, b)), out=out.inner))
        return True

    def capture(self, act: Callable[[], None]) -> Recorded:
        TAPE.calls = []
        try:
            act()
            return Recorded(TAPE.calls)
        except Refused as refused:
            raise RuntimeError(str(refused)) from refused
        finally:
            TAPE.calls = None
