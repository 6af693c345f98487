"""Products and convolutions of rounded numbers, beside PyTorch's idea of these numbers; the scaled loss of float16."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import end_of, losses_of, make_data, make_experiment
from tests.engine.test_image_kernels import Convolution
from tests.gpu.device import EmulatedKernels
from tests.gpu.test_graph import DENSE, IMAGES, is_recorded, weights
from tests.runs.recorded import new_run, recording
from tuilab.blocks.samples import Data
from tuilab.blocks.window import slide
from tuilab.data.load import load
from tuilab.engine import graph, precision
from tuilab.engine.checkpoint import capture, restore
from tuilab.engine.device import Device
from tuilab.engine.events import Event, LayersSeen, StepsDone, UpdatesSkipped
from tuilab.engine.kernels.launching import PRECISIONS
from tuilab.engine.precision import FIRST_SCALE, LossScaling
from tuilab.engine.trainer import Trainer
from tuilab.experiment.document import Experiment
from tuilab.experiment.load import load_experiment
from tuilab.runs.checkpoints import load_checkpoint, save_checkpoint
from tuilab.runs.reader import following
from tuilab.runs.training import RecordedTraining

torch = pytest.importorskip("torch")

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
CLOSE = 2e-6
ROUNDOFF = {"float32": CLOSE, "tf32": 2**-10, "bfloat16": CLOSE, "float16": CLOSE}
"""Of products beside those of rounded numbers; how cuBLAS rounds to TF32 it does not say."""
every = pytest.mark.parametrize("name", PRECISIONS)
RANDOM = np.random.default_rng(8)
START = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(graph, "SECONDS_AT_ONCE", 3600.0)
    RANDOM.bit_generator.state = START  # every test draws the same numbers, whatever was run before it
    with np.errstate(all="ignore"):
        yield


def rounded(x: np.ndarray, name: str) -> np.ndarray:
    if name == "tf32":  # of two as near, the even one
        bits = x.view("uint32").astype("uint64")
        return ((bits + 0xFFF + (bits >> 13 & 1)) >> 13 << 13).astype("uint32").view("float32")
    return torch.from_numpy(x).to(HALVES[name]).float().numpy() if name in HALVES else x


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype("float32")


@pytest.mark.parametrize("name", HALVES)
def test_every_number_and_what_lies_between_is_rounded(name: str) -> None:
    numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(HALVES[name]).float().numpy()
    near = [np.nextafter(numbers, np.float32(to)) for to in (-np.inf, np.inf)]
    finite = np.sort(numbers[np.isfinite(numbers)].astype("float64"))
    between = ((finite[1:] + finite[:-1]) / 2).astype("float32")
    beyond = np.array([65519.996, 65520, -65520, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan], "float32")
    x = np.concatenate([numbers, *near, between, np.nextafter(between, np.float32(np.inf)), beyond])
    ops = EmulatedKernels()
    ops.precision = name
    with ops.rounded(ops.xp.asarray(x)) as lent:
        bits = ops.to_host(lent)
    found = torch.from_numpy(bits.view("int16")).view(HALVES[name]).float().numpy()
    np.testing.assert_array_equal(found, rounded(x, name))
    signed = ~np.isnan(x)
    np.testing.assert_array_equal(np.signbit(found[signed]), np.signbit(x[signed]))


@every
@pytest.mark.parametrize(("rows", "units"), [(1, 1), (3, 5), (67, 33)])
def test_products_of_rounded_numbers(name: str, rows: int, units: int) -> None:
    ops, x, kernel, dy = EmulatedKernels(), normal(rows, 40), normal(40, units), normal(rows, units)
    ops.precision = name
    given = [ops.xp.asarray(one) for one in (x, kernel, dy, normal(units))]
    bias = ops.to_host(given[3])
    y, dx, dkernel, dbias = (ops.xp.zeros(shape, dtype="float32") for shape in (dy.shape, x.shape, kernel.shape, units))
    ops.linear(given[0], given[1], given[3], out=y)
    ops.linear_backward(*given[:3], dx, dkernel, dbias)
    wide = [rounded(one, name).astype("float64") for one in (x, kernel, dy)]
    expected = wide[0] @ wide[1] + bias, wide[2] @ wide[1].T, wide[0].T @ wide[2], dy.astype("float64").sum(axis=0)
    for found, wanted in zip((y, dx, dkernel, dbias), expected, strict=True):
        limit = ROUNDOFF[name] * np.abs(wanted).max()
        np.testing.assert_allclose(ops.to_host(found), wanted, rtol=0, atol=limit)


@pytest.mark.parametrize("name", HALVES)
def test_products_of_matrices_that_are_not_in_order(name: str) -> None:
    ops, wide, kernel = EmulatedKernels(), normal(6, 9), normal(5, 4)
    ops.precision = name
    y = ops.xp.zeros((6, 4), dtype="float32")
    ops.linear(ops.xp.asarray(wide)[:, 2:7], ops.xp.asarray(np.asfortranarray(kernel)), None, out=y)
    expected = rounded(wide[:, 2:7].copy(), name) @ rounded(kernel, name)
    np.testing.assert_allclose(ops.to_host(y), expected, rtol=0, atol=CLOSE * np.abs(expected).max())


@every
@pytest.mark.parametrize(("channels", "groups", "filters"), [(3, 1, 70), (20, 1, 5), (16, 2, 18), (6, 6, 6), (4, 2, 6)])
def test_convolutions_of_rounded_numbers(name: str, channels: int, groups: int, filters: int) -> None:
    case = Convolution((7, 8), (3, 3), (2, 1), (1, 1), channels, groups, filters, "same", 2, dtype="float32")
    ops, window = EmulatedKernels(), case.window
    ops.precision = name
    x, kernel, bias, dy = map(ops.xp.asarray, (case.x, case.kernel, case.bias, case.dy))
    y, dx, dkernel = (ops.xp.zeros(one.shape, dtype="float32") for one in (case.dy, case.x, case.kernel))
    ops.conv2d(x, kernel, bias, window, out=y)
    ops.conv2d_backward(x, kernel, dy, window, dx, dkernel, None)
    images, weights, slopes = (
        torch.from_numpy(rounded(one, name)).double().permute(order).requires_grad_()
        for one, order in ((case.x, (0, 3, 1, 2)), (case.kernel, (3, 2, 0, 1)), (case.dy, (0, 3, 1, 2)))
    )
    bias64 = torch.from_numpy(case.bias).double()
    outputs = torch.nn.functional.conv2d(images, weights, bias64, (2, 1), padding=1, groups=groups)
    outputs.backward(slopes.detach())
    expected = outputs.permute(0, 2, 3, 1), images.grad.permute(0, 2, 3, 1), weights.grad.permute(2, 3, 1, 0)
    for found, wanted in zip((y, dx, dkernel), expected, strict=True):
        numbers = wanted.detach().numpy()
        np.testing.assert_allclose(ops.to_host(found), numbers, rtol=0, atol=CLOSE * np.abs(numbers).max())


@pytest.mark.parametrize(("value", "seen"), [(65519.0, 65504.0), (65520.0, np.inf), (-1e9, -np.inf)])
def test_convolutions_of_numbers_beyond_the_largest(value: float, seen: float) -> None:
    ops, window = EmulatedKernels(), slide((1, 2), (1, 2), (1, 1), (1, 1), "valid")[0]
    ops.precision = "float16"
    x, kernel = ([[[[value], [1.0]]]], [[[[1.0]], [[0.0]]]])
    y = ops.xp.zeros((1, 1, 1, 1), dtype="float32")
    ops.conv2d(*(ops.xp.asarray(np.array(one, "float32")) for one in (x, kernel)), None, window, out=y)
    assert ops.to_host(y).item() == seen


def start(experiment: Experiment, data: Data, ops: Any = None) -> Trainer:
    return Trainer(experiment, data, Device("gpu", ops or EmulatedKernels(), steps_between_reads=5))


ADAM = {"type": "adam", "weight_decay": 0.01}
NETWORKS = {
    "dense": (DENSE, make_data(train=66), 4),
    "images": (IMAGES, make_data(shape=(6, 5, 2), train=47), 5),
}


def network(which: str, name: str, **settings: Any) -> tuple[Experiment, Data]:
    layers, data, batch = NETWORKS[which]
    settings = {"optimizer": ADAM, "metrics": ["accuracy"], "statistics_every": 7, "epochs": 3, **settings}
    loss = "categorical_crossentropy"
    return make_experiment(layers, loss, data={"batch_size": batch}, precision=name, **settings), data


def skipped(events: list[Event]) -> int:
    return sum(event.updates for event in events if isinstance(event, UpdatesSkipped))


@every
@pytest.mark.parametrize("which", NETWORKS)
def test_a_recording_of_rounded_products_gives_the_numbers_of_single_steps(which: str, name: str) -> None:
    outcomes = []
    for alone in (False, True):
        trainer = start(*network(which, name))
        if alone:
            trainer._small = None
        events = list(trainer.run())
        assert end_of(events).status == "finished", end_of(events)
        assert trainer.one_by_one == ""
        assert is_recorded(trainer) != alone
        outcomes.append((losses_of(events), [one.results for one in trainer.history], weights(trainer).tobytes()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", PRECISIONS[1:])
@pytest.mark.parametrize("which", NETWORKS)
def test_numbers_differ_from_those_of_float32_as_much_as_they_are_rounded(which: str, name: str) -> None:
    outcomes = []
    for wanted in ("float32", name):
        trainer = start(*network(which, wanted, epochs=1, optimizer={"type": "sgd", "learning_rate": 0.01}))
        list(trainer.run())
        outcomes.append(weights(trainer))
    change = np.abs(outcomes[1] - outcomes[0]).max()
    assert 0 < change < {"tf32": 2e-4, "bfloat16": 2e-3, "float16": 2e-4}[name]


@every
def test_digits_are_learned(name: str) -> None:
    experiment = load_experiment("digits-mlp", [f"training.precision={name}", "training.epochs=4"])
    data = load(experiment.data, experiment.seed)
    trainer = start(experiment, data)
    assert end_of(list(trainer.run())).status == "finished"
    assert data.test is not None
    assert trainer.evaluate(data.test)["accuracy"] > 0.93


def test_everything_else_stays_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A penalty by a product of the weights with themselves, and resizing by one."""
    layers = [
        {"type": "reshape", "target_shape": [2, 3, 1]},
        {"type": "up_sampling2d", "interpolation": "bilinear"},
        {"type": "flatten"},
        {"type": "dense", "units": 3, "activation": "softmax", "kernel_regularizer": "orthogonal"},
    ]
    experiment = make_experiment(layers, "categorical_crossentropy", precision="bfloat16")
    ops = EmulatedKernels()
    asked: list[str] = []
    multiply = ops.multiply

    def listen(a: Any, b: Any, out: Any, name: str = "float32") -> bool:
        asked.append(name)
        return multiply(a, b, out, name)

    monkeypatch.setattr(ops, "multiply", listen)
    list(start(experiment, make_data(), ops).run())
    assert set(asked) == {"float32", "bfloat16"}


# The scaled loss


def regression(size: float, precision: str = "float16", **settings: Any) -> tuple[Experiment, Data]:
    """Targets so large that their gradients, scaled, are beyond the largest number of float16."""
    layers = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 2}]
    optimizer = {"type": "adam", "learning_rate": 0.05 * size}
    settings = {"optimizer": optimizer, "epochs": 8, "precision": precision, "statistics_every": 9, **settings}
    data = make_data("regression", train=64)
    for split in (data.train, data.validation):
        assert split is not None
        split.targets[...] *= size
    return make_experiment(layers, "mean_squared_error", data={"batch_size": 4}, **settings), data


def state_of(trainer: Trainer) -> list[float]:
    assert trainer.loss_scaling is not None
    state: list[float] = trainer.device.ops.to_host(trainer.loss_scaling.state).tolist()
    return state


def everything(trainer: Trainer) -> dict[str, bytes]:
    return {name: trainer.device.ops.to_host(array).tobytes() for name, array in trainer.lasting_arrays().items()}


def test_updates_are_skipped_until_gradients_are_finite() -> None:
    trainer = start(*regression(100.0))
    trainer.step_by_step = True
    slots = [f"slots.{name}" for name in trainer.updater.slots]
    seen = [(FIRST_SCALE, everything(trainer))]
    told: list[UpdatesSkipped] = []
    for event in trainer.run():
        if isinstance(event, StepsDone):
            seen.append((state_of(trainer)[0], everything(trainer)))
        elif isinstance(event, UpdatesSkipped):
            told.append(event)
    count = 0
    for (scale, before), (now, after) in itertools.pairwise(seen):
        assert now in (scale, scale / 2)
        for name in ("values", *slots):
            assert (before[name] == after[name]) == (now < scale), name
        count += now < scale
    assert seen[1][0] == seen[0][0] / 2
    assert 2 <= count == len(told) == state_of(trainer)[2]
    assert [one.loss_scale for one in told] == [FIRST_SCALE / 2**place for place in range(1, count + 1)]
    assert str(told[0]) == "an update was skipped, gradients were not finite; the loss is scaled by 16,384 now"
    assert trainer.history[-1].results["loss"] < 0.4 * trainer.history[0].results["loss"]


@pytest.mark.parametrize("alone", [True, False])
def test_the_numbers_are_those_of_float32_once_gradients_are_finite(alone: bool) -> None:
    losses = []
    for name in ("float32", "float16"):
        trainer = start(*regression(100.0, name, epochs=12))
        if alone:
            trainer._small = None
        events = list(trainer.run())
        assert end_of(events).status == "finished"
        losses.append(trainer.history[-1].results["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.3)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "adam", "clipnorm": 1.0},
        {"type": "sgd", "momentum": 0.9, "global_clipnorm": 0.5},
        {"type": "nadam", "clipvalue": 0.5},
        {"type": "sgd", "use_ema": True, "ema_momentum": 0.5},
        {"type": "sgd", "gradient_accumulation_steps": 3},
    ],
    ids=str,
)
def test_updates_are_skipped_within_recordings(optimizer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "FIRST_SCALE", 2.0**40)
    monkeypatch.setattr(precision, "PATIENCE", 4)
    outcomes = []
    for alone in (False, True):
        trainer = start(*network("dense", "float16", optimizer=optimizer))
        if alone:
            trainer._small = None
        events = list(trainer.run())
        assert end_of(events).status == "finished", end_of(events)
        assert is_recorded(trainer) != alone
        scale, _, count = state_of(trainer)
        assert 10 < count == skipped(events)
        assert (np.log2(scale) > 40 - count) == ("gradient_accumulation_steps" not in optimizer)
        outcomes.append((losses_of(events), everything(trainer), trainer.updater.state()))
    assert outcomes[0] == outcomes[1]


def test_the_scale_follows_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "PATIENCE", 3)
    ops = EmulatedKernels()
    scaling, scale, good, skips = LossScaling(ops), FIRST_SCALE, 0, 0
    gradients, x = ops.xp.zeros(300, dtype="float32"), ops.xp.zeros(300, dtype="float32")
    for step, value in enumerate([1, 1, np.inf, 1, 1, 1, 1, np.nan, -np.inf, 3e38, 1, 1, 1, 1, 1, 1], 1):
        gradients[299:] = value
        before = ops.to_host(x).tolist()
        scaling.look(gradients)
        with scaling.if_finite(x):
            x.fill(step)
        finite = bool(np.isfinite(value))
        assert ops.to_host(x).tolist() == ([step] * 300 if finite else before)
        good, skips = (good + 1 if finite else 0), skips + (not finite)
        scale *= 0.5 if not finite else 2 if good == 3 else 1
        good %= 3
        assert ops.to_host(scaling.state).tolist() == [scale, good, skips]


def test_the_scale_stays_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "PATIENCE", 1)
    ops = EmulatedKernels()
    scaling, gradients = LossScaling(ops), ops.xp.zeros(8, dtype="float32")
    for _ in range(130):
        scaling.look(gradients)
    assert ops.to_host(scaling.scale).item() == 2.0**127


def test_the_scale_grows_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "PATIENCE", 5)
    monkeypatch.setattr(precision, "FIRST_SCALE", 4.0)
    trainer = start(*network("dense", "float16", epochs=1))
    list(trainer.run())
    scale, waited, count = state_of(trainer)
    assert (scale, waited, count) == (4 * 2 ** (trainer.step // 5), trainer.step % 5, 0)


def test_an_average_begins_with_the_weights_of_a_skipped_update() -> None:
    optimizer = {"type": "sgd", "learning_rate": 1e-4, "use_ema": True, "ema_momentum": 0.99}
    trainer = start(*regression(100.0, optimizer=optimizer, epochs=1))
    first = weights(trainer)
    list(trainer.run())
    average = trainer.device.ops.to_host(trainer.updater.slots["average"])
    assert state_of(trainer)[2] > 0
    assert np.linalg.norm(average - first) < 0.5 * np.linalg.norm(first)


@pytest.mark.parametrize("layer", ["l2", "l1"])
def test_penalties_are_not_scaled_twice_or_never(layer: str) -> None:
    """Weights and outputs, whose penalties go different ways."""
    layers: list[dict[str, Any]] = [
        {"type": "dense", "units": 6, "kernel_regularizer": layer, "activity_regularizer": layer, "activation": "tanh"},
        {"type": "dense", "units": 3, "activation": "softmax", "activity_regularizer": layer},
    ]
    gradients = []
    for name in ("float32", "float16"):
        trainer = start(make_experiment(layers, "categorical_crossentropy", precision=name), make_data())
        trainer.gather_gradients(*trainer.train.batch(0), None)
        gradients.append(trainer.device.ops.to_host(trainer.network.arena.gradients))
    np.testing.assert_allclose(*gradients, rtol=0, atol=2e-3 * np.abs(gradients[0]).max())


def test_a_resumed_training_goes_on_with_the_same_scale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(precision, "FIRST_SCALE", 2.0**30)
    monkeypatch.setattr(precision, "PATIENCE", 9)
    experiment, data = network("dense", "float16")
    whole, begun, resumed = (start(experiment, data) for _ in range(3))
    list(whole.run())
    events: list[Event] = []
    for event in begun.run():
        events.append(event)
        if isinstance(event, StepsDone) and event.step % 17 > 0:
            begun.stop("enough")
    run = new_run(tmp_path)
    save_checkpoint(run, begun, {}, {})
    restore(resumed, load_checkpoint(run.checkpoint(), 1 << 20)[0])
    assert 0 < resumed.step < whole.step
    assert state_of(resumed) == state_of(begun) != state_of(whole)
    events += list(resumed.run())
    assert everything(resumed) == everything(whole)
    assert skipped(events) == state_of(whole)[2]


def test_a_run_tells_of_skipped_updates(tmp_path: Path) -> None:
    run, trainer = new_run(tmp_path), start(*regression(100.0))
    with run.hold() as lock, recording(run) as recorder:
        assert RecordedTraining(run, trainer, recorder, lock).train() == "finished"
    with following(run) as reader:
        texts = [message.text for message in reader.messages()]
        assert reader.status().step == trainer.step
    told = [text for text in texts if "skipped, gradients were not finite; the loss is scaled by" in text]
    assert told
    assert told[-1].endswith(f"scaled by {state_of(trainer)[0]:,.10g} now")


@pytest.mark.parametrize(("before", "now"), [("float16", "bfloat16"), ("float32", "float16")])
def test_a_resumed_training_may_have_another_precision(before: str, now: str) -> None:
    (experiment, data), (other, _) = network("dense", before, epochs=1), network("dense", now, epochs=2)
    begun, resumed = start(experiment, data), start(other, data)
    list(begun.run())
    restore(resumed, capture(begun))
    assert weights(resumed).tobytes() == weights(begun).tobytes()
    assert resumed.loss_scaling is None or state_of(resumed) == [FIRST_SCALE, 0, 0]
    assert end_of(list(resumed.run())).status == "finished"


def test_gradients_that_are_never_finite_end_the_training() -> None:
    experiment, data = network("dense", "float16", epochs=100)
    trainer = start(experiment, data)
    backward = trainer.network.backward

    def spoilt(weights: Any = None) -> None:
        backward(weights)
        trainer.network.arena.gradients.fill(np.inf)

    trainer.network.backward = spoilt  # type: ignore[method-assign]  # on purpose
    before = weights(trainer).tobytes()
    done = end_of(list(trainer.run()))
    assert done.status == "diverged"
    assert done.reason == f"the gradients are not finite at step {done.step}, however little the loss is scaled"
    assert weights(trainer).tobytes() == before


def test_a_loss_that_is_not_finite_is_no_skipped_update() -> None:
    experiment, data = regression(1e30)
    done = end_of(list(start(experiment, data).run()))
    assert done.status == "diverged"
    assert done.reason.startswith("the loss is not finite at step 1")


def test_what_is_seen_of_a_skipped_update() -> None:
    events = list(start(*regression(100.0, epochs=1)).run())
    first = next(event for event in events if isinstance(event, LayersSeen))
    assert first.layers[0].update_ratio == 0
    assert not np.isfinite(first.layers[0].gradient_norm)


def test_another_training_on_the_same_device_has_its_own_precision() -> None:
    ops = EmulatedKernels()
    for name in ("float16", "float32"):
        start(*network("dense", name), ops)
        assert ops.precision == name
