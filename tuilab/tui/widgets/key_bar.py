"""The keys that work now, on one line: those of the screen, then those of the lab. What matters least gives way."""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import App
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

LEAVE = "leave"
"""Quitting can be found in many ways."""


class ShownKey(NamedTuple):
    """A key as it is shown, what it does, and the key itself."""

    display: str
    description: str
    key: str
    enabled: bool
    rank: int
    """Where there is no room, the highest ranks are left out first."""

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

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._look)

    def _look(self, screen: Screen[object]) -> None:
        own: dict[str, ShownKey] = {}
        lasting: dict[str, ShownKey] = {}
        for active in screen.active_bindings.values():
            binding, of_app = active.binding, isinstance(active.node, App)
            if binding.show and binding.description:
                rank = 2 if binding.action == LEAVE else 0 if of_app else 1 if active.enabled else 3
                display = self.app.get_key_display(binding)
                shown = ShownKey(display, binding.description, binding.key, active.enabled, rank)
                (lasting if of_app else own).setdefault(binding.action, shown)
        keys = (*own.values(), *lasting.values())
        if keys != self.keys:
            self.keys = keys
            self.refresh()

    def placed(self) -> list[ShownKey]:
        """Return the keys for which there is room."""
        room, kept = self.size.width, set()
        for key in sorted(self.keys, key=lambda key: key.rank):
            room -= key.width
            if room < 0:
                break
            kept.add(key)
        return [key for key in self.keys if key in kept]

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
