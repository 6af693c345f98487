"""What can go wrong, told to a person: the place, what is wrong, what to do, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class TuilabError(Exception):
    """A failure that a user can understand and act on; its text is shown without a traceback."""

    exit_code: ClassVar[int] = 1


class DataError(TuilabError):
    """Data that cannot be read or used: missing, truncated, foreign, or with values that no network can learn from."""


class DeviceError(TuilabError):
    """A device that was asked for and is not there."""


class DeviceFailure(DeviceError):
    """A device that was there and cannot go on: out of memory, lost, or with a driver too old. Training can go on from
    the last checkpoint, there or elsewhere."""

    exit_code = 5


class UsageError(TuilabError):
    """A command that cannot be carried out as it was typed."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in an experiment: `layers[2].units` and why."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class ExperimentError(TuilabError):
    """An experiment that cannot be built; holds every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: list[Problem], source: str = "") -> None:
        self.problems = problems
        self.source = source
        super().__init__("\n".join(f"{source}: {problem}" if source else str(problem) for problem in problems))


class DivergedError(TuilabError):
    """Training met NaN or infinity."""

    exit_code = 3


class StorageError(TuilabError):
    """A disk that is full, a folder that cannot be written."""

    exit_code = 5


class DiskFullError(StorageError):
    """There is no space left; what could not be written can be written once there is."""


class BusyError(StorageError):
    """Another program keeps a database locked; what could not be written can be written once it does not."""
