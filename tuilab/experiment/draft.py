"""An experiment that is being edited: its text with the user's comments, every edit undoable, checked at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.layers.containers import MOST_DEPTH, MOST_LAYERS
from tuilab.errors import DataError, ExperimentError, Problem, StorageError, TuilabError, UsageError
from tuilab.experiment import edits, recovery
from tuilab.experiment.changes import changed
from tuilab.experiment.document import DataSettings, Experiment
from tuilab.experiment.guard import absurdity, read_guarded
from tuilab.experiment.history import History
from tuilab.experiment.load import find_experiment, parse, start_paths_from
from tuilab.experiment.nesting import (
    Change,
    contents_of,
    depth,
    is_layer_list,
    layer_part,
    layer_sections,
    leaves,
    lists_of,
    plain,
    reheaded,
    with_gone,
    with_group,
    with_layers_apart,
    with_moved,
    with_pasted,
    within,
)
from tuilab.experiment.problems import Location
from tuilab.experiment.ready_made import models_folder
from tuilab.experiment.save import brief, to_toml
from tuilab.experiment.saving import moved, write_whole
from tuilab.experiment.sections import (
    LAYERS,
    Header,
    Section,
    Sections,
    joined,
    layers_of,
    split,
    value_at,
)
from tuilab.experiment.stack import LayerRow, Stack, Totals, data_settings, stack_of
from tuilab.text import clean_text

NEW = """\
name = "untitled"
seed = 0

[data]
dataset = "digits"

[training]
epochs = 10
loss = "categorical_crossentropy"
metrics = ["accuracy"]
"""
ANY: Final = object()
"""Whatever stands there."""

Describe = Callable[[DataSettings], DataInfo | None]
"""Returns what is known of the data, None where that is not known yet; raises DataError."""


class OnDisk(UsageError):
    """Saving would overwrite what somebody else has written."""


def describe_named(settings: DataSettings) -> DataInfo | None:
    """Return what is known of a data set by name; nothing of a user's own file, which would have to be read."""
    return settings.dataset.info() if settings.dataset is not None else None


class Draft(History):
    """An experiment file in the hand of an editor.

    An edit gives new sections of text, the ones that it does not touch are the same objects; undoing goes back to the
    old ones. Every edit raises UsageError, and changes nothing, where it cannot be done.
    """

    def __init__(self, text: str, path: Path | None = None) -> None:
        super().__init__(text)
        self.path = path
        """Where it is saved; None where it has no file yet."""
        self.describe: Describe = describe_named
        self._saved = text
        self._read = text
        """What the file at `path` held when it was last read or written."""
        self._keeper: recovery.Keeper | None = None
        """Where unsaved changes are kept."""

    @classmethod
    def open(cls, model: str | Path) -> Draft:
        """Open a file, or a ready-made experiment by name, which has no file of its own until it is saved.

        Raises UsageError for an unknown name, ExperimentError for what is not TOML. Wrong settings are no obstacle.
        """
        path = find_experiment(model)
        try:
            return cls(read_guarded(path), None if path.parent == models_folder() else path)
        except ExperimentError as error:
            raise ExperimentError(error.problems, clean_text(str(model))) from None

    @classmethod
    def from_text(cls, text: str, path: Path | None = None) -> Draft:
        """Return a draft of a text; raises ExperimentError where it is not TOML, or too much of it."""
        if problem := absurdity(text):
            raise ExperimentError([problem])
        return cls(text, path)

    @classmethod
    def new(cls) -> Draft:
        """Return an experiment without layers."""
        return cls(NEW)

    # What it is now

    @cached_property
    def stack(self) -> Stack:
        return self._stack()

    @property
    def name(self) -> str:
        name = self.document.get("name")
        return clean_text(name, 80) if isinstance(name, str) and name else "experiment"

    @property
    def modified(self) -> bool:
        return self.text != self._saved

    @property
    def experiment(self) -> Experiment | None:
        """The experiment, None where a setting is wrong; it may still not fit together, see `problems`."""
        return self.stack.experiment

    @property
    def problems(self) -> list[Problem]:
        return list(self.stack.problems)

    @property
    def rows(self) -> tuple[LayerRow, ...]:
        return self.stack.rows

    @property
    def totals(self) -> Totals | None:
        return self.stack.totals

    @property
    def input_shape(self) -> Shape | None:
        return self.stack.input_shape

    def checked(self) -> Experiment:
        """Return the experiment; raises ExperimentError with everything that keeps it from being trained."""
        if self.stack.problems or self.stack.experiment is None:
            raise ExperimentError(self.problems)
        return self.stack.experiment

    def full_text(self) -> str:
        """Return the text with every default written out and absolute paths, as a run keeps it. Raises like
        `checked`."""
        return to_toml(self.checked())

    def look_again(self) -> None:
        """Check anew: what is known of the data has changed."""
        self.__dict__.pop("stack", None)

    def _go(self, at: int) -> None:
        super()._go(at)
        self.look_again()

    def _stack(self) -> Stack:
        document = dict(self.document)
        if isinstance(document.get("data"), dict):
            document["data"] = dict(document["data"])
            start_paths_from(self.path.parent if self.path else Path(), document)
        settings = data_settings(document)
        info, problems = None, []
        if settings is not None:
            try:
                info = self.describe(settings)
            except DataError as error:
                problems = [Problem("data.dataset" if settings.path is None else "data.path", str(error))]
        return stack_of(document, info, problems)

    # Edits of values

    def set(self, where: str | Location, value: Any) -> None:
        """Set `training.epochs`, `layers[2].units`, `training.optimizer.learning_rate` …; None: back to the default.

        A value may be wrong: then it stands among the problems.
        """
        location = edits.location_of(where) if isinstance(where, str) else where
        layer = layer_part(location)
        if location == layer or (is_layer_list(location) and (value is not None or not layer)):
            raise UsageError("layers are put in, taken out and given another type, not set")
        if location[:1] == LAYERS and self.stack.row_at(layer) is None:
            raise UsageError("there is no such layer")
        self.check_place(layer[:-1])
        self._edit(edits.with_value(self.document, location, value))

    def change_type(self, where: str | Location, name: str) -> None:
        """Put another block in the place of one: another type of layer, another optimizer. Settings of the same name
        are kept."""
        location = edits.location_of(where) if isinstance(where, str) else where
        self._edit(edits.with_type(self.document, location, name))

    def replace(self, setting: str, old: object, new: str | None) -> int:
        """Change a block in all layers at once: every `setting` (activation, kernel_regularizer …) that is of the type
        `old`, or whatever it is where that is ANY; None is none. Returns in how many layers."""
        document, count = self.document, 0
        for row in self.rows:
            location: Location = (*row.location, setting)
            if not self._has(location) or (old is not ANY and self.type_at(location) != old):
                continue
            count += 1
            if new is None:
                document = edits.with_value(document, location, None)
            else:
                document = edits.with_type(document, location, new)
        self._edit(document)
        return count

    def type_at(self, location: Location) -> str | None:
        """Return the name of the block that stands at a place, also by default."""
        model = edits.settings_model(self.document, location)
        return getattr(model, "type_name", lambda: None)()

    def _has(self, location: Location) -> bool:
        model = edits.settings_model(self.document, location[:-1])
        return model is not None and location[-1] in model.model_fields

    def _edit(self, document: dict[str, Any]) -> None:
        sections = self._apart()
        old = self.document if sections is self.sections else parse(joined(sections))
        if isinstance(document.get("layers"), list) and isinstance(old.get("layers"), list):
            old, document = ({**values, "layers": plain(values["layers"])} for values in (old, document))
        with _writing():
            self._change(changed(sections, old, document))

    def _apart(self) -> Sections:
        return with_layers_apart(self.sections, self.document)

    # Edits of the stack of layers
    #
    # Layers are chosen by their rows. Rows of several depths stand for the layers around them that are in one list.

    def chosen(self, first: int, last: int | None = None) -> tuple[Location, range]:
        """Return the list that the layers of some rows are in, and which of its layers they are."""
        last = first if last is None else last
        if not 0 <= first <= last < len(self.rows):
            raise UsageError(f"there is no layer {first + 1}")
        one, other = self.rows[first].location, self.rows[last].location
        depth = 0
        while one[: depth + 3] == other[: depth + 3] and min(len(one), len(other)) > depth + 2:
            depth += 2
        return one[: depth + 1], range(int(one[depth + 1]), int(other[depth + 1]) + 1)

    def after(self, first: int, last: int | None = None) -> Location:
        """Return the place after the layers of some rows."""
        where, indices = self.chosen(first, last)
        return (*where, indices.stop)

    def add(self, at: int | Location, type: str) -> None:
        """Put a new layer before the outermost layer `at`, at the end where there is none; or to a place inside one,
        such as ("layers", 2, "layers", 0)."""
        from tuilab.blocks.layers import Layer

        block = Layer.registry.get(type)
        if block is None:
            raise UsageError(f"there is no layer '{clean_text(type, 60)}'")
        usual = {"activation": "relu"}  # the default, linear, would add nothing to a network
        (section,) = layer_sections(LAYERS, [edits.new_block(block, usual)])
        self.paste(at, [section.text])

    def delete(self, first: int, last: int | None = None) -> None:
        """Take layers out."""
        where, indices = self.chosen(first, last)
        self._within(where, lambda sections, header: with_gone(sections, header, indices))

    def copied(self, first: int, last: int | None = None) -> list[str]:
        """Return the text of layers, for `paste`."""
        where, indices = self.chosen(first, last)
        self.check_place(where)
        found: list[str] = []

        def read(sections: Sections, header: Header) -> Sections:
            places = layers_of(sections, header)
            found.extend(reheaded(sections[places[index]], LAYERS).text for index in indices)
            return sections

        with _writing():
            within(self._apart(), where, read)
        return found

    def paste(self, at: int | Location, texts: Sequence[str]) -> None:
        """Put layers where `add` puts one; those whose name is taken lose it."""
        *where, index = ("layers", at) if isinstance(at, int) else at
        new = [Section(LAYERS, text) for text in texts]
        if sum(not row.has_inside for row in self.rows) + sum(leaves(one.table) for one in new) > MOST_LAYERS:
            raise UsageError(f"a network has at most {MOST_LAYERS} layers")
        self._check_depth(where, [section.table for section in new])
        self._within(tuple(where), lambda sections, header: with_pasted(sections, header, int(index), new))

    def duplicate(self, first: int, last: int | None = None) -> None:
        """Put a copy of layers behind them."""
        self.repeat(first, last, 2)

    def repeat(self, first: int, last: int | None, times: int) -> None:
        """Let layers stand there `times` times, one copy after the other."""
        if not 1 <= times <= MOST_LAYERS:
            raise UsageError(f"layers can be repeated 1 to {MOST_LAYERS} times")
        self.paste(self.after(first, last), self.copied(first, last) * (times - 1))

    def move(self, first: int, last: int | None, by: int) -> None:
        """Move layers up (by = -1) or down (by = 1), as far as their list goes."""
        where, indices = self.chosen(first, last)
        self._within(where, lambda sections, header: with_moved(sections, header, indices, by))

    def group(self, first: int, last: int | None, type: str) -> None:
        """Put layers into a new one around them: a repeat or a residual."""
        from tuilab.blocks.layers import Layer

        block = Layer.registry.get(type)
        if block is None or "layers" not in lists_of(type):
            raise UsageError(f"'{clean_text(type, 60)}' takes no layers")
        where, indices = self.chosen(first, last)
        self._check_depth(where, [{"layers": [value_at(self.document, (*where, index)) for index in indices]}])
        table = edits.new_block(block, {"times": 2})  # once, the default, would repeat nothing
        del table["layers"]
        self._within(where, lambda sections, header: with_group(sections, header, indices, table))

    def ungroup(self, row: int) -> int:
        """Put the layers inside one into its place, as often as it repeats them, and those that it makes; a projection
        goes with its shortcut. Returns how many these are."""
        where, indices = self.chosen(row)
        times, made = self.rows[row].times, self._made_in(row)
        count = len(made) or self.count((*where, indices[0], "layers"))
        if not count:
            raise UsageError(f"there are no layers in {self.rows[row].type}")
        if count * times > MOST_LAYERS:
            raise UsageError(f"a network has at most {MOST_LAYERS} layers")

        def spread(sections: Sections, header: Header) -> Sections:
            inside = made or list(contents_of(sections, header, indices[0], "layers"))
            rest = with_gone(sections, header, indices)
            return with_pasted(rest, header, indices[0], inside * times)

        self._within(where, spread)
        return count * times

    def _made_in(self, row: int) -> list[Section]:
        """Return the layers that a layer makes, as it would be without them."""
        rows = self.rows[row + 1 : self.stack.last_inside(row) + 1]
        layers = [one.made for one in rows if one.made is not None and one.depth == self.rows[row].depth + 1]
        fixed = value_at(self.document, (*self.rows[row].location, "trainable")) is False
        tables = [brief(layer.model_copy(update={"trainable": False}) if fixed else layer) for layer in layers]
        return layer_sections(LAYERS, tables)

    def check_place(self, where: Location) -> None:
        """Raise UsageError where the layers of a list are made by one around them."""
        for end in range(2, len(where), 2):
            row = self.stack.row_at(where[:end])
            if row is not None and where[end] not in lists_of(self.rows[row].type):
                type = self.rows[row].type
                raise UsageError(f"{type} makes these layers, and the file does not name them: ungroup {type} first")

    def _within(self, where: Location, change: Change) -> None:
        if not is_layer_list(where) or (len(where) > 1 and self.stack.row_at(where[:-1]) is None):
            raise UsageError("there is no such layer")
        self.check_place(where)
        with _writing():
            self._change(within(self._apart(), where, change))

    def count(self, where: Location) -> int:
        """Return how many layers the list at a place has."""
        layers = value_at(self.document, where)
        return len(layers) if isinstance(layers, list) else 0

    def _check_depth(self, where: Sequence[int | str], tables: Sequence[dict[str, Any]]) -> None:
        if len(where) // 2 + max(map(depth, tables), default=0) > MOST_DEPTH:
            raise UsageError(f"layers are inside one another at most {MOST_DEPTH} deep")

    # On disk

    def save(self, path: Path | None = None, overwrite: bool = False) -> None:
        """Write the file, completely or not at all, and make `path` its place from now on.

        Raises UsageError where it has no place yet, OnDisk where that would overwrite what was not read from there,
        StorageError.
        """
        target = path or self.path
        if target is None:
            raise UsageError(f"{self.name} has no file yet: save it under a name")
        try:
            real = target.resolve()
            if real.is_symlink():  # one that leads round in a circle, as Python 3.13 and later leave it
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            known = self._read if self.path is not None and real == self.path.resolve() else None
            if not overwrite and real.exists() and real.read_bytes().decode("utf-8-sig", "replace") != known:
                said = "exists already" if known is None else "has been changed by somebody else since it was read"
                raise OnDisk(f"{clean_text(str(target))} {said}")
            before = self.path.parent.resolve() if self.path else Path.cwd()
            document = moved(self.document, before, target.parent.resolve())
            text = joined(changed(self.sections, self.document, document))
            write_whole(real, text)
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead round in a circle
            reason = error.strerror if isinstance(error, OSError) else clean_text(str(error))
            raise StorageError(f"{clean_text(str(target))} cannot be written: {reason}") from None
        self.path = target
        self._saved = self._read = text
        self._change(split(text))
        self.look_again()
        self.discard()

    def keep(self, folder: Path) -> None:
        """Write what is not saved into `folder`, where `recover` finds it after a crash; raises StorageError."""
        if self._keeper is None:
            self._keeper = recovery.Keeper.new(folder)
        unsaved = recovery.Unsaved(text=self.text, saved=self._saved, on_disk=self._read, path=self.path)
        self._keeper.write(unsaved)

    @classmethod
    def recover(cls, folder: Path) -> Draft | None:
        """Return the newest draft in `folder` whose program has ended without saving it, or None."""
        for file in recovery.left_behind(folder):
            if taken := recovery.take(file):
                keeper, unsaved = taken
                try:
                    draft = cls.from_text(unsaved.saved, unsaved.path)
                    draft._change(split(cls.from_text(unsaved.text).text))
                except TuilabError:
                    keeper.close()
                    continue
                draft._read, draft._keeper = unsaved.on_disk, keeper
                return draft
        return None

    def leave(self) -> None:
        """Let unsaved changes lie where they are kept, for the next who asks for them."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def discard(self) -> None:
        """Keep nothing of what is not saved."""
        if self._keeper is not None:
            self._keeper.remove()
            self._keeper = None


@contextmanager
def _writing() -> Iterator[None]:
    """Raises UsageError where an edit would make what is no TOML."""
    import tomlkit.exceptions

    try:
        yield
    except (tomlkit.exceptions.TOMLKitError, ValueError, TypeError, LookupError) as error:
        raise UsageError(f"that cannot be written into the file: {clean_text(str(error))}") from None
