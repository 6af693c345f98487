"""The best epoch so far, and when waiting for a better one ends."""

from __future__ import annotations

import math

import pytest

from tuilab.engine.monitor import Best, Patience
from tuilab.experiment.document import EarlyStopping

NAN = math.nan


def improvements(values: list[float], monitor: str = "val_loss", min_delta: float = 0.0) -> list[int]:
    best = Best(monitor, min_delta)
    return [epoch for epoch, value in enumerate(values, start=1) if best.improved(epoch, {monitor: value})]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 2, 2, 1, 5], [1, 2, 4]),
        ([NAN, NAN, 3, NAN, 2], [3, 5]),
        ([math.inf, 3, math.inf], [1, 2]),
        ([0, -1, 1], [1, 2]),
    ],
)
def test_lower_is_better(values: list[float], expected: list[int]) -> None:
    assert improvements(values) == improvements(values, "loss") == improvements(values, "val_mae") == expected


@pytest.mark.parametrize("monitor", ["accuracy", "val_accuracy", "val_top_5", "val_auc", "val_micro_f1", "val_r2"])
def test_higher_is_better(monitor: str) -> None:
    assert improvements([0.5, 0.4, 0.6, 0.6, NAN, 0.7], monitor) == [1, 3, 6]


def test_small_changes_do_not_count_but_add_up() -> None:
    """Measured against the best that counted, as Keras does."""
    assert improvements([4, 3.75, 3.5, 3.25, 2.75], min_delta=0.5) == [1, 4]
    assert improvements([4, 4.25, 4.75], "accuracy", min_delta=0.5) == [1, 3]


def waits(values: list[float], patience: int) -> int | None:
    """Return the epoch after which training ends."""
    waiting = Patience(EarlyStopping(patience=patience))
    epochs = (epoch for epoch, value in enumerate(values, start=1) if waiting.exhausted(epoch, {"val_loss": value}))
    return next(epochs, None)


@pytest.mark.parametrize(
    ("values", "patience", "end"),
    [
        ([3, 2, 2, 2, 2], 2, 4),
        ([3, 2, 2, 1, 1, 1], 2, 6),
        ([3, 2, 1], 1, None),
        ([3, 3], 0, 2),
        ([3, 3], 1, 2),
        ([NAN, NAN, 1], 2, 2),
        ([NAN, 1, NAN, 0.5], 2, None),
    ],
)
def test_patience(values: list[float], patience: int, end: int | None) -> None:
    assert waits(values, patience) == end
