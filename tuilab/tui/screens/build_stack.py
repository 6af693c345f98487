"""The stack: every layer with its settings, its output and its parameters; what does not fit is marked."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.binding import Binding

from tuilab.blocks.arrays import Shape
from tuilab.experiment.draft import Draft
from tuilab.experiment.stack import LayerRow
from tuilab.tui.forms.lines import Line, Lines, spread

NUMBERED = 46
"""Columns from which on layers inside others have their numbers, too."""
EMPTY = "no layers yet: a adds the first one"


class StackLines(Lines):
    """The input and the layers below it. The line 0 is the input."""

    keeps_cursor = True

    BINDINGS = [
        Binding("shift+down", "extend(1)", "choose more", show=False, id="build.extend_down"),
        Binding("shift+up", "extend(-1)", "choose more", show=False, id="build.extend_up"),
        Binding("m", "mark", "mark", show=False, id="build.mark"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.draft: Draft | None = None
        self.marking = False

    @property
    def index(self) -> int | None:
        """The layer with the cursor; None on the input."""
        return self.cursor - 1 if self.draft is not None and 1 <= self.cursor <= len(self.draft.rows) else None

    @property
    def chosen(self) -> range:
        """The lines that are chosen: with what is inside them where several layers are, and with the layers around them
        where these are inside different ones."""
        lines, draft = super().chosen, self.draft
        last = min(lines.stop - 1, len(draft.rows)) if draft is not None else 0
        if draft is None or self.other_end is None or lines.start < 1 or last < lines.start:
            return lines
        where, indices = draft.chosen(lines.start - 1, last - 1)
        first, end = (draft.stack.row_at((*where, index)) for index in (indices[0], indices[-1]))
        assert first is not None
        assert end is not None
        return range(first + 1, draft.stack.last_inside(end) + 2)

    @property
    def chosen_layers(self) -> range:
        """The rows of the layers that are chosen."""
        count = len(self.draft.rows) if self.draft else 0
        return range(max(self.chosen.start - 1, 0), min(self.chosen.stop - 1, count))

    def show(self, draft: Draft) -> None:
        if draft is not self.draft:
            self.draft, self.cursor, self.top, self.other_end = draft, 1 if draft.rows else 0, 0, None
        self.renew()

    def choose(self, first: int, last: int) -> None:
        """Choose layers."""
        self.move_to(first + 1)
        self.cursor = last + 1
        self.other_end = first + 1 if last > first else None
        self._keep_in_sight()
        self.refresh()

    def make_lines(self, width: int) -> list[Line]:
        draft = self.draft
        if draft is None:
            return []
        shapes = [shape_text(draft.input_shape), *(shape_text(row.output_shape) for row in draft.rows)]
        counts = ["", *(f"{row.parameters:,}" if row.parameters else "" for row in draft.rows)]
        wide = max(6, *map(cell_len, shapes))
        count_wide = max(6, *map(len, counts)) if width >= 30 else 0
        numbers = [row.number if row.depth == 0 or width >= NUMBERED else "" for row in draft.rows]
        digits = min(max(2, *map(len, numbers)), max(width // 6, 2)) if numbers else 2
        self.header = [
            spread(
                [(f"{'#':>{digits}}  layer", "quiet")],
                [(_columns("output", "params", wide, count_wide), "quiet")],
                width,
            )
        ]
        data = draft.document.get("data")
        name = data.get("dataset") or data.get("path") if isinstance(data, dict) else None
        name = name.get("type") if isinstance(name, dict) else name
        first = [(f"{0:>{digits}}  ", "quiet"), ("input", ""), (f" {name}" if isinstance(name, str) else "", "quiet")]
        lines = [spread(first, [(_columns(shapes[0], "", wide, count_wide), "")], width)]
        for index, row in enumerate(draft.rows):
            number = numbers[index] if len(numbers[index]) <= digits else f"…{numbers[index][1 - digits :]}"
            guide = _guide(draft, index, width)
            if row.problem:
                shown = _title(row) or row.settings
                left = [(f"{number:>{digits}}! ", "bad"), (guide, "quiet"), (shown, "bad")]
                room = width - digits - 2 - cell_len(guide + shown) - 2
                why = row.problem.removeprefix(f"{row.type} ")
                lines.append(spread([*left, (f"  {why}" if room > 8 else "", "bad")], [], width))
                continue
            right = [(_columns(shapes[index + 1], counts[index + 1], wide, count_wide), "")]
            shown = _title(row) or _without_size(row)
            left = [(f"{number:>{digits}}  ", "quiet"), (guide, "quiet"), (shown, "own" if row.has_inside else "")]
            lines.append(spread(left, right, width))
        if not draft.rows:
            lines.append(spread([(" " * (digits + 2) + EMPTY, "quiet")], [], width))
        return lines

    def may_stop(self, line: int) -> bool:
        return self.draft is not None and line <= len(self.draft.rows)

    def action_extend(self, by: int) -> None:
        if self.cursor + by >= 1:
            self.move_to(self.cursor + by, select=True)

    def action_mark(self) -> None:
        """Let the next moves of the cursor choose everything from here."""
        self.marking = not self.marking
        if not self.marking:
            self.other_end = None
            self.refresh()

    def action_move(self, by: int) -> None:
        if self.marking:
            self.action_extend(by)
        else:
            super().action_move(by)


def _guide(draft: Draft, index: int, width: int) -> str:
    """Return the lines that lead from the layers around a row to it; with the name of its list where that is not
    `layers`."""
    rows, location = draft.rows, draft.rows[index].location
    end = draft.stack.last_inside
    lines = ""
    for depth in range(2, len(location) - 1, 2):
        around = draft.stack.row_at(location[:depth])
        inner = draft.stack.row_at(location[: depth + 2])
        assert around is not None
        assert inner is not None
        goes_on = end(inner) < end(around)
        lines += ("├ " if goes_on else "└ ") if inner == index else ("│ " if goes_on else "  ")
    held = location[-2]
    if rows[index].depth == 0 or held == "layers":
        return lines
    return f"{lines}{held} " if width >= NUMBERED else f"{lines}{str(held)[:4]}. "


def _title(row: LayerRow) -> str:
    """Return a layer around others by its name, where it has one; empty where it has none."""
    if not row.has_inside or not row.name:
        return ""
    return f"{row.name} {row.settings.removeprefix('repeat')}".replace("  ", " ").rstrip()


def _without_size(row: LayerRow) -> str:
    """Return the settings of a layer without the number that its output shows."""
    name, _, rest = row.settings.partition(" ")
    size, _, others = rest.partition(" ")
    return f"{name} {others}" if row.output_shape and size == str(row.output_shape[-1]) else row.settings


def shape_text(shape: Shape | None) -> str:
    return "" if shape is None else "×".join(map(str, shape)) or "1"


def _columns(output: str, count: str, wide: int, count_wide: int) -> str:
    right = f"  {count:>{count_wide}}" if count_wide else ""
    return f"  {' ' * (wide - cell_len(output))}{set_cell_size(output, min(cell_len(output), wide))}{right}"
