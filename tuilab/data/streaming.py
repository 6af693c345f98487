"""Arrays that stay in their files: sets larger than memory are read sample by sample, while a training runs."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from pathlib import Path
from threading import Lock
from typing import IO
from weakref import finalize

import numpy as np

from tuilab.blocks.arrays import HostArray, Shape
from tuilab.blocks.samples import Stored
from tuilab.errors import DataError

LARGE = 1 << 30
"""Bytes of samples from which on they stay on disk."""
PORTION = 1 << 22
"""Bytes that are read and converted at once."""
ZIP_HEADER = 30
"""Bytes before the name of a member; the last four tell how long the name and what follows it are."""


class StoredArray(Stored):
    """An array of numbers in an .npy file, or in an .npz file that is not compressed; bytes stay bytes, other numbers
    become float32. Nothing is mapped, so that a file which is cut while it is used is an error like any other."""

    def __init__(self, path: Path, place: str, start: int, shape: Shape, kind: np.dtype[np.generic]) -> None:
        super().__init__(shape, "uint8" if kind == np.uint8 else "float32")
        self.place = place
        self._start = start
        self._kind = kind
        self._sample_bytes = math.prod(shape[1:]) * kind.itemsize
        self._file = os.open(path, os.O_RDONLY)
        self._lock = Lock()
        finalize(self, os.close, self._file)

    def read(self, rows: HostArray, out: HostArray) -> None:
        most = max(1, PORTION // max(self._sample_bytes, 1))
        ends = np.flatnonzero(np.diff(rows) != 1) + 1
        for first, last in zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True):
            for start in range(first, last, most):
                stop = min(start + most, last)
                self._read(int(rows[start]), out[start:stop])

    def _read(self, row: int, out: HostArray) -> None:
        """Read neighbouring samples, from `row` on."""
        if self._kind == out.dtype:
            self._fill(row, out)
        else:
            given = np.empty(out.shape, self._kind)
            self._fill(row, given)
            with np.errstate(over="ignore"):
                out[...] = given
        if self.dtype == "float32" and not np.isfinite(out).all():
            wrong = ~np.isfinite(out.reshape(len(out), -1)).all(axis=1)
            raise DataError(
                f"{self.place}, sample {row + int(wrong.argmax())}: holds what is no number to learn from; correct it "
                "or remove the sample"
            )

    def _fill(self, row: int, into: HostArray) -> None:
        room = into.reshape(-1).view(np.uint8).data
        with self._lock:
            os.lseek(self._file, self._start + row * self._sample_bytes, os.SEEK_SET)
            while room:
                count = os.readv(self._file, [room])
                if not count:
                    raise DataError(f"{self.place}: is cut short; save it anew")
                room = room[count:]


def stored_array(path: Path, place: str, member: zipfile.ZipInfo | None = None) -> StoredArray | None:
    """Return the array of an .npy file, or of a member of an .npz file, as it lies on disk; None where it is small, or
    can only be read as a whole. Raises ValueError, and what numpy raises, where it is damaged."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if member is not None:
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 or member.file_size < LARGE:
                return None
            file.seek(member.header_offset)
            size = member.file_size
            file.seek(member.header_offset + ZIP_HEADER + sum(struct.unpack("<2H", file.read(ZIP_HEADER)[-4:])))
        begin = file.tell()
        shape, by_columns, kind = read_header(file)
        start = file.tell()
    numbers = size - (start - begin)
    if size < LARGE or kind.kind not in "biuf" or len(shape) < 2 or (by_columns and math.prod(shape[1:]) > 1):
        return None
    if math.prod(shape) * kind.itemsize != numbers:
        raise ValueError(f"{numbers:,} bytes do not make an array of {shape}")
    return StoredArray(path, place, start, shape, kind)


def read_header(file: IO[bytes]) -> tuple[Shape, bool, np.dtype[np.generic]]:
    """Return shape, whether columns come first, and type of an .npy file, which is left where the numbers begin."""
    header = np.lib.format
    version = header.read_magic(file)
    read = header.read_array_header_1_0 if version == (1, 0) else header.read_array_header_2_0
    shape, by_columns, kind = read(file)
    return tuple(shape), by_columns, kind
