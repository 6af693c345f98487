"""How soon a long run can be plotted: `python -m benchmarks.run_reading`.

Records a run of a million steps: every loss, accuracy, five layers every twenty steps, a thousand epochs. Then opens it
again and again and reads its status, its epochs and the curves of loss and accuracy; the table shows the milliseconds
of the first time, and the median and the slowest of the others.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuilab.runs.directory import RunDirectory

STEPS_AN_EPOCH = 1000
STEPS_BETWEEN_LOOKS = 20
LAYERS = 5
ROUNDS = 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[10_000, 1_000_000], help="steps of the run")
    parser.add_argument("--runs", type=Path, help="folder for the runs; default: one that is taken away")
    chosen = parser.parse_args()
    print(f"{'steps':>10}{'MB':>8}{'recorded in':>14}{'first ms':>11}{'median ms':>11}{'slowest ms':>12}")
    for steps in chosen.steps:
        with tempfile.TemporaryDirectory(dir=chosen.runs) as folder:
            began = perf_counter()
            run = record(Path(folder), steps)
            seconds = perf_counter() - began
            size = sum(path.stat().st_size for path in run.path.glob("metrics.db*"))
            first, *others = [read(run) * 1e3 for _ in range(1 + ROUNDS)]
            times = f"{first:>11.1f}{statistics.median(others):>11.1f}{max(others):>12.1f}"
            print(f"{steps:>10,}{size / 1e6:>8.1f}{seconds:>12.1f} s{times}")


def record(folder: Path, steps: int) -> RunDirectory:
    """Make a run of so many steps, as a trainer would that tells of a thousand at once."""
    import numpy as np

    from tuilab.engine.events import EpochDone, LayersSeen, StepsDone
    from tuilab.engine.statistics import LayerState
    from tuilab.runs.directory import create_run
    from tuilab.runs.recorder import Recorder
    from tuilab.runs.status import Status

    run = create_run(folder, "long", 'name = "long"')
    generator = np.random.default_rng(0)
    layers = tuple(LayerState(f"dense {number}", *generator.random(7).tolist()) for number in range(LAYERS))
    results = {"loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.8}
    with closing(Recorder(run.path, Status(experiment="long"))) as recorder:
        for step in range(STEPS_AN_EPOCH, steps + 1, STEPS_AN_EPOCH):
            for look in range(step - STEPS_AN_EPOCH, step, STEPS_BETWEEN_LOOKS):
                recorder.record(LayersSeen(1, look, layers))
            epoch = step // STEPS_AN_EPOCH
            losses = tuple(generator.normal(size=STEPS_AN_EPOCH).tolist())
            recorder.record(StepsDone(epoch, step, losses, results, 0.001, 128 * step, 0.002 * step))
            recorder.record(EpochDone(epoch, step, results, 0.001, 2.0, 64_000.0, best=epoch % 10 == 0))
            if recorder.due():
                recorder.write()
        recorder.write()
    return run


def read(run: RunDirectory) -> float:
    """Return the seconds that it takes to open a run and to read what a first plot shows."""
    from tuilab.runs.reader import following

    began = perf_counter()
    with following(run) as reader:
        status, epochs = reader.status(), reader.epochs()
        curves = [reader.curve(name) for name in ("loss", "accuracy")]
    seconds = perf_counter() - began
    assert status.epoch == len(epochs) == len(curves[1].step)
    return seconds


if __name__ == "__main__":
    main()
