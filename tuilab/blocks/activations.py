"""Activations: the non-linear functions between layers."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.block import Block


class Activation(Block, kind=True):
    """A function applied to a layer's output.

    x, y: (batch, …, units), any shape; functions over units (softmax) work along the last axis.
    """

    other_names: ClassVar[dict[str, str]] = {
        "binary_step": "step",
        "exp": "exponential",
        "gelu_new": '{ type = "gelu", approximate = true }',
        "gelu_tanh": '{ type = "gelu", approximate = true }',
        "heaviside": "step",
        "hyperbolic_tangent": "tanh",
        "identity": "linear",
        "logistic": "sigmoid",
        "none": "linear",
        "prelu": 'a layer of its own with type = "prelu", because its slopes are learned',
        "rectifier": "relu",
        "swish": "silu",
        "threshold": "step",
    }

    needs_input: ClassVar[bool] = False
    """Whether `backward` reads x. Where it does not, x and y may be the same array, so that x is lost."""

    steepest_slope: ClassVar[float | None] = None
    """The largest derivative of a function that saturates (flattens out on both sides), None for the others."""

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        """Write y into `out`, which may be `x`."""
        raise NotImplementedError  # abstract

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        """Write dL/dx into `out`, which may be `dy` but never `x` or `y`, and change nothing else."""
        raise NotImplementedError  # abstract


class Linear(Activation):
    """No activation: the output is a linear function of the input. For regression outputs.

    y = x,  dy/dx = 1
    """

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        if out is not x:
            ops.xp.copyto(out, x)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        if out is not dy:
            ops.xp.copyto(out, dy)


class Step(Activation):
    """Unit step: fires or does not (Rosenblatt, 1958). Only for the output of a perceptron with the perceptron loss,
    which looks past the step; with any other loss, and in layers before this one, nothing is learned.

    y = 1 where x > 0, otherwise 0,  dy/dx = 0
    """

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        with ops.scratch(x, dtype="bool") as fires:
            ops.xp.greater(x, 0, out=fires)
            ops.xp.copyto(out, fires)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        ops.xp.copyto(out, 0)


class Sigmoid(Activation):
    """Logistic sigmoid: squashes to (0, 1), a probability; saturates beyond |x| ≈ 6, where its gradient vanishes.

    y = 1 / (1 + e⁻ˣ), computed as tanh(x/2)/2 + 1/2, which cannot overflow;  dy/dx = y · (1 − y) ≤ 1/4
    """

    steepest_slope = 0.25

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        sigmoid(ops, x, out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(y) as slope:
            xp.subtract(1, y, out=slope)
            xp.multiply(slope, y, out=slope)
            xp.multiply(dy, slope, out=out)


class HardSigmoid(Activation):
    """Hard sigmoid: a sigmoid of three straight lines, cheap to compute (Courbariaux et al., 2015; with this slope
    Howard et al., 2019). Learns nothing beyond |x| = 3.

    y = min(max(x/6 + 1/2, 0), 1),  dy/dx = 1/6 where |x| < 3, otherwise 0
    """

    steepest_slope = 1 / 6

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        xp = ops.xp
        xp.divide(x, 6, out=out)
        xp.add(out, 0.5, out=out)
        xp.clip(out, 0, 1, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        keep_between(ops, y, 0, 1, dy, out)
        ops.xp.divide(out, 6, out=out)


class Tanh(Activation):
    """Hyperbolic tangent: squashes to (-1, 1), zero-centred; saturates beyond |x| ≈ 3.

    y = tanh(x),  dy/dx = 1 − y²
    """

    steepest_slope = 1.0

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        ops.xp.tanh(x, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(y) as slope:
            xp.multiply(y, y, out=slope)
            xp.subtract(1, slope, out=slope)
            xp.multiply(dy, slope, out=out)


class Relu(Activation):
    """Rectified linear unit: the usual choice for hidden layers (Nair and Hinton, 2010). A unit whose input is below
    zero for every sample learns nothing any more: it is dead.

    y = max(0, x),  dy/dx = 1 where x > 0, otherwise 0
    """

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        ops.xp.clip(x, 0, ops.xp.inf, out=out)  # three times as fast as numpy's maximum with a number

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        with ops.scratch(y, dtype="bool") as positive:
            ops.xp.greater(y, 0, out=positive)
            ops.xp.multiply(dy, positive, out=out)


class Relu6(Activation):
    """Relu that stops at 6, so that outputs survive in few bits: for networks meant for small devices
    (Krizhevsky, 2010).

    y = min(max(x, 0), 6),  dy/dx = 1 where 0 < x < 6, otherwise 0
    """

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        ops.xp.clip(x, 0, 6, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        keep_between(ops, y, 0, 6, dy, out)


class LeakyRelu(Activation):
    """Leaky rectified linear unit: a small slope below zero, so that no unit dies (Maas et al., 2013).

    y = x where x > 0, otherwise negative_slope · x
    """

    negative_slope: float = Field(0.2, ge=0, description="Slope below zero.")

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(x) as below:
            xp.minimum(x, 0, out=below)
            xp.multiply(below, self.negative_slope, out=below)
            xp.maximum(x, 0, out=out)
            xp.add(out, below, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(y) as slope, ops.scratch(y, dtype="bool") as positive:
            xp.greater(y, 0, out=positive)
            xp.copyto(slope, self.negative_slope)
            xp.copyto(slope, 1, where=positive)
            xp.multiply(dy, slope, out=out)


class Elu(Activation):
    """Exponential linear unit: like relu, but smooth and with negative outputs, which bring the mean of a layer closer
    to zero (Clevert et al., 2016).

    y = x where x > 0, otherwise alpha · (eˣ − 1);  dy/dx = 1 where x > 0, otherwise y + alpha
    """

    alpha: float = Field(1.0, ge=0, description="Far below zero the output is −alpha.")

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        elu(ops, x, 1, self.alpha, out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        elu_backward(ops, y, 1, self.alpha, dy, out)


class Selu(Activation):
    """Scaled exponential linear unit: keeps outputs near mean 0 and variance 1 through deep dense networks, when
    kernels start from lecun_normal (Klambauer et al., 2017).

    y = scale · x where x > 0, otherwise scale · alpha · (eˣ − 1);  scale = 1.05070099, alpha = 1.67326324
    """

    scale: ClassVar[float] = 1.0507009873554804934193349852946
    alpha: ClassVar[float] = 1.6732632423543772848170429916717

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        elu(ops, x, self.scale, self.scale * self.alpha, out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        elu_backward(ops, y, self.scale, self.scale * self.alpha, dy, out)


class Gelu(Activation):
    """Gaussian error linear unit: weighs x by the probability that a normal variable is smaller; the choice of
    transformers (Hendrycks and Gimpel, 2016).

    y = x · Φ(x),  Φ(x) = (1 + erf(x/√2)) / 2;  dy/dx = Φ(x) + x · Φ′(x),  Φ′(x) = e^(−x²/2) / √(2π)

    approximate: Φ(x) ≈ (1 + tanh u) / 2,  u = √(2/π) · (x + 0.044715 x³)
    """

    needs_input = True

    approximate: bool = Field(False, description="Use the tanh form, as GPT-2 does; differs by less than 0.001.")

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        with ops.scratch(x) as phi:
            self._phi(ops, x, phi)
            ops.xp.multiply(x, phi, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(x) as phi, ops.scratch(x) as slope:
            self._phi(ops, x, phi)
            self._phi_slope(ops, x, phi, slope)
            xp.multiply(x, slope, out=slope)
            xp.add(slope, phi, out=slope)
            xp.multiply(dy, slope, out=out)

    def _phi(self, ops: Ops, x: Array, out: Array) -> None:
        xp = ops.xp
        if self.approximate:
            xp.multiply(x, x, out=out)
            xp.multiply(out, 0.044715, out=out)
            xp.add(out, 1, out=out)
            xp.multiply(out, x, out=out)
            xp.multiply(out, math.sqrt(2 / math.pi), out=out)
            xp.tanh(out, out=out)
        else:
            xp.multiply(x, math.sqrt(0.5), out=out)
            ops.erf(out, out)
        xp.add(out, 1, out=out)
        xp.multiply(out, 0.5, out=out)

    def _phi_slope(self, ops: Ops, x: Array, phi: Array, out: Array) -> None:
        xp = ops.xp
        xp.multiply(x, x, out=out)
        if not self.approximate:
            xp.multiply(out, -0.5, out=out)
            xp.exp(out, out=out)
            xp.multiply(out, 1 / math.sqrt(2 * math.pi), out=out)
            return
        with ops.scratch(x) as rest:  # Φ′ = 2 Φ (1 − Φ) · du/dx
            xp.multiply(out, 3 * 0.044715, out=out)
            xp.add(out, 1, out=out)
            xp.multiply(out, 2 * math.sqrt(2 / math.pi), out=out)
            xp.multiply(out, phi, out=out)
            xp.subtract(1, phi, out=rest)
            xp.multiply(out, rest, out=out)


class Silu(Activation):
    """Sigmoid linear unit, also called swish: a smooth relu that dips below zero before it rises
    (Elfwing et al., 2018; Ramachandran et al., 2017).

    y = x · σ(x), σ the sigmoid;  dy/dx = σ(x) · (1 + x · (1 − σ(x)))
    """

    needs_input = True

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        with ops.scratch(x) as gate:
            sigmoid(ops, x, gate)
            ops.xp.multiply(x, gate, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(x) as gate, ops.scratch(x) as slope:
            sigmoid(ops, x, gate)
            xp.subtract(1, gate, out=slope)
            xp.multiply(slope, x, out=slope)
            xp.add(slope, 1, out=slope)
            xp.multiply(slope, gate, out=slope)
            xp.multiply(dy, slope, out=out)


class Mish(Activation):
    """Mish: a smooth relu that dips below zero, like silu with a gentler gate (Misra, 2019).

    y = x · t,  t = tanh(log(1 + eˣ));  dy/dx = t + x · σ(x) · (1 − t²), σ the sigmoid
    """

    needs_input = True

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        with ops.scratch(x) as t:
            softplus(ops, x, t)
            ops.xp.tanh(t, out=t)
            ops.xp.multiply(x, t, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(x) as t, ops.scratch(x) as slope, ops.scratch(x) as rest:
            softplus(ops, x, t)
            xp.tanh(t, out=t)
            xp.multiply(t, t, out=rest)
            xp.subtract(1, rest, out=rest)
            sigmoid(ops, x, slope)
            xp.multiply(slope, x, out=slope)
            xp.multiply(slope, rest, out=slope)
            xp.add(slope, t, out=slope)
            xp.multiply(dy, slope, out=out)


class Softplus(Activation):
    """Softplus: a smooth relu whose output is always positive: for scales and variances (Dugas et al., 2001).

    y = log(1 + eˣ), computed as max(x, 0) + log(1 + e^(−|x|)), which cannot overflow
    dy/dx = 1 − e⁻ʸ, which is the sigmoid of x
    """

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        softplus(ops, x, out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(y) as slope:
            xp.negative(y, out=slope)
            xp.expm1(slope, out=slope)
            xp.negative(slope, out=slope)
            xp.multiply(dy, slope, out=out)


class Softsign(Activation):
    """Softsign: squashes to (-1, 1) like tanh, but approaches its ends so slowly that gradients fade later
    (Bergstra et al., 2009).

    y = x / (1 + |x|),  dy/dx = (1 − |y|)²
    """

    steepest_slope = 1.0

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(x) as size:
            xp.absolute(x, out=size)
            xp.add(size, 1, out=size)
            xp.divide(x, size, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(y) as slope:
            xp.absolute(y, out=slope)
            xp.subtract(1, slope, out=slope)
            xp.multiply(slope, slope, out=slope)
            xp.multiply(dy, slope, out=out)


class Exponential(Activation):
    """Exponential: for outputs that are positive by nature, such as the rate of a Poisson loss. Reaches infinity from
    x ≈ 89 in float32.

    y = eˣ,  dy/dx = y
    """

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        ops.xp.exp(x, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        ops.xp.multiply(dy, y, out=out)


class Softmax(Activation):
    """Softmax: turns the last axis into probabilities that sum to 1 (Bridle, 1990). For the output of a classifier.

    yᵢ = eˣⁱ / Σⱼ eˣʲ, with max(x) subtracted first;  dL/dxᵢ = yᵢ · (dyᵢ − Σⱼ dyⱼ yⱼ)
    """

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(x, shape=(*x.shape[:-1], 1)) as row:
            xp.max(x, axis=-1, keepdims=True, out=row)
            xp.subtract(x, row, out=out)
            xp.exp(out, out=out)
            xp.sum(out, axis=-1, keepdims=True, out=row)
            xp.divide(out, row, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(y) as product, ops.scratch(y, shape=(*y.shape[:-1], 1)) as row:
            xp.multiply(dy, y, out=product)
            xp.sum(product, axis=-1, keepdims=True, out=row)
            xp.subtract(dy, row, out=product)
            xp.multiply(product, y, out=out)


class LogSoftmax(Activation):
    """Logarithm of softmax: log-probabilities along the last axis, exact where the probability itself would round to
    zero. A classifier that is to be trained takes softmax, whose cross-entropy is computed from logits anyway.

    yᵢ = xᵢ − log Σⱼ eˣʲ, with max(x) subtracted first;  dL/dxᵢ = dyᵢ − eʸⁱ · Σⱼ dyⱼ
    """

    def forward(self, ops: Ops, x: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(x) as power, ops.scratch(x, shape=(*x.shape[:-1], 1)) as row:
            xp.max(x, axis=-1, keepdims=True, out=row)
            xp.subtract(x, row, out=out)
            xp.exp(out, out=power)
            xp.sum(power, axis=-1, keepdims=True, out=row)
            xp.log(row, out=row)
            xp.subtract(out, row, out=out)

    def backward(self, ops: Ops, x: Array, y: Array, dy: Array, out: Array) -> None:
        xp = ops.xp
        with ops.scratch(y) as share, ops.scratch(y, shape=(*y.shape[:-1], 1)) as row:
            xp.sum(dy, axis=-1, keepdims=True, out=row)
            xp.exp(y, out=share)
            xp.multiply(share, row, out=share)
            xp.subtract(dy, share, out=out)


def sigmoid(ops: Ops, x: Array, out: Array) -> None:
    """Write tanh(x/2)/2 + 1/2 into `out`, which may be `x`."""
    xp = ops.xp
    xp.multiply(x, 0.5, out=out)
    xp.tanh(out, out=out)
    xp.multiply(out, 0.5, out=out)
    xp.add(out, 0.5, out=out)


def softplus(ops: Ops, x: Array, out: Array) -> None:
    """Write max(x, 0) + log(1 + e^(−|x|)) into `out`, which may be `x`."""
    xp = ops.xp
    with ops.scratch(x) as rest:
        xp.absolute(x, out=rest)
        xp.negative(rest, out=rest)
        xp.exp(rest, out=rest)
        xp.log1p(rest, out=rest)
        xp.maximum(x, 0, out=out)
        xp.add(out, rest, out=out)


def keep_between(ops: Ops, y: Array, low: float, high: float, dy: Array, out: Array) -> None:
    """Write dy where low < y < high, otherwise 0, into `out`, which may be `dy`."""
    xp = ops.xp
    with ops.scratch(y, dtype="bool") as inside:
        xp.greater(y, low, out=inside)
        xp.multiply(dy, inside, out=out)
        xp.less(y, high, out=inside)
        xp.multiply(out, inside, out=out)


def elu(ops: Ops, x: Array, right: float, left: float, out: Array) -> None:
    """Write right · x where x > 0, otherwise left · (eˣ − 1), into `out`, which may be `x`."""
    xp = ops.xp
    with ops.scratch(x) as below:
        xp.minimum(x, 0, out=below)
        xp.expm1(below, out=below)
        xp.multiply(below, left, out=below)
        xp.maximum(x, 0, out=out)
        xp.multiply(out, right, out=out)
        xp.add(out, below, out=out)


def elu_backward(ops: Ops, y: Array, right: float, left: float, dy: Array, out: Array) -> None:
    """Write dy · right where y > 0, otherwise dy · (y + left), into `out`, which may be `dy`."""
    xp = ops.xp
    with ops.scratch(y) as slope, ops.scratch(y, dtype="bool") as positive:
        xp.greater(y, 0, out=positive)
        xp.add(y, left, out=slope)
        xp.copyto(slope, right, where=positive)
        xp.multiply(dy, slope, out=out)
