"""Printing: facts to stdout, messages to stderr, and no escape codes where nobody wants them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from tuilab.text import clean_text


def print_json(value: Any) -> None:
    """Print facts for programs."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def message(text: str) -> None:
    """Tell the person at the terminal something that is not the result."""
    print(text, file=sys.stderr)


def colourful() -> bool:
    """Return whether stderr is a terminal that may get escape codes."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def print_table(header: Sequence[str] | None, rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print aligned columns; those in `right` are set to the right. Text is cleaned; on a terminal the last column is
    folded to its width."""
    lines = [list(header)] if header else []
    lines += [[clean_text(cell, 1000) for cell in row] for row in rows]
    if not lines:
        return
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    before = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = shutil.get_terminal_size().columns - before if sys.stdout.isatty() else 1000
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        if len(line[-1]) > room:
            indent = before if room >= 30 else 4
            folded = textwrap.wrap(line[-1], before + room - indent)
            cells[-1] = ("" if indent == before else "\n" + " " * indent) + f"\n{' ' * indent}".join(folded)
        print("  ".join(cells).rstrip())


def number(value: float | None) -> str:
    """Return a result in four significant digits."""
    if value is None or value != value:
        return "–"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3e}"


def memory(size: int) -> str:
    """Return bytes as people read them."""
    amount, unit = float(size), "B"
    for larger in ("KB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def shape(extents: Sequence[int]) -> str:
    """Return a shape as people write it: `28 × 28 × 1`."""
    return " × ".join(map(str, extents))
