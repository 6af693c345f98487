"""What the lab makes a person wait for, and what it takes from a training: `TUILAB_DATA=… python -m benchmarks.lab`.

The lab runs in a pseudo-terminal that keeps a picture of what is painted (120×40 unless said otherwise), beside a
worker that trains digits-mlp at full speed on one thread. The table shows the median and the 95th percentile of:

- start: from the start of the process to the frame, and to the network in it; then to each other screen, seen first;
- keys: from a key press to its effect in the picture;
- attaching: from enter in the list of runs to the curves of a run of a million steps;
- training: by how much a worker alone on its core gets slower while a lab on another core watches it, in stretches by
  turns with and without a lab, and the share of its core that the lab takes;
- frames: what is written at 80×24 while a run is watched, on this machine and under SSH_CONNECTION.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.run_reading import record
from tests.tui.window import BACK_TAB, DOWN, ENTER, ESCAPE, TAB, UP, Picture, Window
from tuilab.experiment.draft import Draft
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.launch import launch
from tuilab.runs.reader import overview

LONG = 1_000_000
"""Steps of the run that is attached to."""
LISTED = 20
"""Runs in the list."""
STRETCH, BEFORE_STRETCH = 5.0, 1.0
"""Seconds that the speed of a training is measured, and that pass before."""
SECONDS_OF_FRAMES = 10.0
BEGIN, END = b"\x1b[?2026h", b"\x1b[?2026l"
"""Around every frame."""
TITLES = {"1": "1 Build", "2": "2 Train", "3": "3 Runs", "4": "4 Data"}
CURRENT = "7"
"""Among the parameters of a style: foreground and background change places."""

Effect = Callable[[Picture], object]
"""What a key changes in the picture, and nothing else does."""


@dataclass
class Figure:
    """A line of the table."""

    name: str
    values: list[float]
    unit: str
    bar: float | None = None

    def __str__(self) -> str:
        high = sorted(self.values)[min(int(0.95 * len(self.values)), len(self.values) - 1)]
        numbers = f"{statistics.median(self.values):>10,.1f}{high:>10,.1f}{len(self.values):>6}"
        return f"{self.name:<44}{numbers}  {self.unit:<10}{'' if self.bar is None else f'{self.bar:g}'}"


def main() -> None:
    """Print the table."""
    parts = {"start": start, "keys": keys, "attaching": attaching, "training": training, "frames": frames}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(parts), choices=parts, help="parts of the table")
    parser.add_argument("--rounds", type=int, default=10, help="of everything")
    chosen = parser.parse_args()
    print(f"{'':<44}{'median':>10}{'95 %':>10}{'n':>6}  {'unit':<10}bar")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as an installed lab, which is compiled already
        with lab(Path(folder)) as window:
            for screen in "2341":
                go_to(window, screen)
        for part in chosen.only:
            for figure in parts[part](Path(folder), chosen.rounds):
                print(figure, flush=True)


@contextmanager
def lab(folder: Path, **options: str | int) -> Iterator[Window]:
    """A lab that has painted its network."""
    window = Window(folder, **options)  # type: ignore[arg-type]  # its size, and the environment
    try:
        window.until_shown("dense")
        yield window
    finally:
        window.kill()


@contextmanager
def worker(runs: Path) -> Iterator[RunDirectory]:
    """A run that is being trained."""
    draft = Draft.open("digits-mlp")
    draft.set("training.epochs", 100_000)
    draft.set("training.device", "cpu")
    run = create_run(runs, "live", draft.full_text())
    process = launch(run).process
    try:
        while overview(run).status.epoch < 30:
            time.sleep(0.1)
        yield run
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(run.path)


def go_to(window: Window, screen: str) -> float:
    """Go to another screen, and return how many milliseconds it takes."""
    return press(window, screen, lambda picture: shows(picture, screen))


def shows(picture: Picture, screen: str) -> bool:
    """Whether a screen is there, with its keys and something in it."""
    current = CURRENT in picture.style_of(TITLES[screen]).split(";")
    return current and "help" in picture.lines[-1] and any(line.strip() for line in picture.lines[1:-1])


def press(window: Window, key: str, effect: Effect) -> float:
    """Press a key at any moment, and return the milliseconds until its effect is seen."""
    settle(window)
    before, pressed = effect(window.picture), time.perf_counter()
    os.write(window.terminal, key.encode())
    window.until(lambda: effect(window.picture) != before, seconds=10)
    return (window.read_at - pressed) * 1e3


def settle(window: Window) -> None:
    """Let the effects of the last key pass, up to no moment in particular."""
    settled = time.monotonic() + random.uniform(0.2, 0.4)
    while window.picture.within_frame or time.monotonic() < settled:
        window.read(0.02)
    window.written = b""


def start(folder: Path, rounds: int) -> Iterator[Figure]:
    frame, network, others = [], [], []
    for _ in range(rounds):
        began = time.perf_counter()
        window = Window(folder)
        window.until_shown("1 Build")
        frame.append((window.read_at - began) * 1e3)
        window.until_shown("dense")
        network.append((window.read_at - began) * 1e3)
        time.sleep(2.0)  # loads what was not needed yet, and measures the time of an epoch
        window.press(TAB, TAB)
        others += [go_to(window, screen) for screen in "342"]
        window.kill()
    yield Figure("start to the frame", frame, "ms", 500)
    yield Figure("start to the network", network, "ms", 500)
    yield Figure("another screen for the first time", others, "ms")


def keys(folder: Path, rounds: int) -> Iterator[Figure]:
    measured: dict[str, list[float]] = {}

    def time_of(name: str, key: str, effect: Effect) -> None:
        measured.setdefault(name, []).append(press(window, key, effect))

    with listed(folder / "runs"), worker(folder / "runs"), lab(folder) as window:
        go_to(window, "3")
        press(window, ENTER, curves)
        go_to(window, "4")
        for _ in range(rounds):
            for screen in "2341":
                measured.setdefault("another screen", []).append(go_to(window, screen))
            go_to(window, "2")
            for _ in range(5):
                time_of("the focus to another panel (train)", TAB, focused)
            for _ in range(2):
                time_of("logarithmic (train)", "l", lambda picture: "(log)" in picture.text)
            for _ in range(3):
                time_of("smoothed (train)", "s", lambda picture: title(picture, "smoothed"))
            for _ in range(3):
                time_of("zoom (train)", "z", lambda picture: title(picture, "steps"))
            go_to(window, "3")
            for key in (DOWN, DOWN, UP, UP):
                time_of("the cursor in the list of runs", key, cursor)
            press(window, "/", lambda picture: "a name, or:" in picture.text)
            for key in "l", "o":
                time_of("a letter in the filter of runs", key, filtered)
            press(window, ESCAPE, filtered)
            go_to(window, "1")
            for key in (DOWN, DOWN, UP, UP):
                time_of("the cursor in the layers", key, cursor)
            time_of("a picker opens", "a", lambda picture: "type to search" in picture.text)
            time_of("a letter in a picker", "d", lambda picture: "type to search" in picture.text)
            time_of("a picker closes", ESCAPE, focused)
            press(window, BACK_TAB, focused)
            settle(window)
            if "▸" not in field(window.picture):
                press(window, DOWN, field)
            time_of("a field opens", ENTER, field)
            for key in "1", "2":
                time_of("a digit in a field", key, field)
            press(window, ESCAPE, field)
            press(window, TAB, focused)
    for name, values in measured.items():
        yield Figure(name, values, "ms", 50)
    yield Figure("all keys", [value for values in measured.values() for value in values], "ms", 50)


@contextmanager
def listed(runs: Path) -> Iterator[None]:
    """Fill the list of runs."""
    runs.mkdir(exist_ok=True)
    first = record(runs, 10_000)
    copies = [shutil.copytree(first.path, first.path.with_name(f"{first.name}-{number}")) for number in range(LISTED)]
    try:
        yield
    finally:
        for path in (first.path, *copies):
            shutil.rmtree(path)


def curves(picture: Picture) -> bool:
    """Whether the Train screen is there, with curves."""
    return shows(picture, "2") and any("⠀" < character <= "⣿" for character in picture.text)


def focused(picture: Picture) -> object:
    """Return the colours of the borders."""
    return [
        style
        for line, styles in zip(picture.characters, picture.styles, strict=True)
        for character, style in zip(line, styles, strict=True)
        if character == "╭"
    ]


def title(picture: Picture, word: str) -> str:
    """Return the part of the title of the first chart that has this word in it."""
    parts = picture.lines[1].partition("╮")[0].strip("╭─╮ ").split(" · ")
    return next((part for part in parts if word in part), "")


def cursor(picture: Picture) -> object:
    """Return in which lines the sign of the cursor or its colour stands."""
    return [line[:24] for line in picture.lines if "▸" in line[:24]] or [styles[4] for styles in picture.styles]


def filtered(picture: Picture) -> str:
    """Return what is written in the filter, the last line of the first panel."""
    last = next(number for number, line in enumerate(picture.lines) if number > 1 and line.startswith("╰"))
    return picture.lines[last - 1]


def field(picture: Picture) -> str:
    """Return the line of the form that says how many units a layer has."""
    return next((line for line in picture.lines if "  units " in line), "")


def attaching(folder: Path, rounds: int) -> Iterator[Figure]:
    runs = folder / "runs"
    runs.mkdir(exist_ok=True)
    short, long = record(runs, 10_000), record(runs, LONG)
    first, again = [], []

    def attached(picture: Picture) -> bool:
        return long.name in picture.lines[0] and curves(picture)

    def put_cursor_on(run: RunDirectory) -> None:
        for key in "g", "G":
            window.press(key)
            settle(window)
            if f"╭─ {run.name} " in window.picture.text:
                return

    for _ in range(rounds):
        with lab(folder) as window:
            go_to(window, "3")
            window.until_shown(long.name)
            put_cursor_on(long)
            first.append(press(window, ENTER, attached))
            go_to(window, "3")
            put_cursor_on(short)
            press(window, ENTER, lambda picture: short.name in picture.lines[0] and curves(picture))
            go_to(window, "3")
            put_cursor_on(long)
            again.append(press(window, ENTER, attached))
    for run in (short, long):
        shutil.rmtree(run.path)
    yield Figure("attaching to a million steps, first run", first, "ms", 500)
    yield Figure("attaching to a million steps", again, "ms", 500)


def training(folder: Path, rounds: int) -> Iterator[Figure]:
    cores = sorted(os.sched_getaffinity(0))
    slower, share = [], []
    try:
        os.sched_setaffinity(0, {cores[-1]})
        with worker(folder / "runs") as run:
            os.sched_setaffinity(0, set(cores[:-1]))
            for number in range(rounds):
                # which one comes first changes from round to round: a machine that grows slower favours neither
                if number % 2:
                    alone, (beside, took) = speed(run, time.sleep), watched(folder, run)
                else:
                    (beside, took), alone = watched(folder, run), speed(run, time.sleep)
                slower.append((alone / beside - 1) * 100)
                share.append(took * 100)
    finally:
        os.sched_setaffinity(0, cores)
    yield Figure("a step takes longer while a lab watches", slower, "%", 2)
    yield Figure("of its core the lab takes", share, "%")


def speed(run: RunDirectory, wait: Callable[[float], object]) -> float:
    """Return the steps a second of a run, by its own clock, while we wait."""
    wait(BEFORE_STRETCH)
    before = overview(run).status
    wait(STRETCH)
    after = overview(run).status
    return (after.step - before.step) / (after.heartbeat - before.heartbeat)


def watched(folder: Path, run: RunDirectory) -> tuple[float, float]:
    """Return the speed of a run that a lab watches, and the share of the time in which the lab works."""
    with lab(folder) as window:
        go_to(window, "3")
        window.until_shown(run.name)
        press(window, ENTER, curves)
        process, began = psutil.Process(window.pid), time.monotonic()
        before = process.cpu_times()
        steps = speed(run, lambda seconds: read_for(window, seconds))
        after = process.cpu_times()
        took = after.user + after.system - before.user - before.system
        return steps, took / (time.monotonic() - began)


def read_for(window: Window, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        window.read(left)


def frames(folder: Path, rounds: int) -> Iterator[Figure]:
    links: dict[str, tuple[dict[str, str], int]] = {"here": ({}, 10), "SSH": ({"SSH_CONNECTION": "1 2 3 4"}, 4)}
    for name, (environment, most) in links.items():
        with worker(folder / "runs") as run, lab(folder, columns=80, rows=24, **environment) as window:
            go_to(window, "3")
            window.until_shown(run.name)
            press(window, ENTER, curves)
            read_for(window, BEFORE_STRETCH)
            a_second, sizes = [], []
            for _ in range(rounds):
                window.written = b""
                read_for(window, SECONDS_OF_FRAMES / rounds * 2)
                painted = [part.partition(END)[0] for part in window.written.split(BEGIN)[1:]]
                a_second.append(len(painted) / (SECONDS_OF_FRAMES / rounds * 2))
                sizes += [float(len(frame)) for frame in painted]
        yield Figure(f"frames a second, 80×24, {name}", a_second, "1/s", most)
        yield Figure(f"a frame, 80×24, {name}", sizes, "bytes", 5 * 1024)
        yield Figure(f"the largest frame, 80×24, {name}", [max(sizes)], "bytes", 5 * 1024)


if __name__ == "__main__":
    main()
