"""`tuilab` alone, or with the name of an experiment: opens the lab."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperGroup

from tuilab.cli.options import DataDir, Runs, complete_model
from tuilab.cli.start import DEFAULT, open_lab


class LabGroup(TyperGroup):
    """Lets an experiment stand where a command would: `tuilab mnist-mlp`."""

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> object:  # type: ignore[override]  # click's types
        if args and args[0] not in self.commands and _is_model(args[0]):
            args = ["lab", *args]
        return super().resolve_command(ctx, args)


def _is_model(word: str) -> bool:
    from tuilab.experiment.ready_made import ready_made

    return word.endswith(".toml") or word in ready_made()


def lab(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A .toml file, or a name.", autocompletion=complete_model)
    ] = None,
    runs: Runs = None,
    data_dir: DataDir = None,
) -> None:
    """Open the lab: build, train, watch and compare on one screen."""
    open_lab(model or DEFAULT, runs, data_dir)
