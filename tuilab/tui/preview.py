"""What a data set looks like: its parts, its classes, a few samples, and what its columns hold."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo, Dataset, IdxImages
from tuilab.blocks.samples import Data, Split, Stored
from tuilab.data.folders import find_folder
from tuilab.data.load import load
from tuilab.errors import DataError
from tuilab.experiment.document import DataSettings
from tuilab.tui.listing import Cell, Column, Line, Listing, make_listing
from tuilab.tui.numbers import number, short

MOST_SAMPLES = 40
MOST_POINTS = 2000
MOST_READ = 400
"""Of samples that stay on disk."""
MOST_COLUMNS = 100
"""Whose statistics are worked out, and of which samples are shown."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Points:
    """Samples in the plane, by class."""

    names: tuple[str, str]
    """Of the axes."""
    groups: dict[str, HostArray]
    """Points (n, 2) of each class."""

    def by_class(self) -> tuple[HostArray, HostArray, HostArray]:
        """Return x, y and the number of the class of all points, each (n,)."""
        every = np.concatenate(list(self.groups.values()))
        kinds = np.repeat(np.arange(len(self.groups)), [len(points) for points in self.groups.values()])
        return every[:, 0], every[:, 1], kinds


@dataclass(frozen=True)
class Preview:
    """A data set, looked at."""

    info: DataInfo
    parts: dict[str, int]
    """Samples of train and, where there are such parts, validation and test."""
    problem: str
    """Why it cannot be split as the experiment asks; then it is not split."""
    classes: dict[str, int]
    """Samples of each class, or with each label."""
    images: list[tuple[HostArray, str]]
    """(height, width, channels) and what they show; none where samples are no images."""
    pixel_range: tuple[float, float]
    points: Points | None
    """Where samples have two features."""
    rows: Listing | None
    """A few samples of a table."""
    statistics: Listing | None
    """Of the columns of a table."""
    targets: HostArray | None
    """(n,), the first number to predict, in a regression."""


def look_at(settings: DataSettings, seed: int, data_dir: Path | None = None) -> Preview:
    """Read a data set and return what it looks like; raises DataError where it cannot be read."""
    problem = ""
    try:
        data = load(settings, seed, data_dir, glance=True)
    except DataError as error:
        whole = settings.model_copy(update={"validation_split": 0.0, "test_split": 0.0})
        data = load(whole, seed, data_dir, glance=True)
        problem = str(error)
    parts = {name: part for name in PARTS if (part := getattr(data, name)) is not None}
    table = len(data.info.input_shape) == 1
    every = np.concatenate([part.targets for part in parts.values()])
    return Preview(
        info=data.info,
        parts={name: len(part) for name, part in parts.items()},
        problem=problem,
        classes=_class_counts(data.info, every),
        images=[] if table else _images(data),
        pixel_range=(0.0, 1.0) if table else _range(some(data.train)),
        points=_points(data) if table else None,
        rows=_rows(data) if table else None,
        statistics=_statistics(data.info, list(parts.values())) if table else None,
        targets=every[:, 0] if data.info.task == "regression" else None,
    )


def sample_count(dataset: Dataset, data_dir: Path | None = None) -> int | None:
    """Return how many samples a set by name has; None where it is not here, or cannot be read."""
    try:
        if not isinstance(dataset, IdxImages):
            data = load(DataSettings(dataset=dataset, validation_split=0.0, test_split=0.0), 0, data_dir)
            return len(data.train) + (len(data.test) if data.test else 0)
        folder = find_folder(dataset, data_dir)
        return None if folder is None else sum(_items(folder / file.name) for file in dataset.files[::2])
    except (DataError, OSError, EOFError, struct.error):
        return None


def _items(path: Path) -> int:
    """Return how many items an idx file declares."""
    with gzip.open(path, "rb") as file:
        _, count = struct.unpack(">2I", file.read(8))
    return int(count)


def _class_counts(info: DataInfo, targets: HostArray) -> dict[str, int]:
    if info.task == "multi_label":
        counts = targets.sum(axis=0)
    elif info.classes:
        counts = np.bincount(targets, minlength=len(info.classes))
    else:
        return {}
    return {name: int(count) for name, count in zip(info.classes, counts, strict=True)}


def _chosen(data: Data) -> HostArray:
    """Return the positions of a few training samples: the first of every class, then the second of every class …"""
    targets = data.train.targets
    if targets.ndim > 1 or not data.info.classes:
        return np.arange(min(len(targets), MOST_SAMPLES))
    order = np.argsort(targets, kind="stable")
    before = np.empty(len(targets), dtype=np.int64)  # of the same class
    before[order] = np.arange(len(targets)) - np.searchsorted(targets[order], targets[order])
    return np.lexsort((targets, before))[:MOST_SAMPLES]


def some(part: Split) -> HostArray:
    """Return the features of all samples; where they stay on disk, of some, evenly spread."""
    if not isinstance(part.features, Stored):
        return part.features
    return part.features[np.unique(np.linspace(0, len(part) - 1, MOST_READ).astype(np.int64))]


def _images(data: Data) -> list[tuple[HostArray, str]]:
    samples = data.train
    return [(samples.features[index], target_text(data.info, samples.targets[index])) for index in _chosen(data)]


def _range(features: HostArray) -> tuple[float, float]:
    least, most = float(features.min()), float(features.max())
    return least, most if most > least else least + 1


def _points(data: Data) -> Points | None:
    info, samples = data.info, data.train
    if info.input_shape != (2,) or len(info.features) != 2:
        return None
    x, y = samples.features[:MOST_POINTS], samples.targets[:MOST_POINTS]
    if info.task in ("binary", "categorical"):
        groups = {name: x[y == number] for number, name in enumerate(info.classes)}
    elif info.task == "regression":
        low, high = np.quantile(y[:, 0], (1 / 3, 2 / 3))
        groups = {
            f"below {short(low)}": x[y[:, 0] < low],
            "between": x[(y[:, 0] >= low) & (y[:, 0] <= high)],
            f"above {short(high)}": x[y[:, 0] > high],
        }
    else:
        groups = {"": x}
    return Points((info.features[0], info.features[1]), groups)


def _rows(data: Data) -> Listing:
    """Return a few samples, what is to be predicted in front."""
    read, samples = _Columns(data.info), data.train
    columns = [Column("target", "target", right=data.info.task == "regression", least=8)]
    columns += [Column(f"x{index}", name, least=7, rank=1 + index) for index, name in enumerate(read.names)]
    lines = []
    for index in _chosen(data).tolist():
        target = Cell(target_text(data.info, samples.targets[index]), "accent")
        lines.append(Line(str(index), (target, *map(Cell, read.texts(samples.features[index])))))
    return make_listing(columns, lines)


def _statistics(info: DataInfo, parts: Sequence[Split]) -> Listing:
    """Return least, mean, most and the number of different values of every column, over all parts."""
    read, seen = _Columns(info), [some(part) for part in parts]
    lines = []
    for index, name in enumerate(read.names):
        values = np.concatenate([read.values(features, index) for features in seen])
        distinct = f"{len(np.unique(values)):,}"
        if read.categories[index]:
            names, counts = np.unique(values, return_counts=True)
            common = read.categories[index][int(names[counts.argmax()])]
            lines.append(Line(name, (Cell(name), Cell(""), Cell(f"mostly {common}"), Cell(""), Cell(distinct))))
            continue
        spread = (values.min(), values.mean(dtype=np.float64), values.max())
        lines.append(Line(name, (Cell(name), *(Cell(short(float(value))) for value in spread), Cell(distinct))))
    columns = [Column("column", "column", right=False, least=10)]
    columns += [Column(key, key, least=5) for key in ("min", "mean", "max")]
    columns.append(Column("distinct", "distinct", rank=1))
    return make_listing(columns, lines)


class _Columns:
    """The columns of a table as its file has them: a column of texts is several features of 0 and 1."""

    def __init__(self, info: DataInfo) -> None:
        found = [(column.name, column.categories) for column in info.columns] or [
            (name, ()) for name in info.features or [f"x{index + 1}" for index in range(info.input_shape[0])]
        ]
        self.names = [name for name, _ in found[:MOST_COLUMNS]]
        self.categories = [categories for _, categories in found[:MOST_COLUMNS]]
        widths = [max(len(categories), 1) for categories in self.categories]
        self.starts = np.cumsum([0, *widths])

    def values(self, features: HostArray, index: int) -> HostArray:
        """Return what a column holds, (n,): numbers, or positions among its categories."""
        block = features[:, self.starts[index] : self.starts[index + 1]]
        return np.asarray(block.argmax(axis=1) if self.categories[index] else block[:, 0])

    def texts(self, sample: HostArray) -> list[str]:
        """Return one sample as it stands in the file."""
        found = []
        for index, categories in enumerate(self.categories):
            value = self.values(sample[None], index)[0]
            found.append(categories[int(value)] if categories else short(float(value)))
        return found


def target_text(info: DataInfo, target: HostArray) -> str:
    """Return what is to be predicted for one sample, in words."""
    if info.task in ("binary", "categorical"):
        return info.classes[int(target)]
    if info.task == "multi_label":
        return ", ".join(name for name, there in zip(info.classes, target, strict=True) if there) or "none"
    return "  ".join(number(float(value)) for value in np.atleast_1d(target))
