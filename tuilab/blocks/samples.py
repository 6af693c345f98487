"""Samples in memory: what `tuilab.data` reads and `tuilab.engine` trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    features: (samples, *input shape), as stored: uint8 images, float32 tables.
    targets: binary and categorical int64 (samples,); multi_label float32 (samples, labels); regression float32
    (samples, targets).
    """

    features: HostArray
    targets: HostArray

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Scaling:
    """How features become the network's inputs: (x − offset) · scale.

    offset, scale: float32, () or (features,) for tables, () or (channels,) for images, so that they broadcast against
    a sample in its own shape, not flattened.
    """

    offset: HostArray
    scale: HostArray

    def to_dict(self) -> dict[str, Any]:
        """Return this as plain values that JSON can hold; float32 numbers survive the trip exactly."""
        return {"offset": self.offset.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Scaling:
        """Return what `to_dict` gave; raises KeyError, TypeError or ValueError for anything else."""
        import numpy as np

        offset = np.asarray(values["offset"], dtype=np.float32)
        scale = np.asarray(values["scale"], dtype=np.float32)
        if offset.shape != scale.shape or not (np.isfinite(offset).all() and np.isfinite(scale).all()):
            raise ValueError("offset and scale must be finite numbers of one shape")
        return cls(offset, scale)


@dataclass(frozen=True)
class Data:
    """A data set, read and split."""

    info: DataInfo
    train: Split
    validation: Split | None
    test: Split | None
    scaling: Scaling | None
