"""Deletes a run: it is there whole, or gone."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import nullcontext

from tuilab.errors import StorageError, UsageError
from tuilab.runs import commands, database, lock
from tuilab.runs.directory import RunDirectory, storage
from tuilab.runs.reader import try_overview
from tuilab.text import clean_text


def check_deletable(run: RunDirectory, force: bool = False) -> None:
    """Raise UsageError where the worker of a run lives; or may live, on another machine, unless `force`; and for what
    only looks like a run."""
    if not any(os.path.lexists(run.path / part) for part in (database.FILE, commands.FOLDER)):
        raise UsageError(f"{clean_text(str(run.path))}: is not a run; remove it by hand")
    seen = try_overview(run)
    state = lock.look(run.path)[0] if isinstance(seen, str) else seen.state
    name = clean_text(run.name)
    if state in ("running", "paused", "alive"):
        raise UsageError(f"run {name} is being trained; end it first with: tuilab stop {name}")
    if state == "unknown" and not force:
        where = "elsewhere" if isinstance(seen, str) else seen.reason
        raise UsageError(f"run {name} may be being trained ({where}); delete it all the same with --force")


def delete_run(run: RunDirectory) -> None:
    """Take a run away; where its folder is a link, only the link.

    Raises UsageError where somebody begins to train it, StorageError where it cannot be taken away.
    """
    with storage(run.path):
        if run.path.is_symlink():
            run.path.unlink()
            return
        short = os.fsdecode(os.fsencode(run.name)[:200])  # a name may be as long as the file system bears
        gone = run.path.with_name(f".{short}.{secrets.token_hex(4)}.part")
        with lock.hold(run.path) if _can_be_held(run) else nullcontext():
            run.path.rename(gone)
    try:
        shutil.rmtree(gone)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(
            f"{clean_text(str(gone), 1000)}: {reason}; what is left there can be removed by hand"
        ) from None


def _can_be_held(run: RunDirectory) -> bool:
    """Whether a worker could train this run; none can where something else stands in the place of the lock."""
    path = run.path / lock.FILE
    return not os.path.lexists(path) or (path.is_file() and not path.is_symlink())
