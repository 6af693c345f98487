"""What the keys of the Build screen do to the stack of layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tuilab.blocks.layers import Layer
from tuilab.errors import TuilabError
from tuilab.experiment.draft import ANY
from tuilab.experiment.nesting import lists_of
from tuilab.experiment.problems import Location
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

    def choose_layers(self, first: int | Location, count: int) -> None:
        """Put the cursor on layers that were just made or moved: so many in one list from a row on, or from a place."""
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
        """Add a layer below the one with the cursor; into one that is meant to have layers inside, and has none."""
        rows, index = self.session.draft.rows, self.stack.index
        if index is not None and not rows[index].has_inside and "layers" in lists_of(rows[index].type):
            self.pick_layer((*rows[index].location, "layers", 0))
        else:
            self.pick_layer(self._below())

    def _below(self) -> Location:
        layers, draft = self.stack.chosen_layers, self.session.draft
        return draft.after(layers[0], layers[-1]) if layers else ("layers", 0)

    def action_insert(self) -> None:
        """Insert a layer above the one with the cursor."""
        layers, draft = self.stack.chosen_layers, self.session.draft
        where, indices = draft.chosen(layers[0], layers[-1]) if layers else (("layers",), range(1))
        self.pick_layer((*where, indices.start))

    def pick_layer(self, at: Location) -> None:
        """Let the user choose a layer that is put to a place."""
        try:
            self.session.draft.check_place(at[:-1])
        except TuilabError as error:
            self.lab.say(str(error), "warning")
            return
        choices = [Choice(name, block.summary(), block.documentation()) for name, block in Layer.registry.items()]
        self.app.push_screen(PickScreen("Add a layer", choices), partial(self._add, at))

    def _add(self, at: Location, name: str | None) -> None:
        if name is not None and self.edit(partial(self.session.draft.add, at, name)):
            self.choose_layers(at, 1)

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
        self._with_copies(2)

    def _with_copies(self, times: int) -> None:
        """Let the chosen layers stand there several times, and choose what is new; all of them where that is more than
        one copy."""
        draft, layers = self.session.draft, self.stack.chosen_layers
        where, indices = draft.chosen(layers[0], layers[-1]) if layers else ((), range(0))
        if self._on_layers(lambda first, last: draft.repeat(first, last, times)):
            new = (indices.stop, len(indices)) if times == 2 else (indices.start, len(indices) * times)
            self.choose_layers((*where, new[0]), new[1])

    def action_shift(self, by: int) -> None:
        draft, layers = self.session.draft, self.stack.chosen_layers
        where, indices = draft.chosen(layers[0], layers[-1]) if layers else ((), range(0))
        if self._on_layers(lambda first, last: draft.move(first, last, by)):
            by = max(-indices.start, min(by, draft.count(where) - indices.stop))
            self.choose_layers((*where, indices.start + by), len(indices))

    def action_into(self) -> None:
        """Put the chosen layers into one around them."""
        if not self.stack.chosen_layers:
            self.lab.say("choose layers first: shift and arrows choose several")
            return
        around = {name: block for name, block in Layer.registry.items() if "layers" in lists_of(name)}
        choices = [Choice(name, block.summary(), block.documentation()) for name, block in around.items()]
        self.app.push_screen(PickScreen("Put into", choices), self._into)

    def _into(self, name: str | None) -> None:
        draft, layers = self.session.draft, self.stack.chosen_layers
        if name is None or not layers:
            return
        where, indices = draft.chosen(layers[0], layers[-1])
        if self._on_layers(lambda first, last: draft.group(first, last, name)):
            self.choose_layers((*where, indices.start), 1)

    def action_out(self) -> None:
        """Put the layers inside the one with the cursor, or beside it, into the place of the layer around them."""
        draft, index = self.session.draft, self.stack.index
        if index is None:
            return
        index = draft.stack.written_row(index)
        location = draft.rows[index].location
        if not draft.rows[index].has_inside and len(location) > 2:
            location = location[:-2]
        row, counts = draft.stack.row_at(location), []
        if row is not None and self.edit(lambda: counts.append(draft.ungroup(row))):
            self.choose_layers(location, counts[0])

    def _copy(self) -> int:
        """Copy the chosen layers, and return how many these are."""
        draft, layers = self.session.draft, self.stack.chosen_layers
        if not layers:
            return 0
        try:
            self.clipboard = draft.copied(layers[0], layers[-1])
        except TuilabError as error:
            self.lab.say(str(error), "warning")
            return 0
        return len(self.clipboard)

    def action_copy(self) -> None:
        if count := self._copy():
            self.lab.say(f"{count} layer{'s' * (count > 1)} copied; v puts {'them' if count > 1 else 'it'} in")

    def action_cut(self) -> None:
        if self._copy():
            self.action_delete()

    def action_paste(self) -> None:
        if not self.clipboard:
            self.lab.say("nothing was cut or copied yet: x cuts, c copies")
            return
        at = self._below()
        if self.edit(partial(self.session.draft.paste, at, self.clipboard)):
            self.choose_layers(at, len(self.clipboard))

    def action_repeat(self) -> None:
        draft, layers = self.session.draft, self.stack.chosen_layers
        if layers:
            count = len(draft.chosen(layers[0], layers[-1])[1])
            what = "layer" if count == 1 else f"{count} layers"
            self.app.push_screen(TextScreen(f"How many times shall the {what} stand there?", "3"), self._repeat)

    def _repeat(self, times: str | None) -> None:
        if times is None:
            return
        if not times.isascii() or not times.isdigit() or len(times) > 6:
            self.lab.say("type a whole number, such as 3", "warning")
        else:
            self._with_copies(int(times))

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
