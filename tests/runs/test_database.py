"""The database of a run: one writer, any readers, and nobody else's file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.cli.conftest import Tuilab
from tests.runs.recorded import epoch_done, new_run, recording, rows, steps_done
from tuilab.engine.distributions import Distribution, LayerDistributions
from tuilab.engine.events import LayersSeen, TrainingStarted
from tuilab.engine.statistics import LayerState
from tuilab.errors import StorageError, UsageError
from tuilab.runs import database
from tuilab.runs.database import open_for_writing, reading, recover
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import following

DRAWN = (LayerDistributions(Distribution(-1.0, 2.0, (3, 0, 4)), None, Distribution(0.0, 0.0, (7,))),)
Spoil = Callable[[Path], None]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run with something in every table."""
    run = new_run(tmp_path)
    with recording(run) as recorder:
        recorder.record(TrainingStarted("cpu", 139, 4, 20, 200))
        for step in range(1, 201):
            recorder.record(LayersSeen(1, step, (LayerState("a", 1.5, 2.5, 0.001, 0.1, 0.2, 0.0, None),), DRAWN))
            recorder.record(steps_done(step, [1 / step], accuracy=0.5))
        for epoch in range(1, 41):
            recorder.record(epoch_done(epoch, 5 * epoch, best=epoch == 7, accuracy=0.5, val_loss=1.5))
        recorder.answer("0001-a", "stop", True, "stops after step 7")
        recorder.enter("finished")
        recorder.write()
    return run


def read_everything(run: RunDirectory) -> list[Any]:
    """Return all that anybody reads of a run."""
    with following(run) as reader:
        names = reader.series()
        curves = [reader.curve(name) for name in names]
        levels = reader.levels()
        for kind, (step, seen) in reader.distributions(0).items():
            assert isinstance(kind, str)
            assert isinstance(step, int)
            assert np.isfinite(np.linspace(seen.least, seen.most, len(seen.counts) + 1)).all()
            assert all(isinstance(count, int) for count in seen.counts)
        reader.first_look(), reader.layer_table(), reader.epochs(every=3), reader.messages(most=5)
        return [reader.status(), reader.epochs(), reader.messages(), reader.layers(), names, curves, levels]


# How it is opened


def test_readers_and_the_writer_do_not_wait_for_each_other(run: RunDirectory) -> None:
    with closing(open_for_writing(run.path)) as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        with following(run) as reader:
            reader.connection.execute("BEGIN")
            before = reader.status()
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("UPDATE status SET value = ?", (before.model_copy(update={"step": 999}).model_dump_json(),))
            writer.execute("COMMIT")
            assert reader.status() == before
            reader.connection.execute("COMMIT")
            assert reader.status().step == 999


def test_readers_never_write(run: RunDirectory) -> None:
    before = (run.path / "metrics.db").read_bytes()
    read_everything(run)
    for statement in ("DELETE FROM bins", "PRAGMA user_version=2", "CREATE TABLE odd(value)"):
        with pytest.raises(StorageError, match="readonly"), reading(run.path) as connection:
            connection.execute(statement)
    assert (run.path / "metrics.db").read_bytes() == before


def test_where_several_machines_see_the_files(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """WAL needs memory that they do not share; also where the run was begun with it."""
    with closing(open_for_writing(run.path)) as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    monkeypatch.setattr(database, "_file_system", lambda run: "nfs4")
    for _ in range(2):
        with closing(open_for_writing(run.path)) as writer:
            assert writer.execute("PRAGMA journal_mode").fetchone() == ("delete",)
            writer.execute("UPDATE status SET value = json_set(value, '$.step', 5)")
            with following(run) as reader:
                assert reader.status().step == 5
            assert not list(run.path.glob("metrics.db-*"))


def test_the_file_system_of_a_folder() -> None:
    assert database._file_system(Path("/"))
    if sys.platform == "linux":
        assert database._file_system(Path("/proc/self")) == "proc"


def test_names_of_folders_that_mean_something_in_an_address(tmp_path: Path) -> None:
    for name in ("a b?mode=rwc#x%41", os.fsdecode(b"\xff\xfe"), "new\nline", "…"):
        run = new_run(tmp_path / name)
        with recording(run) as recorder:
            recorder.record(steps_done(1, [0.5]))
            recorder.write()
        assert read_everything(run)[0].step == 1


# As another user


def as_nobody(program: str, folder: Path) -> str:
    """Run a program of few lines in `folder` as somebody with no special rights, who owns what `folder` holds and may
    come there; return what it prints."""
    start = """
import os, sys
import numpy, psutil, pydantic
import tuilab.runs.recorder, tuilab.runs.series
from pathlib import Path
from tuilab.errors import TuilabError
from tuilab.runs.database import open_for_writing
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import following
if not os.geteuid():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
folder = Path(sys.argv[1])
try:
    exec(sys.argv[2])
except TuilabError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", start, folder, program], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.strip()


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may come to and that nobody, or whoever runs this, owns."""
    folder = Path(tempfile.mkdtemp())
    give(folder, 0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def give(path: Path, mode: int) -> None:
    if not os.geteuid():
        os.chown(path, 65534, 65534)
    path.chmod(mode)


READ = "with following(RunDirectory(folder)) as reader: print(reader.status().step)"
WRITE = "print(*open_for_writing(folder).execute('PRAGMA journal_mode').fetchone())"


def leftover(folder: Path, target: Path, *endings: str) -> None:
    """Copy the database of a run to `target` as a worker leaves it that was killed after step 7: some of it in the
    log."""
    run = new_run(folder)
    with recording(run) as recorder:
        recorder.update(step=5)
        recorder.write()
        recorder.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        recorder.update(step=7)
        recorder.write()
        for ending in endings:
            shutil.copy(run.path / f"metrics.db{ending}", target)
            give(target / f"metrics.db{ending}", 0o644)


def test_a_folder_that_may_only_be_read(tmp_path: Path, public: Path) -> None:
    leftover(tmp_path, public, "", "-wal", "-shm")
    public.chmod(0o555)
    for path in public.iterdir():
        path.chmod(0o444)
    assert as_nobody(READ, public) == "7"
    assert as_nobody(WRITE, public).startswith("StorageError")


def test_a_folder_that_may_only_be_read_with_half_of_the_log(tmp_path: Path, public: Path) -> None:
    leftover(tmp_path, public, "", "-wal")
    public.chmod(0o555)
    assert as_nobody(READ, public) == "5"
    public.chmod(0o755)
    assert as_nobody(READ, public) == "7"


def test_a_run_at_rest_in_a_folder_that_may_only_be_read(run: RunDirectory, public: Path) -> None:
    shutil.copy(run.path / "metrics.db", public)
    give(public / "metrics.db", 0o444)
    public.chmod(0o555)
    assert as_nobody(READ, public) == "200"


def test_where_memory_cannot_be_shared(run: RunDirectory, public: Path) -> None:
    """As behind an index of the log that cannot be written: only the attempt tells, and it must leave no trace."""
    shutil.copy(run.path / "metrics.db", public)
    (public / "metrics.db-shm").write_bytes(bytes(32768))
    (public / "metrics.db-shm").chmod(0o444)
    give(public / "metrics.db", 0o644)
    if os.geteuid():
        assert os.stat(public / "metrics.db-shm").st_uid == os.geteuid()
    assert as_nobody(WRITE, public) == "delete"
    assert as_nobody(READ, public) == "200"
    assert as_nobody(WRITE, public) == "delete"


def test_a_folder_that_is_closed(run: RunDirectory, public: Path) -> None:
    (public / "run").mkdir()
    shutil.copy(run.path / "metrics.db", public / "run")
    give(public / "run", 0o000)
    said = as_nobody(READ.replace("folder", "folder / 'run'"), public)
    give(public / "run", 0o755)
    assert said == f"StorageError {public}/run/metrics.db: permission denied"


# What is no database of a run


def execute(*statements: str) -> Spoil:
    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return spoil


ANOTHER = "is another program's database, not a run's"


def write(content: bytes) -> Spoil:
    def spoil(path: Path) -> None:
        path.write_bytes(content)

    return spoil


def cut(share: float) -> Spoil:
    """Leave a part of the pages, at least one."""
    return lambda path: os.truncate(path, max(int(path.stat().st_size * share) // 4096, 1) * 4096)


def in_its_place(make: Callable[[Path], None]) -> Spoil:
    def spoil(path: Path) -> None:
        path.rename(path.with_name("other.db"))
        make(path)

    return spoil


MARK = f"PRAGMA application_id={database.APPLICATION}"
NOISE = np.random.default_rng(0).bytes(50_000)
TRIGGER = "CREATE TRIGGER odd AFTER INSERT ON bins BEGIN DELETE FROM messages; END"
ABORTING = "CREATE TRIGGER odd BEFORE UPDATE ON status BEGIN SELECT RAISE(ABORT, 'odd'); END"
WORKED_OUT = "ALTER TABLE messages ADD COLUMN odd TEXT AS (zeroblob(1000000000)) VIRTUAL"
FOREIGN: dict[str, tuple[Spoil, str]] = {
    "another program's": (in_its_place(execute("CREATE TABLE status(id, value)")), ANOTHER),
    "another program's with our mark": (in_its_place(execute("CREATE TABLE a(b)", MARK)), r"another version.*\(0\)"),
    "empty": (write(b""), ANOTHER),
    "without our mark": (execute("PRAGMA application_id=1"), ANOTHER),
    "of another version": (execute("PRAGMA user_version=2"), r"was written by another version of tuilab \(2\)"),
    "with a trigger": (execute(TRIGGER), ANOTHER),
    "with a trigger on the status": (execute(ABORTING), ANOTHER),
    "with a view": (execute("CREATE VIEW odd AS SELECT * FROM bins"), ANOTHER),
    "with a view in place of a table": (execute("DROP TABLE bins", "CREATE VIEW bins AS SELECT 1 AS a"), ANOTHER),
    "with an index": (execute("CREATE INDEX odd ON bins(step)"), ANOTHER),
    "with another table": (execute("CREATE TABLE odd(value)"), ANOTHER),
    "with a virtual table": (execute("CREATE VIRTUAL TABLE odd USING fts5(value)"), ANOTHER),
    "without a table": (execute("DROP TABLE commands"), ANOTHER),
    "with another column": (execute("ALTER TABLE bins ADD COLUMN odd TEXT"), ANOTHER),
    "with a column that is worked out": (execute(WORKED_OUT), ANOTHER),
    "with a thousand tables": (execute(*(f"CREATE TABLE odd{number}(value)" for number in range(1000))), ANOTHER),
    "noise": (write(NOISE), "is damaged: file is not a database"),
    "text": (write(b"SQLite format 3 as a text" * 1000), "is damaged: file is not a database"),
    "zeros": (write(bytes(8192)), "is damaged: file is not a database"),
    "one page": (cut(0), "is damaged"),
    "half": (cut(0.5), "is damaged"),
    "missing": (lambda path: path.unlink(), "is missing"),
    "a folder": (in_its_place(lambda path: path.mkdir()), "is not a plain file"),
    "a pipe": (in_its_place(lambda path: os.mkfifo(path)), "is not a plain file"),
    "a link": (in_its_place(lambda path: path.symlink_to("other.db")), "is not a plain file"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_database_of_a_run(run: RunDirectory, kind: str) -> None:
    spoil, said = FOREIGN[kind]
    path = run.path / "metrics.db"
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    for attempt in (read_everything, lambda run: open_for_writing(run.path), lambda run: recover(run.path)):
        with pytest.raises(UsageError, match=said) as caught:
            attempt(run)
        assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a link"])
def test_what_lies_beside_the_database(run: RunDirectory, ending: str, kind: str, tmp_path: Path) -> None:
    path = run.path / f"metrics.db{ending}"
    target = tmp_path / "precious"
    target.write_text("precious")
    {"a folder": path.mkdir, "a pipe": lambda: os.mkfifo(path), "a link": lambda: path.symlink_to(target)}[kind]()
    for attempt in (read_everything, lambda run: open_for_writing(run.path), lambda run: recover(run.path)):
        with pytest.raises(UsageError, match=f"metrics.db{ending}: is not a plain file"):
            attempt(run)
    assert target.read_text() == "precious"


def test_a_name_with_escape_codes_is_cleaned(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "\x1b[2J")
    run.path.mkdir()
    with pytest.raises(UsageError, match="is missing") as caught:
        read_everything(run)
    assert "\x1b" not in str(caught.value)


# What a writer that died has left


HALF_WRITTEN = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=DELETE")
connection.execute("PRAGMA cache_size=5")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE status SET value = json_set(value, '$.step', 999)")
for number in range(5000):
    connection.execute("INSERT INTO bins VALUES (99, ?, 1, 1, 1, 1, 1)", (number,))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def half_written(run: RunDirectory) -> RunDirectory:
    """A run without WAL whose worker was killed in the middle of a transaction."""
    done = subprocess.run([sys.executable, "-c", HALF_WRITTEN, run.path / "metrics.db"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (run.path / "metrics.db-journal").stat().st_size > 4096
    return run


def test_half_a_transaction_is_undone_by_the_next_worker(half_written: RunDirectory) -> None:
    """Readers cannot do that, and must not take what is half there for the whole."""
    with pytest.raises(StorageError, match="its worker died while it wrote; 'tuilab resume' puts this right"):
        read_everything(half_written)
    recover(half_written.path)
    assert read_everything(half_written)[0].step == 200
    assert rows(half_written, "SELECT count(*) FROM bins WHERE series = 99") == [(0,)]


def test_a_journal_that_names_another_file(half_written: RunDirectory, tmp_path: Path) -> None:
    """SQLite would remove that file."""
    victim = tmp_path / "precious"
    victim.write_text("precious")
    name = os.fsencode(victim)
    total = sum(struct.unpack(f"{len(name)}b", name)) % 2**32
    journal = half_written.path / "metrics.db-journal"
    with journal.open("ab") as file:
        file.write(struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">II", len(name), total))
        file.write(bytes.fromhex("d9d505f920a163d7"))
    for attempt in (read_everything, lambda run: open_for_writing(run.path), lambda run: recover(run.path)):
        with pytest.raises(UsageError, match=r"metrics.db-journal: is another program's"):
            attempt(half_written)
    assert victim.read_text() == "precious"


def damage_bins(run: RunDirectory) -> None:
    """Damage a page of the curves, which neither the status nor the schema needs."""
    query = "SELECT rootpage FROM sqlite_schema WHERE name = 'bins'"
    ((page,),) = rows(run, query)
    with (run.path / "metrics.db").open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xff" * 4096)


def test_damage_is_found_before_a_worker_goes_on(run: RunDirectory) -> None:
    damage_bins(run)
    with following(run) as reader:
        assert reader.status().step == 200
    with pytest.raises(UsageError, match="is damaged"):
        recover(run.path)


@pytest.mark.parametrize("fault", ["damaged", "half written"])
def test_a_worker_goes_on_with_what_is_left(tmp_path: Path, fault: str) -> None:
    tuilab = Tuilab(tmp_path)
    name = tuilab("train", "iris-8-8-3", "--epochs", "3", "--json").json["run"]
    run = RunDirectory(tuilab.runs / name)
    if fault == "damaged":
        damage_bins(run)
    else:
        subprocess.run([sys.executable, "-c", HALF_WRITTEN, run.path / "metrics.db"], check=False)
    done = tuilab("resume", name, "--set", "training.epochs=5", "--json")
    assert (done.json["status"], done.json["epochs"]) == ("finished", 5)
    assert (run.path / "damaged.db").exists() == (fault == "damaged")
    with following(run) as reader:
        assert [row.epoch for row in reader.epochs()] == [1, 2, 3, 4, 5]
    recover(run.path)


# What is in it


HOSTILE = {
    "deep": "[" * 100_000,
    "deep in a field": '{"experiment": "own", "results": ' + '{"a":' * 50_000 + "1" + "}" * 50_001,
    "no JSON": "own",
    "a list": "[]",
    "nothing": "{}",
    "wrong types": '{"experiment": 5}',
    "a list for a name": '{"experiment": ["own"]}',
    "another state": '{"experiment": "own", "state": "flying"}',
    "a huge count": '{"experiment": "own", "step": 1' + "0" * 30 + "}",
    "a number that Python may not write": '{"experiment": "own", "step": 1' + "0" * 5000 + "}",
    "a negative count": '{"experiment": "own", "epoch": -1}',
    "a process that cannot be": '{"experiment": "own", "pid": 3000000000}',
    "a million threads": '{"experiment": "own", "threads": 1000000}',
    "no moment": '{"experiment": "own", "created": NaN}',
    "a moment that no calendar has": '{"experiment": "own", "heartbeat": 1e300}',
    "endless": '{"experiment": "own", "seconds": Infinity}',
    "too many layers": json.dumps({"experiment": "own", "layers": ["a"] * 257}),
    "too long": json.dumps({"experiment": "own", "reason": "x" * 5_000_000}),
    "half a character": '{"experiment": "\\ud800"}',
}


def write_status(run: RunDirectory, value: Any) -> None:
    with closing(sqlite3.connect(run.path / "metrics.db", isolation_level=None)) as connection:
        connection.execute("UPDATE status SET value = ?", (value,))


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_status(run: RunDirectory, kind: str) -> None:
    write_status(run, HOSTILE[kind])
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"metrics.db: is damaged"):
        read_everything(run)
    assert time.monotonic() - began < 5


def test_no_status(run: RunDirectory) -> None:
    execute("DELETE FROM status")(run.path / "metrics.db")
    with pytest.raises(UsageError, match="it holds what no run writes"):
        read_everything(run)


def test_texts_come_out_clean(run: RunDirectory) -> None:
    evil = "\x1b[2J\x07 a\nb \u202e\x9b31m"
    texts = dict.fromkeys(("experiment", "reason", "device", "host"), evil)
    value = {**texts, "layers": [evil], "results": {evil: 1.5}, "best": {"epoch": 1, "results": {evil: 2.5}}}
    write_status(run, json.dumps(value))
    path = run.path / "metrics.db"
    execute(
        f"INSERT INTO series VALUES (99, '{evil}', 0)",
        f"INSERT INTO messages VALUES (99, 0, 0, '{evil}', '{evil}')",
        f"UPDATE epochs SET results = json_object('{evil}', 1.5)",
    )(path)
    texts = list(texts_of(read_everything(run)))
    assert len(texts) > 60
    assert [text for text in texts if not text.isprintable()] == []


def texts_of(value: Any) -> Iterator[str]:
    """Give every text in objects, lists and tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts_of([*value, *value.values()])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_of(item)
    elif is_dataclass(value) or isinstance(value, BaseModel):
        yield from texts_of(vars(value))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("epochs", "step", "'many'"),
        ("epochs", "seconds", "x'00ff'"),
        ("epochs", "results", "'[]'"),
        ("epochs", "results", '\'{"loss": "low"}\''),
        ("epochs", "results", "'" + "[" * 50_000 + "'"),
        ("epochs", "results", "5"),
        ("messages", "text", "x'1b5b324a'"),
        ("messages", "text", "CAST(x'ff' AS TEXT)"),
        ("messages", "time", "NULL"),
        ("layers", "layer", "'top'"),
        ("layers", "dead", "'many'"),
        ("bins", "step", "NULL"),
        ("bins", "least", "'low'"),
        ("series", "name", "zeroblob(id)"),
        ("series", "level", "'high'"),
    ],
)
def test_rows_that_no_run_writes(run: RunDirectory, table: str, column: str, value: str) -> None:
    """The declared types keep nobody from putting others into the file."""
    path = run.path / "metrics.db"
    ((declared,),) = rows(run, "SELECT sql FROM sqlite_schema WHERE name = ?", table)
    relaxed = declared.replace(" STRICT, WITHOUT", " WITHOUT").replace(") STRICT", ")").replace(" NOT NULL", "")
    declare(path, table, relaxed)
    execute(f"UPDATE {table} SET {column} = {value}")(path)
    declare(path, table, declared)
    with pytest.raises(UsageError, match="is damaged"):
        read_everything(run)


def declare(path: Path, table: str, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (statement, table))


def check_types(found: list[Any]) -> None:
    """Whatever is read has the declared types."""
    _, epochs, messages, layers, names, curves, levels = found
    for row in [*epochs, *messages, *layers]:
        for field in fields(row):
            value = getattr(row, field.name)
            if field.name == "results":
                assert all(isinstance(name, str) and isinstance(item, float | None) for name, item in value.items())
            elif "None" in str(field.type):
                assert isinstance(value, float | None)
            else:
                assert type(value).__name__ == field.type
    assert all(isinstance(name, str) and isinstance(level, int) for name, level in [*levels.items()])
    assert all(isinstance(name, str) for name in names)
    assert all(curve.step.dtype == np.int64 and curve.mean.dtype == np.float64 for curve in curves)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The database of a short run."""
    run = new_run(tmp_path_factory.mktemp("intact"))
    with recording(run) as recorder:
        recorder.record(LayersSeen(1, 1, (LayerState("a", 1.5, 2.5, 0.001, 0.1, 0.2, 0.0, None),), DRAWN))
        for step in range(1, 60):
            recorder.record(steps_done(step, [1 / step], accuracy=0.5))
            recorder.record(epoch_done(step, step, best=step == 7, accuracy=0.5))
        recorder.answer("0001-a", "stop", True, "stops after step 7")
        recorder.write()
    return (run.path / "metrics.db").read_bytes()


def refusal(attempt: Callable[[], None]) -> str | None:
    """Return why something was refused, if it was, in words that are meant for people."""
    try:
        attempt()
    except (UsageError, StorageError) as error:
        return str(error)
    return None


@given(
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=9)), max_size=8),
    page=st.integers(0, 20),
    cut=st.none() | st.integers(0, 10**6),
)
@settings(max_examples=150, deadline=None)
def test_a_database_with_any_bytes_changed(
    intact: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    edits: list[tuple[int, bytes]],
    page: int,
    cut: int | None,
) -> None:
    """Changes anywhere, and in the first bytes of a page, where its structure is."""
    content = bytearray(intact)
    for number, (place, piece) in enumerate(edits):
        place = page * 4096 + place % 150 if number % 2 else place
        content[place % len(intact) : place % len(intact) + len(piece)] = piece
    run = RunDirectory(tmp_path_factory.mktemp("fuzzed"))
    (run.path / "metrics.db").write_bytes(content if cut is None else content[: cut % len(content)])
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "MOST_INSTRUCTIONS", 10_000_000)  # half a second where it does not end by itself
        for attempt in (lambda: check_types(read_everything(run)), lambda: recover(run.path)):
            error = refusal(attempt)
            assert error is None or ("metrics.db" in error and error.isprintable())
    assert time.monotonic() - began < 5
    shutil.rmtree(run.path)


# How long it takes


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_query_that_would_never_end(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MOST_INSTRUCTIONS", 3_000_000)
    with pytest.raises(UsageError, match="takes too long to read"), reading(run.path) as connection:
        connection.execute(ENDLESS).fetchone()


def test_a_reader_that_lives_long(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each query may take its time, however many there are."""
    monkeypatch.setattr(database, "INSTRUCTIONS_BETWEEN_LOOKS", 1000)
    monkeypatch.setattr(database, "MOST_INSTRUCTIONS", 10_000)
    with following(run) as reader:
        for _ in range(100):
            assert len(reader.curve("loss").step) == 200
            assert len(reader.epochs()) == 40
    with pytest.raises(UsageError, match="takes too long"), following(run) as reader:
        reader.connection.execute(ENDLESS).fetchone()
