"""Eight colours for curves and classes, the same in every drawing."""

from __future__ import annotations

THEMED = {
    1: "$train",
    2: "$validation",
    3: "$accent",
    4: "$success",
    5: "$error",
    7: "$foreground",
    8: "$quiet",
}
SIXTH = {"": "#9a8fd8", ":light": "#5b4ba0", ":ansi": "ansi_blue"}
"""No theme has an eighth colour; a violet is furthest from the others."""


def numbered(widget: str, prefix: str, strength: str = "") -> str:
    """Return the style rules that give the component classes `prefix`1 to `prefix`8 of a widget their colours, mixed
    with the background where `strength` is less than 100%."""
    rules = [f"{widget} .{prefix}{number} {{ color: {colour} {strength}; }}" for number, colour in THEMED.items()]
    rules += [f"{widget}{state} .{prefix}6 {{ color: {colour} {strength}; }}" for state, colour in SIXTH.items()]
    return "\n".join(rules)
