"""What every layer is: settings that know shapes and parameters, and a bound half that works on arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import Array, Ops, Shape, Stream
from tuilab.blocks.block import Block
from tuilab.blocks.constraints import Constraint
from tuilab.blocks.initializers import Initializer
from tuilab.blocks.regularizers import Regularizer

if TYPE_CHECKING:
    from tuilab.blocks.layers.chain import BoundChain


@dataclass(frozen=True)
class Parameter:
    """An array that a layer keeps from step to step."""

    name: str
    shape: Shape
    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None
    trainable: bool = True
    """False for what gradients do not change: statistics, and the parameters of a frozen layer."""


@dataclass(frozen=True)
class Site:
    """Where a layer is bound: the device, its arrays and its place in the network."""

    ops: Ops
    dtype: str
    batch_size: int
    input_shape: Shape
    values: Mapping[str, Array]
    gradients: Mapping[str, Array]
    """Of the trainable parameters only."""
    input_gradient: Array | None
    """Where `backward` writes dL/dx, (batch, *input shape); None where nobody reads it."""
    penalty: Array
    """One number on the device: layers add the penalties of their activity to it in training."""
    stream: Callable[[str], Stream]
    """Gives the layer's own source of random numbers for a purpose."""

    loss_scale: Array | None = None
    """One number on the device that the loss is multiplied by before `backward`, None for 1."""
    outputs: Callable[[Shape], Array] | None = None
    """Gives the layer's place for what it writes, where nothing is kept for a backward pass; None in a network that
    trains."""

    @property
    def trains(self) -> bool:
        """Whether there is ever a step of training."""
        return self.outputs is None

    def empty(self, shape: Shape, dtype: str | None = None) -> Array:
        """Return a new buffer for one batch of `shape`; called while binding, never in a step."""
        buffer: Array = self.ops.xp.empty((self.batch_size, *shape), dtype=dtype or self.dtype)
        return buffer

    def output(self, shape: Shape) -> Array:
        """Return the buffer that `forward` returns, for one batch of `shape`. In a network that does not train, the
        layer after the next one writes there as well, so that nothing in it outlives the batch."""
        return self.empty(shape) if self.outputs is None else self.outputs(shape)


@dataclass(frozen=True)
class Activity:
    """What a layer's activation saw in its last batch: for statistics."""

    activation: Activation
    x: Array
    y: Array


@dataclass(frozen=True)
class Branch:
    """Layers inside a layer, one after another."""

    name: str
    """Part of the names of its layers; empty where that of the layer around them is enough."""
    field: str
    """The setting that holds them."""
    layers: tuple[Layer, ...]
    follows: bool = False
    """Whether they begin with what the branch before gives, instead of the input of the layer around them."""


class BoundLayer:
    """A layer on arrays. Every batch may be smaller than the one it was bound to."""

    activity: Activity | None = None
    """Set by layers with an activation."""

    passes_gradient: bool = False
    """Whether `backward` hands on the memory of `dy` instead of writing into the input gradient it was given."""

    def forward(self, x: Array, training: bool) -> Array:
        """Return y for x: (batch, *input shape) → (batch, *output shape). Valid until the next call; `x` must stay
        unchanged until `backward` was called."""
        raise NotImplementedError  # abstract

    def backward(self, dy: Array) -> Array | None:
        """Write the parameters' gradients and return dL/dx for the last training batch, or None where nobody reads
        it. Leaves `dy` as it is."""
        raise NotImplementedError  # abstract

    def trace(self, x: Array, training: bool) -> Iterator[tuple[BoundLayer, Array]]:
        """Run forwards, and yield every layer inside with what it gives; the last is what this one gives."""
        yield self, self.forward(x, training)


class Layer(Block, kind=True):
    """A step of the network from one array to the next."""

    other_names: ClassVar[dict[str, str]] = {}
    takes_vectors: ClassVar[bool] = False
    """Whether the layer works on vectors: a network that begins with it wants images flat."""
    output_setting: ClassVar[str | None] = None
    """The setting that says how many outputs there are, where the layer may be the last one."""
    keeps_shape: ClassVar[bool] = False
    """Whether the layer takes any shape and hands it on unchanged."""

    name: str | None = Field(None, description="Name in tables and files; unset: type and position.")
    trainable: bool = Field(True, description="Whether training changes the layer's parameters.")

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", name):
            raise ValueError("must be 1 to 60 letters, digits, dots, dashes or underscores")
        return name

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of one output sample for inputs of `shape`.

        Raises ValueError with the remedy where the layer cannot take that shape.
        """
        if not self.keeps_shape:
            raise NotImplementedError  # abstract
        return shape

    def wants_vectors(self) -> bool | None:
        """Return whether a network that begins with this layer wants images as flat vectors; None where it takes
        anything."""
        return None if self.keeps_shape else self.takes_vectors

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return what the layer keeps for inputs of `shape`, without what the layers inside it keep."""
        return []

    def branches(self) -> tuple[Branch, ...]:
        """Return the layers inside this one."""
        return ()

    def output_activation(self) -> Activation | None:
        """Return the activation that a loss may be fused with when this is the last layer."""
        return None

    def without_activation(self) -> Layer:
        """Return the same layer with a linear output, for a fused loss; only where `output_activation` is not None."""
        raise NotImplementedError  # abstract

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiply-adds of one sample's forward pass, those of matrix products only."""
        return 0

    def bind(self, site: Site) -> BoundLayer:
        """Return the layer on the arrays of `site`."""
        raise NotImplementedError  # abstract

    def join(self, site: Site, chains: Sequence[BoundChain]) -> BoundLayer:
        """Return the layer on the arrays of `site`, around its branches; only where there are any."""
        raise NotImplementedError  # abstract
