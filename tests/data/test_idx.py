"""idx files: read to the byte, and refused with name and remedy where anything is wrong."""

import gzip
import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.idx_files import idx, packed, write_set
from tuilab.blocks.datasets import FashionMnist, Mnist
from tuilab.data.idx import read_idx, read_images
from tuilab.errors import DataError

IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).reshape(3, 28, 28).astype(np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "images.gz"


def refusal(file: Path, content: bytes, item_shape: tuple[int, ...] = (28, 28)) -> str:
    file.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_idx(file, item_shape)
    message = str(error.value)
    assert message.startswith(f"{file}: ")
    assert "tuilab datasets fetch" in message
    assert "\n" not in message
    return message


def test_images_and_labels_are_read(file: Path) -> None:
    file.write_bytes(packed(IMAGES))
    assert np.array_equal(read_idx(file, (28, 28)), IMAGES)
    file.write_bytes(packed(np.array([5, 0, 9])))
    labels = read_idx(file, ())
    assert labels.tolist() == [5, 0, 9]
    assert labels.dtype == np.uint8


def test_what_is_read_is_larger_than_one_chunk(file: Path) -> None:
    items = np.random.default_rng(0).integers(0, 256, (3000, 28, 28), dtype=np.uint8)
    file.write_bytes(packed(items))
    assert np.array_equal(read_idx(file, (28, 28)), items)


def test_broken_gzip_is_refused(file: Path) -> None:
    whole = packed(IMAGES)
    assert "is no intact gzip file" in refusal(file, idx(IMAGES))
    assert "is no intact gzip file" in refusal(file, whole[:10] + b"\xff" * 200)
    assert "is no intact gzip file" in refusal(file, whole[:-8] + b"\0\0\0\0" + whole[-4:])  # checksum
    assert "is no intact gzip file" in refusal(file, whole + b"junk after the end")
    assert "is cut short" in refusal(file, whole[: len(whole) // 2])
    assert "is cut short" in refusal(file, whole[:-4])
    assert "is cut short" in refusal(file, b"")


def test_foreign_content_is_refused(file: Path) -> None:
    assert "starts with 0x00000801, an idx file of this kind with 0x00000803" in refusal(file, packed(np.zeros(2000)))
    assert "starts with 0x89504e47" in refusal(file, gzip.compress(b"\x89PNG and some more bytes"))
    assert "declares items of 32 × 32, this set has 28 × 28" in refusal(file, packed(np.zeros((2, 32, 32))))
    assert "is cut short" in refusal(file, gzip.compress(b"\0\0\x08\x03"))


def test_items_must_be_those_declared(file: Path) -> None:
    assert "is cut short" in refusal(file, gzip.compress(idx(IMAGES)[:-1]))
    assert "goes on after the 3 items that it declares" in refusal(file, gzip.compress(idx(IMAGES) + b"\0"))
    assert "declares 0 items" in refusal(file, packed(np.zeros((0, 28, 28))))


def test_a_bomb_is_refused_without_being_unpacked(file: Path) -> None:
    bomb = struct.pack(">IIII", 0x803, 0xFFFFFFFF, 28, 28) + bytes(1 << 20)
    assert "declares 4294967295 items; between 1 and 1000000 are plausible" in refusal(file, gzip.compress(bomb))
    endless = gzip.compress(idx(IMAGES) + bytes(1 << 27))  # 128 MiB of zeros in 128 KiB
    assert "goes on after" in refusal(file, endless)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path, (28, 28))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_gets_through_as_anything_else_than_data_error(file: Path, data: st.DataObject) -> None:
    whole = packed(IMAGES)
    place = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.binary(max_size=8))
    file.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    with suppress(DataError):
        assert read_idx(file, (28, 28)).shape == (3, 28, 28)


@pytest.mark.parametrize("folder", ["fashion-mnist", "fashion_mnist"])
def test_a_set_is_read_from_its_folder(tmp_path: Path, folder: str) -> None:
    written = write_set(FashionMnist(), tmp_path / folder)
    images, labels, test_images, test_labels = read_images(FashionMnist(), tmp_path)
    assert np.array_equal(images[..., 0], written["train-images-idx3-ubyte.gz"])
    assert np.array_equal(labels, written["train-labels-idx1-ubyte.gz"])
    assert np.array_equal(test_images[..., 0], written["t10k-images-idx3-ubyte.gz"])
    assert np.array_equal(test_labels, written["t10k-labels-idx1-ubyte.gz"])
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64


def test_missing_files_are_named_with_the_command_that_gets_them(tmp_path: Path) -> None:
    write_set(Mnist(), tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as error:
        read_images(Mnist(), tmp_path)
    message = str(error.value)
    assert message.startswith(f"mnist is not in {tmp_path / 'mnist'}: t10k-labels-idx1-ubyte.gz missing; ")
    assert "'tuilab datasets fetch mnist'" in message
    assert "--data-dir or TUILAB_DATA" in message


def test_files_of_different_sets_are_refused(tmp_path: Path) -> None:
    write_set(Mnist(), tmp_path / "mnist")
    labels = tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(packed(np.zeros(39)))
    with pytest.raises(DataError, match="holds 39 labels for 40 images"):
        read_images(Mnist(), tmp_path)
    labels.write_bytes(packed(np.array([0] * 7 + [10] + [0] * 32)))
    with pytest.raises(DataError, match="label 10 at position 7; mnist has the classes 0 to 9"):
        read_images(Mnist(), tmp_path)


def test_the_real_mnist_is_read() -> None:
    folder = os.environ.get("TUILAB_DATA")
    if not folder or not (Path(folder) / "mnist").is_dir():
        pytest.skip("TUILAB_DATA names no folder that holds mnist/")
    images, labels, test_images, test_labels = read_images(Mnist(), None)
    assert images.shape == (60_000, 28, 28, 1)
    assert test_images.shape == (10_000, 28, 28, 1)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)  # the values everybody normalises with
    assert images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
