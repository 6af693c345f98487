"""Thinned curves: the same bins to the last bit, however the values came."""

from __future__ import annotations

import json
import operator
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuilab.runs import series as module
from tuilab.runs.database import SCHEMA
from tuilab.runs.series import CURVE, DROP_JOINED, JOIN, Row, Series, checked_level, make_curve

FINITE = st.floats(-1e30, 1e30, allow_subnormal=False).map(lambda value: value + 0.0)  # SQLite knows no -0.0


def add(series: Series, values: list[float], first_step: int) -> list[Row]:
    steps = np.arange(first_step, first_step + len(values))
    return series.add(np.array(values, dtype=np.float64), steps)


def halves(values: list[float]) -> float:
    """The sum of values, always of the largest power of two of them and of the rest."""
    if len(values) == 1:
        return values[0]
    half = 1 << (len(values) - 1).bit_length() - 1
    return halves(values[:half]) + halves(values[half:])


def expected(values: list[float], level: int) -> list[Row]:
    """The bins of values of the steps 1, 2, …, worked out from the definition."""
    size = 1 << level
    pieces = [(start, values[start : start + size]) for start in range(0, len(values), size)]
    return [
        (7, start, start + len(piece), len(piece), halves(piece), min(piece), max(piece)) for start, piece in pieces
    ]


class Table:
    """The table of bins in a real database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def put(self, rows: list[Row]) -> None:
        self.connection.executemany("REPLACE INTO bins VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def join(self, level: int) -> None:
        for statement in (JOIN, DROP_JOINED):
            self.connection.execute(statement, {"series": 7, "size": 1 << level})

    def rows(self) -> list[Row]:
        return self.connection.execute("SELECT * FROM bins ORDER BY first").fetchall()


@contextmanager
def a_table() -> Iterator[Table]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        yield Table(connection)


def test_bins_of_four_by_hand() -> None:
    series = Series(7, level=2)
    assert add(series, [3.0, 1.0], 1) == [(7, 0, 2, 2, 4.0, 1.0, 3.0)]
    assert add(series, [5.0, 2.0, -1.0], 3) == [(7, 0, 4, 4, 11.0, 1.0, 5.0), (7, 4, 5, 1, -1.0, -1.0, -1.0)]
    assert add(series, [4.0, 4.0, 0.5], 6) == [(7, 4, 8, 4, 7.5, -1.0, 4.0)]
    assert series.unfinished() == []
    assert add(series, [], 9) == []
    assert add(series, [9.0], 10) == [(7, 8, 10, 1, 9.0, 9.0, 9.0)]
    assert series.count == 9


def test_a_bin_of_one_value_is_complete_at_once() -> None:
    series = Series(7)
    assert add(series, [2.0, 0.25], 5) == [(7, 0, 5, 1, 2.0, 2.0, 2.0), (7, 1, 6, 1, 0.25, 0.25, 0.25)]
    assert series.unfinished() == []


def test_sums_are_made_of_two_halves() -> None:
    values = [2.0**53, 1.0, 1.0, 1.0]  # from left to right every 1 would be lost
    assert add(Series(7, level=2), values, 1)[0][4] == 2.0**53 + 2.0
    assert reduce(operator.add, values) == 2.0**53


def test_too_many_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BINS", 4)
    series = Series(7, level=1, count=9)
    assert not series.too_long()
    assert series.too_long(more=1)


@settings(deadline=None)
@given(
    pieces=st.lists(st.lists(FINITE, max_size=40), max_size=12),
    joined=st.sets(st.integers(0, 11), max_size=4),
    stored=st.sets(st.integers(0, 11)),
    level=st.integers(0, 3),
)
def test_the_same_rows_however_the_values_come(
    pieces: list[list[float]], joined: set[int], stored: set[int], level: int
) -> None:
    """After each piece the series may go to the next level, and through a checkpoint."""
    series, seen = Series(7, level), list[float]()
    with a_table() as table:
        for number, piece in enumerate(pieces):
            table.put(add(series, piece, len(seen) + 1))
            seen += piece
            if number in joined:
                series.level += 1
                table.join(series.level)
            if number in stored:
                series = Series.from_json(json.loads(json.dumps(series.to_json())))
                series.id = 7
            assert table.rows() == expected(seen, series.level)
            assert series.unfinished() == [row for row in expected(seen, series.level) if row[3] < 1 << series.level]


@settings(deadline=None)
@given(values=st.lists(FINITE, min_size=1, max_size=100), cut=st.integers(0, 100), level=st.integers(1, 7))
def test_going_back_to_a_lower_level_and_on_at_a_higher_one(values: list[float], cut: int, level: int) -> None:
    """What a checkpoint holds does not depend on the level, which may have risen since."""
    before, after = values[:cut], values[cut:]
    series = Series(7)
    add(series, before, 1)
    resumed = Series.from_json(series.to_json())
    resumed.id, resumed.level = 7, level
    rows = [row for row in expected(before, level) if row[3] == 1 << level]
    with a_table() as table:
        table.put(rows + resumed.unfinished())
        table.put(add(resumed, after, len(before) + 1))
        assert table.rows() == expected(values, level)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        [],
        {"level": 0, "count": 1, "open": []},
        {"level": 0, "count": 2, "open": [[0, 1.0, 1.0, 1.0, 1]]},
        {"level": 0, "count": 1, "open": [[0, 1.0, 1.0, 1]]},
        {"level": 0, "count": 1, "open": [[0, "one", 1.0, 1.0, 1]]},
        {"level": -1, "count": 0, "open": []},
        {"level": 10**9, "count": 0, "open": []},
        {"level": None, "count": 0, "open": []},
        {"level": 0, "count": -1, "open": []},
        {"level": 0, "count": 2**100, "open": []},
        {"level": 0, "count": 0, "open": 5},
    ],
)
def test_what_no_checkpoint_holds_is_refused(stored: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Series.from_json(stored)


@pytest.mark.parametrize("level", [-1, 62, 10**18, "x", None])
def test_levels(level: Any) -> None:
    assert checked_level(61) == 61
    with pytest.raises((TypeError, ValueError)):
        checked_level(level)


def test_a_curve() -> None:
    with a_table() as table:
        table.put(expected([1.0, 3.0, 2.0], 1))
        table.connection.execute("INSERT INTO series VALUES (7, 'loss', 1)")
        curve = make_curve(table.connection.execute(CURVE, ("loss", 0, 100)).fetchall())
        assert (curve.step.tolist(), curve.mean.tolist()) == ([2, 3], [2.0, 2.0])
        assert (curve.least.tolist(), curve.most.tolist()) == ([1.0, 2.0], [3.0, 2.0])
        assert curve.step.dtype == np.int64
        assert make_curve(table.connection.execute(CURVE, ("loss", 2, 100)).fetchall()).step.tolist() == [3]
        assert len(make_curve(table.connection.execute(CURVE, ("accuracy", 0, 100)).fetchall()).step) == 0
    with pytest.raises(ValueError, match="a step is not a number"):
        make_curve([(None, 1.0, 1.0, 1.0)])
