"""New samples for a trained network: the features of a file, encoded as in training."""

from __future__ import annotations

import math
from pathlib import Path

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import Column, DataInfo
from tuilab.data.archive import as_features, read_arrays
from tuilab.data.csv_file import read_columns
from tuilab.data.folders import shown
from tuilab.data.table import one_hot
from tuilab.errors import DataError


def read_features(path: Path, info: DataInfo) -> HostArray:
    """Return the samples in a file, (n, *input_shape) as in a Split, for a network trained on data with `info`.

    A .csv file holds the columns of the training data, found by name; others, such as the target, are ignored. An .npy
    or .npz file holds one array of samples, or a single sample. Raises DataError.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        columns = info.columns or tuple(Column(name) for name in info.features)
        if not columns:
            raise DataError(f"{shown(path)}: this network takes images: .png, .jpg, .npy or .npz files")
        return one_hot(read_columns(path, columns), columns)
    if suffix not in (".npy", ".npz"):
        raise DataError(f"{shown(path)}: must be a .csv, .npy or .npz file, or a picture: .png, .jpg")
    x = read_arrays(path)
    if x.ndim and math.prod(x.shape[1:]) == math.prod(info.input_shape):
        x = x.reshape(-1, *info.input_shape)
    elif x.size == math.prod(info.input_shape):
        x = x.reshape(1, *info.input_shape)
    else:
        raise DataError(
            f"{shown(path)}: holds an array of {x.shape}; this network takes "
            f"(n, {', '.join(str(extent) for extent in info.input_shape)})"
        )
    return as_features(x, shown(path))
