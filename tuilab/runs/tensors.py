"""Named arrays as safetensors files; reading takes bounded time and memory, whatever the file turns out to be."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from tuilab.blocks.arrays import HostArray
from tuilab.text import clean_text

MOST_HEADER_BYTES = 8 * 1024 * 1024
MOST_TENSORS = 100_000

_NOT_REGULAR = "is not a regular file"
_REASONS = {
    errno.ENOENT: "is missing",
    errno.ELOOP: "is a symbolic link, not a file of a run",
    errno.EISDIR: _NOT_REGULAR,
    errno.ENXIO: _NOT_REGULAR,  # a socket on Linux
    errno.EOPNOTSUPP: _NOT_REGULAR,  # and on macOS
}


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


def read_tensors(path: Path, most_bytes: int) -> dict[str, HostArray]:
    """Return the arrays of a file of at most `most_bytes` bytes, by name.

    Raises ValueError with the reason, which names no path, where the file is missing, unreadable, a link or no regular
    file, too large, cut short, damaged or no safetensors file. Takes at most twice `most_bytes` of memory, and up to
    250 MB for a header made to harm.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            header, content = _read(file, most_bytes)
    except OSError as error:
        raise ValueError(_REASONS.get(error.errno or 0) or (error.strerror or "cannot be read").lower()) from None
    return _parse(header, content)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file, but no symbolic link, and without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _read(file: BinaryIO, most_bytes: int) -> tuple[bytes, bytes]:
    """Return the header and, with it, all that a file holds, once its sizes are known to be plausible."""
    status = os.fstat(file.fileno())
    size = status.st_size
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(_NOT_REGULAR)
    if size > most_bytes:
        raise ValueError(f"is too large: {size / 1e6:,.1f} MB where at most {most_bytes / 1e6:,.1f} MB are expected")
    if size < 8:
        raise ValueError("is cut short")
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if length > MOST_HEADER_BYTES:
        raise ValueError("its header is too large")
    if length > size - 8:
        raise ValueError("is cut short")
    header = file.read(length)
    # Every tensor opens two lists, its shape and its place, and JSON has but one way to write that.
    if header.count(b"[") > 2 * MOST_TENSORS:
        raise ValueError(f"holds more than {MOST_TENSORS:,} tensors")
    return header, start + header + file.read(size - 8 - length)


def _parse(header: bytes, content: bytes) -> dict[str, HostArray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, HostArray] = load(content)
        names = [name for name, _ in json.loads(header, object_pairs_hook=list)]
        if len(set(names)) < len(names):  # of which the library takes the last
            raise ValueError("it names a tensor twice")
    except KeyError as error:
        raise ValueError(f"holds numbers of the type {clean_text(str(error.args[0]))}, which numpy has not") from None
    except (SafetensorError, ValueError) as error:  # ValueError: a shape that numpy cannot hold
        reason = clean_text(str(error).removeprefix("Error while deserializing: "))
        raise ValueError(f"is not a safetensors file: {reason}") from None
    return tensors
