"""What a network comes to, or what is wrong with it, in two lines."""

from __future__ import annotations

from tuilab.errors import Problem, UsageError
from tuilab.experiment.draft import Draft
from tuilab.experiment.edits import location_of
from tuilab.experiment.problems import place
from tuilab.tui.numbers import memory


def totals_text(draft: Draft, timing: str, layer: int | None) -> str:
    """Return parameters, memory, multiply-adds and the time of an epoch; or else what is wrong, first of all with the
    layer that has the cursor."""
    totals = draft.totals
    if not draft.rows:
        return "Press a to add the first layer."
    if totals is None and layer is not None and (problem := draft.rows[layer].problem):
        return f"! layer {draft.rows[layer].number}: {problem}"
    if totals is None:
        return f"! {said(draft, draft.problems[0])}" if draft.problems else "the data is being read"
    frozen = totals.parameters - totals.trainable
    fixed = f" ({frozen:,} fixed)" if frozen else ""
    work = " · ".join(filter(None, [operations(totals.multiply_adds), timing]))
    return f"{totals.parameters:,} params{fixed} · {memory(totals.memory_bytes)} to train\n{work}"


def said(draft: Draft, problem: Problem) -> str:
    """Return a problem with its place as the stack shows it: layers are counted from 1, those inside the second are 2.1
    and so on."""
    try:
        location = location_of(problem.place)
    except UsageError:
        return str(problem)
    row = draft.stack.nearest_row(location)
    if row is None:
        return str(problem)
    setting = problem.place.removeprefix(place(draft.rows[row].location)).lstrip(".")
    return f"layer {draft.rows[row].number} {setting}".rstrip() + f": {problem.message}"


def operations(count: int) -> str:
    """Return the multiply-adds of a sample with their unit."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit} multiply-adds"
    return f"{count} multiply-adds"
