"""A download in a thread of its own, which the screen looks at when it draws."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from tuilab.blocks.datasets import Downloaded
from tuilab.errors import TuilabError


class _Cancelled(Exception):
    """The user does not want it any more."""


class Downloading:
    """Brings a data set here. The thread ends with the program, so that a mirror that stalls holds nobody up."""

    def __init__(self, dataset: Downloaded, data_dir: Path | None, mirrors: Sequence[str] = ()) -> None:
        self.dataset = dataset
        self.name = dataset.type_name()
        self.size = sum(file.size for file in dataset.files)
        self.problem = ""
        """Why it could not be done."""
        self.over = False
        self.cancelled = False
        self._done: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, args=(data_dir, mirrors), daemon=True)
        self._thread.start()

    @property
    def done(self) -> int:
        """Bytes that are here, as far as they were looked at."""
        return sum(self._done.copy().values())

    def cancel(self) -> None:
        """End it; what has arrived is kept for the next time."""
        self.cancelled = True

    def _run(self, data_dir: Path | None, mirrors: Sequence[str]) -> None:
        from tuilab.data.download import fetch

        try:
            fetch(self.dataset, data_dir, self._progress, mirrors)
        except TuilabError as error:
            self.problem = str(error)
        except _Cancelled:
            pass
        finally:
            self.over = True

    def _progress(self, name: str, done: int, size: int) -> None:
        if self.cancelled:
            raise _Cancelled
        for file in self.dataset.files:  # in their order: those before this one are here
            if file.name == name:
                break
            self._done.setdefault(file.name, file.size)
        self._done[name] = done
