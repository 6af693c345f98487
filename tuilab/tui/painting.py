"""When a screen is painted."""

from __future__ import annotations

import asyncio

from textual import events
from textual.screen import Screen, ScreenResultType

TURNS = 2
"""Of all tasks. After one of them what a key has changed is known to the screen."""


class PaintedOnce(Screen[ScreenResultType]):
    """A screen that paints what a key has changed at once.

    Textual starts to paint when the first widget has told its screen that it has changed, and the others, such as the
    borders of the panels between which the focus moves, would have to wait for the next picture.
    """

    async def _on_idle(self, event: events.Idle) -> None:
        # Textual calls this before its own handler of that name, which starts the picture
        for _ in range(TURNS):
            await asyncio.sleep(0)
