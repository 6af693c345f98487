"""How the weights of a layer are distributed, as far as a checkpoint tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.errors import StorageError, UsageError
from tuilab.runs.directory import RunDirectory
from tuilab.runs.tensors import MOST_HEADER_BYTES, read_tensors
from tuilab.text import clean_text

BINS = 48
MOST_BYTES = 2 * 1024**3


@dataclass(frozen=True, eq=False)
class Distribution:
    """How often values lie between edges."""

    step: int
    """Of the checkpoint."""
    name: str
    """Of the parameter."""
    counts: HostArray
    """(bins,)"""
    edges: HostArray
    """(bins + 1,)"""


def read_distribution(run: RunDirectory, layer: str) -> Distribution | None:
    """Return how the largest parameter of a layer is distributed in the newest checkpoint; None where it has none.

    Raises UsageError where there is no checkpoint, or it is damaged.
    """
    folder = run.checkpoint()
    try:
        tensors = read_tensors(folder / "weights.safetensors", MOST_HEADER_BYTES + MOST_BYTES)
    except ValueError as error:
        raise UsageError(f"{clean_text(folder.name)}: its weights cannot be read: {error}") from None
    except MemoryError:
        raise StorageError(f"{clean_text(folder.name)}: its weights do not fit into memory") from None
    own = {name: values for name, values in tensors.items() if name.rpartition("/")[0] == layer}
    own = {name: values for name, values in own.items() if values.dtype.kind == "f"}
    if not own:
        return None
    name = max(own, key=lambda each: own[each].size)
    values = own[name].astype(np.float64, copy=False).ravel()
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values, BINS)
    return Distribution(int(folder.name[5:]), clean_text(name), counts, edges)
