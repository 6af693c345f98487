"""How the lab looks in themes, sizes and terminals of all kinds."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.style import Style
from textual.color import Color
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.strip import Strip

from tests.tui.exhibits import FINISHED, RUNNING, Clock, write_runs
from tests.tui.sights import OTHERS, SCREENS, make_lab, runs, stands_still, until
from tests.tui.terminal import Terminal
from tuilab.tui import themes
from tuilab.tui.app import Lab
from tuilab.tui.widgets.key_bar import KeyBar
from tuilab.tui.widgets.table import Table

__all__ = ["runs", "stands_still"]

SIZE = (120, 40)
SIGHTS = SCREENS | OTHERS
MIXED = [theme for theme in themes.OWN if not theme.ansi]
"""Themes whose colours are not those of the terminal."""
LEGIBLE = 4.5
"""Contrast of text, as the Web Content Accessibility Guidelines ask for it."""
VISIBLE = 3.0
"""Contrast of what is drawn."""
DIM = 0.66
"""What Textual leaves of a dim colour."""


def contrast(style: Style) -> float:
    """Return how much a colour stands out from its background, from 1 to 21."""
    text, behind = (Color.from_rich_color(part) for part in (style.color, style.bgcolor))
    if style.reverse:
        text, behind = behind, text
    if style.dim:
        text = behind.blend(text, DIM)
    high, low = sorted((_luminance(text), _luminance(behind)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Color) -> float:
    parts = [part / 255 for part in color.rgb]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def is_curve(character: str) -> bool:
    """Whether a character is a part of a curve: dots."""
    return "\u2801" <= character <= "\u28ff"


def is_drawn(character: str) -> bool:
    """Whether a character is a part of a drawing: a line, a block, a dot."""
    return "\u2500" <= character <= "\u259f" or "\u2800" <= character <= "\u28ff" or character == "·"


def picture(lab: Lab) -> list[list[tuple[str, str]]]:
    """Return what stands on the screen, with its colours."""
    strips = lab.screen._compositor.render_strips()
    return [[(text, str(style)) for text, style, _ in strip.simplify()] for strip in strips]


def in_front(lab: Lab) -> list[Strip]:
    """Return what is to be looked at: the screen, or the dialog before it."""
    strips = lab.screen._compositor.render_strips()
    if not isinstance(lab.screen, ModalScreen):
        return strips
    box = lab.screen.children[0].region
    return [strip.crop(box.x, box.right) for strip in strips[box.y : box.bottom]]


def faint(lab: Lab) -> dict[str, float]:
    """Return what does not stand out from its background, and how much it does."""
    found = {}
    for strip in in_front(lab):
        for text, style, _ in strip:
            written = "".join(character for character in text if not character.isspace() and not is_drawn(character))
            needed = LEGIBLE if written else VISIBLE if any(map(is_curve, text)) else 0.0
            if style is not None and needed and contrast(style) < needed:
                found[text.strip()] = round(contrast(style), 2)
    return found


@pytest.mark.asyncio
@pytest.mark.parametrize("sight", SIGHTS)
async def test_everything_stands_out_from_its_background(runs: Path, sight: str) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await SIGHTS[sight](pilot)
        for theme in MIXED:
            lab.theme = theme.name
            await pilot.pause()
            assert not faint(lab), theme.name


SMALL_AND_BACK = [(20, 5), SIZE]


@pytest.mark.asyncio
@pytest.mark.parametrize("screen", SCREENS)
async def test_a_terminal_that_was_small_for_a_moment_shows_the_same_as_before(runs: Path, screen: str) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await SCREENS[screen](pilot)
        before = picture(lab)
        for size in SMALL_AND_BACK:
            await pilot.resize_terminal(*size)
            await until(pilot)
        assert picture(lab) == before


@pytest.mark.asyncio
@pytest.mark.parametrize("screen", SCREENS)
async def test_every_line_fits_at_any_size(runs: Path, screen: str) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await SCREENS[screen](pilot)
        for size in ((200, 60), (80, 24), (40, 12), (20, 5), (1, 1)):
            await pilot.resize_terminal(*size)
            await until(pilot)
            strips = lab.screen._compositor.render_strips()
            assert {strip.cell_length for strip in strips} == {size[0]}
            bar = lab.screen.query_one(KeyBar)
            assert sum(key.width for key in bar.placed()) <= size[0]


# Colours, as a terminal gets them

STYLE = re.compile(rb"\x1b\[([0-9;]*)m([^\x1b]*)")
GREY_NUMBERS = {30, 37, 40, 47, 90, 97, 100, 107}
"""Of the sixteen colours: black, white and what is between."""


def colours(written: bytes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the colours that were asked for: where (`text` or `behind`), and the numbers of each.

    39 and 49 ask for none.
    """
    for found in STYLE.finditer(written):
        numbers = [int(number or 0) for number in found[1].split(b";")]
        while numbers:
            first, *numbers = numbers
            if first in (38, 48):
                size = {5: 2, 2: 4}[numbers[0]]
                yield ("text" if first == 38 else "behind"), tuple(numbers[:size])
                numbers = numbers[size:]
            elif 30 <= first <= 37 or 90 <= first <= 97:
                yield "text", (first,)
            elif 40 <= first <= 47 or 100 <= first <= 107:
                yield "behind", (first,)


def is_grey(colour: tuple[int, ...]) -> bool:
    if len(colour) == 1:
        return colour[0] in GREY_NUMBERS
    if colour[0] == 5:
        return colour[1] >= 232 or colour[1] in (0, 7, 8, 15, 16, 59, 102, 145, 188, 231)
    return len(set(colour[1:])) == 1


def seen(folder: Path, theme: str = "", **environment: str) -> bytes:
    """Return what a terminal gets of the four screens and a dialog."""
    if theme:
        (folder / "settings.toml").write_text(f'theme = "{theme}"\n')
    terminal = Terminal(folder, columns=80, rows=24, **({"COLORTERM": ""} | environment))
    try:
        terminal.wait_for(lambda text: "17,226 params" in text, 80, 24)
        terminal.press("a")
        terminal.wait_for(lambda text: "Add a layer" in text, 80, 24)
        terminal.press("\x1b")
        terminal.wait_for(lambda text: "Add a layer" not in text, 80, 24)
        terminal.press("2", "3", "4")
        terminal.wait_for(lambda text: "1,797 samples" in text, 80, 24)
        return terminal.written
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("environment", "sizes"),
    [
        ({"TERM": "screen"}, {1}),
        ({"TERM": "tmux-256color"}, {2}),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, {2, 4}),  # some have a number
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_terminal_gets_the_colours_that_it_has(tmp_path: Path, environment: dict[str, str], sizes: set[int]) -> None:
    found = list(colours(seen(tmp_path, **environment)))
    assert {len(colour) for _, colour in found} == sizes
    assert not all(is_grey(colour) for _, colour in found)


@pytest.mark.parametrize(("theme", "term"), [("lab-light", "xterm-256color"), ("lab-ansi-dark", "xterm")])
def test_without_colour_everything_is_grey_and_nothing_is_lost(tmp_path: Path, theme: str, term: str) -> None:
    written = seen(tmp_path, theme, TERM=term, NO_COLOR="1")
    found = set(colours(written))
    assert all(is_grey(colour) for _, colour in found)
    for style in STYLE.finditer(written):
        pair = dict(colours(style[0]))
        if len(pair) == 2 and re.search(rb"\w", style[2]):
            assert _of_text(pair["text"]) != _of_text(pair["behind"]), style
    assert (tmp_path / "settings.toml").read_text() == f'theme = "{theme}"\n'


def _of_text(colour: tuple[int, ...]) -> tuple[int, ...]:
    """Return a colour behind the text as it is numbered for the text."""
    return (colour[0] - 10,) if len(colour) == 1 and colour[0] // 10 in (4, 10) else colour


# The command palette


def offers(lab: Lab) -> dict[str, str]:
    return {command.title: command.help for command in lab.get_system_commands(lab.screen)}


@pytest.mark.asyncio
async def test_the_palette_of_build_offers_what_can_be_done_and_nothing_else(runs: Path) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await SCREENS["build"](pilot)
        offered = offers(lab)
        wanted = {"Insert", "Duplicate", "Move down", "Cut", "Copy", "Repeat", "Save", "Save as", "Open", "New"}
        assert wanted | {"Add", "Train", "Help", "Quit", "Suspend", "Go to Data", "Theme lab-light"} <= set(offered)
        idle = {"Undo", "Redo", "Reset", "Paste", "Move up", "Back", "Go to Build", "Theme lab-dark", "More"}
        assert not idle & set(offered)
        assert not {"Down", "First", "Next panel", "Choose more"} & set(offered)
        await pilot.press("c", "d")
        assert {"Undo", "Reset", "Paste"} <= set(offers(lab))
        await pilot.press("u")
        assert "Redo" in offers(lab)
        assert "Undo" not in offers(lab)
        await pilot.press("up")
        assert not {"Delete", "Cut", "Move down"} & set(offers(lab))
        assert {"Insert", "Paste"} <= set(offers(lab))


@pytest.mark.asyncio
async def test_the_palette_of_train_and_runs_depends_on_the_run(runs: Path) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await OTHERS["nothing-watched"](pilot)
        assert not {"Log", "Zoom", "Panel", "Stop", "Kill", "Go on"} & set(offers(lab))
        await SCREENS["train"](pilot)
        assert {"Pause", "Stop", "Kill", "Rate ×2", "Log", "Zoom", "Type a rate", "Checkpoint"} <= set(offers(lab))
        assert not {"Go on", "More epochs"} & set(offers(lab))
        await SCREENS["runs"](pilot)
        assert not {"Compare", "Delete", "Resume", "Clear filter and marks"} & set(offers(lab))
        await pilot.press("down", "space", "space")
        assert {"Compare", "Clear filter and marks"} <= set(offers(lab))


@pytest.mark.asyncio
async def test_an_action_is_found_and_done_by_the_palette(runs: Path) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await SCREENS["build"](pilot)
        await pilot.press("ctrl+p", *"duplic")
        await until(pilot, "press D")
        await pilot.press("enter")
        await until(pilot, "2 of 4")
        assert len(lab.session.draft.rows) == 4


@pytest.mark.asyncio
async def test_a_theme_is_remembered_and_every_screen_has_it(runs: Path) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await SCREENS["data"](pilot)
        await SCREENS["runs"](pilot)
        await pilot.press("ctrl+p", *"light")
        await until(pilot, "Theme lab-light")
        await pilot.press("enter")
        await until(pilot, "1 running")
        assert lab.theme == "lab-light"
        for screen in SCREENS.values():
            await screen(pilot)
            assert not faint(lab)
    again = make_lab(runs)
    async with again.run_test(size=SIZE) as pilot:
        await SCREENS["build"](pilot)
        assert again.theme == "lab-light"


# The mouse selects text


async def drag(pilot: Pilot[str], start: tuple[int, int], end: tuple[int, int]) -> None:
    await pilot.mouse_down(offset=start)
    await pilot.hover(offset=end)
    await pilot.mouse_up(offset=end)
    await pilot.pause()


@pytest.mark.asyncio
async def test_the_text_of_a_table_can_be_selected_and_copied(runs: Path) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await SCREENS["runs"](pilot)
        table = lab.screen.query_one("#runs-table", Table)
        before = table.key
        x, y = table.region.offset
        await drag(pilot, (x + 2, y + 1), (x + 2 + len(RUNNING) - 1, y + 1))
        assert lab.screen.get_selected_text() == RUNNING
        await pilot.press("ctrl+c")
        assert lab.clipboard == RUNNING
        await drag(pilot, (x + 2, y + 1), (x + 4, y + 2))
        first, second = lab.screen.get_selected_text().splitlines()
        assert first.split()[:2] == [RUNNING, "running"]
        assert second.strip() == FINISHED[: len(second.strip())]
        assert table.key == before


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("screen", "widget", "text"),
    [
        ("build", "StackLines", "dense relu he_normal"),
        ("build", "SettingLines", "categorical_crossentropy"),
        ("build", "#totals", "17,226 params"),
        ("train", "EventLines", "checkpoint after step 720"),
        ("train", "ProgressLine", "epoch 22/40"),
        ("data", "#preview-about", "handwritten digits"),
    ],
)
async def test_other_texts_can_be_selected(runs: Path, screen: str, widget: str, text: str) -> None:
    lab = make_lab(runs, "lab-dark")
    async with lab.run_test(size=SIZE) as pilot:
        await SCREENS[screen](pilot)
        region = lab.screen.query_one(widget).content_region
        lines = [strip.crop(region.x, region.right).text for strip in lab.screen._compositor.render_strips()]
        y = next(y for y in range(region.y, region.bottom) if text in lines[y])
        x = region.x + lines[y].index(text)
        await drag(pilot, (x, y), (x + len(text) - 1, y))
        assert lab.screen.get_selected_text() == text


def test_a_drag_in_a_real_terminal_copies_a_line_and_does_not_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    write_runs(tmp_path / "runs", clock)
    terminal = Terminal(tmp_path)
    try:
        terminal.wait_for(lambda text: "17,226 params" in text)
        terminal.press("3")
        terminal.wait_for(lambda text: RUNNING in text)
        row, first, last = 4, 5, 4 + len(RUNNING)
        terminal.press(f"\x1b[<0;{first};{row}M", f"\x1b[<32;{last};{row}M", f"\x1b[<0;{last};{row}m", "\x03")
        copied = b"\x1b]52;c;" + base64.b64encode(RUNNING.encode())
        terminal.wait_for(lambda text: copied in terminal.written)
        assert "4 runs" in terminal.painted(118, 40)
    finally:
        terminal.close()
