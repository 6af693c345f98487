"""Layers that contain layers: several of them again and again, or beside a shortcut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.layers.chain import BoundChain
from tuilab.blocks.layers.layer import BoundLayer, Branch, Layer, Site

Layers = tuple[Layer, ...]
MOST_LAYERS = 256
"""In a network, those inside others among them: what the tables of a run are made for."""
MOST_DEPTH = 8
"""How deep layers may be inside one another, the outermost counted."""


class Container(Layer, abstract=True):
    """A layer whose work is done by the layers in its branches."""

    groups_only: ClassVar[bool] = False
    """Whether its layers simply follow one another, as if they stood in its place."""

    @field_validator("*", mode="before")
    @classmethod
    def _short_enough(cls, value: Any) -> Any:
        """Refuse thousands of layers before every one of them is looked at."""
        if isinstance(value, (list, tuple)) and len(value) > MOST_LAYERS:
            raise ValueError(f"holds {len(value):,} layers, at most {MOST_LAYERS} can be in a network")
        return value

    @model_validator(mode="after")
    def _few_enough(self) -> Self:
        if depth_of(self) > MOST_DEPTH:
            raise ValueError(f"holds layers inside one another {depth_of(self)} deep, at most {MOST_DEPTH} can be")
        if leaf_count(self) > MOST_LAYERS:
            raise ValueError(f"comes to {leaf_count(self):,} layers, at most {MOST_LAYERS} can be in a network")
        return self

    def wants_vectors(self) -> bool | None:
        return first_wish(self.branches()[0].layers)

    def joined_shape(self, shape: Shape, outputs: Sequence[Shape]) -> Shape:
        """Return the shape of one output sample, from those of the input and of the branches' outputs.

        Raises ValueError with the remedy where they do not fit.
        """
        raise NotImplementedError  # abstract

    def output_shape(self, shape: Shape) -> Shape:
        return self.joined_shape(shape, [after for _, _, after in self._shapes(shape)])

    def multiply_adds(self, shape: Shape) -> int:
        total = 0
        for branch, before, _ in self._shapes(shape):
            for layer in branch.layers:
                total += layer.multiply_adds(before)
                before = layer.output_shape(before)
        return total

    def _shapes(self, shape: Shape) -> Iterator[tuple[Branch, Shape, Shape]]:
        after = shape
        for branch in self.branches():
            before = after if branch.follows else shape
            after = before
            for layer in branch.layers:
                after = layer.output_shape(after)
            yield branch, before, after


class Repeat(Container):
    """Layers that come several times, each time with weights of their own; once, they are simply a named group.

    y = fₙ(… f₂(f₁(x))),  each f the chain of `layers`
    x: (batch, …) → y: the shape that the last layer gives
    """

    groups_only = True

    layers: Layers = Field(
        min_length=1, max_length=64, strict=False, description="What is repeated, from input to output."
    )
    times: int = Field(1, ge=1, le=100, description="How often the layers come.")

    def branches(self) -> tuple[Branch, ...]:
        if self.times == 1:
            return (Branch("", "layers", self.layers),)
        return tuple(Branch(str(number), "layers", self.layers, number > 1) for number in range(1, self.times + 1))

    def joined_shape(self, shape: Shape, outputs: Sequence[Shape]) -> Shape:
        return outputs[-1]


class Residual(Container):
    """Layers beside a shortcut that carries their input past them: what they learn is added to it (He et al., 2016).

    y = f(x) + x,  f the chain of `layers`; with a projection y = f(x) + p(x), p the chain of `projection`
    x: (batch, …) → y: the shape that f and the shortcut give alike
    """

    layers: Layers = Field(
        min_length=1, max_length=64, strict=False, description="What is learned beside the shortcut, input to output."
    )
    projection: Layers = Field(
        (),
        max_length=16,
        strict=False,
        description="Layers on the shortcut, where the others change the shape: a convolution of size 1, for example.",
    )

    def branches(self) -> tuple[Branch, ...]:
        way = Branch("", "layers", self.layers)
        return (way, Branch("projection", "projection", self.projection)) if self.projection else (way,)

    def joined_shape(self, shape: Shape, outputs: Sequence[Shape]) -> Shape:
        way, shortcut = outputs[0], outputs[1] if self.projection else shape
        if way != shortcut:
            here = "the projection gives" if self.projection else "its input has"
            remedy = "change the projection" if self.projection else "add a projection, or keep the shape"
            raise ValueError(
                f"cannot add {_written(way)}, which its layers give, to {_written(shortcut)}, which {here}: {remedy}"
            )
        return way

    def join(self, site: Site, chains: Sequence[BoundChain]) -> BoundLayer:
        return BoundResidual(self, site, chains)


class BoundResidual(BoundLayer):
    """A residual layer on arrays."""

    def __init__(self, layer: Residual, site: Site, chains: Sequence[BoundChain]) -> None:
        self.site = site
        self.way = chains[0]
        self.shortcut = chains[1] if len(chains) > 1 else None
        self.output = site.output(layer.output_shape(site.input_shape))

    def forward(self, x: Array, training: bool) -> Array:
        y = self.way.forward(x, training)
        return self._add(y, x if self.shortcut is None else self.shortcut.forward(x, training))

    def _add(self, y: Array, shortcut: Array) -> Array:
        output = self.output[: y.shape[0]]
        self.site.ops.xp.add(y, shortcut, out=output)
        return output

    def backward(self, dy: Array) -> Array | None:
        dx = self.way.backward(dy)
        through = dy if self.shortcut is None else self.shortcut.backward(dy)
        if dx is None or through is None:
            return None
        self.site.ops.xp.add(dx, through, out=dx)
        return dx

    def trace(self, x: Array, training: bool) -> Iterator[tuple[BoundLayer, Array]]:
        for seen, y in self.way.trace(x, training):
            yield seen, y
        way, shortcut = y, x
        if self.shortcut is not None:
            for seen, shortcut in self.shortcut.trace(x, training):
                yield seen, shortcut
        yield self, self._add(way, shortcut)


def leaf_count(layer: Layer) -> int:
    """Return how many layers without any inside a layer comes to."""
    branches = layer.branches()
    return sum(leaf_count(inner) for branch in branches for inner in branch.layers) if branches else 1


def depth_of(layer: Layer) -> int:
    """Return how many layers inside one another a layer comes to, itself counted; copies are looked at once."""
    firsts = [branch for branch in layer.branches() if not branch.follows]
    return 1 + max((depth_of(inner) for branch in firsts for inner in branch.layers), default=0)


class Last(NamedTuple):
    """The layer that the outputs of others come from."""

    place: str
    written: Layer
    """As it stands at that place of the file."""
    layer: Layer
    """The same, or where a written layer brings layers of its own, the last of these."""


def last_of(layers: Sequence[Layer], here: str = "layers") -> Last:
    """Return the last layer, or where that only groups layers, the last of these."""
    place, layer = f"{here}[{len(layers) - 1}]", layers[-1]
    if not isinstance(layer, Container) or not layer.groups_only:
        return Last(place, layer, layer)
    branch = layer.branches()[-1]
    inner = last_of(branch.layers, f"{place}.{branch.field}")
    return inner if branch.field in type(layer).model_fields else Last(place, layer, inner.layer)


def first_wish(layers: Sequence[Layer]) -> bool | None:
    """Return whether the first layer that looks at shapes wants images as flat vectors; None where there is none."""
    return next((wish for layer in layers if (wish := layer.wants_vectors()) is not None), None)


def _written(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "a single number"
