"""A searchable list of choices, each with what it does: for layer types, activations, ready-made experiments."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from tuilab.text import clean_text
from tuilab.tui.dialog import Dialog
from tuilab.tui.forms.fields import Choice
from tuilab.tui.forms.lines import Line, Lines, spread
from tuilab.tui.forms.prose import flowing


class ChoiceLines(Lines):
    """The choices that were found. The focus stays with the search, so this list always shows its cursor as active."""

    can_focus = False
    active: bool = True

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self.choices = list(choices)
        self.name_width = min(max((cell_len(choice.name) for choice in choices), default=0), 48)

    @property
    def choice(self) -> Choice | None:
        return self.choices[self.cursor] if self.cursor < len(self.choices) else None

    def make_lines(self, width: int) -> list[Line]:
        return [
            spread(
                [
                    (set_cell_size(clean_text(name, 80), self.name_width), ""),
                    (f"  {clean_text(summary, 200)}", "quiet"),
                ],
                [],
                width,
            )
            for name, summary in ((choice.name, choice.summary) for choice in self.choices)
        ]


class PickScreen(Dialog[str | None]):
    """Type to search, arrows to move, enter to choose, escape to leave everything as it is."""

    BINDINGS = [
        Binding("escape", "leave", "cancel", id="pick.cancel"),
        Binding("down", "move(1)", "down", show=False, id="pick.down", priority=True),
        Binding("up", "move(-1)", "up", show=False, id="pick.up", priority=True),
        Binding("pagedown", "page(1)", "page down", show=False, id="pick.page_down", priority=True),
        Binding("pageup", "page(-1)", "page up", show=False, id="pick.page_up", priority=True),
    ]
    help_text = "Type a part of a name or of what it does; arrows move, enter chooses, escape leaves."

    def __init__(self, title: str, choices: Sequence[Choice], current: str = "") -> None:
        super().__init__()
        self.titled = title
        self.choices = list(choices)
        self.current = current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Text(self.titled)
            yield Input(placeholder="type to search", compact=True)
            yield ChoiceLines(self.choices)
            if any(choice.documentation for choice in self.choices):
                with VerticalScroll(can_focus=False):
                    yield Static(markup=False)

    def on_mount(self) -> None:
        self._search("")
        names = [choice.name for choice in self.lines.choices]
        if self.current in names:
            self.lines.move_to(names.index(self.current))

    @property
    def lines(self) -> ChoiceLines:
        return self.query_one(ChoiceLines)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def on_input_submitted(self) -> None:
        if self.lines.choice is not None:
            self.dismiss(self.lines.choice.name)

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        event.stop()
        self.on_input_submitted()

    def on_lines_moved(self, event: Lines.Moved) -> None:
        event.stop()
        self._explain()

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_move(self, by: int) -> None:
        self.lines.action_move(by)

    def action_page(self, by: int) -> None:
        self.lines.action_page(by)

    def _search(self, words: str) -> None:
        self.lines.choices = found(self.choices, words)
        self.query_one(".dialog").border_subtitle = "" if self.lines.choices else "nothing fits"
        self.lines.cursor = 0
        self.lines.renew()
        self._explain()

    def _explain(self) -> None:
        for static in self.query(VerticalScroll).results(VerticalScroll):
            text = self.lines.choice.documentation if self.lines.choice else ""
            static.query_one(Static).update(Text(flowing(text)))
            static.scroll_home(animate=False)


def found(choices: Sequence[Choice], words: str) -> list[Choice]:
    """Return the choices that have every word: names that begin with it, of which it says most, first; then other names
    with it; then what has it anywhere."""
    wanted = words.casefold().split()

    def rank(choice: Choice) -> tuple[int, int]:
        name = choice.name.casefold()
        if not wanted:
            return (0, 0)
        if name.startswith(wanted[0]):
            return (0, len(name))
        return (1 if wanted[0] in name else 2, 0)

    known = [(choice, f"{choice.name} {choice.summary}".casefold()) for choice in choices]
    return sorted((choice for choice, text in known if all(word in text for word in wanted)), key=rank)
