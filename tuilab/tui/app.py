"""The lab: a Textual app of four screens over one session. It trains nothing itself: workers do."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events, work
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from tuilab.errors import TuilabError
from tuilab.text import clean_text
from tuilab.tui import garbage, themes
from tuilab.tui.keys import Keys
from tuilab.tui.screens.opening import OpeningScreen
from tuilab.tui.session import SLOW_LINK, Session
from tuilab.tui.settings import load_settings, save_settings

if TYPE_CHECKING:
    from textual.driver import Driver

    from tuilab.experiment.draft import Draft
    from tuilab.runs.directory import RunDirectory

SHOWN_THEMES = tuple(theme.name for theme in themes.OWN)
SECONDS_TO_SETTLE = 1.0
"""After the start of the lab."""
SECONDS_FOR_KEY = 0.15
"""After a key, for what it does; other things wait."""
SECONDS_TO_WAIT = 0.01
"""For keys that are under way, before another one."""
SECONDS_BETWEEN_TIDYING = 0.25
SECONDS_BEFORE_SCREEN = 0.001
"""In which nothing is painted after a key to another screen."""


def _build() -> Screen[None]:
    from tuilab.tui.screens.build import BuildScreen

    return BuildScreen()


def _train() -> Screen[None]:
    from tuilab.tui.screens.train import TrainScreen

    return TrainScreen()


def _runs() -> Screen[None]:
    from tuilab.tui.screens.runs import RunsScreen

    return RunsScreen()


def _data() -> Screen[None]:
    from tuilab.tui.screens.data import DataScreen

    return DataScreen()


class Lab(App[str]):
    """Build, train, watch and compare. Returns a paragraph for the scrollback.

    The frame is painted before anything heavy is imported; then the experiment is opened. Where that fails, `problem`
    says why and the lab ends.
    """

    TITLE = "tuilab"
    CSS_PATH = "lab.tcss"
    MODES = {"build": _build, "train": _train, "runs": _runs, "data": _data}
    BINDINGS = [
        Binding("question_mark", "explain", "help", key_display="?", id="help", priority=False),
        Binding("ctrl+q", "leave", "quit", id="quit", priority=True),
        Binding("ctrl+z", "suspend_process", "suspend", show=False, id="suspend"),
        Binding("ctrl+p", "command_palette", "more", key_display="^p", id="palette"),
    ]
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(self, model: str | Draft, runs: Path, data_dir: Path | None = None) -> None:
        super().__init__()
        self.model = model
        self.runs = runs
        self.data_dir = data_dir
        if not isinstance(model, str):
            self.session = Session(model, runs, data_dir)
        self.pressed = -math.inf
        """When a key was pressed last, by the monotonic clock."""
        self.keys = Keys()
        self.problem: TuilabError | None = None
        self.settings, self.settings_problem = load_settings()
        for theme in themes.OWN:
            self.register_theme(theme)
        if SLOW_LINK:
            self.animation_level = "none"

    def get_default_screen(self) -> Screen[None]:
        return OpeningScreen()

    def get_driver_class(self) -> type[Driver]:
        usual = super().get_driver_class()
        if usual.__name__ != "LinuxDriver":  # on Windows, and without a terminal
            return usual
        from tuilab.tui.driver import LeanDriver, QuickDriver

        return LeanDriver if SLOW_LINK else QuickDriver  # what a key sends may come in parts over a link

    def delay_update(self, delay: float = SECONDS_BEFORE_SCREEN) -> None:
        """Paint as soon as a screen is there: Textual would wait for 50 ms."""
        super().delay_update(delay)

    async def on_event(self, event: events.Event) -> None:
        """Take a key to what has the focus, and answer it when nobody there did; see tuilab.tui.keys."""
        if not isinstance(event, events.Key):
            await super().on_event(event)
        elif not event.is_forwarded:
            self.pressed = time.monotonic()
            self.keys.typed += 1
            await self._send(self.keys.typed, event)
        elif number := self.keys.back(event, self.focused or self.screen):
            await self._send(number, events.Key(event.key, event.character))
        else:
            await super().on_event(event)
            self.keys.answer()

    async def _send(self, number: int, key: events.Key) -> None:
        if self.keys.waiting or self.keys.astray(self.focused or self.screen):
            if not self.keys.waiting:
                self.set_timer(SECONDS_TO_WAIT, self._go_on)
            self.keys.wait(number, key)
            return
        await super().on_event(key)
        if key.is_forwarded:
            self.keys.send(number, key, self.focused or self.screen)

    async def _go_on(self) -> None:
        """Send the keys that had to wait, if nothing is in their way any more."""
        if self.keys.astray(self.focused or self.screen):
            self.set_timer(SECONDS_TO_WAIT, self._go_on)
            return
        waiting, self.keys.waiting = self.keys.waiting, []
        for number, key in waiting:
            await self._send(number, key)

    @property
    def typing(self) -> bool:
        """Whether what a key does may still be under way."""
        return time.monotonic() < self.pressed + SECONDS_FOR_KEY

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.ANSI_VARIABLES if self.current_theme.ansi else themes.DEFAULT_VARIABLES

    async def on_mount(self) -> None:
        wanted = self.settings.theme
        self.theme = self._fitting(wanted if wanted in SHOWN_THEMES else "lab-dark")
        self.set_keymap(self.settings.keys)
        if self.settings_problem:
            self.say(self.settings_problem, severity="warning")
        self.theme_changed_signal.subscribe(self, lambda theme: self._remember(theme.name))
        self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh())  # the shell's text is there instead
        if not isinstance(self.model, str):
            await self._begin()

    def on_ready(self) -> None:
        """The frame is painted: do all that takes longer."""
        if isinstance(self.model, str):
            self.run_worker(self._open(self.model))

    async def _open(self, model: str) -> None:
        """Open the experiment, while the frame is there to be seen."""
        try:
            draft = await asyncio.to_thread(_opened, model)
        except TuilabError as error:
            self.problem = error
            self.exit()
            return
        self.session = Session(draft, self.runs, self.data_dir)
        await self._begin()

    async def _begin(self) -> None:
        opening = self.screen
        self.set_interval(1.0, self.session.reap)
        # all at once: rules that come later would have to be applied to all that is there by then
        self.stylesheet.read_all([Path(__file__).parent / f"screens/{mode}.tcss" for mode in self.MODES])
        self.stylesheet.parse()
        await self.switch_mode("build")
        self.call_after_refresh(self._answer, opening.typed if isinstance(opening, OpeningScreen) else [])
        self.set_timer(SECONDS_TO_SETTLE, self._settle)
        self.set_interval(SECONDS_BETWEEN_TIDYING, self._tidy)

    def _answer(self, typed: list[events.Key]) -> None:
        """Do what was asked for before there was anything to do it."""
        for key in typed:
            self.post_message(events.Key(key.key, key.character))

    @work(thread=True)
    def _settle(self) -> None:
        """Load the other screens before they are asked for, and have garbage looked for again."""
        import tomlkit  # noqa: F401

        from tuilab.tui import offered  # noqa: F401
        from tuilab.tui.screens import data, help, runs, train  # noqa: F401

        garbage.look_seldom()

    def _tidy(self) -> None:
        if not self.typing:
            garbage.look(time.monotonic() - self.pressed)

    def _fitting(self, theme: str) -> str:
        """Return the theme to use on this terminal in place of another one."""
        return themes.for_terminal(theme, self.console.color_system, self.no_color)

    def _remember(self, theme: str) -> None:
        if theme not in (self.settings.theme, self._fitting(self.settings.theme)):
            self.settings = replace(self.settings, theme=theme)
            problem = save_settings(self.settings)
            if problem:
                self.say(f"the theme is not remembered: {problem}", "warning")

    def say(self, text: str, severity: str = "information") -> None:
        """Tell the user something, whatever file the text comes from."""
        level = severity if severity in ("information", "warning", "error") else "information"
        self.notify(clean_text(text, 1000), severity=level, markup=False)  # type: ignore[arg-type]  # checked above

    def start_training(self) -> None:
        """Train the experiment on the Build screen, and watch it."""
        try:
            self.session.start()
        except TuilabError as error:
            self.say(str(error), "error")
            return
        self.watch_run(None)

    def watch_run(self, run: RunDirectory | None) -> None:
        """Show a run, or the one that was started last, on the Train screen."""
        self.session.run = run or self.session.run
        self.switch_mode("train")

    def edit(self, draft: Draft) -> None:
        """Put an experiment on the Build screen."""
        self.session.draft = draft
        self.switch_mode("build")

    def action_explain(self) -> None:
        from tuilab.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.screen))

    def action_leave(self) -> None:
        """Quit; where a run is going or an edit is not saved, ask first."""
        from tuilab.tui.screens.quit import QuitScreen

        if hasattr(self, "session"):
            self.push_screen(QuitScreen(), self._leave)
        else:
            self.exit()

    def _leave(self, summary: str | None) -> None:
        if summary is not None:
            self.exit(summary)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        from tuilab.tui.offered import offered

        yield from offered(self, screen)
        for theme in SHOWN_THEMES:
            if theme != self.theme and not (self.no_color and self.available_themes[theme].ansi):
                yield SystemCommand(f"Theme {theme}", "colours of the lab", partial(setattr, self, "theme", theme))


def _opened(model: str) -> Draft:
    """Return the draft of a model, and import what the first screen needs."""
    from tuilab.experiment.draft import Draft
    from tuilab.tui.screens import build  # noqa: F401  # takes a third of a second, which is better spent in this thread

    return Draft.open(model)
