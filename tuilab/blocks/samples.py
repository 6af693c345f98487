"""Samples, in memory or on disk: what `tuilab.data` reads and `tuilab.engine` trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuilab.blocks.arrays import HostArray, Shape
from tuilab.blocks.datasets import DataInfo


class Stored:
    """Features that stay on disk, and are read as they are asked for: what an array of them offers, as far as anybody
    needs it."""

    nbytes = 0
    """Of memory that they take."""

    def __init__(self, shape: Shape, dtype: str) -> None:
        self.shape = shape
        """(samples, *input shape)."""
        self.dtype = dtype
        """uint8 or float32."""

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: HostArray, out: HostArray) -> None:
        """out[i] = sample rows[i]; out: (rows, *input shape) of `dtype`. Only one thread at a time may read. Raises
        DataError where the disk does not hold what it should."""
        raise NotImplementedError  # abstract

    def __getitem__(self, which: int | slice | HostArray) -> HostArray:
        """Return one sample, or an array of those in a slice or at positions."""
        import numpy as np

        places = np.arange(*which.indices(len(self))) if isinstance(which, slice) else np.asarray(which)
        out: HostArray = np.empty((places.size, *self.shape[1:]), self.dtype)
        self.read(places.reshape(-1), out)
        return out if places.ndim else np.asarray(out[0])

    def part(self, rows: HostArray) -> Stored:
        """Return some of the samples, in the order of `rows`."""
        return _Part(self, rows)


class _Part(Stored):
    def __init__(self, whole: Stored, rows: HostArray) -> None:
        super().__init__((len(rows), *whole.shape[1:]), whole.dtype)
        self.whole = whole
        self.rows = rows

    def read(self, rows: HostArray, out: HostArray) -> None:
        self.whole.read(self.rows[rows], out)


class Held(Stored):
    """Features in the host's memory, which are read as those on disk are."""

    def __init__(self, features: HostArray) -> None:
        super().__init__(features.shape, features.dtype.name)
        self.features = features
        self.nbytes = features.nbytes

    def read(self, rows: HostArray, out: HostArray) -> None:
        self.features.take(rows, axis=0, out=out, mode="clip")  # the default mode would copy through a buffer


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    features: (samples, *input shape), as stored: uint8 images, float32 tables; sets larger than memory stay on disk.
    targets: binary and categorical int64 (samples,); multi_label float32 (samples, labels); regression float32
    (samples, targets).
    """

    features: HostArray | Stored
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
