"""The keyboard: escape alone, and codes that begin with it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from textual import constants, events
from textual.message import Message

from tuilab.tui.driver import QuickDriver

SECONDS_TO_COME = 10.0
TEXTUAL_WAITS = 0.1


class Keyboard(QuickDriver):
    """Reads keys from a pipe."""

    def __init__(self, pipe: int) -> None:
        self.fileno, self.exit_event, self._debug = pipe, Event(), False
        self.keys: list[str] = []

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.Key):
            self.keys.append(message.key)

    def until(self, *keys: str) -> None:
        limit = time.monotonic() + SECONDS_TO_COME
        while self.keys != list(keys):
            assert time.monotonic() < limit, self.keys
            time.sleep(0.001)
        self.keys.clear()


@contextmanager
def keyboard() -> Iterator[tuple[Keyboard, int]]:
    reading, writing = os.pipe()
    read = Keyboard(reading)
    thread = Thread(target=read.run_input_thread)
    thread.start()
    try:
        yield read, writing
    finally:
        read.exit_event.set()
        thread.join()
        os.close(reading)
        os.close(writing)


def test_escape_acts_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ESCAPE_DELAY", 0.02)
    took = []
    with keyboard() as (read, terminal):
        for _ in range(10):
            pressed = time.monotonic()
            os.write(terminal, b"\x1b")
            read.until("escape")
            took.append(time.monotonic() - pressed)
    assert min(took) < TEXTUAL_WAITS / 2  # the rest of a machine that does other things, too


def test_codes_and_characters_that_begin_with_the_same_bytes_are_one_key() -> None:
    with keyboard() as (read, terminal):
        os.write(terminal, b"\x1b[B\x1b[Aa\x1bx")
        read.until("down", "up", "a", "alt+x")
        for byte in "é".encode():
            os.write(terminal, bytes([byte]))
            time.sleep(0.01)
        read.until("é")
