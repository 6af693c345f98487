"""Real runs of real workers, and a lab to look at them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from textual.pilot import Pilot

from tuilab.experiment.draft import Draft
from tuilab.experiment.load import load_experiment
from tuilab.experiment.save import to_toml
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.launch import Launched, launch
from tuilab.tui.app import Lab

SECONDS_TO_HAPPEN = 120.0


def make(folder: Path, name: str, *overrides: str, model: str = "iris-8-8-3") -> RunDirectory:
    """Make the run of a ready-made experiment, which nobody trains yet."""
    experiment = load_experiment(model, list(overrides))
    run = create_run(folder, experiment.name, to_toml(experiment))
    return RunDirectory(run.path.rename(folder / name))


def train(folder: Path, name: str, *overrides: str, model: str = "iris-8-8-3") -> RunDirectory:
    """Train a ready-made experiment to its end."""
    launched = launch(make(folder, name, *overrides, model=model))
    assert launched.process.wait(300) == 0, launched.complaints()
    return launched.run


@contextmanager
def training(folder: Path, name: str, *overrides: str, model: str = "iris-8-8-3") -> Iterator[RunDirectory]:
    """Let a ready-made experiment be trained meanwhile."""
    launched = launch(make(folder, name, *overrides, model=model))
    try:
        yield launched.run
    finally:
        end(launched)


def end(launched: Launched) -> None:
    """End a worker, and take notice of it."""
    launched.process.kill()
    launched.process.wait()


@asynccontextmanager
async def opened(
    runs: Path,
    mode: str,
    size: tuple[int, int] = (100, 30),
    draft: Draft | None = None,
    model: str = "iris-8-8-3",
    data: Path | None = None,
) -> AsyncIterator[tuple[Lab, Pilot[str]]]:
    """Open a lab and go to one of its screens."""
    lab = Lab(draft or Draft.open(model), runs, data)
    async with lab.run_test(size=size, notifications=True) as pilot:
        await pilot.press({"build": "1", "train": "2", "runs": "3", "data": "4"}[mode])
        try:
            yield lab, pilot
        finally:
            for launched in lab.session.launched:
                end(launched)


async def until(pilot: Pilot[str], happened: Callable[[], object]) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + SECONDS_TO_HAPPEN
    while not happened():
        assert time.monotonic() < end, f"did not happen:\n{text_of(pilot)}"
        await asyncio.sleep(0.02)
        await pilot.pause()


def text_of(pilot: Pilot[str]) -> str:
    """Return what stands on the screen."""
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


def on_screen(pilot: Pilot[str], *texts: str) -> Callable[[], bool]:
    """Return what says whether all these texts stand on the screen."""
    return lambda: all(text in text_of(pilot) for text in texts)
