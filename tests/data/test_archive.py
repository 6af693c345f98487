"""The user's own .npz files: what the arrays are taken for, and what is refused, with array and place."""

import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuilab.blocks.datasets import DataInfo
from tuilab.data import archive
from tuilab.data.archive import describe_archive, read_archive
from tuilab.errors import DataError

X = np.arange(8, dtype=np.float64).reshape(4, 2)
Y = np.array([0, 1, 1, 0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.npz"


def arrays(file: Path, **parts: np.ndarray) -> tuple[DataInfo, list]:
    np.savez_compressed(file, **parts)
    info, found = read_archive(file)
    samples = list(found.values())
    assert info == describe_archive(file)
    for x, y in samples:
        assert x.shape == (len(y), *info.input_shape)
        assert y.dtype == (np.int64 if info.task in ("binary", "categorical") else np.float32)
    return info, samples


def refusal(file: Path, **parts: np.ndarray) -> str:
    np.savez(file, **parts)
    with pytest.raises(DataError) as error:
        read_archive(file)
    message = str(error.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    return message.removeprefix(str(file))


@pytest.mark.parametrize(
    ("y", "task", "names", "targets"),
    [
        ([0, 1, 1, 0], "binary", ("0", "1"), [0, 1, 1, 0]),
        ([[2], [0], [1], [0]], "categorical", ("0", "1", "2"), [2, 0, 1, 0]),
        ([True, False, True, True], "binary", ("0", "1"), [1, 0, 1, 1]),
        (["cat", "dog", "ant", "cat"], "categorical", ("ant", "cat", "dog"), [1, 2, 0, 1]),
        (["10", "9", "1", "9"], "categorical", ("1", "10", "9"), [1, 2, 0, 2]),
        ([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], "binary", ("0", "1"), [1, 0, 1, 1]),
        ([[0, 1], [1, 1], [0, 0], [0, 1]], "multi_label", ("0", "1"), [[0, 1], [1, 1], [0, 0], [0, 1]]),
        ([0.5, 1.0, 2.0, 3.0], "regression", (), [[0.5], [1], [2], [3]]),
        ([[0, 1], [1, 7], [0, 0], [0, 1]], "regression", (), [[0, 1], [1, 7], [0, 0], [0, 1]]),
    ],
)
def test_what_targets_are_taken_for(file: Path, y: list, task: str, names: tuple, targets: list) -> None:
    info, [(_, found)] = arrays(file, x_train=X, y_train=np.array(y))
    assert (info.task, info.classes, found.tolist()) == (task, names, targets)
    assert info.targets == (found.shape[1] if task == "regression" else 1)


@pytest.mark.parametrize(
    ("shape", "dtype", "input_shape", "kept"),
    [
        ((4, 3), np.float64, (3,), np.float32),
        ((4, 3), np.int32, (3,), np.float32),
        ((4, 3), np.uint8, (3,), np.uint8),
        ((4, 5, 6), np.uint8, (5, 6, 1), np.uint8),
        ((4, 5, 6, 3), np.uint8, (5, 6, 3), np.uint8),
        ((4, 5, 6, 3), np.float16, (5, 6, 3), np.float32),
    ],
)
def test_what_samples_are_taken_for(file: Path, shape: tuple, dtype: type, input_shape: tuple, kept: type) -> None:
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    info, [(features, _)] = arrays(file, x_train=x, y_train=Y)
    assert info.input_shape == input_shape
    assert features.dtype == kept
    assert np.array_equal(features.reshape(shape), x)
    assert info.features == (("x1", "x2", "x3") if len(input_shape) == 1 else ())


@pytest.mark.parametrize(("largest", "white"), [(1, 1), (2, 255), (200, 255)])
def test_how_bright_a_white_pixel_is(file: Path, largest: int, white: int) -> None:
    x = np.linspace(0, largest, 4 * 25).reshape(4, 5, 5)
    assert arrays(file, x_train=x, y_train=Y)[0].pixel_maximum == white


def test_a_test_part_of_its_own(file: Path) -> None:
    info, [(x, y), (x_test, y_test)] = arrays(
        file, x_train=X, y_train=np.array(["b", "a", "c", "b"]), x_test=X[:2], y_test=np.array(["c", "a"]), notes=X
    )
    assert info.classes == ("a", "b", "c")
    assert (x.tolist(), y.tolist()) == (X.tolist(), [1, 0, 2, 1])
    assert (x_test.tolist(), y_test.tolist()) == (X[:2].tolist(), [2, 0])


def test_more_than_ten_numbered_classes_stay_in_order(file: Path) -> None:
    y = np.arange(12)[::-1]
    info, [(_, found)] = arrays(file, x_train=np.ones((12, 1)), y_train=y)
    assert info.classes[-2:] == ("10", "11")
    assert np.array_equal(found, y)


def test_fortran_order_and_foreign_byte_order(file: Path) -> None:
    _, [(x, _)] = arrays(file, x_train=np.asfortranarray(X.astype(">f8")), y_train=Y)
    assert np.array_equal(x, X)


def test_what_is_missing_is_named(file: Path) -> None:
    assert refusal(file, x_train=X) == ": holds no array named y_train; it has x_train"
    assert refusal(file, inputs=X, y_train=Y) == ": holds no array named x_train; it has inputs, y_train"
    assert refusal(file, x_train=X, y_train=Y, x_test=X).startswith(": holds no array named y_test; it has")
    assert refusal(file) == ": holds no array named x_train; it has no array"


def test_shapes_must_agree(file: Path) -> None:
    assert "y_train: has the shape (3,) for 4 samples" in refusal(file, x_train=X, y_train=Y[:3])
    assert "x_train: has the shape (4,); it must be (n, features)" in refusal(file, x_train=X[:, 0], y_train=Y)
    assert "x_train: has the shape (0, 2)" in refusal(file, x_train=X[:0], y_train=Y)
    assert "x_train: has the shape (4, 1, 1, 1, 2)" in refusal(file, x_train=X.reshape(4, 1, 1, 1, 2), y_train=Y)
    assert "y_train: has the shape (4, 1, 1)" in refusal(file, x_train=X, y_train=Y.reshape(4, 1, 1))
    assert "y_train: has the shape ()" in refusal(file, x_train=X, y_train=np.array(1))
    assert "x_test: samples are (3,), those of x_train (2,)" in refusal(
        file, x_train=X, y_train=Y, x_test=np.ones((4, 3)), y_test=Y
    )


def test_what_cannot_be_learned_from_is_named(file: Path) -> None:
    wrong = X.copy()
    wrong[2, 1] = np.nan
    assert refusal(file, x_train=wrong, y_train=Y) == (
        ", x_train, sample 2, position 1: nan is no number to learn from; correct it or remove the sample"
    )
    wrong[2, 1] = 1e300
    assert "x_test, sample 2, position 1: 1e+300" in refusal(file, x_train=X, y_train=Y, x_test=wrong, y_test=Y)
    assert "y_train, sample 3, position 0: inf" in refusal(file, x_train=X, y_train=np.array([0.5, 1, 2, np.inf]))
    assert "x_train: holds <U1, not numbers" in refusal(file, x_train=np.full((4, 2), "a"), y_train=Y)
    assert "x_train: holds complex128, not numbers" in refusal(file, x_train=X + 1j, y_train=Y)


def test_classes_are_numbered_from_zero_and_known_from_training(file: Path) -> None:
    assert "y_train: holds whole numbers from -1 to 1; number classes 0, 1, 2" in refusal(
        file, x_train=X, y_train=np.array([-1, 1, 1, -1])
    )
    assert "y_train: holds whole numbers from 3 to 250000" in refusal(
        file, x_train=X, y_train=np.array([250_000, 3, 9, 4])
    )
    assert "y_train: holds 1 classes; a classification needs 2" in refusal(file, x_train=X, y_train=Y * 0)
    assert "y_test, sample 1: class '2' is not in y_train" in refusal(
        file, x_train=X, y_train=Y, x_test=X, y_test=np.array([0, 2, 1, 0])
    )
    assert "y_test, sample 0: class 'd' is not in y_train" in refusal(
        file, x_train=X, y_train=np.array(list("abcb")), x_test=X, y_test=np.array(list("dabc"))
    )


@pytest.mark.parametrize(
    ("y", "y_test"),
    [
        (np.array(list("abcb")), np.array([0, 1, 2, 1])),
        (Y, Y + 0.5),
        (np.array([[0, 1], [1, 1]] * 2), np.array([[0, 2], [1, 1]] * 2)),
        (np.array([[0, 1], [1, 1]] * 2), Y),
        (X + 0.5, np.array([["a", "b"]] * 4)),
    ],
)
def test_test_targets_must_have_the_form_of_training_targets(file: Path, y: np.ndarray, y_test: np.ndarray) -> None:
    message = refusal(file, x_train=X, y_train=y, x_test=X, y_test=y_test)
    assert "y_test" in message
    assert "form of y_train" in message or "not in y_train" in message


def test_pickles_are_never_loaded(file: Path) -> None:
    assert "is no intact array of numbers or texts (Object arrays cannot be loaded" in refusal(
        file, x_train=X, y_train=np.array([None, 1, 2, 3], dtype=object)
    )


def test_what_is_no_archive_is_refused(file: Path, tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 and so on", bytes(5000)):
        file.write_bytes(content)
        with pytest.raises(DataError, match="is no intact array of numbers or texts"):
            read_archive(file)
    with pytest.raises(DataError, match="there is no such file"):
        read_archive(tmp_path / "nothing.npz")
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("x_train", b"not an array")
    with pytest.raises(DataError, match="holds no array named x_train; it has no array"):
        read_archive(file)


def test_a_bomb_is_refused_before_it_is_unpacked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 20)
    np.savez_compressed(file, x_train=np.zeros((1000, 200)), y_train=np.arange(1000) % 2)
    with pytest.raises(DataError, match="x_train: unpacks to more than"):
        read_archive(file)


def test_a_header_that_declares_more_than_there_is_is_refused(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as packed, packed.open("x_train.npy", "w") as member:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 50, 4)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(64))
    with pytest.raises(DataError, match="x_train: is no intact array"):
        read_archive(file)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_gets_through_as_anything_else_than_data_error(file: Path, data: st.DataObject) -> None:
    np.savez(file, x_train=X, y_train=Y)
    whole = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(whole)
    for read in (read_archive, describe_archive):
        with suppress(DataError):
            read(file)


def test_parts_by_name(file: Path) -> None:
    parts = {"train": 4, "val": 2, "test": 3}
    arrays = {f"x_{part}": np.zeros((size, 5), "float32") for part, size in parts.items()}
    np.savez(file, **arrays, **{f"y_{part}": np.arange(size) % 2 for part, size in parts.items()})
    assert {part: len(x) for part, (x, _) in read_archive(file)[1].items()} == parts
    arrays["y_train"] = np.arange(4) % 2
    np.savez(file, **arrays)
    with pytest.raises(DataError, match="y_val"):
        read_archive(file)
