"""Checkpoints of a run: weights for everybody, and all that a training needs to go on from there.

checkpoints/step-004220/ holds weights.safetensors, and where training can go on, training.safetensors and
training.json with digests of both files. A folder is there complete or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tuilab.engine.checkpoint import Checkpoint, capture
from tuilab.engine.trainer import Trainer
from tuilab.runs.directory import MOST_JSON_BYTES, RunDirectory
from tuilab.runs.weights import save_weights
from tuilab.text import clean_text

WEIGHTS, STATE, NUMBERS = "weights.safetensors", "training.safetensors", "training.json"
KEPT = 2
"""Complete checkpoints that are kept beside that of the best epoch."""


def save_checkpoint(run: RunDirectory, trainer: Trainer, fingerprint: dict[str, Any], resumable: bool = True) -> str:
    """Write a checkpoint of a trainer between two steps, forget the oldest, and return its name.

    Raises StorageError where it cannot be written; then the earlier ones are as they were.
    """
    files: dict[str, Callable[[Path], None]] = {WEIGHTS: lambda path: save_weights(trainer.network, path)}
    if resumable:
        checkpoint = capture(trainer)
        files[STATE] = lambda path: _save_arrays(checkpoint, path)
        files[NUMBERS] = lambda path: _save_numbers(checkpoint, fingerprint, path)
    name = run.write_checkpoint(trainer.step, files).name
    best = trainer.history[trainer.best.epoch - 1].step if trainer.best.epoch else 0
    _forget(run, {best, trainer.step})
    return name


def load_checkpoint(folder: Path) -> tuple[Checkpoint, dict[str, Any]]:
    """Return the checkpoint in `folder`, and the fingerprint of where it was made; raises ValueError with the reason
    where it is incomplete, damaged or foreign."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if (folder / NUMBERS).stat().st_size > MOST_JSON_BYTES:
            raise ValueError("is too large")
        stored = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
        for name, digest in stored["digests"].items():
            if Path(name).name != name or _digest(folder / name) != digest:
                raise ValueError(f"{clean_text(name, 60)} is damaged")
        numbers, fingerprint = dict(stored["numbers"]), dict(stored["fingerprint"])
        arrays = load((folder / STATE).read_bytes())
    except OSError as error:
        raise ValueError((error.strerror or str(error)).lower()) from None
    except (KeyError, TypeError, AttributeError, RecursionError, SafetensorError):
        raise ValueError("is not a checkpoint of a training") from None
    return Checkpoint(arrays, numbers), fingerprint


def resumable_checkpoints(run: RunDirectory) -> list[Path]:
    """Return the folders of all checkpoints from which training can go on, the newest first."""
    return [path for path in reversed(run.checkpoints()) if (path / NUMBERS).exists()]


def _save_arrays(checkpoint: Checkpoint, path: Path) -> None:
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in checkpoint.arrays.items()}))


def _save_numbers(checkpoint: Checkpoint, fingerprint: dict[str, Any], path: Path) -> None:
    digests = {name: _digest(path.parent / name) for name in (WEIGHTS, STATE)}
    stored = {"numbers": checkpoint.numbers, "digests": digests, "fingerprint": fingerprint}
    path.write_text(json.dumps(stored), encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _forget(run: RunDirectory, needed: set[int]) -> None:
    """Remove all checkpoints but the newest and those of the steps in `needed`."""
    for path in run.checkpoints()[:-KEPT]:
        if int(path.name[5:]) not in needed:
            run.remove_checkpoint(path)
