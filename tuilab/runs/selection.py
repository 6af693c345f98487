"""Picks rows by conditions and puts them in order: by any setting, result or fact of a run."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tuilab.errors import UsageError
from tuilab.runs.settings import shown
from tuilab.runs.table import Row
from tuilab.text import clean_text, did_you_mean

Value: TypeAlias = bool | int | float | str | tuple[str, ...] | None
"""Of one row; None where it has none."""
Lookup: TypeAlias = Callable[[Row], Value]

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "KB": 1e3, "MB": 1e6, "GB": 1e9}
"""That a number may have, as lists show it."""


def _of_status(name: str) -> Lookup:
    return lambda row: getattr(row.overview.status, name) if row.overview else None


FACTS: dict[str, Lookup] = {
    "run": lambda row: row.run.name,
    "name": _of_status("experiment"),
    "experiment": _of_status("experiment"),
    "state": lambda row: row.state,
    "tag": lambda row: row.notes.tags,
    "device": _of_status("device"),
    "epoch": _of_status("epoch"),
    "step": _of_status("step"),
    "seconds": _of_status("seconds"),
    "age": lambda row: row.age,
    "size": lambda row: row.size,
}


@dataclass(frozen=True)
class Condition:
    """What must hold for a row: `optimizer.learning_rate < 0.01`."""

    key: str
    operator: str
    text: str
    number: float | None
    """The text as a number, where it is one."""

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Return the condition that was typed; raises UsageError where it is none."""
        match = re.fullmatch(r"\s*([^=!<>~]*[^=!<>~\s])\s*(!=|<=|>=|==?|<|>|~)\s*(.*?)\s*", text)
        if match is None:
            example = "'learning_rate < 0.01'; operators are = != < <= > >= and ~ for contains"
            raise UsageError(f"--filter {clean_text(text)}: write KEY OPERATOR VALUE, for example {example}")
        key, comparison, value = match.groups()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            return cls(key, comparison.replace("==", "="), value[1:-1], None)
        return cls(key, comparison.replace("==", "="), value, _number(value))

    def holds(self, value: Value) -> bool:
        """Whether it holds for a value; for one of several values, if it holds for any; `!=` where `=` does not."""
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        if self.operator == "!=":
            return not any(self._compare(one, "=") for one in values)
        return any(self._compare(one, self.operator) for one in values)

    def _compare(self, value: bool | int | float | str, comparison: str) -> bool:
        if comparison == "~":
            return self.text.casefold() in shown(value).casefold()
        if isinstance(value, (bool, str)):
            return OPERATORS[comparison](shown(value), self.text)
        return self.number is not None and OPERATORS[comparison](value, self.number)


def _number(text: str) -> float | None:
    match = re.fullmatch(rf"(.+?)\s*({'|'.join(UNITS)})?", text)
    if match is None:
        return None
    for kind in (int, float):
        try:
            return kind(match[1]) * UNITS.get(match[2], 1)
        except (ValueError, OverflowError):
            continue
    return None


def find_lookup(rows: Sequence[Row], key: str) -> Lookup:
    """Return what reads `key` from a row: a fact of the run, a result by name, or a setting by its place or by the end
    of it. Raises UsageError where no run has it, or it fits several settings."""
    if key in FACTS:
        return FACTS[key]
    if any(key in row.results for row in rows):
        return lambda row: row.results.get(key)
    place = key.removesuffix(".type")
    places = dict.fromkeys(place for row in rows for place in row.settings)
    fitting = [place] if place in places else [known for known in places if known.endswith(f".{place}")]
    if len(fitting) == 1:
        return lambda row: row.settings.get(fitting[0])
    if fitting:
        several = ", ".join(clean_text(found, 60) for found in fitting[:4])
        raise UsageError(f"'{clean_text(key, 60)}' fits several settings: {several}{', …' if fitting[4:] else ''}")
    results = dict.fromkeys(name for row in rows for name in row.results)
    hint = did_you_mean(key, [*FACTS, *results, *_ends(places)])
    raise UsageError(f"no run has a setting or result named '{clean_text(key, 60)}'{hint}")


def _ends(places: Iterable[str]) -> dict[str, None]:
    """Return all by which places can be called: `optimizer.momentum` for `training.optimizer.momentum`."""
    parts = (place.split(".") for place in places)
    return dict.fromkeys(".".join(names[start:]) for names in parts for start in range(len(names)))


def ordered(rows: Iterable[Row], lookup: Lookup, reverse: bool = False) -> list[Row]:
    """Return the rows by a value, numbers before texts; those without that value come last in either order."""
    ranked = [(row, _rank(lookup(row))) for row in rows]
    having = [(row, rank) for row, rank in ranked if rank is not None]
    having.sort(key=lambda pair: pair[1], reverse=reverse)
    return [row for row, _ in having] + [row for row, rank in ranked if rank is None]


def _rank(value: Value) -> tuple[int, float | str] | None:
    if isinstance(value, tuple):
        value = ", ".join(value) or None
    if isinstance(value, str):
        return 1, value.casefold()
    return None if value is None or value != value else (0, value)
