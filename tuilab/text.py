"""Text from files and users, made safe to print."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST_WORD = 100
"""No name is longer: a longer word is no misspelt one, and comparing it takes time."""


def clean_text(text: str, limit: int = 200) -> str:
    """Return `text` on one line, without control, format or private characters, cut to `limit` characters.

    Whatever comes from a file (names, labels, paths) goes through here before it reaches a terminal, so that no
    escape code in a file can move the cursor, change colours or turn text round.
    """
    if len(text) <= limit and text.isprintable():
        return text
    kept = "".join(map(_clean_character, text[: limit + 1]))
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def _clean_character(character: str) -> str:
    category = unicodedata.category(character)
    if character in "\n\r\t" or category in ("Zl", "Zp"):
        return " "
    return character if category[0] != "C" else "�"


def as_written(value: Any, limit: int = 60) -> str:
    """Return a value as it stands in an experiment file, short and clean enough for a message."""
    if isinstance(value, str):
        return f'"{clean_text(value, limit)}"'
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 3 * limit:
        return "a huge number"  # which Python may even refuse to write out
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    return "a table" if isinstance(value, dict) else clean_text(str(value), limit)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ", did you mean 'x'?" for the known word closest to `word`, or nothing where none is close."""
    if len(word) > LONGEST_WORD:
        return ""
    names = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), names, n=1, cutoff=0.6)
    return f", did you mean '{clean_text(names[close[0]], LONGEST_WORD)}'?" if close else ""
