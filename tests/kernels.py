"""The kernels that a test runs on: first the reference, then the fused ones.

A module with `pytestmark = every_device` runs all its tests on both.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tuilab.engine.kernels.numba import NumbaKernels
from tuilab.engine.kernels.numpy import NumpyKernels


class Chosen:
    """The kernels of the test that is running."""

    make: type[NumpyKernels] = NumpyKernels


def make_kernels() -> NumpyKernels:
    return Chosen.make()


@pytest.fixture(params=[NumpyKernels, NumbaKernels], ids=["numpy", "numba"])
def on_every_device(request: pytest.FixtureRequest) -> Iterator[None]:
    Chosen.make = request.param
    yield
    Chosen.make = NumpyKernels


every_device = pytest.mark.usefixtures("on_every_device")
