"""Sets that are downloaded once, into the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tuilab.blocks.arrays import Shape
from tuilab.blocks.datasets.dataset import DataInfo, Dataset


@dataclass(frozen=True)
class RemoteFile:
    """A file to download, as it was published."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    item_shape: Shape = ()
    """Of one item in an idx file: (28, 28) for images, () for labels."""


class Downloaded(Dataset, abstract=True):
    """A set in files of its publisher."""

    folders: ClassVar[tuple[str, ...]]
    """Where the files lie in the data folder; downloads go into the first."""
    mirrors: ClassVar[tuple[str, ...]]
    files: ClassVar[tuple[RemoteFile, ...]]
    other_files: ClassVar[tuple[str, ...]] = ()
    """Names of files any of which holds the whole set as well."""


def _idx_files(*published: tuple[int, str]) -> tuple[RemoteFile, ...]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    shapes = ((28, 28), (), (28, 28), ())
    return tuple(
        RemoteFile(f"{name}-ubyte.gz", size, sha256, shape)
        for name, (size, sha256), shape in zip(names, published, shapes, strict=True)
    )


class IdxImages(Downloaded, abstract=True):
    """Grey images of 28 × 28 pixels in four idx files: images and labels, for training, and the same for the test."""

    default_normalization = "rescale"


class Mnist(IdxImages):
    """70 000 handwritten digits of 28 × 28 pixels, 10 000 of them for the test (LeCun, Cortes and Burges, 1998)."""

    folders = ("mnist",)
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    files = _idx_files(
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )

    def info(self) -> DataInfo:
        return DataInfo((28, 28, 1), "categorical", classes=tuple("0123456789"))


class FashionMnist(IdxImages):
    """70 000 pictures of clothes in ten classes, a harder MNIST of the same form (Xiao, Rasul and Vollgraf, 2017)."""

    folders = ("fashion-mnist", "fashion_mnist")
    mirrors = (
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    )
    files = _idx_files(
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    )

    def info(self) -> DataInfo:
        names = (
            *("t-shirt/top", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        )
        return DataInfo((28, 28, 1), "categorical", classes=names)


class Cifar10(Downloaded):
    """60 000 small colour photographs of animals and vehicles in ten classes, 32 × 32 pixels, 10 000 of them for the
    test (Krizhevsky, 2009).
    """

    default_normalization = "rescale"
    folders = ("cifar10", "cifar-10")
    mirrors = ("https://www.cs.toronto.edu/~kriz/",)
    files = (
        RemoteFile(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    )
    other_files = ("cifar-10-python.tar.gz",)

    def info(self) -> DataInfo:
        names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
        return DataInfo((32, 32, 3), "categorical", classes=names)
