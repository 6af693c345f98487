"""Initializers: the values that parameters start from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tuilab.blocks.arrays import HostArray, Shape
from tuilab.blocks.block import Block

if TYPE_CHECKING:
    import numpy as np

    Generator: TypeAlias = np.random.Generator

Mode: TypeAlias = Literal["fan_in", "fan_out", "fan_avg"]
Distribution: TypeAlias = Literal["truncated_normal", "untruncated_normal", "uniform"]

TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a standard normal distribution cut off at ±2."""


class Initializer(Block, kind=True):
    """A rule for the first values of a parameter.

    Values are drawn on the host in float64 and then copied, so that every device and precision starts from the
    same numbers.
    """

    other_names: ClassVar[dict[str, str]] = {
        "gaussian": "random_normal",
        "glorot": "glorot_uniform",
        "he": "he_normal",
        "kaiming": "he_normal",
        "kaiming_normal": "he_normal",
        "kaiming_uniform": "he_uniform",
        "lecun": "lecun_normal",
        "normal": "random_normal",
        "trunc_normal": "truncated_normal",
        "uniform": "random_uniform",
        "xavier": "glorot_uniform",
        "xavier_normal": "glorot_normal",
        "xavier_uniform": "glorot_uniform",
    }

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        """Return a float64 array of `shape`; kernels are (…, fan-in, fan-out)."""
        raise NotImplementedError  # abstract


class Zeros(Initializer):
    """All zeros: the usual start of a bias. A kernel of zeros learns nothing: all units stay equal.

    w = 0
    """

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        import numpy as np

        return np.zeros(shape)


class Ones(Initializer):
    """All ones: the usual start of a scale, such as gamma of a normalization.

    w = 1
    """

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        import numpy as np

        return np.ones(shape)


class Constant(Initializer):
    """One value everywhere: for a bias that starts away from zero. A constant kernel learns nothing: all units stay
    equal.

    w = value
    """

    value: float = Field(0.0, description="The value of every element.")

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        import numpy as np

        return np.full(shape, self.value)


class RandomNormal(Initializer):
    """Normal distribution of a fixed width, whatever the shape: to see what a start that is too small or too large does
    to a deep network.

    w ~ N(mean, stddev²)
    """

    mean: float = Field(0.0, description="Centre of the values.")
    stddev: float = Field(0.05, ge=0, description="Standard deviation of the values.")

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return generator.normal(self.mean, self.stddev, shape)


class RandomUniform(Initializer):
    """Uniform distribution of a fixed width, whatever the shape.

    w ~ U(minval, maxval)
    """

    minval: float = Field(-0.05, description="Smallest value.")
    maxval: float = Field(0.05, description="Upper end, never reached.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minval > self.maxval:
            raise PydanticCustomError(
                "not_in_order",
                "maxval must be at least minval ({minval}), got {maxval}",
                {"minval": self.minval, "maxval": self.maxval},
            )
        return self

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return generator.uniform(self.minval, self.maxval, shape)


class TruncatedNormal(Initializer):
    """Normal distribution without its tails: values further than two stddev from the mean are drawn again, so that no
    weight starts far out.

    w ~ N(mean, stddev²) given |w − mean| ≤ 2 · stddev; what remains has 0.88 of that deviation
    """

    mean: float = Field(0.0, description="Centre of the values.")
    stddev: float = Field(0.05, ge=0, description="Standard deviation before the tails are cut off.")

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return truncated_normal(generator, self.mean, self.stddev, shape)


class VarianceScaling(Initializer):
    """A width that suits the shape: what glorot, he and lecun are special cases of (He et al., 2015).

    Var(w) = scale / n, n = fan_in, fan_out or their average;  uniform: w ~ U(−limit, limit), limit = √(3 · scale / n)
    """

    scale: float = Field(1.0, gt=0, description="Factor of the variance: 1 for linear and tanh, 2 for relu.")
    mode: Mode = Field("fan_in", description="What to divide by: inputs, outputs, or the average of both.")
    distribution: Distribution = Field("truncated_normal", description="Shape of the distribution.")

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return variance_scaled(generator, shape, self.scale, self.mode, self.distribution)


class GlorotUniform(Initializer):
    """Glorot (Xavier) uniform: keeps the variance of signals and gradients through tanh and linear layers
    (Glorot and Bengio, 2010).

    w ~ U(−limit, limit),  limit = √(6 / (fan_in + fan_out))
    """

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return variance_scaled(generator, shape, 1, "fan_avg", "uniform")


class GlorotNormal(Initializer):
    """Glorot (Xavier) normal: as glorot_uniform, from a normal distribution cut off at two deviations
    (Glorot and Bengio, 2010).

    Var(w) = 2 / (fan_in + fan_out)
    """

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return variance_scaled(generator, shape, 1, "fan_avg", "truncated_normal")


class HeUniform(Initializer):
    """He (Kaiming) uniform: keeps the variance of signals through relu layers, which lose half of it
    (He et al., 2015).

    w ~ U(−limit, limit),  limit = √(6 / fan_in)
    """

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return variance_scaled(generator, shape, 2, "fan_in", "uniform")


class HeNormal(Initializer):
    """He (Kaiming) normal: the usual start of layers with relu, from a normal distribution cut off at two deviations
    (He et al., 2015).

    Var(w) = 2 / fan_in
    """

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return variance_scaled(generator, shape, 2, "fan_in", "truncated_normal")


class LecunUniform(Initializer):
    """LeCun uniform: keeps the variance of signals through linear layers (LeCun et al., 1998).

    w ~ U(−limit, limit),  limit = √(3 / fan_in)
    """

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return variance_scaled(generator, shape, 1, "fan_in", "uniform")


class LecunNormal(Initializer):
    """LeCun normal: what selu needs, from a normal distribution cut off at two deviations (LeCun et al., 1998;
    Klambauer et al., 2017).

    Var(w) = 1 / fan_in
    """

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        return variance_scaled(generator, shape, 1, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """A random orthogonal matrix, which keeps the length of every signal: for very deep and for recurrent networks
    (Saxe et al., 2014).

    wᵀw = gain² · I, or wwᵀ = gain² · I where there are more columns than rows; kernels with more axes are read as
    matrices (product of the leading axes, last axis), a vector as one row, so that its length is gain
    """

    gain: float = Field(1.0, description="Factor of the orthogonal matrix.")

    def sample(self, generator: Generator, shape: Shape) -> HostArray:
        import numpy as np

        rows, columns = math.prod(shape[:-1]), math.prod(shape[-1:])
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.copysign(
            self.gain, np.diag(r)
        )  # the signs make all orthogonal matrices equally likely (Mezzadri, 2007)
        return (q if rows >= columns else q.T).reshape(shape)


def fans(shape: Shape) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a parameter as Keras counts them: kernels (…, inputs, outputs), the leading axes
    being the receptive field; a vector (n,) has n of both.
    """
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def variance_scaled(
    generator: Generator, shape: Shape, scale: float, mode: Mode, distribution: Distribution
) -> HostArray:
    """Return values with mean 0 and variance scale / n, n the fan that `mode` names."""
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    variance = scale / max(1, fan)
    if distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return generator.uniform(-limit, limit, shape)
    stddev = math.sqrt(variance)
    if distribution == "untruncated_normal":
        return generator.normal(0, stddev, shape)
    return truncated_normal(generator, 0, stddev / TRUNCATED_STDDEV, shape)


def truncated_normal(generator: Generator, mean: float, stddev: float, shape: Shape) -> HostArray:
    """Return values of N(mean, stddev²), those outside mean ± 2 · stddev drawn again."""
    import numpy as np

    values = generator.standard_normal(shape)
    while np.any(outside := np.abs(values) > 2):
        values[outside] = generator.standard_normal(np.count_nonzero(outside))
    values *= stddev
    values += mean
    return values
