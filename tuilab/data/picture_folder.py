"""Pictures in a folder of the user's own, decoded when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo, Folder, folders
from tuilab.blocks.samples import Split, Stored
from tuilab.data.folders import shown
from tuilab.data.pictures import is_picture, read_picture
from tuilab.errors import DataError
from tuilab.text import clean_text


class Pictures(Stored):
    """Pictures by their files, as uint8 of the shape that `info` has."""

    def __init__(self, folder: Path, names: Sequence[str], info: DataInfo) -> None:
        super().__init__((len(names), *info.input_shape), "uint8")
        self.folder = folder
        self.names = names
        self.info = info

    def read(self, rows: HostArray, out: HostArray) -> None:
        for row, place in zip(rows.tolist(), out, strict=True):
            place[...], _ = read_picture(self.folder / self.names[row], self.info)


def read_picture_folder(dataset: Folder) -> tuple[Split, Split | None, Split | None]:
    """Return the pictures for training and, where the folder has such parts, for validation and test; of their files
    only the names are read. Raises DataError."""
    info, folder = dataset.info(), Path(dataset.path)
    parts = dataset.parts()
    if not parts:
        return _part(folder, info), None, None
    train, validation, test = (
        _part(folder / parts[name], info) if name in parts else None for name in ("train", "validation", "test")
    )
    assert train is not None
    return train, validation, test


def _part(folder: Path, info: DataInfo) -> Split:
    names, targets = [], []
    if unknown := sorted(set(folders(str(folder))) - set(info.classes)):
        raise DataError(f"{shown(folder)}: class '{clean_text(unknown[0], 60)}' is not among those for training")
    for number, name in enumerate(info.classes):
        found = sorted(_pictures(folder / name))
        names += [os.path.join(name, one) for one in found]
        targets += [number] * len(found)
    if not names:
        raise DataError(f"{shown(folder)}: holds no .png or .jpg files in the folders of its classes")
    return Split(Pictures(folder, names, info), np.array(targets, dtype=np.int64))


def _pictures(folder: Path) -> Iterator[str]:
    """Yield the pictures of a class, those in folders inside it among them, by their paths from there."""
    try:
        for place, inner, files in os.walk(folder, onerror=_refuse):
            inner.sort()
            inside = os.path.relpath(place, folder)
            yield from (os.path.normpath(os.path.join(inside, name)) for name in files if is_picture(Path(name)))
    except OSError as error:
        reason = clean_text(error.strerror or "cannot be read", 100)
        raise DataError(f"{shown(folder)}: cannot be read ({reason}); check that it is yours") from None


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a part may lack a class
        raise error
