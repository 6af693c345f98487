"""How long the lab takes from its start to its first picture, in a pseudo-terminal: python -m benchmarks.first_paint"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time

ROUNDS = 10
SHOWN = (b"Build", b"dense")
"""The frame is painted, and the network in it."""


def paint(folder: str) -> list[float]:
    """Start the lab, and return the seconds until each of SHOWN stood on the screen."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {**os.environ, "TERM": "xterm-256color", "TUILAB_RUNS": folder, "TUILAB_CONFIG": folder}
        environment["TUILAB_STATE"] = folder
        os.execve(sys.executable, [sys.executable, "-m", "tuilab"], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    written, moments = b"", []
    while len(moments) < len(SHOWN) and time.perf_counter() - started < 20:
        if select.select([terminal], [], [], 0.01)[0]:
            written += os.read(terminal, 65536)
            while len(moments) < len(SHOWN) and SHOWN[len(moments)] in written:
                moments.append(time.perf_counter() - started)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)
    return moments


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        paint(folder)  # compiles what is not compiled yet
        rounds = [paint(folder) for _ in range(ROUNDS)]
    for index, name in enumerate(("frame", "network")):
        seconds = [moments[index] for moments in rounds]
        spread = f"{min(seconds):.3f} … {max(seconds):.3f}"
        print(f"{name}: {statistics.median(seconds):.3f} s (median of {ROUNDS}; {spread})")


if __name__ == "__main__":
    main()
