"""Settings of the whole test run."""

from __future__ import annotations

import os

import platformdirs

# One thread a process: workers of pytest-xdist share the cores, and two pools of spinning threads on the same cores
# wait for each other. Read by the BLAS library when numpy is first imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Processes with a home folder of their own need not compile the kernels again.
os.environ.setdefault("NUMBA_CACHE_DIR", str(platformdirs.user_cache_path("tuilab") / "kernels"))

pytest_plugins = ["tests.kernels"]
