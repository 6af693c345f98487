"""The colours of the lab: calm, one accent, the same two colours for training and validation everywhere."""

from __future__ import annotations

from textual.theme import Theme

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
        "quiet": "#7d828b",
        "border": "#3a404a",
        "footer-key-foreground": "#d7af5f",
    },
)
LIGHT = Theme(
    name="lab-light",
    primary="#005f87",
    secondary="#6c6c6c",
    accent="#875f00",
    success="#3a6b35",
    warning="#875f00",
    error="#a03a1c",
    foreground="#262626",
    background="#f7f6f2",
    surface="#efeee8",
    panel="#e2e0d8",
    dark=False,
    variables={
        "train": "#005f87",
        "validation": "#87005f",
        "quiet": "#6a6a6a",
        "border": "#b8b5a8",
        "footer-key-foreground": "#875f00",
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
        "footer-key-foreground": "#ffff00",
    },
)
OWN = (DARK, LIGHT, HIGH_CONTRAST)
ANSI_VARIABLES = {
    "train": "ansi_cyan",
    "validation": "ansi_magenta",
    "quiet": "ansi_bright_black",
    "border": "ansi_bright_black",
}
"""What our own variables are in every theme that does not set them."""
DEFAULT_VARIABLES = {"train": "#5fafd7", "validation": "#d787af", "quiet": "#808080"}
