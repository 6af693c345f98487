"""`tuilab datasets`: what there is to learn from, downloads, samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuilab.cli.options import DataDir, Json, complete_dataset
from tuilab.cli.output import colourful, memory, message, print_json, print_table, shape

if TYPE_CHECKING:
    from tuilab.blocks.datasets import Dataset

app = typer.Typer(help="List data sets, download one, take a few samples.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set.", autocompletion=complete_dataset)]


@app.callback(invoke_without_command=True)
def list_datasets(context: typer.Context, data_dir: DataDir = None, as_json: Json = False) -> None:
    """List data sets, download one, take a few samples."""
    if context.invoked_subcommand is not None:
        return
    from tuilab.blocks.datasets import Dataset, Downloaded
    from tuilab.data.folders import find_folder

    facts = []
    for name in Dataset.offered():
        dataset = Dataset.choose(name)
        info = dataset.info()
        here = not isinstance(dataset, Downloaded) or find_folder(dataset, data_dir) is not None
        facts.append((name, info, here, dataset.summary()))
    if as_json:
        print_json(
            [
                {
                    "name": name,
                    "task": info.task,
                    "input_shape": list(info.input_shape),
                    "classes": list(info.classes),
                    "here": here,
                    "description": description,
                }
                for name, info, here, description in facts
            ]
        )
        return
    rows = [
        [name, info.task.replace("_", "-"), shape(info.input_shape), "here" if here else "to download", description]
        for name, info, here, description in facts
    ]
    print_table(["name", "task", "input", "", ""], rows, right=[2])
    message("\nDownload one: tuilab datasets fetch NAME     Explain one: tuilab blocks NAME")


@app.command()
def fetch(name: Name, data_dir: DataDir = None) -> None:
    """Download a data set, or what is missing of it."""
    from tuilab.data.download import fetch

    dataset = _dataset(name)
    if colourful():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bars = {}

            def show(file: str, done: int, size: int) -> None:
                if file not in bars:
                    bars[file] = progress.add_task(file, total=size)
                progress.update(bars[file], completed=done, total=size)

            folder = fetch(dataset, data_dir, show)
    else:
        told: set[str] = set()

        def tell(file: str, done: int, size: int) -> None:
            if done >= size and file not in told:
                told.add(file)
                message(f"{file}  {memory(size)}")

        folder = fetch(dataset, data_dir, tell)
    message(f"{name} is in {folder}")


@app.command()
def sample(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write: .csv for tables, .npy for images.")],
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many samples.")] = 5,
    data_dir: DataDir = None,
) -> None:
    """Write a few samples of a data set to a file that 'tuilab predict' reads."""
    from tuilab.data.load import load
    from tuilab.data.samples import write_samples
    from tuilab.experiment.document import DataSettings

    data = load(DataSettings(dataset=_dataset(name)), seed=0, data_dir=data_dir)
    write_samples(data.test or data.train, data.info, count, file)
    message(f"{count} samples of {name} are in {file}")


def _dataset(name: str) -> Dataset:
    """Return a data set with its defaults by name."""
    from pydantic import ValidationError
    from pydantic_core import PydanticCustomError

    from tuilab.blocks.datasets import Dataset
    from tuilab.errors import UsageError

    try:
        return Dataset.choose(name)
    except ValidationError:
        raise UsageError(f"{name} has settings that an experiment must make: tuilab blocks {name}") from None
    except PydanticCustomError as error:
        raise UsageError(str(error).replace("'tuilab blocks'", "'tuilab datasets'")) from None
