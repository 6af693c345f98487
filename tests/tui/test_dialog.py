"""Tests of dialogs: the dimmed picture of the screen below."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from textual.app import App, ComposeResult
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Static

from tuilab.tui.dialog import Dialog

SIZE = (24, 5)


class Below(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Static("a loss of 0.25")
        yield Static("that stays")


class Above(Dialog[None]):
    CSS = "Above { align: center bottom; background: black 70%; } Above Static { width: 8; }"

    def compose(self) -> ComposeResult:
        yield Static("question")


class Opened(App[None]):
    def get_default_screen(self) -> Screen[None]:
        return Below()

    def lines(self) -> Iterator[str]:
        return (strip.text.rstrip() for strip in self.screen._compositor.render_strips())


def brightness(strip: Strip) -> int:
    style = next(iter(strip)).style
    assert style is not None
    assert style.color is not None
    return sum(style.color.get_truecolor())


def test_a_dialog_shows_what_becomes_of_the_screen_below_in_darker_colours() -> None:
    async def use() -> None:
        async with Opened().run_test(size=SIZE) as pilot:
            app: Opened = pilot.app  # type: ignore[assignment]  # declared as any App
            bright = app.screen._compositor.render_strips()[0]
            await app.push_screen(Above())
            await pilot.pause()
            assert list(app.lines()) == ["a loss of 0.25", "that stays", "", "", " " * 8 + "question"]
            assert brightness(app.screen.render_line(0)) < 0.5 * brightness(bright)

            app.screen_stack[0].query(Static).first().update("a loss of 0.125")
            await pilot.pause()
            assert next(app.lines()) == "a loss of 0.125"
            await pilot.resize_terminal(12, 3)
            await pilot.pause()
            assert list(app.lines()) == ["a loss of", "0.125", "thquestion"]

    asyncio.run(use())
