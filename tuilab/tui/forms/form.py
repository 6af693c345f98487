"""The form of a block or of a table of settings: one line a field, edited where it stands, by keys alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from tuilab.blocks.layers import Layer
from tuilab.errors import Problem
from tuilab.experiment.draft import Draft
from tuilab.experiment.problems import Location
from tuilab.experiment.save import brief
from tuilab.experiment.sections import LAYERS, value_at
from tuilab.tui.forms.fields import (
    MORE,
    Choice,
    Field,
    choices_of,
    edited_text,
    explanation,
    fields_of,
    value_of,
)
from tuilab.tui.forms.lines import GUTTER, Line, Lines, spread
from tuilab.tui.forms.pick import PickScreen
from tuilab.tui.listing import wrapped

NONE = "none"


@dataclass(frozen=True)
class Made:
    """In place of a draft, a layer that another one makes: it has no place in the file, so nothing can be changed."""

    layer: Layer
    location: ClassVar[Location] = (*LAYERS, 0)
    problems: ClassVar[tuple[Problem, ...]] = ()

    @cached_property
    def document(self) -> dict[str, Any]:
        return {"layers": [brief(self.layer)]}


class FormLines(Lines):
    """The fields; those whose value nobody has set are quiet, a wrong one has the reason below it."""

    BINDINGS = [
        Binding("enter", "edit", "edit", id="form.edit"),
        Binding("space", "next", "next value", show=False, id="form.next"),
        Binding("right", "unfold(True)", "unfold", show=False, id="form.unfold"),
        Binding("left", "unfold(False)", "fold", show=False, id="form.fold"),
        Binding("delete,backspace", "clear", "default", id="form.clear"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.draft: Draft | Made | None = None
        self.location: Location = ()
        self.opened: set[Location] = set()
        self.fields: list[Field] = []
        self.field_of_line: list[int] = []
        """For every line the field that begins there, -1 for a line that goes on."""

    @property
    def field(self) -> Field | None:
        """The field with the cursor."""
        index = self.field_of_line[self.cursor] if self.cursor < len(self.field_of_line) else -1
        return self.fields[index] if index >= 0 else None

    @property
    def help_text(self) -> str:
        if self.field is None or self.draft is None:
            return ""
        return f"{self.field.name}: {explanation(self.draft.document, self.field)}"

    def show(self, draft: Draft | Made, location: Location) -> None:
        """Show what stands at a place; the cursor stays on the field of the same name."""
        if (draft, location) == (self.draft, self.location):
            self.renew()
            return
        name = self.field.name if self.field is not None and self.field.name else "type"
        self.draft, self.location = draft, location
        self.cursor = self.top = 0
        self.renew()
        names = [field.name for field in self.fields]
        first = 1 if names[:1] == ["type"] and len(names) > 1 else 0
        index = names.index(name) if name in names and name != "type" else first
        if self.fields:
            self.move_to(self.field_of_line.index(index))

    def make_lines(self, width: int) -> list[Line]:
        if self.draft is None:
            return []
        most = max(self.size.height - 2, 6)
        draft = self.draft
        self.fields = fields_of(draft.document, self.location, draft.problems, self.opened, most)
        lines: list[Line] = []
        self.field_of_line = []
        for index, field in enumerate(self.fields):
            lines.append(self._line(field, width))
            self.field_of_line.append(index)
            for number, text in enumerate(wrapped(field.problem, max(width - 4, 1), 4) if field.problem else []):
                lines.append(spread([("    " if number else "  └ ", "bad"), (text, "bad")], [], width))
                self.field_of_line.append(-1)
        return lines

    def _line(self, field: Field, width: int) -> Line:
        sign = "!" if field.problem else {None: " ", True: "−", False: "+"}[field.open]
        name = f"{sign} {'  ' * field.depth}{field.name}"
        tone = "bad" if field.problem else "own" if field.written else "quiet"
        value = field.value
        left = [(name, "bad" if field.problem else "")]
        mark = " ▾" if field.kind in ("choice", "block", "rate") else "  "
        if field.kind in ("more", "add"):
            return spread([*left, (f"{'+' if field.kind == 'add' else '…'} {value}", "quiet")], [], width)
        room = max(width - cell_len(name) - 3, width // 3, 1)
        (shown, *_) = wrapped(value, room, 1) or [""]
        return spread(left, [(" " + shown, tone), (mark, "quiet")], width)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        more = action == "edit" and self.field is not None and self.field.kind == "more"
        return None if isinstance(self.draft, Made) and action in ("edit", "next", "clear") and not more else True

    def may_stop(self, line: int) -> bool:
        return line < len(self.field_of_line) and self.field_of_line[line] >= 0

    def line_of(self, location: Location) -> int | None:
        """Return the line of a field."""
        for index, field in enumerate(self.fields):
            if field.location == location:
                return self.field_of_line.index(index)
        return None

    @dataclass
    class Edit(Message):
        """A field shall be edited as a text."""

        field: Field

    def action_edit(self) -> None:
        field = self.field
        if field is None:
            return
        if field.kind == "more":
            self._open(field.location, True)
        elif isinstance(self.draft, Made):
            return
        elif field.kind in ("switch", "table"):
            self.action_next()
        elif field.kind in ("choice", "block", "add"):
            self.pick()
        elif field.kind == "blocks":
            self._open(field.location, not field.open)
        elif field.kind == "layers":
            self.post_message(Form.Add(field.location))
        elif field.kind == "rate" and field.open is not None:
            self.pick()
        else:
            self.post_message(self.Edit(field))

    def action_next(self) -> None:
        """Go to the next value of a choice; for a block, show all of them."""
        field, draft = self.field, self.draft
        if field is None or not isinstance(draft, Draft):
            return
        value = value_at(draft.document, field.location)
        if field.kind == "switch":
            self._set(field, _next_switch(field))
        elif field.kind == "table":
            self._set(field, None if value is not None else {})
            self._open(field.location, value is None)
        elif field.kind == "choice":
            names = [choice.name for choice in choices_of(draft.document, field.location)]
            at = names.index(field.value) if field.value in names else -1
            self._set(field, names[(at + 1) % len(names)])
        elif field.kind in ("block", "rate", "add"):
            self.pick()
        else:
            self.action_edit()

    def pick(self) -> None:
        """Let the user choose from all values of a field."""
        field, draft = self.field, self.draft
        assert field is not None
        assert isinstance(draft, Draft)
        choices = choices_of(draft.document, field.location)
        if field.optional:
            choices = [Choice(NONE, "nothing"), *choices]
        current = draft.type_at(field.location) or field.value
        self.app.push_screen(PickScreen(field.name, choices, current), lambda name: self._picked(field, name))

    def _picked(self, field: Field, name: str | None) -> None:
        if name is None:
            return
        if name == NONE and field.optional:
            self._set(field, None)
        elif field.kind in ("choice", "add"):
            self._set(field, name)
        else:
            self.post_message(Form.TypeChanged(field.location, name))

    def action_unfold(self, unfold: bool) -> None:
        field = self.field
        if field is None:
            return
        if unfold and field.kind == "more":
            self._open(field.location, True)
        elif field.open is not None and field.open != unfold:
            self._open(field.location, unfold)
        elif not unfold and len(field.location) > len(self.location) + 1:
            line = self.line_of(field.location[:-1])
            if line is not None:
                self.move_to(line)
        elif unfold and field.kind in ("choice", "switch"):
            self.action_next()

    def action_clear(self) -> None:
        """Let a field have its default again; take an entry of a list out."""
        field = self.field
        if field is None or not isinstance(self.draft, Draft):
            return
        if field.kind not in ("more", "add") and field.name != "type":
            self._set(field, None)

    def unfold(self, location: Location) -> None:
        """Show the settings of the block at a place, if it has any."""
        self._open(location, True)

    def _open(self, location: Location, is_open: bool) -> None:
        if is_open:
            self.opened.add(location)
        else:
            self.opened.discard(location)
        self.renew()
        self.post_message(self.Moved(self))

    def _set(self, field: Field, value: Any) -> None:
        self.post_message(Form.Set(field.location, value))


def _next_switch(field: Field) -> bool | None:
    if field.optional:
        return {"none": True, "yes": False, "no": None}.get(field.value)
    return field.value != "yes"


class FieldInput(Input):
    """The text of one field while it is edited, in the place of its value."""

    BINDINGS = [
        Binding("escape", "take_back", "take back", id="form.take_back"),
        Binding("tab", "apply(1)", "next field", show=False, id="form.next_field"),
        Binding("shift+tab", "apply(-1)", "field before", show=False, id="form.field_before"),
        Binding("down", "apply(1)", "next field", show=False, id="form.down"),
        Binding("up", "apply(-1)", "field before", show=False, id="form.up"),
    ]

    @dataclass
    class Left(Message):
        """Done: with the text, or without a change where that is None; then the field `by` lines further."""

        text: str | None
        by: int

    def action_take_back(self) -> None:
        self.post_message(self.Left(None, 0))

    def action_apply(self, by: int) -> None:
        self.post_message(self.Left(self.value, by))

    async def action_submit(self) -> None:
        self.post_message(self.Left(self.value, 0))

    def on_blur(self) -> None:
        if self.app.app_focus:  # not when the user looks at another window
            self.post_message(self.Left(self.value, 0))


class Form(Widget):
    """Shows and edits what stands at a place of a draft. Says what is wanted in messages; whoever shows it does it."""

    DEFAULT_CSS = """
    Form { layers: lines editor; height: 1fr; }
    Form FormLines { layer: lines; }
    Form FieldInput { layer: editor; display: none; border: none; height: 1; padding: 0; background: $panel; }
    Form FieldInput.editing { display: block; }
    """

    @dataclass
    class Set(Message):
        """A field was given a value, None for its default."""

        location: Location
        value: Any

    @dataclass
    class Add(Message):
        """A layer shall be put into a list of layers."""

        location: Location

    @dataclass
    class TypeChanged(Message):
        """Another block was chosen for a field."""

        location: Location
        name: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines = FormLines()
        self.input = FieldInput(compact=True, select_on_focus=True)
        self.edited: Field | None = None

    def compose(self) -> ComposeResult:
        yield self.lines
        yield self.input

    @property
    def field(self) -> Field | None:
        return self.edited or self.lines.field

    def show(self, draft: Draft | Made, location: Location) -> None:
        """Show what stands at a place; the cursor stays on its field where that is the same place."""
        self.lines.show(draft, location)

    def go_to(self, location: Location) -> None:
        """Put the cursor on a field, unfolding what it is in."""
        for depth in range(len(self.lines.location) + 1, len(location)):
            self.lines.opened.add(location[:depth])
        if self.lines.line_of(location) is None:
            self.lines.opened.add((*location[:-1], MORE))
        self.lines.renew()
        line = self.lines.line_of(location)
        if line is not None:
            self.lines.move_to(line)

    def on_form_lines_edit(self, event: FormLines.Edit) -> None:
        event.stop()
        self.start(event.field)

    def start(self, field: Field) -> None:
        """Let the user type the value of a field."""
        draft = self.lines.draft
        assert draft is not None
        self.edited = field
        self.input.value = edited_text(draft.document, field)
        self._place_input()
        self.input.add_class("editing")
        self.input.focus()

    def _place_input(self) -> None:
        line = self.lines.line_of(self.edited.location) if self.edited else None
        if self.edited is None or line is None:
            return
        start = min(GUTTER + 3 + 2 * self.edited.depth + cell_len(self.edited.name), max(self.size.width - 12, 0))
        self.input.styles.offset = (start, line - self.lines.top)
        self.input.styles.width = max(self.size.width - start, 1)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._place_input)

    def on_field_input_left(self, event: FieldInput.Left) -> None:
        event.stop()
        field, draft = self.edited, self.lines.draft
        if field is None or draft is None:
            return
        self.edited = None
        if self.input.has_focus:
            self.lines.focus()
        self.input.remove_class("editing")
        if event.text is not None and event.text != edited_text(draft.document, field):
            self.post_message(self.Set(field.location, value_of(field, event.text)))
        if event.by:
            self.lines.action_move(event.by)
