"""Parts of the Train screen: the line of progress, the table of the layers, what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Static

from tuilab.text import clean_text
from tuilab.tui.listing import Listing, cut
from tuilab.tui.run_view import Layers
from tuilab.tui.run_words import Happening, Progress, layer_listing
from tuilab.tui.widgets.canvas import Canvas, Drawing
from tuilab.tui.widgets.selectable import Selectable
from tuilab.tui.widgets.table import Table

GAP = "   "
SHORTEST_BAR = 8
LONGEST_BAR = 60
WHEN = 10
"""Cells of the time of an event."""
SHORTEST_TREND, LONGEST_TREND = 16, 60

Trends = Callable[[int], list[str]]
"""Gives the small charts of all layers in so many characters."""


class ProgressLine(Drawing):
    """How far a run has come, in one line."""

    PART = "progress"
    COMPONENT_CLASSES = {"progress--done", "progress--left", "progress--text"}
    DEFAULT_CSS = """
    ProgressLine { height: 1; padding: 0 1; }
    ProgressLine .progress--done { color: $accent; }
    ProgressLine .progress--left { color: $border; }
    ProgressLine .progress--text { color: $foreground; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress(0.0, ())

    def show(self, progress: Progress) -> None:
        if progress != self.progress:
            self.progress = progress
            self.changed()

    def draw(self, width: int, height: int) -> Canvas:
        canvas = Canvas(width, height)
        parts = self._that_fit(width)
        if not parts:
            return canvas
        first, *others = parts
        rest = "".join(f"{GAP}{part}" for part in others)
        start, room = cell_len(first) + 2, width - cell_len(first) - cell_len(rest) - 2
        canvas.write(0, 0, first, "text")
        if room >= SHORTEST_BAR:
            bar = min(room, LONGEST_BAR)
            halves = round(self.progress.share * 2 * bar)
            done = "━" * (halves // 2) + ("╸" if halves % 2 else "")
            canvas.write(start, 0, done, "done")
            canvas.write(start + len(done), 0, "━" * (bar - len(done)), "left")
            start += bar
        canvas.write(start, 0, rest, "text")
        return canvas

    def _that_fit(self, width: int) -> list[str]:
        """Return the parts that have room beside a short bar; the first is always there."""
        kept = list(self.progress.parts)
        while len(kept) > 1 and sum(cell_len(text) + len(GAP) for text, _ in kept) + SHORTEST_BAR > width:
            kept.remove(max(kept[1:], key=lambda part: part[1]))
        return [text for text, _ in kept]


class Notice(Static):
    """What must be known of the run, where it is not simply running."""

    DEFAULT_CSS = """
    Notice { height: auto; max-height: 3; padding: 0 1; display: none; }
    Notice.said { display: block; }
    Notice.good { color: $text-success; }
    Notice.warn { color: $text-warning; }
    Notice.bad { color: $text-error; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._shown = ("", "")

    def show(self, text: str, tone: str) -> None:
        """Say something, or nothing."""
        if (text, tone) == self._shown:
            return
        self._shown = (text, tone)
        self.update(Text(clean_text(text, 400)))
        self.set_class(bool(text), "said")
        for each in ("good", "warn", "bad"):
            self.set_class(each == tone, each)


class LayerTable(Table):
    """A line for each layer, with a small chart of its gradients that takes the room there is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "larger", id="train.layer")]
    help_text = """\
One line for each layer: the norm of its gradients over time on a logarithmic scale that all layers share, and now;
the norm of its weights; how large an update is beside the weights (about 1e-3 is healthy); the share of units that
are dead, and of outputs that are saturated.
↓ vanishing: next to no gradient comes back to this layer. Try relu with he_normal, fewer layers, batch_normalization.
↑ exploding: the gradient grows without bounds. Try a smaller learning rate, clipnorm, a smaller initializer.
× dead: units that no sample reaches. Try a smaller learning rate, leaky_relu, he_normal.
≡ saturated: outputs where the activation is flat. Try smaller weights, another activation, batch_normalization.
Enter shows a layer larger."""

    @dataclass
    class Opened(Message):
        """A layer is to be seen larger."""

        layer: int

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._layers = Layers()
        self._trends: Trends = lambda width: []

    def show_layers(self, layers: Layers, trends: Trends) -> None:
        """Show the newest state of all layers."""
        self._layers, self._trends = layers, trends
        self.show(self._listing())

    def on_resize(self) -> None:
        self.listing = self._listing()
        super().on_resize()

    def _listing(self) -> Listing:
        blank = [""] * len(self._layers.names)
        listing = layer_listing(self._layers, blank, self.listing if self.listing.columns else None)
        listing.widths["trend"] = SHORTEST_TREND
        placed = listing.fit(self.size.width - self._gutter)
        used = placed[-1].x + placed[-1].width if placed else 0
        room = min(SHORTEST_TREND + max(self.size.width - self._gutter - used, 0), LONGEST_TREND)
        listing = layer_listing(self._layers, self._trends(room), self.listing if self.listing.columns else None)
        listing.widths["trend"] = room
        return listing

    def action_open(self) -> None:
        if self.key is not None:
            self.post_message(self.Opened(int(self.key)))

    def on_table_clicked(self) -> None:
        self.action_open()


class EventLines(Selectable, can_focus=True):
    """What happened, the newest at the bottom, as long as it is not scrolled away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", "older", show=False, id="events.up"),
        Binding("down,j", "scroll(1)", "newer", show=False, id="events.down"),
        Binding("pageup", "page(-1)", "older", show=False, id="events.page_up"),
        Binding("pagedown", "page(1)", "newer", show=False, id="events.page_down"),
        Binding("home,g", "scroll(-1_000_000)", "the first", show=False, id="events.first"),
        Binding("end,G", "scroll(1_000_000)", "the newest", show=False, id="events.newest"),
    ]
    COMPONENT_CLASSES = {"events--time", "events--text", "events--command"}
    DEFAULT_CSS = """
    EventLines { height: 1fr; }
    EventLines .events--time { color: $quiet; }
    EventLines .events--text { color: $foreground; }
    EventLines .events--command { color: $accent; }
    """
    help_text = """\
What happened: states, checkpoints, answers to commands, and the results of the epochs. up and down scroll, e makes it
large."""

    def __init__(self) -> None:
        super().__init__()
        self.events: tuple[Happening, ...] = ()
        self._below = 0
        """Events that are scrolled out of sight at the bottom."""

    def show(self, events: tuple[Happening, ...]) -> None:
        """Show everything that happened so far."""
        if events == self.events:
            return
        if self._below:  # what is being read stays in its place
            self._below += max(len(events) - len(self.events), 0)
        self.events = events
        self._keep_in_sight(self._below)
        self.refresh()

    def action_scroll(self, lines: int) -> None:
        self._keep_in_sight(self._below - lines)
        self.refresh()

    def action_page(self, pages: int) -> None:
        self.action_scroll(pages * max(self.size.height - 1, 1))

    def on_mouse_scroll_up(self) -> None:
        self.action_scroll(-1)

    def on_mouse_scroll_down(self) -> None:
        self.action_scroll(1)

    def on_resize(self) -> None:
        self._keep_in_sight(self._below)

    def _keep_in_sight(self, below: int) -> None:
        self._below = max(min(below, len(self.events) - self.size.height), 0)

    def draw_line(self, y: int) -> Strip:
        width = self.size.width
        last = len(self.events) - self._below
        index = y + max(last - self.size.height, 0)
        if index >= last:
            return Strip.blank(width, self.get_component_rich_style("events--text"))
        event = self.events[index]
        text = self.get_component_rich_style("events--command" if event.by_command else "events--text")
        time = set_cell_size(event.when, WHEN)
        segments = [
            Segment(time, self.get_component_rich_style("events--time")),
            Segment(cut(event.text, max(width - WHEN, 0)), text),
        ]
        return Strip(segments).adjust_cell_length(width, text)
