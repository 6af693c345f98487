"""Bundled sets: real data inside the package, as gzip-compressed CSV with the target in the last column."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import Bundled


def read_bundled(dataset: Bundled) -> tuple[HostArray, HostArray]:
    """Return features and targets, as in a Split."""
    info = dataset.info()
    packed = (Path(__file__).parent / "files" / f"{dataset.type_name()}.csv.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    table = np.loadtxt(lines[1:], delimiter=",")
    features = table[:, :-1].reshape(-1, *info.input_shape)
    targets = table[:, -1:]
    return (
        features.astype(np.float32 if info.features else np.uint8),
        targets.astype(np.float32) if info.task == "regression" else targets[:, 0].astype(np.int64),
    )
