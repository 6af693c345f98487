"""What data sets look like, from the sets themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.idx_files import write_set
from tests.data.test_picture_folder import draw
from tuilab.blocks.datasets import Dataset, Mnist
from tuilab.experiment.document import DataSettings
from tuilab.experiment.draft import Draft
from tuilab.tui.data_list import data_of, list_sources, seed_of, sources, use
from tuilab.tui.preview import MOST_READ, Preview, look_at, sample_count


def preview_of(name: str, **settings: object) -> Preview:
    return look_at(DataSettings(dataset=Dataset.choose(name), **settings), seed=0)  # type: ignore[arg-type]  # pydantic checks


def texts(preview: Preview, part: str) -> list[list[str]]:
    return [[cell.text for cell in line.cells] for line in getattr(preview, part).lines]


def test_images_show_every_class_in_turn() -> None:
    digits = preview_of("digits")
    assert [label for _, label in digits.images[:11]] == [*"0123456789", "0"]
    assert digits.images[0][0].shape == (8, 8, 1)
    assert digits.pixel_range == (0, 16)
    assert digits.parts == {"train": 1294, "validation": 144, "test": 359}
    assert sum(digits.classes.values()) == 1797
    assert digits.rows is digits.statistics is digits.points is None


def test_points_stand_in_their_class() -> None:
    gates = preview_of("gate_xor")
    assert gates.points is not None
    assert {name: sorted(map(tuple, points.tolist())) for name, points in gates.points.groups.items()} == {
        "0": [(0, 0), (1, 1)],
        "1": [(0, 1), (1, 0)],
    }
    x, y, kinds = gates.points.by_class()
    assert [x.tolist(), y.tolist(), kinds.tolist()] == [[0, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1]]


def test_points_of_a_regression_stand_in_thirds() -> None:
    plane = preview_of("plane", test_split=0.0, validation_split=0.0)
    assert plane.points is not None
    low, middle, high = plane.points.groups.values()
    assert low.sum(axis=1).max() < middle.sum(axis=1).min() < middle.sum(axis=1).max() < high.sum(axis=1).min()
    assert len(low) + len(middle) + len(high) == 1200


def test_statistics_are_those_of_all_parts() -> None:
    assert texts(preview_of("iris"), "statistics") == [
        ["sepal length (cm)", "4.3", "5.843", "7.9", "35"],
        ["sepal width (cm)", "2", "3.057", "4.4", "23"],
        ["petal length (cm)", "1", "3.758", "6.9", "43"],
        ["petal width (cm)", "0.1", "1.199", "2.5", "22"],
    ]


def test_labels_that_do_not_exclude_each_other() -> None:
    days = preview_of("multilabel")
    assert days.classes["jacket"] == 374
    assert {"jacket, sunglasses", "umbrella, kite"} <= {row[0] for row in texts(days, "rows")}


def test_columns_of_texts_are_shown_as_texts(tmp_path: Path) -> None:
    lines = [f"{number},{'red' if number % 3 else 'blue'},{number * 2.5}" for number in range(30)]
    (tmp_path / "own.csv").write_text("\n".join(["size,colour,price", *lines]))
    settings = DataSettings(path=str(tmp_path / "own.csv"), target="price")
    own = look_at(settings, seed=0)
    assert texts(own, "statistics")[1] == ["colour", "", "mostly red", "", "2"]
    assert texts(own, "rows")[0] == ["2.5000", "1", "red"]
    assert own.targets is not None
    assert own.targets.max() == 72.5


def test_a_split_that_leaves_too_little_is_told_and_not_made() -> None:
    iris = preview_of("iris", test_split=0.99)
    assert "data.test_split = 0.99 leaves too few samples" in iris.problem
    assert iris.parts == {"train": 150}


def test_one_image_of_one_shade(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x_train=np.full((4, 2, 2), 7, dtype=np.uint8), y_train=np.array([0, 1, 0, 1]))
    own = look_at(DataSettings(path=str(tmp_path / "own.npz"), test_split=0.0, validation_split=0.0), seed=0)
    assert own.pixel_range == (7, 8)


def test_sample_counts(tmp_path: Path) -> None:
    assert sample_count(Dataset.choose("wine")) == 178
    assert sample_count(Mnist(), tmp_path) is None
    write_set(Mnist(), tmp_path / "mnist", train=40, test=20)
    assert sample_count(Mnist(), tmp_path) == 60
    (tmp_path / "mnist" / Mnist.files[0].name).write_bytes(b"junk")
    assert sample_count(Mnist(), tmp_path) is None


def test_sources_of_an_experiment(tmp_path: Path) -> None:
    found = sources(data_of(Draft.open("spiral")), tmp_path)
    assert [source.key for source in found] == Dataset.offered()
    assert [source.key for source in found if source.chosen] == ["spiral"]
    assert {source.key for source in found if not source.here} == {"mnist", "fashion_mnist", "cifar10"}


def test_ones_own_file_is_found_from_the_folder_of_the_experiment(tmp_path: Path) -> None:
    draft = Draft.from_text('[data]\npath = "sub/own.csv"\ntarget = "y"\nvalidation_split = 0.5\n', tmp_path / "e.toml")
    own, other, *_ = sources(data_of(draft), tmp_path)
    assert (own.key, own.title, own.here, own.settings.path) == (
        "file",
        "own.csv",
        False,
        str(tmp_path / "sub/own.csv"),
    )
    assert other.settings.validation_split == 0.5
    listing = list_sources([own, other], {"gate_and": 4}, {"gate_and": "40%"})
    assert [line.cells[1].text for line in listing.lines] == ["missing", "40%"]


def test_an_experiment_without_sound_data_has_no_source_of_its_own(tmp_path: Path) -> None:
    for text in ("", "data = 3", '[data]\ndataset = "nothing"'):
        assert data_of(Draft.from_text(text)) is None
    assert not any(source.chosen for source in sources(None, tmp_path))
    assert seed_of(Draft.from_text("seed = -1")) == 0
    assert seed_of(Draft.from_text("seed = 9")) == 9


def test_use_takes_the_place_of_a_file_in_one_edit() -> None:
    text = '[data]\n# mine\npath = "own.csv"\ntarget = "y"\nbatch_size = 8  # small\n'
    draft = Draft.from_text(text)
    use(draft, "iris")
    assert draft.document["data"] == {"dataset": "iris", "batch_size": 8}
    assert "# small" in draft.text
    draft.undo()
    assert draft.text == text


@pytest.mark.parametrize("large", [0, 1 << 30])
def test_pictures_in_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, large: int) -> None:
    """Only a few of them are read, one of every class first."""
    monkeypatch.setattr("tuilab.data.streaming.LARGE", large)
    draw(tmp_path, 30)
    (tmp_path / "cats" / "29.png").write_bytes(b"junk")
    seen = look_at(DataSettings(dataset={"type": "folder", "path": str(tmp_path), "size": 4}, validation_split=0), 0)
    assert seen.parts == {"train": 72, "test": 18}
    assert seen.classes == {"ants": 30, "bees": 30, "cats": 30}
    assert [name for _, name in seen.images[:4]] == ["ants", "bees", "cats", "ants"]
    assert seen.images[0][0].shape == (4, 4, 3)


def test_a_table_that_stays_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((3000, 2)).astype("float32")
    np.savez(tmp_path / "own.npz", x_train=x, y_train=np.arange(3000) % 2)
    settings = DataSettings(path=str(tmp_path / "own.npz"))
    whole = look_at(settings, 0)
    monkeypatch.setattr("tuilab.data.streaming.LARGE", 0)
    some = look_at(settings, 0)
    assert some.parts == whole.parts
    assert some.classes == whole.classes
    assert some.rows is not None
    assert whole.rows is not None
    assert [line.cells for line in some.rows.lines] == [line.cells for line in whole.rows.lines]
    assert some.statistics is not None
    distinct = [int(line.cells[-1].text.replace(",", "")) for line in some.statistics.lines]
    assert all(100 < count <= 3 * MOST_READ for count in distinct)


def test_a_folder_of_ones_own_is_listed(tmp_path: Path) -> None:
    text = '[data]\ndataset = { type = "folder", path = "pictures", size = 4 }\n'
    draft = Draft.from_text(text, tmp_path / "e.toml")
    found = {source.key: source for source in sources(data_of(draft), tmp_path)}
    assert (found["folder"].here, found["folder"].chosen) == (False, True)
    assert list_sources([found["folder"]], {}, {}).lines[0].cells[1].text == "missing"
    draw(tmp_path / "pictures", 2)
    found = {source.key: source for source in sources(data_of(draft), tmp_path)}
    assert found["folder"].here
    cells = [cell.text for cell in list_sources([found["folder"]], {"folder": 6}, {}).lines[0].cells]
    assert cells == ["folder", "6", "categorical", "3", "4 × 4 × 3"]
