"""`tuilab train`, `resume` and `attach`: start a worker, or find one, and follow it."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuilab.cli.options import DataDir, Detach, Json, Model, Run, Runs, Set
from tuilab.cli.output import message, number, print_json, print_table

if TYPE_CHECKING:
    from pathlib import Path

    from tuilab.cli.progress import Mark
    from tuilab.runs.directory import RunDirectory
    from tuilab.runs.launch import Launched
    from tuilab.runs.reader import Overview

EXIT_CODES = {"finished": 0, "diverged": 3, "stopped": 4}
SECONDS_TO_SEE_IT_START = 3.0
INTERRUPTIONS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def train(
    model: Model,
    settings: Set = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set training.epochs=N.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, gpu or gpu:1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=N.")] = None,
    detach: Detach = False,
    runs: Runs = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train an experiment in a process of its own, and follow it; the run goes on when this terminal is closed."""
    from tuilab.experiment.load import load_experiment
    from tuilab.experiment.plan import plan
    from tuilab.experiment.save import to_toml
    from tuilab.runs.directory import create_run, runs_folder
    from tuilab.runs.launch import discard_stillborn, stop_signals_wait

    chosen = {"training.epochs": epochs, "training.device": device, "seed": seed}
    overrides = [*(settings or []), *(f"{key}={value}" for key, value in chosen.items() if value is not None)]
    experiment = load_experiment(model, overrides)
    if experiment.data.dataset is not None:  # what does not fit together is told before there is a run
        plan(experiment, experiment.data.dataset.info())
    with stop_signals_wait():  # either there is no run, or it has a worker
        run = create_run(runs_folder(runs), experiment.name, to_toml(experiment))
        launched = _launch(run, [], data_dir)
    try:
        _watch(launched, detach, as_json)
    finally:
        if launched.process.poll():
            discard_stillborn(launched)


def resume(
    run: Run,
    settings: Set = None,
    detach: Detach = False,
    runs: Runs = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Go on with a paused or interrupted run, or extend a finished one."""
    from tuilab.cli.control import ask
    from tuilab.cli.progress import mark
    from tuilab.errors import UsageError
    from tuilab.runs.commands import Command
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.reader import try_overview
    from tuilab.text import clean_text

    found = find_run(runs_folder(runs), run)
    seen = try_overview(found)
    if not isinstance(seen, str) and seen.state == "paused":
        if settings:
            raise UsageError(f"run {clean_text(found.name)} is there, paused; change it with: tuilab set {found.name}")
        ask(found, Command(action="resume"), as_json)
        return
    since = None if isinstance(seen, str) else mark(found)
    _watch(_launch(found, settings or [], data_dir), detach, as_json, since)


def attach(run: Run, runs: Runs = None, as_json: Json = False) -> None:
    """Follow a run that trains; ctrl-c leaves it alone."""
    from tuilab.cli.progress import follow, mark
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.reader import overview

    found = find_run(runs_folder(runs), run)
    if sys.stderr.isatty():
        message(f"following {found.name}; ctrl-c leaves it alone")
    left = []

    def leave(number: int, _: object) -> None:
        left.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, leave)  # an exception would be lost where the database asks whether to go on
    follow(found, lambda: bool(left) or not overview(found).alive, mark(found))
    if left and overview(found).alive:
        message(f"{found.name} goes on; stop it with: tuilab stop {found.name}")
        return
    _end(overview(found), as_json)


def _launch(run: RunDirectory, settings: list[str], data_dir: Path | None) -> Launched:
    """Start the worker of a run; from then on it decides what ctrl-c and the like mean."""
    from tuilab.runs.launch import launch, stop_signals_wait
    from tuilab.runs.worker import STOP_SIGNALS

    with stop_signals_wait():
        launched = launch(run, settings, data_dir)
        for number_ in STOP_SIGNALS:
            signal.signal(number_, lambda received, _: launched.process.send_signal(received))
    return launched


def _watch(launched: Launched, detach: bool, as_json: bool, since: Mark | None = None) -> None:
    """Follow a worker that this command has started, and end with its exit code."""
    from tuilab.cli.progress import follow
    from tuilab.errors import TuilabError
    from tuilab.runs.reader import overview

    run, process = launched.run, launched.process
    if detach:
        _leave(launched, as_json)
        return
    trouble = ""
    try:
        follow(run, lambda: process.poll() is not None, since)
    except TuilabError as error:  # nothing can be seen; the worker decides what becomes of it
        trouble = str(error)
    code = process.wait()
    complaints = launched.complaints()
    if code < 0:
        complaints.append(
            f"the worker of {run.name} ended by {signal.Signals(-code).name}; go on: tuilab resume {run.name}"
        )
        code = 4 if -code in INTERRUPTIONS else 1
    if complaints or code not in EXIT_CODES.values():
        for line in complaints or [
            trouble or f"the worker of {run.name} ended with exit code {code}, see its worker.log"
        ]:
            message(f"tuilab: {line}")
        raise typer.Exit(code)
    _end(overview(run), as_json)


def _leave(launched: Launched, as_json: bool) -> None:
    """Return once the training has begun or could not begin, or after a while."""
    import time

    from tuilab.runs.reader import overview, try_overview

    run, process = launched.run, launched.process

    def begun() -> bool:
        seen = try_overview(run)  # of a run that is gone on with, everything else is there from before
        return not isinstance(seen, str) and seen.status.pid == process.pid and seen.status.parameters > 0

    until = time.monotonic() + SECONDS_TO_SEE_IT_START
    while time.monotonic() < until and process.poll() is None and not begun():
        time.sleep(0.02)
    if process.poll():
        for line in launched.complaints():
            message(f"tuilab: {line}")
        raise typer.Exit(process.returncode if process.returncode > 0 else 1)
    if as_json:
        print_json({"run": run.name, "state": overview(run).state, "pid": process.pid, "path": str(run.path)})
        return
    print(f"run {run.name}")
    message(f"Watch it: tuilab attach {run.name}     Stop it: tuilab stop {run.name}")


def _end(seen: Overview, as_json: bool) -> None:
    """Print how a run ended; exit with the code of its state."""
    from tuilab.errors import TuilabError

    if seen.state not in EXIT_CODES:
        raise TuilabError(f"run {seen.run.name} {seen.state}: {seen.reason}; go on: tuilab resume {seen.run.name}")
    if as_json:
        print_json(outcome(seen))
    else:
        _print_outcome(seen)
    raise typer.Exit(EXIT_CODES[seen.state])


def outcome(seen: Overview) -> dict[str, Any]:
    """Return what `--json` prints of a run that is over."""
    status = seen.status
    return {
        "run": seen.run.name,
        "status": seen.state,
        "device": status.device,
        "parameters": status.parameters,
        "epochs": status.epoch,
        "steps": status.step,
        "seconds": round(status.seconds, 3),
        "samples_per_second": status.samples_per_second and round(status.samples_per_second, 1),
        "best_epoch": status.best and status.best.epoch,
        "reason": seen.reason,
        "train": status.train,
        "validation": status.validation,
        "test": status.test,
    }


def _print_outcome(seen: Overview) -> None:
    run, status = seen.run.name, seen.status
    if seen.reason:
        message(f"{seen.state}: {seen.reason}")
    parts = {"train": status.train, "validation": status.validation, "test": status.test}
    measured = {name: results for name, results in parts.items() if results}
    if measured:
        rows = [[name, *map(number, results.values())] for name, results in measured.items()]
        print_table(["", *next(iter(measured.values()))], rows, right=range(1, 60))
    print(f"run {run}  {status.epoch} epochs  {status.seconds:.1f} s  {status.parameters:,} parameters")
    if seen.state == "diverged" or not sys.stderr.isatty():
        return
    if seen.state == "stopped":
        message(f"\nGo on: tuilab resume {run}")
        return
    _print_next(seen.run)


def _print_next(run: RunDirectory) -> None:
    from tuilab.experiment.load import load_experiment

    dataset = load_experiment(run.experiment_file).data.dataset
    message("\nNext:")
    message(f"  tuilab evaluate {run.name}")
    if dataset is not None and dataset.type_name() in dataset.offered():
        suffix = "csv" if len(dataset.info().input_shape) == 1 else "npy"
        message(f"  tuilab datasets sample {dataset.type_name()} samples.{suffix}")
        message(f"  tuilab predict {run.name} samples.{suffix}")
    else:
        message(f"  tuilab predict {run.name} FILE")
