"""The user's own arrays: an .npz file with x_train and y_train and, where there are such parts, x_val and y_val, x_test
and y_test; or two .npy files, x and y.

x: (n, features), (n, height, width) or (n, height, width, channels); bytes stay bytes, other numbers become float32.
   Large ones stay in the file, where it is not compressed.
y: whole numbers from 0, or texts, are classes, and so is (n, classes) of 0 and 1 with a single 1 a row; any other
(n, labels) of 0 and 1 are labels that do not exclude each other; fractions, (n,) or (n, targets), are a regression.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, overload

import numpy as np

from tuilab.blocks.arrays import HostArray, Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.samples import Stored
from tuilab.data.csv_file import listed
from tuilab.data.folders import shown
from tuilab.data.streaming import read_header, stored_array
from tuilab.errors import DataError
from tuilab.text import clean_text

MOST_BYTES = 8 << 30  # of one array, unpacked
MOST_CLASSES = 1000
FRACTIONS = 1
"""A white pixel, where images are numbers from 0 to 1."""


def describe_archive(path: Path, targets: Path | None = None) -> DataInfo:
    """Return shape, task and names, reading of the features only their shape; `targets`: the file of these where `path`
    is an .npy file. Raises DataError."""
    with _Archive(path) if targets is None else _Pair(path, targets) as archive:
        shape = _with_channels(archive.shape("x_train"))
        return _info(archive.read("y_train"), shape[1:], archive.place("y_train"))


def read_archive(
    path: Path, targets_file: Path | None = None
) -> tuple[DataInfo, dict[str, tuple[HostArray | Stored, HostArray]]]:
    """Return what `describe_archive` does; features and targets, as in a Split, of `train` and, if there, `val` and
    `test`.

    Raises DataError with the place of what is missing or wrong.
    """
    archive = _Archive(path) if targets_file is None else _Pair(path, targets_file)
    with archive:
        parts = ["train", *(part for part in ("val", "test") if {f"x_{part}", f"y_{part}"} & archive.names)]
        features = {part: archive.features(f"x_{part}") for part in parts}
        targets = {part: archive.read(f"y_{part}") for part in parts}
    info = _info(targets["train"], _with_channels(features["train"].shape)[1:], archive.place("y_train"))
    samples: dict[str, tuple[HostArray | Stored, HostArray]] = {}
    for part in parts:
        x_place, y_place = archive.place(f"x_{part}"), archive.place(f"y_{part}")
        x, y = as_features(features[part], x_place), targets[part]
        if x.shape[1:] != info.input_shape:
            raise DataError(
                f"{x_place}: samples are {x.shape[1:]}, those of x_train {info.input_shape}; make them alike"
            )
        if y.shape[:1] != x.shape[:1]:
            raise DataError(f"{y_place}: has the shape {y.shape} for {len(x)} samples; there must be a target for each")
        samples[part] = (x, _targets(y, info, y_place))
    first = samples["train"][0]
    if len(info.input_shape) == 3 and not isinstance(first, Stored) and not np.any(first > 1):
        info = replace(info, pixel_maximum=FRACTIONS)
    return info, samples


def read_arrays(path: Path) -> HostArray:
    """Return the array of an .npy file, or of an .npz file the one that is named x or x_test, or is alone in it."""
    if path.suffix.lower() == ".npz":
        with _Archive(path) as archive:
            alone = archive.names if len(archive.names) == 1 else set()
            name = next((name for name in ("x", "x_test", *alone) if name in archive.names), "x")
            return archive.read(name)
    with _reading(path, shown(path)), path.open("rb") as file:
        return _read(file)


@overload
def as_features(x: HostArray, place: str) -> HostArray: ...
@overload
def as_features(x: HostArray | Stored, place: str) -> HostArray | Stored: ...
def as_features(x: HostArray | Stored, place: str) -> HostArray | Stored:
    """Return an array as features, (n, features) or (n, height, width, channels), uint8 or float32."""
    if not isinstance(x, Stored) and x.dtype.kind not in "biuf":
        raise DataError(f"{place}: holds {x.dtype}, not numbers; save it as float32 or uint8")
    shape = _with_channels(x.shape)
    if len(shape) not in (2, 4) or 0 in shape:
        raise DataError(
            f"{place}: has the shape {shape}; it must be (n, features), (n, height, width) or "
            "(n, height, width, channels), with at least one sample"
        )
    if isinstance(x, Stored):
        x.shape = shape
        return x
    return x.reshape(shape) if x.dtype == np.uint8 else _as_float32(x.reshape(shape), place)


def _info(y: HostArray, input_shape: Shape, place: str) -> DataInfo:
    """Return what the targets of the training part say about the set."""
    features = tuple(f"x{number}" for number in range(1, input_shape[0] + 1)) if len(input_shape) == 1 else ()
    kind = "whole" if y.dtype.kind in "biu" else {"f": "fraction", "U": "text"}.get(y.dtype.kind)
    several = y.ndim == 2 and y.shape[1] > 1
    if y.ndim not in (1, 2) or 0 in y.shape or kind is None or (several and kind == "text"):
        raise DataError(
            f"{place}: has the shape {y.shape} and holds {y.dtype}; it must be (n,) of numbers or texts, "
            "or (n, targets) of numbers"
        )
    if several and np.isin(y, (0, 1)).all():
        names = tuple(str(number) for number in range(y.shape[1]))
        if not _is_one_hot(y):
            return DataInfo(input_shape, "multi_label", names, features)
    elif several or kind == "fraction":
        return DataInfo(input_shape, "regression", (), features, y.shape[1] if several else 1)
    elif kind == "text":
        names = tuple(str(name) for name in np.unique(y))
    else:
        if y.min() < 0 or y.max() >= MOST_CLASSES:
            raise DataError(
                f"{place}: holds whole numbers from {y.min()} to {y.max()}; number classes 0, 1, 2, …, "
                "and save numbers to predict as float32"
            )
        names = tuple(str(number) for number in range(int(y.max()) + 1))
    if not 2 <= len(names) <= MOST_CLASSES:
        raise DataError(f"{place}: holds {len(names)} classes; a classification needs 2 to {MOST_CLASSES}")
    return DataInfo(input_shape, "binary" if len(names) == 2 else "categorical", names, features)


def _targets(y: HostArray, info: DataInfo, place: str) -> HostArray:
    """Return targets as in a Split; y has one entry a sample, and those of the training part made `info`."""
    other_form = DataError(f"{place}: has not the form of y_train ({info.task}); save both alike")
    width = y.size // len(y)
    if info.task in ("regression", "multi_label"):
        if y.dtype.kind not in "biuf" or width != (len(info.classes) or info.targets):
            raise other_form
        values = _as_float32(y.reshape(len(y), width), place)
        if info.task == "multi_label" and not np.isin(values, (0, 1)).all():
            raise other_form
        return values
    if width == len(info.classes) and y.dtype.kind in "biuf" and _is_one_hot(y):
        return np.asarray(y.argmax(axis=1), dtype=np.int64)
    if width != 1 or y.dtype.kind not in "biuU":
        raise other_form
    names = y.reshape(-1) if y.dtype.kind == "U" else y.reshape(-1).astype(np.int64).astype(str)
    known = np.isin(names, info.classes)
    if not known.all():
        sample = known.argmin()
        raise DataError(f"{place}, sample {sample}: class '{clean_text(str(names[sample]), 60)}' is not in y_train")
    order = np.argsort(info.classes)
    return np.asarray(order[np.searchsorted(info.classes, names, sorter=order)], dtype=np.int64)


def _is_one_hot(y: HostArray) -> bool:
    return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())


def _as_float32(given: HostArray, place: str) -> HostArray:
    with np.errstate(over="ignore"):
        values = given.astype(np.float32, copy=False)
    wrong = ~np.isfinite(values)
    if wrong.any():
        position = tuple(int(index) for index in np.unravel_index(wrong.argmax(), wrong.shape))
        raise DataError(
            f"{place}, sample {position[0]}, position {', '.join(map(str, position[1:]))}: "
            f"{given[position]} is no number to learn from; correct it or remove the sample"
        )
    return values


def _with_channels(shape: Shape) -> Shape:
    return (*shape, 1) if len(shape) == 3 else shape


class _Archive:
    """An .npz file, opened for reading; its arrays are read one by one, within bounds, and without pickle."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _reading(path, shown(path)):
            self._zip = zipfile.ZipFile(path)
        members = self._zip.namelist()
        self.names = {name.removesuffix(".npy") for name in members if name.endswith(".npy")}

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def place(self, name: str) -> str:
        """Return what messages call an array."""
        return f"{shown(self.path)}, {name}"

    def shape(self, name: str) -> Shape:
        """Return the shape of an array from its header alone."""
        with self._member(name, whole=False) as file:
            return read_header(file)[0]

    def features(self, name: str) -> HostArray | Stored:
        """Return an array of samples; a large one as it lies in the file, where it is not compressed."""
        place = self.place(name)
        if name in self.names:
            with _reading(self.path, place):
                stored = stored_array(self.path, place, self._zip.getinfo(f"{name}.npy"))
            if stored is not None:
                return stored
        return self.read(name)

    def read(self, name: str) -> HostArray:
        with self._member(name) as file:
            return _read(file)

    @contextmanager
    def _member(self, name: str, whole: bool = True) -> Iterator[IO[bytes]]:
        place = self.place(name)
        if name not in self.names:
            has = listed(sorted(self.names)) or "no array"
            raise DataError(f"{shown(self.path)}: holds no array named {name}; it has {has}")
        member = self._zip.getinfo(f"{name}.npy")
        if whole and member.file_size > MOST_BYTES:
            raise DataError(
                f"{place}: unpacks to more than {MOST_BYTES >> 30} GiB; save it uncompressed (numpy.savez), "
                "then it is read while the network trains"
            )
        with _reading(self.path, place), self._zip.open(member) as file:
            yield file


class _Pair:
    """Two .npy files, read as if they were the arrays of an archive: samples, and what is to be predicted of them."""

    names = frozenset({"x_train", "y_train"})

    def __init__(self, features: Path, targets: Path) -> None:
        self.paths = {"x_train": features, "y_train": targets}

    def __enter__(self) -> _Pair:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def place(self, name: str) -> str:
        return shown(self.paths[name])

    def shape(self, name: str) -> Shape:
        path = self.paths[name]
        with _reading(path, shown(path)), path.open("rb") as file:
            return read_header(file)[0]

    def features(self, name: str) -> HostArray | Stored:
        path = self.paths[name]
        with _reading(path, shown(path)):
            stored = stored_array(path, shown(path))
        return stored or self.read(name)

    def read(self, name: str) -> HostArray:
        return read_arrays(self.paths[name])


@contextmanager
def _reading(path: Path, place: str) -> Iterator[None]:
    """Turn what zipfile and numpy raise for files that are cut, foreign, encrypted or made to harm into DataError."""
    if not path.is_file():
        raise DataError(f"{shown(path)}: there is no such file")
    try:
        yield
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({clean_text(str(error), 120)}); check that it is yours") from None
    except Exception as error:  # numpy parses the header as Python, and lets through whatever that raises
        problem = clean_text(str(error), 120)
        raise DataError(f"{place}: is no intact array of numbers or texts ({problem}); save it anew") from None


def _read(file: IO[bytes]) -> HostArray:
    array: HostArray = np.lib.format.read_array(file, allow_pickle=False)
    return np.ascontiguousarray(array) if array.ndim else array
