"""Trains runs in processes that kill themselves in the middle of a checkpoint: `dying_workers.py`, orders on stdin.

An order is a line `RUN OPERATION WHICH`: train the run in that folder, and die at that operation of its third
checkpoint, counted from 1, or at none for 0. Every operation that changes the disk counts. WHICH is `new`, or `again`
where the third checkpoint is written once before that. Answered with a line: the exit code, or minus the signal, and
the last operation.

All processes are forks of one that has loaded everything, so that each takes a tenth of a second.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from tuilab.engine import trainer
from tuilab.runs import training, worker
from tuilab.runs.training import RecordedTraining

THIRD = 3
NOTHING_LEFT = 77
OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree"}

write_checkpoint, fsync = RecordedTraining._checkpoint, os.fsync


class Death:
    """Comes at one operation of one checkpoint."""

    def __init__(self, at: int, again: bool, told: int) -> None:
        self.at = at
        self.again = again
        self.told = told
        self.checkpoints = 0
        self.operations = 0
        self.armed = False

    def checkpoint(self, training: RecordedTraining, resumable: bool = True) -> None:
        self.checkpoints += 1
        if self.checkpoints != THIRD:
            write_checkpoint(training, resumable)
            return
        if self.again:
            write_checkpoint(training, resumable)
        training.recorder.connection.set_trace_callback(self.operation)
        self.armed = True
        write_checkpoint(training, resumable)
        os._exit(NOTHING_LEFT)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in OPERATIONS and not reads:
            self.operation(event)

    def fsync(self, descriptor: int) -> None:
        if self.armed:
            self.operation("os.fsync")
        fsync(descriptor)

    def operation(self, name: str) -> None:
        """Before each operation."""
        if not self.armed:
            return
        self.operations += 1
        if self.operations == self.at:
            os.write(self.told, name.split("(")[0].encode())
            os.kill(os.getpid(), signal.SIGKILL)


def live(run: str, death: Death | None) -> int:
    """Train a run in this process."""
    os.setsid()
    log = os.open(os.path.join(run, "worker.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if death is not None:
        trainer.SECONDS_BETWEEN_EVENTS = training.SECONDS_BETWEEN_CHECKPOINTS = 0.0
        training.CHECKPOINT_SHARE = 1e9
        RecordedTraining._checkpoint = lambda *arguments: death.checkpoint(*arguments)  # type: ignore[method-assign]
        os.fsync = death.fsync  # type: ignore[assignment]
        sys.addaudithook(death.audit)
    return worker.main(run)


def main() -> None:
    for order in sys.stdin:
        run, at, which = order.split()
        reading, told = os.pipe()
        pid = os.fork()
        if not pid:
            os._exit(live(run, Death(int(at), which == "again", told) if int(at) else None))
        os.close(told)
        _, status = os.waitpid(pid, 0)
        operation = os.read(reading, 100).decode()
        os.close(reading)
        print(os.waitstatus_to_exitcode(status), operation, flush=True)


if __name__ == "__main__":
    main()
