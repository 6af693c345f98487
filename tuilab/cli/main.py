"""The command line: `tuilab train mnist-mlp` and its siblings, one file a group."""

from __future__ import annotations

from typing import Annotated

import typer

from tuilab import __version__
from tuilab.cli import archive, control, datasets, devices, inspect, interop, lab, runs, train, trained
from tuilab.cli.start import failures_told

app = typer.Typer(
    name="tuilab",
    help="A training lab in the terminal: build a neural network layer by layer, train it, see every layer learn.",
    epilog="tuilab alone opens the lab. Without a screen: tuilab models, then tuilab train NAME.",
    cls=lab.LabGroup,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(hidden=True)(lab.lab)
app.command()(train.train)
app.command()(train.resume)
app.command()(train.attach)
app.command()(control.pause)
app.command()(control.step)
app.command()(control.stop)
app.command("set")(control.set_)
app.command()(control.checkpoint)
app.command()(trained.evaluate)
app.command()(trained.predict)
app.command("import")(interop.import_)
app.command()(interop.export)
app.command()(inspect.summary)
app.command()(inspect.check)
app.command()(inspect.models)
app.command()(inspect.blocks)
runs.app.command()(archive.pack)
runs.app.command()(archive.unpack)
runs.app.command()(archive.export)
app.add_typer(runs.app, name="runs")
app.add_typer(datasets.app, name="datasets")
app.command()(devices.devices)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tuilab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A training lab in the terminal: build a neural network layer by layer, train it, see every layer learn."""
    if context.invoked_subcommand is None:
        lab.lab()


def main() -> None:
    """Run a command."""
    with failures_told():
        app()
