"""Tags and notes: what was written is read, and nothing foreign is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tuilab.errors import UsageError
from tuilab.runs.directory import RunDirectory
from tuilab.runs.notes import FILE, Notes, add_tags, read_notes, remove_tags, write_note


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_tags_come_and_go(run: RunDirectory) -> None:
    assert read_notes(run) == Notes()
    assert add_tags(run, ["good", "paper-2"]).tags == ("good", "paper-2")
    write_note(run, "why")
    assert add_tags(run, ["good", "größe_1.0"]).tags == ("good", "paper-2", "größe_1.0"), "none twice"
    assert remove_tags(run, ["good"]) == read_notes(run) == Notes(tags=("paper-2", "größe_1.0"), note="why")
    with pytest.raises(UsageError, match="has no tag 'paper', did you mean 'paper-2'"):
        remove_tags(run, ["größe_1.0", "paper"])
    assert read_notes(run).tags == ("paper-2", "größe_1.0")
    assert json.loads((run.path / FILE).read_text()) == {"tags": ["paper-2", "größe_1.0"], "note": "why"}


@pytest.mark.parametrize("tag", ["", "two words", "x" * 41, "a\n", "\x1b[31m", "a/b", "e\u0301", "tag\u200b"])
def test_what_is_no_tag_is_refused(run: RunDirectory, tag: str) -> None:
    with pytest.raises(UsageError, match="a tag is 1 to 40 letters") as caught:
        add_tags(run, ["good", tag])
    assert str(caught.value).isprintable()
    assert not (run.path / FILE).exists()


def test_a_run_has_at_most_20_tags(run: RunDirectory) -> None:
    add_tags(run, [f"t{index}" for index in range(20)])
    add_tags(run, ["t0", "t19"])
    with pytest.raises(UsageError, match="at most 20 tags"):
        add_tags(run, ["one-more"])
    assert len(read_notes(run).tags) == 20


def test_notes_are_printable_lines(run: RunDirectory) -> None:
    assert write_note(run, "  first\x1b[31m \r\nsecond\tline\u202e\n\n").note == "first�[31m\nsecond line�"
    assert len(write_note(run, "é" * 2000).note) == 2000
    with pytest.raises(UsageError, match="at most 2,000 characters, this one has 2,001"):
        write_note(run, "x" * 2001)
    assert len(read_notes(run).note) == 2000
    add_tags(run, ["kept"])
    assert write_note(run, "") == Notes(tags=("kept",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 60_000,
        b"[]",
        b'{"tags": "abc"}',
        b'{"tags": ["\\u001b[2J"]}',
        b'{"tags": [1]}',
        b'{"other": 1}',
        b'{"note": {}}',
        json.dumps({"note": "x" * 2001}).encode(),
        json.dumps({"tags": [f"t{index}" for index in range(21)]}).encode(),
        b" " * 70_000,
    ],
)
def test_foreign_notes_are_refused(run: RunDirectory, content: bytes) -> None:
    (run.path / FILE).write_bytes(content)
    for use in (read_notes, lambda run: add_tags(run, ["x"]), lambda run: write_note(run, "x")):
        with pytest.raises(UsageError, match=r"notes\.json: .*remove this file") as caught:
            use(run)
        assert str(caught.value).isprintable()
    assert (run.path / FILE).read_bytes() == content


def test_no_link_is_followed_and_no_pipe_waited_for(run: RunDirectory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text('{"note": "theirs"}')
    (run.path / FILE).symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link"):
        read_notes(run)
    (run.path / FILE).unlink()
    os.mkfifo(run.path / FILE)
    with pytest.raises(UsageError, match="not a plain file"):
        read_notes(run)
