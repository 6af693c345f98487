"""The keys that work now, on one line: those of the screen, then those of the lab, which stay when there is no room."""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import App
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget


class ShownKey(NamedTuple):
    """A key as it is shown, what it does, and the key itself."""

    display: str
    description: str
    key: str
    enabled: bool

    @property
    def width(self) -> int:
        return cell_len(self.display) + cell_len(self.description) + 3


class KeyBar(Widget):
    """Drawn as one line, and again only when the keys have changed: a focus that moves costs nothing here."""

    COMPONENT_CLASSES = {"key-bar--key", "key-bar--description", "key-bar--disabled"}
    DEFAULT_CSS = """
    KeyBar { height: 1; dock: bottom; background: $panel; }
    KeyBar .key-bar--key { color: $footer-key-foreground; text-style: bold; }
    KeyBar .key-bar--description { color: $foreground; }
    KeyBar .key-bar--disabled { color: $quiet; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: tuple[ShownKey, ...] = ()
        self.lasting: tuple[ShownKey, ...] = ()
        """Keys of the app."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._look)

    def _look(self, screen: Screen[object]) -> None:
        keys: dict[str, ShownKey] = {}
        lasting: dict[str, ShownKey] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.description:
                display = self.app.get_key_display(binding)
                shown = ShownKey(display, binding.description, binding.key, active.enabled)
                (lasting if isinstance(active.node, App) else keys).setdefault(binding.action, shown)
        if (tuple(keys.values()), tuple(lasting.values())) != (self.keys, self.lasting):
            self.keys, self.lasting = tuple(keys.values()), tuple(lasting.values())
            self.refresh()

    def placed(self) -> list[ShownKey]:
        """Return the keys for which there is room."""
        room = self.size.width - sum(key.width for key in self.lasting)
        shown = []
        for key in self.keys:
            room -= key.width
            if room < 0:
                break
            shown.append(key)
        return [*shown, *self.lasting]

    def render_line(self, y: int) -> Strip:
        plain = self.rich_style
        segments = []
        for key in self.placed():
            described = "description" if key.enabled else "disabled"
            segments += [
                Segment(f" {key.display}", self.get_component_rich_style("key-bar--key")),
                Segment(f" {key.description} ", self.get_component_rich_style(f"key-bar--{described}")),
            ]
        return Strip(segments).adjust_cell_length(self.size.width, plain)

    def on_click(self, event: events.Click) -> None:
        x = event.x
        for key in self.placed():
            if 0 <= x < key.width:
                self.app.simulate_key(key.key)
                return
            x -= key.width
