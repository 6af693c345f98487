"""Lying bars: how much of something is done, and named amounts beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from tuilab.tui.widgets.canvas import Canvas, Drawing, fit

EIGHTHS = " ▏▎▍▌▋▊▉"
LEAST = 4
"""Cells of a bar beside a text; where there is less room, the text stands alone."""


class Bar(Drawing):
    """A share from 0 to 1, with a text behind it."""

    PART = "bar"
    COMPONENT_CLASSES = {"bar--full", "bar--empty", "bar--text"}
    DEFAULT_CSS = """
    Bar { height: 1; }
    Bar .bar--full { color: $accent; }
    Bar .bar--empty { color: $border; }
    Bar .bar--text { color: $foreground; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.share, self.text = 0.0, ""

    def update(self, share: float, text: str = "") -> None:
        """Show a share, and a text at the right; what is not finite is nothing."""
        share = share if math.isfinite(share) else 0.0
        if (share, text) != (self.share, self.text):
            self.share, self.text = share, text
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        return draw_bar(self.share, self.text, width, height)


class Bars(Drawing):
    """Named amounts, one a line, each as long as its share of the largest."""

    PART = "bars"
    COMPONENT_CLASSES = {"bars--label", "bars--full", "bars--text"}
    DEFAULT_CSS = """
    Bars { height: auto; }
    Bars .bars--label { color: $quiet; }
    Bars .bars--full { color: $train; }
    Bars .bars--text { color: $foreground; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.amounts: tuple[tuple[str, float, str], ...] = ()

    def update(self, amounts: Sequence[tuple[str, float, str]]) -> None:
        """Show amounts: a label, the amount, and its text at the right."""
        if tuple(amounts) != self.amounts:
            taller = len(amounts) != len(self.amounts)
            self.amounts = tuple(amounts)
            self.changed()
            if taller:
                self.refresh(layout=True)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return max(len(self.amounts), 1)

    def draw(self, width: int, height: int) -> Canvas:
        return draw_bars(self.amounts, width, height)


def draw_bar(share: float, text: str, width: int, height: int) -> Canvas:
    """Draw a bar in half cells, of which a share from 0 to 1 is full, and a text at the right."""
    canvas = Canvas(width, height)
    text = fit(text, width)
    room = canvas.width - (cell_len(text) + 1 if text else 0)
    if room >= LEAST or not text:
        halves = round(min(max(share, 0.0), 1.0) * room * 2) if math.isfinite(share) else 0
        full = "━" * (halves // 2) + "╸" * (halves % 2)
        canvas.write(0, 0, full, "full")
        canvas.write(len(full), 0, "─" * (room - len(full)), "empty")
    canvas.write(canvas.width - cell_len(text), 0, text, "text")
    return canvas


def draw_bars(amounts: Sequence[tuple[str, float, str]], width: int, height: int) -> Canvas:
    """Draw a line for each amount: label, bar in eighths of a cell, text. Labels and texts take up to a third each."""
    canvas = Canvas(width, height)
    left = min(max((cell_len(fit(label, width)) for label, _, _ in amounts), default=0), width // 3)
    right = min(max((cell_len(fit(text, width)) for _, _, text in amounts), default=0), width // 3)
    start = left + 1 if left else 0
    room = width - start - (right + 1 if right else 0)
    largest = max((amount for _, amount, _ in amounts if math.isfinite(amount)), default=0.0)
    for row, (label, amount, text) in enumerate(amounts[: canvas.height]):
        canvas.write(0, row, fit(label, left), "label")
        if amount > 0 and math.isfinite(amount):
            eighths = max(round(amount / largest * room * 8), 1)  # a little is not nothing
            canvas.write(start, row, "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip(), "full")
        shown = fit(text, right)
        canvas.write(width - cell_len(shown), row, shown, "text")
    return canvas
