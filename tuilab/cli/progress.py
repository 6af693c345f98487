"""Shows a training while it runs: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter

from tuilab.cli.output import clock, colourful, message, number
from tuilab.engine.events import EpochDone, Event, StepsDone, TrainingStarted
from tuilab.experiment.document import Experiment
from tuilab.text import clean_text


def show_progress(events: Iterable[Event], experiment: Experiment) -> None:
    """Consume all events of a training and show them."""
    if colourful():
        _show_bar(events, experiment)
    else:
        _show_lines(events, experiment)


def _show_lines(events: Iterable[Event], experiment: Experiment) -> None:
    epochs, started, told, first = experiment.training.epochs, perf_counter(), 0.0, 0
    for event in events:
        if isinstance(event, TrainingStarted):
            message(_title(event, experiment))
        elif isinstance(event, EpochDone):
            first = first or event.epoch  # a resumed training begins later
            seconds = perf_counter() - started
            if seconds - told < 1 and event.epoch not in (first, epochs):
                continue  # a thousand epochs in a few seconds need no thousand lines
            told = seconds
            left = seconds / (event.epoch - first + 1) * (epochs - event.epoch)
            speed = f"{event.samples_per_second:,.0f} samples/s"
            message(f"epoch {event.epoch}/{epochs}  {_results(event.results)}  {speed}  {clock(left)} left")


def _show_bar(events: Iterable[Event], experiment: Experiment) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[results]}", markup=False),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[left]} left"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, refresh_per_second=10, expand=True) as progress:
        validation: dict[str, float] = {}
        for event in events:
            if isinstance(event, TrainingStarted):
                console.print(_title(event, experiment), markup=False, highlight=False)
                steps, epochs = event.steps_per_epoch * event.epochs, event.epochs
                bar = progress.add_task("", total=steps, epoch=1, epochs=epochs, results="", speed="", left="–")
            elif isinstance(event, StepsDone):
                progress.update(
                    bar,
                    completed=event.step,
                    epoch=event.epoch,
                    results=_results({**event.results, **validation}, console.width - 47),
                    speed=f"{event.samples / event.seconds:,.0f} samples/s",
                    left=clock(event.seconds / event.step * (steps - event.step)),
                )
            elif isinstance(event, EpochDone):
                validation = {key: value for key, value in event.results.items() if key.startswith("val_")}


def _title(event: TrainingStarted, experiment: Experiment) -> str:
    name = clean_text(experiment.name)
    return f"{name}: {event.parameters:,} parameters, {event.samples:,} samples, on {event.device}"


def _results(results: Mapping[str, float], room: int = 1000) -> str:
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
