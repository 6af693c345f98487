"""What people say of a run: tags and a note, in its notes.json."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from tuilab.errors import UsageError
from tuilab.runs.directory import RunDirectory
from tuilab.runs.plain_file import read_plain
from tuilab.text import clean_text, did_you_mean

FILE = "notes.json"
MOST_BYTES = 64 * 1024
MOST_TAGS = 20
LONGEST_NOTE = 2000


def _tag(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,40}", text):
        message = "a tag is 1 to 40 letters, digits, '-', '_' and '.', not '{tag}'"
        raise PydanticCustomError("tag", message, {"tag": clean_text(text, 60)})
    return text


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(tags))
    if len(unique) > MOST_TAGS:
        raise PydanticCustomError("tags", "a run has at most {most} tags", {"most": MOST_TAGS})
    return unique


def _note(text: str) -> str:
    if len(text) > LONGEST_NOTE:
        message = "a note has at most {most} characters, this one has {count}"
        raise PydanticCustomError("note", message, {"most": f"{LONGEST_NOTE:,}", "count": f"{len(text):,}"})
    return "\n".join(clean_text(line, LONGEST_NOTE).rstrip() for line in text.strip().splitlines())


class Notes(BaseModel):
    """Tags and a note of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tags: Annotated[tuple[Annotated[str, AfterValidator(_tag)], ...], AfterValidator(_tags)] = ()
    note: Annotated[str, AfterValidator(_note)] = ""
    """Printable lines."""


def read_notes(run: RunDirectory) -> Notes:
    """Return the tags and the note of a run; raises UsageError where its notes.json is damaged or foreign."""
    path = run.path / FILE
    try:
        return Notes.model_validate_json(read_plain(path, MOST_BYTES))
    except FileNotFoundError:
        return Notes()
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
    except ValueError as error:
        reason = str(error)
    raise UsageError(f"{clean_text(str(path))}: {clean_text(reason)}; remove this file")


def add_tags(run: RunDirectory, tags: Iterable[str]) -> Notes:
    """Give a run more tags, and return what it has now; raises UsageError for what is no tag, or too many."""
    notes = read_notes(run)
    return _write(run, (*notes.tags, *tags), notes.note)


def remove_tags(run: RunDirectory, tags: Iterable[str]) -> Notes:
    """Take tags away from a run, and return what it has now; raises UsageError for one that it does not have."""
    notes, unwanted = read_notes(run), set(tags)
    for tag in unwanted - set(notes.tags):
        hint = did_you_mean(tag, notes.tags)
        raise UsageError(f"run {clean_text(run.name)} has no tag '{clean_text(tag, 60)}'{hint}")
    return _write(run, tuple(tag for tag in notes.tags if tag not in unwanted), notes.note)


def write_note(run: RunDirectory, text: str) -> Notes:
    """Write a note on a run, an empty one to remove it; raises UsageError where it is too long."""
    return _write(run, read_notes(run).tags, text)


def _write(run: RunDirectory, tags: tuple[str, ...], note: str) -> Notes:
    try:
        notes = Notes(tags=tags, note=note)
    except ValidationError as error:
        raise UsageError(error.errors(include_url=False, include_input=False)[0]["msg"]) from None
    run.write_text(FILE, notes.model_dump_json())
    return notes
