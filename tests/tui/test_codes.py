"""Pictures in fewer codes: the same to be seen."""

from __future__ import annotations

import re
import sys
from itertools import product
from pathlib import Path

import pytest
from rich.color import Color, ColorSystem
from rich.style import Style

from tests.tui.window import ESCAPE, QUIT, STYLE, TAB, Picture, Window, layer
from tuilab.tui.codes import shortened

TEXTS = ("a", "  ", "─x ")
COLORS = (None, "#102030", "#d0d0d0", "color(3)", "color(12)", "color(200)", "default")
ATTRIBUTES = ("", "bold", "dim", "bold italic", "underline", "bold reverse", "dim strike", "blink")
STYLES = [
    Style.parse(f"{attributes} {color or ''} {f'on {behind}' if behind else ''}")
    for color, behind, attributes in product(COLORS, COLORS, ATTRIBUTES)
]
KEEPING = """
from tuilab.cli.start import main
from tuilab.tui import codes, driver
def keeping(picture, shortened=codes.shortened):
    with open("pictures", "a") as file:
        file.write(picture + chr(0))
    return shortened(picture)
driver.shortened = keeping
main()
"""
"""The lab, but it keeps what Textual would write."""


def seen(picture: Picture) -> list[list[tuple[str, str]]]:
    """Return what is to be seen in each cell."""
    return [
        [(character, of_blank(style) if character == " " else style) for character, style in zip(*line, strict=True)]
        for line in zip(picture.characters, picture.styles, strict=True)
    ]


def of_blank(style: str) -> str:
    """Return what is to be seen of a style where there is no character: its background and its lines."""
    parts = STYLE.findall(style)
    lines = {"4", "7", "9"} & set(parts)
    return style if lines else "".join(part for part in parts if layer(part) == "behind")


def painted(written: str, columns: int, rows: int) -> list[list[tuple[str, str]]]:
    picture = Picture(columns, rows)
    picture.write(written.encode())
    return seen(picture)


@pytest.mark.parametrize("text", TEXTS)
def test_every_style_after_another(text: str) -> None:
    def stretch(style: Style, text: str) -> str:
        return style.render(text, color_system=ColorSystem.TRUECOLOR)

    for one in STYLES[::7]:
        rows = [stretch(one, "b") + stretch(other, text) + stretch(one, " c") for other in STYLES]
        picture = "\n".join(f"\x1b[{number};1H{row}" for number, row in enumerate(rows, 1))
        short = shortened(picture)
        assert len(short) < len(picture)
        size = {"columns": 8, "rows": len(rows)}
        assert painted(short, **size) == painted(picture, **size), str(one)


def test_colours_that_have_a_number() -> None:
    for number in range(22, 256):
        red, green, blue = Color.from_ansi(number).get_truecolor()
        short = shortened(f"\x1b[38;2;{red};{green};{blue}mx\x1b[0m")
        assert re.fullmatch(r"\x1b\[38;5;\d+mx\x1b\[0m", short)
        assert painted(short, 1, 1) == [[("x", f"38;2;{red};{green};{blue}")]]
    own = ["0;0;0", "0;0;95", "0;0;255"]  # people have other colours at the numbers of these
    for color in [*own, "1;2;3", "95;95;96", "9;9;9", "248;248;248"]:
        picture = f"\x1b[48;2;{color}mx\x1b[0m"
        assert shortened(picture) == picture


def test_a_style_lasts_until_another_one_is_seen() -> None:
    red, bold = "\x1b[31;44m", "\x1b[1;31;44m"
    assert shortened(f"{red}a\x1b[0m{red}b\x1b[0m") == f"{red}ab\x1b[0m"
    assert shortened(f"{bold}a\x1b[0m{red}  \x1b[0m\x1b[32;44mb\x1b[0m") == f"{bold}a  \x1b[22;32mb\x1b[0m"
    assert shortened(f"{red}a\x1b[0m\n\x1b[2;1H{red}b\x1b[0m") == f"{red}a\x1b[2;1Hb\x1b[0m"
    assert shortened("\x1b[2J\x1b[?25l") == "\x1b[2J\x1b[?25l"
    assert shortened(f"{red}a\x1b[0m\x1b[K") == f"{red}a\x1b[0m\x1b[K", (
        "what clears does so in the colour of the moment"
    )


def test_the_lab_looks_the_same(tmp_path: Path) -> None:
    with Window.opened(tmp_path, program=(sys.executable, "-c", KEEPING), columns=80, rows=24) as window:
        window.until_shown("dense", "he_normal")
        window.press("t")
        window.until_shown("validation", "update/weight")
        window.press(TAB, "s", "?")
        window.until_shown("One quantity over")
        window.press(ESCAPE)
        window.until_shown("finished · test loss")
        window.press("3")
        window.until_shown("1 run", "digits-mlp")
        window.press(QUIT)  # nothing is going, nothing is unsaved
        window.until_ended()
    usual, short = Picture(80, 24), Picture(80, 24)
    saved, pictures = 0, (tmp_path / "pictures").read_text().split("\0")
    for picture in pictures:
        usual.write(picture.encode())
        short.write(shortened(picture).encode())
        assert seen(short) == seen(usual), picture
        saved += len(picture) - len(shortened(picture))
    assert saved > 0.35 * sum(map(len, pictures))
