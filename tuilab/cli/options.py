"""Options and arguments that several commands share, with what the shell completes for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer


def complete_model(incomplete: str) -> list[str]:
    """Ready-made experiments by name, for the shell."""
    from tuilab.experiment.ready_made import ready_made

    return [name for name in ready_made() if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Runs by name, for the shell."""
    from tuilab.runs.directory import run_names, runs_folder

    return [name for name in run_names(runs_folder()) if name.startswith(incomplete)]


def complete_dataset(incomplete: str) -> list[str]:
    """Data sets by name, for the shell."""
    from tuilab.blocks.datasets import Dataset

    return [name for name in Dataset.offered() if name.startswith(incomplete)]


Model: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A .toml file, or a ready-made experiment by name.", autocompletion=complete_model
    ),
]
Run: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's name or the beginning of it, or 'last'.", autocompletion=complete_run),
]
Best: TypeAlias = Annotated[bool, typer.Option("--best", help="Use the weights of the best epoch, not the last.")]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting: training.epochs=3, layers[0].units=64."),
]
Runs: TypeAlias = Annotated[
    Path | None, typer.Option("--runs", metavar="DIR", help="Folder of all runs. [default: TUILAB_RUNS, user data]")
]
DataDir: TypeAlias = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Folder of data sets. [default: TUILAB_DATA, cache]")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Detach: TypeAlias = Annotated[
    bool, typer.Option("--detach", help="Return as soon as the training has begun; 'tuilab attach' follows it.")
]
