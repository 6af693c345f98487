"""Reads files of a run that anybody may have put there: plain ones only, and no more than expected."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuilab.text import clean_text


@contextmanager
def open_plain(path: Path, most_bytes: int) -> Iterator[int]:
    """Give the descriptor of a plain file of at most `most_bytes`; follows no link and waits for nobody.

    Raises FileNotFoundError, and ValueError with the reason for whatever else keeps it from being read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if path.is_symlink():
            raise ValueError("is a link, not a file of a run") from None
        raise ValueError(clean_text(f"cannot be read: {(error.strerror or str(error)).lower()}")) from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("is not a plain file")
        if facts.st_size > most_bytes:
            raise ValueError(f"is too large for a file of a run: {facts.st_size:,} bytes")
        yield descriptor
    finally:
        os.close(descriptor)


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return what a plain file of at most `most_bytes` holds; raises as `open_plain`."""
    with open_plain(path, most_bytes) as descriptor, open(descriptor, "rb", closefd=False) as file:
        return file.read(os.fstat(descriptor).st_size)
