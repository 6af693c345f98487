"""Every kernel compiles for the GPUs of today, with NVIDIA's own compiler, in both precisions."""

from __future__ import annotations

import pytest

from tests.gpu.nvrtc import compile_for
from tuilab.engine.kernels.sources import KERNEL, REALS, file_of_kernel, kernel_files, source

FILES = sorted(kernel_files())


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("real", REALS.values())
@pytest.mark.parametrize("file", FILES)
def test_a_source_compiles(file: str, real: str, architecture: str) -> None:
    code = compile_for(architecture, file, source(file, real))
    for name, _ in KERNEL.findall(kernel_files()[file]):
        assert f".text.{name}\0".encode() in code


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(ValueError, match='identifier "y" is undefined'):
        compile_for("sm_90", "wrong.cu", 'extern "C" __global__ void wrong(float *x) { *x = y; }')


def test_every_kernel_is_found_by_its_name() -> None:
    for file, text in kernel_files().items():
        assert text.count("__global__") == sum(place == file for place in file_of_kernel().values())
