"""Pictures in folders: classes, parts and sizes, in memory where they are few, from the disk where they are many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.engine.examples import make_trainer
from tuilab.blocks.datasets import Folder
from tuilab.blocks.samples import Data, Stored
from tuilab.data import survey
from tuilab.data.load import describe, load
from tuilab.errors import DataError
from tuilab.experiment.document import DataSettings, Experiment
from tuilab.experiment.load import load_experiment, make_experiment

CLASSES = ("ants", "bees", "cats")


def draw(folder: Path, count: int = 8, classes: tuple[str, ...] = CLASSES, size: tuple[int, int] = (6, 5)) -> None:
    """Write pictures, all pixels of which hold the number of their class, of the picture, and 7."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture = Image.new("RGB", size[::-1], (number, 10 * index, 7))
            picture.save(folder / name / f"{index}.png")


def settings(folder: Path, **changes: Any) -> DataSettings:
    data = {name: changes.pop(name) for name in ("validation_split", "test_split") if name in changes}
    return DataSettings(dataset={"type": "folder", "path": str(folder), "size": [6, 5], **changes}, **data)


def marks(data: Data, part: str) -> list[tuple[int, int]]:
    """Return class and number of every picture of a part, as its pixels tell, once its target agrees."""
    split = getattr(data, part)
    pixels = split.features[:].reshape(len(split), -1, 3)
    assert (pixels == pixels[:, :1]).all()
    assert (pixels[:, 0, 0] == split.targets).all()
    return [(int(first), int(second)) for first, second, _ in pixels[:, 0]]


EVERY = [(number, 10 * index) for number in range(3) for index in range(8)]


@pytest.mark.parametrize("large", [0, 1 << 30], ids=["on disk", "in memory"])
def test_folders_are_classes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, large: int) -> None:
    monkeypatch.setattr("tuilab.data.streaming.LARGE", large)
    monkeypatch.setattr(survey, "BLOCK", 200)
    draw(tmp_path)
    shares: list[float] = []
    data = load(settings(tmp_path), 5, report=shares.append)
    assert isinstance(data.train.features, Stored) == (not large)
    assert data.info == describe(settings(tmp_path))
    assert (data.info.input_shape, data.info.task, data.info.classes) == ((6, 5, 3), "categorical", CLASSES)
    assert sorted(marks(data, "train") + marks(data, "validation") + marks(data, "test")) == EVERY
    assert data.train.features.dtype == "uint8"
    assert data.scaling is not None
    assert data.scaling.scale == np.float32(1 / 255)
    assert bool(shares) == bool(large), "the pixels are looked at only to keep them"


def test_both_ways_give_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw(tmp_path)
    weights = []
    for large in (0, 1 << 30):
        monkeypatch.setattr("tuilab.data.streaming.LARGE", large)
        document = {
            "data": {"dataset": {"type": "folder", "path": str(tmp_path), "size": 4}, "batch_size": 4},
            "layers": [{"type": "dense", "units": 3, "activation": "softmax"}],
            "training": {"loss": "categorical_crossentropy", "epochs": 2},
        }
        experiment = Experiment.model_validate(document)
        trainer = make_trainer(experiment, load(experiment.data, 1))
        assert trainer.plan.input_shape == (4 * 4 * 3,), "flat for a dense layer"
        assert list(trainer.run())[-1].status == "finished"  # type: ignore[union-attr]
        weights.append(trainer.network.arena.values.tobytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("names", [("train", "test"), ("train", "val"), ("train", "validation", "test"), ("train",)])
def test_parts_have_folders_of_their_own(tmp_path: Path, names: tuple[str, ...]) -> None:
    for count, name in enumerate(names):
        draw(tmp_path / name, 8 - count)
    data = load(settings(tmp_path, test_split=0, validation_split=0), 0)
    assert data.info.classes == CLASSES
    sizes = {"train": 24} | {{"val": "validation"}.get(name, name): 24 - 3 * count for count, name in enumerate(names)}
    found = {name: part for name in ("train", "validation", "test") if (part := getattr(data, name)) is not None}
    assert {name: len(part) for name, part in found.items()} == sizes
    for name in found:
        marks(data, name)


def test_pictures_are_brought_to_size_and_colour(tmp_path: Path) -> None:
    draw(tmp_path, size=(20, 31))
    (tmp_path / "ants" / "deeper").mkdir()
    Image.new("L", (9, 9), 90).save(tmp_path / "ants" / "deeper" / "grey.JPG", "JPEG")
    data = load(settings(tmp_path, size=3, grey=True, validation_split=0, test_split=0), 0)
    assert data.train.features.shape == (25, 3, 3, 1)
    assert (data.train.features[:9] == 90).all(axis=(1, 2, 3)).sum() == 1


def test_other_files_and_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    draw(tmp_path, 3, CLASSES[:2])
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "ants" / "notes.txt").write_text("")
    data = load(settings(tmp_path, validation_split=0, test_split=0), 0)
    assert (data.info.task, data.info.classes, len(data.train)) == ("binary", CLASSES[:2], 6)


def refusal(folder: Path, **changes: Any) -> str:
    with pytest.raises(DataError) as error:
        load(settings(folder, **changes), 0)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    assert "cannot be read as a folder (No such file" in refusal(tmp_path / "nowhere")
    assert "holds 0 folders; there must be one for each of 2 to 1000 classes" in refusal(tmp_path)
    (tmp_path / "ants").mkdir()
    assert "holds a single folder" in refusal(tmp_path)
    (tmp_path / "bees").mkdir()
    assert "holds no .png or .jpg files" in refusal(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "ants" / "1.png")
    assert "class 'bees' has no sample" in refusal(tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    assert "cannot be read as a folder (Not a directory)" in refusal(file)


def test_a_class_that_training_does_not_know_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "train")
    draw(tmp_path / "test", classes=("ants", "elks"))
    assert f"{tmp_path / 'test'}: class 'elks' is not among those for training" in refusal(tmp_path)


def test_a_damaged_picture_ends_a_training_with_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw(tmp_path)
    (tmp_path / "bees" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert "3.png" in refusal(tmp_path)
    monkeypatch.setattr("tuilab.data.streaming.LARGE", 0)
    document = {
        "data": {"dataset": {"type": "folder", "path": str(tmp_path)}, "batch_size": 2, "validation_split": 0},
        "layers": [{"type": "dense", "units": 3, "activation": "softmax"}],
        "training": {"loss": "categorical_crossentropy"},
    }
    document["data"]["test_split"] = 0  # type: ignore[index]
    experiment = make_experiment(document)
    trainer = make_trainer(experiment, load(experiment.data, 0))
    with pytest.raises(DataError, match=r"bees/3\.png: is no"):
        list(trainer.run())


def test_the_folder_stands_beside_the_experiment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw(tmp_path / "pictures")
    file = tmp_path / "own.toml"
    file.write_text(
        '[data]\ndataset = { type = "folder", path = "pictures" }\n'
        '[[layers]]\ntype = "dense"\nunits = 3\nactivation = "softmax"\n'
        '[training]\nloss = "categorical_crossentropy"\n'
    )
    monkeypatch.chdir(tmp_path.parent)
    dataset = load_experiment(file).data.dataset
    assert isinstance(dataset, Folder)
    assert dataset.path == str(tmp_path / "pictures")
    assert dataset.info().input_shape == (64, 64, 3)
    dataset = load_experiment(file, [f"data.dataset.path={tmp_path.name}/pictures"]).data.dataset
    assert isinstance(dataset, Folder)
    assert dataset.path == str(tmp_path / "pictures")


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": [3]}, {"grey": 1}, {"path": ""}, {"path": "a\0b"}])
def test_settings_that_cannot_be(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(tmp_path, **wrong)
