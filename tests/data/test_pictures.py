"""Pictures of every kind become what a network takes; damaged and hostile ones are refused in one sentence."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tuilab.blocks.datasets import DataInfo
from tuilab.data.pictures import read_picture
from tuilab.errors import DataError

COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [51, 102, 204]]], "uint8")
GREYS = np.array([[76, 150], [29, 98]], "uint8")
"""By 0.299 · red + 0.587 · green + 0.114 · blue."""


def info(*shape: int) -> DataInfo:
    return DataInfo(shape, "categorical", ("a", "b"))


def save(path: Path, pixels: Any, mode: str | None = None, **settings: Any) -> Path:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **settings)
    return path


def read(path: Path, *shape: int, maximum: int = 255) -> tuple[Any, list[str]]:
    pixels, changes = read_picture(path, info(*shape), maximum)
    assert pixels.dtype == np.uint8
    assert pixels.shape == shape
    return pixels, changes


def test_a_picture_of_the_right_kind_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels, changes = read(save(tmp_path / "a.png", COLOURS), 2, 2, 3)
    assert np.array_equal(pixels, COLOURS)
    assert changes == []
    pixels, changes = read(save(tmp_path / "b.PNG", GREYS), 2, 2, 1)
    assert np.array_equal(pixels[..., 0], GREYS)
    assert changes == []


def test_colours_and_greys(tmp_path: Path) -> None:
    pixels, changes = read(save(tmp_path / "a.png", COLOURS), 2, 2, 1)
    assert np.array_equal(pixels[..., 0], GREYS)
    assert changes == ["its colours become greys"]
    pixels, changes = read(save(tmp_path / "b.png", GREYS), 2, 2, 3)
    assert np.array_equal(pixels, GREYS[..., None].repeat(3, axis=2))
    assert changes == []


def test_another_size(tmp_path: Path) -> None:
    pixels, changes = read(save(tmp_path / "a.png", np.full((40, 30, 3), 9, "uint8")), 8, 6, 3)
    assert (pixels == 9).all()
    assert changes == ["resized from 30 × 40 to 6 × 8 pixels"]


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "LA", "RGBA", "PA"])
def test_other_forms_of_pictures(tmp_path: Path, mode: str) -> None:
    plain = np.where(np.arange(64).reshape(8, 8) % 8 < 4, 0, 255).astype("uint8")[..., None].repeat(3, axis=2)
    ending = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    picture = Image.fromarray(plain).convert(mode if mode != "PA" else "P")
    path = save(tmp_path / f"a.{ending}", picture, **({"quality": 100} if ending == "jpg" else {}))
    for channels in (1, 3):
        pixels, _ = read(path, 8, 8, channels)
        np.testing.assert_allclose(pixels, plain[..., :channels], atol=3)


def test_sixteen_bits(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896], [65535, 128, 129]], "uint16")
    pixels, _ = read(save(tmp_path / "a.png", values), 2, 3, 1)
    assert pixels[..., 0].tolist() == [[0, 1, 128], [255, 0, 1]]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, bits: int = 8, colours: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_sixteen_bits(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1, 1, b"\0" + b"\xff\xff\x80\x80\x00\x00", bits=16))
    assert read(tmp_path / "a.png", 1, 1, 3)[0].tolist() == [[[255, 128, 0]]]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    with_alpha = np.concatenate([COLOURS, np.array([[[255], [0]], [[255], [0]]], "uint8")], axis=2)
    pixels, changes = read(save(tmp_path / "a.png", with_alpha), 2, 2, 3)
    assert np.array_equal(pixels[:, 0], COLOURS[:, 0])
    assert (pixels[:, 1] == 255).all()
    assert changes == ["what is transparent is white"]
    palette = Image.fromarray(np.array([[0, 1]], "uint8")).convert("P")
    pixels, _ = read(save(tmp_path / "b.png", palette, transparency=0), 1, 2, 1)
    assert pixels[0, 0, 0] == 255


def test_a_photograph_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    path = save(tmp_path / "a.png", np.array([[10, 20, 30]], "uint8"), exif=exif)
    assert read(path, 3, 1, 1)[0].reshape(-1).tolist() == [10, 20, 30]


def test_pixels_of_a_set_that_counts_to_16(tmp_path: Path) -> None:
    pixels, _ = read(save(tmp_path / "a.png", np.array([[0, 128, 255]], "uint8")), 1, 3, 1, maximum=16)
    assert pixels.reshape(-1).tolist() == [0, 8, 16]
    pixels, _ = read_picture(tmp_path / "a.png", info(1, 3, 1), 1)
    assert pixels.reshape(-1).tolist() == pytest.approx([0, 128 / 255, 1])


def test_files_that_are_no_intact_pictures(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), "uint8")
    whole = save(tmp_path / "whole.png", noise).read_bytes()
    jpeg = save(tmp_path / "whole.jpg", noise).read_bytes()
    gif = save(tmp_path / "a.gif", GREYS).read_bytes()
    for content, message in [
        (whole[: len(whole) // 2], "is no intact picture"),
        (whole[:20], "is no "),
        (jpeg[:-80], "is no intact picture"),
        (whole[:60] + bytes([whole[60] ^ 255]) + whole[61:], "is no "),
        (b"", "is no PNG or JPEG picture"),
        (b"hello\x1b[31m", "is no PNG or JPEG picture"),
        (gif, "is no PNG or JPEG picture"),
        (png(60_000, 60_000, b""), "more than 50 million pixels"),
        (png(9_000, 6_000, b""), "more than 50 million pixels"),
        (png(2**31 - 1, 2**31 - 1, b""), "more than 50 million pixels"),
        (png(5_000, 5_000, b""), "is no intact picture"),
    ]:
        path = tmp_path / "a\x1b.png"
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as error:
            read_picture(path, info(2, 2, 3))
        assert "\x1b" not in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="there is no such file"):
        read_picture(tmp_path / "none.png", info(2, 2, 3))


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2), (3, 3)])
def test_networks_that_take_no_pictures(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="takes no pictures but samples of"):
        read_picture(save(tmp_path / "a.png", GREYS), info(*shape))
