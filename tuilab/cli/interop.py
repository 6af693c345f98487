"""`tuilab import` and `tuilab export`: networks from other programs, and for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tuilab.cli.options import Best, DataDir, Json, Run, Runs, Set, complete_dataset, complete_model
from tuilab.cli.output import memory, message, print_json
from tuilab.text import clean_text


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .keras, .weights.h5 or .h5 file of Keras.")],
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The experiment that the weights belong to.", autocompletion=complete_model),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Without --model: a data set by name, or a .npz or .csv file.",
            autocompletion=complete_dataset,
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take what fits; the rest keeps its first values, to be trained.")
    ] = False,
    settings: Set = None,
    runs: Runs = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a run of a Keras model or of its weights."""
    from tuilab.interop.keras.imported import import_keras
    from tuilab.runs.directory import runs_folder
    from tuilab.runs.table import printable

    made = import_keras(file, runs_folder(runs), model, data, settings or [], partial, data_dir)
    left = made.fit.lines()
    if as_json:
        facts = {
            "run": made.run.name,
            "path": str(made.run.path.absolute()),
            "parameters": made.plan.parameter_count,
            "loaded": len(made.fit.arrays),
            "left_out": left,
            "notes": made.notes,
        }
        print_json(printable(facts))
        return
    for line in (*left, *made.notes):
        message(line)
    print(f"run {clean_text(made.run.name)}  {made.plan.parameter_count:,} parameters")


def export(
    run: Run,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The file to write. [default: RUN.keras]")
    ] = None,
    to: Annotated[Literal["keras"], typer.Option(help="The program that is to read it.")] = "keras",
    best: Best = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it is there already.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Write a trained network as a file that Keras 3 loads."""
    from tuilab.interop.keras.exported import export_keras
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.table import printable
    from tuilab.runs.trained import TrainedRun

    trained = TrainedRun(find_run(runs_folder(runs), run), best)
    target = file or Path(f"{trained.run.name}.{to}")
    export_keras(trained, target, force)
    size = target.stat().st_size
    if as_json:
        print_json(printable({"run": trained.run.name, "file": str(target.absolute()), "size": size}))
    else:
        print(f"{clean_text(trained.run.name)} is in {clean_text(str(target))}  {memory(size)}")
