"""One look through samples on disk: what is to be known of them before a training begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.samples import Scaling, Stored
from tuilab.data.scaling import standardizing

BLOCK = 1 << 20
"""Numbers that are looked at together."""

Report: TypeAlias = Callable[[float], None]
"""Hears which share of a long work is done."""


@dataclass
class Survey:
    """What one look through samples on disk has shown."""

    maximum: float = -math.inf
    count: int = 0
    """Of samples, or of all their pixels."""
    mean: HostArray | float = 0.0
    squares: HostArray | float = 0.0
    """Sums of the squared differences from the mean."""

    def add(self, block: HostArray) -> None:
        """Add some samples (Chan, Golub and LeVeque, 1979)."""
        axes, count = tuple(range(block.ndim - 1)), math.prod(block.shape[:-1])
        mean = block.mean(axis=axes, dtype=np.float64)
        squares = np.square(block - mean).sum(axis=axes)
        before, self.count = self.count, self.count + count
        self.squares = self.squares + squares + np.square(mean - self.mean) * (before * count / self.count)
        self.mean = self.mean + (mean - self.mean) * (count / self.count)
        self.maximum = max(self.maximum, float(block.max()))

    def standardization(self) -> Scaling:
        """Return the scaling to mean 0 and deviation 1, of each feature or channel."""
        return standardizing(np.asarray(self.mean), np.sqrt(np.asarray(self.squares) / self.count))


def look_through(parts: Sequence[Stored], report: Report) -> list[Survey]:
    """Return what is to be known of parts on disk, each sample read once. Raises DataError where one is no number."""
    samples, done, surveys = sum(map(len, parts)), 0, []
    for part in parts:
        surveys.append(Survey())
        for block in blocks_of(part):
            surveys[-1].add(block)
            done += len(block)
            report(done / samples)
    return surveys


def blocks_of(part: Stored) -> Iterator[HostArray]:
    """Yield samples on disk in portions."""
    step = max(1, BLOCK // max(math.prod(part.shape[1:]), 1))
    for start in range(0, len(part), step):
        yield part[start : start + step]


def size_in_memory(part: Stored) -> int:
    """Return how many bytes all samples take."""
    return math.prod(part.shape) * np.dtype(part.dtype).itemsize


def into_memory(parts: Sequence[Stored], report: Report) -> list[HostArray]:
    """Read all samples."""
    samples, done, arrays = sum(map(len, parts)), 0, []
    for part in parts:
        array, start = np.empty(part.shape, part.dtype), 0
        for block in blocks_of(part):
            array[start : start + len(block)] = block
            start += len(block)
            done += len(block)
            report(done / samples)
        arrays.append(array)
    return arrays
