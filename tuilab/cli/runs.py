"""`tuilab runs`: list, show, compare and delete runs, tag them and write notes on them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from tuilab.cli.columns import Column, print_columns, room, shorten
from tuilab.cli.options import Json, Run, Runs, complete_run
from tuilab.cli.output import clock, memory, message, number, print_json, print_table

if TYPE_CHECKING:
    from tuilab.runs.directory import RunDirectory
    from tuilab.runs.notes import Notes
    from tuilab.runs.reader import Message
    from tuilab.runs.selection import Lookup
    from tuilab.runs.table import Row

HELP = """List runs; show, compare and delete them, tag them and write notes on them.

KEY is a setting by its place or the end of it (optimizer.learning_rate, layers[0].units), a result (val_loss, accuracy,
best_epoch, test.accuracy), or run, name, state, tag, device, epoch, step, seconds, age, size."""
MOST_SHOWN = 10
"""Messages, checkpoints and names that are printed at once."""

app = typer.Typer(help=HELP, rich_markup_mode=None)
Filters: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--filter", metavar="CONDITION", help="KEY and = != < <= > >= or ~ (contains) and a value; all must hold."
    ),
]
Sort: TypeAlias = Annotated[str | None, typer.Option(metavar="KEY", help="What to sort by. [default: age]")]
Reverse: TypeAlias = Annotated[bool, typer.Option("--reverse", help="The other way round.")]
Several: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="Runs by name or the beginning of it.", autocompletion=complete_run),
]


@app.callback(invoke_without_command=True, help=HELP)
def list_without_a_word(
    context: typer.Context,
    filters: Filters = None,
    sort: Sort = None,
    reverse: Reverse = False,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """List the runs where no command follows."""
    from tuilab.errors import UsageError

    if context.invoked_subcommand is None:
        list_runs(filters, sort, reverse, runs, as_json)
    elif filters or sort or reverse or runs or as_json:
        raise UsageError(f"write options after the command: tuilab runs {context.invoked_subcommand} … --runs DIR")


@app.command("list")
def list_runs(
    filters: Filters = None, sort: Sort = None, reverse: Reverse = False, runs: Runs = None, as_json: Json = False
) -> None:
    """List the runs, the newest first."""
    from tuilab.runs.directory import runs_folder
    from tuilab.runs.selection import FACTS, Condition, find_lookup, ordered
    from tuilab.runs.table import describe, read_rows
    from tuilab.text import clean_text

    conditions = [Condition.parse(text) for text in filters or []]
    folder = runs_folder(runs)
    every = read_rows(folder)
    keys = [*(condition.key for condition in conditions), *([sort] if sort else [])]
    chosen = {key: find_lookup(every, key) for key in keys} if every else {}
    fitting = (row for row in every if all(condition.holds(chosen[condition.key](row)) for condition in conditions))
    rows = ordered(fitting, chosen.get(sort or "", FACTS["age"]), reverse)
    if as_json:
        print_json([describe(row) for row in rows])
    elif rows:
        _print_list(rows, chosen)
    elif every:
        message(f"no run fits; there are {len(every):,} in {clean_text(str(folder))}")
    else:
        message(f"no runs in {clean_text(str(folder))} yet; begin one: tuilab train iris-8-8-3")


def _print_list(rows: list[Row], chosen: dict[str, Lookup]) -> None:
    """Print one line a run; `chosen`: what the user filters and sorts by, and wants to see."""
    results = [name for name, _ in Counter(name for row in rows for name in row.main_results()).most_common()]
    shown = {"run", "state", "tag", "epoch", "age", "size", *results}
    columns = [
        Column("run", [row.run.name for row in rows], right=False, least=18),
        Column("state", [_state(row) for row in rows], right=False, least=16),
        Column("epoch", [_progress(row) for row in rows], least=13),
        *(
            Column(key, [_cell(lookup(row), key in row.results) for row in rows], least=12, rank=1)
            for key, lookup in chosen.items()
            if key not in shown
        ),
        *(
            Column(name, [number(row.results.get(name)) for row in rows], rank=9 if index > 1 else 2 + index)
            for index, name in enumerate(results)
        ),
        Column("age", ["–" if row.age is None else _age(row.age) for row in rows], least=6, rank=4),
        Column("size", [memory(row.size) for row in rows], rank=6),
    ]
    if any(row.notes.tags for row in rows):
        columns.append(Column("tags", [" ".join(row.notes.tags) for row in rows], right=False, least=8, rank=5))
    print_columns(columns, {index: f"damaged   {_trouble(row)}" for index, row in enumerate(rows) if row.trouble})


@app.command()
def show(run: Run, runs: Runs = None, as_json: Json = False) -> None:
    """Show everything about one run."""
    from tuilab.errors import UsageError
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.notes import read_notes
    from tuilab.runs.reader import glancing
    from tuilab.runs.table import Row, describe, describe_epoch, printable

    found = find_run(runs_folder(runs), run)
    with glancing(found) as (reader, seen):
        row = Row(found, seen)
        epochs, messages = reader.epochs(), reader.messages()[-MOST_SHOWN:]
    facts = describe(row)
    if as_json:
        history = [describe_epoch(epoch) for epoch in epochs]
        print_json({**facts, "history": history, "messages": [printable(vars(said)) for said in messages]})
        return
    try:
        read_notes(found)
    except UsageError as error:
        message(str(error))
    _print_facts(facts)
    _print_results(facts)
    _print_messages(messages)


def _print_facts(facts: dict[str, Any]) -> None:
    from tuilab.runs.reader import ago

    best, seconds, speed = facts["best"], facts["seconds"], facts["samples_per_second"]
    process = f"{facts['pid']} on {facts['host']}" if facts["pid"] else "–"
    if facts["state"] in ("running", "paused"):
        process += f", last heartbeat {ago(facts['heartbeat'])}"
    lines = {
        "run": facts["run"],
        "state": f"{facts['state']}: {facts['reason']}" if facts["reason"] else facts["state"],
        "experiment": facts["name"],
        "begun": ago(facts["created"]),
        "process": process,
        "device": f"{facts['device'] or '–'}, threads: {facts['threads'] or '–'}",
        "progress": f"epoch {facts['epoch']:,} of {facts['epochs']:,}, step {facts['step']:,}",
        "time": f"{seconds:.1f} s" if seconds < 60 else clock(seconds),
        "samples/s": "–" if speed is None else f"{speed:,.0f}",
        "learning rate": "–" if facts["learning_rate"] is None else f"{facts['learning_rate']:g}",
        "best epoch": f"{best['epoch']:,}" if best else "–",
        "parameters": f"{facts['parameters']:,}",
        "checkpoints": ", ".join(f"step {step:,}" for step in facts["checkpoints"][-MOST_SHOWN:]) or "–",
        "size": memory(facts["size"]),
        "tags": " ".join(facts["tags"]) or "–",
        "note": facts["note"] or "–",
        "path": facts["path"],
    }
    print_table(None, [[name, value] for name, value in lines.items()])


def _print_results(facts: dict[str, Any]) -> None:
    """Print every result, one a line: in the epoch so far, in the best epoch, and with the final weights."""
    best = {name: value for name, value in (facts["best"] or {}).items() if name != "epoch"}
    parts = {
        "so far": facts["results"] if not facts["train"] else {},
        "best: train": {name: value for name, value in best.items() if not name.startswith("val_")},
        "val": {name[4:]: value for name, value in best.items() if name.startswith("val_")},
        "final: train": facts["train"] or {},
        "validation": facts["validation"] or {},
        "test": facts["test"] or {},
    }
    names = list(dict.fromkeys(name for results in parts.values() for name in results))
    if names:
        print()
        numbers = [
            Column(part, [number(results.get(name)) for name in names]) for part, results in parts.items() if results
        ]
        print_columns([Column("result", names, right=False, least=12), *numbers])


def _print_messages(messages: list[Message]) -> None:
    from tuilab.runs.reader import ago

    if messages:
        print()
        print_table(None, [[ago(said.time), f"step {said.step:,}", said.text] for said in messages], right=[0, 1])


@app.command()
def compare(names: Several, runs: Runs = None, as_json: Json = False) -> None:
    """Show in which settings runs differ, and their results side by side."""
    from tuilab.errors import UsageError
    from tuilab.runs import comparison
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.reader import overview
    from tuilab.runs.table import Row, printable
    from tuilab.text import clean_text

    if len(names) < 2:
        raise UsageError("name at least two runs to compare")
    found = [find_run(runs_folder(runs), name) for name in names]
    rows = [Row(run, overview(run)) for run in found]
    compared = comparison.compare(rows)
    if as_json:
        print_json(printable({"runs": [run.name for run in found], **vars(compared)}))
        return
    for row in rows:
        if not row.settings:
            message(f"run {clean_text(row.run.name)} has no experiment.toml that can be read")
    beside = max((room() - 34) // 12, 1)  # so many runs fit; the others follow below
    for start in range(0, len(rows), beside):
        part = slice(start, start + beside)
        if start:
            print()
        if compared.settings:
            settings = {
                place: [_setting(value) for value in values[part]] for place, values in compared.settings.items()
            }
            _print_side_by_side("setting", found[part], settings)
        else:
            print("no setting differs")
        print()
        results = {name: [_cell(value, True) for value in values[part]] for name, values in compared.results.items()}
        _print_side_by_side("result", found[part], results)


def _print_side_by_side(title: str, found: list[RunDirectory], lines: dict[str, list[str]]) -> None:
    columns = [
        Column(run.name, [values[index] for values in lines.values()], least=10) for index, run in enumerate(found)
    ]
    print_columns([Column(title, list(lines), right=False, least=32), *columns])


@app.command()
def delete(
    names: Several,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also runs that may be trained on another machine.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Delete runs for good."""
    from tuilab.errors import UsageError
    from tuilab.runs.deletion import check_deletable, delete_run
    from tuilab.runs.directory import runs_folder
    from tuilab.runs.table import printable, read_row
    from tuilab.text import clean_text

    found = list(dict.fromkeys(_to_delete(runs_folder(runs), name) for name in names))
    for run in found:
        check_deletable(run, force)
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError("nobody is there to be asked; write --yes to delete without a question")
        shown = ", ".join(clean_text(run.name) for run in found[:MOST_SHOWN]) + (", …" if found[MOST_SHOWN:] else "")
        size = memory(sum(read_row(run).size for run in found))
        typer.confirm(f"Delete {shown} ({size}) for good?", abort=True, err=True)
    for run in found:
        delete_run(run)
        message(f"deleted {clean_text(run.name)}")
    if as_json:
        print_json(printable({"deleted": [run.name for run in found]}))


def _to_delete(folder: Path, name: str) -> RunDirectory:
    from tuilab.errors import UsageError
    from tuilab.runs.directory import RunDirectory, find_run

    if not name:
        raise UsageError("the name of a run is empty")
    found = find_run(folder, name)
    if "/" in name and Path(name).is_symlink():
        return RunDirectory(Path(os.path.abspath(name)))  # the link, not where it leads
    return found


@app.command()
def tag(
    run: Run,
    tags: Annotated[list[str], typer.Argument(metavar="TAG...", help="Letters, digits, '-', '_' and '.'.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take these tags away.")] = False,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Tag a run, or take tags away."""
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.notes import add_tags, remove_tags

    found = find_run(runs_folder(runs), run)
    notes = (remove_tags if remove else add_tags)(found, tags)
    _print_notes(found, notes, " ".join(notes.tags), as_json)


@app.command()
def note(
    run: Run,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="An empty one removes the note.")] = None,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Write a note on a run, or print it."""
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.notes import read_notes, write_note

    found = find_run(runs_folder(runs), run)
    notes = read_notes(found) if text is None else write_note(found, text)
    _print_notes(found, notes, notes.note, as_json)


def _print_notes(run: RunDirectory, notes: Notes, text: str, as_json: bool) -> None:
    from tuilab.runs.table import printable

    if as_json:
        print_json(printable({"run": run.name, "tags": list(notes.tags), "note": notes.note}))
    elif text:
        print(text)


def _state(row: Row) -> str:
    owner = row.overview.owner if row.overview else None
    return f"unknown on {owner.host}" if row.state == "unknown" and owner else row.state


def _progress(row: Row) -> str:
    status = row.overview.status if row.overview else None
    return f"{status.epoch}/{status.epochs}" if status and status.epochs else "–"


def _trouble(row: Row) -> str:
    from tuilab.text import clean_text

    return row.trouble.replace(f"{clean_text(str(row.run.path))}/", "")


def _cell(value: Any, is_result: bool) -> str:
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, float):
        return number(value) if is_result else f"{value:g}"
    return _shown(value)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _setting(value: Any) -> str:
    return "–" if value is None else shorten(_shown(value), 40)


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
