"""Where data sets lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from tuilab.blocks.datasets import Downloaded
from tuilab.errors import DataError
from tuilab.text import clean_text


def shown(path: Path) -> str:
    """Return a path as it may be printed."""
    return clean_text(str(path), 400)


def data_folder(data_dir: Path | None = None) -> Path:
    """Return the folder of all data sets: `data_dir`, else TUILAB_DATA, else the cache folder of the user."""
    if data_dir is not None:
        return data_dir
    if from_environment := os.environ.get("TUILAB_DATA"):
        return Path(from_environment)
    from platformdirs import user_cache_path

    return user_cache_path("tuilab")


def find_folder(dataset: Downloaded, data_dir: Path | None = None) -> Path | None:
    """Return the folder that holds a set, or None."""
    for folder in dataset.folders:
        path = data_folder(data_dir) / folder
        if all((path / file.name).is_file() for file in dataset.files):
            return path
        if any((path / name).is_file() for name in dataset.other_files):
            return path
    return None


def missing_files_error(dataset: Downloaded, data_dir: Path | None = None) -> DataError:
    """Return the error that says which files are missing, where they belong and how to get them."""
    folder = data_folder(data_dir) / dataset.folders[0]
    missing = [file.name for file in dataset.files if not (folder / file.name).is_file()]
    name = dataset.type_name()
    return DataError(
        f"{name} is not in {shown(folder)}: {', '.join(missing)} missing; "
        f"run 'tuilab datasets fetch {name}', or name the folder that holds {dataset.folders[0]}/ "
        "with --data-dir or TUILAB_DATA"
    )
