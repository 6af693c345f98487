"""Unsaved changes that outlive a crash: one small file for each draft that has some, until they are saved."""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tuilab.errors import StorageError
from tuilab.text import clean_text

MOST_BYTES = 4 * 1024 * 1024


class Unsaved(BaseModel):
    """What must be known to go on with an experiment that was not saved."""

    model_config = ConfigDict(frozen=True)

    text: str
    saved: str
    """What was opened or saved last."""
    on_disk: str
    """What its file held when it was last read or written."""
    path: Path | None


class Keeper:
    """A place for the unsaved changes of one draft, locked as long as the program lives: no other takes them."""

    def __init__(self, file: Path, descriptor: int) -> None:
        self.file = file
        self._descriptor = descriptor

    @classmethod
    def new(cls, folder: Path) -> Keeper:
        """Make a place in `folder`; raises StorageError."""
        file = folder / f"{uuid.uuid4().hex}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(file, _locked(file))
        except OSError as error:
            raise _cannot_keep(file, error) from None

    def write(self, unsaved: Unsaved) -> None:
        """Put the changes into the file, completely or not at all; raises StorageError."""
        partial = self.file.with_suffix(".part")
        try:
            partial.write_text(unsaved.model_dump_json(), encoding="utf-8")
            partial.replace(self.file)
        except (OSError, ValueError) as error:
            raise _cannot_keep(self.file, error) from None

    def remove(self) -> None:
        """Forget the changes."""
        with suppress(OSError):
            self.file.unlink(missing_ok=True)
            _lock_file(self.file).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the changes to the next who asks for them."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def left_behind(folder: Path) -> list[Path]:
    """Return the files in `folder`, the newest first; some may belong to programs that run."""
    files = []
    with suppress(OSError):
        files = sorted(((file.stat().st_mtime, file) for file in folder.glob("*.json")), reverse=True)
    return [file for _, file in files]


def take(file: Path) -> tuple[Keeper, Unsaved] | None:
    """Return what a program that has ended left behind, None where it still runs or the file is of no use."""
    with suppress(OSError):
        keeper = Keeper(file, _locked(file))
        try:
            if file.stat().st_size <= MOST_BYTES:
                return keeper, Unsaved.model_validate_json(file.read_bytes())
        except ValueError:
            pass
        keeper.close()
    return None


def _lock_file(file: Path) -> Path:
    return file.with_suffix(".lock")


def _locked(file: Path) -> int:
    """Return the open lock of a file; raises OSError where another program holds it."""
    descriptor = os.open(_lock_file(file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _cannot_keep(file: Path, error: OSError | ValueError) -> StorageError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return StorageError(f"unsaved changes cannot be kept in {clean_text(str(file.parent), 400)}: {reason}")
