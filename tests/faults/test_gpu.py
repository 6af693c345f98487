"""On a real GPU, with `pytest -m gpu`: what the tests without one can only imitate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.examples import make_data, make_experiment
from tests.faults.conftest import LONG, MODEL, OFTEN, Studio, over, record, training, wait
from tests.faults.test_device import series_of
from tuilab.engine.device import Device, choose_device
from tuilab.engine.parity import compare_blocks
from tuilab.engine.trainer import Trainer
from tuilab.runs.directory import find_run

pytestmark = pytest.mark.gpu

DENSE: list[dict[str, Any]] = [
    {"type": "dense", "units": 32, "activation": "relu"},
    {"type": "dropout", "rate": 0.3},
    {"type": "dense", "units": 3, "activation": "softmax"},
]
IMAGES: list[dict[str, Any]] = [
    {"type": "conv2d", "filters": 8, "kernel_size": 3, "padding": "same"},
    {"type": "batch_normalization"},
    {"type": "activation", "activation": "relu"},
    {"type": "max_pooling2d"},
    {"type": "flatten"},
    *DENSE,
]


@pytest.fixture(scope="module")
def device() -> Device:
    return choose_device("gpu")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_block_agrees_with_the_reference(device: Device, dtype: str) -> None:
    rows = list(compare_blocks(device.ops, dtype))
    assert not [row for row in rows if not row.passed]


@pytest.mark.parametrize(("layers", "shape"), [(DENSE, (20,)), (IMAGES, (9, 8, 3))], ids=["dense", "images"])
def test_recorded_steps_give_the_numbers_of_single_ones(
    device: Device, layers: list[dict[str, Any]], shape: tuple[int, ...]
) -> None:
    schedule = {"type": "cosine_decay", "initial_learning_rate": 0.01}
    experiment = make_experiment(
        layers,
        "categorical_crossentropy",
        metrics=["accuracy"],
        optimizer={"type": "adam", "learning_rate": schedule},
        epochs=3,
    )
    outcomes = []
    for recorded in (True, False):
        trainer = Trainer(experiment, make_data(shape=shape, train=1000), device)
        assert trainer._small is not None
        if not recorded:
            trainer._small = None
        list(trainer.run())
        assert trainer.one_by_one == ""
        values = device.ops.to_host(trainer.network.arena.values).tobytes()
        outcomes.append((values, [epoch.results for epoch in trainer.history]))
    assert outcomes[0] == outcomes[1]


def test_a_resumed_run_ends_with_the_same_bytes(studio: Studio) -> None:
    studio.worker = OFTEN
    on_gpu = ("--set", "training.device=gpu")
    studio("train", studio.model(), *on_gpu)
    undisturbed = record(find_run(studio.tuilab.runs, "last"), "loss")
    run, _ = studio.detached("train", studio.model(), *on_gpu)
    wait(lambda: training(run))
    studio("stop", run.name)
    assert over(run, "stopped").status.device == "gpu"
    studio("resume", run.name)
    assert record(run, "loss") == undisturbed


def test_a_run_goes_from_the_gpu_to_the_cpu(studio: Studio) -> None:
    run, _ = studio.detached("train", studio.model(LONG), "--device", "gpu")
    wait(lambda: training(run))
    wait(lambda: "gpu_memory_bytes" in series_of(run))
    studio("stop", run.name)
    run, _ = studio.detached("resume", run.name, "--set", "training.device=cpu")
    wait(lambda: training(run))
    studio("stop", run.name)
    assert over(run, "stopped").status.device == "cpu"


def test_a_network_larger_than_the_memory(studio: Studio) -> None:
    model = studio.model(MODEL.replace("units = 16", "units = 100_000_000_000"))
    told = studio("train", model, "--device", "gpu", code=5).stderr
    assert "the GPU has not enough memory: 3200.0 GB more were asked for" in told
    assert "the largest layer is dense_1 (layers[0])" in told
    assert "not even one sample a step would fit" in told
    assert studio.tuilab.run_names() == []


@pytest.fixture
def crowded() -> Iterator[None]:
    """Leave 256 MiB of the GPU's memory to other programs."""
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    held = cupy.empty(free - 2**28, dtype="uint8")
    yield
    del held
    cupy.get_default_memory_pool().free_all_blocks()


@pytest.mark.usefixtures("crowded")
def test_another_program_holds_the_memory(studio: Studio) -> None:
    told = studio("train", studio.model(), "--device", "gpu", code=5).stderr
    assert "the GPU" in told


def test_the_command_checks_it(studio: Studio) -> None:
    assert studio("devices", "--check", "--device", "gpu", "--json").json["passed"]


def test_auto_takes_it(studio: Studio) -> None:
    done = studio("train", studio.model(), "--json")
    assert done.json["device"] == "gpu"
    assert "trains on " in done.stderr
