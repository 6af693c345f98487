"""A layer bound to arrays of its own, and the cases that every layer's test table is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.kernels import Chosen
from tuilab.blocks.arrays import Clock, Stream
from tuilab.blocks.layers import Layer
from tuilab.blocks.layers.layer import Site
from tuilab.engine.kernels.numpy import Loan, NumpyKernels

SEED = 7


class NanModule:
    """numpy, whose `empty` is full of NaN, so that a read before a write shows."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(shape: Any, dtype: Any = "float64") -> np.ndarray:
        return np.full(np.prod(shape, dtype=int) * np.dtype(dtype).itemsize, 255, "uint8").view(dtype).reshape(shape)


class NanLoan(Loan):
    """Scratch memory that is full of NaN whenever it is lent."""

    def __enter__(self) -> np.ndarray:
        lent = super().__enter__()
        lent.reshape(-1).view("uint8").fill(255)
        return lent


class NanScratch(NumpyKernels):
    xp = NanModule()

    def scratch(self, like: np.ndarray, dtype: Any = None, shape: Any = None) -> NanLoan:
        loan = super().scratch(like, dtype, shape)
        return NanLoan(self, loan.shape, loan.dtype)


def nan_kernels() -> NumpyKernels:
    """Return the kernels of this test, with such memory."""
    made: NumpyKernels = type("NanKernels", (NanScratch, Chosen.make), {})()
    return made


class Bench:
    """A layer bound to arrays of its own, at epoch 1, step 2."""

    def __init__(
        self,
        layer: Layer,
        shape: tuple[int, ...],
        values: dict[str, Any],
        dtype: str = "float64",
        batch_size: int = 4,
        first: bool = False,
        seed: int = SEED,
    ) -> None:
        self.ops = nan_kernels()
        self.clock = Clock()
        self.clock.epoch, self.clock.step = 1, 2
        parameters = layer.parameters(shape)
        assert {parameter.name for parameter in parameters} == values.keys()
        self.values = {parameter.name: np.array(values[parameter.name], dtype) for parameter in parameters}
        assert all(self.values[parameter.name].shape == parameter.shape for parameter in parameters)
        self.gradients = {
            parameter.name: np.full(parameter.shape, np.nan, dtype) for parameter in parameters if parameter.trainable
        }
        self.penalty = np.zeros(1, dtype)
        self.bound = layer.bind(
            Site(
                ops=self.ops,
                dtype=dtype,
                batch_size=batch_size,
                input_shape=shape,
                values=self.values,
                gradients=self.gradients,
                input_gradient=None if first else NanModule.empty((batch_size, *shape), dtype),
                penalty=self.penalty,
                stream=lambda purpose: Stream(seed, f"layer.{purpose}", self.clock),
            )
        )

    def run(self, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of y and dx of one training step."""
        y = self.bound.forward(x, training=True).copy()
        dx = self.bound.backward(dy)
        assert self.ops.used == 0
        return y, None if dx is None else dx.copy()


@dataclass
class Case:
    """A layer, what it gives for one training batch, and the same in PyTorch (torch, x, values)."""

    layer: str
    settings: dict[str, Any]
    x: Any
    y: Any
    dy: Any
    dx: Any
    values: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, Any] = field(default_factory=dict)
    """Of the trainable parameters."""
    after: dict[str, Any] = field(default_factory=dict)
    """Parameters that the forward pass changes."""
    penalty: float = 0.0
    oracle: Callable[[Any, Any, dict[str, Any]], Any] | None = None
    """None where the numbers are drawn at random."""
    shape: tuple[int, ...] = (5,)
    """Of a sample, for the tests with random numbers."""

    @property
    def block(self) -> Layer:
        return Layer.choose({"type": self.layer, **self.settings})

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.layer}({settings}) on {'x'.join(map(str, self.shape))}"

    def random(self, dtype: str = "float64", rows: int = 4) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Return values, x and dy for `shape`."""
        generator, layer = np.random.default_rng(5), self.block
        values = {
            parameter.name: generator.uniform(0.2, 1.5, parameter.shape)
            * (1 if parameter.name == "moving_variance" else generator.choice([-1, 1], parameter.shape))
            for parameter in layer.parameters(self.shape)
        }
        x, dy = (generator.normal(size=(rows, *shape)) for shape in (self.shape, layer.output_shape(self.shape)))
        return values, x.astype(dtype), dy.astype(dtype)

    def bench(self, dtype: str = "float64", **settings: Any) -> Bench:
        return Bench(self.block, self.shape, self.random()[0], dtype, **settings)
