"""Tables as they are shown: what is left out and shortened where there is no room."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tuilab.tui.listing import Cell, Column, Line, cut, laid_out, make_listing, shorten, wrapped

COLUMNS = (
    Column("name", "name", right=False, least=6),
    Column("state", "state", right=False),
    Column("loss", "loss", rank=1),
    Column("size", "size", rank=2),
)


def line(key: str, *texts: str, rest: str = "") -> Line:
    return Line(key, tuple(map(Cell, texts)), rest)


LINES = (line("a", "a-long-name", "finished", "0.1234", "8 MB"), line("b", "b", "running", "1.5", "120 KB"))


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (100, {"name": 11, "state": 8, "loss": 6, "size": 6}),
        (37, {"name": 11, "state": 8, "loss": 6, "size": 6}),
        (36, {"name": 10, "state": 8, "loss": 6, "size": 6}),
        (31, {"name": 11, "state": 8, "loss": 6}),
        (24, {"name": 6, "state": 8, "loss": 6}),
        (23, {"name": 11, "state": 8}),
        (3, {"name": 6, "state": 8}),
    ],
)
def test_columns_are_shortened_before_they_are_left_out(room: int, expected: dict[str, int]) -> None:
    placed = make_listing(COLUMNS, LINES).fit(room)
    assert {place.column.key: place.width for place in placed} == expected
    ends = [place.x + place.width for place in placed]
    assert all(place.x == end + 2 for place, end in zip(placed[1:], ends, strict=False))


def test_columns_become_no_narrower() -> None:
    wide = make_listing(COLUMNS, LINES)
    assert make_listing(COLUMNS, LINES[1:], wide).widths == wide.widths
    assert make_listing(COLUMNS, LINES[1:]).widths["name"] == 4


def test_texts_of_any_origin_are_clean() -> None:
    columns = (Column("a", "\x1b[31mhead"), Column("b", "b"))
    listing = make_listing(columns, [line("k", "\x1b]0;x\x07cell", "b", rest="re\nst")])
    assert listing.columns[0].header == "�[31mhead"
    assert listing.lines[0].cells[0].text == "�]0;x�cell"
    assert listing.lines[0].rest == "re st"
    assert listing.widths["a"] == 10


def test_what_stands_in_place_of_cells_does_not_widen_them() -> None:
    listing = make_listing(COLUMNS, [line("k", "name", "damaged", "x" * 50, "", rest="because " * 30)])
    assert listing.widths == {"name": 4, "state": 7, "loss": 4, "size": 4}


@pytest.mark.parametrize("width", range(12))
@pytest.mark.parametrize("text", ["", "abc", "abcdefghij", "日本語の名前", "a日b本c語"])
def test_a_text_has_the_width_that_it_may_have(text: str, width: int) -> None:
    assert cell_len(shorten(text, width)) <= width
    assert cell_len(cut(text, width)) <= width
    assert cell_len(laid_out(text, width, True)) == cell_len(laid_out(text, width, False)) == width


def test_shortened_texts() -> None:
    assert shorten("1120-mnist-mlp-k3f", 11) == "1120-…p-k3f"
    assert cut("1120-mnist-mlp-k3f", 11) == "1120-mnist…"
    assert laid_out("12", 4, True) == "  12"


def test_wrapped_texts() -> None:
    assert wrapped("one two three", 7, 5) == ["one two", "three"]
    assert wrapped("one two three four", 7, 2) == ["one two", "three…"]
    assert wrapped("/a/very/long/path", 8, 9) == ["/a/very/", "long/pat", "h"]
    assert wrapped("", 8, 3) == []
