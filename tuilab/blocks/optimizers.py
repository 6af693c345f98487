"""Optimizers: how gradients change parameters."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from math import sqrt
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from tuilab.blocks.arrays import Array, ArrayModule, Ops
from tuilab.blocks.block import Block
from tuilab.blocks.schedules import Constant, Schedule

Epsilon = Annotated[float, Field(gt=0, description="Keeps the division finite where gradients are zero.")]


class Optimizer(Block, kind=True):
    """A rule that turns gradients into updates; works on flat arrays that hold all parameters of a network.

    A step is made of two halves. `coefficients`, on the host in double precision, works out the few numbers that
    change from step to step; `update` touches the arrays and reads everything that changes from those numbers.
    """

    learning_rate: Schedule = Field(Constant(learning_rate=0.001), description="A number, or a schedule.")
    weight_decay: float | None = Field(
        None, ge=0, description="Every step takes learning_rate · weight_decay of each weight away (decoupled decay)."
    )
    clipnorm: float | None = Field(None, gt=0, description="Largest norm of the gradient of one parameter.")
    clipvalue: float | None = Field(None, gt=0, description="Largest absolute value in a gradient.")
    global_clipnorm: float | None = Field(None, gt=0, description="Largest norm of all gradients together.")
    gradient_accumulation_steps: int | None = Field(
        None, ge=2, description="Batches whose gradients are averaged before one update."
    )
    use_ema: bool = Field(False, description="Keep a moving average of the weights and end training with it.")
    ema_momentum: float = Field(0.99, ge=0, le=1, description="Share of the average that stays at each update.")
    ema_overwrite_frequency: int | None = Field(
        None, ge=1, description="Updates after which the weights are set to their average; none: only at the end."
    )

    slots: ClassVar[tuple[str, ...]] = ()
    other_names: ClassVar[dict[str, str]] = {
        "SGD": "sgd",
        "gradient_descent": "sgd",
        "momentum": '{ type = "sgd", momentum = 0.9 }',
        "nesterov": '{ type = "sgd", momentum = 0.9, nesterov = true }',
        "Adam": "adam",
        "amsgrad": '{ type = "adam", amsgrad = true }',
        "AdamW": "adamw",
        "adam_w": "adamw",
        "rms_prop": "rmsprop",
        "RMSprop": "rmsprop",
    }

    @model_validator(mode="after")
    def _check_one_clip(self) -> Self:
        clips = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, name) is not None]
        if len(clips) > 1:
            raise ValueError(f"{' and '.join(clips)} exclude each other, keep one of them")
        return self

    def slot_start(self, slot: str) -> float:
        """Return the value that fills `slot` before the first step."""
        return 0.0

    def used_slots(self) -> tuple[str, ...]:
        """Return the names of the arrays, shaped like the parameters, that these settings need."""
        return self.slots

    def coefficients(self, learning_rate: float, step: int, memory: MutableMapping[str, float]) -> tuple[float, ...]:
        """Return the numbers that `update` needs for optimizer step `step` (the first is 1). What has to be known
        at the next step goes into `memory`, which checkpoints keep."""
        return (learning_rate,)

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        """Change `w` and `slots` (in the order of `used_slots`) in place for the gradient `g`; all flat and of one
        length. May overwrite `g`."""
        raise NotImplementedError  # abstract


class Sgd(Optimizer):
    """Stochastic gradient descent, with momentum when asked for (Polyak, 1964; Nesterov, 1983).

    v ← momentum · v − rate · g;  w ← w + v;  with nesterov w ← w + momentum · v − rate · g
    """

    learning_rate: Schedule = Field(Constant(learning_rate=0.01), description="A number, or a schedule.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Share of the last update that is kept.")
    nesterov: bool = Field(False, description="Look ahead along the momentum before taking the gradient.")

    def used_slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        xp, (rate,) = ops.xp, coefficients
        xp.multiply(g, rate, out=g)
        if not slots:
            xp.subtract(w, g, out=w)
            return
        (velocity,) = slots
        xp.multiply(velocity, self.momentum, out=velocity)
        xp.subtract(velocity, g, out=velocity)
        if not self.nesterov:
            xp.add(w, velocity, out=w)
            return
        xp.subtract(w, g, out=w)
        xp.multiply(velocity, self.momentum, out=g)
        xp.add(w, g, out=w)


class Adagrad(Optimizer):
    """Adagrad: a rate of its own for every weight, smaller the more gradient it has seen; for sparse inputs
    (Duchi et al., 2011).

    s ← s + g²;  w ← w − rate · g / √(s + epsilon),  s starting from initial_accumulator_value
    """

    initial_accumulator_value: float = Field(0.1, ge=0, description="Where the sum of squared gradients starts.")
    epsilon: Epsilon = 1e-7

    slots = ("accumulator",)

    def slot_start(self, slot: str) -> float:
        return self.initial_accumulator_value

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        xp, (rate,), (accumulator,) = ops.xp, coefficients, slots
        with ops.scratch(g) as root:
            xp.multiply(g, g, out=root)
            xp.add(accumulator, root, out=accumulator)
            xp.add(accumulator, self.epsilon, out=root)
            xp.sqrt(root, out=root)
            xp.divide(g, root, out=g)
        xp.multiply(g, rate, out=g)
        xp.subtract(w, g, out=w)


class Adadelta(Optimizer):
    """Adadelta: measures each step by the size of the steps before, so that the rate hardly matters; its authors
    set learning_rate = 1 (Zeiler, 2012).

    s ← rho · s + (1 − rho) · g²;  δ = g · √(d + epsilon) / √(s + epsilon)
    d ← rho · d + (1 − rho) · δ²;  w ← w − rate · δ
    """

    rho: float = Field(0.95, ge=0, lt=1, description="Share of both averages that stays at each step.")
    epsilon: Epsilon = 1e-7

    slots = ("accumulated_grad", "accumulated_delta_var")

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        xp, (rate,), (gradients, deltas) = ops.xp, coefficients, slots
        with ops.scratch(g) as square, ops.scratch(g) as ratio:
            xp.multiply(g, g, out=square)
            average(xp, gradients, self.rho, square, scaled=square)
            xp.add(gradients, self.epsilon, out=square)
            xp.add(deltas, self.epsilon, out=ratio)
            xp.divide(ratio, square, out=ratio)
            xp.sqrt(ratio, out=ratio)
            xp.multiply(g, ratio, out=g)
            xp.multiply(g, g, out=square)
            average(xp, deltas, self.rho, square, scaled=square)
        xp.multiply(g, rate, out=g)
        xp.subtract(w, g, out=w)


class Rmsprop(Optimizer):
    """RMSprop: divides each gradient by its recent size (Tieleman and Hinton, 2012); centered divides by its
    deviation instead (Graves, 2013).

    v ← rho · v + (1 − rho) · g²;  s = rate · g / √(v + epsilon);  w ← w − s
    centered: a ← rho · a + (1 − rho) · g, and v − a² takes the place of v under the root
    momentum: p ← momentum · p + s;  w ← w − p
    """

    rho: float = Field(0.9, ge=0, lt=1, description="Share of the averages that stays at each step.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Share of the last update that is kept.")
    centered: bool = Field(False, description="Divide by the deviation of the gradient rather than by its size.")
    epsilon: Epsilon = 1e-7

    def used_slots(self) -> tuple[str, ...]:
        return (
            "velocity",
            *(("momentum",) if self.momentum else ()),
            *(("average_gradient",) if self.centered else ()),
        )

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        xp, (rate,), (velocity, *others) = ops.xp, coefficients, slots
        with ops.scratch(g) as root:
            xp.multiply(g, g, out=root)
            average(xp, velocity, self.rho, root, scaled=root)
            if self.centered:
                mean = others[-1]
                average(xp, mean, self.rho, g, scaled=root)
                xp.multiply(mean, mean, out=root)
                xp.subtract(velocity, root, out=root)
                xp.maximum(root, 0, out=root)  # rounding makes a variance near zero negative
                xp.add(root, self.epsilon, out=root)
            else:
                xp.add(velocity, self.epsilon, out=root)
            xp.sqrt(root, out=root)
            xp.divide(g, root, out=g)
        xp.multiply(g, rate, out=g)
        if not self.momentum:
            xp.subtract(w, g, out=w)
            return
        step = others[0]
        xp.multiply(step, self.momentum, out=step)
        xp.add(step, g, out=step)
        xp.subtract(w, step, out=w)


class Adam(Optimizer):
    """Adam: momentum, divided by the recent size of the gradient; a good first choice (Kingma and Ba, 2015). With
    amsgrad that size never shrinks (Reddi et al., 2018).

    m ← beta_1 · m + (1 − beta_1) · g;  v ← beta_2 · v + (1 − beta_2) · g²
    w ← w − α · m / (√v + epsilon),  α = rate · √(1 − beta_2ᵗ) / (1 − beta_1ᵗ) at step t
    amsgrad: v̂ ← max(v̂, v) takes the place of v under the root

    The slots hold m / (1 − beta_1) and v / (1 − beta_2): two passes over memory fewer at each step.
    """

    beta_1: float = Field(0.9, ge=0, lt=1, description="Share of the mean gradient that stays at each step.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Share of the mean squared gradient that stays.")
    epsilon: Epsilon = 1e-7
    amsgrad: bool = Field(False, description="Divide by the largest mean squared gradient so far.")

    slots = ("momentum", "velocity")

    def used_slots(self) -> tuple[str, ...]:
        return (*self.slots, "velocity_hat") if self.amsgrad else self.slots

    def coefficients(self, learning_rate: float, step: int, memory: MutableMapping[str, float]) -> tuple[float, ...]:
        alpha = learning_rate * sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        unit = sqrt(1 - self.beta_2)  # the root of the slot times this is the root of v
        return alpha * (1 - self.beta_1) / unit, self.epsilon / unit

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        xp, (rate, epsilon), (momentum, velocity, *hat) = ops.xp, coefficients, slots
        xp.multiply(momentum, self.beta_1, out=momentum)
        xp.add(momentum, g, out=momentum)
        xp.multiply(velocity, self.beta_2, out=velocity)
        xp.multiply(g, g, out=g)
        xp.add(velocity, g, out=velocity)
        if hat:
            (largest,) = hat
            xp.maximum(largest, velocity, out=largest)
            velocity = largest
        xp.sqrt(velocity, out=g)
        xp.add(g, epsilon, out=g)
        xp.divide(momentum, g, out=g)
        xp.multiply(g, rate, out=g)
        xp.subtract(w, g, out=w)


class Adamw(Adam):
    """Adam with weight decay kept out of the gradient, so that it shrinks all weights alike (Loshchilov and Hutter,
    2019).

    w ← w − rate · weight_decay · w, then a step of Adam
    """

    weight_decay: float = Field(
        0.004, ge=0, description="Every step takes learning_rate · weight_decay of each weight."
    )


class Adamax(Optimizer):
    """Adamax: Adam with the largest recent gradient in place of the root mean square (Kingma and Ba, 2015).

    m ← beta_1 · m + (1 − beta_1) · g;  u ← max(beta_2 · u, |g|)
    w ← w − rate / (1 − beta_1ᵗ) · m / (u + epsilon) at step t
    """

    beta_1: float = Field(0.9, ge=0, lt=1, description="Share of the mean gradient that stays at each step.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Share of the largest gradient that stays at each step.")
    epsilon: Epsilon = 1e-7

    slots = ("momentum", "norm")

    def coefficients(self, learning_rate: float, step: int, memory: MutableMapping[str, float]) -> tuple[float, ...]:
        return (learning_rate / (1 - self.beta_1**step),)

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        xp, (rate,), (momentum, norm) = ops.xp, coefficients, slots
        xp.multiply(norm, self.beta_2, out=norm)
        with ops.scratch(g) as size:
            xp.absolute(g, out=size)
            xp.maximum(norm, size, out=norm)
        average(xp, momentum, self.beta_1, g, scaled=g)
        xp.add(norm, self.epsilon, out=g)
        xp.divide(momentum, g, out=g)
        xp.multiply(g, rate, out=g)
        xp.subtract(w, g, out=w)


class Nadam(Optimizer):
    """Nadam: Adam that looks ahead along its momentum, as Nesterov's does (Dozat, 2016).

    m ← beta_1 · m + (1 − beta_1) · g;  v ← beta_2 · v + (1 − beta_2) · g²
    w ← w − rate · m̂ / (√(v / (1 − beta_2ᵗ)) + epsilon) at step t, with uₜ = beta_1 · (1 − 0.96ᵗ / 2),
    m̂ = uₜ₊₁ · m / (1 − u₁ · … · uₜ₊₁) + (1 − uₜ) · g / (1 − u₁ · … · uₜ)
    """

    beta_1: float = Field(0.9, ge=0, lt=1, description="Share of the mean gradient that stays at each step.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Share of the mean squared gradient that stays.")
    epsilon: Epsilon = 1e-7

    slots = ("momentum", "velocity")

    def coefficients(self, learning_rate: float, step: int, memory: MutableMapping[str, float]) -> tuple[float, ...]:
        now, ahead = (self.beta_1 * (1 - 0.5 * 0.96**t) for t in (step, step + 1))
        product = memory.get("u_product", 1.0) * now
        memory["u_product"] = product
        unit = sqrt(1 - self.beta_2**step)  # both sides of the fraction times this leave √v alone below
        rate = learning_rate * unit
        return rate * ahead / (1 - product * ahead), rate * (1 - now) / (1 - product), self.epsilon * unit

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        xp, (momentum_rate, rate, epsilon), (momentum, velocity) = ops.xp, coefficients, slots
        with ops.scratch(g) as part:
            average(xp, momentum, self.beta_1, g, scaled=part)
            xp.multiply(g, g, out=part)
            average(xp, velocity, self.beta_2, part, scaled=part)
            xp.multiply(g, rate, out=g)
            xp.multiply(momentum, momentum_rate, out=part)
            xp.add(g, part, out=g)
            xp.sqrt(velocity, out=part)
            xp.add(part, epsilon, out=part)
            xp.divide(g, part, out=g)
        xp.subtract(w, g, out=w)


class Lion(Optimizer):
    """Lion: every weight moves by the rate, only the sign is learned; wants a 3 to 10 times smaller rate and larger
    weight decay than Adam (Chen et al., 2023).

    w ← w − rate · sign(beta_1 · m + (1 − beta_1) · g);  m ← beta_2 · m + (1 − beta_2) · g
    """

    beta_1: float = Field(0.9, gt=0, lt=1, description="Weight of the mean gradient beside the present one.")
    beta_2: float = Field(0.99, ge=0, lt=1, description="Share of the mean gradient that stays at each step.")

    slots = ("momentum",)

    def update(
        self, ops: Ops, w: Array, g: Array, slots: Sequence[Array], coefficients: Sequence[float | Array]
    ) -> None:
        xp, (rate,), (momentum,) = ops.xp, coefficients, slots
        with ops.scratch(g) as mix, ops.scratch(g) as step:
            xp.multiply(momentum, self.beta_1 / (1 - self.beta_1), out=mix)  # any positive multiple has the sign
            xp.add(mix, g, out=mix)
            xp.sign(mix, out=step)  # not in place, where numpy takes ten times as long
            xp.multiply(step, rate, out=step)
            xp.subtract(w, step, out=w)
        average(xp, momentum, self.beta_2, g, scaled=g)


def average(xp: ArrayModule, mean: Array, keep: float, x: Array, scaled: Array) -> None:
    """mean ← keep · mean + (1 − keep) · x; overwrites `scaled`, which may be `x`."""
    xp.multiply(x, 1 - keep, out=scaled)
    xp.multiply(mean, keep, out=mean)
    xp.add(mean, scaled, out=mean)
