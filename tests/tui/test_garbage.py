"""Garbage is looked for while nobody types."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuilab.tui.app import Lab
from tuilab.tui.garbage import MANY_LOOKS, SECONDS_AT_REST, SOME, THRESHOLDS, look


class Knot:
    """Something that only a look for garbage finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def seldom() -> Iterator[None]:
    """Python looks for garbage as seldom as in the lab."""
    usual = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*THRESHOLDS)
    yield
    gc.set_threshold(*usual)


def garbage() -> weakref.ref[Knot]:
    knots = [Knot() for _ in range(SOME)]
    return weakref.ref(knots[0])


def test_while_nobody_types(tmp_path: Path) -> None:
    lab, left = Lab("digits-mlp", tmp_path), garbage()
    lab.pressed = time.monotonic() + 1000  # however long this test takes
    lab._tidy()
    assert left() is not None
    lab.pressed = time.monotonic() - 1.0
    lab._tidy()
    assert left() is None


def test_what_has_been_there_for_long_once_somebody_rests() -> None:
    knot = Knot()
    for _ in range(MANY_LOOKS + 2):
        gc.collect(1)
    left = weakref.ref(knot)
    del knot
    look(1.0)
    assert left() is not None
    look(SECONDS_AT_REST + 1.0)
    assert left() is None


def test_not_before_the_lab_is_there() -> None:
    gc.disable()
    try:
        left = garbage()
        look(1.0)
        assert left() is not None
    finally:
        gc.enable()
