"""Checkpoints of a run: weights for everybody, and all that a training needs to go on from there.

checkpoints/step-004220/ holds weights.safetensors, best.safetensors where the best epoch had others, and where training
can go on, training.safetensors and training.json with digests of the other files. A folder is there complete or not at
all.
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

WEIGHTS, BEST, STATE, NUMBERS = "weights.safetensors", "best.safetensors", "training.safetensors", "training.json"
KEPT = 2
"""Complete checkpoints that are kept."""


def save_checkpoint(run: RunDirectory, trainer: Trainer, fingerprint: dict[str, Any], resumable: bool = True) -> None:
    """Write a checkpoint of a trainer between two steps, and forget the oldest.

    Raises StorageError where it cannot be written; then the earlier ones are as they were.
    """
    files: dict[str, Callable[[Path], None]] = {WEIGHTS: lambda path: save_weights(trainer.network, path)}
    if trainer.best.epoch and not trainer.device.ops.xp.array_equal(trainer.network.arena.values, trainer.best_values):
        files[BEST] = lambda path: save_weights(trainer.network, path, trainer.best_values)
    if resumable:
        checkpoint = capture(trainer)
        files[STATE] = lambda path: _save_arrays(checkpoint, path)
        files[NUMBERS] = lambda path: _save_numbers(checkpoint, fingerprint, path)
    run.write_checkpoint(trainer.step, files)
    for path in run.checkpoints()[:-KEPT]:
        run.remove_checkpoint(path)


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
    digests = {name: _digest(path.parent / name) for name in (WEIGHTS, BEST, STATE) if (path.parent / name).exists()}
    stored = {"numbers": checkpoint.numbers, "digests": digests, "fingerprint": fingerprint}
    path.write_text(json.dumps(stored), encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
