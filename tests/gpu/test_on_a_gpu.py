"""The tests of kernels and recordings on a real GPU, where there is one: pytest -m gpu tests/gpu."""

from __future__ import annotations

from functools import cache

import pytest

from tests.gpu import test_graph, test_kernels, test_precision
from tests.gpu.test_graph import *  # noqa: F403, pytest finds them here as well
from tests.gpu.test_graph import _nobody_waits  # noqa: F401, a fixture for all tests
from tests.gpu.test_kernels import *  # noqa: F403, pytest finds them here as well
from tests.gpu.test_kernels import _same_numbers  # noqa: F401, a fixture for all tests
from tests.gpu.test_precision import *  # noqa: F403, pytest finds them here as well
from tuilab.engine.kernels.gpu import CudaKernels

pytestmark = pytest.mark.gpu


@cache
def on_the_gpu() -> CudaKernels:
    from tuilab.engine.kernels.cudnn import Cudnn, CudnnMissingError
    from tuilab.engine.kernels.cupy import CupyKernels

    class OwnKernels(CupyKernels):
        def open_cudnn(self) -> Cudnn:
            raise CudnnMissingError  # test_cudnn_on_a_gpu.py has it

    return OwnKernels()


@pytest.fixture(autouse=True)
def _instead_of_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_gpu().compute_in("float32")
    for module in (test_graph, test_kernels, test_precision):
        monkeypatch.setattr(module, "EmulatedKernels", on_the_gpu)
