"""Build: the stack of layers, and the form of what has the cursor; every edit is checked at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from tuilab.blocks.activations import Activation
from tuilab.blocks.block import Block
from tuilab.engine.driver import load_driver
from tuilab.errors import UsageError
from tuilab.experiment.draft import Draft
from tuilab.experiment.edits import default_at, location_of, settings_model
from tuilab.experiment.problems import Location
from tuilab.experiment.sections import LAYERS, value_at
from tuilab.experiment.stack import LayerRow
from tuilab.tui.forms.fields import explanation
from tuilab.tui.forms.form import Form, FormLines, Made
from tuilab.tui.forms.lines import Lines
from tuilab.tui.forms.prose import flowing
from tuilab.tui.screens.build_about import About
from tuilab.tui.screens.build_edits import EditScreen
from tuilab.tui.screens.build_settings import REGULARIZE, SettingLines
from tuilab.tui.screens.build_stack import StackLines, shape_text
from tuilab.tui.screens.build_timing import EpochTimer
from tuilab.tui.screens.build_totals import said, totals_text
from tuilab.tui.widgets.panel import Panel

SECONDS_BEFORE_MEASURING = 0.8
LAYER_ACTIONS = {"insert", "delete", "duplicate", "shift", "cut", "copy", "paste", "repeat", "into", "out"}
"""What acts on the chosen layers: not while the form of something else has the focus."""
MADE = "Made by {}, so it cannot be changed here: < writes all its layers into the file."
TITLES: dict[Location, str] = {(): "Experiment", ("training",): "Training", ("data",): "Data"}


class BuildScreen(EditScreen):
    """An experiment being built. What is edited is the draft of the session."""

    CSS_PATH = "build.tcss"
    BINDINGS = [
        Binding("a", "add", "add", id="build.add"),
        Binding("enter", "edit", "edit", id="build.edit"),
        Binding("t", "train", "train", id="build.train"),
        Binding("u", "undo", "undo", id="build.undo"),
        Binding("d", "delete", "delete", id="build.delete"),
        Binding("A", "everywhere", "all layers", id="build.everywhere"),
        Binding("l", "library", "library", id="build.library"),
        Binding("i", "insert", "insert", show=False, id="build.insert"),
        Binding("D", "duplicate", "duplicate", show=False, id="build.duplicate"),
        Binding("J", "shift(1)", "move down", show=False, id="build.move_down"),
        Binding("K", "shift(-1)", "move up", show=False, id="build.move_up"),
        Binding("x", "cut", "cut", show=False, id="build.cut"),
        Binding("c", "copy", "copy", show=False, id="build.copy"),
        Binding("v", "paste", "paste", show=False, id="build.paste"),
        Binding("r", "repeat", "repeat", show=False, id="build.repeat"),
        Binding("greater_than_sign", "into", "group", show=False, id="build.into"),
        Binding("less_than_sign", "out", "ungroup", show=False, id="build.out"),
        Binding("U,ctrl+r", "redo", "redo", show=False, id="build.redo"),
        Binding("R", "reset", "reset", show=False, id="build.reset"),
        Binding("w", "save", "save", show=False, id="build.save"),
        Binding("W", "save_as", "save as", show=False, id="build.save_as"),
        Binding("o", "open", "open", show=False, id="build.open"),
        Binding("n", "new", "new", show=False, id="build.new"),
        Binding("escape", "back", "back", show=False, id="build.back"),
        Binding("tab", "next_panel(1)", "next panel", show=False, id="build.next_panel"),
        Binding("shift+tab", "next_panel(-1)", "panel before", show=False, id="build.panel_before"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.clipboard: list[str] = []
        self.timing = ""
        """How long an epoch takes, in words."""
        self._timer = EpochTimer()
        self._timed: object = None
        """The data, layers and training for which that was measured."""
        self._measuring: Timer | None = None
        self._form: Location = ()
        """Of what the inspector shows the form."""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="body"):
            with Vertical(id="left"):
                with Panel(id="stack"):
                    yield StackLines()
                yield Static(id="totals", markup=False)
                with Panel(id="settings"):
                    yield SettingLines()
            with Panel(id="inspector"):
                yield Form()
                yield About()

    # What is shown

    def on_mount(self) -> None:
        self.stack.focus()

    def show_draft(self, anew: bool = False) -> None:
        draft = self.session.draft
        if anew:
            self._form = LAYERS
        self.show_subject(f"{draft.name}{' *' if draft.modified else ''}", self._device())
        self.stack.show(draft)
        self._follow_cursor()
        self.query_one(SettingLines).show(draft)
        self._show_remark()
        self._show_totals()
        self._show_form()
        self._measure_soon()
        self.refresh_bindings()

    def choose_layers(self, first: int | Location, count: int) -> None:
        draft = self.session.draft
        *where, index = draft.rows[first].location if isinstance(first, int) else first
        rows = [draft.stack.row_at((*where, int(index) + more)) for more in (0, count - 1)]
        if rows[0] is not None and rows[1] is not None:
            self.stack.choose(rows[0], rows[1])
            self._form = LAYERS
        self.show_draft()

    def _follow_cursor(self) -> None:
        """Let the form be that of the layer with the cursor, where it is one of a layer."""
        if self._form[:1] == LAYERS:
            index = self.stack.index
            self._form = ("data",) if index is None else self.session.draft.rows[index].location

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Say which keys work now."""
        if action in LAYER_ACTIONS and not isinstance(self.focused, StackLines):
            return self._form[:1] == LAYERS
        if action == "undo":
            return True if self.session.draft.can_undo else None
        if action == "redo":
            return True if self.session.draft.can_redo else None
        return True

    def in_vain(self) -> set[str]:
        stack, draft = self.stack, self.session.draft
        layers = stack.chosen_layers
        found = set() if layers else {*LAYER_ACTIONS - {"insert", "paste"}, "shift(-1)", "shift(1)"}
        if layers and draft.rows[layers[0]].made is not None:
            found = {*LAYER_ACTIONS - {"out"}, "add", "shift(-1)", "shift(1)"}
        where, indices = draft.chosen(layers[0], layers[-1]) if layers else (LAYERS, range(0))
        if layers and indices.start == 0:
            found.add("shift(-1)")
        if layers and indices.stop == draft.count(where):
            found.add("shift(1)")
        useful = {
            "out": any(draft.rows[row].has_inside or draft.rows[row].depth for row in layers[:1]),
            "paste": bool(self.clipboard),
            "train": not draft.problems,
            "reset": draft.can_undo,
            "back": self.focused is not stack or stack.other_end is not None,
        }
        return found | {action for action, is_useful in useful.items() if not is_useful}

    def _device(self) -> str:
        experiment = self.session.draft.experiment
        device = experiment.training.device if experiment else ""
        if device != "cpu" and (device != "auto" or load_driver()):  # which one it will be shows when it trains
            return device
        return f"cpu ×{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}"

    def _show_remark(self) -> None:
        """Say at the border which layers are chosen."""
        stack, count = self.stack, len(self.session.draft.rows)
        chosen, settings = stack.chosen_layers, self.query_one(SettingLines)
        at = "–".join(dict.fromkeys(self._numbers(chosen)))
        outermost = self.session.draft.count(LAYERS)
        remark = f"{'marking ' * stack.marking}{at} of {outermost}" if chosen else f"{outermost} layers"
        self.query_one("#stack", Panel).entitle("Layers", remark if count else "")
        self.query_one("#settings", Panel).entitle("Training", f"{settings.below} more" if settings.below else "")

    def _numbers(self, chosen: range) -> list[str]:
        """Return the numbers of the first and of the last of the layers that are chosen, as one list has them."""
        draft = self.session.draft
        if not chosen:
            return []
        where, indices = draft.chosen(chosen[0], chosen[-1])
        rows = [draft.stack.row_at((*where, index)) for index in (indices[0], indices[-1])]
        return [draft.rows[row].number for row in rows if row is not None]

    def _show_totals(self) -> None:
        text = totals_text(self.session.draft, self.timing, self.stack.index)
        shown = self.query_one("#totals", Static)
        if str(shown.content) != text:
            shown.update(Text(text))
            shown.set_class(text.startswith("!"), "problem")

    def _show_form(self) -> None:
        draft = self.session.draft
        row = draft.stack.row_at(self._form)
        title = TITLES.get(self._form, "") if row is None else _title(draft.rows[row])
        self.query_one(Form).show(*self._shown)
        self.query_one("#inspector", Panel).entitle(title)
        self._show_about()

    @property
    def _shown(self) -> tuple[Draft | Made, Location]:
        """What the form shows, and where in it."""
        draft = self.session.draft
        row = draft.stack.row_at(self._form)
        layer = draft.rows[row].made if row is not None else None
        return (draft, self._form) if layer is None else (Made(layer), Made.location)

    def _show_about(self) -> None:
        form, (shown, location) = self.query_one(Form), self._shown
        field = None if isinstance(self.focused, StackLines) else form.field
        model = settings_model(shown.document, location)
        activation, said = _activation_at(shown.document, (*location, "activation")), self._origin()
        if field is not None:
            said = explanation(shown.document, field)
            inner = settings_model(shown.document, field.location)
            model = inner if inner is not None and issubclass(inner, Block) else model
        documentation = model.documentation() if model is not None and issubclass(model, Block) else ""
        self.query_one(About).show(said, documentation, activation)

    def _origin(self) -> str:
        """Return what there is to say of a layer that another one makes; empty for one that has a place in the file."""
        draft = self.session.draft
        row = draft.stack.row_at(self._form)
        if row is None or draft.rows[row].made is None:
            return ""
        maker, layer = draft.rows[draft.stack.written_row(row)], draft.rows[row]
        facts = f"{shape_text(layer.input_shape)} → {shape_text(layer.output_shape)}" if layer.output_shape else ""
        count = f"{layer.parameters:,} parameters" if layer.parameters else ""
        return ". ".join(filter(None, [", ".join(filter(None, [facts, count])), MADE.format(maker.type)]))

    @property
    def _in_form(self) -> bool:
        return self.focused is not None and any(isinstance(node, Form) for node in self.focused.ancestors_with_self)

    def on_lines_moved(self, event: Lines.Moved) -> None:
        event.stop()
        if isinstance(event.lines, StackLines):
            self._show_layer()
            self._show_remark()
        elif isinstance(event.lines, SettingLines):
            self._show_setting()
            self._show_remark()
        else:
            self._show_about()

    def _show_layer(self) -> None:
        self._form = LAYERS
        self._follow_cursor()
        self._show_form()
        self._show_totals()

    def _show_setting(self) -> None:
        setting = self.query_one(SettingLines).setting
        if setting is not None:
            self._form = setting.form
            self._show_form()
            self.query_one(Form).go_to(setting.field)

    def on_lines_chosen(self, event: Lines.Chosen) -> None:
        event.stop()
        if isinstance(event.lines, FormLines):
            event.lines.action_edit()
        else:
            self.action_edit()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._make_room(self.focused)
        if isinstance(self.focused, StackLines):
            self._show_layer()
        elif isinstance(self.focused, SettingLines):
            self._show_setting()
        else:
            self._show_about()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < 64, "narrow")
        self.set_class(event.size.height < 30, "short")
        self.set_class(event.size.height < 20, "shallow")
        self.set_class(event.size.height < 14, "low")
        self._make_room(self.focused)
        self.call_after_refresh(self._show_remark)

    @property
    def help_text(self) -> str:
        model = settings_model(self.session.draft.document, self._form)
        return flowing(model.documentation()) if model is not None and issubclass(model, Block) else ""

    # Moving about

    def action_next_panel(self, by: int) -> None:
        panels = [self.stack, self.query_one(SettingLines), self.query_one(FormLines)]
        at = next((place for place, panel in enumerate(panels) if panel is self.focused), 0)
        self._go_to(panels[(at + by) % len(panels)])

    def _go_to(self, panel: Lines) -> None:
        """Give a panel the focus, also one that a small screen does not show."""
        self._make_room(panel)
        self.set_focus(panel)

    def _make_room(self, panel: Widget | None) -> None:
        """Where there is no room for all panels, show the one that has the focus."""
        small = self.has_class("narrow") or self.has_class("low")
        in_form = panel is not None and any(isinstance(node, Form) for node in panel.ancestors_with_self)
        self.set_class(small and in_form, "in-form")
        self.set_class(small and isinstance(panel, SettingLines), "in-settings")

    def action_edit(self) -> None:
        """Go to the form of what has the cursor; to what is wrong there, if anything."""
        stack = self.stack
        if self.focused is stack and not self.session.draft.rows:
            self.action_add()
        elif self.focused is stack:
            if stack.index is not None and self.session.draft.rows[stack.index].problem:
                self._to_problem(stack.index)
            self._go_to(self.query_one(FormLines))
        elif isinstance(self.focused, SettingLines):
            setting = self.focused.setting
            if setting is not None and setting.label == REGULARIZE:
                self.regularize()
            else:
                self._show_setting()
                self._go_to(self.query_one(FormLines))

    def _to_problem(self, of_row: int | None = None) -> None:
        """Put the cursors on the first thing that is wrong, in a layer or anywhere."""
        stack = self.session.draft.stack
        for problem in stack.problems:
            try:
                location = location_of(problem.place)
            except UsageError:
                return
            row = stack.nearest_row(location)
            if of_row is None or row == of_row:
                break
        else:
            return
        if row is not None:
            self.stack.choose(row, row)
            self._form = stack.rows[row].location
        else:
            self._form = location[:1] if location[:1] in TITLES else ()
        self._show_form()
        self.query_one(Form).go_to(location)

    def action_back(self) -> None:
        stack = self.stack
        if self.focused is stack:
            stack.other_end, stack.marking = None, False
            stack.refresh()
        elif self._form[:1] == LAYERS or self.focused is self.query_one(SettingLines):
            self._go_to(stack)
        else:
            self._go_to(self.query_one(SettingLines))

    def on_form_set(self, event: Form.Set) -> None:
        self.edit(partial(self.session.draft.set, event.location, event.value))

    def on_form_add(self, event: Form.Add) -> None:
        self.pick_layer((*event.location, self.session.draft.count(event.location)))

    def on_form_type_changed(self, event: Form.TypeChanged) -> None:
        if self.edit(partial(self.session.draft.change_type, event.location, event.name)):
            self.query_one(FormLines).unfold(event.location)

    # In the background

    def _measure_soon(self) -> None:
        """Measure how long an epoch takes, a moment after the last edit that matters for it."""
        draft = self.session.draft
        experiment = draft.experiment if draft.totals is not None else None
        timed = experiment and (experiment.data, experiment.layers, experiment.training)
        if timed == self._timed:
            return
        self._timed = timed
        if self._measuring is not None:
            self._measuring.stop()
        self._timer.stop()
        self.timing = "measuring…" if timed else ""
        self._show_totals()
        if timed:
            self._measuring = self.set_timer(SECONDS_BEFORE_MEASURING, lambda: self._measure(draft.full_text(), timed))

    @work(thread=True, group="timing", exclusive=True)
    def _measure(self, text: str, timed: object) -> None:
        self.post_message(self.Measured(timed, self._timer.measure(text, self.session.data_dir)))

    @dataclass
    class Measured(Message):
        """It was measured how long an epoch of an experiment takes."""

        timed: object
        timing: str

    def on_build_screen_measured(self, event: Measured) -> None:
        event.stop()
        if event.timed is self._timed:
            self.timing = event.timing
            self._show_totals()

    def on_unmount(self) -> None:
        self._timer.stop()

    def action_train(self) -> None:
        """Train the experiment; where something is wrong in it, go there."""
        draft = self.session.draft
        if draft.problems:
            self.lab.say(said(draft, draft.problems[0]), "error")
            self._to_problem()
        else:
            self.lab.start_training()


def _activation_at(document: dict[str, Any], location: Location) -> Activation | None:
    value = value_at(document, location)
    try:
        return Activation.choose(default_at(document, location) if value is None else value)
    except (ValidationError, PydanticCustomError):
        return None


def _title(row: LayerRow) -> str:
    """Return number and type of a layer, and in which list of the layer around it it is, where that is not `layers`."""
    held = row.location[-2]
    return f"{row.number} {row.type}{'' if held == 'layers' else f', {held}'}"
