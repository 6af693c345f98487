"""What the keys of the Build screen do to the stack of layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tuilab.blocks.layers import Layer
from tuilab.errors import TuilabError
from tuilab.experiment.draft import ANY
from tuilab.tui.forms.fields import Choice
from tuilab.tui.forms.pick import PickScreen
from tuilab.tui.screens.build_dialogs import TextScreen
from tuilab.tui.screens.build_everywhere import NONE, blocks_for, uses_as_choices
from tuilab.tui.screens.build_files import DraftScreen
from tuilab.tui.screens.build_stack import StackLines


class EditScreen(DraftScreen):
    """A draft with its stack of layers, and all that can be done to them."""

    @property
    def stack(self) -> StackLines:
        return self.query_one(StackLines)

    def choose_layers(self, first: int, count: int) -> None:
        """Put the cursor on layers that were just made or moved."""
        raise NotImplementedError  # abstract

    def edit(self, edit: Callable[[], object]) -> bool:
        """Do an edit and show what came of it; says why where it cannot be done."""
        try:
            edit()
        except TuilabError as error:
            self.lab.say(str(error), "warning")
            return False
        self.show_draft()
        self.keep_soon()
        return True

    def action_add(self) -> None:
        """Add a layer below the one with the cursor."""
        self._pick_layer(self.stack.chosen_layers.stop)

    def action_insert(self) -> None:
        """Insert a layer above the one with the cursor."""
        self._pick_layer(self.stack.chosen_layers.start)

    def _pick_layer(self, index: int) -> None:
        choices = [Choice(name, block.summary(), block.documentation()) for name, block in Layer.registry.items()]
        self.app.push_screen(PickScreen("Add a layer", choices), partial(self._add, index))

    def _add(self, index: int, name: str | None) -> None:
        if name is not None and self.edit(partial(self.session.draft.add, index, name)):
            self.choose_layers(index, 1)

    def _on_layers(self, edit: Callable[[int, int], object]) -> bool:
        """Do an edit with the chosen layers."""
        layers = self.stack.chosen_layers
        if not layers:
            self.lab.say("choose a layer first: arrows move, a adds one")
            return False
        return self.edit(lambda: edit(layers[0], layers[-1]))

    def action_delete(self) -> None:
        stack = self.stack
        first = stack.chosen_layers.start
        if self._on_layers(self.session.draft.delete):
            stack.other_end, stack.marking = None, False
            if rows := self.session.draft.rows:
                self.choose_layers(min(first, len(rows) - 1), 1)

    def action_duplicate(self) -> None:
        layers = self.stack.chosen_layers
        if self._on_layers(self.session.draft.duplicate):
            self.choose_layers(layers.stop, len(layers))

    def action_shift(self, by: int) -> None:
        layers = self.stack.chosen_layers
        count = len(self.session.draft.rows)
        if self._on_layers(lambda first, last: self.session.draft.move(first, last, by)):
            by = max(-layers.start, min(by, count - layers.stop))
            self.choose_layers(layers.start + by, len(layers))

    def action_copy(self) -> None:
        layers = self.stack.chosen_layers
        if layers:
            self.clipboard = self.session.draft.copied(layers[0], layers[-1])
            self.lab.say(
                f"{len(layers)} layer{'s' * (len(layers) > 1)} copied; v puts {'them' if len(layers) > 1 else 'it'} in"
            )

    def action_cut(self) -> None:
        layers = self.stack.chosen_layers
        if layers:
            self.clipboard = self.session.draft.copied(layers[0], layers[-1])
            self.action_delete()

    def action_paste(self) -> None:
        if not self.clipboard:
            self.lab.say("nothing was cut or copied yet: x cuts, c copies")
            return
        index = self.stack.chosen_layers.stop
        if self.edit(partial(self.session.draft.paste, index, self.clipboard)):
            self.choose_layers(index, len(self.clipboard))

    def action_repeat(self) -> None:
        layers = self.stack.chosen_layers
        if layers:
            what = "layer" if len(layers) == 1 else f"{len(layers)} layers"
            self.app.push_screen(
                TextScreen(f"How many times shall the {what} stand there?", "3"), partial(self._repeat, layers)
            )

    def _repeat(self, layers: range, times: str | None) -> None:
        if times is None:
            return
        if not times.isascii() or not times.isdigit() or len(times) > 6:
            self.lab.say("type a whole number, such as 3", "warning")
        elif self.edit(partial(self.session.draft.repeat, layers[0], layers[-1], int(times))):
            self.choose_layers(layers[0], len(layers) * int(times))

    def action_undo(self) -> None:
        self.edit(self.session.draft.undo)

    def action_redo(self) -> None:
        self.edit(self.session.draft.redo)

    def action_reset(self) -> None:
        self.edit(self.session.draft.reset)

    def action_everywhere(self) -> None:
        """Change one block in all layers that have it."""
        choices = uses_as_choices(self.session.draft)
        self.app.push_screen(PickScreen("Change in all layers", choices), self._pick_new)

    def _pick_new(self, what: str | None) -> None:
        if what is not None:
            setting, _, old = what.partition(" ")
            screen = PickScreen(f"{setting}: {old} becomes", blocks_for(setting), old)
            self.app.push_screen(screen, partial(self._replace, setting, None if old == NONE else old))

    def regularize(self) -> None:
        """Put one penalty on the kernels of all layers."""
        setting = "kernel_regularizer"
        screen = PickScreen(f"{setting} in all layers", blocks_for(setting))
        self.app.push_screen(screen, partial(self._replace, setting, ANY))

    def _replace(self, setting: str, old: object, new: str | None) -> None:
        if new is not None:
            self.edit(partial(self.session.draft.replace, setting, old, None if new == NONE else new))
