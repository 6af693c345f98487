"""Lines with a cursor: the base of the stack of layers, of forms and of short settings. Draws what is in sight, and of
a new state only the lines that have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from tuilab.text import clean_text
from tuilab.tui.widgets.selectable import Selectable

Piece: TypeAlias = tuple[str, str]
"""A text and its tone, one of TONES or empty."""
Line: TypeAlias = tuple[Piece, ...]

TONES = ("quiet", "bad", "own", "accent", "cursor", "blurred")
LONGEST = 1000
GUTTER = 2
"""Columns at the left for the sign of the cursor."""


class Lines(Selectable, can_focus=True):
    """A list that scrolls with its cursor. A subclass gives the lines for a width in `make_lines`."""

    BINDINGS = [
        Binding("down", "move(1)", "down", show=False, id="lines.down"),
        Binding("up", "move(-1)", "up", show=False, id="lines.up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="lines.page_down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="lines.page_up"),
        Binding("home", "move(-1_000_000)", "first", show=False, id="lines.first"),
        Binding("end", "move(1_000_000)", "last", show=False, id="lines.last"),
    ]
    COMPONENT_CLASSES = {"lines--plain", *(f"lines--{tone}" for tone in TONES)}
    DEFAULT_CSS = """
    Lines { height: 1fr; }
    Lines .lines--quiet { color: $quiet; }
    Lines .lines--bad { color: $text-error; }
    Lines .lines--own { text-style: bold; }
    Lines .lines--accent { color: $accent; }
    Lines .lines--cursor { color: $block-cursor-foreground; background: $block-cursor-background; text-style: none; }
    Lines .lines--blurred { background: $block-cursor-blurred-background; }
    """

    class Moved(Message):
        """The cursor stands on another line."""

        def __init__(self, lines: Lines) -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> Lines:
            return self.lines

    class Chosen(Message):
        """The line with the cursor was clicked."""

        def __init__(self, lines: Lines) -> None:
            super().__init__()
            self.lines = lines

        @property
        def control(self) -> Lines:
            return self.lines

    cursor_line: ClassVar[bool] = True
    """Whether the whole line is in the colours of the cursor."""
    keeps_cursor: ClassVar[bool] = False
    """Whether the cursor is shown also when another widget has the focus."""

    @property
    def active(self) -> bool:
        """Whether keys come here."""
        return self.has_focus

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.lines: list[Line] = []
        self.header: list[Line] = []
        """Lines at the top that do not scroll."""
        self.cursor = 0
        self.other_end: int | None = None
        """The other end of the selection, where more than the line with the cursor is chosen."""
        self.top = 0

    def make_lines(self, width: int) -> list[Line]:
        """Return all lines, `width` cells wide; may set `header`."""
        raise NotImplementedError  # abstract

    def may_stop(self, line: int) -> bool:
        """Whether the cursor may stand on a line."""
        return True

    @property
    def chosen(self) -> range:
        """The lines that are chosen: that with the cursor, or a stretch."""
        other_end = self.cursor if self.other_end is None else self.other_end
        return range(min(other_end, self.cursor), max(other_end, self.cursor) + 1)

    @property
    def _room(self) -> int:
        return max(self.size.height - len(self.header), 1)

    @property
    def below(self) -> int:
        """How many lines are out of sight below."""
        return max(len(self.lines) - self.top - self._room, 0)

    def renew(self) -> None:
        """Make the lines anew and draw those that have changed."""
        before, top, head, chosen = self.lines, self.top, self.header, self.chosen
        self.lines = self.make_lines(self.size.width - GUTTER)
        self.cursor = self._stop_near(min(self.cursor, len(self.lines) - 1), 1)
        if self.other_end is not None:
            self.other_end = min(self.other_end, len(self.lines) - 1)
        self._keep_in_sight()
        if top != self.top or head != self.header:
            self.refresh()
            return
        for y in range(self._room):
            line = self.top + y
            now = self.lines[line] if line < len(self.lines) else None
            was = before[line] if line < len(before) else None
            if now != was or (line in chosen) != (line in self.chosen):
                self.refresh(Region(0, y + len(self.header), self.size.width, 1))

    def _stop_near(self, line: int, step: int) -> int:
        """Return the nearest line on which the cursor may stand, looked for in one direction first."""
        for direction in (step, -step):
            found = line
            while 0 <= found < len(self.lines):
                if self.may_stop(found):
                    return found
                found += direction
        return 0

    def _keep_in_sight(self) -> None:
        last = max(len(self.lines) - self._room, 0)
        self.top = max(min(self.top, self.cursor, last), min(self.cursor - self._room + 1, last), 0)
        if self.cursor == self._stop_near(0, 1):
            self.top = 0

    def move_to(self, line: int, select: bool = False) -> None:
        """Put the cursor on a line, or near to it; `select` lets the selection reach there."""
        step = 1 if line >= self.cursor else -1
        before, other_end = self.cursor, self.other_end
        self.cursor = self._stop_near(max(0, min(line, len(self.lines) - 1)), step)
        self.other_end = (before if other_end is None else other_end) if select else None
        if (before, other_end) != (self.cursor, self.other_end):
            self._keep_in_sight()
            self.refresh()
            self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(self._room - 1, 1))

    def on_resize(self) -> None:
        self.lines = self.make_lines(self.size.width - GUTTER)
        self._keep_in_sight()
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        line = self.top + event.y - len(self.header)
        if event.y < len(self.header) or line >= len(self.lines) or self.text_selection is not None:
            return
        if line == self.cursor:
            self.post_message(self.Chosen(self))
        else:
            self.move_to(line)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def draw_line(self, y: int) -> Strip:
        width = self.size.width
        style = self.get_component_rich_style("lines--plain")
        if y < len(self.header):
            return self._strip("", self.header[y], style, width)
        line = self.top + y - len(self.header)
        if line >= len(self.lines):
            return Strip.blank(width, style)
        shows_cursor = self.active or self.keeps_cursor
        pieces, sign = self.lines[line], "▸" if line == self.cursor and shows_cursor else ""
        if line in self.chosen and self.cursor_line and shows_cursor:
            style = self.get_component_rich_style("lines--cursor" if self.active else "lines--blurred")
            if self.active:
                pieces = tuple((text, "") for text, _ in pieces)
        return self._strip(sign, pieces, style, width)

    def _strip(self, sign: str, line: Sequence[Piece], style: Style, width: int) -> Strip:
        segments = [Segment(sign.ljust(GUTTER), style)]
        for text, tone in line:
            toned = self.get_component_rich_style(f"lines--{tone}", partial=True) if tone else None
            segments.append(Segment(text, style + toned if toned is not None else style))
        return Strip(segments).simplify().adjust_cell_length(width, style)


def spread(left: Sequence[Piece], right: Sequence[Piece], width: int) -> Line:
    """Return a line with pieces at its left and at its right end, where the left ones give way. Texts may come from
    anywhere."""
    right = [(clean_text(text, LONGEST), tone) for text, tone in right]
    end = sum(cell_len(text) for text, _ in right)
    room = max(width - end, 0)
    kept: list[Piece] = []
    for text, tone in left:
        text = clean_text(text, LONGEST)
        if cell_len(text) > room:
            text = set_cell_size(text, max(room - 1, 0)) + "…" if room else ""
        room -= cell_len(text)
        kept.append((text, tone))
    return (*kept, (" " * room, ""), *right)
