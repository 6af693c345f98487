"""The updater: every option with numbers worked by hand, PyTorch, checkpoints, no allocation."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from tests.kernels import every_device, make_kernels
from tuilab.blocks.optimizers import Optimizer
from tuilab.engine.updates import Updater

pytestmark = every_device


class Net:
    """Two parameters in an arena, [a, b, padding, c], with an updater."""

    segments = (slice(0, 2), slice(3, 4))

    def __init__(
        self, *weights: float, dtype: str = "float64", total_steps: int = 100, chunk: int = 3, **settings: Any
    ):
        self.values = np.array(weights, dtype)
        self.gradients = np.zeros_like(self.values)
        optimizer = Optimizer.choose({"type": "sgd", "learning_rate": 0.5, **settings})
        ops = make_kernels()
        with ops.scratch(self.values, dtype="float64", shape=(4096,)) as dirty:
            dirty.fill(np.nan)
        self.updater = Updater(
            ops, optimizer, self.values, self.gradients, self.segments, total_steps=total_steps, chunk=chunk
        )

    def step(self, *gradients: float) -> list[float]:
        """Apply one batch's gradients; return the weights."""
        self.gradients[:] = gradients
        self.updater.apply()
        return self.values.tolist()


dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@dtypes
def test_a_plain_step(dtype: str) -> None:
    net = Net(1, 2, 0, 4, dtype=dtype)
    assert net.step(0.5, -1, 0, 2) == [0.75, 2.5, 0, 3]
    assert net.updater.step == 1
    assert net.updater.learning_rate == 0.5
    assert net.values.dtype == dtype


@dtypes
def test_weight_decay_takes_a_share_of_the_weights_before_the_step(dtype: str) -> None:
    """w · (1 − 0.5 · 0.25) − 0.5 · g"""
    net = Net(1, 2, 0, 4, dtype=dtype, weight_decay=0.25)
    assert net.step(0.5, -1, 0, 2) == [0.625, 2.25, 0, 2.5]


@dtypes
def test_clipvalue(dtype: str) -> None:
    net = Net(0, 0, 0, 0, dtype=dtype, clipvalue=0.25)
    assert net.step(0.5, -1, 0, 0.125) == [-0.125, 0.125, 0, -0.0625]


@dtypes
def test_clipnorm_holds_for_each_parameter(dtype: str) -> None:
    """The first has norm 5 and is scaled to 2.5; the second, of norm 2, is left alone."""
    net = Net(0, 0, 0, 0, dtype=dtype, clipnorm=2.5)
    assert net.step(3, -4, 0, 2) == [-0.75, 1, 0, -1]


@dtypes
def test_global_clipnorm_holds_for_all_together(dtype: str) -> None:
    """√(4² + 4² + 7²) = 9, over the chunks [4, −4, 0] and [7]."""
    net = Net(0, 0, 0, 0, dtype=dtype, global_clipnorm=4.5)
    assert net.step(4, -4, 0, 7) == [-1, 1, 0, -1.75]
    assert Net(0, 0, 0, 0, dtype=dtype, global_clipnorm=9.5).step(4, -4, 0, 7) == [-2, 2, 0, -3.5]


@pytest.mark.parametrize("limit", ["clipnorm", "global_clipnorm"])
def test_norms_of_nothing_and_of_huge_gradients(limit: str) -> None:
    assert Net(1, 1, 0, 1, **{limit: 0.1}).step(0, 0, 0, 0) == [1, 1, 0, 1]
    net = Net(0, 0, 0, 0, dtype="float32", **{limit: 5.0})  # squares that float32 does not hold
    assert net.step(3e30, -4e30, 0, 0) == pytest.approx([-1.5, 2, 0, 0])


def test_clipping_does_not_hide_nan() -> None:
    net = Net(0, 0, 0, 0, clipnorm=1.0)
    net.step(math.nan, 1, 0, 0.5)
    assert math.isnan(net.values[0])
    assert net.values[3] == -0.25  # the other parameter is spared


@dtypes
def test_accumulation_averages_batches_before_one_update(dtype: str) -> None:
    """Mean of 1, 2, 6 is 3; clipped to 2 only then; the next three start from nothing."""
    net = Net(8, 8, 0, 8, dtype=dtype, gradient_accumulation_steps=3, clipvalue=2.0)
    updated = []
    for gradient in (1, 2, 6, 1, 1, 1):
        net.gradients[:] = (gradient, -gradient, 0, 0)
        updated.append(net.updater.apply())
    assert updated == [False, False, True, False, False, True]
    assert net.values.tolist() == [8 - 1 - 0.5, 8 + 1 + 0.5, 0, 8]
    assert net.updater.step == 2


def test_accumulation_leaves_batches_alone_while_they_wait() -> None:
    net = Net(8, 8, 0, 8, gradient_accumulation_steps=2)
    assert net.step(1, 1, 0, 1) == [8, 8, 0, 8]
    assert net.updater.step == 0
    assert net.gradients.tolist() == [1, 1, 0, 1]


def test_a_schedule_counts_updates() -> None:
    """Eight batches are four updates, over which the rate falls in a straight line from 0.4 to 0."""
    schedule = {"type": "polynomial", "initial_learning_rate": 0.4, "end_learning_rate": 0.0}
    net = Net(0, 0, 0, 0, learning_rate=schedule, gradient_accumulation_steps=2, total_steps=8)
    rates = [net.updater.learning_rate]
    for _ in range(8):
        net.step(1, 1, 0, 1)
        rates.append(net.updater.learning_rate)
    assert rates == pytest.approx([0.4, 0.4, 0.4, 0.4, 0.3, 0.3, 0.2, 0.2, 0.1])
    assert net.values[0] == pytest.approx(-(0.4 + 0.3 + 0.2 + 0.1))


@dtypes
def test_moving_average_starts_as_the_first_weights_and_ends_as_the_weights(dtype: str) -> None:
    net = Net(1, 2, 0, 4, dtype=dtype, use_ema=True, ema_momentum=0.75)
    average = net.updater.slots["average"]
    assert net.step(1, 0, 0, 0) == [0.5, 2, 0, 4]
    assert average.tolist() == [0.5, 2, 0, 4]
    assert net.step(1, -2, 0, 0) == [0, 3, 0, 4]
    assert average.tolist() == [0.375, 2.25, 0, 4]
    net.updater.finish()
    assert net.values.tolist() == [0.375, 2.25, 0, 4]


def test_moving_average_overwrites_the_weights_now_and_then() -> None:
    net = Net(1, 0, 0, 0, use_ema=True, ema_momentum=0.75, ema_overwrite_frequency=2)
    assert net.step(1, 0, 0, 0)[0] == 0.5
    assert net.step(1, 0, 0, 0)[0] == 0.375  # the step led to 0, the average is 0.75 · 0.5
    assert net.step(1, 0, 0, 0)[0] == -0.125  # average 0.75 · 0.375 − 0.25 · 0.125 = 0.25
    assert net.step(1, 0, 0, 0)[0] == 0.03125  # 0.75 · 0.25 − 0.25 · 0.625


def test_finish_without_average_or_update_changes_nothing() -> None:
    for settings in ({"use_ema": True}, {}):
        net = Net(1, 2, 0, 4, **settings)
        net.updater.finish()
        assert net.values.tolist() == [1, 2, 0, 4]


def test_epochs_reach_the_schedule() -> None:
    schedule = {"type": "reduce_on_plateau", "initial_learning_rate": 0.5, "factor": 0.5, "patience": 1}
    net = Net(0, 0, 0, 0, learning_rate=schedule)
    net.updater.epoch_done({"val_loss": 2.0})
    assert net.step(1, 0, 0, 0)[0] == -0.5
    net.updater.epoch_done({"val_loss": 2.0})
    assert net.step(1, 0, 0, 0)[0] == -0.75
    assert net.updater.learning_rate == 0.25


EVERYTHING = [
    {"type": "sgd", "momentum": 0.9, "nesterov": True, "global_clipnorm": 0.5},
    {"type": "adagrad", "clipnorm": 0.5},
    {"type": "adadelta", "clipvalue": 0.5},
    {"type": "rmsprop", "momentum": 0.9, "centered": True, "use_ema": True, "ema_overwrite_frequency": 3},
    {"type": "adam", "amsgrad": True, "gradient_accumulation_steps": 3, "global_clipnorm": 1.0},
    {"type": "adamw", "use_ema": True, "gradient_accumulation_steps": 2, "clipnorm": 1.0},
    {"type": "adamax", "weight_decay": 0.1},
    {"type": "nadam", "learning_rate": {"type": "reduce_on_plateau", "patience": 1}},
    {"type": "lion", "learning_rate": {"type": "one_cycle"}},
]


def train(net: Net, batches: range) -> None:
    for batch in batches:
        net.step(*np.random.default_rng(batch).normal(size=4))
        if batch % 4 == 3:
            net.updater.epoch_done({"val_loss": 1.0})


@pytest.mark.parametrize("settings", EVERYTHING, ids=lambda settings: settings["type"])
def test_a_checkpoint_brings_everything_back(settings: dict[str, Any]) -> None:
    whole = Net(1, -1, 0, 2, **settings)
    train(whole, range(20))

    first = Net(1, -1, 0, 2, **settings)
    train(first, range(11))
    second = Net(*first.values.tolist(), **settings)
    for name, slot in first.updater.slots.items():
        second.updater.slots[name][:] = slot
    second.updater.restore(first.updater.state())
    assert second.updater.state() == first.updater.state()
    train(second, range(11, 20))

    assert second.values.tobytes() == whole.values.tobytes()
    assert second.updater.state() == whole.updater.state()
    assert second.updater.slots.keys() == whole.updater.slots.keys()
    for name, slot in whole.updater.slots.items():
        assert second.updater.slots[name].tobytes() == slot.tobytes()


def test_every_optimizer_is_checkpointed() -> None:
    assert {settings["type"] for settings in EVERYTHING} == set(Optimizer.registry)


@dtypes
@pytest.mark.parametrize("settings", EVERYTHING, ids=lambda settings: settings["type"])
def test_chunks_change_nothing(settings: dict[str, Any], dtype: str) -> None:
    """Bit by bit where no norm is summed in another order."""
    apart, together = Net(1, -1, 0, 2, chunk=1, dtype=dtype, **settings), Net(1, -1, 0, 2, dtype=dtype, **settings)
    train(apart, range(12))
    train(together, range(12))
    tolerance = 1e-5 if "clipnorm" in settings or "global_clipnorm" in settings else 0
    np.testing.assert_allclose(apart.values, together.values, rtol=tolerance)


@pytest.mark.parametrize("settings", EVERYTHING, ids=lambda settings: settings["type"])
def test_updates_allocate_no_arrays(settings: dict[str, Any]) -> None:
    size = 100_000
    values, gradients = np.ones(size, "float32"), np.ones(size, "float32")
    segments = [slice(0, 60_000), slice(60_032, size)]
    updater = Updater(make_kernels(), Optimizer.choose(settings), values, gradients, segments, 100, chunk=16_384)
    for _ in range(6):
        updater.apply()
    tracemalloc.start()
    try:
        for _ in range(6):
            updater.apply()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16_384  # a single chunk has 65,536 bytes


def test_nothing_to_train() -> None:
    values = np.empty(0)
    for clip in ("clipnorm", "global_clipnorm"):
        optimizer = Optimizer.choose({"type": "adam", clip: 1.0, "use_ema": True})
        updater = Updater(make_kernels(), optimizer, values, values, [], total_steps=0)
        assert updater.apply()
        updater.finish()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("clip", [None, "clipnorm", "global_clipnorm", "clipvalue"])
def test_twenty_steps_of_adamw_equal_pytorch(dtype: str, tolerance: float, clip: str | None) -> None:
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(5)
    start = generator.uniform(3, 5, 4)
    start[2] = 0
    settings = {} if clip is None else {clip: 0.75}
    net = Net(*start, dtype=dtype, type="adamw", learning_rate=0.05, weight_decay=0.1, **settings)
    parameters = [torch.nn.Parameter(torch.tensor(start[at].astype(dtype))) for at in Net.segments]
    oracle = torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1)
    for step in range(1, 21):
        gradients = generator.normal(size=4)
        gradients[2] = 0
        for parameter, at in zip(parameters, Net.segments, strict=True):
            parameter.grad = torch.tensor(gradients[at].astype(dtype))
        if clip == "clipvalue":
            torch.nn.utils.clip_grad_value_(parameters, 0.75)
        elif clip == "global_clipnorm":
            clip_norm(torch, parameters, 0.75)
        elif clip == "clipnorm":
            for parameter in parameters:
                clip_norm(torch, [parameter], 0.75)
        oracle.param_groups[0]["eps"] = 1e-7 / math.sqrt(1 - 0.999**step)  # where Keras adds epsilon
        oracle.step()
        net.step(*gradients)
    for parameter, at in zip(parameters, Net.segments, strict=True):
        np.testing.assert_allclose(net.values[at], parameter.detach().numpy(), rtol=tolerance)


def clip_norm(torch: Any, parameters: list[Any], limit: float) -> None:
    """PyTorch's own adds 1e-6 to the norm."""
    norm = torch.sqrt(sum((parameter.grad**2).sum() for parameter in parameters))
    for parameter in parameters:
        parameter.grad *= limit / max(float(norm), limit)
