"""The codes of a picture: the same picture in half as many bytes, which counts on a slow link."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

STYLE_CODE = re.compile(r"\x1b\[([\d;]*)m")
CURSOR_CODES = re.compile(r"(?:\n?\x1b\[\d+;\d+H)*")
NEEDLESS_LINE = re.compile(r"\n(?=\x1b\[\d+;\d+H)")
"""The end of a line before the cursor moves anyway."""
CHANGES_KEPT = 4096


class Style(NamedTuple):
    """How cells look: the parameters of SGR codes (ECMA-48, 8.3.117)."""

    attributes: frozenset[str] = frozenset()
    foreground: str = ""
    background: str = ""
    """As in `48;2;R;G;B`; empty for the terminal's own."""


PLAIN = Style()
LEVELS = (0, 95, 135, 175, 215, 255)
"""Of red, green and blue in the colours 16 to 231 of a terminal; 232 to 255 are the greys 8, 18 … 238."""
OWN_COLOURS = 21
"""The last colour that people give other values: the first sixteen, and the next six (base16-shell does)."""
INVISIBLE = frozenset({"1", "2", "3"})
"""Bold, dim, italic: a blank looks the same with them."""
OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "7": "27", "9": "29"}
"""The codes that end an attribute."""


def shortened(picture: str) -> str:
    """Return what Textual writes for a picture without the codes that change nothing to be seen.

    Textual begins every stretch of a style from nothing and ends it with a reset. Here a style lasts until another one
    is seen, and then only the difference is written.
    """
    out, drawn, wanted = [], PLAIN, PLAIN
    for number, piece in enumerate(STYLE_CODE.split(picture)):
        if number % 2:
            wanted = _styled(wanted, piece)
            continue
        if not CURSOR_CODES.fullmatch(piece) and not _same(piece, drawn, wanted):
            out.append(_change(drawn, wanted))
            drawn = wanted
        out.append(NEEDLESS_LINE.sub("", piece))
    out.append(_change(drawn, PLAIN))
    return "".join(out)


def _same(text: str, one: Style, other: Style) -> bool:
    """Whether a text looks the same in two styles."""
    if one == other:
        return True
    blank = not text.strip(" ") and one.background == other.background
    return blank and one.attributes <= INVISIBLE and other.attributes <= INVISIBLE


@lru_cache(CHANGES_KEPT)
def _styled(style: Style, parameters: str) -> Style:
    """Return a style after a code with these parameters."""
    attributes, foreground, background = style
    rest = parameters.split(";")
    while rest:
        code = rest.pop(0)
        if code in ("", "0"):
            attributes, foreground, background = PLAIN
        elif code in ("38", "48"):
            colour = f"{code};{_colour([rest.pop(0) for _ in range(4 if rest[0] == '2' else 2)])}"
            foreground, background = (colour, background) if code == "38" else (foreground, colour)
        elif code[:-1] in ("3", "9"):
            foreground = "" if code == "39" else code
        elif code[:-1] in ("4", "10"):
            background = "" if code == "49" else code
        else:
            attributes |= {code}
    return Style(attributes, foreground, background)


def _colour(parameters: list[str]) -> str:
    """Return the shortest parameters of a colour: its number, if it has one that means the same everywhere."""
    kind, *values = parameters
    parts = [int(value) for value in values]
    if kind == "2" and all(part in LEVELS for part in parts):
        red, green, blue = map(LEVELS.index, parts)
        number = 16 + 36 * red + 6 * green + blue
        return f"5;{number}" if number > OWN_COLOURS else ";".join(parameters)
    if kind == "2" and len(set(parts)) == 1 and parts[0] in range(8, 239, 10):
        return f"5;{232 + parts[0] // 10}"
    return ";".join(parameters)


@lru_cache(CHANGES_KEPT)
def _change(style: Style, to: Style) -> str:
    """Return the code that turns one style into another."""
    if style == to:
        return ""
    gone = style.attributes - to.attributes
    if to == PLAIN or not gone <= OFF.keys():
        return f"\x1b[{';'.join(['0', *sorted(to.attributes), *filter(None, to[1:])])}m"
    ended = {OFF[attribute] for attribute in gone}
    kept = {attribute for attribute in style.attributes if OFF.get(attribute) not in ended}
    codes = [*sorted(ended), *sorted(to.attributes - kept)]
    if style.foreground != to.foreground:
        codes.append(to.foreground or "39")
    if style.background != to.background:
        codes.append(to.background or "49")
    return f"\x1b[{';'.join(codes)}m"
