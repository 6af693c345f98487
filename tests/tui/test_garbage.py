"""Garbage is looked for while nobody types."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuilab.tui.app import GARBAGE, MANY_LOOKS, SECONDS_AT_REST, SOME_GARBAGE, Lab


class Knot:
    """Something that only a look for garbage finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def seldom() -> Iterator[None]:
    """Python looks for garbage as seldom as in the lab."""
    usual = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*GARBAGE)
    yield
    gc.set_threshold(*usual)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("digits-mlp", tmp_path)


def garbage() -> weakref.ref[Knot]:
    knots = [Knot() for _ in range(SOME_GARBAGE)]
    return weakref.ref(knots[0])


def test_while_nobody_types(lab: Lab) -> None:
    left = garbage()
    lab.pressed = time.monotonic()
    lab._tidy()
    assert left() is not None
    lab.pressed -= 1.0
    lab._tidy()
    assert left() is None


def test_what_has_been_there_for_long_once_somebody_rests(lab: Lab) -> None:
    knot = Knot()
    for _ in range(MANY_LOOKS + 2):
        gc.collect(1)
    left = weakref.ref(knot)
    del knot
    lab.pressed = time.monotonic() - 1.0
    lab._tidy()
    assert left() is not None
    lab.pressed -= SECONDS_AT_REST
    lab._tidy()
    assert left() is None


def test_not_before_the_lab_is_there(lab: Lab) -> None:
    gc.disable()
    try:
        left = garbage()
        lab._tidy()
        assert left() is not None
    finally:
        gc.enable()
