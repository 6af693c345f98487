"""Commands that look at experiments and blocks and train nothing: summary, check, models, blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuilab.cli.options import DataDir, Json, Model, Set, complete_model
from tuilab.cli.output import memory, message, print_json, print_table, shape

if TYPE_CHECKING:
    from tuilab.experiment.plan import PlannedLayer


def summary(model: Model, settings: Set = None, as_json: Json = False) -> None:
    """Show the layers of an experiment: shapes, parameters, memory."""
    from tuilab.data.load import describe
    from tuilab.experiment.load import load_experiment
    from tuilab.experiment.plan import memory_bytes, plan
    from tuilab.experiment.save import short

    experiment = load_experiment(model, settings or [])
    info = describe(experiment.data)
    planned = plan(experiment, info, trainable=False)
    needed = memory_bytes(planned, experiment)
    if as_json:
        layers = [_facts(layer) for layer in planned.layers]
        totals = {"parameters": planned.parameter_count, "trainable": planned.trainable_count}
        print_json({"name": experiment.name, **totals, "memory_bytes": needed, "layers": layers})
        plan(experiment, info)
        return
    rows = [["0", "input", "", shape(planned.input_shape), ""]]
    for number, name, layer in _numbered(planned.layers):
        count = f"{layer.parameter_count:,}" if layer.parameter_count else ""
        rows.append([number, name, short(layer.layer), shape(layer.output_shape), count])
    print_table(["#", "name", "layer", "output", "parameters"], rows, right=[0, 3, 4])
    batch = experiment.data.batch_size
    print(f"\n{planned.parameter_count:,} parameters, {planned.trainable_count:,} of them trainable")
    print(f"{memory(needed)} of memory to train at batch size {batch}")
    print(f"{sum(layer.layer.multiply_adds(layer.input_shape) for layer in planned.layers):,} multiply-adds a sample")
    plan(experiment, info)  # tells what keeps it from being trained


def _facts(layer: PlannedLayer) -> dict[str, Any]:
    """Return what is known of a layer, and of those inside it."""
    facts = {
        "name": layer.name,
        "type": layer.layer.type_name(),
        "output_shape": list(layer.output_shape),
        "parameters": layer.parameter_count,
    }
    inside = [_facts(inner) for branch in layer.branches for inner in branch]
    return {**facts, "layers": inside} if inside else facts


def _numbered(
    layers: Sequence[PlannedLayer], around: str = "", name: str = "", indent: str = ""
) -> Iterator[tuple[str, str, PlannedLayer]]:
    """Yield number, name and layer, those inside others after them, indented: 1, 2, 2.1, 2.2, 3."""
    for index, layer in enumerate(layers, start=1):
        yield f"{around}{index}", indent + layer.name.removeprefix(name), layer
        inside = [inner for branch in layer.branches for inner in branch]
        yield from _numbered(inside, f"{around}{index}.", f"{layer.name}/", f"{indent}  ")


def check(model: Model, settings: Set = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check every gradient against central differences."""
    from tuilab.data.load import load
    from tuilab.engine.check import TOLERANCE, check_gradients
    from tuilab.experiment.load import load_experiment

    experiment = load_experiment(model, settings or [])
    data = load(experiment.data, experiment.seed, data_dir)
    checks = list(check_gradients(experiment, data))
    passed = all(row.passed for row in checks)
    if as_json:
        rows = [{**vars(row), "passed": row.passed} for row in checks]
        print_json({"name": experiment.name, "tolerance": TOLERANCE, "passed": passed, "parameters": rows})
    else:
        table = [
            [
                row.layer,
                row.parameter,
                str(row.entries),
                str(row.kinks),
                f"{row.error:.1e}",
                "ok" if row.passed else "FAILED",
            ]
            for row in checks
        ]
        print_table(["layer", "parameter", "compared", "on a kink", "error", ""], table, right=[2, 3, 4])
        message(f"{'Every gradient agrees' if passed else 'Not every gradient agrees'} (tolerance {TOLERANCE:g})")
    raise typer.Exit(0 if passed else 1)


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this one's file.", autocompletion=complete_model)
    ] = None,
    as_json: Json = False,
) -> None:
    """List the ready-made experiments, or print one."""
    import tomllib

    from tuilab.experiment.ready_made import ready_made, ready_made_path

    if name is not None:
        typer.echo(ready_made_path(name).read_text(encoding="utf-8"), nl=False)
        return
    described = [
        {"name": known, "description": tomllib.loads(path.read_text(encoding="utf-8")).get("description", "")}
        for known, path in ready_made().items()
    ]
    if as_json:
        print_json(described)
        return
    print_table(None, [[row["name"], row["description"]] for row in described])
    message("\nTrain one:        tuilab train NAME")
    message("Look at it first: tuilab summary NAME, tuilab models NAME")


def blocks(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Explain this one.")] = None,
    as_json: Json = False,
) -> None:
    """List everything to build with, or explain one block."""
    from tuilab.cli.reference import SECTIONS, describe, kinds, plural
    from tuilab.errors import UsageError
    from tuilab.text import clean_text, did_you_mean

    known = kinds()
    if name is None:
        if as_json:
            print_json({kind: list(registry) for kind, registry in known.items()})
            return
        for kind, registry in known.items():
            typer.echo(plural(kind))
            print_table(None, [[f"  {known_name}", block.summary()] for known_name, block in registry.items()])
            typer.echo("")
        message(f"Explain one: tuilab blocks NAME; a section of an experiment file: {', '.join(SECTIONS)}")
        return
    found = describe(name)
    if not found:
        hint = did_you_mean(name, [block for registry in known.values() for block in registry])
        raise UsageError(f"no block named '{clean_text(name, 60)}'{hint or '; tuilab blocks lists them'}")
    if as_json:
        print_json(found)
        return
    for block in found:
        typer.echo(f"{name} ({block['kind']})\n\n{block['documentation']}\n")
        rows = [[row["name"], row["type"], row["default"], row["description"]] for row in block["settings"]]
        if rows:
            print_table(["setting", "type", "default", ""], rows)
            typer.echo("")
