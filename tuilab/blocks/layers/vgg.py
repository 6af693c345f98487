"""The networks of Simonyan and Zisserman, as one layer that can be part of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from tuilab.blocks.activations import Activation, Relu, Softmax
from tuilab.blocks.arrays import Shape
from tuilab.blocks.layers.containers import Container, Repeat
from tuilab.blocks.layers.convolution import Conv2d
from tuilab.blocks.layers.dense import Dense
from tuilab.blocks.layers.global_pooling import GlobalAveragePooling2d, GlobalMaxPooling2d
from tuilab.blocks.layers.layer import Branch, Layer
from tuilab.blocks.layers.pooling import MaxPooling2d
from tuilab.blocks.layers.shaping import Flatten

FILTERS = (64, 128, 256, 512, 512)


class Vgg(Container, abstract=True):
    """What VGG16 and VGG19 share: names and settings are those of keras.applications."""

    groups_only = True
    output_setting = "classes"
    depths: ClassVar[tuple[int, ...]]
    """Convolutions in each of the five blocks."""

    include_top: bool = Field(True, description="Whether the three dense layers at the end are there.")
    pooling: Literal["avg", "max"] | None = Field(
        None, description="Without the top: one number for each channel, the mean or the largest; unset: the image."
    )
    classes: int = Field(1000, gt=0, le=1_000_000, description="Outputs of the top.")
    classifier_activation: Activation = Field(Softmax(), description="Function of the last layer of the top.")

    def branches(self) -> tuple[Branch, ...]:
        blocks = [_block(number, *size) for number, size in enumerate(zip(self.depths, FILTERS, strict=True), start=1)]
        return (Branch("", "layers", (*blocks, *self._end())),)

    def _end(self) -> tuple[Layer, ...]:
        if self.include_top:
            return (
                Flatten(name="flatten"),
                Dense(name="fc1", units=4096, activation=Relu()),
                Dense(name="fc2", units=4096, activation=Relu()),
                Dense(name="predictions", units=self.classes, activation=self.classifier_activation),
            )
        if self.pooling is None:
            return ()
        return (GlobalAveragePooling2d(),) if self.pooling == "avg" else (GlobalMaxPooling2d(),)

    def joined_shape(self, shape: Shape, outputs: Sequence[Shape]) -> Shape:
        return outputs[-1]


class Vgg16(Vgg):
    """VGG16: thirteen convolutions of 3 × 3 in five blocks, and three dense layers (Simonyan and Zisserman, 2014).

    y = softmax(fc₃(fc₂(fc₁(block₅(… block₁(x))))))
    x: (batch, height, width, channels), 224 × 224 × 3 in the original → y: (batch, classes), or without the top
    (batch, height / 32, width / 32, 512), pooled (batch, 512)
    """

    depths = (2, 2, 3, 3, 3)


class Vgg19(Vgg):
    """VGG19: sixteen convolutions of 3 × 3 in five blocks, and three dense layers (Simonyan and Zisserman, 2014).

    y = softmax(fc₃(fc₂(fc₁(block₅(… block₁(x))))))
    x: (batch, height, width, channels), 224 × 224 × 3 in the original → y: (batch, classes), or without the top
    (batch, height / 32, width / 32, 512), pooled (batch, 512)
    """

    depths = (2, 2, 4, 4, 4)


def _block(number: int, depth: int, filters: int) -> Repeat:
    name = f"block{number}"
    convolutions = [
        Conv2d(name=f"{name}_conv{index}", filters=filters, kernel_size=(3, 3), padding="same", activation=Relu())
        for index in range(1, depth + 1)
    ]
    return Repeat(name=name, layers=(*convolutions, MaxPooling2d(name=f"{name}_pool")))
