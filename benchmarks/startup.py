"""Whole processes from start to exit: `python -m benchmarks.startup`.

`tuilab train digits-mlp` (its worker included: run folder, checkpoints, curves, statistics, the test at the end) beside
a script that trains the same network in PyTorch, and `tuilab --help`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks.side_by_side import THREAD_VARIABLES, Row, finish, options

RUNS = 5
GOAL = 1.5
EPOCHS = 30


def main() -> None:
    """Print the table."""
    parser = options(__doc__)
    parser.add_argument("--torch-script", action="store_true", help="be the script that is compared with")
    chosen = parser.parse_args()
    if chosen.torch_script:
        torch_script(chosen.threads)
    else:
        runs = 1 if chosen.short else RUNS
        finish([training(chosen.threads, runs), help_page(chosen.threads, runs)], chosen.json)


def training(threads: int, runs: int) -> Row:
    """Return the time of the two trainings, by turns."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train = [sys.executable, "-m", "tuilab", "train", "digits-mlp", "--runs", folder]
        script = [sys.executable, "-m", "benchmarks.startup", "--torch-script", "--threads", str(threads)]
        for turn in range(runs + 1):
            times = _seconds(train, threads), _seconds(script, threads)
            if turn:  # the first reads files and compiles
                ours.append(times[0])
                theirs.append(times[1])
    ratios = sorted(slow / fast for fast, slow in zip(ours, theirs, strict=True))
    fast, slow = statistics.median(ours), statistics.median(theirs)
    return Row("digits-mlp, whole process", fast, {"PyTorch script": slow}, slow / fast, ratios[0], ratios[-1], GOAL)


def help_page(threads: int, runs: int) -> Row:
    """Return the time of `tuilab --help` beside that of Python alone."""
    commands = [sys.executable, "-m", "tuilab", "--help"], [sys.executable, "-c", "pass"]
    ours, theirs = zip(*([_seconds(command, threads) for command in commands] for _ in range(runs)), strict=True)
    fast, slow = statistics.median(ours), statistics.median(theirs)
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    return Row("tuilab --help, whole process", fast, {"Python alone": slow}, slow / fast, ratios[0], ratios[-1])


def _seconds(command: list[str], threads: int) -> float:
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    start = perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=Path(__file__).parents[1])
    return perf_counter() - start


def torch_script(threads: int) -> None:
    """Train digits-mlp as one would in PyTorch: the same network, samples, batches and epochs, validated after each."""
    import gzip

    import numpy as np
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    with gzip.open(Path(__file__).parents[1] / "tuilab/data/files/digits.csv.gz", "rt") as file:
        table = torch.from_numpy(np.loadtxt(file, delimiter=",", skiprows=1))
    x, y = table[:, :-1].float() / 16, table[:, -1].long()
    order = torch.randperm(len(x))
    train, held_out, test = order[:1294], order[1294:1438], order[1438:]
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002, fused=True)
    loss_function = nn.CrossEntropyLoss()

    def evaluate(rows: torch.Tensor) -> tuple[float, float]:
        with torch.no_grad():
            logits = model(x[rows])
            right = (logits.argmax(1) == y[rows]).float().mean()
            return loss_function(logits, y[rows]).item(), right.item()

    for epoch in range(EPOCHS):
        shuffled = train[torch.randperm(len(train))]
        for rows in shuffled.split(32):
            optimizer.zero_grad()
            loss_function(model(x[rows]), y[rows]).backward()
            optimizer.step()
        print(epoch + 1, *evaluate(held_out))
    print(*evaluate(train), *evaluate(test))


if __name__ == "__main__":
    main()
