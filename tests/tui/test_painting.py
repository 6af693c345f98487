"""How often things are painted, and how much of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.strip import Strip
from textual.widgets import Static

from tuilab.tui import themes
from tuilab.tui.painting import PaintedOnce
from tuilab.tui.widgets.canvas import Canvas, Drawing
from tuilab.tui.widgets.panel import Panel

SECONDS_TO_HAPPEN, SECONDS_OF_REST = 60.0, 0.3


async def until(happened: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS_TO_HAPPEN
    while not happened():
        assert time.monotonic() < limit, "did not happen"
        await asyncio.sleep(0.01)


class Part(Static, can_focus=True):
    DEFAULT_CSS = "Part:focus { background: red; }"


class TwoPanels(PaintedOnce[None]):
    DEFAULT_CSS = """
    TwoPanels Vertical { border: round grey; height: 5; }
    TwoPanels Vertical:focus-within { border: round red; }
    """

    def compose(self) -> ComposeResult:
        for name in ("first", "second"):
            with Vertical():
                yield Part(name, id=name)


class Painter(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.pictures = 0

    def get_default_screen(self) -> TwoPanels:
        return TwoPanels()

    def _display(self, screen: object, renderable: object) -> None:
        self.pictures += renderable is not None
        super()._display(screen, renderable)  # type: ignore[arg-type]  # as Textual calls it


def test_a_focus_that_moves_paints_one_picture() -> None:
    app = Painter()

    async def use() -> None:
        async with app.run_test() as pilot:
            first, second = app.screen.query(Part)
            first.focus()
            await until(lambda: first.has_focus)
            await pilot.pause()
            await asyncio.sleep(SECONDS_OF_REST)
            app.pictures = 0
            app.post_message(Key("tab", None))  # the pilot itself would have pictures painted
            await until(lambda: second.has_focus and app.pictures)
            await asyncio.sleep(SECONDS_OF_REST)  # in which no second picture comes

    asyncio.run(use())
    assert app.pictures == 1


class Drawn(Drawing, can_focus=True):
    """A drawing that counts its lines when they are painted."""

    painted = 0

    def draw(self, width: int, height: int) -> Canvas:
        canvas = Canvas(width, height)
        canvas.write(0, 0, "drawn")
        return canvas

    def draw_line(self, y: int) -> Strip:
        self.painted += 1
        return super().draw_line(y)


class Drawings(App[None]):
    CSS = """
    Panel { height: 6; border: round grey; }
    Panel:focus-within { border: round red; }
    Drawn { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.cells = 0
        """Painted anew."""

    def _display(self, screen: object, renderable: object) -> None:
        self.cells += sum(end - start for _, start, end in getattr(renderable, "spans", ()))
        super()._display(screen, renderable)  # type: ignore[arg-type]  # as Textual calls it

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULT_VARIABLES

    def compose(self) -> ComposeResult:
        for name in ("first", "second"):
            with Panel(id=name):
                yield Drawn()


def test_a_focus_that_moves_paints_borders_alone() -> None:
    app = Drawings()
    colours = []

    async def use() -> None:
        async with app.run_test() as pilot:
            first, second = app.query(Drawn)
            first.focus()
            await until(lambda: first.has_focus)
            await pilot.pause()
            app.cells = first.painted = second.painted = 0
            await pilot.press("tab")
            await pilot.pause()
            assert second.has_focus
            colours.extend(strip._segments[0].style for strip in app.screen._compositor.render_strips()[:12])
            assert first.painted == second.painted == 0
            assert app.cells == 2 * (2 * 80 + 2 * 4)
            app.theme = "textual-light"
            await pilot.pause()
            assert first.painted > 0

    asyncio.run(use())
    borders = [style.color.name for style in colours if style is not None and style.color is not None]
    assert borders[:6] == [borders[0]] * 6 != borders[6:] == [borders[6]] * 6
