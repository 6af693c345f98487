"""A few samples as a file that can be looked at, changed and predicted."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.samples import Split
from tuilab.data.folders import shown
from tuilab.errors import StorageError, UsageError


def write_samples(split: Split, info: DataInfo, count: int, path: Path) -> None:
    """Write up to `count` samples: the features of a table with a header as .csv, arrays as .npy.

    Raises UsageError where the ending does not fit the samples, StorageError where the file cannot be written.
    """
    features = split.features[:count]
    suffix = path.suffix.lower()
    if suffix == ".csv" and not info.features:
        raise UsageError(f"{shown(path)}: images are written as .npy")
    if suffix not in (".csv", ".npy"):
        raise UsageError(f"{shown(path)}: write a .csv or .npy file")
    try:
        if suffix == ".npy":
            np.save(path, features)
            return
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(info.features)
            writer.writerows([map(str, row) for row in features])
    except OSError as error:
        raise StorageError(f"{shown(path)}: cannot be written: {error.strerror}") from None
