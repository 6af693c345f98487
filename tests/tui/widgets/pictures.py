"""Drawings as text, to compare with what an eye has found right."""

from __future__ import annotations

from textwrap import dedent

from tuilab.tui.widgets.canvas import Canvas


def lines_of(canvas: Canvas) -> list[str]:
    """Return the rows of a drawing without the blanks at their ends."""
    return [row.rstrip() for row in canvas.text().split("\n")]


def picture(text: str) -> list[str]:
    """Return the rows of a picture in a test, between two lines of quotes; `|` is its left edge."""
    return [row.partition("|")[2].rstrip() for row in dedent(text).strip("\n").split("\n")]


def styles_of(canvas: Canvas) -> list[list[tuple[str, str]]]:
    """Return what is written, with its style, without blanks."""
    return [[(text.strip(), str(style)) for text, style in row if text.strip()] for row in canvas.rows()]
