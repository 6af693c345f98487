"""A run on disk: one folder, whose parts are each complete or absent."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuilab.errors import DiskFullError, StorageError, UsageError
from tuilab.runs.lock import Lock, hold
from tuilab.runs.plain_file import read_plain
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
    """The folder of one run: experiment.toml, data.json, metrics.db, checkpoints/, commands/, worker.log, lock."""

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
        folder = self.path / "checkpoints"
        try:
            names = [name for name in os.listdir(folder) if name.startswith("step-") and name[5:].isdecimal()]
        except OSError:  # none was written yet
            return []
        return [folder / name for name in sorted(names, key=lambda name: int(name[5:]))]

    def read_json(self, name: str) -> Any:
        """Return what the file `name` of this run holds; raises UsageError where it is not there or foreign."""
        path = self.path / name
        place = clean_text(str(path))
        try:
            return json.loads(read_plain(path, MOST_JSON_BYTES))
        except FileNotFoundError:
            raise UsageError(f"{place}: is missing") from None
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            raise UsageError(f"{place}: is damaged or not a file of a run") from None
        except ValueError as error:
            raise UsageError(f"{place}: {error}") from None

    def write_json(self, name: str, value: Any) -> None:
        """Write `value` under `name`, complete or not at all."""
        self.write_text(name, json.dumps(value, indent=1))

    def write_text(self, name: str, text: str) -> None:
        """Write `text` under `name`, complete or not at all."""
        with storage(self.path):
            partial = (self.path / name).with_name(f".{Path(name).name}.{secrets.token_hex(4)}.part")
            try:
                _write(partial, text.encode())
                partial.replace(self.path / name)
            finally:
                partial.unlink(missing_ok=True)

    def write_checkpoint(self, step: int, files: dict[str, Callable[[Path], None]]) -> Path:
        """Make a checkpoint of `files` (name → what writes it, in this order), complete or not at all, and return its
        folder. It takes the place of one of the same step."""
        final = self.path / "checkpoints" / f"step-{step:06d}"
        replaced = final.with_name(f".{final.name}.replaced")
        with storage(self.path):
            try:
                with new_folder(final) as folder:
                    for name, write in files.items():
                        write(folder / name)
                        sync(folder / name)
                    if final.exists():
                        final.rename(replaced)
            finally:
                self._settle(replaced)
        return final

    def _settle(self, replaced: Path) -> None:
        """Remove a checkpoint whose place another one was to take, or put it back where that did not happen."""
        final = replaced.with_name(replaced.name.removeprefix(".").removesuffix(".replaced"))
        if not replaced.exists():
            return
        if final.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            replaced.rename(final)

    @contextmanager
    def hold(self) -> Iterator[Lock]:
        """Keep every other process from training this run; raises UsageError where one does already, or where a part of
        the run is a link to somewhere else."""
        with ExitStack() as held:
            with storage(self.path):
                for part in self.path.iterdir():
                    if part.is_symlink():
                        place = clean_text(str(part))
                        raise UsageError(f"{place}: is a link out of the run; copy what it leads to in its place")
                lock = held.enter_context(hold(self.path))
            yield lock

    def create_database(self, experiment_name: str) -> None:
        """Make the database of this run, which has just begun."""
        from tuilab.runs import database
        from tuilab.runs.status import Status

        now = time.time()
        status = Status(experiment=experiment_name, created=now, heartbeat=now)
        database.create(self.path, status.model_dump_json())

    def sweep(self) -> None:
        """Undo what a process that died has left half-done; called while the run is held."""
        for leftover in [
            part for folder in (".", "checkpoints", "commands") for part in self.path.glob(f"{folder}/.*.part")
        ]:
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        for replaced in self.path.glob("checkpoints/.step-*.replaced"):
            self._settle(replaced)

    def rewind(self, step: int) -> None:
        """Remove the checkpoints after `step`, from which training goes on; called while the run is held."""
        with storage(self.path):
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


def create_run(folder: Path, experiment_name: str, experiment: str) -> RunDirectory:
    """Make the folder of a new run of an experiment, given as the text of its file, complete or not at all.

    Raises StorageError where the folder cannot be written or the disk is full.
    """
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / new_name(experiment_name)
        while os.path.lexists(path):  # three random characters come twice sooner or later
            path = folder / new_name(experiment_name)
        with new_folder(path) as partial:
            _write(partial / "experiment.toml", experiment.encode())
            (partial / "commands").mkdir()
            RunDirectory(partial).create_database(experiment_name)
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
    """Return a run by its name, by an unambiguous beginning or end of it, as `last` (the one whose training was started
    or changed last), or by a path to its folder.

    Raises UsageError where there is no such run, or more than one.
    """
    if ("/" in name or name == ".") and (Path(name) / "experiment.toml").is_file():
        return RunDirectory(Path(name).resolve())
    visible = run_names(folder)
    if name == "last" and visible:
        return max(
            (RunDirectory(folder / run) for run in visible), key=lambda run: run.experiment_file.stat().st_mtime_ns
        )
    matches = [run for run in visible if run == name] or [
        run for run in visible if name and (run.startswith(name) or run.endswith(name))
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
def storage(folder: Path, remedy: str = "choose another folder with --runs DIR") -> Iterator[None]:
    """Turn what an operating system says of disks and folders into a StorageError that names the remedy."""
    try:
        yield
    except OSError as error:
        place = clean_text(str(error.filename or folder))
        reason = f"{place}: {(error.strerror or str(error)).lower()}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFullError(f"{reason}; free some space, or {remedy}") from None
        raise StorageError(f"{reason}; {remedy}") from None


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
def new_folder(final: Path) -> Iterator[Path]:
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


@contextmanager
def new_file(final: Path) -> Iterator[Path]:
    """Give a hidden name beside `final` for a file that takes its place at the end, or vanishes where anything goes
    wrong. Raises UsageError where its folder is missing, or `final` is a folder, a device or the like."""
    if not final.parent.is_dir():
        raise UsageError(f"{clean_text(str(final.parent))}: there is no such folder")
    if os.path.lexists(final) and not final.is_file():
        raise UsageError(f"{clean_text(str(final))}: is not a plain file; choose another name")
    partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    try:
        yield partial
        sync(partial)
        partial.replace(final)
        sync(final.parent)
    except OSError as error:
        if error.filename == os.fspath(partial):  # which nobody has asked for
            error.filename = os.fspath(final)
        raise
    finally:
        with suppress(OSError):
            partial.unlink()
