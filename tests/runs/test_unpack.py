"""An archive of a run, from whoever it comes, is unpacked whole or not at all, and does no harm."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import unicodedata
import warnings
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runs.test_pack import make_run
from tuilab.errors import DiskFullError, UsageError
from tuilab.runs import database
from tuilab.runs.pack import MOST_ENTRIES, pack, unpack
from tuilab.runs.reader import overview

Change = Callable[[list[tuple[zipfile.ZipInfo, bytes]]], None]


def forged(good: Path, change: Change) -> Path:
    """An archive with the entries of a good one after `change` to their list."""
    with zipfile.ZipFile(good) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    change(entries)
    path = good.with_name("forged.zip")
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w") as archive:  # of names there twice
        for entry, content in entries:
            archive.writestr(entry, content, entry.compress_type)
    return path


def added(name: str, content: bytes = b"x", **facts: Any) -> Change:
    """One entry more; RUN stands for the folder of the run, and characters that zipfile changes go in unchanged."""

    def change(entries: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        entry = zipfile.ZipInfo("x")
        entry.filename = name.replace("RUN", entries[0][0].filename.partition("/")[0])
        for key, value in facts.items():
            setattr(entry, key, value)
        entries.append((entry, content))

    return change


def without(name: str) -> Change:
    def change(entries: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        entries[:] = [(entry, content) for entry, content in entries if not entry.filename.endswith(name)]

    return change


def replaced(name: str, content: bytes, **facts: Any) -> Change:
    def change(entries: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        without(name)(entries)
        added(f"RUN/{name}", content, **facts)(entries)

    return change


def all_below(top: str) -> Change:
    def change(entries: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
        for entry, _ in entries:
            entry.filename = top + entry.filename.partition("/")[2]

    return change


def database_with(*statements: str) -> bytes:
    """Another database as a file."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements:
            connection.execute(statement)
        return bytes(connection.serialize())


WEIGHTS = "RUN/checkpoints/step-000030/weights.safetensors"
DEFLATED = {"compress_type": zipfile.ZIP_DEFLATED}
NOT_OURS = "does not belong to a run"
NO_NAME = "is not the name of a run"
FORGERIES: dict[str, tuple[Change, str]] = {
    "absolute": (added("/etc/tuilab"), NOT_OURS),
    "parent": (added("RUN/../../evil"), NOT_OURS),
    "parent of a checkpoint": (added("RUN/checkpoints/../experiment.toml"), NOT_OURS),
    "parent first": (added("../RUN/experiment.toml"), NOT_OURS),
    "here": (added("RUN/./data.json"), NOT_OURS),
    "double slash": (added("RUN//data.json"), NOT_OURS),
    "backslashes": (added("RUN\\data.json"), NOT_OURS),
    "other folder": (added("other/data.json"), NOT_OURS),
    "no folder": (added("data.json"), NOT_OURS),
    "command": (added("RUN/commands/1.json"), NOT_OURS),
    "lock": (added("RUN/lock"), NOT_OURS),
    "log of the database": (added("RUN/metrics.db-wal"), NOT_OURS),
    "program": (added("RUN/checkpoints/step-000010/weights.py"), NOT_OURS),
    "pickle": (added("RUN/checkpoints/step-000010/weights.pt"), NOT_OURS),
    "odd checkpoint": (added("RUN/checkpoints/step-x/weights.safetensors"), NOT_OURS),
    "other digits": (added("RUN/checkpoints/step-٣/weights.safetensors"), NOT_OURS),
    "long number": (added(f"RUN/checkpoints/step-{'9' * 5000}/weights.safetensors"), NOT_OURS),
    "folder": (added("RUN/checkpoints/", b""), NOT_OURS),
    "line feed": (added("RUN/data.json\n"), NOT_OURS),
    "escape codes": (added("RUN/\x1b[2J\x9b.json"), r"/�\[2J�\.json does not belong"),
    "zero byte": (added("RUN/worker.log\0.py"), NOT_OURS),
    "hidden": (all_below(".run/"), NO_NAME),
    "dots": (all_below("../"), NO_NAME),
    "root": (all_below("/"), NO_NAME),
    "spaces": (all_below("a run/"), NO_NAME),
    "option": (all_below("--yes/"), NO_NAME),
    "long name": (all_below("n" * 101 + "/"), NO_NAME),
    "twice": (added("RUN/data.json"), "data.json is there twice"),
    "link": (replaced("data.json", b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16), "is not a plain file"),
    "link to a folder": (added("RUN/checkpoints", b"/", external_attr=(stat.S_IFLNK | 0o777) << 16), NOT_OURS),
    "device": (replaced("data.json", b"", external_attr=(stat.S_IFBLK | 0o666) << 16), "is not a plain file"),
    "bzip2": (replaced("data.json", b"{}", compress_type=zipfile.ZIP_BZIP2), "is neither stored nor deflated"),
    "lzma": (replaced("data.json", b"{}", compress_type=zipfile.ZIP_LZMA), "is neither stored nor deflated"),
    "nothing": (lambda entries: entries.clear(), "it is empty"),
    "no experiment": (without("experiment.toml"), "it holds no experiment.toml"),
    "no database": (without("metrics.db"), "it holds no metrics.db"),
    "large experiment": (
        replaced("experiment.toml", b"#" * 300_000),
        "is too large for a file of a run: 300,000 bytes",
    ),
    "large log": (replaced("worker.log", b"x" * 1_000_001), "is too large"),
    "bomb": (replaced("metrics.db", bytes(100_000_000), **DEFLATED), "it would unpack to more than 100 times its size"),
    "bomb of weights": (added(WEIGHTS, bytes(30_000_000), **DEFLATED), "it would unpack to more than 100 times"),
    "small bombs": (
        lambda entries: (
            [added(f"RUN/checkpoints/step-{n}/training.json", bytes(400_000), **DEFLATED)(entries) for n in range(60)]
            and None
        ),
        "it would unpack to more than 100 times",
    ),
    "broken experiment": (replaced("experiment.toml", b"name = "), "forged.zip, experiment.toml: is not valid TOML"),
    "other experiment": (
        replaced("experiment.toml", b"name = 3"),
        r"(?s)forged.zip, experiment.toml: name.*\n.*layers",
    ),
    "hostile experiment": (replaced("experiment.toml", b"a." * 9 + b"a = 1"), "a key has more than 8 parts"),
    "no database at all": (replaced("metrics.db", b"x" * 5000), "forged.zip, metrics.db: is damaged"),
    "empty database": (replaced("metrics.db", b""), "forged.zip, metrics.db: is another program's"),
    "other database": (
        replaced("metrics.db", database_with("CREATE TABLE t(x)")),
        "forged.zip, metrics.db: is another program's database, not a run's",
    ),
    "trigger": (
        replaced(
            "metrics.db",
            database_with(
                f"PRAGMA application_id={database.APPLICATION}",
                f"PRAGMA user_version={database.VERSION}",
                *filter(str.strip, database.SCHEMA.split(";")),
                "CREATE TRIGGER t AFTER UPDATE ON status BEGIN DELETE FROM epochs; END",
            ),
        ),
        "forged.zip, metrics.db: is another program's database",
    ),
    "no status": (
        replaced(
            "metrics.db",
            database_with(
                f"PRAGMA application_id={database.APPLICATION}",
                f"PRAGMA user_version={database.VERSION}",
                *filter(str.strip, database.SCHEMA.split(";")),
            ),
        ),
        "forged.zip, metrics.db: is damaged: it holds what no run writes",
    ),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good archive."""
    folder = tmp_path_factory.mktemp("good")
    pack(make_run(folder / "runs"), folder / "good.zip")
    return folder / "good.zip"


def refused(file: Path, match: str) -> None:
    """Unpacking must say what is wrong, and leave nothing."""
    runs = file.parent / "refused"
    runs.mkdir(exist_ok=True)
    around = set(os.listdir(file.parent))
    with pytest.raises(UsageError, match=match) as caught:
        unpack(file, runs)
    assert file.name in str(caught.value)
    assert not any(unicodedata.category(character) == "Cc" for character in str(caught.value).replace("\n", ""))
    assert os.listdir(runs) == []
    assert set(os.listdir(file.parent)) == around


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_archive_is_refused(good: Path, name: str) -> None:
    change, match = FORGERIES[name]
    refused(forged(good, change), match)


def patched(good: Path, name: str, offset: int, value: bytes, local: int | None = None) -> Path:
    """A good archive with other bytes at `offset` in the entry's place in the list of contents, and at `local` before
    its content."""
    content = bytearray(good.read_bytes())
    with zipfile.ZipFile(good) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith(name))
        start = content.rindex(entry.filename.encode()) - 46
    content[start + offset : start + offset + len(value)] = value
    if local is not None:
        content[entry.header_offset + local : entry.header_offset + local + len(value)] = value
    path = good.with_name("patched.zip")
    path.write_bytes(content)
    return path


CRC, PACKED, SIZE, START = 16, 20, 24, 42
"""Where an entry of the list of contents says it."""


def test_an_archive_that_lies_is_refused(good: Path) -> None:
    tensors = "step-000010/weights.safetensors"
    refused(patched(good, "data.json", 8, b"\x01", local=6), r"data\.json is encrypted")
    refused(patched(good, "data.json", CRC, b"abcd", local=14), "Bad CRC-32")
    refused(patched(good, tensors, SIZE, (3001).to_bytes(4, "little")), "has not the size that it declares")
    refused(patched(good, tensors, SIZE, (2999).to_bytes(4, "little")), "has not the size that it declares|Bad CRC")
    refused(patched(good, "data.json", SIZE, (1 << 20).to_bytes(4, "little")), "has not the size that it declares")
    refused(patched(good, "metrics.db", SIZE, (4096).to_bytes(4, "little")), "Bad CRC-32")
    refused(patched(good, "data.json", PACKED, (60_000).to_bytes(4, "little")), "its files overlap")
    refused(patched(good, tensors, START, (0).to_bytes(4, "little")), "File name in directory .* differ")
    refused(patched(good, tensors, START, b"\xff\xff\xff\x7f"), "is no intact archive of a run")
    refused(patched(good, tensors, 10, b"\x63", local=8), "is neither stored nor deflated")
    refused(patched(good, tensors, 10, b"\x08", local=8), "is no intact archive of a run")


def test_a_list_of_contents_that_is_too_long(good: Path) -> None:
    def many(count: int, name: str) -> Change:
        def change(entries: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
            entries += [(zipfile.ZipInfo(f"x/{number}{name}"), b"") for number in range(count)]

        return change

    refused(forged(good, many(MOST_ENTRIES, "")), "it holds more than 10,000 files")
    refused(forged(good, many(100, "n" * 60_000)), "its list of contents is too long")


def test_what_is_no_archive_is_refused(good: Path) -> None:
    content = good.read_bytes()
    file = good.with_name("other.zip")
    for other in (b"", b"PK", content[:-1], content[: len(content) // 2], content[-22:], b"\0" * 100_000):
        file.write_bytes(other)
        refused(file, "is no intact archive of a run")
    for odd in (good.with_name("missing.zip"), good.parent):
        with pytest.raises(UsageError, match="there is no such file"):
            unpack(odd, good.parent / "refused")


def test_every_archive_that_is_cut_is_refused(good: Path) -> None:
    content = good.read_bytes()
    file = good.with_name("cut.zip")
    for size in range(0, len(content), 499):
        file.write_bytes(content[:size])
        refused(file, "is no intact archive of a run")


def test_a_name_that_is_taken_needs_another(tmp_path: Path, good: Path) -> None:
    first = unpack(good, tmp_path)
    with pytest.raises(UsageError, match=f"there is a run {first.name} already; choose another name with --name NAME"):
        unpack(good, tmp_path)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match="there is a run dangling already"):
        unpack(good, tmp_path, "dangling")
    for name in (".hidden", "a/b", "..", "-x", "a b", "n" * 101, "\x1b[2J"):
        with pytest.raises(UsageError, match="cannot be a name: use letters"):
            unpack(good, tmp_path, name)
    assert unpack(good, tmp_path, "Other_1.2-x").path == tmp_path / "Other_1.2-x"
    assert sorted(os.listdir(tmp_path)) == sorted([first.name, "Other_1.2-x", "dangling"])


def test_more_than_the_disk_can_hold_is_not_begun(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(good)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(DiskFullError, match=r"the run takes 0\.1 MB, 0\.0 MB are free; free some space"):
        unpack(good, good.parent / "refused")
    assert os.listdir(good.parent / "refused") == []


CHANGES = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "double", "zero"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, in_headers=st.booleans())
def test_no_archive_does_harm(
    good: Path, tmp_path: Path, changes: list[tuple[str, float, int]], in_headers: bool
) -> None:
    content = bytearray(good.read_bytes())
    first = content.index(b"PK\1\2") if in_headers else 0
    for kind, place, value in changes:
        at = first + int(place * max(len(content) - first - 1, 0))
        if kind == "flip":
            content[at : at + 1] = bytes([value])
        elif kind == "cut":
            del content[at : at + value]
        elif kind == "double":
            content[at:at] = content[at : at + value]
        else:
            content[at : at + value] = bytes(len(content[at : at + value]))
    file = tmp_path / "fuzzed.zip"
    file.write_bytes(content)
    runs = tmp_path / "runs"
    runs.mkdir(exist_ok=True)
    try:
        run = unpack(file, runs)
    except UsageError:
        assert os.listdir(runs) == []
    else:
        assert os.listdir(runs) == [run.name]
        overview(run)
        run.discard()
    assert sorted(os.listdir(tmp_path)) == ["fuzzed.zip", "runs"]
