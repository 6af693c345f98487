"""The list of runs as the lab shows it: read anew only where something may have changed, filtered and sorted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tuilab.errors import UsageError
from tuilab.runs import database, notes
from tuilab.runs.directory import RunDirectory, run_names
from tuilab.runs.selection import FACTS, Condition, Lookup, Value, find_lookup, ordered
from tuilab.runs.settings import shown
from tuilab.runs.table import Row, read_row
from tuilab.text import clean_text
from tuilab.tui.listing import Cell, Column, Line, Listing, make_listing
from tuilab.tui.numbers import NONE, age, memory, number

WATCHED = (database.FILE, f"{database.FILE}-wal", notes.FILE, "experiment.toml")
"""Files of a run that change with what the list says of it."""
STATE_TONES = {
    "running": "good",
    "paused": "warn",
    "unknown": "warn",
    "diverged": "bad",
    "failed": "bad",
    "damaged": "bad",
}
AUTOMATIC = ("run", "state", "epoch", "age", "size", "tag")
"""Facts that have a column unless there is no room."""

Stamp: TypeAlias = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class View:
    """What the user wants to see of the runs."""

    filter: str = ""
    """Conditions with commas between them; a word alone is looked for in the names."""
    sort: str = "age"
    reverse: bool = False
    columns: tuple[str, ...] = ()
    """Settings, results and facts that shall have a column, beside those that have one anyway."""


@dataclass(frozen=True)
class Found:
    """The runs that fit a view."""

    view: View
    every: dict[str, Row]
    """All runs, by the name of their folder."""
    rows: dict[str, Row]
    """Those that fit, in their order."""
    listing: Listing
    problem: str = ""
    """What is wrong with the view; then every run is there."""


class RunList:
    """The runs of a folder. `look` is not for two threads at once; `keys` may be called meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: dict[str, tuple[Stamp, Row]] = {}
        self._before: tuple[tuple[str, ...], Listing] | None = None

    def look(self, view: View) -> Found:
        """Return the runs that fit, as they stand now."""
        self._read()
        every = [row for _, row in self._rows.values()]
        try:
            conditions = parse_filter(view.filter)
            wanted = [*(condition.key for condition in conditions), view.sort, *view.columns]
            lookups = {key: find_lookup(every, key) for key in dict.fromkeys(wanted)} if every else {}
            problem = ""
        except UsageError as error:
            conditions, lookups, problem = [], {}, str(error)
        fitting = [row for row in every if all(each.holds(lookups[each.key](row)) for each in conditions)]
        rows = ordered(fitting, lookups.get(view.sort, FACTS["age"]), view.reverse)
        columns, lines = _table(rows, {key: lookup for key, lookup in lookups.items() if key != "age"})
        listing = self._steady(columns, lines)
        return Found(view, _by_name(every), _by_name(rows), listing, problem)

    def keys(self) -> dict[str, str]:
        """Return all that runs can be sorted by, and what it is; reads the settings of every run."""
        every = [row for _, row in self._rows.values()]
        found = {key: "fact" for key in FACTS if key not in ("name", "run", "state")}
        found |= {key: "result" for row in every for key in row.results}
        return found | {key: "setting" for row in every for key in row.settings}

    def _read(self) -> None:
        rows: dict[str, tuple[Stamp, Row]] = {}
        for name in run_names(self.folder):
            stamp = _stamp(f"{self.folder}/{name}")
            known = self._rows.get(name)
            if known and known[0] == stamp and not _may_change(known[1]):
                rows[name] = known
                continue
            row = read_row(RunDirectory(self.folder / name))
            if row.overview is None and stamp[-1] is None:
                continue  # deleted while we look
            _ = row.notes, row.size, row.results  # read here, where nobody waits for it
            rows[name] = stamp, row
        self._rows = rows

    def _steady(self, columns: Sequence[Column], lines: Sequence[Line]) -> Listing:
        """Return the listing, with columns that become no narrower while they are the same."""
        names = tuple(column.key for column in columns)
        before = self._before[1] if self._before and self._before[0] == names else None
        listing = make_listing(columns, lines, before)
        self._before = names, listing
        return listing


def _by_name(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.run.name: row for row in rows}


def parse_filter(text: str) -> list[Condition]:
    """Return the conditions in what was typed; raises UsageError with the one that is none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [Condition.parse(part) if set(part) & set("=<>~!") else Condition("run", "~", part, None) for part in parts]


def filter_problem(text: str) -> str:
    """Return what is wrong with a filter that is being typed, or nothing."""
    try:
        parse_filter(text)
    except UsageError as error:
        return str(error).removeprefix("--filter ")
    return ""


def _may_change(row: Row) -> bool:
    """Whether a run may stand elsewhere now, although none of its files has changed: its worker may have died."""
    return row.overview is not None and row.overview.alive


def _stamp(folder: str) -> Stamp:
    stamps: list[tuple[int, int] | None] = []
    for name in WATCHED:
        try:
            found = os.stat(f"{folder}/{name}")
            stamps.append((found.st_mtime_ns, found.st_size) if found.st_size else None)  # readers leave an empty -wal
        except OSError:
            stamps.append(None)
    return tuple(stamps)


def _table(rows: Sequence[Row], chosen: dict[str, Lookup]) -> tuple[list[Column], list[Line]]:
    """Return columns and lines; `chosen`: what the user filters and sorts by, and wants to see."""
    added = {key: lookup for key, lookup in chosen.items() if key not in ("run", "state")}
    counted = Counter(name for row in rows for name in row.main_results()).most_common()
    main = [name for name, _ in counted if name not in added]
    more = [name for row in rows for name in row.latest if name not in added and name not in main]
    columns = [
        Column("run", "run", right=False, least=18),
        Column("state", "state", right=False),
        *([] if "epoch" in added else [Column("epoch", "epoch")]),
        *(Column(key, header(key), right=key != "tag", least=10, rank=1) for key in added),
        *(Column(name, name, rank=9 if index > 1 else 2 + index) for index, name in enumerate(main)),
        *(Column(name, name, rank=10) for name in dict.fromkeys(more)),
        *(
            Column(key, title, right=key != "tag", least=least, rank=rank)
            for key, title, least, rank in (("age", "age", None, 4), ("size", "size", None, 6), ("tag", "tags", 8, 5))
            if key not in added and (key != "tag" or any(row.notes.tags for row in rows))
        ),
    ]
    return columns, [_line(row, columns, added) for row in rows]


def _line(row: Row, columns: Sequence[Column], added: dict[str, Lookup]) -> Line:
    if row.overview is None:
        cells = (Cell(row.run.name), Cell(row.state, STATE_TONES[row.state]), *(Cell("") for _ in columns[2:]))
        return Line(row.run.name, cells, trouble(row))
    return Line(row.run.name, tuple(_cell(row, column.key, added.get(column.key)) for column in columns))


def _cell(row: Row, key: str, lookup: Lookup | None) -> Cell:
    match key:
        case "run":
            return Cell(row.run.name)
        case "state":
            return Cell(row.state, STATE_TONES.get(row.state, ""))
        case "epoch":
            return Cell(progress(row))
        case "age":
            return Cell(age(row.age), "quiet")
        case "size":
            return Cell(memory(row.size), "quiet")
        case "tag":
            return Cell(" ".join(row.notes.tags), "accent")
    if lookup is None or key in row.results:
        return Cell(number(row.results.get(key)))
    return Cell(setting(lookup(row)))


def progress(row: Row) -> str:
    """Return the epochs that are over and planned: `4/10`."""
    status = row.overview.status if row.overview else None
    return f"{status.epoch}/{status.epochs}" if status and status.epochs else NONE


def trouble(row: Row) -> str:
    """Return why a run cannot be read, or why it is in its state."""
    return without_path(row.overview.reason if row.overview else row.trouble, row.run)


def without_path(text: str, run: RunDirectory) -> str:
    """Return a message without the path of the folder of the run, which everybody knows."""
    for path in (run.path, run.path.absolute()):
        text = text.replace(f"{clean_text(str(path))}/", "")
    return text


def setting(value: Value) -> str:
    """Return a setting, a fact or a list of tags."""
    if value is None:
        return NONE
    if isinstance(value, tuple):
        return " ".join(value)
    return f"{value:g}" if isinstance(value, float) else shown(value)


def header(key: str) -> str:
    """Return the name of a setting as it stands over a column: `learning_rate`, `layers[0].units`."""
    *_, before, last = ("", *key.split("."))
    return f"{before}.{last}" if before.endswith("]") else last
