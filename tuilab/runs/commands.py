"""What others ask of a running worker: a small file in the run's `commands/`, an answer in its database.

from tuilab.runs.commands import Command, send

send(run, Command(action="set", key="learning_rate", value="0.0005"))
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuilab.runs.database import reading
from tuilab.runs.directory import RunDirectory, storage
from tuilab.runs.lock import look
from tuilab.runs.plain_file import read_plain
from tuilab.text import clean_text

FOLDER = "commands"
MOST_BYTES = 4096
MOST_AT_ONCE = 100
"""Files that are looked at in one go while it trains."""

Action: TypeAlias = Literal["pause", "resume", "step", "stop", "stop_after_epoch", "kill", "set", "checkpoint"]


class Command(BaseModel):
    """One thing that a worker can be asked for while it trains.

    pause; resume; step: do one step more and pause; stop: finish the step, write a checkpoint, end; stop_after_epoch;
    kill: end at once, without a checkpoint; set: change training.epochs or training.optimizer.learning_rate;
    checkpoint: write one now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Action
    key: Annotated[str, Field(max_length=200)] = ""
    """For set: the place in the experiment, or `learning_rate`, `epochs` for short."""
    value: Annotated[str, Field(max_length=2000)] = ""
    """For set: as it would stand in the experiment file."""

    def __str__(self) -> str:
        words = self.action.replace("_", " ")
        return clean_text(f"{words} {self.key}={self.value}" if self.action == "set" else words)


@dataclass(frozen=True)
class Answer:
    """What became of a command."""

    accepted: bool
    text: str


def send(run: RunDirectory, command: Command) -> str:
    """Ask the worker of a run for something; return the name under which it answers.

    Raises StorageError where the command cannot be written.
    """
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    with storage(run.path):
        (run.path / FOLDER).mkdir(exist_ok=True)  # copies of runs may lack empty folders
    run.write_text(f"{FOLDER}/{name}.json", command.model_dump_json(exclude_defaults=True))
    return name


def answer(run: RunDirectory, name: str) -> Answer | None:
    """Return what became of a command that was sent; None where the worker has not seen it yet."""
    with reading(run.path) as connection:
        row = connection.execute("SELECT accepted, answer FROM commands WHERE name = ?", (name,)).fetchone()
        return None if row is None else Answer(bool(row[0]), clean_text(row[1], 1000))


class Inbox:
    """The commands that wait for the worker of a run."""

    def __init__(self, run: RunDirectory) -> None:
        self.folder = run.path / FOLDER
        self.stuck: set[str] = set()
        """Names that cannot be taken away, so that they are not answered again and again."""

    def peek(self) -> list[Command]:
        """Return the commands that wait, and leave them where they are."""
        found = (_read(self.folder / name) for name in self._names(MOST_AT_ONCE))
        return [command for command in found if isinstance(command, Command)]

    def take(self, most: int | None = MOST_AT_ONCE) -> Iterator[tuple[str, Command | str]]:
        """Give the commands that wait, in the order of sending: the name of each, and the command or why it is none. A
        file is gone once the next one is asked for, or nobody asks any more."""
        for name in self._names(most):
            found = _read(self.folder / name)
            if found is None:
                continue
            try:
                yield clean_text(name.removesuffix(".json"), 60), found
            finally:
                self._remove(name)

    def _remove(self, name: str) -> None:
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError:  # a folder, or one that may not be written
            self.stuck.add(name)

    def _names(self, most: int | None) -> list[str]:
        try:
            found = sorted(name for name in os.listdir(self.folder) if not name.startswith("."))
        except OSError:  # it is missing, or not a folder, or may not be read
            return []
        return [name for name in found if name not in self.stuck][:most]


def signal_worker(run: RunDirectory, command: Command) -> Answer:
    """Stop or kill a worker that cannot read commands, by a signal; only one that certainly is the run's own, on this
    machine."""
    life, owner = look(run.path)
    if life != "alive" or owner is None or not owner.may_live():
        return Answer(command.action == "kill" and life == "dead", "its worker is not there any more")
    number = signal.SIGKILL if command.action == "kill" else signal.SIGTERM
    os.kill(owner.pid, number)
    return Answer(True, f"{number.name} was sent to process {owner.pid}")


def withdraw(run: RunDirectory, name: str) -> None:
    """Take back a command that nobody has seen."""
    (run.path / FOLDER / f"{name}.json").unlink(missing_ok=True)


def _read(path: Path) -> Command | str | None:
    """Return a command, or why a file is none; nothing where it was withdrawn meanwhile."""
    try:
        return Command.model_validate(json.loads(read_plain(path, MOST_BYTES)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return clean_text(f"{'.'.join(map(str, first['loc'])) or 'command'}: {first['msg']}")
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return "is not JSON"
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return clean_text(str(error))
