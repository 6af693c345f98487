"""Whole trainings on the emulated GPU: every block gives the reference's numbers, and a step finds all its memory."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import EVERY_LAYER, end_of, losses_of, make_data, make_experiment
from tests.engine.strict_device import Refused
from tests.gpu.device import TAPE, EmulatedKernels
from tests.gpu.test_graph import DENSE, IMAGES
from tuilab.blocks.samples import Data
from tuilab.engine import parity
from tuilab.engine.device import Device
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.parity import compare_blocks
from tuilab.engine.trainer import Trainer
from tuilab.experiment.document import Experiment

LAYERS: list[tuple[list[dict[str, Any]], Data]] = [
    (DENSE, make_data(train=44)),
    (IMAGES, make_data(shape=(6, 5, 2), train=44)),
    (EVERY_LAYER, make_data(train=44)),
]
OPTIMIZER = {"type": "adam", "use_ema": True, "gradient_accumulation_steps": 2, "clipnorm": 1.0}
SETTINGS = {"metrics": ["accuracy"], "statistics_every": 3, "class_weight": "balanced", "optimizer": OPTIMIZER}


def make(layers: list[dict[str, Any]], **settings: Any) -> Experiment:
    return make_experiment(layers, "categorical_crossentropy", **{**SETTINGS, **settings})


def test_every_block_gives_the_numbers_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    every = parity.cases
    monkeypatch.setattr(parity, "cases", lambda *block: itertools.islice(every(*block), 0, None, 5))
    compared = list(compare_blocks(EmulatedKernels()))
    assert len(compared) > 90
    assert [one for one in compared if not one.passed] == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("layers", "data"), LAYERS, ids=["dense", "images", "every"])
def test_a_training_gives_the_numbers_of_the_reference(layers: list[Any], data: Data, dtype: str) -> None:
    outcomes = []
    for ops in (NumpyKernels(), EmulatedKernels()):
        trainer = Trainer(make(layers, dtype=dtype), data, Device("device", ops, steps_between_reads=3))
        events = list(trainer.run())
        assert end_of(events).status == "finished"
        results = [list(epoch.results.values()) for epoch in trainer.history]
        outcomes.append((losses_of(events), results, ops.to_host(trainer.network.arena.values)))
    tolerance = 2e-3 if dtype == "float32" else 1e-9
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("layers", "data"), LAYERS, ids=["dense", "images", "every"])
def test_a_step_takes_no_memory_after_the_first(layers: list[Any], data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(make(layers, statistics_every=1000), data, Device("gpu", EmulatedKernels(), 3))
    trainer._small = None
    train_batch, steps = trainer.train_batch, 0

    def without_memory(*arguments: Any) -> bool:
        nonlocal steps
        steps += 1
        TAPE.full = steps > 3  # the first epoch has seen batches of every size
        try:
            return train_batch(*arguments)
        finally:
            TAPE.full = False

    monkeypatch.setattr(trainer, "train_batch", without_memory)
    assert end_of(list(trainer.run())).status == "finished"
    assert steps == 6


def test_memory_within_a_step_is_refused() -> None:
    x = EmulatedKernels().xp.ones((3, 2))
    TAPE.full = True
    try:
        for act in (lambda: x + x, lambda: x.astype("float32"), lambda: x.T.reshape(-1)):
            with pytest.raises(Refused):
                act()
        assert x[1:].shape == (2, 2)
    finally:
        TAPE.full = False
