"""Looks at an experiment file before it is parsed: a parser needs minutes and gigabytes for some small hostile files."""

from __future__ import annotations

import re
from pathlib import Path

from tuilab.errors import ExperimentError, Problem
from tuilab.text import clean_text

MOST_BYTES = 256 * 1024
MOST_KEY_PARTS = 8
MOST_NESTING = 16
MOST_DIGITS = 400

_QUOTED = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"""'
    r"|'''(?:[^']|'(?!''))*+'''"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|#[^\n]*+",
    re.DOTALL,
)
_LONG_KEY = re.compile(rf'(?<![\w"-])(?:[\w-]++|"")(?:[ \t]*+\.[ \t]*+(?:[\w-]++|"")){{{MOST_KEY_PARTS},}}')
_LONG_NUMBER = re.compile(rf"[0-9_]{{{MOST_DIGITS},}}")


def read_guarded(path: Path) -> str:
    """Return the text of an experiment file.

    Raises ExperimentError where it is missing, too large, not text, or built to keep a parser busy.
    """
    source = clean_text(str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ExperimentError([Problem("", f"cannot be read: {error.strerror}")], source) from None
    if len(raw) > MOST_BYTES:
        raise ExperimentError([Problem("", f"is larger than {MOST_BYTES // 1024} KiB: not an experiment file")], source)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ExperimentError([Problem("", "is not UTF-8 text: not an experiment file")], source) from None
    problem = absurdity(text)
    if problem:
        raise ExperimentError([problem], source)
    return text


def absurdity(text: str) -> Problem | None:
    """Return what makes `text` unfit to be parsed, or None; takes time in proportion to its length."""
    bare = _QUOTED.sub(lambda match: "" if match[0].startswith("#") else '""', text)
    long = _LONG_KEY.search(bare)
    if long:
        return Problem(f"line {bare.count(chr(10), 0, long.start()) + 1}", f"a key has more than {MOST_KEY_PARTS} parts")
    if _LONG_NUMBER.search(bare):
        return Problem("", f"a number has more than {MOST_DIGITS} digits")
    depth = 0
    for match in re.finditer(r"[\[\]{}]", bare):
        depth += 1 if match[0] in "[{" else -1
        if depth > MOST_NESTING:
            return Problem("", f"is nested more than {MOST_NESTING} deep")
    return None
