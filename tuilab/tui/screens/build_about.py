"""What the thing with the cursor is: its formula, its source, and the curve of an activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from tuilab.blocks.activations import Activation, Linear
from tuilab.text import clean_text
from tuilab.tui.forms.prose import flowing

if TYPE_CHECKING:
    from tuilab.tui.screens.build_curve import Curve


class About(Vertical):
    """A few words on the field, then the documentation of its block, then the curve of its activation."""

    DEFAULT_CSS = """
    About { height: auto; border-top: solid $border; }
    About VerticalScroll { height: auto; scrollbar-size-vertical: 1; }
    About #field { color: $accent; }
    About CurveChart { display: none; }
    About.with-curve VerticalScroll { max-height: 50%; }
    About.with-curve CurveChart { display: block; height: 1fr; min-height: 5; max-height: 14; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._field, self._documentation = "", ""
        self._activation: Activation | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(markup=False, id="field")
            yield Static(markup=False, id="documentation")

    def on_mount(self) -> None:
        self.query_one("#field").display = False

    def show(self, field: str, documentation: str, activation: Activation | None) -> None:
        """Show what the field is, what its block or the layer is, and an activation."""
        if field != self._field:
            self._field = field
            about = self.query_one("#field", Static)
            about.update(Text(clean_text(field, 600)))
            about.display = bool(field)
        if documentation != self._documentation:
            self._documentation = documentation
            self.query_one("#documentation", Static).update(Text(flowing(documentation)))
        if activation != self._activation:
            self._activation = activation
            if activation is None or isinstance(activation, Linear):
                self.remove_class("with-curve")
            else:
                self._draw(activation)

    @work(thread=True, exclusive=True)
    def _draw(self, activation: Activation) -> None:
        """Work the curve out beside: what computes it takes a moment to load the first time."""
        from tuilab.tui.screens.build_curve import curve_of

        self.post_message(self.Drawn(activation, curve_of(activation)))

    @dataclass
    class Drawn(Message):
        """A curve was worked out."""

        activation: Activation
        curve: Curve | None

    def on_about_drawn(self, event: Drawn) -> None:
        event.stop()
        from tuilab.tui.screens.build_curve import CurveChart

        if event.activation is not self._activation or not self.is_attached:  # the lab may be closing
            return
        self.set_class(event.curve is not None, "with-curve")
        if event.curve is not None:
            known = self.query(CurveChart)
            chart = known.first() if known else CurveChart()
            chart.show(event.activation.type_name(), event.curve)
            if not known:
                self.mount(chart)
