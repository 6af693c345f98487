"""Upright bars in eighths of a cell."""

from __future__ import annotations

import numpy as np

from tuilab.blocks.arrays import HostArray

EIGHTHS = "▁▂▃▄▅▆▇█"
ASCII = ".:-=+*#@"
"""For terminals and files without block characters."""


def upright(heights: HostArray, rows: int, steps: str = EIGHTHS) -> HostArray:
    """Return bars as characters (rows, columns); heights (columns,) counts steps, len(steps) to a row."""
    above = np.arange(rows - 1, -1, -1)[:, None] * len(steps)
    found: HostArray = np.array([" ", *steps])[np.clip(heights - above, 0, len(steps)).astype(np.int64)]
    return found
