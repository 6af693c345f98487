"""metrics.db, what a run has to tell: opened by one writer, the worker, and by any number of readers."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

from tuilab.errors import BusyError, DiskFullError, StorageError, UsageError
from tuilab.runs.plain_file import open_plain
from tuilab.text import clean_text

FILE = "metrics.db"
APPLICATION = 0x7475696C  # "tuil"
VERSION = 1
SECONDS_TO_WAIT = 10.0
"""For another connection to let go of the database."""
LONGEST_VALUE = 4 * 1024 * 1024
"""Bytes of the longest text that a reader accepts."""
MOST_INSTRUCTIONS = 200_000_000
"""Of SQLite's virtual machine for one query: seconds, many times what any of ours takes."""
INSTRUCTIONS_BETWEEN_LOOKS = 1_000_000
SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""The end of a rollback journal that names another file, which SQLite then removes."""

SCHEMA = """
CREATE TABLE status(id INTEGER PRIMARY KEY CHECK (id = 1), value TEXT NOT NULL) STRICT;
CREATE TABLE series(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, level INTEGER NOT NULL) STRICT;
CREATE TABLE bins(
  series INTEGER NOT NULL, first INTEGER NOT NULL, step INTEGER NOT NULL, count INTEGER NOT NULL,
  total REAL NOT NULL, least REAL NOT NULL, most REAL NOT NULL, PRIMARY KEY (series, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE epochs(
  epoch INTEGER PRIMARY KEY, step INTEGER NOT NULL, seconds REAL NOT NULL, learning_rate REAL NOT NULL,
  samples_per_second REAL NOT NULL, best INTEGER NOT NULL, results TEXT NOT NULL
) STRICT;
CREATE TABLE layers(
  look INTEGER NOT NULL, layer INTEGER NOT NULL, step INTEGER NOT NULL, gradient_norm REAL, weight_norm REAL,
  update_ratio REAL, activation_mean REAL, activation_deviation REAL, dead REAL, saturated REAL,
  PRIMARY KEY (look, layer)
) STRICT, WITHOUT ROWID;
CREATE TABLE distributions(
  layer INTEGER NOT NULL, kind TEXT NOT NULL, step INTEGER NOT NULL, least REAL NOT NULL, most REAL NOT NULL,
  counts TEXT NOT NULL, PRIMARY KEY (layer, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE messages(
  id INTEGER PRIMARY KEY, time REAL NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE commands(
  name TEXT PRIMARY KEY, time REAL NOT NULL, step INTEGER NOT NULL, command TEXT NOT NULL,
  accepted INTEGER NOT NULL, answer TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""
"""
status: one row, JSON (status.py). series and bins: sums of consecutive values (series.py); `first` is the number of the
first value in the bin, from 0, `step` the step of the last. layers: the statistics of every layer, `look` counts from
0. distributions: of every layer's weights, gradients and outputs, the newest; counts: JSON, a number for each bin.
epochs.results: JSON, null for NaN. messages: what happened, of kind state, command or checkpoint. commands: answers to
what others asked for. Times are seconds since 1970.
"""

WITHOUT_WRITING = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
"""What SQLite says where reading a database needs a file beside it that cannot be made."""
NETWORKED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "9p", "fuse.sshfs"}
"""File systems that several machines see: they do not share the memory that SQLite's WAL needs."""


def create(run: Path, status: str) -> None:
    """Make the database of a run with its first status, complete or not at all."""
    partial = run / f".{FILE}.part"
    with told(partial):
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            connection.execute("INSERT INTO status VALUES (1, ?)", (status,))
        partial.replace(run / FILE)


def recover(run: Path) -> None:
    """Undo what a writer that died has left half-written; only the process that holds the run may do this.

    Raises UsageError where the database is damaged or another program's, StorageError where it cannot be written.
    """
    path = run / FILE
    with told(path), closing(_connect_to_write(path)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise UsageError(f"{clean_text(str(path))}: is damaged: {clean_text(found)}")


def open_for_writing(run: Path) -> sqlite3.Connection:
    """Open the database of a run, so that readers and the writer do not wait for each other where the file system bears
    it and a write proves it; only the process that holds the run may do this.

    Raises StorageError where it cannot be written, UsageError where it is damaged or another program's.
    """
    path = run / FILE
    with told(path):
        if _file_system(run) not in NETWORKED:
            try:
                return _open_for_writing(path, "WAL")
            except (sqlite3.OperationalError, StorageError) as error:
                code = error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.Error) else None
                if isinstance(error, DiskFullError) or code == sqlite3.SQLITE_FULL or _disk_is_full(run):
                    raise
        return _open_for_writing(path, "DELETE")


def _open_for_writing(path: Path, journal: str) -> sqlite3.Connection:
    connection = _connect_to_write(path, shared_memory=journal == "WAL")
    try:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("PRAGMA locking_mode=NORMAL")
        _prove(connection, path.parent)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint=256")  # pages: the log stays at about 1 MB
        connection.set_progress_handler(None, 0)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_write(path: Path, shared_memory: bool = True) -> sqlite3.Connection:
    _check_file(path)
    connection = sqlite3.connect(path, timeout=SECONDS_TO_WAIT, isolation_level=None)
    try:
        _distrust(connection)
        if not shared_memory:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        _check_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prove(connection: sqlite3.Connection, run: Path) -> None:
    """Write what is there once more, and read it as others will."""
    connection.execute("REPLACE INTO status SELECT * FROM status")
    with closing(open_for_reading(run)) as reader:
        reader.execute("SELECT count(*) FROM status").fetchone()


def open_for_reading(run: Path, at_rest: bool = False) -> sqlite3.Connection:
    """Open the database of a run to read it. Whatever is in it, nothing of it is executed, and time and memory are
    bounded; `at_rest`: nobody can begin to write it, which makes reading faster and leaves no files behind.

    Raises UsageError where there is none, or it is damaged or another program's."""
    path = run / FILE
    with told(path):
        waiting = _check_file(path)
        connection = _connect_to_read(path, at_rest and not waiting)
        try:
            _check_schema(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def reading(run: Path, at_rest: bool = False) -> Iterator[sqlite3.Connection]:
    """Give the database of a run for reading; what is wrong with its rows is told as a UsageError, too."""
    with closing(open_for_reading(run, at_rest)) as connection, told(run / FILE):
        yield connection


def _connect_to_read(path: Path, immutable: bool) -> sqlite3.Connection:
    address = f"file:{quote(os.fsencode(os.path.abspath(path)))}"
    mode = "immutable=1" if immutable else "mode=ro"
    try:
        return _connect_to(f"{address}?{mode}")
    except sqlite3.Error as error:
        code = error.sqlite_errorcode
        if code & 0xFF not in WITHOUT_WRITING or code == sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
    # a folder that we may not write, or a full disk, and a log that needs a file beside it: nobody writes
    return _connect_to(f"{address}?immutable=1")


def _connect_to(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, timeout=SECONDS_TO_WAIT, isolation_level=None)
    try:
        _distrust(connection)
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _distrust(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA mmap_size=0")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    limit_time(connection)


def limit_time(connection: sqlite3.Connection) -> None:
    """Let what a connection does from now on come to an end; to be called again before each query of a long life."""
    calls = iter(range(MOST_INSTRUCTIONS // INSTRUCTIONS_BETWEEN_LOOKS))
    connection.set_progress_handler(lambda: next(calls, None) is None, INSTRUCTIONS_BETWEEN_LOOKS)


def _check_file(path: Path) -> bool:
    """Refuse whatever is not a plain file before SQLite follows, opens or waits for it; return whether beside the
    database there is something that belongs into it."""
    waiting = False
    for ending in ("", "-wal", "-shm", "-journal"):
        name = f"{path}{ending}"
        try:
            facts = os.lstat(name)
        except FileNotFoundError:
            if not ending:
                raise UsageError(f"{clean_text(name)}: is missing") from None
            continue
        except OSError as error:
            raise StorageError(f"{clean_text(name)}: {(error.strerror or str(error)).lower()}") from None
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError(f"{clean_text(name)}: is not a plain file, so not of a run")
        if ending == "-journal" and _names_another_file(Path(name)):
            raise UsageError(f"{clean_text(name)}: is another program's, not of a run")
        waiting = waiting or (ending in ("-wal", "-journal") and facts.st_size > 0)
    return waiting


def _names_another_file(journal: Path) -> bool:
    try:
        with open_plain(journal, sys.maxsize) as descriptor:
            return os.pread(descriptor, 8, max(os.fstat(descriptor).st_size - 8, 0)) == SUPER_JOURNAL
    except FileNotFoundError:  # its transaction is over
        return False


@cache
def _our_schema() -> set[tuple[str, str, str | None]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return set(connection.execute("SELECT type, name, sql FROM sqlite_schema"))


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION and version != VERSION:
        raise UsageError(f"{clean_text(str(path))}: was written by another version of tuilab ({version})")
    found = set(connection.execute("SELECT type, name, sql FROM sqlite_schema LIMIT 100"))
    if application != APPLICATION or found != _our_schema():
        raise UsageError(f"{clean_text(str(path))}: is another program's database, not a run's")


def _file_system(run: Path) -> str:
    import psutil

    real = os.path.realpath(run)
    mounts = [
        part
        for part in psutil.disk_partitions(all=True)
        if os.path.commonpath([real, part.mountpoint]) == part.mountpoint
    ]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite says into what a person can act on."""
    place = clean_text(str(path))
    try:
        yield
    except sqlite3.OperationalError as error:
        extended = getattr(error, "sqlite_errorcode", 0) or 0
        code = extended & 0xFF
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _disk_is_full(path.parent)):
            raise DiskFullError(
                f"{place}: no space left on device; free some space, or choose another folder with --runs DIR"
            ) from None
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise BusyError(f"{place}: {error}") from None
        if code == sqlite3.SQLITE_INTERRUPT:
            raise UsageError(f"{place}: takes too long to read, so it is damaged or not a run's") from None
        if code in (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):  # 0: text that is not UTF-8
            raise UsageError(f"{place}: is damaged: {clean_text(str(error))}") from None
        if extended == sqlite3.SQLITE_READONLY_ROLLBACK:
            raise StorageError(f"{place}: its worker died while it wrote; 'tuilab resume' puts this right") from None
        raise StorageError(f"{place}: {clean_text(str(error))}") from None
    except sqlite3.Error as error:
        raise UsageError(f"{place}: is damaged: {clean_text(str(error))}") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise UsageError(f"{place}: is damaged: it holds what no run writes") from None


def _disk_is_full(folder: Path) -> bool:
    """Return whether not even a little more can be written."""
    try:
        facts = os.statvfs(folder)
    except OSError:
        return False
    return facts.f_bavail * facts.f_frsize < 256 * 1024 or (facts.f_files > 0 and facts.f_favail < 4)
