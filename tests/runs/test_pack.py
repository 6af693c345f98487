"""A packed run is whole, also while its worker writes."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tuilab.errors import DiskFullError, StorageError, UsageError
from tuilab.experiment.load import load_experiment
from tuilab.experiment.save import to_toml
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.lock import hold
from tuilab.runs.pack import MOST_LOG_BYTES, pack, unpack
from tuilab.runs.plain_file import open_plain
from tuilab.runs.reader import following, overview
from tuilab.runs.recorder import Recorder
from tuilab.runs.status import State

FILES = {
    "weights.safetensors": b"w" * 3000,
    "best.safetensors": b"b" * 3000,
    "training.safetensors": b"t" * 9000,
    "training.json": b'{"numbers": {}}',
}

LEFT_BEHIND = {"lock": "x", "commands/1.json": "{}"}


def make_run(folder: Path, state: State = "finished", checkpoints: tuple[int, ...] = (10, 20)) -> RunDirectory:
    """A run with all that a run can hold."""
    run = create_run(folder, "own", to_toml(load_experiment("xor-mlp")))
    with closing(Recorder(run.path, overview(run).status)) as recorder:
        recorder.tell("state", "hello")
        recorder.enter(state)
        recorder.write()
    for name, text in {
        "data.json": "{}",
        "notes.json": '{"note": "mine"}',
        "worker.log": "begun\n",
        "lock": "x",
    }.items():
        (run.path / name).write_text(text)
    (run.path / "commands" / "1.json").write_text("{}")
    for step in checkpoints:
        write_checkpoint(run, step, FILES)
    return run


def write_checkpoint(run: RunDirectory, step: int, files: dict[str, bytes]) -> None:
    def writer(content: bytes) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            path.write_bytes(content)

        return write

    run.write_checkpoint(step, {name: writer(content) for name, content in files.items()})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, the database left out."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("metrics.db")}


def test_a_run_is_the_same_after_its_journey(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    pack(run, tmp_path / "a.zip")
    copy = unpack(tmp_path / "a.zip", tmp_path / "elsewhere" / "runs")
    assert copy.path == tmp_path / "elsewhere" / "runs" / run.name
    expected = {
        name: content for name, content in contents(run.path).items() if name not in ("lock", "commands/1.json")
    }
    assert contents(copy.path) == expected
    assert len(expected) == 4 + 2 * 4
    assert (copy.path / "commands").is_dir()
    with following(run) as before, following(copy) as after:
        assert after.status() == before.status()
        assert after.messages() == before.messages() != []
    assert os.listdir(copy.path.parent) == [copy.name], "nothing is left beside it"
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "elsewhere", "runs"]


def test_tensors_are_stored_and_texts_deflated(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    pack(run, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        names = [entry.filename.split("/")[-2] for entry in archive.infolist() if "weights" in entry.filename]
        assert names == ["step-000020", "step-000010"], "the newest first"
        for entry in archive.infolist():
            assert entry.filename.startswith(f"{run.name}/")
            tensors = entry.filename.endswith(".safetensors")
            assert entry.compress_type == (zipfile.ZIP_STORED if tensors else zipfile.ZIP_DEFLATED)
            assert stat.S_IMODE(entry.external_attr >> 16) == 0o644


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_modes_are_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    run = make_run(tmp_path / "runs")
    before = os.umask(umask)
    try:
        pack(run, tmp_path / "a.zip")
        copy = unpack(tmp_path / "a.zip", tmp_path / "elsewhere")
    finally:
        os.umask(before)
    for path in (tmp_path / "a.zip", *copy.path.rglob("*"), copy.path):
        allowed = 0o777 if path.is_dir() else 0o666
        if path.name == "metrics.db":
            allowed &= path.stat().st_mode | 0o444 & ~umask  # SQLite gives a group no more than to read
        assert stat.S_IMODE(path.stat().st_mode) == allowed & ~umask, path


def test_the_log_is_cut_to_its_end(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    (run.path / "worker.log").write_bytes(b"old" * MOST_LOG_BYTES + b"new" * 100)
    pack(run, tmp_path / "a.zip")
    log = (unpack(tmp_path / "a.zip", tmp_path / "elsewhere").path / "worker.log").read_bytes()
    assert len(log) == MOST_LOG_BYTES
    assert log.endswith(b"oldnew" + b"new" * 99)


def test_a_run_that_has_hardly_begun(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", "own", to_toml(load_experiment("xor-mlp")))
    (run.path / "checkpoints" / "step-000005").mkdir(parents=True)  # nobody's; must not be waited for
    pack(run, tmp_path / "a.zip")
    copy = unpack(tmp_path / "a.zip", tmp_path / "elsewhere")
    assert sorted(os.listdir(copy.path)) == ["commands", "experiment.toml", "metrics.db"]


def test_an_archive_never_holds_more_than_can_be_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuilab.runs.pack.MOST_ENTRIES", 18)
    pack(make_run(tmp_path / "runs", checkpoints=(10, 20, 30, 40)), tmp_path / "a.zip")
    copy = unpack(tmp_path / "a.zip", tmp_path / "elsewhere")
    assert [path.name for path in copy.checkpoints()] == ["step-000020", "step-000030", "step-000040"]


def packed_status(run: RunDirectory, folder: Path) -> tuple[str, str]:
    pack(run, folder / "a.zip")
    status = overview(unpack(folder / "a.zip", folder / "elsewhere")).status
    return status.state, status.reason


def test_a_run_that_trains_is_packed_as_stopped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "paused")
    with hold(run.path):
        assert packed_status(run, tmp_path) == ("stopped", "packed while it trained")
        assert overview(run).state == "paused", "the run itself is as it was"


def test_a_run_whose_worker_died_is_packed_as_failed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "running")
    with hold(run.path):
        pass
    state, reason = packed_status(run, tmp_path)
    assert state == "failed"
    assert "was killed" in reason


def test_a_run_that_is_over_is_packed_as_it_is(tmp_path: Path) -> None:
    assert packed_status(make_run(tmp_path / "runs", "diverged"), tmp_path) == ("diverged", "")


def test_an_odd_folder_name_becomes_a_name(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    odd = RunDirectory(run.path.rename(run.path.with_name(".my run\n\x1b[2Jé")))
    pack(odd, tmp_path / "a.zip")
    assert unpack(tmp_path / "a.zip", tmp_path / "elsewhere").name == "my-run---2J-"


WRITER = """
import sys, time
from pathlib import Path
from tests.runs.test_pack import write_checkpoint
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import hold
from tuilab.runs.reader import overview
from tuilab.runs.recorder import Recorder

run = RunDirectory(Path(sys.argv[1]))
with hold(run.path):
    recorder = Recorder(run.path, overview(run).status)
    row = 0
    while True:
        for _ in range(3):
            row += 1
            recorder.tell("state", f"row {row}")
            recorder.write()
            print(row, flush=True)
        # of the same step now and then: one takes the other's place
        step, content = row // 6, str(row).encode()
        names = ("weights.safetensors", "best.safetensors", "training.safetensors", "training.json")
        write_checkpoint(run, step, {name: content for name in names})
        for path in run.checkpoints()[:-2]:
            run.remove_checkpoint(path)
"""


@dataclass
class Writer:
    """A process that writes rows and checkpoints as fast as it can."""

    run: RunDirectory
    process: subprocess.Popen[str]
    acknowledged: int = 0

    def last_row(self) -> int:
        """The number of the last row that it said was written."""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        while line := self.process.stdout.readline():
            self.acknowledged = int(line)
        assert self.process.poll() is None
        return self.acknowledged


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    run = make_run(tmp_path / "runs", "running", checkpoints=())
    command = [sys.executable, "-c", WRITER, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            writer = Writer(run, process)
            while not run.checkpoints():
                time.sleep(0.01)
            yield writer
        finally:
            process.kill()


def test_a_copy_taken_while_writing_holds_all_that_was_acknowledged(tmp_path: Path, writer: Writer) -> None:
    rows_before = 0
    for number in range(20):
        file = tmp_path / f"{number}.zip"
        while (acknowledged := writer.last_row()) <= rows_before:
            time.sleep(0.001)
        pack(writer.run, file)
        copy = unpack(file, tmp_path / "elsewhere", str(number))
        with following(copy) as reader:
            texts = [message.text for message in reader.messages() if message.text.startswith("row ")]
            assert reader.status().state == "stopped"
        assert texts == [f"row {row}" for row in range(1, len(texts) + 1)]
        assert len(texts) >= acknowledged
        checkpoints = [contents(path) for path in copy.checkpoints()]
        assert checkpoints, "a run with checkpoints is packed with one"
        for files in checkpoints:
            assert len(files) == 4
            assert len(set(files.values())) == 1, "all files are of the same checkpoint"
            assert int(files["training.json"]) <= len(texts), "the rows it counts on are there"
        rows_before = len(texts)


def replace_last(run: RunDirectory) -> None:
    """As a worker that is asked for a checkpoint twice between two steps."""
    write_checkpoint(run, 20, dict.fromkeys(FILES, b"new"))


def renew_all(run: RunDirectory) -> None:
    """As a worker that is quick."""
    write_checkpoint(run, 30, dict.fromkeys(FILES, b"new"))
    for step in (10, 20):
        run.remove_checkpoint(run.path / "checkpoints" / f"step-{step:06d}")


@pytest.mark.parametrize("change", [replace_last, renew_all])
@pytest.mark.parametrize("moment", range(1, 5))
def test_a_checkpoint_that_goes_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[RunDirectory], None], moment: int
) -> None:
    """Whenever it happens, all files of a packed checkpoint are of one, and there is one."""
    run = make_run(tmp_path / "runs")
    opened = 0

    def open_slowly(path: Path, most_bytes: int) -> AbstractContextManager[int]:
        nonlocal opened
        opened += 1
        if opened == moment:
            change(run)
        return open_plain(path, most_bytes)

    monkeypatch.setattr("tuilab.runs.pack.open_plain", open_slowly)
    pack(run, tmp_path / "a.zip")
    packed = [contents(path) for path in unpack(tmp_path / "a.zip", tmp_path / "elsewhere").checkpoints()]
    assert packed
    assert all(files in (FILES, dict.fromkeys(FILES, b"new")) for files in packed)


@pytest.mark.parametrize("force", [False, True])
def test_a_file_is_only_replaced_on_demand(tmp_path: Path, force: bool) -> None:
    run = make_run(tmp_path / "runs")
    file = tmp_path / "a.zip"
    file.write_text("mine")
    if not force:
        with pytest.raises(UsageError, match=r"a\.zip: is there already; --force replaces it"):
            pack(run, file)
        assert file.read_text() == "mine"
    else:
        pack(run, file, force=True)
        assert zipfile.is_zipfile(file)
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "runs"]


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, Path("/dev/null"), tmp_path / "pipe"):
        with pytest.raises(UsageError, match="is not a plain file; choose another name"):
            pack(run, path, force=True)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(UsageError, match=r"missing: there is no such folder"):
        pack(run, tmp_path / "missing" / "a.zip")
    with pytest.raises(StorageError, match=r"/n+…: file name too long; choose another place for it"):
        pack(run, tmp_path / ("n" * 300))


@pytest.mark.parametrize(
    "name", ["worker.log", "data.json", "experiment.toml", "checkpoints", "checkpoints/step-000010/weights.safetensors"]
)
def test_a_link_out_of_the_run_is_not_followed(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "runs")
    secret = tmp_path / "secret"
    (run.path / name).rename(secret)
    (run.path / name).symlink_to(secret)
    with pytest.raises(UsageError, match="is a link"):
        pack(run, tmp_path / "a.zip")
    assert sorted(os.listdir(tmp_path)) == ["runs", "secret"]


def test_a_damaged_run_is_not_packed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs")
    (run.path / "metrics.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(UsageError, match=r"metrics\.db: is damaged"):
        pack(run, tmp_path / "a.zip")
    (run.path / "experiment.toml").unlink()
    with pytest.raises(UsageError, match=r"experiment\.toml: is missing"):
        pack(run, tmp_path / "a.zip")
    assert os.listdir(tmp_path) == ["runs"]


def with_file_limit(size: int, action: Callable[[], Any]) -> Any:
    """Do something while no file may grow beyond `size`; the system says so as it does of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        return action()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_for_the_copy_of_the_database(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", checkpoints=())
    with pytest.raises(StorageError, match=r"a\.zip: disk I/O error"):
        with_file_limit(33_000, lambda: pack(run, tmp_path / "a.zip"))
    assert os.listdir(tmp_path) == ["runs"]


@pytest.mark.parametrize("size", [1000, 150_000])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, size: int) -> None:
    run = make_run(tmp_path / "runs")
    write_checkpoint(run, 30, {**FILES, "training.safetensors": os.urandom(200_000)})
    file = tmp_path / "a.zip"
    file.write_text("mine")
    with pytest.raises(DiskFullError, match=r"a\.zip: .*; free some space"):
        with_file_limit(size, lambda: pack(run, file, force=True))
    assert file.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "runs"]
    pack(run, file, force=True)
    with pytest.raises(DiskFullError, match="free some space"):
        with_file_limit(size, lambda: unpack(file, tmp_path / "elsewhere"))
    assert os.listdir(tmp_path / "elsewhere") == []
