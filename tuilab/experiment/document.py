"""The experiment: what is trained, on what and how. Pure settings; loading and checks stand beside it."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from tuilab.blocks.augmentations import Augmentation
from tuilab.blocks.datasets import Dataset
from tuilab.blocks.layers import Layer
from tuilab.blocks.losses import Loss
from tuilab.blocks.metrics import Metric
from tuilab.blocks.optimizers import Adam, Optimizer
from tuilab.text import as_written, clean_text

SETTINGS = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _printable(text: str) -> str:
    if clean_text(text, len(text)) != text:
        raise ValueError("must be printable on one line")
    return text


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|gpu(:[0-9]{1,3})?", name):
        raise ValueError('must be "auto", "cpu", "gpu", or "gpu:1" for the second GPU')
    return name


Seed = Annotated[int, Field(ge=0, lt=2**63)]
Weight = Annotated[float, Field(ge=0)]
Line = Annotated[str, AfterValidator(_printable)]
DeviceName = Annotated[str, AfterValidator(_device)]


class DataSettings(BaseModel):
    """What the network learns from, how it is split and in which portions it is shown."""

    model_config = SETTINGS

    dataset: Dataset | None = Field(None, description="A data set by name; 'tuilab datasets' lists them.")
    path: Line | None = Field(None, description="Your own .csv, .npz or .npy file instead, beside the experiment file.")
    target: str | list[str] | None = Field(
        None, description="Column (or columns) of the .csv file to predict; for an .npy file, the .npy file of targets."
    )
    validation_path: Line | None = Field(None, description="A .csv file with the same columns for validation.")
    test_path: Line | None = Field(None, description="A .csv file with the same columns for the test.")
    validation_split: float = Field(0.1, ge=0, lt=1, description="Share of the training samples kept for validation.")
    test_split: float = Field(0.2, ge=0, lt=1, description="Share kept for the test, where a set brings none.")
    batch_size: int = Field(32, gt=0, description="Samples a step.")
    shuffle: bool = Field(True, description="Draw a new order of the training samples every epoch.")
    normalization: Literal["auto", "none", "standardize", "rescale"] = Field(
        "auto",
        description="auto: what suits the set; standardize: mean 0, deviation 1; rescale: ÷ the largest pixel.",
    )
    augmentation: list[Augmentation] = Field(
        [], max_length=20, description="What is done to samples before the network sees them, in this order."
    )
    flatten: bool | None = Field(None, description="Give images as flat vectors; unset: when the first layer is dense.")

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.dataset is not None:
            if self.path is not None:
                raise ValueError("dataset and path exclude each other, keep one of them")
            if self.target is not None:
                name = self.dataset.type_name()
                raise ValueError(f"target goes with path; what {name} predicts is settled, take target out")
        elif self.path is None:
            own = 'path = "houses.csv", target = "price"'
            raise ValueError(f'name a data set (dataset = "iris") or a file of your own ({own})')
        elif (suffix := PurePath(self.path).suffix.lower()) not in (".csv", ".npz", ".npy"):
            raise ValueError(f"path must name a .csv, .npz or .npy file, got {as_written(self.path)}")
        elif suffix == ".npz" and self.target is not None:
            raise ValueError("target goes with a .csv file; y_train of an .npz file is predicted, take target out")
        elif suffix == ".npy" and not (isinstance(self.target, str) and self.target.lower().endswith(".npy")):
            raise ValueError('target must name the .npy file of what is to be predicted: target = "labels.npy"')
        more = [name for name in ("validation_path", "test_path") if getattr(self, name) is not None]
        if more and (self.path is None or not self.path.lower().endswith(".csv")):
            raise ValueError(f"{more[0]} goes with a .csv file in path, take it out")
        return self


class EarlyStopping(BaseModel):
    """Stop when the monitored result has not become better for `patience` epochs."""

    model_config = SETTINGS

    monitor: str = Field(
        "val_loss", description="loss, val_loss or a metric of training.metrics, with or without val_."
    )
    patience: int = Field(3, ge=0, description="Epochs without a better result that are waited for.")
    min_delta: float = Field(0.0, ge=0, description="Smallest change that counts as better.")
    restore_best_weights: bool = Field(True, description="End with the weights of the best epoch.")


class Training(BaseModel):
    """How the network is trained."""

    model_config = SETTINGS

    epochs: int = Field(10, gt=0, le=100_000, description="Times that every training sample is seen.")
    loss: Loss = Field(description="What training makes small.")
    optimizer: Optimizer = Field(Adam(), description="How gradients change parameters.")
    metrics: list[Metric] = Field([], max_length=50, description="What is measured beside the loss.")
    early_stopping: EarlyStopping | None = Field(None, description="Stop when nothing gets better.")
    class_weight: dict[str, Weight] | Literal["balanced"] | None = Field(
        None, description="Weight of each class in the loss by its name; balanced: rare classes weigh more."
    )
    statistics_every: int = Field(20, gt=0, description="Steps between two looks at every layer's statistics.")
    checkpoint_every: int | None = Field(
        None, gt=0, description="Epochs between two checkpoints that are kept for good."
    )
    device: DeviceName = Field("auto", description="auto, cpu, gpu or gpu:1.")
    dtype: Literal["float32", "float64"] = Field("float32", description="Precision of all numbers.")
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = Field(
        "float32",
        description="On a GPU, what matrix products and convolutions round their inputs to; sums, weights and all else "
        "stay float32. float16 scales the loss.",
    )
    convolution: Literal["auto", "exact"] = Field(
        "auto",
        description="auto: 3 × 3 kernels by Winograd's transform where it is faster, with errors of about 1e-5; "
        "exact: by products and sums alone.",
    )

    @field_validator("precision")
    @classmethod
    def _check_precision(cls, precision: str, info: ValidationInfo) -> str:
        if precision != "float32" and info.data.get("dtype") == "float64":
            raise ValueError(f'"{precision}" goes with training.dtype = "float32", not with "float64"')
        return precision


class Experiment(BaseModel):
    """One experiment file: data, layers and training."""

    model_config = SETTINGS

    name: Line = Field("experiment", min_length=1, max_length=80, description="Name of the experiment and its runs.")
    description: str = Field("", max_length=2000, description="What it shows.")
    seed: Seed = Field(0, description="Every random number of the experiment depends on it.")
    data: DataSettings = Field(description='What it learns from, for example dataset = "iris".')
    layers: list[Layer] = Field(min_length=1, max_length=256, description="From input to output.")
    training: Training = Field(description="How it learns, at least the loss.")
