"""New samples for a trained network: encoded as in training."""

import json
from pathlib import Path

import numpy as np
import pytest

from tuilab.blocks.datasets import DataInfo, Dataset
from tuilab.data.features import read_features
from tuilab.data.table import read_table
from tuilab.errors import DataError

DIGITS = Dataset.choose("digits").info()
IRIS = Dataset.choose("iris").info()


@pytest.fixture
def houses(tmp_path: Path) -> tuple[DataInfo, Path]:
    path = tmp_path / "houses.csv"
    path.write_text("area,district,price\n50,north,1.5\n80,south,2.5\n65,east,3.5\n", encoding="utf-8")
    info, _, _ = read_table(path, "price")
    return DataInfo.from_dict(json.loads(json.dumps(info.to_dict()))), path


def test_the_training_file_itself_gives_its_features(houses: tuple[DataInfo, Path]) -> None:
    info, path = houses
    assert np.array_equal(read_features(path, info), read_table(path, "price")[1])


def test_columns_are_found_by_name_and_texts_keep_their_place(houses: tuple[DataInfo, Path]) -> None:
    info, path = houses
    path.write_text("id;district;area\nA7;south;12.5\nB8;south;13\n", encoding="utf-8")
    assert read_features(path, info).tolist() == [[12.5, 0, 0, 1], [13, 0, 0, 1]]


def test_what_does_not_fit_is_named(houses: tuple[DataInfo, Path]) -> None:
    info, path = houses

    def refusal(text: str) -> str:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError) as error:
            read_features(path, info)
        return str(error.value).removeprefix(str(path))

    assert refusal("aera,district\n1,north\n") == ": there is no column 'area', did you mean 'aera'?"
    assert refusal("size,district\n1,north\n") == ": there is no column 'area'; it has size, district"
    assert refusal("area,district\n1,north\n2,west\n") == (
        ", line 3, column 'district': 'west' was not in training; known are east, north, south"
    )
    assert refusal("area,district\n1,\n") == (
        ", line 2, column 'district': the value is missing; fill it in or remove the row"
    )
    assert refusal("district,area\nnorth,big\n") == ", line 2, column 'area': 'big' is not a number; correct it"
    assert "is no number to learn from" in refusal("district,area\nnorth,inf\n")
    assert refusal("area,district\n") == ": holds no rows below its header; add samples"


def test_a_table_for_a_set_by_name(tmp_path: Path) -> None:
    path = tmp_path / "flowers.csv"
    path.write_text(",".join(IRIS.features[::-1]) + "\n0.2,1.4,3.5,5.1\n", encoding="utf-8")
    assert read_features(path, IRIS).tolist() == np.float32([[5.1, 3.5, 1.4, 0.2]]).tolist()


@pytest.mark.parametrize("shape", [(5, 8, 8, 1), (5, 8, 8), (5, 64), (1, 64), (8, 8), (8, 8, 1), (64,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_arrays_of_any_fitting_shape(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    images = np.random.default_rng(0).integers(0, 17, shape).astype(dtype)
    np.save(tmp_path / "new.npy", images)
    features = read_features(tmp_path / "new.npy", DIGITS)
    assert features.shape == (5 if shape[0] == 5 else 1, 8, 8, 1)
    assert features.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    assert np.array_equal(features.reshape(-1), images.reshape(-1))


@pytest.mark.parametrize("names", [("x",), ("x", "y"), ("x_test", "y_test"), ("anything",)])
def test_the_array_of_an_archive_is_found(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays = dict(zip(names, (np.ones((3, 4)), np.zeros(3)), strict=False))
    np.savez(tmp_path / "new.npz", **arrays)
    assert read_features(tmp_path / "new.npz", IRIS).tolist() == [[1, 1, 1, 1]] * 3


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "new.npy"
    np.save(path, np.ones((5, 63)))
    with pytest.raises(DataError, match=r"holds an array of \(5, 63\); this network takes \(n, 8, 8, 1\)"):
        read_features(path, DIGITS)
    np.save(path, np.ones((0, 4)))
    with pytest.raises(DataError, match="at least one sample"):
        read_features(path, IRIS)
    np.save(path, np.full((2, 4), np.inf))
    with pytest.raises(DataError, match="sample 0, position 0: inf is no number"):
        read_features(path, IRIS)
    np.save(path, np.array(7.0))
    with pytest.raises(DataError, match=r"takes \(n, 4\)"):
        read_features(path, IRIS)
    np.savez(tmp_path / "new.npz", a=np.ones(1), b=np.ones(1))
    with pytest.raises(DataError, match="holds no array named x; it has a, b"):
        read_features(tmp_path / "new.npz", IRIS)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"this network takes images: "):
        read_features(tmp_path / "new.csv", DIGITS)
    with pytest.raises(DataError, match=r"must be a \.csv, \.npy or \.npz file"):
        read_features(tmp_path / "new.png", DIGITS)
    with pytest.raises(DataError, match="there is no such file"):
        read_features(tmp_path / "none.npy", DIGITS)
    (tmp_path / "new.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', }" + b" " * 100)
    with pytest.raises(DataError, match="is no intact array"):
        read_features(tmp_path / "new.npy", DIGITS)
