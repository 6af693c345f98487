"""Documentation that was written for a width of its own, for any width."""

from __future__ import annotations

from tuilab.text import clean_text

FULL = 105
"""A line at least as long as this goes on in the next one; shorter lines end where they were meant to."""


def flowing(documentation: str) -> str:
    """Return a documentation in which only paragraphs and formulas begin new lines, clean."""
    text = ""
    before = 0
    for line in documentation.splitlines():
        shown = clean_text(line, 400)
        goes_on = before >= FULL and shown and not shown.startswith(" ")
        text += f" {shown}" if goes_on else f"\n{shown}"
        before = len(shown)
    return text.strip("\n")
