"""Looks at an experiment file before it is parsed: some small hostile files keep a parser busy for minutes."""

from __future__ import annotations

import re
from pathlib import Path

from tuilab.errors import ExperimentError, Problem
from tuilab.text import clean_text

MOST_BYTES = 256 * 1024
MOST_KEY_PARTS = 8
MOST_NESTING = 16
MOST_DIGITS = 400

# Closing quotes are optional, so that no start of a string is tried twice: the time stays proportional to the length.
QUOTED = re.compile(
    r'"""(?:[^"\\]|\\.?|"(?!""))*+(?:"{3,5})?+'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5})?+"
    r'|"(?:[^"\\\n]|\\.?)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""Strings and comments; `#` begins a comment."""
_LONG_KEY = re.compile(rf'(?<![\w"-])(?:[\w-]++|"")(?:[ \t]*+\.[ \t]*+(?:[\w-]++|"")){{{MOST_KEY_PARTS},}}')
_LONG_NUMBER = re.compile(rf"0[xob][0-9A-Fa-f_]{{{MOST_DIGITS},}}|(?<![0-9_])[0-9_]{{{MOST_DIGITS},}}")


def read_guarded(path: Path) -> str:
    """Return the text of an experiment file.

    Raises ExperimentError where it is missing, too large, not text, or built to keep a parser busy.
    """
    source = clean_text(str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        hint = "there is no such file; 'tuilab models' lists the ready-made experiments"
        raise ExperimentError([Problem("", hint)], source) from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else clean_text(str(error))
        raise ExperimentError([Problem("", f"cannot be read: {reason}")], source) from None
    if len(raw) > MOST_BYTES:
        raise ExperimentError([Problem("", f"is larger than {MOST_BYTES // 1024} KiB: not an experiment file")], source)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ExperimentError([Problem("", "is not UTF-8 text: not an experiment file")], source) from None
    if problem := absurdity(text):
        raise ExperimentError([problem], source)
    return text


def absurdity(text: str) -> Problem | None:
    """Return what makes `text` unfit to be parsed, or None; takes time in proportion to its length."""
    bare = QUOTED.sub(lambda match: "" if match[0].startswith("#") else '""' + "\n" * match[0].count("\n"), text)
    if long := _LONG_KEY.search(bare):
        line = bare.count("\n", 0, long.start()) + 1
        return Problem(f"line {line}", f"a key has more than {MOST_KEY_PARTS} parts")
    if _LONG_NUMBER.search(bare):
        return Problem("", f"a number has {MOST_DIGITS} digits or more")
    depth = 0
    for match in re.finditer(r"[\[\]{}]", bare):
        depth += 1 if match[0] in "[{" else -1
        if depth > MOST_NESTING:
            return Problem("", f"is nested more than {MOST_NESTING} deep")
    return None
