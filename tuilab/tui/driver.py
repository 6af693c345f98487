"""The terminal: less is written to it, and where it is on this machine, escape acts soon."""

from __future__ import annotations

import os
import select
from codecs import getincrementaldecoder
from contextlib import suppress

from textual import constants
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from tuilab.tui.codes import shortened

SECONDS_BETWEEN_LOOKS = 0.1
"""At whether the lab ends."""
READ_AT_ONCE = 4096


class LeanDriver(LinuxDriver):
    """Writes pictures in as few codes as they need."""

    def write(self, data: str) -> None:
        super().write(shortened(data))


class QuickDriver(LeanDriver):
    """Looks whether escape was all that came as soon as that can be told; Textual does so only every 100 ms."""

    def run_input_thread(self) -> None:
        parser, decode = XTermParser(self._debug), getincrementaldecoder("utf-8")(errors="replace").decode
        wait = SECONDS_BETWEEN_LOOKS
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno], [], [], wait)
            wait = constants.ESCAPE_DELAY + 1e-3 if ready else SECONDS_BETWEEN_LOOKS
            text = decode(os.read(self.fileno, READ_AT_ONCE)) if ready else ""
            for event in parser.feed(text) if text else ():
                self.process_message(event)
            for event in parser.tick():
                self.process_message(event)
        with suppress(EOFError, ParseError):
            list(parser.feed(""))
