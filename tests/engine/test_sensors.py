"""What a GPU tells of itself, through the real nvidia-ml-py and a library of its management that says what we want."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nvidia.fake import Nvidia

READ = """
import json
from tuilab.engine.sensors import Sensors
sensors = Sensors("0000:13:00.0")
print(json.dumps([sensors.trouble, sensors.driver_version(), *vars(sensors.read()).values()]))
"""
"""The second card."""
NOTHING = [None] * 5


def test_everything_is_told(nvidia: Nvidia) -> None:
    assert nvidia.ask(READ, FAKE_GPUS=2) == ["", "580.1.2", 91, 4e9, 16e9, 251.5, 61]


@pytest.mark.parametrize("setting", ["FAKE_UNSUPPORTED", "FAKE_STRANGE"])
@pytest.mark.parametrize(
    ("function", "left_out"),
    [
        ("nvmlSystemGetDriverVersion", [1]),
        ("nvmlDeviceGetUtilizationRates", [2]),
        ("nvmlDeviceGetMemoryInfo", [3, 4]),
        ("nvmlDeviceGetPowerUsage", [5]),
        ("nvmlDeviceGetTemperature", [6]),
    ],
)
def test_what_is_not_told_is_left_out(nvidia: Nvidia, setting: str, function: str, left_out: list[int]) -> None:
    told = nvidia.ask(READ, FAKE_GPUS=2, **{setting: function})
    expected: list[Any] = ["", "580.1.2", 91, 4e9, 16e9, 251.5, 61]
    for place in left_out:
        expected[place] = None
    assert told == expected


@pytest.mark.parametrize(
    ("settings", "trouble"),
    [
        ({"FAKE_GPUS": 1}, "NVML tells nothing of the GPU: Not Found"),
        ({"FAKE_GPUS": 2, "FAKE_NVML": 9}, "NVML tells nothing of the GPU: Driver Not Loaded"),
    ],
)
def test_a_card_that_cannot_be_read(nvidia: Nvidia, settings: dict[str, Any], trouble: str) -> None:
    assert nvidia.ask(READ, **settings) == [trouble, None, *NOTHING]


def test_without_nvidia_ml_py(nvidia: Nvidia) -> None:
    told = nvidia.ask("import sys; sys.modules['pynvml'] = None\n" + READ)
    assert told[0].endswith("pip install nvidia-ml-py")
    assert told[1:] == [None, *NOTHING]
