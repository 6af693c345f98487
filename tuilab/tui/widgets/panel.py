"""A box with a title above and a remark below, neither drawn again before it changes."""

from __future__ import annotations

from rich.text import Text
from textual.containers import Vertical

from tuilab.text import clean_text

LONGEST = 300


class Panel(Vertical):
    """Things that belong together."""

    DEFAULT_CSS = "Panel { border-subtitle-color: $text-muted; }"

    def __init__(self, *, id: str | None = None, classes: str = "panel") -> None:
        super().__init__(id=id, classes=classes)
        self._title, self._remark = "", ""

    def entitle(self, title: str, remark: str = "") -> None:
        """Write on the border; the texts may come from anywhere."""
        title, remark = clean_text(title, LONGEST), clean_text(remark, LONGEST)
        if title != self._title:
            self._title = title
            self.border_title = Text(title) if title else None
        if remark != self._remark:
            self._remark = remark
            self.border_subtitle = Text(remark) if remark else None
