"""Samples that stay in their file: the same as in memory, read in any order, with errors that name the place."""

from __future__ import annotations

import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import make_trainer
from tuilab.blocks.samples import Data, Split, Stored
from tuilab.data import survey
from tuilab.data.load import describe, load
from tuilab.data.streaming import StoredArray, stored_array
from tuilab.errors import DataError
from tuilab.experiment.document import DataSettings, Experiment
from tuilab.experiment.load import start_paths_from
from tuilab.experiment.saving import moved

ROWS = 90
Y = np.arange(ROWS) % 3
KINDS = ["uint8", "int16", "float32", "float64", ">f8", "bool", "<f2"]


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuilab.data.streaming.LARGE", 0)
    monkeypatch.setattr(survey, "BLOCK", 40)


def samples(shape: tuple[int, ...] = (5,), kind: str = "float32", rows: int = ROWS) -> np.ndarray:
    return (np.random.default_rng(0).random((rows, *shape)) * 200).astype(kind)


def settings(path: Path, **changes: Any) -> DataSettings:
    return DataSettings(path=str(path), **changes)


def both(monkeypatch: pytest.MonkeyPatch, path: Path, **changes: Any) -> tuple[Data, Data]:
    """Return the data of a file read from the disk, and in memory."""
    on_disk = load(settings(path, **changes), 3)
    monkeypatch.setattr("tuilab.data.streaming.LARGE", 1 << 30)
    in_memory = load(settings(path, **changes), 3)
    assert isinstance(on_disk.train.features, Stored)
    assert isinstance(in_memory.train.features, np.ndarray)
    return on_disk, in_memory


def parts(data: Data) -> list[Split]:
    return [part for part in (data.train, data.validation, data.test) if part is not None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5,), (4, 3), (4, 3, 2)])
@pytest.mark.parametrize("normalization", ["auto", "none", "standardize", "rescale"])
def test_a_file_is_the_same_on_disk_as_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, shape: tuple[int, ...], normalization: str
) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, x_train=samples(shape, kind), y_train=Y, x_test=samples(shape, kind, 7), y_test=Y[:7])
    on_disk, in_memory = both(monkeypatch, path, normalization=normalization)
    assert on_disk.info == in_memory.info == describe(settings(path))
    assert on_disk.info.pixel_maximum == in_memory.info.pixel_maximum
    for stored, array in zip(parts(on_disk), parts(in_memory), strict=True):
        assert isinstance(stored.features, Stored)
        assert stored.features.shape == array.features.shape
        assert stored.features.dtype == array.features.dtype
        np.testing.assert_array_equal(stored.features[:], array.features)
        np.testing.assert_array_equal(stored.targets, array.targets)
    if in_memory.scaling is None:
        assert on_disk.scaling is None
    else:
        assert on_disk.scaling is not None
        np.testing.assert_allclose(on_disk.scaling.offset, in_memory.scaling.offset, rtol=1e-6)
        np.testing.assert_allclose(on_disk.scaling.scale, in_memory.scaling.scale, rtol=1e-5)


def test_fractions_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, x_train=samples((4, 3)) / 255, y_train=Y)
    on_disk, in_memory = both(monkeypatch, path, normalization="rescale")
    assert on_disk.info.pixel_maximum == in_memory.info.pixel_maximum == 1
    assert on_disk.scaling is not None
    assert on_disk.scaling.scale == 1


def open_array(path: Path, x: np.ndarray) -> StoredArray:
    np.save(path, x)
    found = stored_array(path, "x.npy")
    assert found is not None
    return found


def test_samples_are_read_in_any_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tuilab.data.streaming.PORTION", 60)  # bytes: three samples
    x = samples()
    stored = open_array(tmp_path / "x.npy", x)
    for rows in ([0], [3, 4, 5, 6, 7, 20, 19, 18, 18], [], [89, 0, 1], list(range(ROWS))):
        np.testing.assert_array_equal(stored[np.array(rows, dtype="int64")], x[np.array(rows, dtype="int64")])
    np.testing.assert_array_equal(stored[7], x[7])
    np.testing.assert_array_equal(stored[5:30:4], x[5:30:4])
    np.testing.assert_array_equal(stored[-3:], x[-3:])
    chosen = stored.part(np.array([9, 2, 4])).part(np.array([2, 0]))
    np.testing.assert_array_equal(chosen[:], x[[4, 9]])
    assert len(chosen) == 2


def test_what_cannot_be_read_in_parts_is_read_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x_train=samples(), y_train=Y)
    assert isinstance(load(settings(path), 0).train.features, np.ndarray)
    np.savez(path, x_train=np.asfortranarray(samples()), y_train=Y)
    assert isinstance(load(settings(path), 0).train.features, np.ndarray)


def test_small_files_are_read_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, x_train=samples(), y_train=Y)
    for large, kept in ((1_900, Stored), (2_000, np.ndarray)):  # 90 · 5 · 4 bytes and a header
        monkeypatch.setattr("tuilab.data.streaming.LARGE", large)
        assert isinstance(load(settings(path, validation_split=0, test_split=0), 0, glance=True).train.features, kept)


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_what_is_no_number_is_named(tmp_path: Path, part: str, kind: str) -> None:
    path, x = tmp_path / "own.npz", {name: samples(kind=kind) for name in ("train", "val", "test")}
    x[part][37, 2] = np.nan
    arrays = {f"x_{name}": values for name, values in x.items()} | {f"y_{name}": Y for name in x}
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=rf"own\.npz, x_{part}, sample 37: holds what is no number"):
        load(settings(path), 0)


def test_a_number_beyond_float32_is_none(tmp_path: Path) -> None:
    x = samples(kind="float64")
    x[4, 0] = 1e300
    np.savez(tmp_path / "own.npz", x_train=x, y_train=Y)
    with pytest.raises(DataError, match="sample 4"):
        load(settings(tmp_path / "own.npz"), 0)


def test_a_file_that_is_cut_while_it_is_used_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    stored = open_array(path, samples())
    os.truncate(path, 400)
    np.testing.assert_array_equal(stored[0], samples()[0])
    with pytest.raises(DataError, match=r"x\.npy: is cut short"):
        stored[50]


def test_a_file_of_another_size_than_it_declares_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, samples())
    os.truncate(path, 1000)
    with pytest.raises(ValueError, match="do not make an array"):
        stored_array(path, "x.npy")


def test_several_threads_read_one_file(tmp_path: Path) -> None:
    x = samples((50,), rows=400)
    stored, wrong = open_array(tmp_path / "x.npy", x), []

    def read(seed: int) -> None:
        for _ in range(40):
            rows = np.random.default_rng(seed).permutation(400)
            wrong.append(not np.array_equal(stored[rows], x[rows]))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 160
    assert not any(wrong)


def test_the_look_through_the_samples_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x_train=samples(), y_train=Y)
    shares: list[float] = []
    load(settings(tmp_path / "own.npz"), 0, report=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 5
    assert shares[-1] == 1
    shares.clear()
    assert load(settings(tmp_path / "own.npz"), 0, report=shares.append, glance=True).scaling is None
    assert shares == []


def test_a_training_takes_no_more_memory_than_its_batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of 12 MB of samples, with the means and deviations of all, never 3 MB are in memory."""
    monkeypatch.setattr(survey, "BLOCK", 1 << 16)
    x = samples((1000,), rows=3000)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=np.arange(3000) % 3)
    document = {
        "data": {"path": str(tmp_path / "own.npz"), "batch_size": 50},
        "layers": [{"type": "dense", "units": 3, "activation": "softmax"}],
        "training": {"loss": "categorical_crossentropy", "epochs": 2},
    }
    experiment = Experiment.model_validate(document)
    tracemalloc.start()
    try:
        data = load(experiment.data, 0)
        trainer = make_trainer(experiment, data)
        for _ in trainer.run():
            pass
        assert trainer.epoch == 2
        assert tracemalloc.get_traced_memory()[1] < 3_000_000 < x.nbytes / 3
    finally:
        tracemalloc.stop()


def test_two_files_are_an_array_and_its_targets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x = samples((4, 3), "uint8")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.array(["b", "a", "c"])[Y])
    on_disk, in_memory = both(monkeypatch, tmp_path / "x.npy", target=str(tmp_path / "y.npy"))
    assert on_disk.info == in_memory.info == describe(settings(tmp_path / "x.npy", target=str(tmp_path / "y.npy")))
    assert (on_disk.info.input_shape, on_disk.info.classes) == ((4, 3, 1), ("a", "b", "c"))
    for stored, array in zip(parts(on_disk), parts(in_memory), strict=True):
        np.testing.assert_array_equal(stored.features[:], array.features)
        np.testing.assert_array_equal(stored.targets, array.targets)


def test_what_is_wrong_with_two_files_is_told(tmp_path: Path) -> None:
    x, y = tmp_path / "x.npy", tmp_path / "y.npy"
    chosen = settings(x, target=str(y))
    for read in (describe, lambda settings: load(settings, 0)):
        with pytest.raises(DataError, match=r"x\.npy: there is no such file"):
            read(chosen)
        np.save(x, samples())
        with pytest.raises(DataError, match=r"y\.npy: there is no such file"):
            read(chosen)
        x.unlink()
    np.save(x, samples())
    np.save(y, Y[:-1])
    with pytest.raises(DataError, match=r"y\.npy: has the shape \(89,\) for 90 samples"):
        load(chosen, 0)
    np.save(x, np.array(["a", "b"]))
    with pytest.raises(DataError, match=r"x\.npy: holds <U1, not numbers"):
        load(chosen, 0)


def test_both_files_stand_beside_the_experiment(tmp_path: Path) -> None:
    document = {"data": {"path": "x.NPY", "target": "sub/y.npy"}}
    start_paths_from(tmp_path, document)
    assert document["data"] == {"path": str(tmp_path / "x.NPY"), "target": str(tmp_path / "sub/y.npy")}


def test_a_copy_elsewhere_means_the_same_files(tmp_path: Path) -> None:
    inner = {"type": "folder", "path": "pictures"}
    for data, after in (
        ({"path": "x.npy", "target": "y.npy"}, {"path": "../x.npy", "target": "../y.npy"}),
        ({"path": "x.csv", "target": "y"}, {"path": "../x.csv", "target": "y"}),
        ({"dataset": inner}, {"dataset": {"type": "folder", "path": "../pictures"}}),
        ({"dataset": "iris"}, {"dataset": "iris"}),
    ):
        assert moved({"data": data}, tmp_path, tmp_path / "elsewhere") == {"data": after}
    assert inner["path"] == "pictures", "what was given is left as it is"
