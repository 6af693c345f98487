"""CIFAR-10 from either of its archives: cifar-10-binary.tar.gz and cifar-10-python.tar.gz.

Five files of training images and one of test images. Binary: for each image a byte with its class, then 1024 bytes of
red, 1024 of green, 1024 of blue, row by row. Python: a pickled dictionary with `data`, (n, 3072) of the same bytes, and
`labels`. Nothing is unpacked to the disk, nothing unpickled.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import Cifar10
from tuilab.data.folders import find_folder, missing_files_error, shown
from tuilab.data.pickled import read_pickle
from tuilab.errors import DataError
from tuilab.text import clean_text

TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
VALUES = 3072
BLOCK = 512  # bytes: headers and contents of a tar file begin at multiples
MOST_MEMBER = 128 << 20  # bytes; the published ones have 31 MB
MOST_MEMBERS = 100
CHUNK = 1 << 20

Part = tuple[HostArray, HostArray]


def read_cifar(dataset: Cifar10, data_dir: Path | None) -> tuple[HostArray, HostArray, HostArray, HostArray]:
    """Return training images (n, 32, 32, 3) uint8 and labels (n,) int64, then those of the test. Raises DataError where
    there is no archive, or it is not what it should be."""
    folder = find_folder(dataset, data_dir)
    if folder is None:
        raise missing_files_error(dataset, data_dir)
    names = [*(file.name for file in dataset.files), *dataset.other_files]
    return read_archive(next(folder / name for name in names if (folder / name).is_file()))


def read_archive(path: Path) -> tuple[HostArray, HostArray, HostArray, HostArray]:
    """Return what `read_cifar` does, of one archive."""
    parts: dict[str, Part] = {}
    try:
        with gzip.open(path, "rb") as file:
            for name, content in _members(file, path):
                stem = name.rpartition("/")[2].removesuffix(".bin")
                if stem not in (*TRAIN, TEST):
                    continue
                if stem in parts:
                    raise _foreign(path, f"holds {stem} twice")
                place = clean_text(name, 60)
                parts[stem] = _binary(content, place) if name.endswith(".bin") else _pickled(content, place)
    except EOFError:
        raise _foreign(path, "is cut short") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _foreign(path, f"is no intact gzip file ({clean_text(str(error), 80)})") from None
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}); check that it is yours") from None
    except _WrongBatch as error:
        raise _foreign(path, f"{error.place} {error}") from None
    missing = [name for name in (*TRAIN, TEST) if name not in parts]
    if missing:
        raise _foreign(path, f"holds no {', '.join(missing)}")
    images = np.concatenate([parts[name][0] for name in TRAIN])
    labels = np.concatenate([parts[name][1] for name in TRAIN])
    return _pictures(images), labels, _pictures(parts[TEST][0]), parts[TEST][1]


class _WrongBatch(ValueError):
    """One of the files in the archive is not what it should be."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


def _members(file: gzip.GzipFile, path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every regular file in a tar file, which is read to its end: gzip's checksum stands
    there. Only plain headers are read, so that none can ask for memory, links or other files."""
    for _ in range(MOST_MEMBERS):
        header = file.read(BLOCK)
        if not header.strip(b"\0"):
            break
        if len(header) < BLOCK:
            raise EOFError
        checksum = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
        if _octal(header[148:156], path) != checksum:
            raise _foreign(path, "is no tar file")
        size = _octal(header[124:136], path)
        if size > MOST_MEMBER:
            raise _foreign(path, f"holds a file of {size >> 20} MiB")
        content = _exactly(file, size)
        _exactly(file, -size % BLOCK)
        if header[156:157] in (b"0", b"\0"):
            yield header[:100].rstrip(b"\0").decode("latin-1"), content
    else:
        raise _foreign(path, f"holds more than {MOST_MEMBERS} files")
    left = MOST_MEMBER
    while left > 0 and (rest := file.read(CHUNK)):
        left -= len(rest)


def _octal(field: bytes, path: Path) -> int:
    digits = field.strip(b"\0 ")
    if not digits or not set(digits) <= set(b"01234567"):
        raise _foreign(path, "is no tar file")
    return int(digits, 8)


def _exactly(file: gzip.GzipFile, size: int) -> bytes:
    content = io.BytesIO()
    while (left := size - content.tell()) > 0:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            raise EOFError
        content.write(chunk)
    return content.getvalue()


def _binary(content: bytes, place: str) -> Part:
    if not content or len(content) % (1 + VALUES):
        raise _WrongBatch(place, f"has {len(content)} bytes, no multiple of {1 + VALUES}")
    table = np.frombuffer(content, dtype=np.uint8).reshape(-1, 1 + VALUES)
    return _checked(table[:, 1:], table[:, 0].astype(np.int64), place)


def _pickled(content: bytes, place: str) -> Part:
    try:
        batch = read_pickle(content)
    except ValueError as error:
        raise _WrongBatch(place, clean_text(str(error), 120)) from None
    images, labels = (batch.get("data"), batch.get("labels")) if isinstance(batch, dict) else (None, None)
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != VALUES or not len(images):
        raise _WrongBatch(place, f"holds no `data` of (n, {VALUES}) bytes")
    numbers = labels if isinstance(labels, list) and all(type(label) is int for label in labels) else []
    if len(numbers) != len(images) or not all(0 <= number < 256 for number in numbers):
        raise _WrongBatch(place, f"holds no `labels` with a class for each of its {len(images)} images")
    return _checked(images, np.array(numbers, dtype=np.int64), place)


def _checked(images: HostArray, labels: HostArray, place: str) -> Part:
    if labels.max() >= 10:
        raise _WrongBatch(place, f"has the class {labels.max()} at image {labels.argmax()}; there are 0 to 9")
    return images, labels


def _pictures(rows: HostArray) -> HostArray:
    """Return (n, 3072), colour by colour, as (n, 32, 32, 3)."""
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _foreign(path: Path, problem: str) -> DataError:
    return DataError(f"{shown(path)}: {problem}; delete it and run 'tuilab datasets fetch', or put a whole copy there")
