"""Bars in eighths of a cell: how much of something, and several of them to compare."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from tuilab.tui.widgets.canvas import Canvas, Drawing, fit

EIGHTHS = " ▏▎▍▌▋▊▉"


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
        """Show a share, and a text at the right; NaN is nothing."""
        share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
        if (share, text) != (self.share, self.text):
            self.share, self.text = share, text
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        canvas = Canvas(width, height)
        text = fit(self.text, width)
        room = width - cell_len(text) - (1 if text else 0)
        if room >= 4:
            full = round(self.share * room * 2)
            canvas.write(0, 0, "━" * (full // 2) + "╸" * (full % 2), "full")
            canvas.write((full + 1) // 2, 0, "─" * (room - (full + 1) // 2), "empty")
        canvas.write(width - cell_len(text), 0, text, "text")
        return canvas


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
            self.amounts = tuple(amounts)
            self.changed()
            self.refresh(layout=True)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return max(len(self.amounts), 1)

    def draw(self, width: int, height: int) -> Canvas:
        canvas = Canvas(width, height)
        left = min(max((cell_len(label) for label, _, _ in self.amounts), default=0), width // 3)
        right = min(max((cell_len(text) for _, _, text in self.amounts), default=0), width // 3)
        room = width - left - right - 2
        finite = [amount for _, amount, _ in self.amounts if math.isfinite(amount)]
        largest = max([*finite, 0.0])
        for row, (label, amount, text) in enumerate(self.amounts[:height]):
            canvas.write(0, row, fit(label, left), "label")
            if room > 0 and largest > 0 and math.isfinite(amount):
                eighths = max(round(min(amount / largest, 1.0) * room * 8), 1 if amount > 0 else 0)
                canvas.write(left + 1, row, "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip(), "full")
            shown = fit(text, right)
            canvas.write(width - cell_len(shown), row, shown, "text")
        return canvas
