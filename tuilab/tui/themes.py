"""The colours of the lab: calm, one accent, the same two colours for training and validation everywhere."""

from __future__ import annotations

from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

DARK = Theme(
    name="lab-dark",
    primary="#5fafd7",
    secondary="#8a8a8a",
    accent="#d7af5f",
    success="#87af87",
    warning="#d7af5f",
    error="#d7875f",
    foreground="#d0d0d0",
    background="#16181c",
    surface="#1c1f24",
    panel="#262a31",
    dark=True,
    variables={
        "train": "#5fafd7",
        "validation": "#d787af",
        "quiet": "#9096a0",
        "border": "#3a404a",
        "scrollbar": "#4a515d",
        "scrollbar-background": "#16181c",
        "footer-key-foreground": "#d7af5f",
    },
)
LIGHT = Theme(
    name="lab-light",
    primary="#005f87",
    secondary="#6c6c6c",
    accent="#7d5700",
    success="#3a6b35",
    warning="#7d5700",
    error="#a03a1c",
    foreground="#262626",
    background="#f7f6f2",
    surface="#efeee8",
    panel="#e2e0d8",
    dark=False,
    variables={
        "train": "#005f87",
        "validation": "#87005f",
        "quiet": "#616161",
        "border": "#b8b5a8",
        "scrollbar": "#b8b5a8",
        "scrollbar-background": "#f7f6f2",
        "footer-key-foreground": "#7d5700",
    },
)
HIGH_CONTRAST = Theme(
    name="lab-high-contrast",
    primary="#00d7ff",
    secondary="#ffffff",
    accent="#ffff00",
    success="#00ff00",
    warning="#ffff00",
    error="#ff5f5f",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    dark=True,
    variables={
        "train": "#00d7ff",
        "validation": "#ff87ff",
        "quiet": "#d0d0d0",
        "border": "#ffffff",
        "scrollbar": "#ffffff",
        "scrollbar-background": "#000000",
        "footer-key-foreground": "#ffff00",
    },
)
SIXTEEN_COLOURS = {
    "train": "ansi_cyan",
    "validation": "ansi_magenta",
    "quiet": "ansi_bright_black",
    "border": "ansi_bright_black",
    "scrollbar": "ansi_bright_black",
    "scrollbar-background": "ansi_default",
}
ANSI_DARK = replace(
    BUILTIN_THEMES["ansi-dark"],
    name="lab-ansi-dark",
    accent="ansi_yellow",
    variables=BUILTIN_THEMES["ansi-dark"].variables
    | SIXTEEN_COLOURS
    | {"footer-key-foreground": "ansi_yellow", "block-cursor-blurred-text-style": "bold"},
)
ANSI_LIGHT = replace(
    BUILTIN_THEMES["ansi-light"],
    name="lab-ansi-light",
    accent="ansi_blue",
    warning="ansi_magenta",
    variables=BUILTIN_THEMES["ansi-light"].variables
    | SIXTEEN_COLOURS
    | {"train": "ansi_blue", "footer-key-foreground": "ansi_blue", "block-cursor-blurred-text-style": "bold"},
)
OWN = (DARK, LIGHT, HIGH_CONTRAST, ANSI_DARK, ANSI_LIGHT)
ANSI_VARIABLES = {name: SIXTEEN_COLOURS[name] for name in ("train", "validation", "quiet")}
"""What our own variables are in every theme that does not set them."""
DEFAULT_VARIABLES = {"train": "#5fafd7", "validation": "#d787af", "quiet": "#808080"}


def for_terminal(theme: str, colours: str | None, grey: bool) -> str:
    """Return the theme to use in place of another one: where a terminal has but sixteen colours, most of the mixed ones
    would become the same; and where all shall be `grey`, those of the terminal, which nobody knows, would become
    black."""
    pairs = {DARK.name: ANSI_DARK.name, LIGHT.name: ANSI_LIGHT.name}
    if grey:
        return {ansi: mixed for mixed, ansi in pairs.items()}.get(theme, theme)
    return pairs.get(theme, theme) if colours == "standard" else theme
