"""`tuilab train`: one experiment from file to trained network."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuilab.cli.options import DataDir, Json, Model, Run, Runs, Set
from tuilab.cli.output import message, number, print_json, print_table

if TYPE_CHECKING:
    from tuilab.experiment.document import Experiment
    from tuilab.runs.training import RecordedTraining

EXIT_CODES = {"finished": 0, "diverged": 3, "stopped": 4}


def train(
    model: Model,
    settings: Set = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set training.epochs=N.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, gpu or gpu:1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=N.")] = None,
    runs: Runs = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train an experiment and keep the trained network as a run."""
    from tuilab.data.load import load
    from tuilab.experiment.load import load_experiment
    from tuilab.runs.directory import runs_folder
    from tuilab.runs.training import RecordedTraining

    chosen = {"training.epochs": epochs, "training.device": device, "seed": seed}
    overrides = [*(settings or []), *(f"{key}={value}" for key, value in chosen.items() if value is not None)]
    experiment = load_experiment(model, overrides)
    data = load(experiment.data, experiment.seed, data_dir)
    _follow(RecordedTraining.start(experiment, data, runs_folder(runs)), experiment, as_json)


def resume(run: Run, settings: Set = None, runs: Runs = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Go on with an interrupted run, or extend a finished one."""
    from tuilab.data.load import load
    from tuilab.experiment.load import load_experiment
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.training import RecordedTraining

    found = find_run(runs_folder(runs), run)
    experiment = load_experiment(found.experiment_file, settings or [])
    data = load(experiment.data, experiment.seed, data_dir)
    training, said = RecordedTraining.resume(found, experiment, data)
    for line in said:
        message(line)
    message(f"{found.name} goes on after step {training.trainer.step}, epoch {training.trainer.epoch + 1}")
    _follow(training, experiment, as_json)


def _follow(training: RecordedTraining, experiment: Experiment, as_json: bool) -> None:
    """Show a training while it runs and its results at the end; exit with the code of its status."""
    from tuilab.cli.progress import show_progress

    _stop_on_signals(training)
    show_progress(training.events(), experiment)
    result = training.result
    if as_json:
        print_json(result)
    else:
        _print_result(result, experiment)
    raise typer.Exit(EXIT_CODES[result["status"]])


def _stop_on_signals(training: RecordedTraining) -> None:
    """End after the current step on the first SIGINT or SIGTERM, at once on the second."""

    def stop(number: int, _: object) -> None:
        training.trainer.stop(f"{signal.Signals(number).name} was received")
        signal.signal(number, signal.default_int_handler)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _print_result(result: dict[str, Any], experiment: Experiment) -> None:
    run = result["run"]
    if result["reason"]:
        message(f"{result['status']}: {result['reason']}")
    parts = [part for part in ("train", "validation", "test") if result[part]]
    print_table(
        ["", *result["train"]], [[part, *map(number, result[part].values())] for part in parts], right=range(1, 9)
    )
    print(f"run {run}  {result['epochs']} epochs  {result['seconds']:.1f} s  {result['parameters']:,} parameters")
    if result["status"] == "diverged" or not sys.stderr.isatty():
        return
    if result["status"] == "stopped":
        message(f"\nGo on: tuilab resume {run}")
        return
    dataset = experiment.data.dataset
    message("\nNext:")
    message(f"  tuilab evaluate {run}")
    if dataset is not None:
        suffix = "csv" if len(dataset.info().input_shape) == 1 else "npy"
        message(f"  tuilab datasets sample {dataset.type_name()} samples.{suffix}")
        message(f"  tuilab predict {run} samples.{suffix}")
    else:
        message(f"  tuilab predict {run} FILE")
