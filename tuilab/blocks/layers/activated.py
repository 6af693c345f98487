"""What dense and convolutional layers share: an activation after the sum, and a penalty on what it gives."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from tuilab.blocks.activations import Activation, Linear
from tuilab.blocks.arrays import Array, Shape
from tuilab.blocks.layers.layer import Activity, BoundLayer, Site
from tuilab.blocks.regularizers import Regularizer


class BoundActivated(BoundLayer):
    """y = activation(z) on arrays; z and y share one buffer where the activation's backward allows it. Subclasses say
    what z is, with or without the bias: one that is given here is added with the activation."""

    def __init__(
        self,
        site: Site,
        shape: Shape,
        activation: Activation,
        regularizer: Regularizer | None,
        bias: Array | None = None,
        bias_gradient: Array | None = None,
    ) -> None:
        self.site = site
        self.activation = activation
        self.regularizer = regularizer
        self.added, self.added_gradient = bias, bias_gradient
        self.linear = isinstance(activation, Linear)
        self.output = site.output(shape)
        self.before = site.empty(shape) if activation.needs_input and site.trains else self.output
        self.x = self.z = self.y = self.output[:0]

    def compute(self, x: Array, z: Array) -> None:
        """Write z for x, without a bias that is added later: (batch, *input shape) → (batch, *output shape)."""
        raise NotImplementedError  # abstract

    def differentiate(self, dz: Array, dx: Array | None) -> None:
        """Write the gradients of the other parameters, and dL/dx where it is wanted, for the input `self.x`. Leaves dz
        as it is."""
        raise NotImplementedError  # abstract

    def forward(self, x: Array, training: bool) -> Array:
        rows = x.shape[0]
        self.x, self.y = x, self.output[:rows]
        self.z = self.y if self.before is self.output else self.before[:rows]
        self.compute(x, self.z)
        if self.added is not None or not self.linear:
            self.site.ops.activate(self.activation, self.z, self.added, out=self.y)
        if not self.linear:
            self.activity = Activity(self.activation, self.z, self.y)
        if self.regularizer is not None and training:
            self._add_activity_penalty(self.regularizer, rows)
        return self.y

    def _add_activity_penalty(self, regularizer: Regularizer, rows: int) -> None:
        ops = self.site.ops
        with ops.scratch(self.site.penalty) as penalty:
            penalty[...] = 0
            regularizer.add_penalty(ops, self.y, penalty)
            ops.xp.multiply(penalty, 1 / rows, out=penalty)
            ops.xp.add(self.site.penalty, penalty, out=self.site.penalty)

    def backward(self, dy: Array) -> Array | None:
        ops, place = self.site.ops, self.site.input_gradient
        dx = None if place is None else place[: dy.shape[0]]
        with self._room(dy) as dz:
            if self.regularizer is not None:
                dz[...] = 0
                self.regularizer.add_gradient(ops, self.y, dz)
                ops.xp.multiply(dz, 1 / dy.shape[0], out=dz)
                if self.site.loss_scale is not None:
                    ops.xp.multiply(dz, self.site.loss_scale, out=dz)
                ops.xp.add(dz, dy, out=dz)
                dy = dz
            if self.added_gradient is not None or not self.linear:
                ops.activate_backward(self.activation, self.z, self.y, dy, self.added_gradient, out=dz)
            self.differentiate(dz, dx)
        return dx

    def _room(self, dy: Array) -> AbstractContextManager[Array]:
        """Lend memory for dL/dz; dy itself where the two are the same."""
        return nullcontext(dy) if self.linear and self.regularizer is None else self.site.ops.scratch(dy)
