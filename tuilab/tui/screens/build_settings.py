"""The settings of training and data in short lines; each opens the form with its field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from textual.binding import Binding

from tuilab.experiment.draft import Draft
from tuilab.experiment.problems import Location, place
from tuilab.experiment.sections import value_at
from tuilab.tui.forms.fields import shown_value
from tuilab.tui.forms.lines import Line, Lines, Piece, spread
from tuilab.tui.screens.build_everywhere import penalties

LABEL = 11
REGULARIZE = "regularize"


@dataclass(frozen=True)
class Setting:
    """One setting in short, and where its form is."""

    label: str
    value: str
    form: Location
    field: Location
    problem: str = ""


class SettingLines(Lines):
    """Some lines hold several settings; left and right move between them."""

    cursor_line = False
    BINDINGS = [
        Binding("right", "side(1)", "next", show=False, id="settings.right"),
        Binding("left", "side(-1)", "before", show=False, id="settings.left"),
    ]
    help_text = "Training and data in short. Enter opens the form of the setting with the cursor."

    def __init__(self) -> None:
        super().__init__()
        self.draft: Draft | None = None
        self.settings: list[list[Setting]] = []
        self.side = 0

    @property
    def setting(self) -> Setting | None:
        """The setting with the cursor."""
        line = self.settings[self.cursor] if self.cursor < len(self.settings) else []
        return line[min(self.side, len(line) - 1)] if line else None

    def show(self, draft: Draft) -> None:
        self.draft = draft
        self.renew()

    def make_lines(self, width: int) -> list[Line]:
        if self.draft is None:
            return []
        self.settings = settings_of(self.draft)
        return [self._line(number, settings, width) for number, settings in enumerate(self.settings)]

    def _line(self, number: int, settings: list[Setting], width: int) -> Line:
        pieces: list[Piece] = []
        for side, setting in enumerate(settings):
            here = number == self.cursor and side == min(self.side, len(settings) - 1)
            tone = "cursor" if here and self.has_focus else ""
            label = setting.label.ljust(LABEL) if side == 0 and cell_len(setting.label) < LABEL else f"{setting.label} "
            sign = "! " if setting.problem else ""
            pieces += [(label, tone or "quiet"), (f"{sign}{setting.value}", tone or ("bad" if setting.problem else ""))]
            if side < len(settings) - 1:
                pieces.append(("   ", ""))
        return spread(pieces, [], width)

    def action_side(self, by: int) -> None:
        count = len(self.settings[self.cursor]) if self.cursor < len(self.settings) else 1
        self.side = max(0, min(min(self.side, count - 1) + by, count - 1))
        self.renew()
        self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        super().action_move(by)
        self.renew()

    def on_focus(self) -> None:
        self.renew()

    def on_blur(self) -> None:
        self.renew()


def settings_of(draft: Draft) -> list[list[Setting]]:
    """Return the settings that matter most, several to a line where they are short."""
    document = draft.document
    problems = {problem.place: problem.message for problem in draft.problems if not problem.place.startswith("layers")}

    def setting(label: str, form: Location, field: Location, value: str | None = None) -> Setting:
        written = place(field)
        said = next((text for at, text in problems.items() if at == written or at.startswith(f"{written}.")), "")
        return Setting(label, shown_value(document, field, _kind(field)) if value is None else value, form, field, said)

    training: Location = ("training",)
    data: Location = ("data",)
    stopping = value_at(document, ("training", "early_stopping"))
    stop = "no"
    if isinstance(stopping, dict):
        monitor = shown_value(document, ("training", "early_stopping", "monitor"), "text")
        stop = f"{monitor}, patience {shown_value(document, ('training', 'early_stopping', 'patience'), 'number')}"
    source: Location = ("data", "dataset")
    if value_at(document, source) is None and value_at(document, ("data", "path")) is not None:
        source = ("data", "path")
    split = shown_value(document, ("data", "validation_split"), "number")
    return [
        [setting("loss", training, ("training", "loss"))],
        [setting("optimizer", training, ("training", "optimizer"))],
        [
            setting("epochs", training, ("training", "epochs")),
            setting("batch", data, ("data", "batch_size")),
            setting("seed", (), ("seed",)),
        ],
        [setting("stop early", training, ("training", "early_stopping"), stop)],
        [setting(REGULARIZE, training, ("layers",), penalties(draft))],
        [setting("metrics", training, ("training", "metrics"))],
        [setting("data", data, source), setting("validation", data, ("data", "validation_split"), split)],
        [setting("name", (), ("name",)), setting("device", training, ("training", "device"))],
    ]


def _kind(field: Location) -> Any:
    last = field[-1]
    if last in ("loss", "optimizer", "dataset"):
        return "block"
    return "blocks" if last == "metrics" else "number"
