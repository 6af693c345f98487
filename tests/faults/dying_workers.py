"""Trains runs in processes that kill themselves at a chosen moment: `dying_workers.py`, orders on stdin.

An order is a line `RUN OPERATION MOMENT`: train the run in that folder, and die before that operation, counted from 1,
or at none for 0. Every operation that changes the disk counts, and every statement of the database. MOMENT says where
counting begins, and by that where it ends: `start`, up to the first step; `new`, a checkpoint; `again`, a checkpoint in
the place of one of the same step. Answered with a line: the exit code, or minus the signal, and the operation.

All processes are forks of one that has loaded everything, so that each takes a tenth of a second.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from tuilab.engine import trainer
from tuilab.runs import database, recorder, training, worker
from tuilab.runs.training import RecordedTraining

THIRD = 3
"""The checkpoint to die in; the first one is written before the first step."""
NOTHING_LEFT = 77
OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree"}

write_checkpoint, open_for_writing, fsync = RecordedTraining._checkpoint, database.open_for_writing, os.fsync


class Death:
    """Comes at one operation."""

    def __init__(self, at: int, moment: str, told: int) -> None:
        self.at = at
        self.moment = moment
        self.told = told
        self.armed = moment == "start"
        self.checkpoints = 0
        self.operations = 0

    def lie_in_wait(self) -> None:
        """Watch what this process does from now on. It tells of every step, and writes a checkpoint after each; nothing
        that it does depends on the clock."""
        trainer.SECONDS_BETWEEN_EVENTS = training.SECONDS_BETWEEN_CHECKPOINTS = 0.0
        training.CHECKPOINT_SHARE = 1e9
        recorder.SHORTEST_INTERVAL = recorder.LONGEST_INTERVAL = recorder.SECONDS_BETWEEN_LOADS = 1e9
        RecordedTraining._checkpoint = lambda *arguments: self.checkpoint(*arguments)  # type: ignore[method-assign]
        database.open_for_writing = self.open_for_writing
        os.fsync = self.fsync  # type: ignore[assignment]
        sys.addaudithook(self.audit)

    def checkpoint(self, training: RecordedTraining, resumable: bool = True) -> None:
        self.checkpoints += 1
        if self.moment == "start":
            os._exit(NOTHING_LEFT)
        if self.checkpoints != THIRD or self.moment == "again":
            write_checkpoint(training, resumable)
        if self.checkpoints == THIRD:
            self.armed = True
            write_checkpoint(training, resumable)
            os._exit(NOTHING_LEFT)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in OPERATIONS and not reads:
            self.operation(event)

    def open_for_writing(self, run: Path) -> sqlite3.Connection:
        connection = open_for_writing(run)
        connection.set_trace_callback(self.operation)
        return connection

    def fsync(self, descriptor: int) -> None:
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
        death.lie_in_wait()
    return worker.main(run)


def main() -> None:
    for order in sys.stdin:
        run, at, moment = order.split()
        reading, told = os.pipe()
        pid = os.fork()
        if not pid:
            os._exit(live(run, Death(int(at), moment, told) if int(at) else None))
        os.close(told)
        _, status = os.waitpid(pid, 0)
        operation = os.read(reading, 100).decode()
        os.close(reading)
        print(os.waitstatus_to_exitcode(status), operation, flush=True)


if __name__ == "__main__":
    main()
