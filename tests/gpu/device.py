"""A GPU without a GPU: arrays that refuse what a device's arrays refuse, kernels that the emulator runs, and recordings
of what a step starts, which can be played again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.engine.strict_device import Refused, StrictArray, StrictFunction, StrictModule, unwrap
from tests.gpu.emulator import Emulator
from tuilab.blocks.arrays import HostArray
from tuilab.engine.kernels.gpu import CudaKernels

VIEWS = ("as_strided", "broadcast_to")
"""Functions that return views of what is there."""


class Tape:
    """What a device was told to do, while it is being recorded."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] | None = None
        self.full = False
        """Whether no memory is left."""

    @property
    def refuses_memory(self) -> bool:
        return self.full or self.calls is not None

    def do(self, call: Callable[[], None]) -> None:
        if self.calls is None:
            call()
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
            return super().__call__(*args, **settings)
        given, named = tuple(map(unwrap, args)), {name: unwrap(value) for name, value in settings.items()}
        TAPE.do(lambda: self.function(*given, **named))
        return settings.get("out")


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
            call()


class EmulatedKernels(CudaKernels):
    """The operations of the emulated GPU."""

    def __init__(self) -> None:
        super().__init__(EmulatedModule(), Emulator(TAPE.do))

    def upload(self, values: HostArray, into: Any) -> None:
        if TAPE.calls is not None:
            raise Refused("numbers of the host within a step")
        assert values.shape == into.shape
        assert values.dtype == into.dtype
        into.inner[...] = values

    def to_host(self, array: Any) -> HostArray:
        if TAPE.calls is not None:
            raise Refused("waiting within a step")
        return np.array(array.inner)

    def erf(self, x: Any, out: Any) -> None:
        from scipy.special import erf

        TAPE.do(lambda: erf(x.inner, out=out.inner))

    def capture(self, act: Callable[[], None]) -> Recorded:
        TAPE.calls = []
        try:
            act()
            return Recorded(TAPE.calls)
        except Refused as refused:
            raise RuntimeError(str(refused)) from refused
        finally:
            TAPE.calls = None
