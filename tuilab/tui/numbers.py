"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

NONE = "–"


def number(value: float | None) -> str:
    """Return a result in four significant digits."""
    if value is None or value != value:
        return NONE
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3e}"


def short(value: float) -> str:
    """Return a value of a table in few characters, whole numbers as such."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e7 else f"{value:.4g}"


def memory(size: float) -> str:
    """Return bytes with their unit."""
    amount, unit = float(size), "B"
    for larger in ("KB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def age(seconds: float | None) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    if seconds is None:
        return NONE
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def shape(extents: Sequence[int]) -> str:
    """Return a shape as people write it: `28 × 28 × 1`."""
    return " × ".join(map(str, extents))
