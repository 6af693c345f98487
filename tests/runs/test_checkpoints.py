"""Checkpoints: complete on the disk, kept as long as they are needed, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.examples import make_data, make_trainer, mlp
from tests.runs.recorded import new_run, recording
from tuilab.engine.events import EpochDone
from tuilab.engine.trainer import Trainer
from tuilab.runs import training
from tuilab.runs.checkpoints import (
    BEST,
    NUMBERS,
    STATE,
    WEIGHTS,
    load_checkpoint,
    resumable_checkpoints,
    save_checkpoint,
)
from tuilab.runs.tensors import MOST_HEADER_BYTES, read_tensors
from tuilab.runs.training import RecordedTraining, resume_from_checkpoint

MOST = MOST_HEADER_BYTES + 100_000
FINGERPRINT = {"NumPy": "1.2.3"}
RECORDED = {"series": {"loss": {"level": 0, "count": 1, "open": [[0, 0.1, 0.1, 0.1, 1]]}}, "looks": 3, "looks_level": 0}


def trained(epochs: int = 2, **more: Any) -> Trainer:
    """A trainer after its last epoch, whose best one was the first."""
    trainer = make_trainer(mlp(epochs=epochs, metrics=["accuracy"], **more), make_data())
    for event in trainer.run():
        if isinstance(event, EpochDone) and event.epoch == 1:
            best = trainer.network.arena.values.copy()
    trainer.best.epoch, trainer.best_values[...] = 1, best
    return trainer


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with all that one can hold; not to be changed."""
    run = new_run(tmp_path_factory.mktemp("original"))
    save_checkpoint(run, trained(), FINGERPRINT, RECORDED)
    return run.checkpoint()


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / original.name)


def change_numbers(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    stored = json.loads((folder / NUMBERS).read_text())
    change(stored)
    (folder / NUMBERS).write_text(json.dumps(stored))


def test_what_is_saved_is_loaded(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS, BEST, STATE, NUMBERS])
    checkpoint, others = load_checkpoint(folder, MOST)
    trainer = trained()
    assert others == {"fingerprint": FINGERPRINT, "recorder": RECORDED}
    assert checkpoint.numbers["step"] == trainer.step == int(folder.name[5:])
    arrays = trainer.lasting_arrays()
    assert checkpoint.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(checkpoint.arrays[name], array, strict=True)
    best = dict(trainer.network.parameters(trainer.best_values))
    for name, value in read_tensors(folder / BEST, MOST).items():
        np.testing.assert_array_equal(value, best[name])


def test_weights_that_are_the_best_are_there_once(tmp_path: Path) -> None:
    run, trainer = new_run(tmp_path), trained()
    trainer.best_values[...] = trainer.network.arena.values
    save_checkpoint(run, trainer, FINGERPRINT, RECORDED)
    assert not (run.checkpoint() / BEST).exists()
    load_checkpoint(run.checkpoint(), MOST)


def test_where_training_cannot_go_on(tmp_path: Path) -> None:
    """As after a divergence: there are weights to predict with."""
    run = new_run(tmp_path)
    save_checkpoint(run, trained(epochs=2), FINGERPRINT, RECORDED)
    save_checkpoint(run, trained(epochs=3), FINGERPRINT, RECORDED, resumable=False)
    older, newer = run.checkpoints()
    assert sorted(path.name for path in newer.iterdir()) == sorted([WEIGHTS, BEST])
    assert resumable_checkpoints(run) == [older]


# What is refused


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def replace(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).rename(folder / f"{name}.other")
        make(folder / name)

    return change


def digests(**changes: str | None) -> Callable[[Path], object]:
    """Change, add or take away entries of the list of digests; names with `_` for `.`."""

    def change(stored: dict[str, Any]) -> None:
        for name, digest in changes.items():
            stored["digests"].pop(name.replace("_", "."), None)
            if digest is not None:
                stored["digests"][name.replace("_", ".")] = digest

    return lambda folder: change_numbers(folder, change)


def edit(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: change_numbers(folder, lambda stored: stored.update(changes))


def grow(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


def link_to_other(path: Path) -> None:
    path.symlink_to(f"{path.name}.other")


def text(content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / NUMBERS).write_text(content)


NO_CHECKPOINT = "training.json is not a checkpoint of a training"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no numbers": (remove(NUMBERS), "training.json is missing"),
    "no state": (remove(STATE), "training.safetensors is missing"),
    "no weights": (remove(WEIGHTS), "weights.safetensors is missing"),
    "no best weights": (remove(BEST), "best.safetensors is missing"),
    "no digest of the state": (digests(training_safetensors=None), NO_CHECKPOINT),
    "no digest of the numbers": (digests(training_json=None), "training.json is damaged"),
    "another digest of the state": (digests(training_safetensors="0" * 64), "training.safetensors is damaged"),
    "another digest of the weights": (digests(weights_safetensors="0" * 64), "weights.safetensors is damaged"),
    "another digest of the numbers": (digests(training_json="0" * 64), "training.json is damaged"),
    "a digest of another file": (digests(secret="0" * 64), NO_CHECKPOINT),
    "a digest of a file elsewhere": (digests(**{"///etc/passwd": "0" * 64}), NO_CHECKPOINT),
    "no list of digests": (edit(digests=None), NO_CHECKPOINT),
    "an empty list of digests": (edit(digests={}), "training.json is damaged"),
    "another step": (edit(numbers={"step": 1}), "training.json is damaged"),
    "another fingerprint": (edit(fingerprint={}), "training.json is damaged"),
    "no recorder": (edit(recorder=None), NO_CHECKPOINT),
    "nothing": (text(""), NO_CHECKPOINT),
    "no JSON": (text("own"), NO_CHECKPOINT),
    "deep": (text("[" * 100_000), NO_CHECKPOINT),
    "a huge number": (text("1" * 5000), NO_CHECKPOINT),
    "no text": (lambda folder: (folder / NUMBERS).write_bytes(b"\xff\xfe"), NO_CHECKPOINT),
    "a list": (text("[]"), NO_CHECKPOINT),
    "a state of zeros": (replace(STATE, lambda path: path.write_bytes(bytes(1000))), "training.safetensors is damaged"),
    **{f"a link for {name}": (replace(name, link_to_other), f"{name} is a link") for name in (STATE, WEIGHTS, NUMBERS)},
    **{
        f"a pipe for {name}": (replace(name, os.mkfifo), f"{name} is not a plain file")
        for name in (STATE, BEST, NUMBERS)
    },
    **{f"a folder for {name}": (replace(name, Path.mkdir), f"{name} is not a plain file") for name in (STATE, NUMBERS)},
    **{f"a terabyte of {name}": (replace(name, grow), f"{name} is too large") for name in (STATE, WEIGHTS, NUMBERS)},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_checkpoint(folder: Path, kind: str) -> None:
    spoil, reason = BROKEN[kind]
    spoil(folder)
    began = time.monotonic()
    with pytest.raises(ValueError, match=reason) as caught:
        load_checkpoint(folder, MOST)
    assert str(caught.value).isprintable()
    assert time.monotonic() - began < 2


def test_a_link_is_no_checkpoint(folder: Path) -> None:
    link = folder.with_name("step-000099")
    link.symlink_to(folder)
    with pytest.raises(ValueError, match="is a link, not a folder of a run"):
        load_checkpoint(link, MOST)
    link.unlink()
    link.touch()
    with pytest.raises(ValueError, match=r"training\.json cannot be read: not a directory"):
        load_checkpoint(link, MOST)


def test_reading_a_large_state_takes_no_more_memory_than_is_allowed(folder: Path) -> None:
    """The files of another, larger network, with digests that fit."""
    (folder / STATE).write_bytes(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"training\.safetensors is too large"):
        load_checkpoint(folder, MOST)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


@given(name=st.sampled_from([WEIGHTS, BEST, STATE, NUMBERS]), place=st.integers(0, 10**6), flip=st.integers(1, 255))
@settings(deadline=None, max_examples=50)
def test_any_byte_that_is_changed_is_noticed(
    original: Path, tmp_path_factory: Any, name: str, place: int, flip: int
) -> None:
    """In the numbers, it may stand between two of them and change nothing."""
    folder = shutil.copytree(original, tmp_path_factory.mktemp("changed") / original.name)
    content = bytearray((folder / name).read_bytes())
    content[place % len(content)] ^= flip
    (folder / name).write_bytes(content)
    try:
        checkpoint, others = load_checkpoint(folder, MOST)
    except ValueError:
        pass
    else:
        assert name == NUMBERS
        assert (checkpoint.numbers, others) == known(original)
    shutil.rmtree(folder.parent)


def known(original: Path) -> tuple[Any, Any]:
    checkpoint, others = load_checkpoint(original, MOST)
    return checkpoint.numbers, others


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
NAMES = st.sampled_from([WEIGHTS, STATE, NUMBERS]) | st.text(max_size=20)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "digests": JSON | st.dictionaries(NAMES, JSON, max_size=4),
        "numbers": JSON,
        "fingerprint": JSON,
        "recorder": JSON,
    },
)


@given(content=st.binary(max_size=100) | (JSON | NEARLY).map(lambda value: json.dumps(value).encode()))
@settings(deadline=None, max_examples=100)
def test_any_numbers_are_refused(original: Path, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed-checkpoint"
    if not folder.exists():
        shutil.copytree(original, folder)
    (folder / NUMBERS).write_bytes(content)
    with pytest.raises(ValueError, match=r"training\.json is (damaged|not a checkpoint)"):
        load_checkpoint(folder, MOST)


def test_the_newest_good_one_is_used(tmp_path: Path) -> None:
    """Whatever else has the name of one; what is left out is told."""
    run = new_run(tmp_path)
    save_checkpoint(run, trained(epochs=2), FINGERPRINT, RECORDED)
    good = run.checkpoint()
    for step in ("000020", "000021", "000022"):
        shutil.copytree(good, good.with_name(f"step-{step}"))
    (good.with_name("step-000020") / STATE).write_bytes(b"")
    (good.with_name("step-000021") / NUMBERS).write_text("own")
    (good.with_name("step-000022") / NUMBERS).unlink()
    good.with_name("step-000023").touch()
    good.with_name("step-000024").symlink_to(good)
    (good.with_name("step-odd")).mkdir()
    trainer = make_trainer(mlp(epochs=4, metrics=["accuracy"]), make_data())
    others, said = resume_from_checkpoint(run, trainer)
    assert (trainer.step, others["recorder"]) == (int(good.name[5:]), RECORDED)
    assert said == [
        "step-000024 is left out: is a link, not a folder of a run",
        "step-000023 is left out: training.json cannot be read: not a directory",
        "step-000021 is left out: training.json is not a checkpoint of a training",
        "step-000020 is left out: training.safetensors is damaged",
    ]


# How it is written


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int | str]]]:
    """Note what really comes onto the disk, and when: ("sync", number of the file), ("rename", new name)."""
    happened: list[tuple[str, int | str]] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        happened.append(("sync", os.fstat(descriptor).st_ino))

    def noted_rename(source: Path, target: Path) -> None:
        rename(source, target)
        happened.append(("rename", Path(target).name))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", noted_fsync)
        patch.setattr(os, "rename", noted_rename)
        yield happened


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_everything_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    run, trainer = new_run(tmp_path), trained()
    if again:
        save_checkpoint(run, trainer, FINGERPRINT, RECORDED)
    with watched(monkeypatch) as happened:
        save_checkpoint(run, trainer, FINGERPRINT, RECORDED)
    folder = run.checkpoint()
    named = happened.index(("rename", folder.name))
    for path in [folder, *folder.iterdir()]:
        assert ("sync", path.stat().st_ino) in happened[:named], path
    assert ("sync", folder.parent.stat().st_ino) in happened[named:]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_others_may_what_the_umask_lets_them(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        run = new_run(tmp_path)
        save_checkpoint(run, trained(), FINGERPRINT, RECORDED)
    finally:
        os.umask(before)
    folder = run.checkpoint()
    for path in (run.path, folder.parent, folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~mask, path
    for path in [*folder.iterdir(), run.experiment_file, run.path / "metrics.db"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path


# How long it is kept


def steps_kept(folder: Path, monkeypatch: pytest.MonkeyPatch, every: int | None) -> list[int]:
    """Train seven epochs of four steps, with a checkpoint before the first and after every one; return the steps of
    those that are left."""
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr("tuilab.engine.trainer.SECONDS_BETWEEN_EVENTS", 1e9)
    run, trainer = new_run(folder), make_trainer(mlp(epochs=7, checkpoint_every=every), make_data())
    assert len(trainer.train) == 4
    with run.hold() as lock, recording(run) as recorder:
        assert RecordedTraining(run, trainer, recorder, lock).train() == "finished"
    for path in run.checkpoints():
        load_checkpoint(path, MOST)
    return [int(path.name[5:]) for path in run.checkpoints()]


def test_two_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps_kept(tmp_path, monkeypatch, None) == [24, 28]


def test_those_of_every_few_epochs_are_kept_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps_kept(tmp_path, monkeypatch, 2) == [8, 16, 24, 28]
