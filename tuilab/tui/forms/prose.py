"""Documentation that was written for a width of its own, for any width."""

from __future__ import annotations

import re
from unicodedata import category

from tuilab.text import clean_text

FULL = 105
"""A line at least as long as this goes on in the next one, unless that begins with a sign such as ↓ or tells shapes;
shorter lines end where they were meant to."""
SHAPES = re.compile(r"[\w ]+: \(")


def flowing(documentation: str) -> str:
    """Return a documentation in which only paragraphs and formulas begin new lines, clean."""
    text = ""
    before = 0
    for line in documentation.splitlines():
        shown = clean_text(line, 400)
        begins = not shown or shown.startswith(" ") or category(shown[0]) == "Sm" or SHAPES.match(shown)
        text += f"\n{shown}" if begins or before < FULL else f" {shown}"
        before = len(shown)
    return text.strip("\n")
