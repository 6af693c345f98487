"""Starts the worker of a run: a process in a session of its own, spawned, without a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tuilab
from tuilab.runs.directory import RunDirectory, storage
from tuilab.runs.reader import try_overview
from tuilab.runs.worker import STOP_SIGNALS
from tuilab.text import clean_text

LOG = "worker.log"
PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); from tuilab.runs.worker import main; sys.exit(main(*sys.argv[1:]))"
)
"""The folder of this package comes last on the path, and no folder of the user's comes first: nothing that lies about
there is taken for a library."""


@dataclass
class Launched:
    """A worker that this process has started."""

    run: RunDirectory
    process: subprocess.Popen[bytes]
    log_start: int

    def complaints(self) -> list[str]:
        """Return what the worker had to say about its failure."""
        try:
            with (self.run.path / LOG).open("rb") as file:
                file.seek(self.log_start)
                lines = file.read(1_000_000).decode(errors="replace").splitlines()
        except OSError:
            return []
        own = f"tuilab[{self.process.pid}]: "  # another worker may have been refused meanwhile, and have said so
        return [clean_text(line.removeprefix(own), 1000) for line in lines if line.startswith(own)]


def launch(run: RunDirectory, overrides: Sequence[str] = (), data_dir: Path | None = None) -> Launched:
    """Start the worker of a run, which goes on from its newest checkpoint; `overrides`: `key=value` as for --set.

    The worker itself refuses a run that has one already. Raises StorageError where its log cannot be written.
    """
    environment = dict(os.environ)
    if data_dir is not None:
        environment["TUILAB_DATA"] = os.path.abspath(data_dir)
    package = str(Path(tuilab.__file__).resolve().parents[1])
    with storage(run.path), open(run.path / LOG, "ab", opener=_no_links) as log:
        # a first line now, so that the last words of a worker on a full disk find room behind it
        log.write(f"{time.strftime('%F %T')}  a worker is started\n".encode())
        log.flush()
        with stop_signals_wait():
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, package, os.path.abspath(run.path), *overrides],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        return Launched(run, process, log.tell())


@contextmanager
def stop_signals_wait() -> Iterator[None]:
    """Let signals that stop a training wait, for this thread; a worker that is started meanwhile takes them as soon as
    it knows what to do with them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def discard_stillborn(launched: Launched) -> None:
    """Take away a run whose worker has ended before its first step: there is nothing to keep."""
    seen = try_overview(launched.run)
    if (isinstance(seen, str) or not seen.status.step) and not launched.run.checkpoints():
        launched.run.discard()
