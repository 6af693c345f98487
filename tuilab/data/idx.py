"""The idx format of MNIST: a magic number, the extents, then bytes; here always gzip-compressed.

    00 00 08 D, then D big-endian 32-bit extents, then one byte a value    (08: unsigned bytes, D: number of axes)

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from tuilab.blocks.arrays import HostArray, Shape
from tuilab.blocks.datasets import IdxImages
from tuilab.data.folders import find_folder, missing_files_error, shown
from tuilab.errors import DataError
from tuilab.text import clean_text

MOST_ITEMS = 1_000_000
CHUNK = 1 << 20  # bytes


def read_images(dataset: IdxImages, data_dir: Path | None) -> tuple[HostArray, HostArray, HostArray, HostArray]:
    """Return training images (n, 28, 28, 1) uint8 and labels (n,) int64, then those of the test.

    Raises DataError where a file is missing or is not what it should be.
    """
    folder = find_folder(dataset, data_dir)
    if folder is None:
        raise missing_files_error(dataset, data_dir)
    info = dataset.info()
    parts: list[HostArray] = []
    for images_file, labels_file in (dataset.files[:2], dataset.files[2:]):
        images = read_idx(folder / images_file.name, images_file.item_shape)
        labels = read_idx(folder / labels_file.name, labels_file.item_shape)
        if len(images) != len(labels):
            raise DataError(
                f"{shown(folder / labels_file.name)}: holds {len(labels)} labels for {len(images)} images; "
                "the two files must be of one set"
            )
        if labels.max() >= len(info.classes):
            raise DataError(
                f"{shown(folder / labels_file.name)}: label {labels.max()} at position {labels.argmax()}; "
                f"{dataset.type_name()} has the classes 0 to {len(info.classes) - 1}"
            )
        parts += [images.reshape(-1, *info.input_shape), labels.astype(np.int64)]
    return parts[0], parts[1], parts[2], parts[3]


def read_idx(path: Path, item_shape: Shape) -> HostArray:
    """Return the items of a gzip-compressed idx file, (n, *item_shape) uint8.

    Reads no more than the extents declare, and refuses extents that are not plausible. Raises DataError.
    """
    try:
        with gzip.open(path, "rb") as file:
            header = file.read(8 + 4 * len(item_shape))
            if len(header) < 8 + 4 * len(item_shape):
                raise EOFError
            magic, count, *extents = struct.unpack(f">{2 + len(item_shape)}I", header)
            _check_header(path, magic, count, tuple(extents), item_shape)
            items = np.empty((count, *item_shape), dtype=np.uint8)
            target = items.reshape(-1).data
            done = 0
            while done < len(target):
                length = file.readinto(target[done : done + CHUNK])
                if not length:
                    raise EOFError
                done += length
            if file.read(1):  # which also makes gzip compare its checksum
                raise _foreign(path, f"goes on after the {count} items that it declares")
    except EOFError:
        raise _foreign(path, "is cut short") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _foreign(path, f"is no intact gzip file ({clean_text(str(error), 80)})") from None
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}); check that it is yours") from None
    return items


def _check_header(path: Path, magic: int, count: int, extents: Shape, item_shape: Shape) -> None:
    expected = 0x0800 + 1 + len(item_shape)
    if magic != expected:
        raise _foreign(path, f"starts with {magic:#010x}, an idx file of this kind with {expected:#010x}")
    if extents != item_shape:
        raise _foreign(path, f"declares items of {_times(extents)}, this set has {_times(item_shape)}")
    if not 1 <= count <= MOST_ITEMS:
        raise _foreign(path, f"declares {count} items; between 1 and {MOST_ITEMS} are plausible")


def _foreign(path: Path, problem: str) -> DataError:
    return DataError(f"{shown(path)}: {problem}; delete it and run 'tuilab datasets fetch', or put a whole copy there")


def _times(shape: Shape) -> str:
    return " × ".join(str(extent) for extent in shape)
