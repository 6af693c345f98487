"""The CUDA sources: which file holds which kernel, and what a compiler is given."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

REALS = {"float32": "float", "float64": "double"}
"""What `real` stands for in the sources."""
HEADERS = ("threads.cuh", "numbers.cuh", "sliding.cuh")
KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\)')


@cache
def kernel_files() -> dict[str, str]:
    """Return the name of every source with kernels, and what is in it."""
    folder = files("tuilab.engine.kernels") / "cuda"
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.endswith(".cu")}
    return dict(sorted(texts.items()))


@cache
def file_of_kernel() -> dict[str, str]:
    """Return the source of every kernel."""
    return {name: file for file, text in kernel_files().items() for name, _ in KERNEL.findall(text)}


@cache
def source(file: str, real: str) -> str:
    """Return what a compiler is given for one source: the type of its numbers (`REALS`), the headers, the kernels."""
    folder = files("tuilab.engine.kernels") / "cuda"
    headers = [(folder / name).read_text(encoding="utf-8") for name in HEADERS]
    return "\n".join([f"typedef {real} real;", *headers, kernel_files()[file]])
