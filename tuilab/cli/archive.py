"""`tuilab runs pack`, `unpack` and `export`: runs for other machines and other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from tuilab.cli.options import Json, Run, Runs, complete_run
from tuilab.cli.output import colourful, memory, message, print_json
from tuilab.text import clean_text

if TYPE_CHECKING:
    from tuilab.runs.pack import Progress

SECONDS_WITHOUT_BAR = 1.0


def pack(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, a .zip file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it is there already.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Copy a run into one file, also while it trains."""
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.pack import pack
    from tuilab.runs.table import printable

    found = find_run(runs_folder(runs), run)
    with _progress() as progress:
        pack(found, file, force, progress)
    size = file.stat().st_size
    if as_json:
        print_json(printable({"run": found.name, "file": str(file.absolute()), "size": size}))
    else:
        print(f"{clean_text(found.name)} is in {clean_text(str(file))}  {memory(size)}")


def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'tuilab runs pack' has written.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Call the run so, not as it was called.")] = None,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Make a packed run a run again."""
    from tuilab.runs.directory import runs_folder
    from tuilab.runs.pack import unpack
    from tuilab.runs.table import printable

    with _progress() as progress:
        run = unpack(file, runs_folder(runs), name, progress)
    if as_json:
        print_json(printable({"run": run.name, "path": str(run.path.absolute())}))
    else:
        print(f"run {run.name}")


def export(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="One run, a row an epoch; otherwise a row a run.", autocompletion=complete_run
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV to this file. [default: -, stdout]")
    ] = None,
    steps: Annotated[bool, typer.Option("--steps", help="Of one run, its curves over the steps.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Print runs, or the history of one, for a spreadsheet."""
    from tuilab.errors import UsageError
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.export import epoch_records, run_records, save_csv, step_records, write_csv
    from tuilab.runs.table import printable

    if as_json and csv is not None:
        raise UsageError("--csv and --json: choose one of them")
    if run is None:
        if steps:
            raise UsageError("--steps: name the run: tuilab runs export RUN --steps")
        records = run_records(runs_folder(runs))
    else:
        found = find_run(runs_folder(runs), run)
        records = step_records(found) if steps else epoch_records(found)
    if as_json:
        print_json([printable(record) for record in records])
    elif csv is None or str(csv) == "-":
        write_csv(records, sys.stdout)
    else:
        save_csv(records, csv)
        message(f"{len(records):,} rows are in {clean_text(str(csv))}")


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Give what shows the progress of files, on a terminal and where it takes long; None elsewhere."""
    if not colourful():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("")
    started = perf_counter()
    with ExitStack() as stack:

        def show(name: str, done: int, size: int) -> None:
            bar.update(task, description=name, completed=done, total=size)
            if not bar.live.is_started and perf_counter() - started > SECONDS_WITHOUT_BAR:
                stack.enter_context(bar)

        yield show
