"""cuDNN on a real GPU, where both are there: pytest -m gpu tests/gpu."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.engine.examples import end_of, losses_of, make_data
from tests.engine.test_image_kernels import Convolution as Case
from tests.gpu.test_cudnn import _nobody_waits, arrays_of, layers  # noqa: F401, a fixture for all tests
from tests.gpu.test_graph import images, is_recorded, start, weights
from tests.gpu.test_kernels import CHANNELS, MOVES
from tuilab.engine.kernels.gpu import CudaKernels
from tuilab.engine.kernels.launching import PRECISIONS
from tuilab.engine.kernels.numpy import NumpyKernels

pytestmark = pytest.mark.gpu

TOLERANCES = {"float32": 2e-5, "tf32": 2**-9, "bfloat16": 2**-6, "float16": 2**-9}
"""Of the largest number: what multiplies rounded numbers, and rounds the result, is that far off."""


def kernels() -> CudaKernels:
    from tuilab.engine.kernels.cupy import CupyKernels

    made = CupyKernels()
    made.open_cudnn()  # which says what to install
    return made


def results(ops: Any, case: Case) -> dict[str, np.ndarray]:
    a = {name: ops.xp.asarray(array) for name, array in arrays_of(case).items()}
    ops.conv2d(a["x"], a["kernel"], a["bias"], case.window, a["y"])
    ops.conv2d_backward(a["x"], a["kernel"], a["dy"], case.window, a["dx"], a["dkernel"], a["dbias"])
    return {name: ops.to_host(a[name]) for name in ("y", "dx", "dkernel", "dbias")}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("channels", "groups", "filters"), CHANNELS)
def test_convolutions(precision: str, channels: int, groups: int, filters: int) -> None:
    ops = kernels()
    ops.compute_in(precision)
    for padding, window, (strides, dilation) in itertools.product(("valid", "same"), [(3, 3), (2, 3)], MOVES):
        case = Case((7, 8), window, strides, dilation, channels, groups, filters, padding, 3, "float32")
        found, expected = results(ops, case), results(NumpyKernels(), case)
        for name, numbers in expected.items():
            limit = TOLERANCES[precision] * np.abs(numbers).max()
            np.testing.assert_allclose(found[name], numbers, rtol=0, atol=limit, err_msg=name)
    assert ops.remarks == []


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("experiment", [images, layers])
def test_recordings_and_single_steps_give_the_same_bytes(experiment: Any, precision: str) -> None:
    outcomes = []
    for alone in (False, True, False):
        settings = experiment(epochs=3, precision=precision)
        trainer = start(settings, make_data(shape=(14, 9, 2), train=47), kernels())
        if alone:
            trainer._small = None
        events = list(trainer.run())
        assert end_of(events).status == "finished", end_of(events)
        assert (trainer.one_by_one, trainer.device.ops.remarks) == ("", [])
        assert is_recorded(trainer) != alone
        outcomes.append((losses_of(events), weights(trainer).tobytes()))
    assert outcomes[0] == outcomes[1] == outcomes[2]
