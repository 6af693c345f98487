"""Batches prepared ahead: while a step works on one, a thread gets the next one ready."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import NamedTuple

from tuilab.engine.threads import Errand

SECONDS_WORTH_A_THREAD = 1e-3
"""That a batch takes to prepare; one that takes less is prepared when it is wanted."""


class Moment(NamedTuple):
    """Which batch of an epoch, and where training stands when it is used: random numbers follow from that."""

    batch: int
    epoch: int
    step: int


class Ahead:
    """Prepares batches in two places by turns.

    What is in a batch follows from its moment alone, whichever thread prepared it, and whether ahead or not. A thread
    lives for one batch, so that none is left when nobody asks for more. `always`: however little time it takes.
    """

    def __init__(self, prepare: Callable[[int, Moment], None], always: bool) -> None:
        self._prepare = prepare
        self._always = always
        self._place = 0
        """Where the batch in use is."""
        self._coming: tuple[Moment, Errand] | None = None
        """Being prepared at the other place."""
        self._seconds = 0.0
        """That the last one took."""

    def take(self, moment: Moment, following: Moment | None) -> int:
        """Return the place, 0 or 1, where the batch of this moment is ready, and begin with the following one.

        Raises what its preparation raised.
        """
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == moment:
            coming[1].end()
            self._place = 1 - self._place
        else:
            if coming is not None:
                coming[1].wait()
            self._do(self._place, moment)
        if following is not None and (self._always or self._seconds >= SECONDS_WORTH_A_THREAD):
            self._coming = following, Errand(partial(self._do, 1 - self._place, following))
        return self._place

    def forget(self) -> None:
        """Wait until nothing is being prepared, and use nothing of it."""
        coming, self._coming = self._coming, None
        if coming is not None:
            coming[1].wait()

    def _do(self, place: int, moment: Moment) -> None:
        began = perf_counter()
        self._prepare(place, moment)
        self._seconds = perf_counter() - began
