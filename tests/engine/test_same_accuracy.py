"""Fused kernels calculate with fewer roundings than the reference: networks trained with either are as good."""

from __future__ import annotations

import statistics

import pytest

from tuilab.blocks.arrays import Ops
from tuilab.data.load import load
from tuilab.engine.device import Device
from tuilab.engine.kernels.numba import NumbaKernels
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.trainer import Trainer
from tuilab.experiment.load import load_experiment

SEEDS = range(5)


def accuracies(ops: type[Ops], model: str) -> list[float]:
    """Return the accuracy on the test part, one for each seed."""
    found = []
    for seed in SEEDS:
        experiment = load_experiment(model, [f"seed={seed}"])
        data = load(experiment.data, experiment.seed)
        trainer = Trainer(experiment, data, Device("cpu", ops(), steps_between_reads=1))
        list(trainer.run())
        assert data.test is not None
        found.append(trainer.evaluate(data.test)["accuracy"])
    return found


def test_digits_over_five_seeds() -> None:
    one_sample = 1 / 359
    fused, reference = accuracies(NumbaKernels, "digits-mlp"), accuracies(NumpyKernels, "digits-mlp")
    assert statistics.mean(fused) == pytest.approx(statistics.mean(reference), abs=one_sample)
    assert min(fused) > 0.95
