"""Text that can be selected with the mouse and copied, in widgets that draw line by line."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.selection import Selection
from textual.strip import Strip

from tuilab.tui.widgets.steady import Steady


class Selectable(Steady):
    """What stands in sight can be selected. A subclass draws its lines in `draw_line`."""

    def draw_line(self, y: int) -> Strip:
        raise NotImplementedError  # abstract

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        lines = [self.draw_line(y).text.rstrip() for y in range(self.size.height)]
        return selection.extract("\n".join(lines)), "\n"

    def render_line(self, y: int) -> Strip:
        """Return a line that tells the mouse where it is, with its selected part marked."""
        strip = self.draw_line(y)
        selection = self.text_selection
        span = selection.get_span(y) if selection is not None else None
        if span is not None:
            start, end = (cell_len(strip.text[:at]) if at >= 0 else strip.cell_length for at in span)
            style = self.screen.get_component_rich_style("screen--selection")
            chosen = Strip(Segment.apply_style(strip.crop(start, end), post_style=style))
            strip = Strip.join([strip.crop(0, start), chosen, strip.crop(end)])
        return strip.apply_offsets(0, y)
