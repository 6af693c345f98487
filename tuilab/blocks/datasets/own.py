"""What is the user's own: pictures in folders, or samples of which only the shape is known here."""

from __future__ import annotations

import os
from typing import Self

from pydantic import Field, field_validator, model_validator

from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets.dataset import DataInfo, Dataset
from tuilab.blocks.metric import Task
from tuilab.blocks.window import Size
from tuilab.errors import DataError
from tuilab.text import clean_text

MOST_CLASSES = 1000
PARTS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
"""Names of folders that are a part of a set."""


class Folder(Dataset):
    """Pictures in a folder of your own, .png and .jpg, those of each class in a folder inside it: cats/, dogs/. Where
    these stand in folders train/, validation/ and test/, they are those parts.

    Each picture is brought to one size. Where all of them together are large, they are read from the disk while the
    network trains.
    """

    default_normalization = "rescale"
    whole = False

    path: str = Field(min_length=1, max_length=4096, description="The folder, beside the experiment file.")
    size: Size = Field((64, 64), description="Height and width that pictures are brought to; one number for both.")
    grey: bool = Field(False, description="Whether pictures become grey, of one channel; otherwise they have three.")

    @field_validator("path")
    @classmethod
    def _printable(cls, path: str) -> str:
        if not path.isprintable():
            raise ValueError("must be printable on one line")
        return path

    def info(self) -> DataInfo:
        """Return shape and names, from the names of the folders. Raises DataError."""
        parts = self.parts()
        names = folders(os.path.join(self.path, parts["train"]) if parts else self.path)
        if not 2 <= len(names) <= MOST_CLASSES:
            held = f"{len(names):,} folders" if len(names) != 1 else "a single folder"
            raise DataError(
                f"{clean_text(self.path, 400)}: holds {held}; there must be one for each of 2 to {MOST_CLASSES} classes"
            )
        task: Task = "binary" if len(names) == 2 else "categorical"
        return DataInfo((*self.size, 1 if self.grey else 3), task, tuple(names))

    def parts(self) -> dict[str, str]:
        """Return the folders of train and, where there are such parts, validation and test; nothing where the folder
        holds the classes themselves. Raises DataError."""
        found = folders(self.path)
        parts = {part: name for part, names in PARTS.items() for name in names if name in found}
        return parts if "train" in parts and len(parts) == len(found) else {}


def folders(path: str) -> list[str]:
    """Return the names of the folders in a folder, in order, without hidden ones."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        reason = clean_text(error.strerror or "cannot be read", 100)
        raise DataError(f"{clean_text(path, 400)}: cannot be read as a folder ({reason})") from None


class ShapeOnly(Dataset):
    """Samples that are not here: only their shape, and what is predicted from them, is known. Enough to build a
    network, to load its weights and to predict; to train or evaluate, name a data set: --set data.dataset=NAME.
    """

    whole = False

    input_shape: tuple[int, ...] = Field(
        (1,), min_length=1, max_length=3, strict=False, description="Shape of one sample."
    )
    task: Task = Field("categorical", description="What is predicted.")
    classes: int = Field(2, gt=1, le=1_000_000, description="Classes, or labels, that there are.")
    names: tuple[str, ...] = Field((), strict=False, description="Their names; unset: their numbers.")
    targets: int = Field(1, gt=0, le=1_000_000, description="Numbers that are predicted in a regression.")

    @field_validator("input_shape")
    @classmethod
    def _sizes(cls, shape: Shape) -> Shape:
        if any(not 0 < size <= 1_000_000 for size in shape):
            raise ValueError("sizes must be from 1 to 1,000,000")
        return shape

    @model_validator(mode="after")
    def _a_name_each(self) -> Self:
        if self.names and len(self.names) != self.classes:
            raise ValueError(f"names must name all {self.classes} classes, there are {len(self.names)}")
        return self

    def info(self) -> DataInfo:
        if self.task == "regression":
            return DataInfo(self.input_shape, self.task, targets=self.targets)
        return DataInfo(self.input_shape, self.task, self.names or tuple(map(str, range(self.classes))))
