"""Text from files and users, made safe to print."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches


def clean_text(text: str, limit: int = 200) -> str:
    """Return `text` on one line, without control, format or private characters, cut to `limit` characters.

    Whatever comes from a file (names, labels, paths) goes through here before it reaches a terminal, so that no
    escape code in a file can move the cursor, change colours or turn text round.
    """
    kept = "".join(
        " " if character in "\n\r\t" else character if unicodedata.category(character)[0] != "C" else "�"
        for character in text[: limit + 1]
    )
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ", did you mean 'x'?" for the known word closest to `word`, or nothing where none is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""
