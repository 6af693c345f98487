"""Scaling: what is done to every sample before the network sees it."""

from __future__ import annotations

import math

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.samples import Scaling

BLOCK = 4096  # samples whose squares are held in memory at once


def rescaling(maximum: float) -> Scaling:
    """Return the scaling from [0, maximum] to [0, 1]."""
    return Scaling(np.asarray(0, dtype=np.float32), np.asarray(1 / maximum, dtype=np.float32))


def standardization(features: HostArray) -> Scaling:
    """Return the scaling to mean 0 and deviation 1 over `features`, of each feature or, for images, each channel.

    A feature that never changes becomes 0 everywhere.
    """
    axes = tuple(range(features.ndim - 1))
    mean = features.mean(axis=axes, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(features), BLOCK):
        squares += np.square(features[start : start + BLOCK] - mean).sum(axis=axes)
    return standardizing(mean, np.sqrt(squares / math.prod(features.shape[:-1])))


def standardizing(mean: HostArray, deviation: HostArray) -> Scaling:
    """Return the scaling of features with this mean and deviation; those that never change become 0."""
    # equal samples have a rounded mean, so their deviation is not exactly zero; below 1e-30, 1 / deviation overflows
    constant = deviation <= np.maximum(np.abs(mean) * 1e-7, 1e-30)
    scale = np.where(constant, 1, 1 / np.where(constant, 1, deviation))
    return Scaling(mean.astype(np.float32), scale.astype(np.float32))
