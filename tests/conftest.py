"""Settings of the whole test run."""

from __future__ import annotations

import os
import sys

import platformdirs
from hypothesis import HealthCheck, settings

# One thread a process: workers of pytest-xdist share the cores, and two pools of spinning threads on the same cores
# wait for each other. Read by the BLAS library when numpy is first imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Processes with a home folder of their own need not compile the kernels again.
os.environ.setdefault("NUMBA_CACHE_DIR", str(platformdirs.user_cache_path("tuilab") / "kernels"))

# A lab knows a slow link, and a terminal without colours, by these; no test is started over one.
for variable in ("SSH_CONNECTION", "NO_COLOR"):
    os.environ.pop(variable, None)

# The same examples every time, however slow the machine is; --hypothesis-profile=default looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")

pytest_plugins = ["tests.kernels", "tests.nvidia.fake"]

# GPUs are NVIDIA's, and their driver is there for Linux.
NEED_A_DRIVER = ["cli/test_devices.py", "faults/test_device.py", "faults/test_gpu.py"]
NEED_A_DRIVER += [f"engine/test_{name}.py" for name in ("device", "driver", "failures", "parity", "sensors")]
collect_ignore = [] if sys.platform == "linux" else NEED_A_DRIVER
