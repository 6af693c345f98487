"""What a device does one after the other, and memory of the host that it copies from by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tuilab.blocks.arrays import Array, ArrayModule, HostArray, Shape

if TYPE_CHECKING:
    from tuilab.engine.kernels.launching import LaunchingKernels


class Event(Protocol):
    """A place in a queue (`cupy.cuda.Event`)."""

    @property
    def done(self) -> bool:
        """Whether the device has come there."""
        ...

    def synchronize(self) -> None:
        """Wait until it has."""
        ...


class Queue(Protocol):
    """What a device does one after the other, while it does what is in other queues (`cupy.cuda.Stream`)."""

    def record(self) -> Event:
        """Return the place behind everything that is in the queue."""
        ...

    def wait_event(self, event: Event) -> None:
        """Let what comes next wait until the device has come to a place in another queue."""
        ...


class SharedMemory:
    """`Staging` where host and device are one."""

    def __init__(self, xp: ArrayModule, shape: Shape, dtype: str) -> None:
        import numpy as np

        self._host: HostArray = np.empty(shape, dtype)
        self.device: Array = xp.asarray(self._host)

    def host(self) -> HostArray:
        return self._host

    def send(self) -> None:
        pass

    def receive(self) -> None:
        pass

    def used(self) -> None:
        pass


class PinnedMemory:
    """`Staging` where the device copies by itself, while it does something else."""

    def __init__(self, ops: LaunchingKernels, shape: Shape, dtype: str) -> None:
        self._ops = ops
        self._host = ops.pinned(shape, dtype)
        self.device: Array = ops.xp.empty(shape, dtype=dtype)
        self._sent: Event | None = None
        self._used: Event | None = None

    def host(self) -> HostArray:
        if self._sent is not None:
            self._sent.synchronize()
        return self._host

    def send(self) -> None:
        ops = self._ops
        ops.enter()
        if self._used is not None:
            ops.copies.wait_event(self._used)
        ops.send(self._host, self.device, ops.copies)
        self._sent = ops.copies.record()

    def receive(self) -> None:
        if self._sent is not None:
            self._ops.queue.wait_event(self._sent)

    def used(self) -> None:
        self._used = self._ops.queue.record()
