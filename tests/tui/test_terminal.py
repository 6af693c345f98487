"""The installed lab in a pseudo-terminal: by keys alone, from the first picture to the final accuracy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Tuilab
from tests.tui.terminal import Terminal
from tests.tui.window import ESCAPE, Window
from tuilab.experiment.draft import Draft


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    started = Terminal(tmp_path)
    yield started
    started.close()


def test_digits_are_learned_by_keys_alone(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for(lambda text: "17,226 params" in text)
    terminal.press("t")
    text = terminal.wait_for(lambda text: "test loss" in text and "finished" in text)
    found = re.search(r"test loss [\d.]+ +accuracy ([\d.]+)", text)
    assert found, text
    assert float(found[1]) > 0.96
    terminal.press("\x11")  # ctrl+q: nothing is going, nothing is unsaved
    assert terminal.wait() == 0
    assert len(list((tmp_path / "runs").glob("*-digits-mlp-*"))) == 1


def test_what_is_typed_while_the_lab_opens(tmp_path: Path) -> None:
    with Window.opened(tmp_path, columns=80, rows=24) as window:
        window.until_shown("1 Build")
        os.write(window.terminal, b"t")
        window.until_shown("finished · test loss")


def test_what_is_typed_faster_than_the_lab_answers(tmp_path: Path) -> None:
    """As it arrives over a slow link: all at once."""
    with Window.opened(tmp_path, columns=80, rows=24) as window:
        window.until_shown("he_normal", "1 of 3")
        os.write(window.terminal, b"adropout\r")
        window.until_shown("dropout 0.2", "2 of 4")
        os.write(window.terminal, b"a1dense")  # neither Build's 1 nor its d
        window.until_shown("1dense", "nothing fits")
        window.press(ESCAPE)
        window.until_shown("2 of 4")
        os.write(window.terminal, b"\x1b[A\r\r321\r")  # up, to its settings, edit the first: not Runs, Train and Build
        window.until_shown("20,865", " 321 ")
        os.write(window.terminal, b"3/x2d")
        window.until_shown("filter: x2d")


def test_leaving_a_run_that_goes_on(tmp_path: Path) -> None:
    model = Draft.open("digits-mlp")
    model.set("training.epochs", 100_000)
    (tmp_path / "long.toml").write_text(model.text)
    terminal = Terminal(tmp_path, "long.toml")
    try:
        terminal.wait_for(lambda text: "17,226 params" in text)
        terminal.press("t")
        terminal.wait_for(lambda text: "/100000" in text)
        terminal.press(" ")  # pause
        terminal.wait_for(lambda text: "paused" in text)
        terminal.press("\x11")
        terminal.wait_for(lambda text: "Leave it running" in text)
        terminal.press("\r")
        assert terminal.wait() == 0
        assert b"tuilab attach" in terminal.written[-2000:]
        (run,) = (tmp_path / "runs").glob("*-digits-mlp-*")
        tuilab = Tuilab(tmp_path)
        assert tuilab.overview(run.name).state == "paused"
        tuilab("stop", run.name)
    finally:
        terminal.close()


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (20, 5)])
def test_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    terminal = Terminal(tmp_path)
    try:
        terminal.wait_for(lambda text: "17,226 params" in text)
        terminal.resize(*size)
        terminal.read(0.5)
        terminal.press("2", "3", "4", "1")
        terminal.wait_for(lambda text: "17,226 params" in text)
    finally:
        terminal.close()


def test_no_escape_code_of_a_file_reaches_the_terminal(tmp_path: Path) -> None:
    """A ready-made experiment under a hostile name is listed as a run; so is a run whose folder has one."""
    tuilab = Tuilab(tmp_path)
    run = tuilab("train", "perceptron-and", "--json").json["run"]
    (tuilab.runs / run).rename(tuilab.runs / "1121-\x1b]0;pwned\x07-\x1b[31m[bold]x")
    terminal = Terminal(tmp_path)
    try:
        terminal.wait_for(lambda text: "17,226 params" in text)
        terminal.press("3")
        terminal.wait_for(lambda text: "pwned" in text)
        assert b"\x1b]0;pwned" not in terminal.written
        assert b"\x1b[31m[bold]" not in terminal.written
    finally:
        terminal.close()


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": "unknown"}])
def test_a_terminal_that_can_show_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    terminal = Terminal(tmp_path, **environment)
    try:
        assert terminal.wait() == 2
        assert b"tuilab train" in terminal.written
    finally:
        terminal.close()


def test_without_a_terminal(tuilab: Tuilab) -> None:
    assert "tuilab train MODEL" in tuilab(code=2).stderr
    assert "tuilab train MODEL" in tuilab("digits-mlp", code=2).stderr
    assert "No such command" in tuilab("digits-mpl", code=2).stderr


def test_an_experiment_that_is_not_there(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "nothing.toml")
    try:
        assert terminal.wait() == 2
        assert b"nothing.toml" in terminal.written
    finally:
        terminal.close()
