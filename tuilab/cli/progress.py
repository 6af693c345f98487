"""Shows a training while its worker runs: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tuilab.cli.output import clock, colourful, message, number
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import Epoch, Message, RunReader, following, overview
from tuilab.runs.status import Status
from tuilab.text import clean_text

SECONDS_BETWEEN_LOOKS = 0.05
ENDS = ("finished", "stopped", "diverged", "failed")


@dataclass(frozen=True)
class Mark:
    """How much of a run somebody has seen already."""

    epoch: int = 0
    message: int = 0


class Display(Protocol):
    """Shows one look at a run."""

    def begin(self, status: Status) -> None: ...
    def tell(self, text: str) -> None: ...
    def show(self, status: Status, epochs: list[Epoch], paused: bool) -> None: ...
    def close(self) -> None: ...


def mark(run: RunDirectory) -> Mark:
    """Return the mark behind everything that has happened until now."""
    with following(run) as reader:
        return Mark(reader.status().epoch, max((message.id for message in reader.messages()), default=0))


def follow(run: RunDirectory, ended: Callable[[], bool], since: Mark | None = None) -> None:
    """Show a run until `ended`, and nothing of what happened before `since`."""
    display: Display = Bar() if colourful() else Lines()
    try:
        with following(run) as reader:
            _follow(run, reader, ended, display, since or Mark())
    finally:
        display.close()


def _follow(run: RunDirectory, reader: RunReader, ended: Callable[[], bool], display: Display, since: Mark) -> None:
    begun, epoch, said, troubled = False, since.epoch, since.message, ""
    over = False
    while not over:
        over = ended()  # before the last look
        seen = overview(run, reader)
        status, trouble = seen.status, seen.owner.trouble if seen.owner and seen.alive and not over else ""
        if status.parameters and not begun:
            begun = True
            display.begin(status)
        for told in reader.messages(said):
            said = told.id
            if _interesting(told):
                display.tell(told.text)
        if trouble and trouble != troubled:
            display.tell(clean_text(trouble, 1000))
        troubled = trouble
        epochs = reader.epochs(epoch)
        epoch = epochs[-1].epoch if epochs else min(epoch, status.epoch)  # a run may be rewound while we look on
        display.show(status, epochs, seen.state == "paused")
        if not over:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _interesting(told: Message) -> bool:
    return told.kind != "checkpoint" and told.text.partition(":")[0] not in ENDS


class Lines:
    """A line an epoch, at most one a second, for logs."""

    def __init__(self) -> None:
        self.told: float | None = None

    def begin(self, status: Status) -> None:
        message(_title(status))

    def tell(self, text: str) -> None:
        message(text)

    def show(self, status: Status, epochs: list[Epoch], paused: bool) -> None:
        for row in epochs:
            now = time.monotonic()
            if self.told is not None and now - self.told < 1 and row.epoch != status.epochs:
                continue  # a thousand epochs in a few seconds need no thousand lines
            self.told = now
            left = clock(row.seconds * (status.epochs - row.epoch))
            speed = f"{row.samples_per_second:,.0f} samples/s"
            message(f"epoch {row.epoch}/{status.epochs}  {_results(row.results)}  {speed}  {left} left")

    def close(self) -> None:
        pass


class Bar:
    """A progress bar with the newest results and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.console = Console(stderr=True)
        columns = (
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[results]}", markup=False),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[left]}"),
        )
        self.progress = Progress(*columns, console=self.console, refresh_per_second=10, expand=True)
        self.bar = self.progress.add_task("", epoch=1, epochs="–", results="", speed="", left="", visible=False)
        self.validation: dict[str, float | None] = {}
        self.progress.start()

    def begin(self, status: Status) -> None:
        self.tell(_title(status))
        self.progress.update(self.bar, visible=True)

    def tell(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)

    def show(self, status: Status, epochs: list[Epoch], paused: bool) -> None:
        if epochs:
            results = epochs[-1].results
            self.validation = {key: value for key, value in results.items() if key.startswith("val_")}
        steps = status.steps_per_epoch * status.epochs
        first = status.step <= 1  # a step in which kernels are loaded says nothing of the others
        left = "–" if first else clock(status.seconds / status.step * (steps - status.step))
        self.progress.update(
            self.bar,
            total=steps or None,
            completed=status.step,
            epoch=min(status.epoch + 1, status.epochs),
            epochs=status.epochs,
            results=_results({**status.results, **self.validation}, self.console.width - 47),
            speed="" if first else f"{status.samples_per_second or 0:,.0f} samples/s",
            left="paused" if paused else f"{left} left",
        )

    def close(self) -> None:
        self.progress.stop()


def _title(status: Status) -> str:
    name = clean_text(status.experiment)
    return f"{name}: {status.parameters:,} parameters, {status.samples_per_epoch:,} samples, on {status.device}"


def _results(results: Mapping[str, float | None], room: int = 1000) -> str:
    """The results in a line: losses and first metric first, and no more than fit into `room` characters."""
    labels = sorted(results, key=lambda label: label.startswith("val_"))  # keeps the order within each half
    trained = [label for label in labels if not label.startswith("val_")]
    order = [*trained[:2], *(label for label in labels if label.removeprefix("val_") in trained[:2]), *labels]
    parts: list[str] = []
    for label in dict.fromkeys(order):
        part = f"{clean_text(label)} {number(results[label])}"
        if parts and sum(map(len, parts)) + len(parts) + len(part) > room:
            break
        parts.append(part)
    return " ".join(parts) if room < 1000 else "  ".join(parts)
