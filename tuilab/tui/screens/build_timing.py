"""How long an epoch takes: a few real training steps of the experiment, in a process of their own."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuilab.blocks.arrays import HostArray
    from tuilab.blocks.datasets import DataInfo
    from tuilab.blocks.samples import Data
    from tuilab.engine.trainer import Trainer
    from tuilab.experiment.document import Experiment

SECONDS = 0.4
"""For which steps are timed."""
NICENESS = 10
"""A training that is going has the machine first."""
MANY = 10_000
"""Epochs to plan, so that there is more than the first one."""
MEMORY_SHARE = 0.5
"""Of the free memory that a measurement may take."""
PATIENCE = 60.0
"""Seconds after which a measurement is given up."""
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from tuilab.tui.screens.build_timing import main; main()"


class EpochTimer:
    """Times one experiment at a time. `stop` may be called from any thread, at any moment."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted: object = None

    def stop(self) -> None:
        """End the measurement that is going."""
        self._wanted = None
        if self._process is not None:
            self._process.kill()

    def measure(self, text: str, data_dir: Path | None) -> str:
        """Return how long an epoch of the experiment in `text` takes, in words; empty where that cannot be measured.

        Waits until that is known, or `stop` is called.
        """
        wanted = self._wanted = object()
        package = str(Path(__file__).resolve().parents[3])
        request = json.dumps({"text": text, "data_dir": str(data_dir) if data_dir else None})
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        try:
            with subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, package],
                stdin=pipe,
                stdout=pipe,
                stderr=nothing,
                start_new_session=True,
            ) as process:
                self._process = process
                if self._wanted is not wanted:
                    process.kill()
                try:
                    answer, _ = process.communicate(request.encode(), timeout=PATIENCE)
                finally:
                    process.kill()
            return words(json.loads(answer))
        except (subprocess.TimeoutExpired, ValueError, OSError):
            return ""


def words(measured: dict[str, Any]) -> str:
    step, epoch = float(measured["step"]), measured["epoch"]
    return f"≈ {duration(step)} a step" if epoch is None else f"≈ {duration(float(epoch))} an epoch"


def duration(seconds: float) -> str:
    """Return a time in two digits and its unit."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (100, 1, "s"), (6000, 1 / 60, "min")):
        if seconds < limit:
            return f"{_two_digits(seconds * factor)} {unit}"
    return f"{_two_digits(seconds / 3600)} h"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def main() -> None:
    """Read an experiment from the standard input, and write how long it takes."""
    os.nice(NICENESS)
    signal.alarm(math.ceil(PATIENCE))  # also where the lab was killed and nobody waits
    request = json.load(sys.stdin)
    print(json.dumps(_timed(request["text"], request["data_dir"])))


def _timed(text: str, data_dir: str | None) -> dict[str, float | None]:
    from statistics import median
    from time import perf_counter

    import psutil

    from tuilab.data.load import describe, load
    from tuilab.engine.device import choose_device
    from tuilab.engine.events import EpochDone, StepsDone
    from tuilab.engine.trainer import Trainer
    from tuilab.errors import DataError
    from tuilab.experiment.load import make_experiment, parse
    from tuilab.experiment.plan import memory_bytes, plan

    experiment = make_experiment(parse(text))
    info = describe(experiment.data)
    if memory_bytes(plan(experiment, info), experiment) > psutil.virtual_memory().available * MEMORY_SHARE:
        raise SystemExit("it would take most of the memory of this machine")
    known = True
    try:
        data = load(experiment.data, experiment.seed, Path(data_dir) if data_dir else None)
    except DataError:  # not downloaded yet: how many samples there are is not known either
        data, known = _random(experiment, info), False
    training = experiment.training.model_copy(update={"epochs": MANY})
    trainer = Trainer(experiment.model_copy(update={"training": training}), data, choose_device(training.device))
    began, first, epochs = 0.0, 0, []
    for event in trainer.run():
        if isinstance(event, EpochDone):
            epochs.append(event.seconds)
        first_epoch = isinstance(event, EpochDone) and len(epochs) == 1
        # kernels are loaded or compiled for the first batch, and for the last, which may be smaller
        if first_epoch or (not began and isinstance(event, StepsDone)):
            began, first = perf_counter(), trainer.step
        elif began and first < trainer.step != len(trainer.train) and perf_counter() - began > SECONDS:
            break
    if not began:
        raise SystemExit("it comes to no end of a step")
    step = (perf_counter() - began) / max(trainer.step - first, 1)
    if len(epochs) > 1:
        return {"step": step, "epoch": median(epochs[1:]) if known else None}
    return {"step": step, "epoch": step * len(trainer.train) + _validation_seconds(trainer) if known else None}


def _validation_seconds(trainer: Trainer) -> float:
    """Return how long a look at the validation part takes, about."""
    from time import perf_counter

    if trainer.validation is None:
        return 0.0
    with trainer.device.ops.quiet():
        for index in (0, len(trainer.validation) - 1):  # loads kernels, or compiles them
            trainer.network.measure(*trainer.validation.batch(index))
        began, batches = perf_counter(), 0
        for x, labels in trainer.validation:
            trainer.network.measure(x, labels)
            batches += 1
            if perf_counter() - began > SECONDS / 2:
                break
    return (perf_counter() - began) / batches * len(trainer.validation)


def _random(experiment: Experiment, info: DataInfo) -> Data:
    """Return samples of the right shape, four batches of them."""
    import numpy as np

    from tuilab.blocks.samples import Data, Split

    generator = np.random.default_rng(0)
    count = 4 * experiment.data.batch_size
    features = generator.random((count, *info.input_shape), dtype=np.float32)
    targets: HostArray
    if info.task in ("binary", "categorical"):
        targets = generator.integers(0, len(info.classes), count)
    elif info.task == "multi_label":
        targets = generator.integers(0, 2, (count, len(info.classes))).astype(np.float32)
    else:
        targets = generator.random((count, info.targets), dtype=np.float32)
    return Data(info, Split(features, targets), None, None, None)
