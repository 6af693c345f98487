"""The user's own table: a .csv file with a header, read twice: once to see what its columns hold, once to keep it.

Numbers are features as they are; a column of texts becomes one feature of 0 or 1 for each text. A target of texts, or
of at most 20 different whole numbers, is a classification; any other number is a regression. Several target columns of
0 and 1 are labels that do not exclude each other; several others are a regression with as many targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import Column, DataInfo
from tuilab.data.csv_file import (
    MOST_COLUMNS,
    is_number,
    listed,
    missing_value,
    no_number,
    no_rows,
    open_csv,
    read_columns,
)
from tuilab.data.folders import shown
from tuilab.errors import DataError
from tuilab.text import clean_text, did_you_mean

MOST_CATEGORIES = 100  # different texts in one feature column
MOST_CLASSES = 1000
MOST_WHOLE_CLASSES = 20  # different whole numbers that still count as classes


def describe_table(path: Path, target: str | list[str] | None) -> DataInfo:
    """Return shape, task and names of a table, from one look through the file. Raises DataError."""
    return _plan(path, target)[0]


def read_table(path: Path, target: str | list[str] | None) -> tuple[DataInfo, HostArray, HostArray]:
    """Return what `describe_table` does, features and targets as in a Split. Raises DataError."""
    info, targets = _plan(path, target)
    return info, *_read(path, info, targets)


def read_more(path: Path, target: str | list[str] | None, info: DataInfo) -> tuple[HostArray, HostArray]:
    """Return features and targets of another file with the columns of the one that `info` describes. Raises
    DataError, also where a text or a class is not in that one."""
    names = [target] if isinstance(target, str) else list(dict.fromkeys(target or []))
    classes = info.classes if info.task in ("binary", "categorical") else ()
    return _read(path, info, [Column(name, classes) for name in names])


def _read(path: Path, info: DataInfo, targets: list[Column]) -> tuple[HostArray, HostArray]:
    raw = read_columns(path, [*info.columns, *targets])
    features = one_hot(raw[:, : len(info.columns)], info.columns)
    if info.task in ("binary", "categorical"):
        return features, raw[:, -1].astype(np.int64)
    return features, raw[:, len(info.columns) :].astype(np.float32)


def one_hot(table: HostArray, columns: Sequence[Column]) -> HostArray:
    """Return what `read_columns` gave as features, (rows, features) float32."""
    parts = [
        table[:, [number]] == np.arange(len(column.categories)) if column.categories else table[:, [number]]
        for number, column in enumerate(columns)
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")


@dataclass
class _Survey:
    """What the cells of one column are."""

    path: Path
    name: str
    cells: int = 0
    not_numbers: int = 0
    first_not_number: tuple[int, str] = (0, "")
    whole: bool = True
    texts: set[str] = field(default_factory=set)
    """The different cells, up to one more than MOST_CLASSES."""

    def add(self, line: int, cell: str) -> None:
        self.cells += 1
        if len(self.texts) <= MOST_CLASSES:
            self.texts.add(cell)
        if not is_number(cell):
            if missing := missing_value(self.path, line, self.name, cell):
                raise missing
            if not self.not_numbers:
                self.first_not_number = (line, cell)
            self.not_numbers += 1
        elif self.whole:
            self.whole = len(cell) < 16 and cell.lstrip("+-").isdecimal()

    def holds_texts(self) -> bool:
        """Whether this is a column of texts; raises DataError where most cells are numbers, and some are not."""
        if 0 < self.not_numbers <= self.cells / 2:
            raise no_number(self.path, *self.first_not_number, self.name)
        return self.not_numbers > 0

    def categories(self, most: int) -> tuple[str, ...]:
        """Return the different texts in order."""
        if len(self.texts) > most:
            raise DataError(
                f"{shown(self.path)}: column '{clean_text(self.name, 60)}' holds more than {most} different texts; "
                "remove it or turn it into numbers"
            )
        return tuple(sorted(self.texts))

    def classes(self) -> tuple[str, ...]:
        """Return the classes that this column names as a target, in order; none where it is a number to predict."""
        if self.holds_texts():
            found = self.categories(MOST_CLASSES)
        elif self.whole and len(self.texts) <= MOST_WHOLE_CLASSES:
            found = tuple(sorted(self.texts, key=int))
        else:
            return ()
        if len(found) == 1:
            raise DataError(
                f"{shown(self.path)}: column '{clean_text(self.name, 60)}' holds only '{clean_text(found[0], 60)}'; "
                "a classification needs two classes"
            )
        return found


def _plan(path: Path, target: str | list[str] | None) -> tuple[DataInfo, list[Column]]:
    """Return what the table is, and its target columns."""
    surveys, goals = _survey(path, target)
    columns = tuple(
        Column(survey.name, survey.categories(MOST_CATEGORIES) if survey.holds_texts() else ()) for survey in surveys
    )
    features = tuple(
        feature
        for column in columns
        for feature in ([f"{column.name}={text}" for text in column.categories] or [column.name])
    )
    if len(features) > MOST_COLUMNS:
        raise DataError(f"{shown(path)}: gives {len(features)} features, more than {MOST_COLUMNS}; remove columns")
    shape, names = (len(features),), tuple(goal.name for goal in goals)
    if len(goals) == 1 and (classes := goals[0].classes()):
        info = DataInfo(shape, "binary" if len(classes) == 2 else "categorical", classes, features, columns=columns)
        return info, [Column(names[0], classes)]
    targets = [Column(name) for name in names]
    for goal in goals:
        if goal.holds_texts():
            raise no_number(path, *goal.first_not_number, goal.name)
    if len(goals) > 1 and all(goal.texts <= {"0", "1"} for goal in goals):
        return DataInfo(shape, "multi_label", names, features, columns=columns), targets
    return DataInfo(shape, "regression", (), features, len(goals), columns), targets


def _survey(path: Path, target: str | list[str] | None) -> tuple[list[_Survey], list[_Survey]]:
    """Look through the file; return what its feature columns hold, and what its target columns hold."""
    header, rows = open_csv(path)
    names = [target] if isinstance(target, str) else list(dict.fromkeys(target or []))
    if not names:
        raise DataError(f"data.target is missing: name the column of {shown(path)} to predict; it has {listed(header)}")
    for name in names:
        if name not in header:
            hint = did_you_mean(name, header) or f"; it has {listed(header)}"
            raise DataError(f"data.target: {shown(path)} has no column '{clean_text(name, 60)}'{hint}")
    if len(names) == len(header):
        raise DataError(f"{shown(path)}: every column is a target; leave at least one to learn from")
    surveys = [_Survey(path, name) for name in header]
    for line, cells in rows:
        for survey, cell in zip(surveys, cells, strict=True):
            survey.add(line, cell)
    if not surveys[0].cells:
        raise no_rows(path)
    by_name = {survey.name: survey for survey in surveys}
    return [survey for survey in surveys if survey.name not in names], [by_name[name] for name in names]
