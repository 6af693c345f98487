"""The installed `tuilab` in a pseudo-terminal of any size, driven by keys."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tuilab.runs.lock import look

ESCAPES = re.compile(r"\x1b(\[[0-9;?<>=:]*[A-Za-z]|\][^\x07\x1b]*(\x07|\x1b\\)|[=>PX^_][^\x1b]*(\x1b\\)?|[()][A-Z0-9])")

LAB = (sys.executable, "-m", "tuilab")
FOREIGN = ("NO_COLOR", "SSH_CONNECTION", "COLUMNS", "LINES", "TUILAB_STATE")
"""Variables that would speak of another terminal, or of another lab."""


class Terminal:
    """A lab that thinks it has a person before it."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        columns: int = 120,
        rows: int = 40,
        program: Sequence[str] = LAB,
        **environment: str,
    ) -> None:
        self.folder = folder
        own = {"HOME": folder, "TUILAB_RUNS": folder / "runs", "TUILAB_CONFIG": folder, "XDG_STATE_HOME": folder}
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        named = {name: str(value) for name, value in own.items()}
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            set_size(0, columns, rows)
            variables = {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **named, **environment}
            os.chdir(folder)
            os.execvpe(program[0], [*program, *arguments], variables)
        self.written = b""
        self.code: int | None = None

    def read(self, seconds: float = 0.05) -> bytes:
        """Return what is written within some time."""
        until, new = time.monotonic() + seconds, b""
        while (left := until - time.monotonic()) > 0 and select.select([self.terminal], [], [], left)[0]:
            try:
                part = os.read(self.terminal, 65536)
            except OSError:  # the lab has ended
                break
            if not part:
                break
            new += part
        self.written += new
        return new

    def press(self, *keys: str) -> None:
        for key in keys:
            os.write(self.terminal, key.encode())
            self.read(0.05)

    def resize(self, columns: int, rows: int) -> None:
        set_size(self.terminal, columns, rows)
        os.kill(self.pid, signal.SIGWINCH)

    def painted(self, columns: int, rows: int) -> str:
        """Return the text of a whole picture, which a change of size brings about."""
        start = len(self.written)
        self.resize(columns, rows)
        for _ in range(20):
            if not self.read(0.4) and len(self.written) > start:
                break
        return ESCAPES.sub(" ", self.written[start:].decode(errors="replace"))

    def wait_for(
        self, reached: Callable[[str], object], columns: int = 120, rows: int = 40, seconds: float = 120
    ) -> str:
        """Wait until the picture shows what `reached` looks for, and return it."""
        until, change = time.monotonic() + seconds, 0
        while True:
            change = 1 - change
            text = self.painted(columns - change, rows)
            if reached(text):
                return text
            assert time.monotonic() < until, text
            assert self.alive(), self.written[-3000:]

    def alive(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def wait(self, seconds: float = 60) -> int:
        """Wait until the lab has ended, and return its exit code."""
        until = time.monotonic() + seconds
        while self.alive():
            self.read(0.05)
            assert time.monotonic() < until, "the lab does not end"
        self.read(0.05)
        assert self.code is not None
        return self.code

    def close(self) -> None:
        """End the lab, and whatever still trains in its folder."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)
        for run in (self.folder / "runs").glob("*/lock"):
            life, owner = look(run.parent)
            if life == "alive" and owner is not None:
                with suppress(ProcessLookupError):  # it has come to its end meanwhile
                    os.kill(owner.pid, signal.SIGKILL)


def set_size(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
