"""CIFAR-10 from both archives; damaged and hostile ones are refused in one sentence."""

from __future__ import annotations

import gzip
import os
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.cifar_files import (
    BATCHES,
    COUNT,
    batches,
    binary_members,
    pickled,
    pickled_by_python_3,
    python_members,
    tar,
    write_archive,
)
from tuilab.blocks.datasets import Cifar10
from tuilab.data.cifar import read_archive, read_cifar
from tuilab.data.download import fetch
from tuilab.data.pickled import read_pickle
from tuilab.errors import DataError

ONE = {"data_batch_1": pickled(*batches()["data_batch_1"])}


@pytest.mark.parametrize("folder", ["cifar10", "cifar-10"])
@pytest.mark.parametrize("kind", ["binary", "python"])
def test_images_and_labels_are_those_that_were_written(tmp_path: Path, kind: str, folder: str) -> None:
    write_archive(tmp_path / folder, kind)
    images, labels, test_images, test_labels = read_cifar(Cifar10(), tmp_path)
    assert images.shape == (5 * COUNT, 32, 32, 3)
    assert test_images.shape == (COUNT, 32, 32, 3)
    assert images.dtype == test_images.dtype == np.uint8
    assert labels.dtype == test_labels.dtype == np.int64
    assert [*labels, *test_labels] == [number % 10 for number in range(6 * COUNT)]
    written = batches()
    rows = np.concatenate([written[name][0] for name in BATCHES])
    for ours, row in zip([*images, *test_images], rows, strict=True):
        for colour in range(3):
            assert np.array_equal(ours[..., colour].reshape(-1), row[colour * 1024 : (colour + 1) * 1024])


def test_without_an_archive_it_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz missing; run 'tuilab datasets fetch cifar10'"):
        read_cifar(Cifar10(), tmp_path)


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_what_is_here_is_not_downloaded(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / "cifar10", kind)
    assert fetch(Cifar10(), tmp_path, mirrors=["https://127.0.0.1:1/"]) == tmp_path / "cifar10"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="could not be downloaded"):
        fetch(Cifar10(), tmp_path, mirrors=["https://127.0.0.1:1/"])


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_batches_written_anew_by_python_3(tmp_path: Path, protocol: int) -> None:
    members = {name: pickled_by_python_3(*part, protocol) for name, part in batches().items()}
    again = read_archive(write_archive(tmp_path, "python", members))
    for ours, theirs in zip(again, read_archive(write_archive(tmp_path / "published", "python")), strict=True):
        assert np.array_equal(ours, theirs)


def batch(**entries: Any) -> bytes:
    images, labels = batches()["data_batch_1"]
    return pickle.dumps({"data": images, "labels": labels.tolist(), **entries}, 2)


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch hostile",)


DAMAGED: dict[str, tuple[dict[str, bytes], str]] = {
    "a file missing": ({**binary_members(), "data_batch_3.bin": b""}, "data_batch_3.bin has 0 bytes"),
    "half an image": ({**binary_members(), "test_batch.bin": b"0" * 3074}, "3074 bytes, no multiple of 3073"),
    "another class": ({**binary_members(), "test_batch.bin": b"\x0b" * 3073}, "has the class 11 at image 0"),
    "only one": (ONE, "holds no data_batch_2, data_batch_3, data_batch_4, data_batch_5, test_batch"),
    "cut pickle": ({**ONE, "test_batch": ONE["data_batch_1"][:-9]}, "test_batch is damaged"),
    "code": ({**ONE, "test_batch": pickle.dumps(Hostile())}, "which has no place in it"),
    "code in an entry": ({**ONE, "test_batch": batch(more=Hostile())}, "which has no place in it"),
    "a bare number": ({**ONE, "test_batch": pickle.dumps(7, 2)}, "holds no `data`"),
    "no array": ({**ONE, "test_batch": batch(data=[1, 2])}, "holds no `data`"),
    "another type": ({**ONE, "test_batch": batch(data=np.zeros((4, 3072)))}, "something else than unsigned bytes"),
    "another shape": ({**ONE, "test_batch": batch(data=np.zeros((4, 99), np.uint8))}, "holds no `data`"),
    "objects": ({**ONE, "test_batch": batch(data=np.array([None]))}, "something else than unsigned bytes"),
    "by columns": ({**ONE, "test_batch": batch(data=np.zeros((4, 3072), np.uint8, order="F"))}, "in an order that"),
    "few labels": ({**ONE, "test_batch": batch(labels=[1])}, "with a class for each of its 4 images"),
    "labels of text": ({**ONE, "test_batch": batch(labels=["1"] * 4)}, "with a class for each of its 4 images"),
    "a huge label": ({**ONE, "test_batch": batch(labels=[2**70] * 4)}, "with a class for each of its 4 images"),
    "class 10": ({**ONE, "test_batch": batch(labels=[1, 10, 2, 3])}, "has the class 10 at image 1"),
    "escape codes": ({"\x1b[31mtest_batch": b"", "test_batch": b"\x80"}, "test_batch"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_batches_are_refused_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    members, message = DAMAGED[name]
    with pytest.raises(DataError) as error:
        read_archive(write_archive(tmp_path / "cifar10", "python", members))
    assert message in str(error.value)
    assert "tuilab datasets fetch" in str(error.value)
    assert "\x1b" not in str(error.value)
    assert not (tmp_path / "hostile").exists()


def member(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    header = name.ljust(100, b"\0") + b"0000644\0" * 3 + b"%011o\0" % size + b"0" * 11 + b"\0"
    whole = header + b" " * 8 + kind + b"\0" * 355
    return header + b"%06o\0 " % sum(whole) + kind + b"\0" * 355


TARS: dict[str, tuple[bytes, str]] = {
    "no tar file": (b"x" * 2000, "is no tar file"),
    "text": (b"hello", "is cut short"),
    "empty": (b"", "holds no data_batch_1"),
    "cut": (tar(ONE)[:5000], "is cut short"),
    "a bomb": (member(b"data_batch_1", 7 << 30), "holds a file of 7168 MiB"),
    "a bomb of a header": (member(b"x", 1 << 30, b"x"), "holds a file of 1024 MiB"),
    "many files": (member(b"a", 0) * 200, "holds more than 100 files"),
    "a link": (member(b"data_batch_1", 0, b"2") + bytes(1024), "holds no data_batch_1"),
    "twice": (
        member(b"a/test_batch.bin", 3073) + bytes(3584) + member(b"b/test_batch.bin", 0),
        "holds test_batch twice",
    ),
    "a negative size": (b"\xff" + member(b"a", 0)[1:], "is no tar file"),
}


@pytest.mark.parametrize("name", TARS)
def test_other_tar_files_are_refused(tmp_path: Path, name: str) -> None:
    content, message = TARS[name]
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError) as error:
        read_archive(path)
    assert message in str(error.value)


def test_damaged_gzip_files_are_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path)
    whole = path.read_bytes()
    wrong_sum = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
    for content, message in (
        (b"no gzip", "no intact gzip"),
        (whole[:-200], "cut short"),
        (wrong_sum, "no intact gzip"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_archive(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_archive(tmp_path / "nothing")


def test_a_pickle_with_any_byte_changed_is_read_or_refused() -> None:
    content = pickled(*(part[:1] for part in batches()["data_batch_1"]))
    assert read_pickle(content)["labels"] == [0]
    draw = random.Random(0)
    head = [place for place in range(len(content)) if place < 250 or place > len(content) - 60]
    for _ in range(3000):
        changed = bytearray(content)
        changed[draw.choice(head)] = draw.randrange(256)
        try:
            read_pickle(bytes(changed))
        except ValueError:
            continue
    for memory_hog in (b"\x80\x02r\xff\xff\xff\x7f.", b"T" + struct.pack("<I", 2**31 - 1) + b"a.", b"}" * 10 + b"u."):
        with pytest.raises(ValueError, match=r"damaged|no place"):
            read_pickle(memory_hog)


def test_the_published_members_are_never_called(tmp_path: Path) -> None:
    assert b"cos\nsystem" in python_members()["batches.meta"]
    assert len(read_archive(write_archive(tmp_path, "python"))[0]) == 5 * COUNT
