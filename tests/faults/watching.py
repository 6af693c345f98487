"""A screen that follows every run of a folder: `watching.py RUNS`, ten times a second until its input is closed.

Prints one object: how often it looked, the longest look at one run in seconds, and the epochs it was told of, by run.
"""

from __future__ import annotations

import json
import select
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tuilab.runs.directory import RunDirectory, run_names
from tuilab.runs.reader import RunReader, following, overview


def main(folder: Path) -> None:
    readers: dict[str, RunReader] = {}
    epochs: dict[str, list[int]] = {}
    said: dict[str, int] = {}
    rounds, looks, longest, over = 0, 0, 0.0, False
    with ExitStack() as stack:
        while not over:
            began = time.monotonic()
            over = bool(select.select([sys.stdin], [], [], 0)[0])  # before the last look
            for name in run_names(folder):
                run, began_run = RunDirectory(folder / name), time.monotonic()
                if name not in readers:
                    readers[name], epochs[name], said[name] = stack.enter_context(following(run)), [], 0
                reader = readers[name]
                seen = overview(run, reader)
                paused = seen.state == "paused" and seen.reason == "by a command"  # not because of the disk or a lock
                assert seen.state in ("running", "finished") or paused, (name, seen.state, seen.reason)
                epochs[name] += [epoch.epoch for epoch in reader.epochs(len(epochs[name]))]
                for message in reader.messages(said[name]):
                    assert message.id == said[name] + 1
                    said[name] = message.id
                if rounds % 10 == 0:
                    steps = reader.curve("loss").step
                    assert (steps[1:] > steps[:-1]).all()
                looks, longest = looks + 1, max(longest, time.monotonic() - began_run)
            rounds += 1
            time.sleep(max(0.1 - (time.monotonic() - began), 0))
    print(json.dumps({"looks": looks, "longest": longest, "epochs": epochs}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
