"""NVIDIA's run-time compiler, which compiles without a GPU and without a driver."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import metadata


@cache
def library() -> ctypes.CDLL:
    """Return NVRTC, as the package nvidia-cuda-nvrtc brings it."""
    places = metadata.files("nvidia-cuda-nvrtc") or []
    (place,) = (place for place in places if place.name.startswith("libnvrtc.so"))
    return ctypes.CDLL(str(place.locate()))


def compile_for(architecture: str, name: str, source: str) -> bytes:
    """Return the machine code of a source for a GPU such as "sm_90"; raises ValueError with what the compiler said."""
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    text = source.encode()
    assert not nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, name.encode(), 0, None, None)
    try:
        options = [f"--gpu-architecture={architecture}".encode(), b"-std=c++17"]
        failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        if failed or log.value:
            raise ValueError(f"{name} for {architecture}: {log.value.decode()}")
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, code)
        return code.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
