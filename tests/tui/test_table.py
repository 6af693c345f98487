"""The table with a cursor: what it shows, keeps and draws."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot

from tuilab.tui.listing import Cell, Column, Line, Listing, make_listing
from tuilab.tui.themes import DARK, DEFAULT_VARIABLES
from tuilab.tui.widgets.table import Table

pytestmark = pytest.mark.asyncio

COLUMNS = (Column("name", "name", right=False, least=6), Column("loss", "loss"))


def listing(*names: str, **losses: str) -> Listing:
    lines = [Line(name, (Cell(name), Cell(losses.get(name, "0.5"), "good"))) for name in names]
    return make_listing(COLUMNS, lines)


class OneTable(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.register_theme(DARK)
        self.clicked = 0

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return DEFAULT_VARIABLES

    def on_table_clicked(self) -> None:
        self.clicked += 1

    def compose(self) -> ComposeResult:
        yield Table()


@asynccontextmanager
async def shown(names: str, size: tuple[int, int] = (20, 5)) -> AsyncIterator[tuple[Table, Pilot[None]]]:
    app = OneTable()
    async with app.run_test(size=size) as pilot:
        table = app.query_one(Table)
        table.focus()
        table.show(listing(*names.split()))
        await pilot.pause()
        yield table, pilot


def text_of(table: Table) -> list[str]:
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


async def test_lines_stand_below_a_header() -> None:
    async with shown("a b") as (table, _):
        assert text_of(table) == ["  name  loss", "  a      0.5", "  b      0.5", "", ""]


async def test_the_cursor_moves_and_the_table_scrolls() -> None:
    async with shown("a b c d e f g h") as (table, pilot):
        for keys, key, first in (
            (["down"], "b", "a"),
            (["pagedown"], "f", "c"),
            (["end"], "h", "e"),
            (["up"], "g", "e"),
            (["home"], "a", "a"),
            (["k"], "a", "a"),
            (["G", "j"], "h", "e"),
        ):
            await pilot.press(*keys)
            assert table.key == key
            assert text_of(table)[1].split()[0] == first


async def test_the_cursor_stays_with_its_line() -> None:
    async with shown("a b c") as (table, pilot):
        await pilot.press("down")
        table.show(listing("x", "y", "a", "b"))
        assert (table.key, table.row) == ("b", 3)
        table.show(listing("x", "y", "a"))
        assert table.key == "a"  # the nearest
        table.show(listing())
        assert table.key is None
        await pilot.press("down")
        table.show(listing("z"))
        assert table.key == "z"


async def test_signs_stand_in_front() -> None:
    async with shown("a b") as (table, _):
        table.show_signs({"b": Cell("●", "accent")})
        assert text_of(table)[1:3] == ["  a      0.5", "● b      0.5"]


async def test_only_what_has_changed_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shown("a b c") as (table, pilot):
        drawn: list[tuple[Region, ...]] = []
        monkeypatch.setattr(table, "refresh", lambda *regions, **how: drawn.append(regions))
        table.show(listing("a", "b", "c"))
        assert drawn == []
        table.show(listing("a", "b", "c", b="0.6"))
        assert drawn == [(Region(8, 2, 4, 1),)]
        drawn.clear()
        await pilot.press("down")
        assert drawn == [(Region(0, 1, 20, 1), Region(0, 2, 20, 1))]
        drawn.clear()
        table.show(listing("a", "b"))
        assert drawn == [()]


async def test_what_is_to_be_said_instead_of_cells_has_their_place() -> None:
    async with shown("a", (40, 4)) as (table, _):
        columns = (*COLUMNS, Column("size", "size"))
        damaged = Line("a", (Cell("a"), Cell("damaged", "bad"), Cell("")), "because it was\x1b[31m " + "long " * 20)
        table.show(make_listing(columns, [damaged]))
        assert text_of(table)[1] == "  a     damaged  because it was�[31m lo…"


async def test_a_click_moves_the_cursor_and_a_second_one_chooses() -> None:
    async with shown("a b c") as (table, pilot):
        app = pilot.app
        assert isinstance(app, OneTable)
        await pilot.click(Table, offset=(3, 2))
        assert (table.key, app.clicked) == ("b", 0)
        await pilot.click(Table, offset=(3, 2))
        await pilot.pause()
        assert app.clicked == 1
        await pilot.click(Table, offset=(3, 0))
        assert (table.key, app.clicked) == ("b", 1)
