"""What recording costs: `TUILAB_DATA=… python -m benchmarks.recorder`.

One training in one process, in stretches of a few epochs by turns with and without a recorder that takes its events and
writes them into a real run folder, so that a change in the machine's speed meets both. The table shows, as a share of
the training without it: the time spent inside the recorder, and the median over the rounds of what a stretch with it
takes more than its neighbour without, in processor time and on the clock, each with its quartiles.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuilab.engine.events import Event
    from tuilab.runs.recorder import Recorder

MODELS = {"mnist-mlp": 1, "spiral": 150, "xor-mlp": 5000}
"""Epochs in a stretch."""


@dataclass
class Stretch:
    """What some epochs took, in seconds."""

    clock: float = 0.0
    processor: float = 0.0
    recorder: float = 0.0
    """Inside the recorder, on the clock."""
    steps: int = 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS, help="ready-made experiments")
    parser.add_argument("--rounds", type=int, default=9, help="pairs of stretches")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the linear algebra")
    parser.add_argument("--runs", type=Path, help="folder for the runs; default: one that is taken away")
    chosen = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(chosen.threads)  # read when numpy is imported, below
    print(f"{chosen.rounds} rounds, {chosen.threads} threads; quartiles in brackets")
    print(f"{'':<12}{'steps/s':>10}{'inside':>9}{'processor':>24}{'clock':>24}")
    for model in chosen.models:
        with tempfile.TemporaryDirectory(dir=chosen.runs) as folder:
            pairs = measure(model, MODELS[model], chosen.rounds, Path(folder))
        speed = statistics.median(without.steps / without.clock for without, _ in pairs)
        inside = sum(with_.recorder for _, with_ in pairs) / sum(without.clock for without, _ in pairs)
        processor = _spread([with_.processor / without.processor - 1 for without, with_ in pairs])
        clock = _spread([with_.clock / without.clock - 1 for without, with_ in pairs])
        print(f"{model:<12}{speed:>10,.0f}{inside:>9.2%}{processor:>24}{clock:>24}")


def _spread(shares: list[float]) -> str:
    low, middle, high = statistics.quantiles(shares, n=4)
    return f"{middle:+.2%} [{low:+.1%} {high:+.1%}]"


def measure(model: str, epochs: int, rounds: int, folder: Path, device: str = "cpu") -> list[tuple[Stretch, Stretch]]:
    """Return for every round what a stretch took without the recorder and with it, after a round to warm up."""
    from tuilab.data.load import load
    from tuilab.engine.device import choose_device
    from tuilab.engine.trainer import Trainer
    from tuilab.experiment.load import load_experiment
    from tuilab.experiment.save import to_toml
    from tuilab.runs.directory import create_run
    from tuilab.runs.recorder import Recorder
    from tuilab.runs.status import Status

    total = 2 * epochs * (rounds + 1)
    experiment = load_experiment(model, [f"training.epochs={total}"])
    run = create_run(folder, experiment.name, to_toml(experiment))
    trainer = Trainer(experiment, load(experiment.data, experiment.seed), choose_device(device))
    recorder = Recorder(run.path, Status(experiment=experiment.name))
    events = trainer.run()
    pairs = []
    for number in range(rounds + 1):
        # which one comes first changes from round to round: a machine that grows slower favours neither
        order = [None, recorder] if number % 2 else [recorder, None]
        found = {one is recorder: _stretch(events, epochs, one) for one in order}
        pairs.append((found[False], found[True]))
    recorder.close()
    return pairs[1:]


def _stretch(events: Iterator[Event], epochs: int, recorder: Recorder | None) -> Stretch:
    from tuilab.engine.events import EpochDone, StepsDone

    took = Stretch()
    clock, processor = perf_counter(), process_time()
    while epochs:
        event = next(events)
        if recorder is not None:
            began = perf_counter()
            recorder.record(event)
            if recorder.due():
                recorder.write()
            took.recorder += perf_counter() - began
        if isinstance(event, StepsDone):
            took.steps += len(event.losses)
        elif isinstance(event, EpochDone):
            epochs -= 1
    took.clock, took.processor = perf_counter() - clock, process_time() - processor
    return took


if __name__ == "__main__":
    main()
