"""Who trains a run: one process at a time, and everybody can see whether it lives."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runs.recorded import new_run
from tuilab.errors import StorageError, UsageError
from tuilab.runs import lock
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import FILE, SIZE, Owner, hold, look, looking

HOLD = """
import sys
from pathlib import Path
from tuilab.runs.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
LOOK = """
import sys, time
from pathlib import Path
from tuilab.runs.lock import look
print("looking", flush=True)
while True:
    look(Path(sys.argv[1]))
"""


@contextmanager
def another_process(program: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a program, and wait for its first line."""
    with subprocess.Popen(
        [sys.executable, "-c", program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


def test_one_at_a_time(tmp_path: Path) -> None:
    assert look(tmp_path) == ("dead", None)
    with another_process(HOLD, tmp_path) as holder:
        life, owner = look(tmp_path)
        assert (life, owner and owner.pid, owner and owner.host) == ("alive", holder.pid, platform.node())
        assert owner is not None
        assert owner.may_live()
        with pytest.raises(UsageError, match=f"is being trained already, by process {holder.pid} on "), hold(tmp_path):
            pass
        assert look(tmp_path) == (life, owner)
        holder.kill()
        holder.wait()
        assert look(tmp_path) == ("dead", owner)
    with hold(tmp_path) as ours:
        assert look(tmp_path) == ("alive", ours.owner)
        assert ours.owner == Owner.this_process()
        with pytest.raises(UsageError, match=f"by process {os.getpid()} on "), hold(tmp_path):
            pass
    assert look(tmp_path) == ("dead", ours.owner)


def test_a_reader_that_looks_a_little_longer_does_not_make_a_worker_fail(tmp_path: Path) -> None:
    with hold(tmp_path):
        pass
    looks, over = threading.Event(), threading.Event()

    def read() -> None:
        with looking(tmp_path):
            looks.set()
            over.wait()

    reader = threading.Thread(target=read)
    reader.start()
    looks.wait()
    threading.Timer(0.3, over.set).start()
    with hold(tmp_path):
        assert over.is_set()
    reader.join()


def test_readers_that_look_all_the_time_keep_no_worker_away(tmp_path: Path) -> None:
    with hold(tmp_path):
        pass
    with another_process(LOOK, tmp_path), another_process(LOOK, tmp_path):
        for _ in range(50):
            with hold(tmp_path):
                pass


def test_while_somebody_looks_at_a_dead_run_no_worker_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SECONDS_TO_WAIT", 0.05)
    with hold(tmp_path):
        pass
    with looking(tmp_path) as (life, _):
        assert life == "dead"
        assert look(tmp_path)[0] == "dead"  # readers do not keep each other away
        with pytest.raises(UsageError, match="already"), hold(tmp_path):
            pass
    with hold(tmp_path):
        pass


def write(folder: Path, content: Any) -> None:
    (folder / FILE).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def owner_of(folder: Path, **facts: Any) -> dict[str, Any]:
    return {**asdict(Owner.this_process()), **facts}


@contextmanager
def flock(folder: Path) -> Iterator[None]:
    """Hold the lock, and leave the file as it is."""
    with (folder / FILE).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize(
    ("facts", "held", "free"),
    [
        ({}, "alive", "dead"),
        ({"host": "elsewhere"}, "unknown", "unknown"),
        ({"pid": 2**31 - 1}, "unknown", "dead"),
        ({"started": 1.0}, "unknown", "dead"),
        ({"started": float("nan")}, "unknown", "dead"),
    ],
)
def test_who_holds_it(tmp_path: Path, facts: dict[str, Any], held: str, free: str) -> None:
    """Only a process of this machine that began when the owner says it did is called alive."""
    write(tmp_path, owner_of(tmp_path, **facts))
    with flock(tmp_path):
        assert look(tmp_path)[0] == held
    assert look(tmp_path)[0] == free


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"own",
        b"\xff" * SIZE,
        b"[" * SIZE,
        b"[]",
        b"{}",
        b"1" * SIZE,
        b"NaN",
        json.dumps(asdict(Owner("a", "b", 1, 1.0))).encode()[:-1],
        {"host": "a", "boot": "b", "pid": 1, "started": 1.0, "more": 1},
        {"host": "a", "boot": "b", "pid": 1},
        {"host": 5, "boot": "b", "pid": 1, "started": 1.0},
        {"host": "a", "boot": None, "pid": 1, "started": 1.0},
        {"host": "a", "boot": "b", "pid": -1, "started": 1.0},
        {"host": "a", "boot": "b", "pid": 0, "started": 1.0},
        {"host": "a", "boot": "b", "pid": True, "started": 1.0},
        {"host": "a", "boot": "b", "pid": 10**30, "started": 1.0},
        {"host": "a", "boot": "b", "pid": 1, "started": "then"},
        {"host": "a", "boot": "b", "pid": 1, "started": 1.0, "trouble": ["none"]},
    ],
)
def test_an_owner_that_is_none(tmp_path: Path, content: Any) -> None:
    """The lock decides all the same."""
    write(tmp_path, content)
    assert look(tmp_path) == ("dead", None)
    with flock(tmp_path):
        assert look(tmp_path) == ("alive", None)
    with hold(tmp_path) as ours:
        assert look(tmp_path) == ("alive", ours.owner)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lock")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(content=st.binary(max_size=2 * SIZE) | st.dictionaries(st.sampled_from(list(owner_of(Path()))), VALUES))
@settings(deadline=None)
def test_any_content_is_borne(folder: Path, content: Any) -> None:
    write(folder, content)
    life, owner = look(folder)
    assert life in ("dead", "unknown")
    assert owner is None or isinstance(owner.may_live(), bool)


@pytest.mark.parametrize(
    "trouble",
    [
        "",
        "the disk is full",
        "x" * 5000,
        "漢" * 300,
        "\N{ROCKET}" * 300,
        "\x00\x1b[2J\n" * 100,
        "\udcff" * 300,
        '"\\' * 300,
    ],
)
def test_trouble_is_told_without_more_space(tmp_path: Path, trouble: str) -> None:
    with hold(tmp_path) as ours:
        before = (tmp_path / FILE).stat()
        assert before.st_size == SIZE
        ours.report(trouble)
        after = (tmp_path / FILE).stat()
        assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, before.st_size, before.st_blocks)
        life, owner = look(tmp_path)
        assert (life, owner and owner.trouble) == ("alive", trouble[:300])
        ours.report("")
        assert look(tmp_path) == ("alive", Owner.this_process())


def test_the_next_owner_has_no_trouble(tmp_path: Path) -> None:
    with hold(tmp_path) as ours:
        ours.report("the disk is full")
    life, owner = look(tmp_path)
    assert (life, owner and owner.trouble) == ("dead", "the disk is full")
    with hold(tmp_path):
        _, owner = look(tmp_path)
        assert owner is not None
        assert not owner.trouble


ODD = {
    "a pipe": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
    "a link": lambda path: path.symlink_to(path.with_name("experiment.toml")),
    "a link to nothing": lambda path: path.symlink_to("/nowhere"),
    "a large file": lambda path: path.touch() or os.truncate(path, 2**40),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_lock_file(tmp_path: Path, kind: str) -> None:
    run = new_run(tmp_path)
    before = run.experiment_file.read_bytes()
    ODD[kind](run.path / FILE)
    began = time.monotonic()
    assert look(run.path) == ("dead", None)
    if kind == "a large file":
        with run.hold() as ours:
            assert look(run.path) == ("alive", ours.owner)
    else:
        with pytest.raises((UsageError, StorageError), match=FILE), run.hold():
            pass
    assert time.monotonic() - began < 5
    assert run.experiment_file.read_bytes() == before


def test_the_lock_of_another_run(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (other / FILE).symlink_to(one / FILE)
    with hold(one):
        assert look(other) == ("dead", None)
    with pytest.raises(OSError, match="symbolic links"), hold(other):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on, and nobody can say whether it does."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(tmp_path) as ours:
        assert look(tmp_path) == ("unknown", ours.owner)


def test_a_folder_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"), RunDirectory(tmp_path / "missing").hold():
        pass
