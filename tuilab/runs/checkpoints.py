"""Checkpoints of a run: weights for everybody, and all that a training needs to go on from there.

checkpoints/step-004220/ holds weights.safetensors, best.safetensors where the best epoch had others, and where training
can go on, training.safetensors and training.json with digests of all. A folder is there complete or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuilab.engine.checkpoint import Checkpoint, capture
from tuilab.engine.trainer import Trainer
from tuilab.runs.directory import MOST_JSON_BYTES, RunDirectory
from tuilab.runs.plain_file import open_plain, read_plain
from tuilab.runs.tensors import read_tensors, write_tensors
from tuilab.runs.weights import save_weights

WEIGHTS, BEST, STATE, NUMBERS = "weights.safetensors", "best.safetensors", "training.safetensors", "training.json"
OTHERS = ("numbers", "fingerprint", "recorder")
KEPT = 2
"""Complete checkpoints that are kept."""


def save_checkpoint(
    run: RunDirectory, trainer: Trainer, fingerprint: dict[str, Any], recorder: dict[str, Any], resumable: bool = True
) -> None:
    """Write a checkpoint of a trainer between two steps, with the state of its recorder, and forget older ones.

    Raises StorageError where it cannot be written; then the earlier ones are as they were.
    """
    files: dict[str, Callable[[Path], None]] = {WEIGHTS: lambda path: save_weights(trainer.network, path)}
    if trainer.best.epoch and not trainer.device.ops.xp.array_equal(trainer.network.arena.values, trainer.best_values):
        files[BEST] = lambda path: save_weights(trainer.network, path, trainer.best_values)
    if resumable:
        checkpoint = capture(trainer)
        others = {"numbers": checkpoint.numbers, "fingerprint": fingerprint, "recorder": recorder}
        files[STATE] = lambda path: write_tensors(checkpoint.arrays, path)
        files[NUMBERS] = lambda path: _save_numbers(others, path)
    run.write_checkpoint(trainer.step, files)
    every, steps = trainer.experiment.training.checkpoint_every, len(trainer.train)
    for path in run.checkpoints()[:-KEPT]:
        step = int(path.name[5:])
        if every is None or not step or step % (every * steps):
            run.remove_checkpoint(path)


def load_checkpoint(folder: Path, most_bytes: int) -> tuple[Checkpoint, dict[str, Any]]:
    """Return the checkpoint in `folder`, whose files have at most `most_bytes`, with `fingerprint` and `recorder`, what
    was stored beside it; raises ValueError with the reason where it is incomplete, damaged or foreign."""
    if folder.is_symlink():
        raise ValueError("is a link, not a folder of a run")
    with _named(NUMBERS):
        digests, others = _parse(read_plain(folder / NUMBERS, MOST_JSON_BYTES))
    for name, digest in digests.items():
        with _named(name):
            if _digest(folder / name, most_bytes) != digest:
                raise ValueError("is damaged")
    with _named(STATE):
        arrays = read_tensors(folder / STATE, most_bytes)
    return Checkpoint(arrays, others.pop("numbers")), others


def _parse(content: bytes) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Return the digests of the other files, and what else training.json holds."""
    try:
        stored = json.loads(content)
        digests, others = dict(stored["digests"]), {name: dict(stored[name]) for name in OTHERS}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("is not a checkpoint of a training") from None
    if digests.pop(NUMBERS, None) != _digest_of(others):
        raise ValueError("is damaged")
    if STATE not in digests or not digests.keys() <= {WEIGHTS, BEST, STATE}:
        raise ValueError("is not a checkpoint of a training")
    return digests, others


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of a file before the reason why it cannot be used."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{name} is missing") from None
    except OSError as error:  # as from a disk that fails
        raise ValueError(f"{name} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def resumable_checkpoints(run: RunDirectory) -> list[Path]:
    """Return the folders of all checkpoints from which training can go on, the newest first."""
    return [path for path in reversed(run.checkpoints()) if _has_numbers(path)]


def _has_numbers(folder: Path) -> bool:
    try:
        os.lstat(folder / NUMBERS)
    except FileNotFoundError:
        return False
    except OSError:  # loading will say what is wrong
        return True
    return True


def _save_numbers(others: dict[str, Any], path: Path) -> None:
    written = [name for name in (WEIGHTS, BEST, STATE) if (path.parent / name).exists()]
    digests = {name: _digest(path.parent / name) for name in written} | {NUMBERS: _digest_of(others)}
    path.write_text(json.dumps({**others, "digests": digests}), encoding="utf-8")


def _digest_of(others: dict[str, Any]) -> str:
    """Return the digest of what JSON holds, which is the same after it was written and read."""
    return hashlib.sha256(json.dumps(others).encode()).hexdigest()


def _digest(path: Path, most_bytes: int = sys.maxsize) -> str:
    with open_plain(path, most_bytes) as descriptor, open(descriptor, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
