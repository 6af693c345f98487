"""Convolutions on a GPU that are left to cuDNN, and what to do where it cannot."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tuilab.blocks.arrays import Array
from tuilab.blocks.window import Window
from tuilab.engine.kernels.cudnn import (
    IMAGE,
    KERNEL,
    OUTPUT,
    RESULT,
    TYPES,
    Convolution,
    Cudnn,
    CudnnError,
    CudnnMissingError,
    Plan,
)
from tuilab.engine.kernels.launching import LANES, LINES, alike

if TYPE_CHECKING:
    from tuilab.engine.kernels.gpu import CudaKernels

ALIGNMENT = 16
"""Bytes: what cuDNN takes for granted of addresses."""
MOST_ALONG_Y = 4096
"""Blocks of a grid."""


class Convolutions:
    """What cuDNN does, by plans that are kept: one for every shape and direction, made when it is first met.

    cuDNN is loaded with the first of them. Where it cannot do one, or fails, that one is done by our own kernels from
    then on, and `Ops.remarks` says why.
    """

    def __init__(self, ops: CudaKernels) -> None:
        self._ops = ops
        self._cudnn: Cudnn | None = None
        self._asked = False
        """Whether cuDNN was looked for."""
        self._plans: dict[Convolution, Plan | None] = {}

    def do(self, direction: str, image: Array, kernel: Array, output: Array, window: Window) -> bool:
        """Write the array that is the result in this direction; return False, with nothing done, where it is left to
        our own kernels. Shapes are those of `Ops.conv2d`.

        Raises CudnnError where it cannot be recorded.
        """
        ops, arrays = self._ops, (image, kernel, output)
        if output.dtype != "float32" or not alike(*arrays) or any(ops.address(one) % ALIGNMENT for one in arrays):
            return False
        height, width, depth, filters = kernel.shape
        turned = filters, height, width, depth
        convolution = Convolution(
            direction, (*image.shape,), turned, (*output.shape,), window, ops.precision, ops.exact
        )
        plan = self._plan(convolution)
        if plan is None:
            return False
        try:
            self._run(plan, RESULT[direction], image, kernel, output)
        except CudnnError as error:
            self._give_up(convolution, error)
            if ops.recording:
                raise
            return False
        return True

    def _run(self, plan: Plan, result: int, image: Array, kernel: Array, output: Array) -> None:
        """cuDNN wants the filters of a kernel first, and all three arrays of one type."""
        ops, filters = self._ops, kernel.shape[3]
        weights = kernel.size // filters
        with ExitStack() as loans:
            turned = loans.enter_context(ops.scratch(kernel, shape=(filters, weights)))
            arrays = {IMAGE: image, KERNEL: turned, OUTPUT: output}
            into = arrays.pop(result)
            if result != KERNEL:
                self._turn(kernel, turned, weights, filters)
            places = {number: loans.enter_context(ops.rounded(array)) for number, array in arrays.items()}
            widens = TYPES[ops.precision] != "FLOAT"
            found = loans.enter_context(ops.scratch(into, "uint16")) if widens else into
            places[result] = found
            try:
                workspace = loans.enter_context(ops.scratch(into, "uint8", (max(1, plan.workspace_bytes),)))
            except MemoryError as error:
                raise CudnnError(f"there is no memory for a workspace of {plan.workspace_bytes:,} bytes") from error
            plan.run({number: ops.address(array) for number, array in places.items()}, ops.address(workspace))
            if widens:
                ops.over("widen", into, into.size, found, ops.rounding, into, into.size)
            if result == KERNEL:
                self._turn(turned, kernel, filters, weights)

    def _turn(self, matrix: Array, out: Array, rows: int, columns: int) -> None:
        grid = -(-columns // LANES), min(-(-rows // LANES), MOST_ALONG_Y), 1
        self._ops.start("turn", out, grid, (LANES, LINES, 1), matrix, out, rows, columns)

    def _plan(self, convolution: Convolution) -> Plan | None:
        if not self._asked:
            self._asked = True
            self._cudnn = self._open()
        if self._cudnn is None:
            return None
        if convolution not in self._plans:
            if self._ops.recording:
                raise CudnnError(f"a convolution is recorded that was never done before ({convolution})")
            try:
                self._plans[convolution] = self._cudnn.plan(convolution)
            except CudnnError as error:
                self._give_up(convolution, error)
        return self._plans[convolution]

    def _open(self) -> Cudnn | None:
        try:
            return self._ops.open_cudnn()
        except CudnnMissingError:
            return None  # nobody wanted it
        except CudnnError as error:
            self._ops.remark(f"convolutions are done without cuDNN: {error}")
            return None

    def _give_up(self, convolution: Convolution, error: CudnnError) -> None:
        self._plans[convolution] = None
        self._ops.remark(f"a convolution is done without cuDNN ({convolution}): {error}")
