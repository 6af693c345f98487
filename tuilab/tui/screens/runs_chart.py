"""Curves of runs over their epochs: one run's, or those of several in the colours of their signs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from tuilab.tui.run_curves import SIGNS, Curves
from tuilab.tui.widgets.canvas import Canvas
from tuilab.tui.widgets.line_chart import DASHES, Line, LineChart


class RunsChart(LineChart):
    """A chart whose x axis counts epochs."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.log_scale = False

    def colour(self, sign: int) -> Style:
        """Return the colour of a run."""
        return self.get_component_rich_style(f"line-chart--{tone_of(sign)}", partial=True)

    def show_run(self, curves: Curves) -> None:
        """Show the loss of a run, on the training and the validation part."""
        lines = []
        if "loss" in curves:
            lines.append(Line("train", curves["loss"].epoch, curves["loss"].value, "train"))
        if "val_loss" in curves:
            validation = curves["val_loss"]
            lines.append(Line("validation", validation.epoch, validation.value, "validation", dash="dashed"))
        self.update(lines, title="loss")

    def show_overlay(self, result: str, runs: Sequence[tuple[int, Curves]]) -> None:
        """Show one result of several runs, each given by its sign."""
        dashes = list(DASHES)
        lines = []
        for sign, curves in runs:
            if curve := curves.get(result):
                lines.append(
                    Line(SIGNS[sign], curve.epoch, curve.value, tone_of(sign), dash=dashes[sign % len(dashes)])
                )
        self.update(lines, title=result, log=self.log_scale)

    def draw(self, width: int, height: int) -> Canvas:
        if self.chart.lines:
            return super().draw(width, height)
        canvas = Canvas(width, height)
        canvas.write(0, 0, "no curves yet", "axis")
        return canvas


def tone_of(sign: int) -> str:
    """Return the name of the colour of a run."""
    return f"line-{sign + 1}"
