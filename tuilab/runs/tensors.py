"""Named arrays as safetensors files; reading takes bounded time and memory, whatever the file turns out to be."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from tuilab.blocks.arrays import HostArray, Shape
from tuilab.text import clean_text

MOST_HEADER_BYTES = 8 * 1024 * 1024
MOST_TENSORS = 100_000
_PART = 1 << 20
"""Numbers that are read at once."""

_TYPES = {"BOOL": "b1", "C64": "c8"} | {
    f"{kind.upper()}{8 * size}": f"{kind}{size}"
    for kind, sizes in (("u", (1, 2, 4, 8)), ("i", (1, 2, 4, 8)), ("f", (2, 4, 8)))
    for size in sizes
}
"""Of safetensors, with numpy's names; the number is that of the bytes."""
_FOREIGN_TYPES = ("BF16", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4")
"""That numpy has not."""
_FOREIGN = "is not a safetensors file"
_CUT = "is cut short"
_NOT_REGULAR = "is not a regular file"
_REASONS = {
    errno.ENOENT: "is missing",
    errno.ELOOP: "is a symbolic link, not a file of a run",
    errno.EISDIR: _NOT_REGULAR,
    errno.ENXIO: _NOT_REGULAR,  # a socket on Linux
    errno.EOPNOTSUPP: _NOT_REGULAR,  # and on macOS
}


class _UnknownTypeError(Exception):
    """Numbers of a type that numpy has not."""


@dataclass(frozen=True)
class Tensor:
    """One array of a file: its place is counted from the end of the header."""

    dtype: str
    shape: Shape
    start: int
    end: int


class TensorFile:
    """An open file whose header was read."""

    def __init__(self, file: BufferedReader, start: int, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        """By name."""
        self._file = file
        self._start = start

    def read(self, name: str) -> HostArray:
        """Return an array; raises ValueError where the file was cut meanwhile."""
        import numpy as np

        tensor = self.tensors[name]
        array = np.empty(tensor.shape, f"<{tensor.dtype}")
        flat = array.reshape(-1)
        for first, part in self.parts(name):
            flat[first : first + part.size] = part
        return array

    def parts(self, name: str) -> Iterator[tuple[int, HostArray]]:
        """Yield an array flat and in parts, each with the position of its first number and valid until the next; raises
        ValueError where the file was cut meanwhile."""
        import numpy as np

        tensor = self.tensors[name]
        size = math.prod(tensor.shape)
        buffer = np.empty(min(size, _PART), f"<{tensor.dtype}")
        self._file.seek(self._start + tensor.start)
        for first in range(0, size, _PART):
            part = buffer[: size - first]
            if self._file.readinto(part.view("u1").data) != part.nbytes:
                raise ValueError(_CUT)
            yield first, part


def write_tensors(tensors: Mapping[str, HostArray], path: Path) -> None:
    """Write arrays of any shape under their names, with the permissions that new files have, onto the disk itself.

    Raises OSError where the file cannot be written.
    """
    import numpy as np
    from safetensors.numpy import save

    # The library writes the memory where an array begins, and knows nothing of strides.
    content = save({name: np.asarray(array, order="C") for name, array in tensors.items()})
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def open_tensors(path: Path, most_bytes: int) -> Iterator[TensorFile]:
    """Open a file of at most `most_bytes` bytes, whose arrays are then read one by one.

    Raises ValueError with the reason, which names no path, where the file is missing, unreadable, a link or no regular
    file, too large, cut short, damaged or no safetensors file. Takes no memory but for the header, of which one made to
    harm takes up to 250 MB.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            start, header, size = _read_header(file, most_bytes)
            yield TensorFile(file, start, _parse(header, size))
    except OSError as error:
        raise ValueError(_REASONS.get(error.errno or 0) or (error.strerror or "cannot be read").lower()) from None


def read_tensors(path: Path, most_bytes: int) -> dict[str, HostArray]:
    """Return all arrays of a file of at most `most_bytes` bytes, by name; raises what `open_tensors` raises."""
    with open_tensors(path, most_bytes) as file:
        return {name: file.read(name) for name in file.tensors}


def _open_at_once(path: str, flags: int) -> int:
    """Open a file, but no symbolic link, and without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _read_header(file: BufferedReader, most_bytes: int) -> tuple[int, bytes, int]:
    """Return where the numbers begin, the header before them, and how many bytes they have, once these are known to be
    plausible."""
    status = os.fstat(file.fileno())
    size = status.st_size
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(_NOT_REGULAR)
    if size > most_bytes:
        raise ValueError(f"is too large: {size / 1e6:,.1f} MB where at most {most_bytes / 1e6:,.1f} MB are expected")
    if size < 8:
        raise ValueError(_CUT)
    length = int.from_bytes(file.read(8), "little")
    if length > MOST_HEADER_BYTES:
        raise ValueError("its header is too large")
    if length > size - 8:
        raise ValueError(_CUT)
    header = file.read(length)
    # Every tensor opens two lists, its shape and its place, and JSON has but one way to write that.
    if header.count(b"[") > 2 * MOST_TENSORS:
        raise ValueError(f"holds more than {MOST_TENSORS:,} tensors")
    return 8 + length, header, size - 8 - length


def _parse(header: bytes, size: int) -> dict[str, Tensor]:
    """Return what a header says of the `size` bytes after it, once it fits them without gap and overlap."""
    import numpy as np

    try:
        table = json.loads(header.decode(), object_pairs_hook=_without_doubles)
        if not isinstance(table, dict):
            raise ValueError("its header is no table")
        metadata = table.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("its metadata are no texts")
        tensors = {name: _tensor(name, entry) for name, entry in table.items()}
        end = 0
        for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
            if tensor.start != end:
                raise ValueError("its tensors overlap, or leave a gap")
            end = tensor.end
        if end != size:
            raise ValueError(f"its tensors have {end} bytes, the file {size}")
        for tensor in tensors.values():
            np.broadcast_to(np.empty((), tensor.dtype), tensor.shape)
    except RecursionError:
        raise ValueError(f"{_FOREIGN}: its header is nested too deeply") from None
    except _UnknownTypeError as error:
        raise ValueError(f"holds numbers of the type {error}, which numpy has not") from None
    except (ValueError, OverflowError) as error:  # also of a shape that numpy cannot hold
        raise ValueError(f"{_FOREIGN}: {clean_text(str(error), 200)}") from None
    return tensors


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("it names a tensor twice")
    return table


def _tensor(name: str, entry: Any) -> Tensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} must have dtype, shape and data_offsets")
    dtype, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(place) or len(place) != 2:
        raise ValueError(f"{name} has no such dtype, shape or place")
    if dtype in _FOREIGN_TYPES:
        raise _UnknownTypeError(dtype)
    if dtype not in _TYPES:
        raise ValueError(f"{name} has an unknown dtype")
    if math.prod(shape) * int(_TYPES[dtype][1:]) != place[1] - place[0]:
        raise ValueError(f"{name} has a shape that does not fit its place")
    return Tensor(_TYPES[dtype], tuple(shape), place[0], place[1])


def _are_sizes(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers)
