"""The facts that datasets state about themselves, before anything is read."""

import json
import re

import pytest
from pydantic import ValidationError

from tuilab.blocks.datasets import Blobs, Circle, Column, DataInfo, Dataset, FashionMnist, Mnist, Spiral, Xor

EVERY = sorted(Dataset.offered())


def test_the_sets_of_the_issue_are_there() -> None:
    assert set(EVERY) == {
        *("gate_and", "gate_or", "gate_nand", "gate_xor"),
        *("circle", "xor", "gauss", "spiral", "plane", "gauss_regression", "moons", "blobs"),
        *("iris", "wine", "breast_cancer", "digits", "diabetes"),
        *("pass_fail", "multilabel", "mnist", "fashion_mnist", "cifar10"),
    }


@pytest.mark.parametrize("name", EVERY)
def test_facts_agree_with_each_other(name: str) -> None:
    dataset = Dataset.choose(name)
    info = dataset.info()
    assert len(dataset.documentation().splitlines()[0]) > 30
    assert dataset.table()["type"] == name
    assert (info.task == "binary") == (len(info.classes) == 2)
    assert (info.task == "regression") == (not info.classes)
    assert len(set(info.classes)) == len(info.classes)
    if len(info.input_shape) == 1:
        assert len(set(info.features)) == info.input_shape[0]
    else:
        assert info.features == ()
        assert dataset.default_normalization == "rescale"


@pytest.mark.parametrize("name", EVERY)
def test_info_survives_json(name: str) -> None:
    info = Dataset.choose(name).info()
    assert DataInfo.from_dict(json.loads(json.dumps(info.to_dict()))) == info


def test_info_of_a_table_survives_json() -> None:
    columns = (Column("age"), Column("colour", ("blue", "red")))
    info = DataInfo((3,), "regression", (), ("age", "colour=blue", "colour=red"), 2, columns)
    assert DataInfo.from_dict(json.loads(json.dumps(info.to_dict()))) == info


@pytest.mark.parametrize(
    "values", [{}, {"input_shape": [2], "task": "guessing"}, {"input_shape": "2", "task": "binary"}]
)
def test_foreign_info_is_refused(values: dict) -> None:
    with pytest.raises(ValidationError):
        DataInfo.from_dict(values)


def test_settings_are_chosen_and_bounded() -> None:
    assert Dataset.choose({"type": "spiral", "noise": 0.1}) == Spiral(samples=500, noise=0.1, seed=0)
    assert Dataset.choose("xor") == Xor()
    for settings in ({"noise": 0.6}, {"noise": -0.1}, {"samples": 1}, {"seed": -1}, {"turns": 3}):
        with pytest.raises(ValidationError):
            Circle(**settings)


def test_blobs_name_a_class_for_each_centre() -> None:
    assert Blobs(centers=2).info().task == "binary"
    assert Blobs(centers=4).info().classes == ("blob 1", "blob 2", "blob 3", "blob 4")


def test_other_names_lead_to_sets_that_exist() -> None:
    assert set(Dataset.other_names.values()) <= set(Dataset.registry)
    assert not set(Dataset.other_names) & set(Dataset.registry)
    with pytest.raises(ValueError, match="unknown dataset 'and': write gate_and"):
        Dataset.choose("and")


@pytest.mark.parametrize("dataset", [Mnist(), FashionMnist()])
def test_published_files_are_named_sized_and_signed(dataset: Mnist | FashionMnist) -> None:
    names = [file.name for file in dataset.files]
    assert names == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    for file in dataset.files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert 4_000 < file.size < 30_000_000
        assert file.item_shape == ((28, 28) if "images" in file.name else ())
    assert len({file.sha256 for file in (*Mnist().files, *FashionMnist().files)}) == 8
    assert len(dataset.mirrors) >= 2
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in dataset.mirrors)
