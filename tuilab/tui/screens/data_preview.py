"""A data set, looked at: samples as images, points or rows; columns, classes and the split."""

from __future__ import annotations

import numpy as np
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from tuilab.blocks.datasets import DataInfo
from tuilab.text import clean_text
from tuilab.tui.data_list import Source
from tuilab.tui.numbers import memory, shape
from tuilab.tui.preview import Preview
from tuilab.tui.screens.data_images import ImageGrid
from tuilab.tui.widgets.bar import Bar, Bars
from tuilab.tui.widgets.histogram import Histogram
from tuilab.tui.widgets.panel import Panel
from tuilab.tui.widgets.scatter import Scatter
from tuilab.tui.widgets.table import Table

MOST_CLASSES = 40
"""That are drawn as bars."""
ONE_COLUMN, TWO_COLUMNS = 5, 34
"""More classes than these stand in two columns, where there are so many characters across."""
TARGET_BINS = 40
WIDE = 110
"""Characters of the screen from which samples, and what is told of them, stand side by side."""
BESIDE = 8
"""Lines that samples leave free where what is told of them stands beside them."""
TALL = 26
"""Lines from which samples may have half of them."""
SECONDS_UNTIL_NOTE = 0.3
"""A set that is read faster needs no note that it is being read."""


class DataPreview(Panel):
    """The set under the cursor."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.source: Source | None = None
        self.preview: Preview | None = None
        self._waiting = False

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="preview-scroll"):
            yield Static(id="preview-about", markup=False)
            yield Bar(id="preview-download")
            yield Static(id="preview-state", markup=False)
            with Container(id="preview-parts"):
                with Vertical(id="preview-samples"):
                    yield ImageGrid(id="preview-images")
                    yield Scatter(id="preview-points")
                    yield Table(id="preview-rows", cursor=False)
                with Vertical(id="preview-facts"):
                    with Horizontal(id="preview-classes"):
                        yield Bars(id="preview-classes-left")
                        yield Bars(id="preview-classes-right")
                    yield Histogram(id="preview-targets")
            yield Table(id="preview-statistics", cursor=False)

    def on_mount(self) -> None:
        self.query_one(Bar).display = False
        self._hide()
        self.app.theme_changed_signal.subscribe(self, lambda theme: self.on_resize())

    def announce(self, source: Source) -> None:
        """Say what is under the cursor now, before it is read."""
        self.source = source
        self.entitle(source.title)
        self.query_one("#preview-about", Static).update(Text(clean_text(source.about, 600)))
        self.query_one("#preview-scroll").scroll_home(animate=False)

    def wait_for_it(self) -> None:
        """Say that it is being read, where that takes a while."""
        self._waiting = True
        self.set_timer(SECONDS_UNTIL_NOTE, self._note)

    def _note(self) -> None:
        if self._waiting:
            self._say("Reading…")

    def show_absent(self, problem: str = "") -> None:
        """Say that the set is not on this machine, and why a download of it has failed."""
        assert self.source is not None
        if size := self.source.size_to_download:
            self._say(f"It is not on this machine. d downloads it: {memory(size)}. {problem}", bool(problem))
        else:
            self._say(f"There is no {self.source.place}.", problem=True)

    def show_problem(self, problem: str) -> None:
        """Say why the set cannot be read."""
        self._say(problem, problem=True)

    def _say(self, text: str, problem: bool = False) -> None:
        self._waiting = False
        state = self.query_one("#preview-state", Static)
        state.update(Text(clean_text(text, 1000)))
        state.set_class(problem, "problem")
        self._hide()

    def _hide(self) -> None:
        self.query_one("#preview-parts").display = self.query_one("#preview-statistics").display = False

    def show_download(self, done: int, size: int) -> None:
        """Show how far a download is; a size of 0: there is none."""
        bar = self.query_one(Bar)
        if bool(size) == bar.display:
            if size:
                bar.update(done / size, f"{memory(done)} of {memory(size)}  {done / size:4.0%}")
            return
        bar.display = bool(size)
        if size:
            self._say("It is being downloaded; esc cancels that, and what has arrived is kept.")
        elif self.source is not None and not self.source.here:
            self.show_absent()

    def show(self, preview: Preview) -> None:
        """Show what was read."""
        self._waiting = False
        self.preview = preview
        with self.app.batch_update():
            self._draw()

    def on_resize(self) -> None:
        if self.preview is not None and self.query_one("#preview-parts").display:
            self._draw()

    def _draw(self) -> None:
        preview = self.preview
        assert preview is not None
        parts = self.query_one("#preview-parts")
        parts.display = True
        parts.set_class(self._beside, "beside")
        state = self.query_one("#preview-state", Static)
        state.set_class(False, "problem")
        state.update(self._facts(preview))
        self._draw_samples(preview)
        self._draw_classes(preview)
        self._draw_targets(preview)
        statistics = self.query_one("#preview-statistics", Table)
        statistics.display = preview.statistics is not None
        if preview.statistics is not None:
            statistics.show(preview.statistics)
            statistics.styles.height = len(preview.statistics.lines) + 1

    def _draw_samples(self, preview: Preview) -> None:
        """Show samples as images, else as points, else as rows."""
        images, points = self.query_one(ImageGrid), self.query_one(Scatter)
        rows = self.query_one("#preview-rows", Table)
        images.display, points.display = bool(preview.images), preview.points is not None
        rows.display = preview.rows is not None and preview.points is None
        height = self.size.height
        room = max(height - BESIDE if self._beside else height // (2 if height > TALL else 3), 5)
        if preview.images:
            images.update(preview.images, *preview.pixel_range, most_lines=room)
        if preview.points is not None:
            x, y, kinds = preview.points.by_class()
            points.update(x, y, kinds, list(preview.points.groups))
            width = self.content_size.width * (0.6 if self._beside else 1)
            points.styles.height = min(room, max(round(width / 2), 5))  # a cell is twice as high as wide
        if preview.rows is not None:
            rows.show(preview.rows)
            rows.styles.height = min(len(preview.rows.lines) + 1, room)

    @property
    def _beside(self) -> bool:
        """Whether samples, and what is told of them, stand side by side; rows of a table need the whole width."""
        preview = self.preview
        return self.screen.size.width >= WIDE and preview is not None and bool(preview.images or preview.points)

    def _draw_classes(self, preview: Preview) -> None:
        """Show how many samples each class has; many classes in two columns."""
        amounts = [(clean_text(name, 60), float(count), f"{count:,}") for name, count in preview.classes.items()]
        if len(amounts) > MOST_CLASSES:
            amounts = [*amounts[:MOST_CLASSES], (f"and {len(amounts) - MOST_CLASSES:,} more", 0.0, "")]
        width = self.content_size.width * (0.4 if self._beside else 1)
        half = -(-len(amounts) // 2) if len(amounts) > ONE_COLUMN and width >= TWO_COLUMNS else len(amounts)
        left, right = self.query_one("#preview-classes-left", Bars), self.query_one("#preview-classes-right", Bars)
        self.query_one("#preview-classes").display = bool(amounts)
        right.display = half < len(amounts)
        left.update(amounts[:half])
        right.update(amounts[half:])

    def _draw_targets(self, preview: Preview) -> None:
        """Show how often each size of the number to predict occurs."""
        histogram = self.query_one(Histogram)
        histogram.display = preview.targets is not None
        if preview.targets is not None:
            histogram.update(*np.histogram(preview.targets, bins=TARGET_BINS))

    def _facts(self, preview: Preview) -> Text:
        width = max(self.content_size.width - 2, 10)
        lines = [Text(facts_line(preview.info, sum(preview.parts.values())))]
        lines += self._split(preview.parts, width)
        if preview.problem:
            lines.append(Text(f"not split: {clean_text(preview.problem, 400)}", self._colour("text-warning")))
        return Text("\n").join(lines)

    def _split(self, parts: dict[str, int], width: int) -> list[Text]:
        """Return the parts in words, and below them as a bar."""
        colours = {"train": "train", "validation": "validation", "test": "quiet"}
        signs = {"train": "━", "validation": "╍", "test": "─"}
        words, line, total = [], [], sum(parts.values())
        for name, count in parts.items():
            colour = self._colour(colours[name])
            words.append(Text.assemble((name, colour), f" {count:,}"))
            line.append(Text(signs[name] * max(round((width - 2) * count / total), 1), colour))
        return [Text("  ").join(words), Text(" ").join(line)]

    def _colour(self, variable: str) -> str:
        return self.app.theme_variables[variable].removeprefix("ansi_")


def facts_line(info: DataInfo, count: int) -> str:
    """Return size, shape and task in one line."""
    what = {
        "regression": f"{info.targets} number{'s' * (info.targets != 1)} to predict",
        "multi_label": f"{len(info.classes)} labels",
    }.get(info.task, f"{len(info.classes)} classes")
    sample = shape(info.input_shape) if len(info.input_shape) > 1 else f"{info.input_shape[0]:,} features"
    return f"{count:,} samples · {sample} · {what}"
