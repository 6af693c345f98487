"""Measures steps in turns, so that a change in the machine's speed meets all of them, and says who was faster."""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

ROUNDS = 15
ROUND_SECONDS = 0.1
"""That one of them is measured at a time."""
LEARNING_STEPS = 60
"""After which a network must have learned something."""
JUDGED_STEPS = 10
"""The last of them, whose mean loss tells: that of a single batch says little."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Step = Callable[[], Any]
"""Does the next step, or some, and returns its loss, or None where it has none."""


@dataclass(frozen=True)
class Row:
    """One work, ours beside the peers."""

    name: str
    ours: float
    """Median seconds, or bytes."""
    peers: dict[str, float]
    ratio: float
    """That of PyTorch, where it is there in several ways the best of them, ÷ ours."""
    low: float
    high: float
    """Of the ratio in single rounds."""
    goal: float | None = None
    """The least ratio that is wanted."""
    unit: str = "s"


def options(description: str | None) -> argparse.ArgumentParser:
    """Return what every benchmark understands."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of all")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    parser.add_argument(
        "--short", action="store_true", help="one step a round: to see that all learn; the times mean nothing"
    )
    return parser


def pin_threads(threads: int) -> None:
    """Settle how many threads the linear algebra has; before numpy and torch are imported."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))


def compare(
    name: str,
    ours: Step,
    peers: Mapping[str, Step],
    goal: float | None = None,
    steps: int = 1,
    short: bool = False,
    learned: float = math.inf,
) -> Row:
    """Measure our function and those of the peers in turns; each call does `steps` steps.

    Ends the process where one's loss is not below `learned`, where that is given, after its first LEARNING_STEPS calls.
    """
    if learned < math.inf:
        for who, step in {"tuilab": ours, **peers}.items():
            losses = [float(step()) for _ in range(LEARNING_STEPS)]
            loss = statistics.fmean(losses[-JUDGED_STEPS:])
            if not loss < learned:
                sys.exit(f"{name}: wrong result: the loss of {who} is {loss:.4g}, not below {learned:g}")
    mine, *theirs = alternate(ours, *peers.values(), seconds=0 if short else ROUND_SECONDS)
    rounds = dict(zip(peers, theirs, strict=True))
    medians = {peer: statistics.median(found) / steps for peer, found in rounds.items()}
    best = min((peer for peer in peers if peer.startswith("PyTorch")), key=lambda peer: medians[peer])
    ratios = sorted(slow / fast for fast, slow in zip(mine, rounds[best], strict=True))
    median = statistics.median(mine) / steps
    return Row(name, median, medians, medians[best] / median, ratios[0], ratios[-1], goal)


def alternate(*steps: Step, seconds: float = ROUND_SECONDS) -> list[list[float]]:
    """Return for each step the median seconds of a call in every round, after a warm-up; 0 seconds are a single call in
    a single round."""
    counts = []
    for step in steps:
        for _ in range(5 if seconds else 1):
            step()
        start = perf_counter()
        step()
        counts.append(max(3, int(seconds / (perf_counter() - start))) if seconds else 1)
    medians: list[list[float]] = [[] for _ in steps]
    for _ in range(ROUNDS if seconds else 1):
        for step, count, found in zip(steps, counts, medians, strict=True):
            times = []
            for _ in range(count):
                start = perf_counter()
                step()
                times.append(perf_counter() - start)
            found.append(statistics.median(times))
    return medians


def most_memory() -> int:
    """Return the most bytes that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there includes the process that started this one
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def show(rows: list[Row]) -> None:
    """Print rows as a table of Markdown."""
    print("| work | tuilab | peers | ratio | rounds | wanted |\n|---|---|---|---|---|---|")
    for row in rows:
        peers = ", ".join(f"{name} {_written(value, row.unit)}" for name, value in row.peers.items())
        wanted = "" if row.goal is None else f"≥ {row.goal:g}{'' if row.ratio >= row.goal else ', not reached'}"
        spread = f"{row.low:.2f} to {row.high:.2f}"
        print(f"| {row.name} | {_written(row.ours, row.unit)} | {peers} | {row.ratio:.2f} | {spread} | {wanted} |")


def finish(rows: list[Row], path: Path | None) -> None:
    """Show rows, and write them where that is wanted."""
    show(rows)
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n")


def _written(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    return f"{value * 1e3:.2f} ms" if value >= 1e-3 else f"{value * 1e6:.1f} µs"
