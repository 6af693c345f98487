"""Convolutions and poolings on a GPU: no patches are laid out, tiles of a few pixels lie in a block's own memory.
Where cuDNN is installed, it does the convolutions (`gpu_convolutions.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuilab.blocks.arrays import Array
from tuilab.blocks.window import Window
from tuilab.engine.kernels.convolution import is_pointwise
from tuilab.engine.kernels.cudnn import FORWARD, TO_IMAGE, TO_KERNEL

if TYPE_CHECKING:
    from tuilab.engine.kernels.gpu import CudaKernels

TILE = 64
"""Of outputs that a block makes, along both axes (cuda/convolution.cu)."""
BLOCKS = 512
"""About as many as keep a large GPU busy."""
NARROW = 8
"""Channels or filters of a group from which on tiles are worth while."""
LEAST_SPAN = 256
"""Pixels of a part of the kernel's gradient, at least."""


def place_of(ops: CudaKernels, window: Window, x: Array, out: Array, depth: int = 1) -> Array:
    """Return on the device where a window lies: the numbers of `Sliding` in cuda/sliding.cuh."""
    images, outputs = (*x.shape,), (*out.shape[1:],)
    return ops.table([*images, *outputs, depth, *window.numbers], "int32")


def convolve(ops: CudaKernels, x: Array, kernel: Array, bias: Array | None, window: Window, out: Array) -> None:
    """`Ops.conv2d`."""
    if is_pointwise(x, kernel, window):
        ops.linear(x.reshape(-1, x.shape[3]), kernel.reshape(kernel.shape[2:]), bias, out=out.reshape(-1, out.shape[3]))
        return
    groups = x.shape[3] // kernel.shape[2]
    narrow = _is_narrow(kernel, groups)
    if not narrow and ops.convolutions.do(FORWARD, x, kernel, out, window):
        if bias is not None:
            ops.add_bias(bias, out)
        return
    place = place_of(ops, window, x, out, kernel.shape[2])
    if narrow:
        ops.over("convolve_narrow", x, out.size, place, x, kernel, bias, out, out.size, ops.rounding)
        return
    _tiles(ops, "convolve", x, _pixels(out), out.shape[3] // groups, groups, place, x, kernel, bias, out, ops.rounding)


def convolve_backward(
    ops: CudaKernels, x: Array, kernel: Array, dy: Array, window: Window, dx: Array | None, dkernel: Array | None
) -> None:
    """`Ops.conv2d_backward`, without the gradient of the bias."""
    if is_pointwise(x, kernel, window):
        rows, slopes, matrix = x.reshape(-1, x.shape[3]), dy.reshape(-1, dy.shape[3]), kernel.reshape(kernel.shape[2:])
        ops.linear_backward(
            rows,
            matrix,
            slopes,
            None if dx is None else dx.reshape(rows.shape),
            None if dkernel is None else dkernel.reshape(matrix.shape),
            None,
        )
        return
    depth = kernel.shape[2]
    groups = x.shape[3] // depth
    if _is_narrow(kernel, groups):
        place = place_of(ops, window, x, dy, depth)
        if dkernel is not None:
            shape = _pixels(dy), kernel.size
            ops.sum_columns("convolve_narrow_to_kernel", shape, (place, x, dy, ops.rounding), dkernel)
        if dx is not None:
            ops.over("convolve_narrow_to_image", x, dx.size, place, kernel, dy, dx, dx.size, ops.rounding)
        return
    if dkernel is not None and not ops.convolutions.do(TO_KERNEL, x, dkernel, dy, window):
        _to_kernel(ops, place_of(ops, window, x, dy, depth), x, dy, groups, dkernel)
    if dx is not None and not ops.convolutions.do(TO_IMAGE, dx, kernel, dy, window):
        place = place_of(ops, window, x, dy, depth)
        _tiles(ops, "convolve_to_image", dx, _pixels(dx), depth, groups, place, kernel, dy, dx, ops.rounding)


def _to_kernel(ops: CudaKernels, place: Array, x: Array, dy: Array, groups: int, dkernel: Array) -> None:
    """Sum over the pixels, in as many parts as give every part of the GPU something to do."""
    pixels, weights, filters = _pixels(dy), dkernel.size // dkernel.shape[3], dkernel.shape[3] // groups
    tiles = -(-weights // TILE) * -(-filters // TILE) * groups
    count = max(1, min(BLOCKS // tiles, pixels // LEAST_SPAN))
    span = -(-pixels // count)
    count = -(-pixels // span)
    with ops.scratch(dkernel, shape=(count, *dkernel.shape)) as parts:
        into = dkernel if count == 1 else parts
        _tiles(ops, "convolve_to_kernel", x, weights, filters, groups * count, place, x, dy, into, span, ops.rounding)
        if count > 1:
            ops.over("add_parts", dkernel, dkernel.size, parts, count, dkernel, dkernel.size)


def _is_narrow(kernel: Array, groups: int) -> bool:
    return groups > 1 and kernel.shape[2] < NARROW and kernel.shape[3] // groups < NARROW


def _tiles(ops: CudaKernels, name: str, like: Array, rows: int, columns: int, layers: int, *arguments: object) -> None:
    ops.start(name, like, (-(-rows // TILE), -(-columns // TILE), layers), (256, 1, 1), *arguments)


def _pixels(images: Array) -> int:
    batch, height, width, _ = images.shape
    return int(batch * height * width)
