import asyncio

from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.widgets import Static

from tuilab.tui.painting import PaintedOnce


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
            app.screen.query_one("#first").focus()
            await pilot.pause(0.2)
            app.pictures = 0
            app.post_message(Key("tab", None))  # the pilot itself would have pictures painted
            await asyncio.sleep(0.3)
            assert app.screen.focused is app.screen.query_one("#second")

    asyncio.run(use())
    assert app.pictures == 1
