"""The threads of a training: how many there are, and who uses them, the linear algebra or the engine itself.

Either BLAS has them all and the engine one, or the engine's own threads share the images of a batch and each calls BLAS
for its share alone. Both at once would wait for each other. Results depend on how many there are, and on nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import cache
from threading import Lock, Thread
from typing import Any, TypeAlias

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Read by the libraries of linear algebra when they are loaded."""

Task: TypeAlias = Callable[[int], None]


def count_threads() -> int:
    """Return how many threads a training uses: as many as the environment says, otherwise one for each core that this
    process may use."""
    wanted = [os.environ[name] for name in VARIABLES if os.environ.get(name, "").isdecimal()]
    return max(1, int(wanted[0])) if wanted else count_cores()


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_to_spare() -> bool:
    """Whether one thread more than a training uses helps it: on a core of its own, or on one of many. On one of two it
    made the threads of the step wait for each other, and gained nothing."""
    return count_cores() > count_threads() or count_threads() > 2


def settle_threads(count: int) -> None:
    """Let this process use `count` threads; called before numpy is loaded."""
    os.environ.update(dict.fromkeys(VARIABLES, str(count)))


class Team:
    """A few threads that work on parts of one task; the caller is the first of them.

    They start with the first task, sleep between tasks and end with the process; a forked process starts its own.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._workers: list[_Worker] = []
        self._busy = Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def run(self, task: Task) -> None:
        """Call task(0), …, task(size − 1), each on a thread of its own; return when all have ended.

        Raises what a part raised, the first of several. Where the threads are busy with another task, this thread does
        every part itself.
        """
        if self.size == 1 or not self._busy.acquire(blocking=False):
            for part in range(self.size):
                task(part)
            return
        try:
            if not self._workers:
                self._workers = [_Worker(part) for part in range(1, self.size)]
            self._share(task)
        finally:
            self._busy.release()

    def _share(self, task: Task) -> None:
        for worker in self._workers:
            worker.begin(task)
        try:
            task(0)
        finally:
            try:
                errors = [worker.end() for worker in self._workers]
            except BaseException:  # interrupted while it waits: those still at work are left to end by themselves
                self._dismiss()
                raise
        for error in errors:
            if error is not None:
                raise error

    def _dismiss(self) -> None:
        for worker in self._workers:
            worker.begin(None)
        self._workers = []

    def _forget(self) -> None:
        """Threads do not survive a fork."""
        self._workers, self._busy = [], Lock()


class _Worker:
    """One thread. Both locks are taken while it sleeps; each is given back by the other side."""

    def __init__(self, part: int) -> None:
        self._part = part
        self._given, self._done = Lock(), Lock()
        self._given.acquire()
        self._done.acquire()
        self._task: Task | None = None
        self._context = Context()
        self._error: BaseException | None = None
        Thread(target=self._work, name=f"tuilab-{part}", daemon=True).start()

    def begin(self, task: Task | None) -> None:
        """Let it do its part, in the context of the caller, which holds numpy's way with overflow; None: end."""
        self._task, self._context = task, copy_context()
        with suppress(RuntimeError):  # it was dismissed while it had not begun
            self._given.release()

    def end(self) -> BaseException | None:
        """Wait until it has done its part; return what that raised."""
        self._done.acquire()
        error, self._error = self._error, None
        return error

    def _work(self) -> None:
        while self._given.acquire() and self._task is not None:
            try:
                self._context.run(self._task, self._part)
            except BaseException as error:
                self._error = error
            self._task = None
            self._done.release()


class Errand:
    """One call on a thread of its own, which ends with it."""

    def __init__(self, task: Callable[[], None]) -> None:
        self._error: BaseException | None = None
        context = copy_context()  # with numpy's way with overflow
        self._thread = Thread(target=context.run, args=(self._do, task), name="tuilab-errand", daemon=True)
        self._thread.start()

    def _do(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            self._error = error

    def wait(self) -> None:
        """Wait until it is done."""
        self._thread.join()

    def end(self) -> None:
        """Wait until it is done; raises what the call raised."""
        self.wait()
        if self._error is not None:
            raise self._error


@cache
def team(size: int) -> Team:
    """Return the threads of this process."""
    return Team(size)


def share(count: int, part: int, parts: int) -> range:
    """Return which of `count` things belong to one of `parts`: as many as to any other, or one less."""
    return range(count * part // parts, count * (part + 1) // parts)


def let_blas_use(threads: int) -> None:
    """Set on how many threads BLAS works from now on; one that cannot be told keeps its own number."""
    for library in _libraries():
        library.set_num_threads(threads)


@cache
def _libraries() -> list[Any]:
    import numpy as np  # noqa: F401 # only what is loaded can be told
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found
