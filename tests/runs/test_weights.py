"""Weights on disk: what is read is what was written, and nothing else is taken for it."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tuilab.blocks.datasets import DataInfo
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.network import Network
from tuilab.errors import UsageError
from tuilab.experiment.load import load_experiment
from tuilab.experiment.plan import plan
from tuilab.runs.weights import load_weights, save_weights

IRIS = DataInfo(input_shape=(4,), task="categorical", classes=("a", "b", "c"))


def network(seed: int) -> Network:
    experiment = load_experiment("iris-8-8-3")
    return Network(NumpyKernels(), plan(experiment, IRIS), experiment.training.loss, 8, "float32", seed)


def test_a_round_trip_is_exact(tmp_path: Path) -> None:
    one, other = network(1), network(2)
    assert one.arena.values.tobytes() != other.arena.values.tobytes()
    save_weights(one, tmp_path / "weights")
    load_weights(other, tmp_path / "weights")
    assert one.arena.values.tobytes() == other.arena.values.tobytes()


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_weights(network(1), tmp_path / "weights")
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o640


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    save_weights(network(1), path)
    good = load_file(path)
    ours = network(2)
    before = ours.arena.values.tobytes()
    cases = {
        "dense_3/bias is missing": {name: value for name, value in good.items() if name != "dense_3/bias"},
        "extra is not in this network": {**good, "extra": np.zeros(3, "float32")},
        r"dense_1/kernel is \(8, 4\), not \(4, 8\)": {**good, "dense_1/kernel": np.zeros((8, 4), "float32")},
        "dense_3/bias holds int32, not floating-point numbers": {**good, "dense_3/bias": np.zeros(3, "int32")},
        "dense_3/bias holds complex64, not floating-point": {**good, "dense_3/bias": np.zeros(3, "complex64")},
    }
    for message, tensors in cases.items():
        save_file(tensors, path)
        with pytest.raises(UsageError, match=message):
            load_weights(ours, path)
        assert ours.arena.values.tobytes() == before
    for junk in (b"", b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}"):
        path.write_bytes(junk)
        with pytest.raises(UsageError, match="cannot be read as weights"):
            load_weights(ours, path)
    os.truncate(path, 10**11)
    too_large = "cannot be read as weights: is too large: 100,000.0 MB where at most 8.4 MB are expected"
    with pytest.raises(UsageError, match=f"weights: {too_large}$"):
        load_weights(ours, path)
    save_weights(network(1), tmp_path / "elsewhere")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="weights: cannot be read as weights: is a symbolic link"):
        load_weights(ours, path)
    assert ours.arena.values.tobytes() == before


def test_floats_of_every_width_and_value_are_taken(tmp_path: Path) -> None:
    ours = network(2)
    save_weights(network(1), tmp_path / "weights")
    good = load_file(tmp_path / "weights")
    double = {name: value.astype("float64") for name, value in good.items()}
    half = {name: value.astype("float16") for name, value in good.items()}
    wild = {**double, "dense_3/bias": np.array([np.nan, 1e300, -np.inf])}
    for tensors in (double, half, wild):
        save_file(tensors, tmp_path / "weights")
        load_weights(ours, tmp_path / "weights")
        for name, value in ours.parameters():
            expected = np.array([np.nan, np.inf, -np.inf]) if tensors[name] is wild["dense_3/bias"] else tensors[name]
            np.testing.assert_array_equal(value, expected.astype("float32"))


def test_reading_holds_the_network_and_one_array_at_most(tmp_path: Path) -> None:
    """Gradients are zeros that nobody has touched: they count here, and take no memory."""
    experiment = load_experiment("mnist-mlp")
    planned = plan(experiment, DataInfo(input_shape=(784,), task="categorical", classes=tuple("0123456789")))
    written = Network(NumpyKernels(), planned, experiment.training.loss, 1, "float32", 7)
    save_weights(written, tmp_path / "weights")
    size, largest = written.arena.values.nbytes, max(entry.value.nbytes for entry in written.arena.entries)
    tracemalloc.start()
    try:
        read = Network(NumpyKernels(), planned, experiment.training.loss, 1, "float32", 7, initial=False)
        load_weights(read, tmp_path / "weights")
        assert tracemalloc.get_traced_memory()[1] < 2 * size + 1.05 * largest
    finally:
        tracemalloc.stop()
    assert read.arena.values.tobytes() == written.arena.values.tobytes()
