"""An experiment that is being edited: its text with the user's comments, every edit undoable, checked at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.errors import DataError, ExperimentError, Problem, StorageError, TuilabError, UsageError
from tuilab.experiment import edits, recovery
from tuilab.experiment.document import DataSettings, Experiment
from tuilab.experiment.guard import MOST_BYTES, absurdity, read_guarded
from tuilab.experiment.load import find_experiment, parse, start_paths_from
from tuilab.experiment.problems import Location
from tuilab.experiment.ready_made import models_folder
from tuilab.experiment.save import to_toml
from tuilab.experiment.saving import moved, write_whole
from tuilab.experiment.sections import (
    LAYERS,
    Section,
    Sections,
    as_settings,
    changed,
    joined,
    layers_of,
    section_text,
    spaced,
    split,
    with_inserted,
    with_layers_apart,
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
MOST_LAYERS = 256
ANY: Final = object()
"""Whatever stands there."""

Describe = Callable[[DataSettings], DataInfo | None]
"""Returns what is known of the data, None where that is not known yet; raises DataError."""


class OnDisk(UsageError):
    """Saving would overwrite what somebody else has written."""


def describe_named(settings: DataSettings) -> DataInfo | None:
    """Return what is known of a data set by name; nothing of a user's own file, which would have to be read."""
    return settings.dataset.info() if settings.dataset is not None else None


class Draft:
    """An experiment file in the hand of an editor.

    An edit gives new sections of text, the ones that it does not touch are the same objects; undoing goes back to the
    old ones. Every edit raises UsageError, and changes nothing, where it cannot be done.
    """

    def __init__(self, text: str, path: Path | None = None) -> None:
        parse(text)
        self.path = path
        """Where it is saved; None where it has no file yet."""
        self.describe: Describe = describe_named
        self._history: list[Sections] = [split(text)]
        self._at = 0
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

    @property
    def sections(self) -> Sections:
        return self._history[self._at]

    @cached_property
    def text(self) -> str:
        """The file as it would be saved."""
        return joined(self.sections)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The values that are written."""
        return parse(self.text)

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

    # Undo

    @property
    def can_undo(self) -> bool:
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        return self._at < len(self._history) - 1

    def undo(self) -> None:
        """Take the last edit back; does nothing where there is none."""
        self._go(max(self._at - 1, 0))

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._go(min(self._at + 1, len(self._history) - 1))

    def reset(self) -> None:
        """Go back to what was opened, as one more edit."""
        self._change(self._history[0])

    def _go(self, at: int) -> None:
        self._at = at
        for name in ("text", "document", "stack"):
            self.__dict__.pop(name, None)

    def _change(self, sections: Sections) -> None:
        """Make `sections` what the draft is now."""
        text = joined(sections)
        if text == self.text:
            return
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise UsageError("that holds characters that no file can hold") from None
        if size > MOST_BYTES:
            raise UsageError(f"the experiment would be larger than {MOST_BYTES // 1024} KiB")
        if problem := absurdity(text):
            raise UsageError(str(problem))
        try:
            document = parse(text)
        except ExperimentError as error:
            raise UsageError(str(error)) from None
        del self._history[self._at + 1 :]
        self._history.append(sections)
        self._go(self._at + 1)
        self.__dict__.update(text=text, document=document)

    # Edits of values

    def set(self, where: str | Location, value: Any) -> None:
        """Set `training.epochs`, `layers[2].units`, `training.optimizer.learning_rate` …; None: back to the default.

        A value may be wrong: then it stands among the problems.
        """
        location = edits.location_of(where) if isinstance(where, str) else where
        if location[:1] == LAYERS and len(location) < 3:
            raise UsageError("layers are put in, taken out and given another type, not set")
        if location[:1] == LAYERS:
            self._range(int(location[1]) if isinstance(location[1], int) else -1, None)
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
        for index in range(len(self.rows)):
            location: Location = ("layers", index, setting)
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
        import tomlkit.exceptions

        sections = self._apart()
        old = self.document if sections is self.sections else parse(joined(sections))
        if isinstance(document.get("layers"), list) and isinstance(old.get("layers"), list):
            document = {**document, "layers": [as_settings(layer) for layer in document["layers"]]}
        try:
            self._change(changed(sections, old, document))
        except (tomlkit.exceptions.TOMLKitError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"that cannot be written into the file: {clean_text(str(error))}") from None

    def _apart(self) -> Sections:
        return with_layers_apart(self.sections, self.document)

    # Edits of the stack of layers

    def add(self, index: int, type: str) -> None:
        """Put a new layer before the layer `index`, at the end where there is none."""
        from tuilab.blocks.layers import Layer

        block = Layer.registry.get(type)
        if block is None:
            raise UsageError(f"there is no layer '{clean_text(type, 60)}'")
        usual = {"activation": "relu"}  # the default, linear, would add nothing to a network
        self.paste(index, [section_text("[[layers]]", edits.new_block(block, usual))])

    def delete(self, first: int, last: int | None = None) -> None:
        """Take layers out."""
        sections = self._apart()
        gone = {layers_of(sections)[index] for index in self._range(first, last)}
        self._change(tuple(section for place, section in enumerate(sections) if place not in gone))

    def copied(self, first: int, last: int | None = None) -> list[str]:
        """Return the text of layers, for `paste`."""
        sections = self._apart()
        places = layers_of(sections)
        return [sections[places[index]].text for index in self._range(first, last)]

    def paste(self, index: int, texts: Sequence[str]) -> None:
        """Put layers before the layer `index`; those whose name is taken lose it."""
        sections = self._apart()
        count = len(layers_of(sections))
        if count + len(texts) > MOST_LAYERS:
            raise UsageError(f"a network has at most {MOST_LAYERS} layers")
        names = (section.values["layers"][0].get("name") for section in sections if section.is_layer)
        taken = {name for name in names if isinstance(name, str)}
        new = []
        for text in texts:
            section = Section(LAYERS, text)
            layer = section.values["layers"][0]
            name = layer.get("name")
            if isinstance(name, str) and name in taken:
                unnamed = {key: value for key, value in layer.items() if key != "name"}
                (section,) = changed((section,), {"layers": [layer]}, {"layers": [unnamed]})
            taken.add(name)
            new.append(section)
        self._change(with_inserted(sections, max(0, min(index, count)), new))

    def duplicate(self, first: int, last: int | None = None) -> None:
        """Put a copy of layers behind them."""
        self.repeat(first, last, 2)

    def repeat(self, first: int, last: int | None, times: int) -> None:
        """Let layers stand there `times` times, one copy after the other."""
        if not 1 <= times <= MOST_LAYERS:
            raise UsageError(f"layers can be repeated 1 to {MOST_LAYERS} times")
        texts = self.copied(first, last)
        self.paste(first + len(texts), texts * (times - 1))

    def move(self, first: int, last: int | None, by: int) -> None:
        """Move layers up (by = -1) or down (by = 1), as far as the stack goes."""
        sections = self._apart()
        places = layers_of(sections)
        chosen = self._range(first, last)
        by = max(-chosen[0], min(by, len(places) - 1 - chosen[-1]))
        order = [index for index in range(len(places)) if index not in chosen]
        order[chosen[0] + by : chosen[0] + by] = chosen
        layers = [sections[place] for place in places]
        result = list(sections)
        for place, index in zip(places, order, strict=True):
            result[place] = layers[index]
        self._change(_with_blank_lines(result))

    def _range(self, first: int, last: int | None) -> range:
        chosen = range(first, (first if last is None else last) + 1)
        if not (chosen and first >= 0 and chosen[-1] < len(self.rows)):
            raise UsageError(f"there is no layer {first + 1}")
        return chosen

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


def _with_blank_lines(sections: Sequence[Section]) -> Sections:
    return (*map(spaced, sections[:-1]), *sections[-1:])
