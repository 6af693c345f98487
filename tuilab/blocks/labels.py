"""What losses and metrics share: class labels as arrays, and how close to 0 and 1 a probability may come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tuilab.blocks.arrays import Array, Ops

EPSILON = 1e-7
"""How far a probability stays from 0 and 1 under a logarithm (Keras' `epsilon`)."""


@contextmanager
def class_numbers(ops: Ops, like: Array, classes: int) -> Iterator[Array]:
    """Lend 0, 1, …, classes − 1 in the dtype of `like`; `arange` would allocate them in every step."""
    with ops.scratch(like, shape=(classes,)) as numbers:
        ops.count_up(numbers)
        yield numbers


def one_hot(ops: Ops, labels: Array, out: Array) -> None:
    """Write 1 for each sample's class and 0 elsewhere; labels: integer (batch,), out: (batch, classes), any dtype."""
    with class_numbers(ops, labels, out.shape[-1]) as numbers:
        ops.xp.equal(labels[:, None], numbers, out=out)
