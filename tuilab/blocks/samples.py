"""Samples in memory: what `tuilab.data` reads and `tuilab.engine` trains on."""

from __future__ import annotations

from dataclasses import dataclass

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
    """How features become the network's inputs: (x − offset) · scale; arrays broadcast against one sample."""

    offset: HostArray
    scale: HostArray


@dataclass(frozen=True)
class Data:
    """A data set, read and split."""

    info: DataInfo
    train: Split
    validation: Split | None
    test: Split | None
    scaling: Scaling | None
