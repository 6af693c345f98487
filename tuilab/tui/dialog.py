"""What every dialog of the lab is: a screen over a dimmed picture of the one below."""

from __future__ import annotations

from typing import Self

from textual.geometry import Region
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen, ScreenResultType
from textual.strip import Strip

from tuilab.tui.painting import PaintedOnce


class Dialog(ModalScreen[ScreenResultType], PaintedOnce[ScreenResultType]):
    """Dims the screen below when it opens, and again where that has changed.

    Textual would do so for every line that it paints, which takes longer than the dialog itself. It takes the rules of
    style from the first base.
    """

    _below: list[Strip] | None = None
    _taken: object = None
    """The size and the colour of the picture."""

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if regions:  # named by the screen below, which has changed there
            self._below = None
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def render_line(self, y: int) -> Strip:
        if self._below is None or self._taken != (self.size, self.styles.background):
            self._taken = self.size, self.styles.background
            self._below = self._dimmed()
        return self._below[y] if y < len(self._below) else Strip.blank(self.size.width)

    def _dimmed(self) -> list[Strip]:
        colour = self.styles.background
        stack = self.app.screen_stack
        below = stack[stack.index(self) - 1]
        return [
            Strip(BackgroundScreen.process_segments(strip, colour), strip.cell_length)
            for strip in below._compositor.render_strips()
        ]
