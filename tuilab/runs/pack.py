"""A run as one file to carry elsewhere: taken while it trains, and made a run again whoever sent it.

RUN.zip holds experiment.toml, data.json, notes.json, metrics.db, worker.log and checkpoints/step-…/, all below one
folder that bears the name of the run. Tensors are stored, the rest is deflated.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from tuilab.errors import DiskFullError, ExperimentError, UsageError
from tuilab.experiment.guard import MOST_BYTES as MOST_EXPERIMENT_BYTES
from tuilab.runs import database
from tuilab.runs.directory import MOST_JSON_BYTES, RunDirectory, new_file, new_folder, storage, sync
from tuilab.runs.plain_file import open_plain, read_plain
from tuilab.runs.reader import following, overview
from tuilab.runs.status import Status
from tuilab.text import clean_text

MOST_LOG_BYTES = 1_000_000
"""Of worker.log, its end."""
MOST_DATABASE_BYTES = 1 << 30
MOST_ENTRIES, FILES_BESIDE_CHECKPOINTS = 10_000, 5
MOST_RATIO, ALWAYS_ALLOWED = 100, 16 * 1024 * 1024
"""What is deflated may unpack to so many times its size, and so many bytes more: a run's database and texts stay far
below."""
MOST_AT_ONCE = 4 * 1024 * 1024
"""Bytes that are read from an archive in one piece; its list of contents is read so."""
CHUNK = 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
"""Of a run that is unpacked."""

_STEP = "checkpoints/step-[0-9]{1,15}"
LAYOUT = {
    r"experiment\.toml": MOST_EXPERIMENT_BYTES,
    rf"data\.json|notes\.json|{_STEP}/training\.json": MOST_JSON_BYTES,
    r"metrics\.db": MOST_DATABASE_BYTES,
    r"worker\.log": MOST_LOG_BYTES,
    rf"{_STEP}/(weights|best|training)\.safetensors": sys.maxsize,
}
"""All that may be in an archive, and how large."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Is told a file's name, how many of its bytes are done, and how many it has."""


def pack(run: RunDirectory, file: Path, force: bool = False, progress: Progress | None = None) -> None:
    """Write a consistent copy of a run to `file`, complete or not at all, while its worker goes on.

    Raises UsageError where `file` is there already, unless `force`, or the run is damaged; StorageError where it cannot
    be written.
    """
    if os.path.isfile(file) and not force:
        raise UsageError(f"{clean_text(str(file))}: is there already; --force replaces it")
    with storage(file, "choose another place for it"), new_file(file) as partial, ZipFile(partial, "w") as archive:
        packer = _Packer(archive, run, progress)
        # Each part before those that it may lag behind but must not be ahead of. A worker that is to change a setting
        # writes a checkpoint, then experiment.toml: a newer checkpoint goes on with an older experiment as if nothing
        # had been asked. It writes its rows, then the checkpoint that counts on them: a database copied later has them
        # all, and what it has beyond the checkpoint is rewound when the run is resumed.
        packer.add_text("experiment.toml", required=True)
        packer.add_checkpoints()
        packer.add_text("data.json")
        with _database_copy(run, file) as copy, open_plain(copy, sys.maxsize) as descriptor:
            packer.add_file(database.FILE, descriptor)
        packer.add_text("notes.json")
        packer.add_log()


class _Packer:
    """Puts the parts of a run into an archive."""

    def __init__(self, archive: ZipFile, run: RunDirectory, progress: Progress | None) -> None:
        self.archive = archive
        self.run = run
        self.progress = progress
        self.top = re.sub(r"[^A-Za-z0-9._-]", "-", run.name).lstrip(".-")[:100] or "run"

    def add_text(self, name: str, required: bool = False) -> None:
        try:
            content = read_plain(self.run.path / name, _most_bytes(name))
        except FileNotFoundError:
            if required:
                raise self._unreadable(name, "is missing") from None
            return
        except ValueError as error:
            raise self._unreadable(name, error) from None
        self.archive.writestr(self._entry(name, len(content)), content)

    def add_log(self) -> None:
        """Add the end of worker.log."""
        name = "worker.log"
        try:
            with open_plain(self.run.path / name, sys.maxsize) as log:
                start = max(os.fstat(log).st_size - MOST_LOG_BYTES, 0)
                content = os.pread(log, MOST_LOG_BYTES, start)
        except FileNotFoundError:
            return
        except ValueError as error:
            raise self._unreadable(name, error) from None
        self.archive.writestr(self._entry(name, len(content)), content)

    def add_checkpoints(self) -> None:
        """Add all checkpoints that are still there when they are opened, at least one where the run has one, as many as
        an archive may hold. The newest come first: they stay longest."""
        added, removed = False, True
        while removed and not added:
            removed = False
            for folder in reversed(self.run.checkpoints()):
                with ExitStack() as stack:
                    files = self._open_checkpoint(folder, stack)
                    removed = removed or files is None
                    if len(self.archive.filelist) + len(files or {}) > MOST_ENTRIES - FILES_BESIDE_CHECKPOINTS:
                        return
                    for name, descriptor in (files or {}).items():
                        self.add_file(f"checkpoints/{folder.name}/{name}", descriptor)
                        added = True

    def add_file(self, name: str, descriptor: int) -> None:
        size, done = os.fstat(descriptor).st_size, 0
        with self.archive.open(self._entry(name, size), "w") as target:
            while chunk := os.read(descriptor, CHUNK):
                target.write(chunk)
                done += len(chunk)
                if self.progress:
                    self.progress(name, done, size)

    def _open_checkpoint(self, folder: Path, stack: ExitStack) -> dict[str, int] | None:
        """Open every file of a checkpoint; return None where it was removed or replaced meanwhile."""
        place = f"checkpoints/{folder.name}"
        if folder.is_symlink() or folder.parent.is_symlink():
            raise self._unreadable(place, "is a link out of the run; copy what it leads to in its place")
        files: dict[str, int] = {}
        try:
            before = folder.stat().st_ino
            for name in sorted(os.listdir(folder)):
                if most_bytes := _most_bytes(f"{place}/{name}"):
                    try:
                        files[name] = stack.enter_context(open_plain(folder / name, most_bytes))
                    except ValueError as error:
                        raise self._unreadable(f"{place}/{name}", error) from None
            return files if folder.stat().st_ino == before else None
        except FileNotFoundError:
            return None

    def _entry(self, name: str, size: int) -> ZipInfo:
        entry = ZipInfo(f"{self.top}/{name}", max(time.localtime()[:6], (1980, 1, 1, 0, 0, 0)))
        entry.external_attr = (stat.S_IFREG | 0o644) << 16
        entry.compress_type = ZIP_STORED if name.endswith(".safetensors") else ZIP_DEFLATED
        entry.file_size = size  # tells zipfile whether it needs the form for large files
        return entry

    def _unreadable(self, name: str, reason: object) -> UsageError:
        return UsageError(f"{clean_text(str(self.run.path / name))}: {reason}")


@contextmanager
def _database_copy(run: RunDirectory, file: Path) -> Iterator[Path]:
    """Give a copy of the database as it stands now, made beside `file`, of a run that is over."""
    before = overview(run)  # looks for the worker before the copy is taken, which may see it end
    with TemporaryDirectory(prefix=f".{file.name}.", suffix=".part", dir=file.parent) as folder:
        copy = Path(folder) / database.FILE
        with database.reading(run.path) as connection:
            try:
                connection.execute("VACUUM INTO ?", (str(copy),))
            except sqlite3.OperationalError as error:  # what cannot be written is the copy
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
                with database.told(file):
                    raise
        with database.told(file), closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            (value,) = connection.execute("SELECT value FROM status WHERE id = 1").fetchone()
            status = Status.model_validate_json(value)
            if status.state in ("running", "paused"):
                lost = before.state == "failed"
                over = {"state": "failed", "reason": before.reason} if lost else PACKED_EARLY
                value = status.model_copy(update=over).model_dump_json()
                connection.execute("UPDATE status SET value = ?", (value,))
        yield copy


PACKED_EARLY = {"state": "stopped", "reason": "packed while it trained"}


def unpack(file: Path, folder: Path, name: str | None = None, progress: Progress | None = None) -> RunDirectory:
    """Make a packed run a run of `folder` again, complete or not at all, under its old name or another.

    The archive is not trusted: only files that a run has are taken, and no more than they say. Raises UsageError with
    what is wrong with it, or where there is a run of that name; StorageError where it cannot be written.
    """
    place = clean_text(str(file))
    if not os.path.isfile(file):
        raise UsageError(f"{place}: there is no such file")
    with storage(folder), ExitStack() as stack:
        with _intact(file):
            archive = stack.enter_context(ZipFile(stack.enter_context(_Source(io.FileIO(file)))))
            old_name, entries = _contents(archive, file.stat().st_size)
        if not NAME.fullmatch(name or old_name):
            raise UsageError(f"'{clean_text(name or '', 60)}' cannot be a name: use letters, digits, '-', '_' and '.'")
        final = folder / (name or old_name)
        if os.path.lexists(final):
            raise UsageError(f"there is a run {final.name} already; choose another name with --name NAME")
        folder.mkdir(parents=True, exist_ok=True)
        _check_space(folder, sum(entry.file_size for entry in entries.values()))
        with new_folder(final) as partial:
            (partial / "commands").mkdir()
            for path, entry in entries.items():
                _extract(archive, entry, partial / path, file, progress)
            _check_run(RunDirectory(partial), place)
    return RunDirectory(final)


class _Source(io.BufferedReader):
    """The file of an archive, of which nobody reads more at once than an honest one needs."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = MOST_AT_ONCE
        if size > MOST_AT_ONCE:
            raise BadZipFile("its list of contents is too long")
        return super().read(size)


@contextmanager
def _intact(file: Path) -> Iterator[None]:
    """Turn what zipfile raises for a file that is cut, foreign or made to harm into a UsageError."""
    try:
        yield
    except Exception as error:  # zipfile lets through whatever struct, zlib and the codecs of names raise
        reason = clean_text(str(error)) or "it is cut short"
        raise UsageError(f"{clean_text(str(file))}: is no intact archive of a run: {reason}") from None


def _contents(archive: ZipFile, size: int) -> tuple[str, dict[str, ZipInfo]]:
    """Return the name of the run in an archive of `size` bytes, and what is to be extracted by its path in the run;
    raises BadZipFile where there is anything else in it, or too much."""
    listed = archive.infolist()
    if not listed:
        raise BadZipFile("it is empty")
    if len(listed) > MOST_ENTRIES:
        raise BadZipFile(f"it holds more than {MOST_ENTRIES:,} files")
    run = listed[0].orig_filename.partition("/")[0]
    if not NAME.fullmatch(run):
        raise BadZipFile(f"'{clean_text(run, 60)}' is not the name of a run")
    entries: dict[str, ZipInfo] = {}
    for entry in listed:
        top, _, path = entry.orig_filename.partition("/")
        if problem := "does not belong to a run" if top != run else _problem(path, entry):
            raise BadZipFile(f"{clean_text(entry.orig_filename, 80)} {problem}")
        if path in entries:
            raise BadZipFile(f"{path} is there twice")
        entries[path] = entry
    for path in ("experiment.toml", database.FILE):
        if path not in entries:
            raise BadZipFile(f"it holds no {path}")
    if sum(entry.compress_size for entry in listed) > size:
        raise BadZipFile("its files overlap")
    deflated = [entry for entry in listed if entry.compress_type == ZIP_DEFLATED]
    most = ALWAYS_ALLOWED + MOST_RATIO * sum(entry.compress_size for entry in deflated)
    if sum(entry.file_size for entry in deflated) > most:
        raise BadZipFile(f"it would unpack to more than {MOST_RATIO} times its size")
    return run, entries


def _problem(path: str, entry: ZipInfo) -> str:
    """Return what is wrong with one entry of an archive, or nothing."""
    most_bytes = _most_bytes(path)
    if not most_bytes:
        return "does not belong to a run"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is not a plain file"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is neither stored nor deflated"
    if entry.file_size > most_bytes:
        return f"is too large for a file of a run: {entry.file_size:,} bytes"
    return ""


def _most_bytes(path: str) -> int:
    """Return how large a file of a run may be, by its path in the run; 0 for those that are not packed."""
    return next((most for pattern, most in LAYOUT.items() if re.fullmatch(pattern, path)), 0)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DiskFullError(
            f"{clean_text(str(folder))}: the run takes {size / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free; "
            "free some space, or choose another folder with --runs DIR"
        )


def _extract(archive: ZipFile, entry: ZipInfo, path: Path, file: Path, progress: Progress | None) -> None:
    done = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        for chunk in _content(archive, entry, file):
            target.write(chunk)
            done += len(chunk)
            if progress:
                progress(entry.filename.partition("/")[2], done, entry.file_size)
    sync(path)
    sync(path.parent)


def _content(archive: ZipFile, entry: ZipInfo, file: Path) -> Iterator[bytes]:
    """Give what an entry holds, which must be as much as it declares."""
    with _intact(file), archive.open(entry) as source:
        left = entry.file_size
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:
            raise BadZipFile(f"{entry.filename} has not the size that it declares")


def _check_run(run: RunDirectory, place: str) -> None:
    """Raise UsageError where what was unpacked from `place` is not what a run holds."""
    from tuilab.experiment.load import load_experiment

    try:
        load_experiment(run.experiment_file)
    except ExperimentError as error:
        problems = (f"{place}, experiment.toml: {problem}" for problem in error.problems)
        raise UsageError("\n".join(problems)) from None
    path = run.path / database.FILE
    try:
        with following(run) as reader:
            reader.status()
    except UsageError as error:
        reason = str(error).removeprefix(f"{clean_text(str(path))}: ")
        raise UsageError(f"{place}, {database.FILE}: {reason}") from None
