"""What the command palette offers: everything that can be done now, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.screen import Screen

from tuilab.tui.screens.frame import LabScreen

if TYPE_CHECKING:
    from tuilab.tui.app import Lab

MOVING = {"up", "down", "left", "right", "home", "end", "pageup", "pagedown", "tab"}
"""Keys, also with shift, that everybody tries; what they do is not worth searching for."""


def offered(lab: Lab, screen: Screen[object]) -> Iterator[SystemCommand]:
    """Give a command for each action of the screen that has a key now."""
    active_keys = screen.active_bindings
    done = {
        (active.node, active.binding.action)
        for key, active in active_keys.items()
        if key.removeprefix("shift+") in MOVING and not active.binding.show
    }
    skipped = {"command_palette", f"app.switch_mode('{lab.current_mode}')"}
    skipped |= screen.in_vain() if isinstance(screen, LabScreen) else set()
    for active in active_keys.values():
        binding, what = active.binding, (active.node, active.binding.action)
        if not (active.enabled and binding.id and binding.description) or what in done or binding.action in skipped:
            continue
        done.add(what)  # several keys may do the same
        title = binding.description[0].upper() + binding.description[1:]
        run = partial(lab.call_later, lab.run_action, binding.action, active.node)
        yield SystemCommand(title, f"press {lab.get_key_display(binding)}", run)
