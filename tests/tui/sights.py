"""What there is to see of the lab, over runs that are always the same, at a time that stands still."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.exhibits import FINISHED, NOON, RUNNING, Clock, exhibited
from tests.tui.screens.trained import text_of
from tuilab.experiment.draft import Draft
from tuilab.runs.directory import RunDirectory
from tuilab.tui.app import Lab
from tuilab.tui.screens.build import BuildScreen
from tuilab.tui.screens.build_timing import EpochTimer

SECONDS_TO_HAPPEN = 120.0

Sight = Callable[[Pilot[str]], Awaitable[None]]
"""Brings something into sight."""


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with exhibited(tmp_path_factory.mktemp("exhibits") / "runs") as folder:
        yield folder


@pytest.fixture(autouse=True)
def stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything that differs from machine to machine, or from time to time, is always the same."""
    for name in ("NO_COLOR", "TUILAB_DATA", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("TUILAB_CONFIG", "TUILAB_STATE", "TUILAB_RUNS", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr(time, "time", Clock(NOON))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(EpochTimer, "measure", lambda timer, text, data_dir: "≈ 31 ms an epoch")
    monkeypatch.setattr(Input, "cursor_blink", False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def make_lab(runs: Path, theme: str = "") -> Lab:
    """Return a lab in a theme, or in the one that is remembered."""
    settings = Path(os.environ["TUILAB_CONFIG"]) / "settings.toml"
    settings.parent.mkdir(exist_ok=True)
    if theme:
        settings.write_text(f'theme = "{theme}"\n')
    return Lab(Draft.open("digits-mlp"), runs, settings.parent / "data")


async def until(pilot: Pilot[str], *texts: str) -> None:
    """Wait until texts stand on the screen, nothing on it changes any more, and no thread is at work for it."""
    limit, before, at_rest = time.monotonic() + SECONDS_TO_HAPPEN, "", False
    while not (at_rest and before == text_of(pilot) and all(text in before for text in texts) and not at_work(pilot)):
        before, at_rest = text_of(pilot), not at_work(pilot)
        assert time.monotonic() < limit, f"does not show {texts}:\n{before}"
        await asyncio.sleep(0.25)
        await pilot.pause()


def at_work(pilot: Pilot[str]) -> bool:
    """Whether a thread works something out that is still to be shown."""
    return any(worker._thread_worker and not worker.is_finished for worker in pilot.app.workers)


async def build(pilot: Pilot[str]) -> None:
    await pilot.press("1")
    await until(pilot, "17,226 params", "31 ms an epoch")


async def train(pilot: Pilot[str]) -> None:
    lab = pilot.app
    assert isinstance(lab, Lab)
    lab.watch_run(RunDirectory(lab.runs / RUNNING))
    await until(pilot, "running", "× dead 62%")


async def runs_(pilot: Pilot[str]) -> None:
    await pilot.press("3")
    await until(pilot, "1 running", "0.0258")


async def data(pilot: Pilot[str]) -> None:
    await pilot.press("4")
    await until(pilot, "1,797", "train 1,294")


async def help_(pilot: Pilot[str]) -> None:
    await train(pilot)
    await pilot.press("tab", "tab", "question_mark")
    await until(pilot, "One line for each layer")


async def quit_(pilot: Pilot[str]) -> None:
    await train(pilot)
    await pilot.press("ctrl+q")
    await until(pilot, "Leave it running")


async def picker(pilot: Pilot[str]) -> None:
    await build(pilot)
    await pilot.press("enter", "down", "enter")
    await until(pilot, "leaky_relu")
    await pilot.press(*"relu")
    await until(pilot, "▸ relu")


async def compare(pilot: Pilot[str]) -> None:
    await runs_(pilot)
    await pilot.press("down", "space", "space", "c")
    await until(pilot, "learning_rate", "best_epoch")


async def palette(pilot: Pilot[str]) -> None:
    await build(pilot)
    await pilot.press("ctrl+p", *"theme")
    await until(pilot, "Theme lab-light", "Theme lab-ansi-dark")


async def finished(pilot: Pilot[str]) -> None:
    lab = pilot.app
    assert isinstance(lab, Lab)
    lab.watch_run(RunDirectory(lab.runs / FINISHED))
    await until(pilot, "finished", "test loss", "× dead")


async def problem(pilot: Pilot[str]) -> None:
    """A layer that does not fit is marked where it stands."""
    await build(pilot)
    lab = pilot.app
    assert isinstance(lab, Lab)
    lab.session.draft.add(1, "reshape")
    lab.session.draft.set("layers[1].target_shape", [5, 5])
    lab.session.draft.set("training.optimizer.learning_rate", -1)
    screen = lab.screen
    assert isinstance(screen, BuildScreen)
    screen.choose_layers(1, 1)
    await until(pilot, "2! reshape")


async def made(pilot: Pilot[str]) -> None:
    """A layer that another one makes."""
    await build(pilot)
    lab = pilot.app
    assert isinstance(lab, Lab)
    lab.edit(Draft.open("vgg16"))
    await pilot.press("2", "1", "down", "down")
    await until(pilot, "1.1.1 conv2d", "vgg16, so it", "31 ms an epoch")


async def nothing_watched(pilot: Pilot[str]) -> None:
    await build(pilot)
    await pilot.press("2")
    await until(pilot, "Nothing to watch yet")


SCREENS: dict[str, Sight] = {"build": build, "train": train, "runs": runs_, "data": data}
OTHERS: dict[str, Sight] = {
    "help": help_,
    "quit": quit_,
    "picker": picker,
    "compare": compare,
    "palette": palette,
    "finished": finished,
    "problem": problem,
    "made": made,
    "nothing-watched": nothing_watched,
}
