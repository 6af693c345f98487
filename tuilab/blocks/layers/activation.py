"""An activation as a layer of its own."""

from __future__ import annotations

from pydantic import Field

from tuilab.blocks import activations
from tuilab.blocks.arrays import Array
from tuilab.blocks.layers.layer import Activity, BoundLayer, Layer, Site


class Activation(Layer):
    """An activation as a layer of its own, for example after a normalization.

    y = activation(x);  x and y: (batch, …)
    """

    keeps_shape = True

    activation: activations.Activation = Field(description="The function.")

    def output_activation(self) -> activations.Activation:
        return self.activation

    def without_activation(self) -> Activation:
        return self.model_copy(update={"activation": activations.Linear()})

    def bind(self, site: Site) -> BoundActivation:
        return BoundActivation(self.activation, site)


class BoundActivation(BoundLayer):
    """An activation on arrays."""

    def __init__(self, activation: activations.Activation, site: Site) -> None:
        self.site = site
        self.activation = activation
        self.output = site.output(site.input_shape)
        self.x = self.y = self.output[:0]

    def forward(self, x: Array, training: bool) -> Array:
        self.x, self.y = x, self.output[: x.shape[0]]
        self.site.ops.activate(self.activation, x, None, out=self.y)
        self.activity = Activity(self.activation, self.x, self.y)
        return self.y

    def backward(self, dy: Array) -> Array | None:
        if self.site.input_gradient is None:
            return None
        dx = self.site.input_gradient[: dy.shape[0]]
        self.site.ops.activate_backward(self.activation, self.x, self.y, dy, None, out=dx)
        return dx
