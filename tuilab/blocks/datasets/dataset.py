"""What a data set is: a block that holds its settings and facts; `tuilab.data` reads it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import TypeAdapter

from tuilab.blocks.arrays import Shape
from tuilab.blocks.block import Block
from tuilab.blocks.metric import Task

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
    whole: ClassVar[bool] = True
    """Whether it can be learned from as it is, without pictures or numbers of the user's own."""

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
        return [name for name, block in cls.registry.items() if issubclass(block, Dataset) and block.whole]

    def info(self) -> DataInfo:
        """Return shape, task and names, without reading the data."""
        raise NotImplementedError  # abstract
