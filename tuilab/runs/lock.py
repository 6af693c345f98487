"""Who trains a run: a lock that the worker holds as long as it lives, and what it says about itself.

The lock alone decides. A process that died, a zombie, a reused process number and a copied folder hold none.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from tuilab.errors import UsageError
from tuilab.text import clean_text

FILE = "lock"
SIZE = 4096
"""Bytes of the file, always: what it says can then be changed on a full disk. Enough for any trouble in JSON."""
WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
SECONDS_TO_WAIT = 1.0
"""A reader that looks whether the lock is free holds it for a moment."""

Life: TypeAlias = Literal["alive", "dead", "unknown"]


@dataclass(frozen=True)
class Owner:
    """The process that trains, or has trained, a run."""

    host: str
    boot: str
    """Names the time between two starts of the machine."""
    pid: int
    started: float
    """When the process began, in seconds since the machine was started (elsewhere than on Linux: since 1970)."""
    trouble: str = ""
    """Why it cannot go on at the moment, where the database cannot be written."""

    @classmethod
    def this_process(cls) -> Owner:
        return cls(platform.node(), _boot(), os.getpid(), _started(os.getpid()) or 0.0)

    def may_live(self) -> bool:
        """Whether this machine has a process of this number that began at this time, and was not restarted since."""
        return self.boot == _boot() and self.started == _started(self.pid)


class Lock:
    """The lock of a run, held by this process."""

    def __init__(self, descriptor: int, owner: Owner) -> None:
        self.descriptor = descriptor
        self.owner = owner
        self._write()

    def report(self, trouble: str) -> None:
        """Say why the run cannot go on, or with an empty text that it does; needs no space on the disk."""
        self.owner = replace(self.owner, trouble=trouble[:300])
        self._write()

    def _write(self) -> None:
        os.pwrite(self.descriptor, json.dumps(asdict(self.owner)).encode().ljust(SIZE)[:SIZE], 0)


@contextmanager
def hold(run: Path) -> Iterator[Lock]:
    """Keep every other process from training the run in this folder; raises UsageError where one does already."""
    descriptor = os.open(run / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        owner = Owner.this_process()  # which takes its time: nobody must see the lock taken and the owner before
        if not _acquire(descriptor):
            other = _read(descriptor)
            holder = f"process {other.pid} on {clean_text(other.host)}" if other else "another process"
            raise UsageError(f"run {clean_text(run.name)} is being trained already, by {holder}")
        yield Lock(descriptor, owner)
    finally:
        os.close(descriptor)


def look(run: Path) -> tuple[Life, Owner | None]:
    """Return whether the run's worker lives, and what is known of it.

    unknown: it was started on another machine, or the file system has no working locks.
    """
    with looking(run) as seen:
        return seen


@contextmanager
def looking(run: Path) -> Iterator[tuple[Life, Owner | None]]:
    """Give what `look` returns; where that is a dead owner, no worker can begin until this ends."""
    try:
        descriptor = os.open(run / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield "dead", None
        return
    try:
        yield _look(descriptor)
    finally:
        os.close(descriptor)


def _look(descriptor: int) -> tuple[Life, Owner | None]:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return "dead", None
    owner = _read(descriptor)
    if owner is not None and owner.host != platform.node():
        return "unknown", owner
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return ("alive" if owner is None or owner.may_live() else "unknown"), owner
    except OSError:
        return "unknown", owner
    return "dead", owner


def _acquire(descriptor: int) -> bool:
    """Take the lock; where the file system has none, nothing keeps others away and the run goes on all the same."""
    until = time.monotonic() + SECONDS_TO_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            return True


def _read(descriptor: int) -> Owner | None:
    try:
        stored = json.loads(os.pread(descriptor, SIZE, 0))
        owner = Owner(**stored)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = (owner.host, owner.boot, owner.trouble)
    numbers = type(owner.pid) is int and 0 < owner.pid < 2**31 and isinstance(owner.started, float)
    return owner if numbers and all(isinstance(text, str) for text in texts) else None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux: the time at which a process began tells it from those before the restart
        return ""


def _started(pid: int) -> float | None:
    """Return when a process began; None where there is none, or only what its parent has not yet taken notice of."""
    if sys.platform == "linux":  # by the clock that nobody sets
        try:
            facts = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        return None if facts[0] in b"ZX" else int(facts[19]) / os.sysconf("SC_CLK_TCK")
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None
