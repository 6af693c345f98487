"""From the settings of an experiment to samples: read, checked, split, and scaled by the training part alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuilab.blocks.arrays import HostArray, host_generator
from tuilab.blocks.datasets import Bundled, Cifar10, DataInfo, Dataset, IdxImages, Normalization, ShapeOnly
from tuilab.blocks.samples import Data, Scaling, Split
from tuilab.data.archive import describe_archive, read_archive
from tuilab.data.bundled import read_bundled
from tuilab.data.cifar import read_cifar
from tuilab.data.folders import shown
from tuilab.data.generated import generate
from tuilab.data.idx import read_images
from tuilab.data.scaling import rescaling, standardization
from tuilab.data.split import check_classes, held_out
from tuilab.data.table import describe_table, read_more, read_table
from tuilab.errors import DataError

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
    return describe_archive(path) if path.suffix.lower() == ".npz" else describe_table(path, settings.target)


def load(settings: DataSettings, seed: int, data_dir: Path | None = None) -> Data:
    """Return the data of an experiment, split by its seed. Raises DataError with the place and the remedy.

    `test_split` applies where the data brings no test part of its own, `validation_split`, to what is left, where it
    brings no validation part.
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
    return Data(source.info, train, validation, test, _scaling(normalization, train, source.info.pixel_maximum))


def _part(samples: Split, mask: HostArray) -> Split:
    return Split(samples.features[mask], samples.targets[mask])


def _scaling(normalization: Normalization, train: Split, pixel_maximum: float) -> Scaling | None:
    if normalization == "none":
        return None
    return rescaling(pixel_maximum) if normalization == "rescale" else standardization(train.features)


def _read_named(dataset: Dataset, data_dir: Path | None) -> _Source:
    if isinstance(dataset, ShapeOnly):
        remedy = "name what to learn from: --set data.dataset=NAME"
        raise DataError(f"there is no data, only the shape of the samples is known; {remedy}")
    test = None
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
    if path.suffix.lower() != ".npz":
        info, features, targets = read_table(path, settings.target)
        validation, test = (
            Split(*read_more(Path(more), settings.target, info)) if more else None
            for more in (settings.validation_path, settings.test_path)
        )
        return _Source(name, info, Split(features, targets), validation, test)
    info, parts = read_archive(path)
    samples, validation, test = (Split(*parts[part]) if part in parts else None for part in ("train", "val", "test"))
    assert samples is not None
    pixels = samples.features.dtype == "uint8"
    return _Source(name, info, samples, validation, test, normalization="rescale" if pixels else "standardize")


def _own_file(settings: DataSettings) -> Path:
    assert settings.path is not None  # DataSettings takes either a set or a file
    return Path(settings.path)
