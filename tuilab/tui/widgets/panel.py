"""A box with a title above and a remark below, neither drawn again before it changes."""

from __future__ import annotations

from typing import Self

from rich.text import Text
from textual.containers import Vertical
from textual.geometry import Region

from tuilab.text import clean_text

LONGEST = 300


class Panel(Vertical):
    """Things that belong together."""

    DEFAULT_CSS = "Panel { border-subtitle-color: $text-muted; }"

    def __init__(self, *, id: str | None = None, classes: str = "panel") -> None:
        super().__init__(id=id, classes=classes)
        self._title, self._remark = "", ""

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Have its border painted again: within it there are only widgets, which look after themselves."""
        width, height = self.outer_size
        if not regions and repaint and width > 2 and height > 2:
            top, bottom = Region(-1, -1, width, 1), Region(-1, height - 2, width, 1)
            regions = top, bottom, Region(-1, 0, 1, height - 2), Region(width - 2, 0, 1, height - 2)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def entitle(self, title: str, remark: str = "") -> None:
        """Write on the border; the texts may come from anywhere."""
        title, remark = clean_text(title, LONGEST), clean_text(remark, LONGEST)
        if title != self._title:
            self._title = title
            self.border_title = Text(title) if title else None
        if remark != self._remark:
            self._remark = remark
            self.border_subtitle = Text(remark) if remark else None
