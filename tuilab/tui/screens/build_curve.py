"""The curve of an activation and its derivative, drawn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import HostArray
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.tui.widgets.canvas import Canvas
from tuilab.tui.widgets.line_chart import SAMPLES, Line, LineChart
from tuilab.tui.widgets.scale import LABEL

RANGE = 4.0
"""The curve goes from −RANGE to RANGE."""
POINTS = 401


class CurveChart(LineChart):
    """The curve of a function: its lines have names, but no newest value."""

    def show(self, name: str, curve: Curve) -> None:
        """Show a function and its derivative."""
        x, y, slope = curve
        self.update([Line("derivative", x, slope, "line-8", "dashed"), Line(name, x, y, "line-3")])

    def draw(self, width: int, height: int) -> Canvas:
        canvas = super().draw(width, height)
        canvas.write(0, 0, " " * width, "title")
        x = LABEL
        for line in reversed(self.chart.lines):
            canvas.write(x, 0, f"{SAMPLES[line.dash]} ", line.colour)
            canvas.write(x + 2, 0, line.name, "axis")
            x += len(line.name) + 5
        return canvas


Curve = tuple[HostArray, HostArray, HostArray]
"""x, y and dy/dx."""


@lru_cache(maxsize=64)
def curve_of(activation: Activation) -> Curve | None:
    """Return the curve of an activation; None for one that looks at all units together, such as softmax."""
    ops = NumpyKernels()
    x = np.linspace(-RANGE, RANGE, POINTS)
    y, slope, part = np.empty_like(x), np.empty_like(x), np.empty(POINTS // 2)
    with ops.quiet():
        activation.forward(ops, x, out=y)
        activation.backward(ops, x, y, np.ones_like(x), out=slope)
        activation.forward(ops, x[: POINTS // 2].copy(), out=part)
    return (x, y, slope) if np.allclose(part, y[: POINTS // 2]) else None
