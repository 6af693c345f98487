"""Small idx files in the form of MNIST, for tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from tuilab.blocks.datasets import IdxImages


def idx(items: np.ndarray) -> bytes:
    """Return items as an unpacked idx file."""
    return struct.pack(f">{1 + items.ndim}I", 0x0800 + items.ndim, *items.shape) + items.astype(np.uint8).tobytes()


def packed(items: np.ndarray) -> bytes:
    return gzip.compress(idx(items), mtime=0)


def write_set(dataset: IdxImages, folder: Path, train: int = 40, test: int = 20) -> dict[str, np.ndarray]:
    """Write the four files of a set and return their items by name; labels are 0, 1, …, 9, 0, 1, …"""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    written = {}
    for file, count in zip(dataset.files, (train, train, test, test), strict=True):
        if file.item_shape:
            written[file.name] = generator.integers(0, 256, (count, *file.item_shape), dtype=np.uint8)
        else:
            written[file.name] = (np.arange(count) % 10).astype(np.uint8)
        (folder / file.name).write_bytes(packed(written[file.name]))
    return written
