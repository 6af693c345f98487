"""Splitting samples into parts: seeded, disjoint, complete, and with every class in the same share."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo
from tuilab.errors import DataError
from tuilab.text import clean_text


def check_classes(targets: HostArray, info: DataInfo, what: str, least: int = 1) -> None:
    """Raise DataError where a class has fewer than `least` samples, or a label is the same in all; `what` names
    the samples in the message."""
    if info.task == "multi_label":
        for label, share in zip(info.classes, targets.mean(axis=0), strict=True):
            if share in (0, 1):
                raise DataError(
                    f"{what}: label '{clean_text(label, 60)}' is {share:.0f} in every sample, so there is nothing to "
                    "learn; remove it or add samples"
                )
    if info.task in ("binary", "categorical"):
        counts = np.bincount(targets, minlength=len(info.classes))
        if counts.min() < least:
            name = clean_text(info.classes[counts.argmin()], 60)
            has = "no sample" if counts.min() == 0 else "a single sample, too few to train on it and to test it"
            raise DataError(
                f"{what}: class '{name}' has {has}; add samples or remove the class; "
                "if the target is a number to predict and no class, write it with a decimal point"
            )


def held_out(targets: HostArray, info: DataInfo, share: float, generator: np.random.Generator, name: str) -> HostArray:
    """Return a mask (n,) of the share of samples to keep apart, at least one; `name` names the setting in messages.

    In a classification each class gives its part of the share, and keeps at least one sample.
    """
    classes = targets if info.task in ("binary", "categorical") else np.zeros(len(targets), dtype=np.int64)
    counts = np.bincount(classes)
    spare = np.maximum(counts - 1, 0)
    total = max(1, round(share * len(targets)))
    if total > spare.sum():
        raise DataError(
            f"data.{name} = {share:g} leaves too few samples for training: there are {len(targets)}"
            + (f" in {np.count_nonzero(counts)} classes" if len(counts) > 1 else "")
            + "; make it smaller, or 0 for no such part"
        )
    mask = np.zeros(len(targets), dtype=bool)
    for number, amount in enumerate(_apportion(counts, spare, total)):
        mask[generator.permutation(np.flatnonzero(classes == number))[:amount]] = True
    return mask


def _apportion(counts: HostArray, spare: HostArray, total: int) -> HostArray:
    """Divide `total` among classes in proportion to their counts, by largest remainder, none above its spare."""
    exact = counts * (total / counts.sum())
    amounts: HostArray = np.minimum(exact.astype(np.int64), spare)
    by_remainder = np.argsort(amounts - exact, kind="stable")
    while (missing := total - amounts.sum()) > 0:
        open_classes = by_remainder[amounts[by_remainder] < spare[by_remainder]]
        amounts[open_classes[:missing]] += 1
    return amounts
