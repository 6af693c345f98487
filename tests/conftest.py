"""Settings of the whole test run."""

from __future__ import annotations

import os

# One thread a process: workers of pytest-xdist share the cores, and two pools of spinning threads on the same cores
# wait for each other. Read by the BLAS library when numpy is first imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
