"""Runs that are made, not trained: in any state, with any settings and results."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tuilab.engine.events import EpochDone, TrainingStarted
from tuilab.experiment.load import apply_override, make_experiment, parse
from tuilab.experiment.ready_made import ready_made_path
from tuilab.experiment.save import to_toml
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.lock import FILE, SIZE, Owner
from tuilab.runs.reader import overview
from tuilab.runs.recorder import Recorder
from tuilab.runs.status import State


def make_run(
    folder: Path,
    name: str,
    *overrides: str,
    model: str = "iris-8-8-3",
    state: State = "finished",
    results: Sequence[dict[str, float]] = (),
    age: float = 0.0,
    **status: Any,
) -> RunDirectory:
    """Make a run of a ready-made experiment; `results`: of every epoch, each better than the one before; `age` in
    seconds; `status`: what else it says."""
    document = parse(ready_made_path(model).read_text())
    for override in overrides:
        apply_override(document, override)
    run = create_run(folder, "own", to_toml(make_experiment(document)))
    with run.hold(), closing(Recorder(run.path, overview(run).status)) as recorder:
        recorder.record(TrainingStarted("cpu", 139, 4, 14, 108))
        for epoch, values in enumerate(results, start=1):
            recorder.record(EpochDone(epoch, 14 * epoch, values, 0.01, 0.5, 200.0, best=True))
        recorder.update(**{"created": time.time() - age, "experiment": model, **status})
        recorder.enter(state)
        recorder.write()
    return RunDirectory(run.path.rename(folder / name))


def worked_on(run: RunDirectory, host: str) -> None:
    """Let the run look as if a process on that machine trains it, or did."""
    text = json.dumps(vars(Owner(host, "boot", 4321, 1.0)))
    (run.path / FILE).write_text(text.ljust(SIZE))
