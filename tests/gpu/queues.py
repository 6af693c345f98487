"""Queues of a device, as late or as early as they may be: what waits for nothing is seen to be wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import RLock

LOCK = RLock()
"""Whoever tells a device something, or waits for it, on whatever thread."""


class EmulatedEvent:
    """A place in a queue."""

    def __init__(self, queue: EmulatedQueue) -> None:
        self.queue, self.place = queue, queue.told

    @property
    def done(self) -> bool:
        return self.queue.did >= self.place

    def synchronize(self) -> None:
        with LOCK:
            self.queue.come_to(self.place)


class EmulatedQueue:
    """Calls one after the other: at once, as far as they need not wait for another queue, or where it is `late`, when
    somebody waits for them."""

    def __init__(self) -> None:
        self.late = False
        self.calls: deque[Callable[[], None] | EmulatedEvent] = deque()
        self.told = self.did = 0

    def tell(self, call: Callable[[], None] | EmulatedEvent) -> None:
        with LOCK:
            self.calls.append(call)
            self.told += 1
            while (
                not self.late
                and self.calls
                and not (isinstance(call := self.calls[0], EmulatedEvent) and not call.done)
            ):
                self._next()

    def record(self) -> EmulatedEvent:
        with LOCK:
            return EmulatedEvent(self)

    def wait_event(self, event: EmulatedEvent) -> None:
        self.tell(event)

    def come_to(self, place: int) -> None:
        while self.did < place:
            self._next()

    def synchronize(self) -> None:
        with LOCK:
            self.come_to(self.told)

    def _next(self) -> None:
        call = self.calls.popleft()
        if isinstance(call, EmulatedEvent):
            call.synchronize()
        else:
            call()
        self.did += 1
