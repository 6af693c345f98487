"""Widgets that move the focus quickly."""

from __future__ import annotations

from textual.app import App
from textual.widget import Widget


class Steady(Widget):
    """A widget whose parts have the same style whether it has the focus or not.

    Textual looks up the styles of all component classes whenever a widget or one around it gets or loses the focus,
    which takes longer than everything else that happens then. Here they are looked up where the colours have changed.
    """

    _styled_by: object = None

    def _get_component_classes(self) -> frozenset[str]:  # type: ignore[override]  # Textual asks the class
        colours = colours_of(self.app)
        if colours is self._styled_by and self._component_styles:
            return frozenset()
        self._styled_by = colours
        return super()._get_component_classes()


def colours_of(app: App[object]) -> object:
    """Return what all styles are made with: another object as soon as there is another theme."""
    return app.stylesheet._variables
