"""The cells of a user's .csv file: opened with care, refused with the place and the remedy."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO, TypeAlias

import numpy as np

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import Column
from tuilab.data.folders import shown
from tuilab.errors import DataError
from tuilab.text import clean_text, did_you_mean

MOST_BYTES = 1 << 30
LONGEST_LINE = 1 << 22  # characters
MOST_COLUMNS = 10_000
MOST_VALUES = 200_000_000
MISSING = frozenset({"", "na", "n/a", "nan", "null"})
LARGEST = np.finfo(np.float32).max

Row: TypeAlias = tuple[int, list[str]]
"""The number of the line, and its cells without surrounding spaces."""


def open_csv(path: Path) -> tuple[list[str], Iterator[Row]]:
    """Return the names in the header, and the rows below it. Raises DataError, also while the rows are read."""
    rows = _rows(path)
    _, header = next(rows, (0, None))
    if header is None:
        raise DataError(f"{shown(path)}: is empty; its first line must hold the names of the columns")
    if len(header) > MOST_COLUMNS:
        raise DataError(f"{shown(path)}: has {len(header)} columns, more than {MOST_COLUMNS}; use .npz for arrays")
    if "" in header:
        raise DataError(
            f"{shown(path)}: column {header.index('') + 1} has no name in the header; name it, or remove it "
            "(pandas writes such a column for its index: save with index=False)"
        )
    if all(is_number(name) for name in header):
        raise DataError(f"{shown(path)}: the first line holds numbers; it must hold the names of the columns")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{shown(path)}: two columns are named '{clean_text(twice, 60)}'; rename one")
    return header, _complete(path, rows, len(header))


def read_columns(path: Path, columns: Sequence[Column]) -> HostArray:
    """Return the cells of `columns`, (rows, columns) float64: numbers, and for texts the position in their categories.

    Other columns of the file are ignored. Raises DataError with the place of what is missing or wrong.
    """
    header, rows = open_csv(path)
    position = {name: index for index, name in enumerate(header)}
    for column in columns:
        if column.name not in position:
            hint = did_you_mean(column.name, header) or f"; it has {listed(header)}"
            raise DataError(f"{shown(path)}: there is no column '{clean_text(column.name, 60)}'{hint}")
    wanted = [
        (position[column.name], {text: float(code) for code, text in enumerate(column.categories)})
        for column in columns
    ]
    values, lines = array("d"), array("q")
    for line, cells in rows:
        try:
            values.extend([codes[cells[index]] if codes else float(cells[index]) for index, codes in wanted])
        except (KeyError, ValueError):
            raise _wrong_cell(path, line, [cells[index] for index, _ in wanted], columns) from None
        lines.append(line)
        if len(values) > MOST_VALUES:
            raise DataError(f"{shown(path)}: holds more than {MOST_VALUES:,} values; keep fewer rows or use .npz")
    if not lines:
        raise no_rows(path)
    table = np.frombuffer(values).reshape(len(lines), len(columns))
    wrong = ~(np.abs(table) <= LARGEST)  # NaN is not smaller than anything
    if wrong.any():
        row, number = divmod(int(wrong.argmax()), len(columns))
        place = place_of(path, lines[row], columns[number].name)
        raise DataError(f"{place}: {table[row, number]} is no number to learn from; correct it or remove the row")
    return table


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def no_rows(path: Path) -> DataError:
    return DataError(f"{shown(path)}: holds no rows below its header; add samples")


def no_number(path: Path, line: int, cell: str, name: str) -> DataError:
    return DataError(f"{place_of(path, line, name)}: '{clean_text(cell, 60)}' is not a number; correct it")


def missing_value(path: Path, line: int, name: str, cell: str) -> DataError | None:
    """Return the error for a cell that stands for nothing, None for any other."""
    if cell.lower() not in MISSING:
        return None
    written = f" ('{cell}')" if cell else ""
    return DataError(f"{place_of(path, line, name)}: the value is missing{written}; fill it in or remove the row")


def place_of(path: Path, line: int, name: str) -> str:
    return f"{shown(path)}, line {line}, column '{clean_text(name, 60)}'"


def listed(names: Sequence[str]) -> str:
    """Return the first dozen names as text."""
    first = ", ".join(clean_text(name, 60) for name in names[:12])
    return first if len(names) <= 12 else f"{first} and {len(names) - 12} more"


def _rows(path: Path) -> Iterator[Row]:
    """Yield the lines that are not blank."""
    if not path.is_file():
        raise DataError(f"{shown(path)}: there is no such file")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{shown(path)}: is larger than {MOST_BYTES >> 20} MiB; keep fewer rows or use .npz")
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(",;\t", key=file.readline(LONGEST_LINE).count)
            file.seek(0)
            reader = csv.reader(_lines(path, file), delimiter=delimiter, strict=True)
            for cells in reader:
                if any(cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
    except UnicodeDecodeError:
        raise DataError(f"{shown(path)}: is not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        problem = clean_text(str(error), 80)
        raise DataError(f"{shown(path)}, line {reader.line_num}: is not CSV ({problem}); correct the line") from None
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}); check that it is yours") from None


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise DataError(f"{shown(path)}: a line is longer than {LONGEST_LINE:,} characters; use .npz for arrays")
        yield line


def _complete(path: Path, rows: Iterator[Row], width: int) -> Iterator[Row]:
    for line, cells in rows:
        if len(cells) != width:
            raise DataError(f"{shown(path)}, line {line}: has {len(cells)} cells, the header {width}; correct it")
        yield line, cells


def _wrong_cell(path: Path, line: int, cells: Sequence[str], columns: Sequence[Column]) -> DataError:
    """Return the error for the first cell that its column cannot hold."""
    for cell, column in zip(cells, columns, strict=True):
        if cell in column.categories or (is_number(cell) and not column.categories):
            continue
        if missing := missing_value(path, line, column.name, cell):
            return missing
        if not column.categories:
            return no_number(path, line, cell, column.name)
        break
    known = f"known are {listed(column.categories)}"
    return DataError(f"{place_of(path, line, column.name)}: '{clean_text(cell, 60)}' was not in training; {known}")
