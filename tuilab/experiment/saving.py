"""Writing an experiment file: completely or not at all, and so that it means the same where it then lies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from tuilab.experiment.load import change_paths


def write_whole(file: Path, text: str) -> None:
    """Put a text in the place of a file, whose permissions stay. Raises OSError, UnicodeEncodeError."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as output:
            output.write(text.encode())
            output.flush()
            os.fsync(output.fileno())
        if file.exists():
            shutil.copymode(file, partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def moved(document: dict[str, Any], before: Path, now: Path) -> dict[str, Any]:
    """Return a document whose paths of data mean the same files from the folder `now` as they did from `before`."""
    data = document.get("data")
    if before == now or not isinstance(data, dict):
        return document
    data = dict(data)
    change_paths(data, lambda path: path if os.path.isabs(path) else os.path.relpath(before / path, now))
    return {**document, "data": data}
