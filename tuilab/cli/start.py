"""Where `tuilab` begins. Alone it opens the lab, without the command line, which takes a tenth of a second to load."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuilab.errors import TuilabError, UsageError

DEFAULT = "digits-mlp"
ESCAPE_MS = "20"
"""How long after escape the rest of a longer code may come on this machine; over SSH Textual waits for 100 ms."""


def main() -> None:
    """Open the lab, or run a command."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look through every installed package
    if len(sys.argv) == 1 and "_TUILAB_COMPLETE" not in os.environ:
        with failures_told():
            open_lab()
    else:
        from tuilab.cli.main import main as run_command

        run_command()


@contextmanager
def failures_told() -> Iterator[None]:
    """Tell what a user can understand and act on without a traceback."""
    try:
        yield
    except TuilabError as error:
        _fail(str(error), error.exit_code)
    except MemoryError as error:
        _fail(f"not enough memory: {error}; a smaller data.batch_size or smaller layers need less", 1)
    except KeyboardInterrupt:
        _fail("interrupted", 4)


def _fail(message: str, code: int) -> None:
    for line in message.splitlines():
        print(f"tuilab: {line}", file=sys.stderr)
    sys.exit(code)


def open_lab(model: str = DEFAULT, runs: Path | None = None, data_dir: Path | None = None) -> None:
    """Open the lab on an experiment, and print what it leaves to be said."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        raise UsageError("the lab needs a terminal; without one: tuilab train MODEL, tuilab models, tuilab --help")
    if "SSH_CONNECTION" not in os.environ:
        os.environ.setdefault("ESCDELAY", ESCAPE_MS)
    gc.disable()  # until the lab is there: nothing that is loaded now is ever thrown away
    from tuilab.runs.directory import runs_folder
    from tuilab.tui.app import Lab

    opened = Lab(model, runs_folder(runs), data_dir)
    summary = opened.run()
    if opened.problem is not None:
        raise opened.problem
    if summary:
        print(summary, file=sys.stderr)
