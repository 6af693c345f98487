"""Load, memory, power and temperature of a GPU, as NVIDIA's management library (NVML) tells them.

Nothing here matters to a training: what a card, a driver or a container does not tell is None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MISSING = "nvidia-ml-py is not installed, which reads load, power and temperature: pip install nvidia-ml-py"


@dataclass(frozen=True)
class Reading:
    """One look at a GPU."""

    load_percent: float | None = None
    """Share of the last moments in which any kernel ran."""
    memory_bytes: float | None = None
    """In use, by every program together."""
    memory_total: float | None = None
    watts: float | None = None
    celsius: float | None = None


class Sensors:
    """Reads the GPU that is plugged in at `bus`, for as long as a process lives."""

    def __init__(self, bus: str) -> None:
        self.trouble = ""
        """Why nothing can be read; empty where it can."""
        try:
            import pynvml
        except ImportError:
            self.trouble = MISSING
            return
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByPciBusId(bus)
        except pynvml.NVMLError as error:
            self.trouble = f"NVML tells nothing of the GPU: {error}"

    def driver_version(self) -> str | None:
        """Return the version of the driver, as `580.159.03`."""
        version: str | None = None if self.trouble else self._told(lambda: self._nvml.nvmlSystemGetDriverVersion())
        return version

    def read(self) -> Reading:
        """Return what can be read now."""
        if self.trouble:
            return Reading()
        nvml, handle = self._nvml, self._handle
        load = self._told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        memory = self._told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        milliwatts = self._told(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        celsius = self._told(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        known = memory is not None and memory.total > 0 and memory.used <= memory.total
        return Reading(
            load_percent=_within(load, 100),
            memory_bytes=float(memory.used) if known else None,
            memory_total=float(memory.total) if known else None,
            watts=_within(None if milliwatts is None else milliwatts / 1000, 100_000),
            celsius=_within(celsius, 1000),
        )

    def _told(self, ask: Callable[[], Any]) -> Any:
        """Return what NVML says, None where it does not know or says what is no text."""
        try:
            return ask()
        except (self._nvml.NVMLError, UnicodeDecodeError):
            return None


def _within(value: float | None, most: float) -> float | None:
    """Return a value, None where it is one that no card can have: some drivers give all ones for what they lack."""
    return float(value) if value is not None and value <= most else None
