"""What the maths of the blocks asks of a device: an array module and a few operations beside it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
    HostArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]

    from tuilab.blocks.activations import Activation
    from tuilab.blocks.loss import Loss
    from tuilab.blocks.metric import Metric, Outputs
    from tuilab.blocks.optimizers import Optimizer
    from tuilab.blocks.window import Window
else:
    Array = HostArray = Any

Shape: TypeAlias = tuple[int, ...]

ArrayModule: TypeAlias = Any
"""numpy or cupy. Any, because the two share no declared interface that a type checker could hold them to."""


class Ops(Protocol):
    """The operations of one device. Blocks take every array function from `xp` and never import an array module.

    A block's maths writes into arrays that it is given (`out`) and allocates nothing: what it needs between it
    borrows with `scratch`. Operations that take a block do what its methods say, in fewer passes over memory where the
    device has a kernel for it.
    """

    @property
    def xp(self) -> ArrayModule: ...

    def prepare(self, sample: Shape, exact: bool) -> None:
        """Get ready for a network whose input samples have this shape: settle how its work is shared among threads, and
        whether convolutions are `exact`, products and sums alone."""
        ...

    @property
    def compiles(self) -> bool:
        """Whether arrays lie in the host's memory, and functions over them are compiled."""
        ...

    @property
    def records(self) -> bool:
        """Whether all that a step tells the device can be recorded and started again at once
        (`tuilab.engine.kernels.launching`)."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What is done in another way than the installation promises, and why; more are added while it works."""
        ...

    def alongside(self) -> Ops | None:
        """Return operations for another thread to use at the same time, which give the same numbers; None where the
        device has but one thread at work."""
        ...

    def scratch(
        self, like: Array, dtype: str | None = None, shape: Shape | None = None
    ) -> AbstractContextManager[Array]:
        """Lend an uninitialised array of the shape and dtype of `like` (or of those given) until the block ends.

        Loans end in reverse order, which nested `with` statements do by themselves.
        """
        ...

    def quiet(self) -> AbstractContextManager[None]:
        """Let overflow and invalid operations give infinity and NaN without a warning: the engine looks for them."""
        ...

    def erf(self, x: Array, out: Array) -> None:
        """Write the error function of `x` into `out` (which may be `x`); numpy has none of its own."""
        ...

    def uniform(self, stream: Stream, out: Array) -> None:
        """Fill `out` with numbers in [0, 1) that depend on the stream and its clock alone (Philox 4×64)."""
        ...

    def draw_mask(self, stream: Stream, rate: float, out: Array) -> None:
        """out = 0 with probability `rate`, otherwise 1 / (1 − rate), from the numbers that `uniform` draws."""
        ...

    def count_up(self, out: Array) -> None:
        """out = 0, 1, 2, …, of any dtype; out: (numbers,)."""
        ...

    def gather(self, source: Array, rows: Array, out: Array) -> None:
        """out[i] = source[rows[i]] along the first axis; both of one dtype, every row number within bounds."""
        ...

    def load(self, source: Array, rows: Array, offset: Array | None, scale: Array | None, out: Array) -> None:
        """out[i] = (source[rows[i]] − offset) · scale, of any dtype; offset and scale, of one number or of a sample's
        shape, are left out where they are None."""
        ...

    def has_room(self, size: int) -> bool:
        """Whether samples of so many bytes may lie on the device all the time."""
        ...

    def staging(self, shape: Shape, dtype: str) -> Staging:
        """Return memory for samples that are brought to the device batch by batch."""
        ...

    def to_host(self, array: Array) -> HostArray:
        """Return a copy of `array` in host memory."""
        ...

    def activate(self, activation: Activation, x: Array, bias: Array | None, out: Array) -> None:
        """out = activation(x + bias); x, out: (…, units), bias: (units,). `x` is left as x + bias, or is `out`."""
        ...

    def activate_backward(
        self, activation: Activation, x: Array, y: Array, dy: Array, dbias: Array | None, out: Array
    ) -> None:
        """Write dL/dx, and its sum over all axes but the last into `dbias`; y = activation(x), `out` may be `dy`."""
        ...

    def loss_from_logits(
        self,
        loss: Loss,
        activation: Activation,
        target: Array,
        logits: Array,
        prediction: Array,
        out: Array,
        gradient: Array,
    ) -> None:
        """Write prediction = activation(logits), each sample's loss into `out`, (batch,), and its gradient with respect
        to the logits, (batch, units); `activation` is the one that the loss fuses with."""
        ...

    def add_to_metric(self, metric: Metric, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        """Add a batch to a metric's state (`Metric.update`)."""
        ...

    def update(
        self,
        optimizer: Optimizer,
        w: Array,
        g: Array,
        slots: Sequence[Array],
        coefficients: Sequence[float | Array],
        kept: float | Array,
    ) -> None:
        """Multiply the weights by `kept`, then change them and the slots for the gradient (`Optimizer.update`).

        Coefficients and `kept` are numbers, or arrays of one number each on a device that `records`."""
        ...

    def norms(self, x: Array, minus: Array | None, places: HostArray, out: Array) -> None:
        """out[group] = the L2 norm of those stretches of x − minus that belong to the group, in double precision.

        x, minus: flat; places: (stretches, 3), the group, beginning and end of each; out: (groups,) of float64."""
        ...

    def mean_and_deviation(self, x: Array, mean: Array, deviation: Array) -> None:
        """Write the mean of all numbers and the root of their mean squared difference from it, in double precision."""
        ...

    def moments(self, x: Array, mean: Array, variance: Array) -> None:
        """Write mean and variance over the first axis; x: (rows, units), mean, variance: (units,)."""
        ...

    def standardize(self, x: Array, mean: Array, scale: Array, shift: Array, out: Array) -> None:
        """out = (x − mean) · scale + shift; x, out: (rows, units), the others: (units,)."""
        ...

    def standardize_sums(self, x: Array, mean: Array, dy: Array, total: Array, product: Array) -> None:
        """total = Σ dy, product = Σ dy · (x − mean), over the rows; x, dy: (rows, units), the others: (units,)."""
        ...

    def standardize_backward(
        self, x: Array, mean: Array, dy: Array, scale: Array, level: Array, slope: Array, out: Array
    ) -> None:
        """out = scale · (dy − level − (x − mean) · slope); x, dy, out: (rows, units), the others: (units,)."""
        ...

    def count_flat(self, activation: Activation, x: Array, y: Array, least: float, dead: Array, flat: Array) -> None:
        """Write the share of units where the activation's slope is 0 for every sample, and that of the outputs where it
        is below `least`; x, y: (…, units), dead, flat: one number of float64 each."""
        ...

    def linear(self, x: Array, kernel: Array, bias: Array | None, out: Array) -> None:
        """out = x · kernel + bias; x: (rows, inputs), kernel: (inputs, units), bias: (units,), out: (rows, units)."""
        ...

    def linear_backward(
        self, x: Array, kernel: Array, dy: Array, dx: Array | None, dkernel: Array | None, dbias: Array | None
    ) -> None:
        """Write the gradients of `linear` with respect to x, kernel and bias, those that are not None."""
        ...

    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window, out: Array) -> None:
        """Slide a kernel over images: out[b, y, x] = Σ image under the window at (y, x) · kernel + bias.

        x: (batch, height, width, channels), kernel: (*window.size, channels / groups, filters), bias: (filters,),
        out: (batch, rows, columns, filters). How many groups there are follows from the shapes; group g of the channels
        leads to group g of the filters.
        """
        ...

    def conv2d_backward(
        self,
        x: Array,
        kernel: Array,
        dy: Array,
        window: Window,
        dx: Array | None,
        dkernel: Array | None,
        dbias: Array | None,
    ) -> None:
        """Write the gradients of `conv2d` with respect to x, kernel and bias, those that are not None; `x` is read for
        the kernel's gradient alone."""
        ...

    def max_pool2d(self, x: Array, window: Window, out: Array, chosen: Array | None) -> None:
        """out = the largest value under the window; `chosen`, where given, which position of the window it came from
        (the first of several), an array of unsigned integers. x: (batch, height, width, channels)."""
        ...

    def max_pool2d_backward(self, chosen: Array, dy: Array, window: Window, dx: Array) -> None:
        """Write the gradient of `max_pool2d` with respect to x."""
        ...

    def sum_pool2d(self, x: Array, window: Window, out: Array) -> None:
        """out = the sum of the values under the window; x: (batch, height, width, channels)."""
        ...

    def sum_pool2d_backward(self, dy: Array, window: Window, dx: Array) -> None:
        """Write the gradient of `sum_pool2d` with respect to x."""
        ...


class Staging(Protocol):
    """An array on a device that is copied there from the host, time and again."""

    device: Array

    def host(self) -> HostArray:
        """Return what `send` copies, once that may be written again; on any thread."""
        ...

    def send(self) -> None:
        """Begin to copy, as soon as nothing that was told before `used` needs the last copy any more; on any thread."""
        ...

    def receive(self) -> None:
        """Let what the device is told from now on see the copy."""
        ...

    def used(self) -> None:
        """Say that the device has been told everything that needs the copy."""
        ...


class Clock:
    """Where training stands; shared by everything that draws random numbers."""

    __slots__ = ("epoch", "step")

    def __init__(self) -> None:
        self.epoch = 0
        self.step = 0


def stream_key(seed: int, purpose: str) -> tuple[int, int]:
    """Return the two words of the Philox key that belongs to a seed (0 ≤ seed < 2⁶³) and a purpose."""
    digest = blake2b(purpose.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return seed, int.from_bytes(digest, "little")


def host_generator(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """Return numpy's generator for a purpose outside the step: initial values, splits, the order of an epoch."""
    import numpy as np

    key = np.array(stream_key(seed, purpose), dtype="uint64")
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, epoch]))


class Stream:
    """A source of random numbers without hidden state: the same seed, purpose, epoch and step give the same numbers."""

    __slots__ = ("clock", "key")

    def __init__(self, seed: int, purpose: str, clock: Clock) -> None:
        self.key = stream_key(seed, purpose)
        self.clock = clock
