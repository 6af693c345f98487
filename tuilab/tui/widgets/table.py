"""A table with a cursor: draws the lines that are in sight, and of a new state only the cells that have changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from tuilab.tui.listing import GAP, KEPT, Cell, Line, Listing, Placed, cut, laid_out, make_listing
from tuilab.tui.widgets.selectable import Selectable

TONES = ("good", "bad", "warn", "quiet", "accent")
HEADER = 1
"""Lines above the first one."""


class Table(Selectable, can_focus=True):
    """Lines below a header. The cursor stays with its line wherever that moves."""

    BINDINGS = [
        Binding("down,j", "move(1)", show=False, id="table.down"),
        Binding("up,k", "move(-1)", show=False, id="table.up"),
        Binding("pagedown", "page(1)", show=False, id="table.page_down"),
        Binding("pageup", "page(-1)", show=False, id="table.page_up"),
        Binding("home,g", "move(-1_000_000)", show=False, id="table.first"),
        Binding("end,G", "move(1_000_000)", show=False, id="table.last"),
    ]
    COMPONENT_CLASSES = {
        "table--line",
        "table--header",
        "table--cursor",
        "table--cursor-blurred",
        *(f"table--{tone}" for tone in TONES),
        *(f"table--line-{number}" for number in range(1, 9)),
    }
    DEFAULT_CSS = """
    Table { height: 1fr; }
    Table .table--header { color: $text-muted; }
    Table .table--cursor { color: $block-cursor-foreground; background: $block-cursor-background;
        text-style: $block-cursor-text-style; }
    Table .table--cursor-blurred { background: $block-cursor-blurred-background; text-style: bold; }
    Table .table--good { color: $text-success; }
    Table .table--bad { color: $text-error; }
    Table .table--warn { color: $text-warning; }
    Table .table--quiet { color: $quiet; }
    Table .table--accent { color: $accent; }
    """

    @dataclass
    class Moved(Message):
        """The cursor is on another line, or on none."""

        table: Table
        key: str | None

        @property
        def control(self) -> Table:
            return self.table

    @dataclass
    class Clicked(Message):
        """The line was clicked that has the cursor already."""

        table: Table

        @property
        def control(self) -> Table:
            return self.table

    def __init__(self, *, id: str | None = None, cursor: bool = True) -> None:
        super().__init__(id=id)
        self.can_focus = self.cursor = cursor
        self.listing: Listing = make_listing((), ())
        self.key: str | None = None
        """Of the line with the cursor."""
        self.signs: Mapping[str, Cell] = {}
        """In front of lines, by their keys."""
        self._gutter = 2 if cursor else 0
        """Characters for the sign of a line."""
        self._top = 0
        """The first line in sight."""
        self._placed: list[Placed] = []

    @property
    def row(self) -> int:
        """The number of the line with the cursor."""
        return self.listing.places.get(self.key or "", 0)

    @property
    def _rows_in_sight(self) -> int:
        return max(self.size.height - HEADER, 1)

    def show(self, listing: Listing) -> None:
        """Show another state; the cursor stays with its line, or near to where that was."""
        before, top, placed, row = self.listing, self._top, self._placed, self.row
        self.listing = listing
        self._placed = listing.fit(self.size.width - self._gutter)
        if self.key not in listing.places:
            self._put_cursor(min(row, len(listing.lines) - 1))
        self._scroll_to_cursor()
        if top != self._top or placed != self._placed or len(before.lines) != len(listing.lines):
            self.refresh()
            return
        for y in range(self._rows_in_sight):
            self._refresh_changes(y, _at(before, top + y), _at(listing, top + y))

    def _refresh_changes(self, y: int, before: Line | None, now: Line | None) -> None:
        if before == now or before is None or now is None:
            return
        y += HEADER
        if (before.key, before.rest) != (now.key, now.rest):
            self.refresh(Region(0, y, self.size.width, 1))
            return
        changed = [place for place in self._placed if before.cells[place.index] != now.cells[place.index]]
        if changed:
            start, end = self._gutter + changed[0].x, self._gutter + changed[-1].x + changed[-1].width
            self.refresh(Region(start, y, end - start, 1))

    def show_signs(self, signs: Mapping[str, Cell]) -> None:
        """Put signs in front of lines."""
        if signs != self.signs:
            self.signs = dict(signs)
            self.refresh(Region(0, HEADER, self._gutter, self._rows_in_sight))

    def move_to(self, key: str) -> None:
        """Put the cursor on a line."""
        if key in self.listing.places:
            self.action_move(self.listing.places[key] - self.row)

    def action_move(self, by: int) -> None:
        if not self.listing.lines:
            return
        before, top = self.row, self._top
        self._put_cursor(min(max(before + by, 0), len(self.listing.lines) - 1))
        self._scroll_to_cursor()
        if top != self._top:
            self.refresh()
        else:
            lines = (HEADER + row - top for row in (before, self.row))
            self.refresh(*(Region(0, y, self.size.width, 1) for y in lines))

    def action_page(self, by: int) -> None:
        self.action_move(by * self._rows_in_sight)

    def _put_cursor(self, row: int) -> None:
        key = self.listing.lines[row].key if 0 <= row < len(self.listing.lines) else None
        if key != self.key:
            self.key = key
            self.post_message(self.Moved(self, key))

    def _scroll_to_cursor(self) -> None:
        room = self._rows_in_sight
        row = self.row
        self._top = min(max(self._top, row - room + 1), row, max(len(self.listing.lines) - room, 0))

    def on_resize(self) -> None:
        self._placed = self.listing.fit(self.size.width - self._gutter)
        self._scroll_to_cursor()
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        row = self._top + event.y - HEADER
        if event.y < HEADER or row >= len(self.listing.lines) or self.text_selection is not None:
            return
        if row == self.row:
            self.post_message(self.Clicked(self))
        else:
            self.action_move(row - self.row)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)

    def draw_line(self, y: int) -> Strip:
        width = self.size.width
        if y < HEADER:
            return self._header_strip(width)
        row = self._top + y - HEADER
        plain = self.get_component_rich_style("table--line")
        if row >= len(self.listing.lines):
            return Strip.blank(width, plain)
        line = self.listing.lines[row]
        cursor = self.cursor and line.key == self.key
        if cursor:
            plain = self.get_component_rich_style("table--cursor" if self.has_focus else "table--cursor-blurred")
        sign = self.signs.get(line.key, Cell(""))
        segments = [
            Segment(laid_out(sign.text, self._gutter, False), self._style(sign.tone, plain, cursor)),
            *self._cells(line, plain, cursor),
        ]
        return Strip(segments).simplify().adjust_cell_length(width, plain)

    def _header_strip(self, width: int) -> Strip:
        plain = self.get_component_rich_style("table--header")
        segments = [Segment(" " * self._gutter, plain)]
        for place in self._placed:
            column = place.column
            text = laid_out(cut(column.header, place.width), place.width, column.right) + " " * GAP
            segments.append(Segment(text, self._style(column.tone, plain, False)))
        return Strip(segments).simplify().adjust_cell_length(width, plain)

    def _cells(self, line: Line, plain: Style, cursor: bool) -> list[Segment]:
        segments = []
        for place in self._placed[:KEPT] if line.rest else self._placed:
            text, tone = line.cells[place.index]
            segments.append(Segment(laid_out(text, place.width, place.column.right), self._style(tone, plain, cursor)))
            segments.append(Segment(" " * GAP, plain))
        if line.rest:
            used = self._gutter + sum(segment.cell_length for segment in segments)
            segments.append(Segment(cut(line.rest, self.size.width - used), plain))
        return segments

    def _style(self, tone: str, plain: Style, cursor: bool) -> Style:
        """Return the colours of a cell; under the cursor of a table with the focus all are alike."""
        if not tone or (cursor and self.has_focus):
            return plain
        return plain + self.get_component_rich_style(f"table--{tone}", partial=True)

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self.refresh()


def _at(listing: Listing, row: int) -> Line | None:
    return listing.lines[row] if row < len(listing.lines) else None
