"""`tuilab pause`, `step`, `stop`, `set`, `checkpoint`: steer a worker from another terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from tuilab.cli.options import Json, Run, Runs
from tuilab.cli.output import message, print_json

if TYPE_CHECKING:
    from tuilab.runs.commands import Answer, Command
    from tuilab.runs.directory import RunDirectory

SECONDS_TO_ANSWER = 10.0


def pause(run: Run, runs: Runs = None, as_json: Json = False) -> None:
    """Let a run wait after the step that it is doing; 'tuilab resume' lets it go on."""
    _ask_for("pause", run, runs, as_json)


def step(run: Run, runs: Runs = None, as_json: Json = False) -> None:
    """Let a run do one step and wait."""
    _ask_for("step", run, runs, as_json)


def stop(
    run: Run,
    after_epoch: Annotated[bool, typer.Option("--after-epoch", help="Finish the epoch first.")] = False,
    kill: Annotated[bool, typer.Option("--kill", help="End at once, without a checkpoint.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """End a run after the step that it is doing, with a checkpoint; 'tuilab resume' goes on from there."""
    from tuilab.errors import UsageError

    if after_epoch and kill:
        raise UsageError("--after-epoch and --kill exclude each other")
    _ask_for("kill" if kill else "stop_after_epoch" if after_epoch else "stop", run, runs, as_json)


def checkpoint(run: Run, runs: Runs = None, as_json: Json = False) -> None:
    """Let a run write a checkpoint now."""
    _ask_for("checkpoint", run, runs, as_json)


def set_(
    run: Run,
    setting: Annotated[str, typer.Argument(metavar="KEY=VALUE", help="learning_rate=0.0005 or epochs=20.")],
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Change the learning rate or the number of epochs of a run while it trains."""
    from tuilab.errors import UsageError
    from tuilab.runs.commands import Command
    from tuilab.runs.directory import find_run, runs_folder

    key, equals, value = setting.partition("=")
    if not equals:
        raise UsageError("write KEY=VALUE, for example learning_rate=0.0005")
    ask(find_run(runs_folder(runs), run), Command(action="set", key=key.strip(), value=value.strip()), as_json)


def _ask_for(action: str, run: str, runs: Runs, as_json: bool) -> None:
    from tuilab.runs.commands import Command
    from tuilab.runs.directory import find_run, runs_folder

    ask(find_run(runs_folder(runs), run), Command.model_validate({"action": action}), as_json)


def ask(run: RunDirectory, command: Command, as_json: bool) -> None:
    """Send a command to the worker of a run, wait for its answer and print it; exit 1 where it says no."""
    said = _answer(run, command)
    if as_json:
        print_json({"run": run.name, "command": str(command), "accepted": said.accepted, "answer": said.text})
    else:
        message(f"{run.name}: {said.text}")
    raise typer.Exit(0 if said.accepted else 1)


def _answer(run: RunDirectory, command: Command) -> Answer:
    from tuilab.errors import DiskFullError, TuilabError, UsageError
    from tuilab.runs import commands
    from tuilab.runs.reader import overview

    seen = overview(run)
    if not seen.alive:
        raise UsageError(f"run {run.name} is not being trained ({seen.state}); start it with: tuilab resume {run.name}")
    try:
        name = commands.send(run, command)
    except DiskFullError:
        if command.action not in ("stop", "kill"):
            raise
        return commands.signal_worker(run, command)
    until = time.monotonic() + SECONDS_TO_ANSWER
    while True:
        said = commands.answer(run, name)
        if said is not None:
            return said
        seen = overview(run)
        late = time.monotonic() > until
        if not seen.alive or (late and command.action == "kill"):
            commands.withdraw(run, name)
            if command.action == "kill":
                return commands.signal_worker(run, command)
            if command.action in ("stop", "stop_after_epoch"):
                return commands.Answer(True, f"has ended: {seen.state} {seen.reason}".rstrip())
            raise TuilabError(f"run {run.name} ended before it saw the command: {seen.state} {seen.reason}")
        if late:
            return commands.Answer(True, f"sent; done at the next step ({seen.state} {seen.reason})")
        time.sleep(0.02)
