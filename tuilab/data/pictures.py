"""Pictures in files, .png and .jpg, as a network takes them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuilab.blocks.arrays import HostArray, Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.data.folders import shown
from tuilab.errors import DataError
from tuilab.text import clean_text

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 50_000_000
MODES = {1: "L", 3: "RGB"}
"""Channels → what Pillow calls such pictures."""


def is_picture(path: Path) -> bool:
    """Return whether a file is read as a picture, by its ending."""
    return path.suffix.lower() in SUFFIXES


def read_picture(path: Path, info: DataInfo, maximum: float = 255) -> tuple[HostArray, list[str]]:
    """Return a picture as a sample for a network trained on data with `info`, (height, width, channels) from 0 to
    `maximum`, and in words what was changed for that. Raises DataError."""
    if len(info.input_shape) != 3 or info.input_shape[2] not in MODES:
        raise DataError(f"{shown(path)}: this network takes no pictures but samples of {_times(info.input_shape)}")
    height, width, channels = info.input_shape
    changes: list[str] = []
    with _reading(path):
        from PIL import Image, ImageOps

        with Image.open(path, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise _TooLarge
            opened.load()
            picture = _eight_bits(ImageOps.exif_transpose(opened))
            if picture.has_transparency_data:
                changes.append("what is transparent is white")
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            if channels == 1 and picture.mode not in ("L", "1"):
                changes.append("its colours become greys")
            picture = picture.convert(MODES[channels])
            if picture.size != (width, height):
                changes.append(f"resized from {picture.width} × {picture.height} to {width} × {height} pixels")
                picture = picture.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(picture).reshape(height, width, channels)
    if maximum == 1:  # fractions
        pixels = pixels.astype(np.float32) / 255
    elif maximum != 255:
        pixels = np.round(pixels * (maximum / 255)).astype(np.uint8)
    return pixels, changes


class _TooLarge(Exception):
    """More pixels than a photograph has."""


def _eight_bits(picture: Image) -> Image:
    """Return a picture of 16 bits a pixel with eight of them, any other as it is."""
    from PIL import Image

    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture).astype(np.float64)
    return Image.fromarray(np.clip(np.round(values / 257), 0, 255).astype(np.uint8))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what Pillow raises for files that are cut, foreign or made to harm into DataError."""
    if not path.is_file():
        raise DataError(f"{shown(path)}: there is no such file")
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's of large pictures and odd metadata
            yield
    except (_TooLarge, Image.DecompressionBombError):
        raise DataError(
            f"{shown(path)}: has more than {MOST_PIXELS // 10**6} million pixels; make it smaller"
        ) from None
    except UnidentifiedImageError:
        raise DataError(f"{shown(path)}: is no PNG or JPEG picture") from None
    except PermissionError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror}); check that it is yours") from None
    except Exception as error:  # Pillow lets through whatever a damaged part raises
        problem = clean_text(str(error), 120)
        raise DataError(f"{shown(path)}: is no intact picture ({problem}); save it anew") from None


def _times(shape: Shape) -> str:
    return " × ".join(map(str, shape))
