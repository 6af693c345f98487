"""The lab in a pseudo-terminal that keeps a picture, and understands nothing but what a lab has to send."""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.color import Color

from tests.tui.terminal import LAB, Terminal

DOWN, UP, TAB, BACK_TAB, ENTER, ESCAPE, QUIT = "\x1b[B", "\x1b[A", "\t", "\x1b[Z", "\r", "\x1b", "\x11"
"""What keys send."""
SECONDS_BETWEEN_KEYS, SECONDS_AFTER_ESCAPE = 0.06, 1.0
"""Together with another key, escape would be that key with alt."""

TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|(?P<line>[\r\n])"
    r"|\x1b\[(?P<style>[\d;]*)m"
    r"|\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[\?(?P<frame>2026[hl])"
    r"|(?P<mode>\x1b\[\?(?:7|25|1000|1003|1004|1006|1015|1049|2004|2048)[hl])"
    r"|(?P<keyboard>\x1b\[(?:>\d+|<)u)"
    r"|(?P<question>\x1b\[\?(?:2026|2048)\$p)"
    r"|(?P<pointer>\x1b\]22;[a-z-]+\x07)"
)
UNFINISHED = re.compile(r"\x1b(\[[<>?]?[\d;]*\$?|\](2|22|22;[a-z-]*)?)?")
SECONDS_WITHIN = 0.001
"""Between the parts of a frame that is larger than the buffer of the terminal."""
SYNCHRONIZED, YES = "\x1b[?2026$p", b"\x1b[?2026;1$y"
"""Whether the terminal knows where a frame begins and ends."""
STYLE = re.compile(r"[34]8;2;\d+;\d+;\d+|[34]8;5;\d+|\d+")
ENDS = {"22": ("1", "2"), "23": ("3",), "24": ("4",), "27": ("7",), "29": ("9",)}
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of text."""


def restyled(style: str, codes: str) -> str:
    """Return a style after another code."""
    parts = STYLE.findall(style)
    for code in STYLE.findall(codes) or ["0"]:
        if code == "0":
            parts = []
        elif code in ENDS:
            parts = [part for part in parts if part not in ENDS[code]]
        else:
            parts = [part for part in parts if layer(part) != layer(code)]
            parts += [] if code in ("39", "49") else [exact(code)]
    return ";".join(sorted(parts))


def exact(code: str) -> str:
    """Return what a terminal makes of a colour that is given by its number, which it may choose only below 16."""
    kind, *numbers = code.split(";")
    if numbers[:1] == ["5"] and int(numbers[1]) > 15:
        return f"{kind};2;{';'.join(map(str, Color.from_ansi(int(numbers[1])).get_truecolor()))}"
    return code


def layer(code: str) -> str:
    """Return what a code sets: of all colours of the text, or behind it, only one holds."""
    number = int(code.partition(";")[0])
    text, behind = (
        number in range(30, 40) or number in range(90, 98),
        number in range(40, 50) or number in range(100, 108),
    )
    return "text" if text else "behind" if behind else code


class Picture:
    """What stands on a terminal. Raises AssertionError for a code that a lab has no reason to send."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.characters = [[" "] * columns for _ in range(rows)]
        self.styles = [[""] * columns for _ in range(rows)]
        """For each cell what style codes make of it: their parameters, without those that others have ended."""
        self.within_frame = False
        self.asked: list[str] = []
        """Questions about the terminal, which it may answer."""
        self._style = ""
        self._row = self._column = 0
        self._left = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def write(self, written: bytes) -> None:
        """Take in what is written to the terminal, which may end within a code."""
        text, at = self._left + self._decoder.decode(written), 0
        self._left = ""
        while at < len(text):
            token = TOKEN.match(text, at)
            if token is None:
                assert UNFINISHED.fullmatch(text, at), f"the lab sent {text[at : at + 40]!r} after {text[:at][-80:]!r}"
                self._left = text[at:]
                return
            self._take(token)
            at = token.end()

    def _take(self, token: re.Match[str]) -> None:
        kind, value = token.lastgroup, token[token.lastgroup or 0]
        if kind == "text":
            self._put(value)
        elif kind == "line":
            self._row, self._column = (self._row, 0) if value == "\r" else (self._row + 1, self._column)
        elif kind == "style":
            self._style = restyled(self._style, value)
        elif kind == "column":
            self._row, self._column = int(token["row"]) - 1, int(value) - 1
        elif kind == "frame":
            self.within_frame = value.endswith("h")
        elif kind == "question":
            self.asked.append(value)

    def _put(self, text: str) -> None:
        assert not TURNING.search(text), text
        if not 0 <= self._row < self.rows:
            return
        for character in text:
            width, at = cell_len(character), self._column
            if width == 0 and 0 < at <= self.columns:
                self.characters[self._row][at - 1] += character
            for cell in range(at, min(at + width, self.columns)):
                self.characters[self._row][cell] = character if cell == at else ""
                self.styles[self._row][cell] = self._style
            self._column += width

    @property
    def lines(self) -> list[str]:
        return ["".join(row) for row in self.characters]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def style_of(self, text: str) -> str:
        """Return the style of the first cell of a text that stands on the screen; empty where it does not."""
        for row, line in enumerate(self.lines):
            if (at := line.find(text)) >= 0:
                return self.styles[row][cell_len(line[:at])]
        return ""


class Window(Terminal):
    """A lab, and the picture that it has painted; a frame that is not complete is not looked at."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        columns: int = 120,
        rows: int = 40,
        program: Sequence[str] = LAB,
        **environment: str,
    ) -> None:
        own = {"TUILAB_STATE": str(folder / "state"), **environment}
        super().__init__(folder, *arguments, columns=columns, rows=rows, program=program, **own)
        self.picture = Picture(columns, rows)
        self.read_at = 0.0
        """When something was read last."""

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, *arguments: str, **options: Any) -> Iterator[Window]:
        """A window that is closed afterwards, and with it whatever still trains in its folder."""
        window = cls(folder, *arguments, **options)
        try:
            yield window
        finally:
            window.close()

    def read(self, seconds: float = 0.05) -> bytes:
        """Return what is written next within some time."""
        new = b""
        while select.select([self.terminal], [], [], SECONDS_WITHIN if new else seconds)[0]:
            try:
                part = os.read(self.terminal, 65536)
            except OSError:  # the lab has ended
                break
            if not part:
                break
            self.read_at = time.perf_counter()
            new += part
        self.written += new
        self.picture.write(new)
        if SYNCHRONIZED in self.picture.asked:
            os.write(self.terminal, YES)
        self.picture.asked.clear()
        return new

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as slowly as a person in a hurry."""
        for key in keys:
            os.write(self.terminal, key.encode())
            until = time.monotonic() + (SECONDS_AFTER_ESCAPE if key == ESCAPE else SECONDS_BETWEEN_KEYS)
            while (left := until - time.monotonic()) > 0:
                self.read(left)

    def until(self, happened: Callable[[], object], seconds: float = 120.0) -> None:
        """Read until something has happened."""
        limit = time.monotonic() + seconds
        while self.picture.within_frame or not happened():
            assert time.monotonic() < limit, f"did not happen:\n{self.picture.text}"
            assert self.alive(), self.written[-3000:].decode(errors="replace")
            self.read()

    def until_shown(self, *texts: str, seconds: float = 120.0) -> None:
        """Read until all these texts stand on the screen."""
        self.until(lambda: all(text in self.picture.text for text in texts), seconds)

    def until_told(self, text: str) -> None:
        """Read until a toast says this; its lines may be broken anywhere."""

        def told() -> str:
            return "".join(line.partition("▌")[2].strip(" │─╮╯") for line in self.picture.lines)

        self.until(lambda: "".join(text.split()) in "".join(told().split()))

    def hang_up(self) -> None:
        """Take the terminal away from under the lab."""
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), self.terminal)

    def until_ended(self, seconds: float = 60.0) -> None:
        """Wait until the lab has ended; its terminal may be gone."""
        limit = time.monotonic() + seconds
        while self.alive():
            assert time.monotonic() < limit, "the lab does not end"
            self.read(0.02)
            time.sleep(0.01)  # a terminal that is gone makes nobody wait

    def kill(self) -> None:
        """End the lab at once, and nothing that it has started."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)
