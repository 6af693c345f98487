"""What runs tell, as the rows of a table for spreadsheets and other programs."""

from __future__ import annotations

import csv
import math
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from tuilab.runs.directory import RunDirectory, new_file, storage
from tuilab.runs.reader import following
from tuilab.runs.status import Results
from tuilab.runs.table import Row, describe_epoch, read_rows
from tuilab.text import clean_text

Record: TypeAlias = dict[str, Any]
"""One row of a table by the names of its columns: texts, numbers, bools and None, as they were stored."""

LONGEST_CELL = 4096


def run_records(folder: Path) -> list[Record]:
    """Return a row for every run in `folder`: where it stands, every setting by its place, the results of its best
    epoch and those on the test part. Of a run that cannot be read there are state and settings."""
    table = [(_facts(row), row.settings, _best_results(row), _test_results(row)) for row in read_rows(folder)]
    columns = dict.fromkeys(name for part in zip(*table, strict=True) for record in part for name in record)
    return [_filled(columns, settings | best | test | facts) for facts, settings, best, test in table]


def epoch_records(run: RunDirectory) -> list[Record]:
    """Return a row for every epoch of a run; raises UsageError where its database is damaged."""
    with following(run) as reader:
        records = [describe_epoch(epoch) for epoch in reader.epochs()]
    columns = dict.fromkeys(name for record in records for name in record)
    return [_filled(columns, record) for record in records]


def step_records(run: RunDirectory) -> list[Record]:
    """Return a row for every bin of the thinned curves of a run, whose `step` is its last; raises UsageError where its
    database is damaged."""
    records: list[Record] = []
    with following(run) as reader:
        for name in reader.series():
            curve = reader.curve(name)
            columns = (curve.step, curve.mean, curve.least, curve.most)
            for step, mean, least, most in zip(*(column.tolist() for column in columns), strict=True):
                records.append({"series": name, "step": step, "mean": mean, "least": least, "most": most})
    return records


def save_csv(records: Sequence[Record], file: Path) -> None:
    """Write rows with the same columns as `write_csv`, complete or not at all; raises StorageError where they cannot be
    written."""
    with (
        storage(file, "choose another file"),
        new_file(file) as partial,
        partial.open("w", newline="", encoding="utf-8") as target,
    ):
        write_csv(records, target)


def write_csv(records: Sequence[Record], target: TextIO) -> None:
    """Write rows with the same columns as RFC 4180 has it; no cell is more to a spreadsheet than a text or a number."""
    writer = csv.writer(target)
    if records:
        writer.writerow(map(_cell, records[0]))
    for record in records:
        writer.writerow(map(_cell, record.values()))


def _cell(value: Any) -> Any:
    """Return a value as it may stand in a cell: clean, and after an apostrophe where a spreadsheet would run it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, str):
        return value
    # Spreadsheets pass over spaces, and take the wide signs of East Asian scripts for the usual ones.
    start = unicodedata.normalize("NFKC", value[:LONGEST_CELL]).lstrip()[:1]
    apostrophe = "'" if (start and start in "=+-@") or value[:1] in ("\t", "\r") else ""
    return apostrophe + clean_text(value, LONGEST_CELL)


def _filled(columns: Iterable[str], record: Record) -> Record:
    return {name: record.get(name) for name in columns}


def _facts(row: Row) -> Record:
    status = row.overview.status if row.overview else None
    return {
        "run": row.run.name,
        "experiment": status and status.experiment,
        "state": row.state,
        "created": status and _iso(status.created),
        "epochs": status and status.epoch,
        "steps": status and status.step,
        "seconds": status and round(status.seconds, 3),
        "best_epoch": status and status.best and status.best.epoch,
        "tags": " ".join(row.notes.tags),
        "note": row.notes.note,
    }


def _iso(moment: float) -> str | None:
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a moment that no calendar has
        return None


def _best_results(row: Row) -> Record:
    best = row.overview.status.best if row.overview else None
    return _named("best", best.results if best else {})


def _test_results(row: Row) -> Record:
    return _named("test", row.overview.status.test or {} if row.overview else {})


def _named(part: str, results: Results) -> Record:
    return {f"{part}.{name}": value for name, value in results.items()}
