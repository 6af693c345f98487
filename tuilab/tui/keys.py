"""Keys that come faster than they are answered, as over a slow link: each for what has the focus by then, in order.

Textual takes a key to what has the focus when it arrives. What is typed into a search that is about to open would be
lost there, or be taken for commands.
"""

from __future__ import annotations

import time
from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.events import Key
    from textual.widget import Widget

SECONDS_UNDER_WAY = 0.25
"""For which another key waits: one that is not back by then has come to its end where it was taken."""
MOST_UNDER_WAY = 100


@dataclass(frozen=True)
class Sent:
    """A key on its way to what had the focus and, where nobody there answers it, back."""

    key: Key
    number: int
    """Of keys in the order in which they were typed."""
    target: Widget
    answered: int
    """Keys that had been answered when it was sent."""
    at: float = field(default_factory=time.monotonic)


class Keys:
    """The keys that wait, and those that may still come back."""

    def __init__(self) -> None:
        self.typed = 0
        self.waiting: list[tuple[int, Key]] = []
        self._sent: list[Sent] = []
        self._answered = 0

    def wait(self, number: int, key: Key) -> None:
        """Keep a key until nothing is in its way."""
        insort(self.waiting, (number, key), key=lambda waiting: waiting[0])

    def send(self, number: int, key: Key, target: Widget) -> None:
        """Remember that a key is taken to what has the focus."""
        self._sent = [*self._sent[-MOST_UNDER_WAY:], Sent(key, number, target, self._answered)]

    def astray(self, focus: Widget) -> bool:
        """Whether a key is under way to what no longer has the focus: another one would overtake it."""
        recent = time.monotonic() - SECONDS_UNDER_WAY
        return any(sent.target is not focus and sent.at > recent for sent in self._sent)

    def back(self, key: Key, focus: Widget) -> int | None:
        """Nobody has answered a key. Return its number if another key was answered meanwhile, so that it is to be sent
        again."""
        place = next((place for place, sent in enumerate(self._sent) if sent.key is key), None)
        if place is None:
            return None
        mine, before = self._sent[place], self._sent[:place]
        # what was sent there before has come to its end there, for it is not back
        self._sent = [sent for sent in before if sent.target is not mine.target] + self._sent[place + 1 :]
        return mine.number if mine.target is not focus or mine.answered != self._answered else None

    def answer(self) -> None:
        """Remember that a key is answered."""
        self._answered += 1
