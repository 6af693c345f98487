"""The data sets as the lab lists them: the experiment's own file first, then all that have a name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuilab.blocks.datasets import Dataset, Downloaded, Folder
from tuilab.data.folders import find_folder
from tuilab.errors import DataError
from tuilab.experiment.document import DataSettings
from tuilab.experiment.draft import Draft
from tuilab.experiment.load import start_paths_from
from tuilab.experiment.stack import data_settings
from tuilab.text import clean_text
from tuilab.tui.listing import Cell, Column, Line, Listing, make_listing
from tuilab.tui.numbers import NONE, shape

COLUMNS = (
    Column("name", "name", right=False, least=10),
    Column("samples", "samples"),
    Column("task", "task", right=False, rank=2),
    Column("classes", "classes", rank=3),
    Column("input", "input", rank=4),
)


@dataclass(frozen=True)
class Source:
    """Something to learn from."""

    key: str
    """The name of a set, or `file`."""
    title: str
    settings: DataSettings
    here: bool
    chosen: bool
    """Whether the experiment on the Build screen uses it."""

    @property
    def dataset(self) -> Dataset | None:
        return self.settings.dataset

    @property
    def place(self) -> str:
        """Where the user's own samples are, in words."""
        if isinstance(self.dataset, Folder):
            return f"folder {self.dataset.path}"
        return f"file {self.settings.path}"

    @property
    def size_to_download(self) -> int:
        """Bytes, 0 for what comes with tuilab or is the user's own."""
        return sum(file.size for file in self.dataset.files) if isinstance(self.dataset, Downloaded) else 0

    @property
    def about(self) -> str:
        """What it is, in one or two sentences."""
        if self.dataset is not None:
            return self.dataset.summary()
        path = clean_text(str(self.settings.path), 400)
        return f"Your own file: {path}" + (
            f", to predict {_names(self.settings.target)}" if self.settings.target else ""
        )


def data_of(draft: Draft) -> DataSettings | None:
    """Return what the experiment on the Build screen learns from, with absolute paths; None where that is wrong."""
    data = draft.document.get("data")
    document = {"data": dict(data)} if isinstance(data, dict) else {}
    start_paths_from(draft.path.parent if draft.path else Path(), document)
    return data_settings(document)


def seed_of(draft: Draft) -> int:
    """Return the seed of the experiment on the Build screen."""
    seed = draft.document.get("seed")
    return seed if isinstance(seed, int) and 0 <= seed < 2**63 else 0


def use(draft: Draft, name: str) -> None:
    """Let the experiment learn from a set by name, in one edit; raises UsageError where that cannot be written."""
    before = draft.document.get("data")
    own = ("path", "target", "validation_path", "test_path")
    kept = {key: value for key, value in before.items() if key not in own} if isinstance(before, dict) else {}
    draft.set("data", {**kept, "dataset": name})


def sources(wanted: DataSettings | None, data_dir: Path | None) -> list[Source]:
    """Return all that can be learnt from; `wanted`: the data of the experiment on the Build screen, whose settings of
    the split hold for all."""
    share = {} if wanted is None else wanted.model_dump(include={"validation_split", "test_split"})
    found = []
    if wanted is not None and wanted.path is not None:
        title = os.path.basename(wanted.path)
        found.append(Source("file", title, wanted, os.path.exists(wanted.path), True))
    own = wanted.dataset.type_name() if wanted is not None and wanted.dataset is not None else None
    names = dict.fromkeys([*Dataset.offered(), *([own] if own else [])])
    for name in names:
        chosen = wanted is not None and wanted.dataset is not None and wanted.dataset.type_name() == name
        settings = wanted if chosen and wanted is not None else DataSettings(dataset=Dataset.choose(name), **share)
        found.append(Source(name, name, settings, _is_here(settings.dataset, data_dir), chosen))
    return found


def _is_here(dataset: Dataset | None, data_dir: Path | None) -> bool:
    if isinstance(dataset, Folder):
        return os.path.isdir(dataset.path)
    return not isinstance(dataset, Downloaded) or find_folder(dataset, data_dir) is not None


def list_sources(
    found: list[Source], samples: Mapping[str, int], states: Mapping[str, str], before: Listing | None = None
) -> Listing:
    """Return the table of data sets; `samples`: how many each has, as far as that is known; `states`: what is to be
    said in their place."""
    return make_listing(COLUMNS, [_line(source, samples, states) for source in found], before)


def _line(source: Source, samples: Mapping[str, int], states: Mapping[str, str]) -> Line:
    if source.key in states:
        size = Cell(states[source.key], "accent")
    elif not source.here:
        size = Cell("to download" if source.size_to_download else "missing", "warn")
    else:
        size = Cell(f"{samples[source.key]:,}" if source.key in samples else NONE)
    cells = {"name": Cell(source.title), "samples": size}
    info = None
    with suppress(DataError):  # of a folder that is not there
        info = source.dataset.info() if source.dataset is not None else None
    if info is not None:
        cells["task"] = Cell(info.task.replace("_", "-"), "quiet")
        cells["classes"] = Cell(str(len(info.classes)) if info.classes else NONE, "quiet")
        cells["input"] = Cell(shape(info.input_shape), "quiet")
    return Line(source.key, tuple(cells.get(column.key, Cell("")) for column in COLUMNS))


def _names(target: Any) -> str:
    return clean_text(target if isinstance(target, str) else ", ".join(target), 200)
