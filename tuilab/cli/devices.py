"""`tuilab devices`: what can train here, what is missing for more, and whether a device computes what it must."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuilab.cli.options import Json
from tuilab.cli.output import colourful, memory, message, print_json, print_table

if TYPE_CHECKING:
    from tuilab.engine.device import DeviceFacts
    from tuilab.engine.parity import Compared


def devices(
    check: Annotated[
        bool, typer.Option("--check", help="Train every block on the device and on the reference, and compare.")
    ] = False,
    device: Annotated[str, typer.Option(help="What to check: auto, cpu, gpu or gpu:1.")] = "auto",
    warm: Annotated[bool, typer.Option("--warm", help="Compile all kernels now, not when they are needed.")] = False,
    as_json: Json = False,
) -> None:
    """Show what can train here, and what is missing for more."""
    from tuilab.engine import device as engine

    if warm:
        _compile_kernels(engine.compile_kernels())
    if check:
        _check(device, as_json)
        return
    facts = engine.devices()
    if as_json:
        print_json([vars(row) for row in facts])
        return
    print_table(["device", "", ""], [[row.name, "ok" if row.available else "–", describe(row)] for row in facts])
    taken = next(row.name for row in facts if row.auto)
    message(f"--device auto takes {taken}")


def describe(facts: DeviceFacts) -> str:
    """Return what is known of a device in a line."""
    parts = [facts.description]
    if facts.memory_bytes is not None and facts.free_bytes is not None:
        parts.append(f"{memory(int(facts.free_bytes))} of {memory(int(facts.memory_bytes))} free")
    if facts.load_percent is not None:
        parts.append(f"load {facts.load_percent:.0f} %")
    if facts.watts is not None:
        parts.append(f"{facts.watts:.0f} W")
    if facts.celsius is not None:
        parts.append(f"{facts.celsius:.0f} °C")
    if facts.driver is not None:
        parts.append(f"driver {facts.driver}")
    if facts.cuda is not None:
        parts.append(f"CUDA {facts.cuda}")
    if facts.convolutions is not None:
        parts.append(facts.convolutions)
    return ", ".join(parts)


def _check(name: str, as_json: bool) -> None:
    """Compare a device with the reference; exit code 1 where any block differs."""
    from tuilab.engine.device import choose_device
    from tuilab.engine.parity import compare_blocks

    chosen = choose_device(name)
    described = chosen.name if chosen.card is None else f"{chosen.name} ({chosen.card.name})"
    if chosen.reason:
        message(chosen.reason)
    compared: list[Compared] = []
    for row in compare_blocks(chosen.ops):
        compared.append(row)
        if not as_json:
            print_line(row)
    for remark in chosen.ops.remarks:
        message(remark)
    failed = [row for row in compared if not row.passed]
    if as_json:
        blocks = [_facts(row) for row in compared]
        print_json({"device": chosen.name, "description": described, "passed": not failed, "blocks": blocks})
    elif failed:
        names = ", ".join(f"{row.kind} {row.name}" for row in failed)
        message(f"{len(failed)} of {len(compared)} blocks on {described} differ from the reference: {names}")
    else:
        message(f"all {len(compared)} blocks on {described} give the reference's numbers")
    raise typer.Exit(1 if failed else 0)


def _facts(row: Compared) -> dict[str, Any]:
    difference = row.difference if row.difference < float("inf") else None
    return {**vars(row), "difference": difference, "passed": row.passed}


def print_line(row: Compared) -> None:
    """Print one block as soon as it is compared."""
    result = "ok" if row.passed else "FAILED"
    said = row.trouble or f"{row.difference:.1e} (at most {row.tolerance:.0e})"
    where = f"  {row.where}" if row.where and not row.passed else ""
    typer.echo(f"{row.kind:<13}{row.name:<27}{result:<8}{said}{where}")


def _compile_kernels(steps: Iterator[tuple[int, int]]) -> None:
    """Compile kernels, with a bar on a terminal."""
    if not colourful():
        message("compiling kernels; they are kept for the next time")
        for _ in steps:
            pass
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("compiling kernels"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=None)
        for done, count in steps:
            progress.update(bar, completed=done, total=count)
