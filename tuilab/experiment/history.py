"""The text of an experiment file as it is edited, every edit undoable without limit."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from tuilab.errors import ExperimentError, UsageError
from tuilab.experiment.guard import MOST_BYTES, absurdity
from tuilab.experiment.load import parse
from tuilab.experiment.sections import Sections, joined, split


class History:
    """Sections of text, one state after each edit; raises ExperimentError where the first is not TOML."""

    def __init__(self, text: str) -> None:
        parse(text)
        self._history: list[Sections] = [split(text)]
        self._at = 0

    @property
    def sections(self) -> Sections:
        return self._history[self._at]

    @cached_property
    def text(self) -> str:
        """The file as it would be saved."""
        return joined(self.sections)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The values that are written."""
        return parse(self.text)

    @property
    def can_undo(self) -> bool:
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        return self._at < len(self._history) - 1

    def undo(self) -> None:
        """Take the last edit back; does nothing where there is none."""
        self._go(max(self._at - 1, 0))

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._go(min(self._at + 1, len(self._history) - 1))

    def reset(self) -> None:
        """Go back to what was opened, as one more edit."""
        self._change(self._history[0])

    def _go(self, at: int) -> None:
        self._at = at
        for name in ("text", "document"):
            self.__dict__.pop(name, None)

    def _change(self, sections: Sections) -> None:
        """Make `sections` what the text is now; raises UsageError where no experiment file may hold it."""
        text = joined(sections)
        if text == self.text:
            return
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise UsageError("that holds characters that no file can hold") from None
        if size > MOST_BYTES:
            raise UsageError(f"the experiment would be larger than {MOST_BYTES // 1024} KiB")
        if problem := absurdity(text):
            raise UsageError(str(problem))
        try:
            document = parse(text)
        except ExperimentError as error:
            raise UsageError(str(error)) from None
        del self._history[self._at + 1 :]
        self._history.append(sections)
        self._go(self._at + 1)
        self.__dict__.update(text=text, document=document)
