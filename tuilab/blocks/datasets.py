"""Datasets: what a network can learn from. A block holds a set's settings and facts; `tuilab.data` reads it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, TypeAdapter, field_validator, model_validator

from tuilab.blocks.arrays import Shape
from tuilab.blocks.block import Block
from tuilab.blocks.metric import Task
from tuilab.blocks.window import Size
from tuilab.errors import DataError
from tuilab.text import clean_text

MOST_CLASSES = 1000
Normalization: TypeAlias = Literal["none", "standardize", "rescale"]


@dataclass(frozen=True)
class Column:
    """A column of the user's table, and how it becomes features."""

    name: str
    categories: tuple[str, ...] = ()
    """The texts it may hold, each of which becomes a feature of 0 or 1; empty where the column holds numbers."""


@dataclass(frozen=True)
class DataInfo:
    """What is known of a data set before it is read."""

    input_shape: Shape
    """Of one sample: (features,) or (height, width, channels)."""
    task: Task
    classes: tuple[str, ...] = ()
    """Names of the classes (binary: two of them; multi_label: of the labels); empty for regression."""
    features: tuple[str, ...] = ()
    """Names of the features of a table; empty for images."""
    targets: int = 1
    """Numbers to predict in a regression."""
    columns: tuple[Column, ...] = ()
    """Of the user's own table: the columns that the features come from, in order."""
    pixel_maximum: float = field(default=255, compare=False)
    """Of images: the value of a white pixel; of the user's own it is known only once they are read."""

    def to_dict(self) -> dict[str, Any]:
        """Return this as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DataInfo:
        """Return what `to_dict` gave, also after a trip through JSON; raises ValidationError for anything else."""
        return TypeAdapter(cls).validate_python(values)


class Dataset(Block, kind=True):
    """A set of samples with what is to be predicted from them."""

    default_normalization: ClassVar[Normalization] = "none"
    """What `data.normalization = "auto"` means here; rescale divides by the value of a white pixel."""
    splittable: ClassVar[bool] = True
    """Whether a share of the samples may be kept for validation and test."""

    other_names = {
        "and": "gate_and",
        "or": "gate_or",
        "nand": "gate_nand",
        "xor_gate": "gate_xor",
        "two_moons": "moons",
        "two_gauss": "gauss",
        "cancer": "breast_cancer",
        "fashion": "fashion_mnist",
        "cifar": "cifar10",
        "cifar_10": "cifar10",
        "image_folder": "folder",
        "multi_label": "multilabel",
    }

    @classmethod
    def offered(cls) -> list[str]:
        """Return the names of the sets that anybody can learn from."""
        return [name for name, block in cls.registry.items() if block not in (Folder, ShapeOnly)]

    def info(self) -> DataInfo:
        """Return shape, task and names, without reading the data."""
        raise NotImplementedError  # abstract


# Logic gates: the four points of a truth table. All four are for training: there are no others to test on.


class Gate(Dataset, abstract=True):
    """A truth table of two inputs."""

    splittable = False

    def info(self) -> DataInfo:
        return DataInfo((2,), "binary", classes=("0", "1"), features=("a", "b"))


class GateAnd(Gate):
    """Logical and: 1 where both inputs are 1. A line separates the classes, so one neuron can learn it.

    (0, 0) → 0, (0, 1) → 0, (1, 0) → 0, (1, 1) → 1
    """


class GateOr(Gate):
    """Logical or: 1 where at least one input is 1. A line separates the classes, so one neuron can learn it.

    (0, 0) → 0, (0, 1) → 1, (1, 0) → 1, (1, 1) → 1
    """


class GateNand(Gate):
    """Logical nand: 0 only where both inputs are 1. A line separates the classes; every other gate is made of nands.

    (0, 0) → 1, (0, 1) → 1, (1, 0) → 1, (1, 1) → 0
    """


class GateXor(Gate):
    """Exclusive or: 1 where the inputs differ. No line separates the classes: a hidden layer is needed
    (Minsky and Papert, 1969).

    (0, 0) → 0, (0, 1) → 1, (1, 0) → 1, (1, 1) → 0
    """


# Points in the plane, drawn anew from a seed.


class Points(Dataset, abstract=True):
    """Points in the plane."""

    samples: int = Field(500, ge=10, le=1_000_000, description="Points in all.")
    seed: int = Field(0, ge=0, lt=2**63, description="Another seed draws other points.")

    def info(self) -> DataInfo:
        return DataInfo((2,), "binary", classes=("orange", "blue"), features=("x", "y"))


class Playground(Points, abstract=True):
    """A set of TensorFlow Playground (Smilkov and Carter, 2016; playground.tensorflow.org), by its formulas."""

    noise: float = Field(0.0, ge=0, le=0.5, description="0 to 0.5; the Playground shows it as 0 to 50.")


class Circle(Playground):
    """A disc of one class inside a ring of the other.

    blue: radius U(0, 2.5); orange: radius U(3.5, 5); the label is then taken at a point moved by U(−5, 5) · noise.
    """


class Xor(Playground):
    """Four squares, of one class where x and y have the same sign; the truth table of xor with many points.

    x, y ~ U(−5, 5), moved 0.3 away from the axes; blue where (x + nx) · (y + ny) ≥ 0, with n ~ U(−5, 5) · noise
    """


class Gauss(Playground):
    """Two clouds, one around (2, 2), the other around (−2, −2): a line separates them while noise is low.

    x ~ N(±2, variance), y likewise, variance = 0.5 + 7 · noise
    """


class Spiral(Playground):
    """Two arms wound round each other, 1¾ turns: the hardest of the Playground.

    r = 5 · i / n, t = 2π · 1.75 · i / n (+ π for orange), (x, y) = r · (sin t, cos t) + U(−1, 1) · noise
    """


class Plane(Playground):
    """Regression of a slope: the value grows along the diagonal. One linear unit is enough.

    x, y ~ U(−6, 6), value = (x + nx + y + ny) / 10, n ~ U(−6, 6) · noise
    """

    samples: int = Field(1200, ge=10, le=1_000_000, description="Points in all.")

    def info(self) -> DataInfo:
        return DataInfo((2,), "regression", features=("x", "y"))


class GaussRegression(Playground):
    """Regression of three hills and three hollows, in two rows of alternating sign.

    x, y ~ U(−6, 6), value = ± max(0, 1 − d / 2), d the distance of (x + nx, y + ny) to the nearest centre
    """

    samples: int = Field(1200, ge=10, le=1_000_000, description="Points in all.")

    def info(self) -> DataInfo:
        return DataInfo((2,), "regression", features=("x", "y"))


class Moons(Points):
    """Two half moons, each reaching into the other's bow; as scikit-learn's make_moons.

    upper: (cos t, sin t), lower: (1 − cos t, ½ − sin t), t from 0 to π; both + N(0, noise)
    """

    default_normalization = "standardize"
    noise: float = Field(0.1, ge=0, le=2, description="Deviation of the points from the bows.")

    def info(self) -> DataInfo:
        return DataInfo((2,), "binary", classes=("upper", "lower"), features=("x", "y"))


class Blobs(Points):
    """Round clouds, one a class, around centres drawn from U(−10, 10); as scikit-learn's make_blobs.

    x ~ N(centre, noise)
    """

    default_normalization = "standardize"
    centers: int = Field(3, ge=2, le=10, description="Clouds, and so classes.")
    noise: float = Field(1.0, ge=0, le=10, description="Deviation of the points from their centre.")

    def info(self) -> DataInfo:
        names = tuple(f"blob {number}" for number in range(1, self.centers + 1))
        return DataInfo((2,), "binary" if self.centers == 2 else "categorical", classes=names, features=("x", "y"))


# Invented tables, the same for everybody.


class PassFail(Dataset):
    """200 invented students: passed or failed, by the hours they studied and their attendance.

    points = 10 + 5 · hours + 0.4 · attendance + N(0, 3), passed from 60 of 100
    hours ~ U(0, 10), attendance ~ U(40, 100) %
    """

    default_normalization = "standardize"

    def info(self) -> DataInfo:
        return DataInfo((2,), "binary", classes=("fail", "pass"), features=("hours studied", "attendance (%)"))


class Multilabel(Dataset):
    """600 invented days: what to take along, any number of four things, by the weather.

    jacket: temperature − wind / 5 < 14;  umbrella: humidity > 65 and wind < 40;
    sunglasses: humidity < 60 and temperature > 8;  kite: 15 < wind < 40
    Rules see the weather with an error of N(0, 1) °C, N(0, 2) %, N(0, 1.5) km/h.
    """

    default_normalization = "standardize"

    def info(self) -> DataInfo:
        return DataInfo(
            (3,),
            "multi_label",
            classes=("jacket", "umbrella", "sunglasses", "kite"),
            features=("temperature (°C)", "humidity (%)", "wind (km/h)"),
        )


# Real sets that ship inside the package; tuilab/data/files/SOURCES.md says where they come from.


class Bundled(Dataset, abstract=True):
    """A small real set inside the package."""

    default_normalization: ClassVar[Normalization] = "standardize"


class Iris(Bundled):
    """150 iris flowers of three species, by four lengths in cm (Fisher, 1936). One species stands apart, two touch."""

    def info(self) -> DataInfo:
        return DataInfo(
            (4,),
            "categorical",
            classes=("setosa", "versicolor", "virginica"),
            features=("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
        )


class Wine(Bundled):
    """178 Italian wines of three cultivators, by 13 results of chemical analysis (Forina et al., 1991)."""

    def info(self) -> DataInfo:
        return DataInfo(
            (13,),
            "categorical",
            classes=("class_0", "class_1", "class_2"),
            features=(
                *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
                *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
                *("od280/od315_of_diluted_wines", "proline"),
            ),
        )


class BreastCancer(Bundled):
    """569 breast tumours, malignant or benign, by 30 measures of cell nuclei (Street, Wolberg and Mangasarian, 1993).

    Ten measures, each as the mean over the cells of an image, its standard error, and the mean of the worst three.
    """

    def info(self) -> DataInfo:
        measures = (
            *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points"),
            *("symmetry", "fractal dimension"),
        )
        names = (
            *(f"mean {measure}" for measure in measures),
            *(f"{measure} error" for measure in measures),
            *(f"worst {measure}" for measure in measures),
        )
        return DataInfo((30,), "binary", classes=("malignant", "benign"), features=names)


class Digits(Bundled):
    """1797 handwritten digits of 8 × 8 pixels from 0 to 16 (Alpaydin and Kaynak, 1998)."""

    default_normalization: ClassVar[Normalization] = "rescale"

    def info(self) -> DataInfo:
        return DataInfo((8, 8, 1), "categorical", classes=tuple("0123456789"), pixel_maximum=16)


class Diabetes(Bundled):
    """442 diabetes patients: how far the disease went within a year, by ten measures at its start (Efron et al., 2004).

    Age, sex, body mass index, blood pressure and six serum values, as they were measured; the target is 25 to 346.
    """

    def info(self) -> DataInfo:
        names = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
        return DataInfo((10,), "regression", features=names)


# Sets that are downloaded once, into the data folder.


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


# The user's own pictures.

PARTS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
"""Names of folders that are a part of a set."""


class Folder(Dataset):
    """Pictures in a folder of your own, .png and .jpg, those of each class in a folder inside it: cats/, dogs/. Where
    these stand in folders train/, validation/ and test/, they are those parts.

    Each picture is brought to one size. Where all of them together are large, they are read from the disk while the
    network trains.
    """

    default_normalization = "rescale"

    path: str = Field(min_length=1, max_length=4096, description="The folder, beside the experiment file.")
    size: Size = Field((64, 64), description="Height and width that pictures are brought to; one number for both.")
    grey: bool = Field(False, description="Whether pictures become grey, of one channel; otherwise they have three.")

    @field_validator("path")
    @classmethod
    def _printable(cls, path: str) -> str:
        if not path.isprintable():
            raise ValueError("must be printable on one line")
        return path

    def info(self) -> DataInfo:
        """Return shape and names, from the names of the folders. Raises DataError."""
        parts = self.parts()
        names = folders(os.path.join(self.path, parts["train"]) if parts else self.path)
        if not 2 <= len(names) <= MOST_CLASSES:
            held = f"{len(names):,} folders" if len(names) != 1 else "a single folder"
            raise DataError(
                f"{clean_text(self.path, 400)}: holds {held}; there must be one for each of 2 to {MOST_CLASSES} classes"
            )
        task: Task = "binary" if len(names) == 2 else "categorical"
        return DataInfo((*self.size, 1 if self.grey else 3), task, tuple(names))

    def parts(self) -> dict[str, str]:
        """Return the folders of train and, where there are such parts, validation and test; nothing where the folder
        holds the classes themselves. Raises DataError."""
        found = folders(self.path)
        parts = {part: name for part, names in PARTS.items() for name in names if name in found}
        return parts if "train" in parts and len(parts) == len(found) else {}


def folders(path: str) -> list[str]:
    """Return the names of the folders in a folder, in order, without hidden ones."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        reason = clean_text(error.strerror or "cannot be read", 100)
        raise DataError(f"{clean_text(path, 400)}: cannot be read as a folder ({reason})") from None


# Nothing to learn from.


class ShapeOnly(Dataset):
    """Samples that are not here: only their shape, and what is predicted from them, is known. Enough to build a
    network, to load its weights and to predict; to train or evaluate, name a data set: --set data.dataset=NAME.
    """

    input_shape: tuple[int, ...] = Field(
        (1,), min_length=1, max_length=3, strict=False, description="Shape of one sample."
    )
    task: Task = Field("categorical", description="What is predicted.")
    classes: int = Field(2, gt=1, le=1_000_000, description="Classes, or labels, that there are.")
    names: tuple[str, ...] = Field((), strict=False, description="Their names; unset: their numbers.")
    targets: int = Field(1, gt=0, le=1_000_000, description="Numbers that are predicted in a regression.")

    @field_validator("input_shape")
    @classmethod
    def _sizes(cls, shape: Shape) -> Shape:
        if any(not 0 < size <= 1_000_000 for size in shape):
            raise ValueError("sizes must be from 1 to 1,000,000")
        return shape

    @model_validator(mode="after")
    def _a_name_each(self) -> Self:
        if self.names and len(self.names) != self.classes:
            raise ValueError(f"names must name all {self.classes} classes, there are {len(self.names)}")
        return self

    def info(self) -> DataInfo:
        if self.task == "regression":
            return DataInfo(self.input_shape, self.task, targets=self.targets)
        return DataInfo(self.input_shape, self.task, self.names or tuple(map(str, range(self.classes))))
