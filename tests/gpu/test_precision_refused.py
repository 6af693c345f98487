"""Devices that round nothing: the CPU refuses, a GPU whose cuBLAS cannot computes in float32 and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.examples import end_of
from tests.gpu.device import EmulatedKernels
from tests.gpu.test_graph import weights
from tests.gpu.test_precision import network, start
from tests.runs.recorded import new_run, recording
from tuilab.engine.device import Device
from tuilab.engine.kernels.cublas import CublasError
from tuilab.engine.kernels.launching import PRECISIONS
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.engine.trainer import Trainer
from tuilab.errors import ExperimentError
from tuilab.runs.reader import following
from tuilab.runs.training import RecordedTraining


class Refusing(EmulatedKernels):
    """A GPU whose cuBLAS has no products of rounded numbers."""

    def multiply(self, a: Any, b: Any, out: Any, precision: str = "float32") -> bool:
        if precision != "float32":
            raise CublasError("cuBLAS reports error 15")
        return super().multiply(a, b, out, precision)


@pytest.mark.parametrize("name", PRECISIONS[1:])
def test_what_cublas_refuses_is_computed_in_float32(name: str) -> None:
    (experiment, data), (plain, _) = network("images", name, epochs=1), network("images", "float32", epochs=1)
    trainers = start(experiment, data, Refusing()), start(plain, data)
    (remark,) = trainers[0].device.ops.remarks
    assert remark == f"products are computed in float32, not in {name}: cuBLAS reports error 15"
    for trainer in trainers:
        assert end_of(list(trainer.run())).status == "finished"
    assert weights(trainers[0]).tobytes() == weights(trainers[1]).tobytes()


def test_a_run_tells_that_it_computes_in_float32(tmp_path: Path) -> None:
    run, trainer = new_run(tmp_path), start(*network("dense", "bfloat16", epochs=1), Refusing())
    with run.hold() as lock, recording(run) as recorder:
        RecordedTraining(run, trainer, recorder, lock).train()
    with following(run) as reader:
        texts = [message.text for message in reader.messages()]
    assert "products are computed in float32, not in bfloat16: cuBLAS reports error 15" in texts


@pytest.mark.parametrize("name", PRECISIONS[1:])
def test_a_cpu_refuses(name: str) -> None:
    experiment, data = network("dense", name)
    for device in (Device("cpu", NumpyKernels(), 1), Device("cpu", NumpyKernels(), 1, reason="trains on the CPU: no")):
        with pytest.raises(ExperimentError) as caught:
            Trainer(experiment, data, device)
        (problem,) = caught.value.problems
        assert problem.place == "training.precision"
        assert (device.reason or 'training.device = "auto" is the CPU here') in problem.message
