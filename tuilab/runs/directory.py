"""A run on disk: one folder, whose parts are each complete or absent."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuilab.errors import StorageError, UsageError
from tuilab.text import clean_text, did_you_mean

MOST_JSON_BYTES = 64 * 1024 * 1024


def runs_folder(chosen: Path | None = None) -> Path:
    """Return the folder of all runs: the one chosen, else TUILAB_RUNS, else the user's data folder."""
    if chosen is not None:
        return chosen
    if os.environ.get("TUILAB_RUNS"):
        return Path(os.environ["TUILAB_RUNS"])
    from platformdirs import user_data_path

    return user_data_path("tuilab") / "runs"


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one run: experiment.toml, data.json, checkpoints/step-…/ and result.json."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def experiment_file(self) -> Path:
        return self.path / "experiment.toml"

    def checkpoint(self) -> Path:
        """Return the newest checkpoint; raises UsageError where there is none."""
        found = self.checkpoints()
        if not found:
            raise UsageError(f"run {clean_text(self.name)} has no checkpoint: it ended before one was written")
        return found[-1]

    def checkpoints(self) -> list[Path]:
        """Return the folders of all checkpoints, by step."""
        found = [path for path in self.path.glob("checkpoints/step-*") if path.name[5:].isdecimal()]
        return sorted(found, key=lambda path: int(path.name[5:]))

    def read_json(self, name: str) -> Any:
        """Return what the file `name` of this run holds; raises UsageError where it is not there or foreign."""
        path = self.path / name
        try:
            if path.stat().st_size > MOST_JSON_BYTES:
                raise UsageError(f"{clean_text(str(path))}: too large for a file of a run")
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{clean_text(str(path))}: is missing") from None
        except (ValueError, RecursionError):
            raise UsageError(f"{clean_text(str(path))}: is damaged or not a file of a run") from None

    def write_json(self, name: str, value: Any) -> None:
        """Write `value` under `name`, complete or not at all."""
        self.write_text(name, json.dumps(value, indent=1))

    def write_text(self, name: str, text: str) -> None:
        """Write `text` under `name`, complete or not at all."""
        with storage(self.path):
            partial = self.path / f".{name}.part"
            try:
                _write(partial, text.encode())
                partial.replace(self.path / name)
            finally:
                partial.unlink(missing_ok=True)

    def write_checkpoint(self, step: int, files: dict[str, Callable[[Path], None]]) -> Path:
        """Make a checkpoint of `files` (name → what writes it, in this order), complete or not at all, and return its
        folder. It takes the place of one of the same step."""
        final = self.path / "checkpoints" / f"step-{step:06d}"
        with storage(self.path), _new_folder(final) as folder:
            for name, write in files.items():
                write(folder / name)
                sync(folder / name)
            if final.exists():
                self.remove_checkpoint(final)
        return final

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every other process from training this run; raises UsageError where one does already."""
        with storage(self.path), (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = clean_text(file.read(200))
                raise UsageError(f"run {clean_text(self.name)} is being trained already, by {holder}") from None
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):  # a file system without locks
                    raise
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            yield

    def sweep(self) -> None:
        """Remove what a process that died has left half-written; called while the run is held."""
        for leftover in [*self.path.glob(".*.part"), *self.path.glob("checkpoints/.*.part")]:
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def rewind(self, step: int) -> None:
        """Forget everything after `step`, from which training goes on; called while the run is held."""
        with storage(self.path):
            (self.path / "result.json").unlink(missing_ok=True)
            for path in self.checkpoints():
                if int(path.name[5:]) > step:
                    self.remove_checkpoint(path)

    def remove_checkpoint(self, path: Path) -> None:
        """Remove a checkpoint, which is never half there under its own name."""
        gone = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def discard(self) -> None:
        """Take the whole run away."""
        shutil.rmtree(self.path, ignore_errors=True)


def create_run(folder: Path, experiment_name: str, files: dict[str, str]) -> RunDirectory:
    """Make the folder of a new run with these text files in it, complete or not at all.

    Raises StorageError where the folder cannot be written or the disk is full.
    """
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / new_name(experiment_name)
        with _new_folder(path) as partial:
            for name, text in files.items():
                _write(partial / name, text.encode())
    return RunDirectory(path)


def new_name(experiment_name: str) -> str:
    """Return a readable unique name: month and day, experiment, three random characters."""
    short = re.sub(r"[^a-z0-9]+", "-", experiment_name.lower()).strip("-")[:40] or "run"
    random = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(3))
    return f"{datetime.now():%m%d}-{short}-{random}"


def run_names(folder: Path) -> list[str]:
    """Return the names of all runs in `folder`, sorted."""
    return sorted(path.parent.name for path in folder.glob("[!.]*/experiment.toml"))


def find_run(folder: Path, name: str) -> RunDirectory:
    """Return a run by its name, by an unambiguous beginning or end of it, as `last`, or by a path to its folder.

    Raises UsageError where there is no such run, or more than one.
    """
    if ("/" in name or name == ".") and (Path(name) / "experiment.toml").is_file():
        return RunDirectory(Path(name).resolve())
    visible = run_names(folder)
    if name == "last" and visible:
        return RunDirectory(max((folder / run for run in visible), key=lambda path: path.stat().st_mtime_ns))
    matches = [run for run in visible if run == name] or [
        run for run in visible if run.startswith(name) or run.endswith(name)
    ]
    if len(matches) == 1:
        return RunDirectory(folder / matches[0])
    if matches:
        raise UsageError(
            f"'{clean_text(name, 60)}' fits several runs: {', '.join(map(clean_text, sorted(matches)[:5]))}"
        )
    hint = did_you_mean(name, visible) or f" in {clean_text(str(folder))}"
    raise UsageError(f"no run named '{clean_text(name, 60)}'{hint}")


@contextmanager
def storage(folder: Path) -> Iterator[None]:
    """Turn what an operating system says of disks and folders into a StorageError that names the remedy."""
    try:
        yield
    except OSError as error:
        place = clean_text(str(error.filename or folder))
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = f"{'free some space, or ' if full else ''}choose another folder with --runs DIR"
        raise StorageError(f"{place}: {(error.strerror or str(error)).lower()}; {remedy}") from None


def sync(path: Path) -> None:
    """Make sure that a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _new_folder(final: Path) -> Iterator[Path]:
    """Give a hidden folder beside `final` that takes its name at the end, or vanishes where anything goes wrong."""
    partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    partial.mkdir(parents=True)
    try:
        yield partial
        sync(partial)
        partial.rename(final)
        sync(final.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
