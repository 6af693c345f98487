"""Devices by name, and a clear word where one is missing: in processes on machines whose driver says what we want."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.nvidia.fake import Nvidia
from tuilab.engine import device as device_module
from tuilab.engine import driver
from tuilab.engine.device import choose_device, devices

CHOOSE = """
import json, sys
from tuilab.engine.device import choose_device
from tuilab.errors import DeviceError
try:
    device = choose_device(sys.argv[-1])
    told = [device.name, device.card and device.card.name, device.steps_between_reads, device.reason]
except DeviceError as error:
    told = [error.exit_code, str(error)]
print(json.dumps([told, "cupy" in sys.modules]))
"""
WORKING = """
import sys
from types import ModuleType
from tuilab.engine.kernels.numpy import NumpyKernels

class CupyKernels(NumpyKernels):
    def __init__(self, number):
        super().__init__()
        {}

module = sys.modules["tuilab.engine.kernels.cupy"] = ModuleType("cupy_kernels")
module.CupyKernels = CupyKernels
"""
"""Kernels that do on the CPU what those of a GPU would do."""
NO_CUPY = "import sys; sys.modules['cupy'] = None\n"
NO_CUDNN = "import sys; sys.modules['cudnn'] = None\n"
NO_DRIVER = "from tuilab.engine import driver; driver.LIBRARY = 'libnowhere.so.1'\n"
RUNTIME_ERROR = "from cupy_backends.cuda.api.runtime import CUDARuntimeError; raise CUDARuntimeError({})"


def choose(nvidia: Nvidia, name: str, before: str = WORKING.format("pass"), **settings: object) -> list[Any]:
    """Return what `choose_device` gives or says in a process of its own."""
    told: list[Any] = nvidia.ask(f"{before}\nimport sys; sys.argv.append({name!r})\n{CHOOSE}", **settings)[0]
    return told


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "load_driver", lambda: None)


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_the_cpu(name: str) -> None:
    device = choose_device(name)
    assert (device.name, device.steps_between_reads, device.card, device.reason) == ("cpu", 1, None, "")
    assert choose_device(name).ops is not device.ops, "scratch memory belongs to one training"


def test_a_machine_without_a_driver(nvidia: Nvidia) -> None:
    told, loaded = nvidia.ask(NO_DRIVER + "import sys; sys.argv.append('auto')\n" + CHOOSE)
    assert told == ["cpu", None, 1, ""]
    assert not loaded, "CuPy takes half a second to load"
    trouble = "no NVIDIA driver is installed (libnowhere.so.1 is not there)"
    assert choose(nvidia, "gpu", NO_DRIVER) == [1, f"device 'gpu': {trouble}; use --device cpu"]


def test_a_gpu_that_works(nvidia: Nvidia) -> None:
    reason = "trains on Great Card 0 (gpu); --device cpu takes the CPU"
    assert choose(nvidia, "auto", FAKE_GPUS=2) == ["gpu", "Great Card 0", 20, reason]
    assert choose(nvidia, "gpu", FAKE_GPUS=2) == ["gpu", "Great Card 0", 20, ""]
    assert choose(nvidia, "gpu:1", FAKE_GPUS=2) == ["gpu:1", "Great Card 1", 20, ""]
    assert choose(nvidia, "gpu", FAKE_GPUS=2, CUDA_VISIBLE_DEVICES=1) == ["gpu", "Great Card 1", 20, ""]


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("gpu:1", {}, "there is 1 GPU, gpu alone"),
        ("gpu:3", {"FAKE_GPUS": 3}, "there are 3 GPUs, gpu:0 to gpu:2"),
        ("gpu:1", {"FAKE_GPUS": 3, "CUDA_VISIBLE_DEVICES": "2"}, "there is 1 GPU, gpu alone"),
    ],
)
def test_a_number_beyond_the_last(nvidia: Nvidia, name: str, settings: dict[str, Any], count: str) -> None:
    assert choose(nvidia, name, **settings) == [1, f"device '{name}': {count}; use --device cpu"]


@pytest.mark.parametrize(
    ("cuda", "installation"),
    [
        (13010, "pip install 'tuilab[cuda13]'"),
        (12080, "pip install 'tuilab[cuda12]'"),
        (14000, "pip install 'tuilab[cuda13]'"),
        (11040, "the driver runs CUDA 11.4: update it to one for CUDA 12 or newer"),
    ],
)
def test_cupy_is_not_installed(nvidia: Nvidia, cuda: int, installation: str) -> None:
    lacking = f"CuPy is not installed: {installation}"
    assert choose(nvidia, "gpu", NO_CUPY, FAKE_CUDA=cuda) == [1, f"device 'gpu': {lacking}; use --device cpu"]
    assert choose(nvidia, "auto", NO_CUPY, FAKE_CUDA=cuda) == ["cpu", None, 1, f"trains on the CPU: {lacking}"]


def test_several_packages_hold_cupy(nvidia: Nvidia, tmp_path: Path) -> None:
    for name in ("cupy-cuda12x", "cupy-cuda13x"):
        folder = tmp_path / f"{name.replace('-', '_')}-14.0.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 14.0.0\n")
    told = choose(nvidia, "gpu", PYTHONPATH=tmp_path)
    assert told == [
        1,
        "device 'gpu': several CuPy packages are installed, which overwrite each other: pip uninstall -y cupy-cuda12x "
        "cupy-cuda13x, then pip install 'tuilab[cuda13]'; use --device cpu",
    ]


@pytest.mark.parametrize(("cuda", "instead"), [(12020, "pip install 'tuilab[cuda12]'"), (11080, "")])
def test_a_driver_too_old_for_this_cupy(nvidia: Nvidia, cuda: int, instead: str) -> None:
    code, told = choose(nvidia, "gpu", FAKE_CUDA=cuda)
    assert code == 5
    start = "device 'gpu': the NVIDIA driver is too old for the CUDA of the installed CuPy; update the driver"
    other = f", or take the other CuPy: {instead}" if instead else ""
    assert re.fullmatch(
        re.escape(f"{start}{other} (the driver runs CUDA {cuda // 1000}.{cuda % 1000 // 10}, CuPy is made for CUDA ")
        + r"13\.\d\); use --device cpu",
        told,
    )


@pytest.mark.parametrize(
    ("failure", "code", "told"),
    [
        (
            "raise ImportError('Failure finding libcublas.so.13:\\n nowhere')",
            1,
            "CuPy is not whole, pip install 'tuilab[cuda13]' brings its libraries: Failure finding libcublas.so.13: "
            "nowhere",
        ),
        (
            "from cuda.pathfinder import DynamicLibNotFoundError; raise DynamicLibNotFoundError('libcublas.so')",
            1,
            "CuPy is not whole, pip install 'tuilab[cuda13]' brings its libraries: libcublas.so",
        ),
        ("raise RuntimeError('failed to load')", 1, "CuPy does not work: failed to load"),
        (
            RUNTIME_ERROR.format(46),
            5,
            "the GPU cannot go on: another program has it for itself, or it does not answer "
            "(cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable); nvidia-smi and the "
            "system's log say more",
        ),
        (
            "self.to_host = lambda array: array * 0",
            1,
            "it multiplies wrongly: [[0.0, 0.0], [0.0, 0.0]] for [[3, 4], [7, 12]]",
        ),
    ],
    ids=["import", "library", "driver", "busy", "wrong"],
)
def test_a_gpu_that_does_not_work(nvidia: Nvidia, failure: str, code: int, told: str) -> None:
    broken = WORKING.format(failure)
    assert choose(nvidia, "gpu", broken) == [code, f"device 'gpu': {told}; use --device cpu"]
    assert choose(nvidia, "auto", broken) == ["cpu", None, 1, f"trains on the CPU: {told}"]


LIST = "import json\nfrom tuilab.engine.device import devices\nprint(json.dumps([vars(row) for row in devices()[1:]]))"


def test_the_list_tells_what_every_gpu_does(nvidia: Nvidia) -> None:
    first, second = nvidia.ask(WORKING.format("if number: raise OSError('no')") + NO_CUDNN + LIST, FAKE_GPUS=2)
    assert first == {
        "name": "gpu",
        "available": True,
        "description": "Great Card 0",
        "auto": True,
        "memory_bytes": 8e9,
        "free_bytes": 6e9,
        "load_percent": 90,
        "watts": 250.5,
        "celsius": 60,
        "driver": "580.1.2",
        "cuda": "13.0",
        "convolutions": "convolutions without cuDNN (pip install 'tuilab[cudnn13]' brings it)",
    }
    assert second["name"] == "gpu:1"
    assert second["description"] == "Great Card 1: CuPy does not work: no"
    assert (second["available"], second["auto"], second["celsius"]) == (False, False, 61)


CUDNN = """
from types import SimpleNamespace
from tuilab.engine.kernels import cudnn

def load(cuda):
    {}
    return SimpleNamespace(backend_version=lambda: 91205)

cudnn.load = load
"""


@pytest.mark.parametrize(
    ("loads", "told"),
    [
        ("assert cuda == 13", "convolutions by cuDNN 9.12.5"),
        ("raise cudnn.CudnnError('it is broken')", "convolutions without cuDNN: it is broken"),
    ],
)
def test_the_list_tells_what_does_convolutions(nvidia: Nvidia, loads: str, told: str) -> None:
    (gpu,) = nvidia.ask(WORKING.format("pass") + CUDNN.format(loads) + LIST, FAKE_GPUS=1)
    assert gpu["convolutions"] == told


@pytest.mark.usefixtures("no_driver")
def test_the_list_without_a_gpu() -> None:
    cpu, gpu = devices()
    assert (cpu.available, cpu.auto) == (True, True)
    assert (gpu.name, gpu.available, gpu.auto) == ("gpu", False, False)
    assert gpu.description == "no NVIDIA driver is installed (libcuda.so.1 is not there)"


@pytest.mark.usefixtures("no_driver")
def test_the_list_tells_threads_and_whether_there_is_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(r"\d threads, NumPy and numba$", devices()[0].description)
    monkeypatch.setattr(device_module, "find_spec", lambda module: None)
    assert re.search(r"\d threads, NumPy$", devices()[0].description)


@pytest.mark.usefixtures("no_driver")
def test_a_machine_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert devices()[0].description
