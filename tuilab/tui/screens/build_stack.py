"""The stack: every layer with its settings, its output and its parameters; what does not fit is marked."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.binding import Binding

from tuilab.blocks.arrays import Shape
from tuilab.experiment.draft import Draft
from tuilab.experiment.stack import LayerRow
from tuilab.tui.forms.lines import Line, Lines, spread

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
    def chosen_layers(self) -> range:
        """The layers that are chosen."""
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
        digits = max(2, len(str(len(draft.rows))))
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
        for row in draft.rows:
            number = f"{row.index + 1:>{digits}}"
            if row.problem:
                left = [(f"{number}! ", "bad"), (row.settings, "bad")]
                room = width - digits - 2 - cell_len(row.settings) - 2
                why = row.problem.removeprefix(f"{row.type} ")
                lines.append(spread([*left, (f"  {why}" if room > 8 else "", "bad")], [], width))
                continue
            output = shapes[row.index + 1]
            right = [(_columns(output, counts[row.index + 1], wide, count_wide), "")]
            lines.append(spread([(f"{number}  ", "quiet"), (_without_size(row), "")], right, width))
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
