"""From the settings of an experiment to samples: read, checked, split, and scaled by the training part alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuilab.blocks.arrays import HostArray, host_generator
from tuilab.blocks.datasets import Bundled, Cifar10, DataInfo, Dataset, Folder, IdxImages, Normalization, ShapeOnly
from tuilab.blocks.samples import Data, Scaling, Split, Stored
from tuilab.data import streaming
from tuilab.data.archive import FRACTIONS, describe_archive, read_archive
from tuilab.data.bundled import read_bundled
from tuilab.data.cifar import read_cifar
from tuilab.data.folders import shown
from tuilab.data.generated import generate
from tuilab.data.idx import read_images
from tuilab.data.picture_folder import read_picture_folder
from tuilab.data.scaling import rescaling, standardization
from tuilab.data.split import check_classes, held_out
from tuilab.data.survey import Report, into_memory, look_through, size_in_memory
from tuilab.data.table import describe_table, read_more, read_table
from tuilab.errors import DataError
from tuilab.text import clean_text

if TYPE_CHECKING:
    from tuilab.experiment.document import DataSettings


@dataclass(frozen=True)
class _Source:
    """All samples, before they are split."""

    name: str
    info: DataInfo
    samples: Split
    validation: Split | None = None
    test: Split | None = None
    splittable: bool = True
    normalization: Normalization = "standardize"


def describe(settings: DataSettings) -> DataInfo:
    """Return shape, task and names of the data, reading nothing but a user's own file. Raises DataError."""
    if settings.dataset is not None:
        return settings.dataset.info()
    path = _own_file(settings)
    if path.suffix.lower() == ".csv":
        return describe_table(path, settings.target)
    return describe_archive(path, _targets_file(settings))


def load(
    settings: DataSettings,
    seed: int,
    data_dir: Path | None = None,
    report: Report = lambda _: None,
    glance: bool = False,
) -> Data:
    """Return the data of an experiment, split by its seed. Raises DataError with the place and the remedy.

    `test_split` applies where the data brings no test part of its own, `validation_split`, to what is left, where it
    brings no validation part. Samples that are large in all stay on disk; `report` hears how far the one look through
    them is. At a `glance` it is left out, with the scaling that would follow from it.
    """
    source = _read_named(settings.dataset, data_dir) if settings.dataset is not None else _read_own(settings)
    train, validation, test = source.samples, source.validation, source.test
    split_test = source.splittable and test is None and settings.test_split > 0
    split_validation = source.splittable and validation is None and settings.validation_split > 0
    check_classes(train.targets, source.info, source.name, least=2 if split_test or split_validation else 1)
    if split_test:
        generator = host_generator(seed, "test split")
        mask = held_out(train.targets, source.info, settings.test_split, generator, "test_split")
        train, test = _part(train, ~mask), _part(train, mask)
    if split_validation:
        generator = host_generator(seed, "validation split")
        mask = held_out(train.targets, source.info, settings.validation_split, generator, "validation_split")
        train, validation = _part(train, ~mask), _part(train, mask)
    normalization = source.normalization if settings.normalization == "auto" else settings.normalization
    data = Data(source.info, train, validation, test, None)
    if isinstance(train.features, Stored):
        return data if glance else _read_stored(data, normalization, report)
    return replace(data, scaling=_scaling(normalization, train.features, source.info.pixel_maximum))


def _part(samples: Split, mask: HostArray) -> Split:
    features = samples.features
    part = features.part(np.flatnonzero(mask)) if isinstance(features, Stored) else features[mask]
    return Split(part, samples.targets[mask])


def _scaling(normalization: Normalization, features: HostArray, pixel_maximum: float) -> Scaling | None:
    if normalization == "none":
        return None
    return rescaling(pixel_maximum) if normalization == "rescale" else standardization(features)


def _read_stored(data: Data, normalization: Normalization, report: Report) -> Data:
    """Bring samples that lie on disk into memory where all of them are not large, otherwise look through them as far as
    that is needed for their scaling, and for numbers that are none."""
    splits = [data.train, data.validation, data.test]
    stored = [split.features for split in splits if split is not None and isinstance(split.features, Stored)]
    train, maximum = stored[0], data.info.pixel_maximum
    if sum(map(size_in_memory, stored)) < streaming.LARGE:
        read = iter(into_memory(stored, report))
        splits = [split and Split(next(read), split.targets) for split in splits]
        assert splits[0] is not None
        scaling = _scaling(normalization, np.asarray(splits[0].features), maximum)
        return replace(data, train=splits[0], validation=splits[1], test=splits[2], scaling=scaling)
    if train.dtype == "uint8" and normalization != "standardize":
        return replace(data, scaling=rescaling(maximum) if normalization == "rescale" else None)
    surveys = look_through(stored if train.dtype == "float32" else stored[:1], report)
    info = data.info
    if train.dtype == "float32" and len(info.input_shape) == 3 and max(each.maximum for each in surveys) <= FRACTIONS:
        info = replace(info, pixel_maximum=FRACTIONS)
    scaling = {
        "none": lambda: None,
        "rescale": lambda: rescaling(info.pixel_maximum),
        "standardize": surveys[0].standardization,
    }[normalization]()
    return replace(data, info=info, scaling=scaling)


def _read_named(dataset: Dataset, data_dir: Path | None) -> _Source:
    if isinstance(dataset, ShapeOnly):
        remedy = "name what to learn from: --set data.dataset=NAME"
        raise DataError(f"there is no data, only the shape of the samples is known; {remedy}")
    test = None
    if isinstance(dataset, Folder):
        parts, name = read_picture_folder(dataset), clean_text(dataset.path, 400)
        return _Source(name, dataset.info(), *parts, normalization=dataset.default_normalization)
    if isinstance(dataset, IdxImages):
        features, targets, *of_test = read_images(dataset, data_dir)
        test = Split(*of_test)
    elif isinstance(dataset, Cifar10):
        features, targets, *of_test = read_cifar(dataset, data_dir)
        test = Split(*of_test)
    elif isinstance(dataset, Bundled):
        features, targets = read_bundled(dataset)
    else:
        features, targets = generate(dataset)
    return _Source(
        dataset.type_name(),
        dataset.info(),
        Split(features, targets),
        test=test,
        splittable=dataset.splittable,
        normalization=dataset.default_normalization,
    )


def _read_own(settings: DataSettings) -> _Source:
    path = _own_file(settings)
    name = shown(path)
    if path.suffix.lower() == ".csv":
        info, features, targets = read_table(path, settings.target)
        validation, test = (
            Split(*read_more(Path(more), settings.target, info)) if more else None
            for more in (settings.validation_path, settings.test_path)
        )
        return _Source(name, info, Split(features, targets), validation, test)
    info, parts = read_archive(path, _targets_file(settings))
    samples, validation, test = (Split(*parts[part]) if part in parts else None for part in ("train", "val", "test"))
    assert samples is not None
    pixels = samples.features.dtype == "uint8"
    return _Source(name, info, samples, validation, test, normalization="rescale" if pixels else "standardize")


def _own_file(settings: DataSettings) -> Path:
    assert settings.path is not None  # DataSettings takes either a set or a file
    return Path(settings.path)


def _targets_file(settings: DataSettings) -> Path | None:
    """Return the file beside an .npy file that holds what is to be predicted."""
    return Path(settings.target) if isinstance(settings.target, str) else None
