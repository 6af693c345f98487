"""What a network comes to, or what is wrong with it, in two lines."""

from __future__ import annotations

from tuilab.errors import Problem, UsageError
from tuilab.experiment.draft import Draft
from tuilab.experiment.edits import location_of
from tuilab.tui.numbers import memory


def totals_text(draft: Draft, timing: str) -> str:
    """Return parameters, memory, multiply-adds and the time of an epoch."""
    totals = draft.totals
    if not draft.rows:
        return "Press a to add the first layer."
    if totals is None:
        return f"! {said(draft.problems[0])}" if draft.problems else "the data is being read"
    frozen = totals.parameters - totals.trainable
    fixed = f" ({frozen:,} fixed)" if frozen else ""
    work = " · ".join(filter(None, [operations(totals.multiply_adds), timing]))
    return f"{totals.parameters:,} params{fixed} · {memory(totals.memory_bytes)} to train\n{work}"


def said(problem: Problem) -> str:
    """Return a problem with its place as the stack shows it: layers are counted from 1."""
    try:
        location = location_of(problem.place)
    except UsageError:
        return str(problem)
    if location[0] != "layers" or len(location) < 2:
        return str(problem)
    setting = problem.place.partition("]")[2].lstrip(".")
    return f"layer {int(location[1]) + 1} {setting}".rstrip() + f": {problem.message}"


def operations(count: int) -> str:
    """Return the multiply-adds of a sample with their unit."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit} multiply-adds"
    return f"{count} multiply-adds"
