"""What others ask of a worker: done in the order of asking, or refused with a reason; whatever lies in the folder."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.cli.conftest import Tuilab
from tests.engine.examples import make_data, make_trainer, mlp
from tests.runs.recorded import new_run, recording, rows
from tuilab.engine.events import Event
from tuilab.errors import StorageError
from tuilab.runs import training
from tuilab.runs.commands import (
    FOLDER,
    MOST_AT_ONCE,
    MOST_BYTES,
    Action,
    Answer,
    Command,
    Inbox,
    answer,
    send,
    signal_worker,
    withdraw,
)
from tuilab.runs.directory import RunDirectory
from tuilab.runs.reader import overview
from tuilab.runs.training import RecordedTraining

STOP = Command(action="stop")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return new_run(tmp_path)


def put(run: RunDirectory, content: bytes | str, name: str = "0001-a.json") -> Path:
    path = run.path / FOLDER / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def taken(run: RunDirectory) -> list[tuple[str, Command | str]]:
    return list(Inbox(run).take())


def left(run: RunDirectory) -> list[str]:
    return sorted(os.listdir(run.path / FOLDER))


def test_commands_come_in_the_order_of_sending(run: RunDirectory) -> None:
    wanted = [Command(action=action) for action in get_args(Action)]
    wanted.append(Command(action="set", key="learning_rate", value="0.0005"))
    names = [send(run, command) for command in wanted]
    assert Inbox(run).peek() == wanted
    inbox = Inbox(run)
    for position, (name, command) in enumerate(inbox.take()):
        assert (name, command) == (names[position], wanted[position])
        assert len(left(run)) == len(wanted) - position  # it is gone when the next one is asked for
    assert left(run) == []
    assert list(inbox.take()) == []


def test_a_command_that_ends_the_worker_is_gone(run: RunDirectory) -> None:
    send(run, STOP)
    with pytest.raises(KeyboardInterrupt):
        obey(run)
    assert left(run) == []


def obey(run: RunDirectory) -> None:
    for _ in Inbox(run).take():
        raise KeyboardInterrupt


def test_commands_in_words() -> None:
    assert str(Command(action="stop_after_epoch")) == "stop after epoch"
    assert str(Command(action="set", key="epochs", value="20\x1b[2J")) == "set epochs=20�[2J"


def test_a_command_is_withdrawn(run: RunDirectory) -> None:
    name = send(run, STOP)
    withdraw(run, name)
    withdraw(run, name)
    assert taken(run) == []
    for _ in range(2):
        name = send(run, STOP)
    waiting = Inbox(run).take()
    next(waiting)
    withdraw(run, name)  # while it is about to be taken
    assert list(waiting) == []


def test_answers(run: RunDirectory) -> None:
    name, other = send(run, STOP), send(run, STOP)
    assert answer(run, name) is None
    with recording(run) as recorder:
        recorder.answer(name, "stop", True, "stops after step 7")
        recorder.answer(other, "stop", False, "no \x1b[2J")
        recorder.write()
    assert answer(run, name) == Answer(True, "stops after step 7")
    assert answer(run, other) == Answer(False, "no �[2J")


REFUSED = {
    "empty": ("", "is not JSON"),
    "no JSON": ("stop", "is not JSON"),
    "cut": ('{"action": "stop"', "is not JSON"),
    "more than one": ('{"action": "stop"}{"action": "stop"}', "is not JSON"),
    "deep": ("[" * MOST_BYTES, "is not JSON"),
    "no text": (b'{"action": "\xff"}', "is not JSON"),
    "a list": ('["stop"]', "command: Input should be"),
    "a name": ('"stop"', "command: Input should be"),
    "nothing": ("{}", "action: Field required"),
    "an unknown action": ('{"action": "explode"}', "action: Input should be 'pause', 'resume'"),
    "an action in capitals": ('{"action": "STOP"}', "action: Input should be"),
    "an action that is none": ('{"action": null}', "action: Input should be"),
    "a list of actions": ('{"action": ["stop"]}', "action: Input should be"),
    "a number": ('{"action": "set", "key": "epochs", "value": 20}', "value: Input should be a valid string"),
    "a number for a key": ('{"action": "set", "key": 1, "value": "20"}', "key: Input should be a valid string"),
    "another field": ('{"action": "stop", "__class__": "x"}', "__class__: Extra inputs are not permitted"),
    "escape codes": ('{"action": "stop", "\\u001b[2J": 1}', "�[2J: Extra inputs"),
    "a long key": (json.dumps({"action": "set", "key": "x" * 201}), "key: String should have at most 200"),
    "a long value": (json.dumps({"action": "set", "value": "x" * 2001}), "value: String should have at most 2000"),
    "half a character": ('{"action": "set", "value": "\\ud800"}', "value: Input should be a valid"),
    "a huge number": ('{"action": ' + "1" * 4000 + "}", "action: Input should be"),
    "too long": (json.dumps({"action": "stop"}) + " " * MOST_BYTES, "is too large for a file of a run"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_command(run: RunDirectory, kind: str) -> None:
    content, reason = REFUSED[kind]
    put(run, content)
    ((name, found),) = taken(run)
    assert name == "0001-a"
    assert isinstance(found, str)
    assert reason in found
    assert found.isprintable()
    assert Inbox(run).peek() == []
    assert left(run) == []


def test_what_is_no_file(run: RunDirectory) -> None:
    """Links are not followed, pipes not waited for; what cannot be taken away is answered once."""
    precious = put(run, '{"action": "stop"}').rename(run.path / "precious.json")
    folder = run.path / FOLDER
    (folder / "1.json").symlink_to(precious)
    (folder / "2.json").symlink_to("/nowhere")
    os.mkfifo(folder / "3.json")
    (folder / "4.json").mkdir()
    (folder / "5.json").touch()
    os.truncate(folder / "5.json", 2**40)
    send(run, STOP)
    inbox = Inbox(run)
    began = time.monotonic()
    assert inbox.peek() == [STOP]
    found = dict(inbox.take())
    assert time.monotonic() - began < 2
    assert [found.pop(name) for name in "12345"] == [
        "is a link, not a file of a run",
        "is a link, not a file of a run",
        "is not a plain file",
        "is not a plain file",
        "is too large for a file of a run: 1,099,511,627,776 bytes",
    ]
    assert list(found.values()) == [STOP]
    assert left(run) == ["4.json"]
    assert list(inbox.take()) == []
    assert precious.exists()


def test_names_of_files(run: RunDirectory) -> None:
    odd = ["\x1b[2J.json", os.fsdecode(b"\xff.json"), "x" * 240, ".hidden.json", ".0001-a.json.12ab.part", "…"]
    for name in odd:
        put(run, '{"action": "stop"}', name)
    names = [name for name, _ in taken(run)]
    assert len(names) == 4
    assert all(name.isprintable() and len(name) <= 60 for name in names)
    assert left(run) == [".0001-a.json.12ab.part", ".hidden.json"]


def test_a_flood_is_taken_in_portions(run: RunDirectory) -> None:
    for number in range(MOST_AT_ONCE + 5):
        put(run, '{"action": "pause"}', f"{number:04d}.json")
    inbox = Inbox(run)
    assert [name for name, _ in inbox.take()] == [f"{number:04d}" for number in range(MOST_AT_ONCE)]
    assert len(list(inbox.take())) == 5
    for number in range(MOST_AT_ONCE + 5):
        put(run, '{"action": "pause"}', f"{number:04d}.json")
    assert len(list(inbox.take(most=None))) == MOST_AT_ONCE + 5


def test_a_folder_that_is_not_there(run: RunDirectory) -> None:
    """Copies of runs may lack it: it was empty."""
    folder = run.path / FOLDER
    folder.rmdir()
    assert taken(run) == Inbox(run).peek() == []
    send(run, STOP)
    assert [command for _, command in taken(run)] == [STOP]
    folder.rmdir()
    folder.touch()
    assert taken(run) == []
    with pytest.raises(StorageError, match=FOLDER):
        send(run, STOP)
    folder.unlink()
    shutil.rmtree(run.path)
    with pytest.raises(StorageError):
        send(run, STOP)


@pytest.mark.parametrize(
    "values", [{"action": "explode"}, {"action": "set", "value": 5}, {"action": "stop", "more": 1}]
)
def test_what_is_no_command_is_not_sent_either(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Command.model_validate(values)


def test_a_worker_that_is_not_there_gets_no_signal(run: RunDirectory) -> None:
    assert signal_worker(run, STOP) == Answer(False, "its worker is not there any more")
    assert signal_worker(run, Command(action="kill")).accepted  # as was asked for


# While it trains


ACTIONS = get_args(Action)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
NEARLY = st.fixed_dictionaries(
    {"action": st.sampled_from(ACTIONS) | JSON}, optional={"key": JSON, "value": JSON, "more": JSON}
)
CONTENT = st.one_of(
    st.binary(max_size=60),
    st.binary(min_size=MOST_BYTES + 1, max_size=MOST_BYTES + 9),
    JSON.map(lambda value: json.dumps(value).encode()),
    NEARLY.filter(lambda value: not is_command(value)).map(lambda value: json.dumps(value).encode()),
)


def is_command(value: dict[str, Any]) -> bool:
    texts = all(isinstance(value.get(name, ""), str) for name in ("key", "value"))
    return isinstance(value["action"], str) and value["action"] in ACTIONS and texts and "more" not in value


@given(content=CONTENT)
@settings(deadline=None, max_examples=200)
def test_any_content_is_refused_with_a_reason(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    run = RunDirectory(tmp_path_factory.getbasetemp() / "fuzzed-commands")
    (run.path / FOLDER).mkdir(parents=True, exist_ok=True)
    put(run, content)
    ((_, found),) = taken(run)
    assert isinstance(found, str)
    assert found
    assert found.isprintable()


def train(folder: Path, contents: list[bytes]) -> RunDirectory:
    """Train a small network, and put files among its commands after its first step."""
    run, trainer = new_run(folder), make_trainer(mlp(epochs=3), make_data())
    events = trainer.run

    def disturbed() -> Iterator[Event]:
        for number, event in enumerate(events()):
            if number == 2:
                for position, content in enumerate(contents):
                    put(run, content, f"{position:04d}.json")
            yield event

    trainer.run = disturbed  # type: ignore[method-assign]
    with run.hold() as lock, recording(run) as recorder:
        assert RecordedTraining(run, trainer, recorder, lock).train() == "finished"
    return run


@given(contents=st.lists(CONTENT, min_size=1, max_size=5))
@settings(deadline=None, max_examples=6)
def test_training_goes_on_whatever_lies_in_the_folder(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "SECONDS_BETWEEN_LOOKS", 0.0)
        run, undisturbed = train(folder, contents), train(folder, [])
    answers = rows(run, "SELECT name, command, accepted FROM commands ORDER BY name")
    assert answers == [(f"{position:04d}", "not a command", 0) for position in range(len(contents))]
    assert left(run) == []
    weights, expected = ((one.checkpoint() / "weights.safetensors").read_bytes() for one in (run, undisturbed))
    assert weights == expected
    shutil.rmtree(folder)


def test_a_worker_refuses_what_was_sent_before_it_began(tmp_path: Path) -> None:
    """However much that is; what comes later it does."""
    tuilab = Tuilab(tmp_path)
    name = tuilab("train", "xor-mlp", "--epochs", "3", "--json").json["run"]
    run = RunDirectory(tuilab.runs / name)
    sent = [send(run, Command(action=action)) for action in ("stop", "kill", "pause") for _ in range(35)]
    put(run, "nonsense", "9999-last.json")
    tuilab("resume", name, "--set", "training.epochs=100000", "--detach")
    tuilab.wait_for(name, lambda seen: seen.status.step > 100)
    for command in (*sent, "9999-last"):
        assert answer(run, command) == Answer(False, "was sent when nobody trained this run")
    put(run, "nonsense", "9999-running.json")
    while answer(run, "9999-running") is None:
        time.sleep(0.01)
    assert answer(run, "9999-running") == Answer(False, "is not JSON")
    assert overview(run).state == "running"
    tuilab("stop", name)
    assert tuilab.wait_for(name, lambda seen: not seen.alive).state == "stopped"
    assert left(run) == []
