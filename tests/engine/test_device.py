"""Devices by name, and a clear word where one is missing."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tuilab.engine import device as device_module
from tuilab.engine.device import choose_device, devices, gpu_facts
from tuilab.errors import DeviceError


class CudaError(RuntimeError):
    pass


def fake_cupy(monkeypatch: pytest.MonkeyPatch, count: Any) -> None:
    """Put a CuPy in place that finds `count` devices, or fails."""

    def get_device_count() -> int:
        if isinstance(count, Exception):
            raise count
        return int(count)

    runtime = SimpleNamespace(
        getDeviceCount=get_device_count,
        getDeviceProperties=lambda number: {"name": b"Great Card 9"},
        CUDARuntimeError=CudaError,
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    monkeypatch.setattr(device_module, "find_spec", lambda name: object())


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_the_cpu(name: str) -> None:
    device = choose_device(name)
    assert (device.name, device.steps_between_reads) == ("cpu", 1)
    assert choose_device(name).ops is not device.ops, "scratch memory belongs to one training"


@pytest.mark.parametrize("name", ["gpu", "gpu:1"])
def test_a_gpu_without_cupy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(device_module, "find_spec", lambda module: None)
    with pytest.raises(DeviceError) as failure:
        choose_device(name)
    assert str(failure.value) == (
        f"device '{name}': CuPy is not installed (pip install 'tuilab[cuda13]' or 'tuilab[cuda12]'); use --device cpu"
    )


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (CudaError("no driver"), "CuPy finds no usable GPU (no driver)"),
        (0, "CuPy finds no GPU"),
        (1, "Great Card 9 is there, but this version of tuilab trains on the CPU only"),
    ],
)
def test_a_gpu_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, count: Any, message: str) -> None:
    fake_cupy(monkeypatch, count)
    facts = gpu_facts()
    assert (facts.name, facts.available, facts.description) == ("gpu", False, message)
    with pytest.raises(DeviceError, match="use --device cpu"):
        choose_device("gpu")


def test_the_list_tells_threads_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "find_spec", lambda module: None)
    cpu, gpu = devices()
    assert cpu.available
    assert not gpu.available
    assert re.search(r"\d threads, NumPy$", cpu.description)


def test_a_machine_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert devices()[0].description


def test_the_list_names_numba_where_it_is() -> None:
    assert devices()[0].description.endswith("threads, NumPy and numba")
