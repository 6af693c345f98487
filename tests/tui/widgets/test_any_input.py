"""Whatever the numbers, texts, sizes and options: every drawing fills its cells exactly, and nothing else happens."""

from __future__ import annotations

import unicodedata

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rich.cells import cell_len

from tuilab.blocks.arrays import HostArray
from tuilab.tui.widgets.bar import draw_bar, draw_bars
from tuilab.tui.widgets.canvas import Canvas
from tuilab.tui.widgets.heat_map import draw_heat_map
from tuilab.tui.widgets.histogram import counted, draw_histogram
from tuilab.tui.widgets.image import draw_image
from tuilab.tui.widgets.line_chart import DASHES, Chart, Line, draw_line_chart
from tuilab.tui.widgets.scale import LABEL, Scale, label, scale_of, tick_labels
from tuilab.tui.widgets.scatter import draw_scatter
from tuilab.tui.widgets.sparkline import draw_sparkline, spark

WIDTHS = st.integers(0, 130)
HEIGHTS = st.integers(0, 45)
NUMBERS = st.one_of(st.floats(), st.floats(-10, 10), st.integers(-5, 5).map(float), st.just(np.nan), st.just(np.inf))
MAYBE = st.none() | NUMBERS
TEXTS = st.text(max_size=40) | st.sampled_from(
    ["", "train", "\x1b[31mred\x1b[0m", "[bold]x[/]", "深い層", "e\u0301", "a\tb\nc"]
)
ANY = settings(max_examples=60, deadline=None)


def numbers(size: st.SearchStrategy[int] | int) -> st.SearchStrategy[HostArray]:
    return arrays.arrays(np.float64, size, elements=NUMBERS)


def check(canvas: Canvas, width: int, height: int) -> None:
    rows = ["".join(text for text, _ in row) for row in canvas.rows()]
    assert len(rows) == height
    for row, text in zip(rows, canvas.text().split("\n") if height else [], strict=True):
        assert row == text
        assert cell_len(row) == width
        assert not any(unicodedata.category(character)[0] == "C" for character in row)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    size = draw(st.integers(0, 30))
    x = draw(numbers(size) | st.just(np.arange(size, dtype=float)))
    sides = draw(st.tuples(numbers(size), numbers(size)) | st.just((None, None)))
    colour = draw(st.sampled_from(["train", "validation", "line-8"]))
    return Line(draw(TEXTS), x, draw(numbers(size)), colour, draw(st.sampled_from(list(DASHES))), *sides)


@given(
    st.lists(lines(), max_size=16),
    WIDTHS,
    HEIGHTS,
    TEXTS,
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "last": NUMBERS,
            "smoothing": st.floats(0, 1),
            "cursor": st.floats(-1, 2),
            "low": MAYBE,
            "high": MAYBE,
            "end": NUMBERS,
            "window": st.tuples(NUMBERS, NUMBERS),
            "unit": TEXTS,
        },
    ),
)
@ANY
def test_line_chart(
    lines: list[Line], width: int, height: int, title: str, log: bool, options: dict[str, object]
) -> None:
    chart = Chart(tuple(lines), title, log, **options)  # type: ignore[arg-type]  # of the types above
    check(draw_line_chart(chart, width, height), width, height)


@given(numbers(st.integers(0, 200)), WIDTHS, HEIGHTS, st.booleans(), MAYBE, MAYBE, st.booleans())
@ANY
def test_sparkline(
    values: HostArray, width: int, height: int, log: bool, low: float | None, high: float | None, ascii: bool
) -> None:
    check(draw_sparkline(values, width, height, log, low, high, ascii), width, height)
    text = spark(values, width, log, low, high, ascii)
    assert len(text) == width
    assert text.isascii() or not ascii


@given(
    arrays.arrays(np.float64, arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=40), elements=NUMBERS),
    st.lists(TEXTS, max_size=40),
    WIDTHS,
    HEIGHTS,
    st.booleans(),
    MAYBE,
    MAYBE,
    st.lists(TEXTS, max_size=5),
)
@ANY
def test_heat_map(
    values: HostArray,
    labels: list[str],
    width: int,
    height: int,
    log: bool,
    low: float | None,
    high: float | None,
    ticks: list[str],
) -> None:
    check(draw_heat_map(values, labels, width, height, log, low, high, ticks), width, height)


SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40)


@given(
    arrays.arrays(np.uint8, SHAPES)
    | arrays.arrays(np.float64, SHAPES, elements=NUMBERS)
    | arrays.arrays(np.int64, SHAPES.map(lambda shape: (*shape, 3)))
    | arrays.arrays(np.bool_, SHAPES.map(lambda shape: (*shape, 1)))
    | arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)),
    WIDTHS,
    HEIGHTS,
    st.booleans(),
)
@ANY
def test_image(pixels: HostArray, width: int, height: int, plain: bool) -> None:
    check(draw_image(pixels, width, height, plain), width, height)


@given(numbers(st.integers(0, 200)), numbers(st.integers(0, 5)), WIDTHS, HEIGHTS, st.booleans())
@ANY
def test_histogram(counts: HostArray, edges: HostArray, width: int, height: int, log: bool) -> None:
    check(draw_histogram(counts, edges, width, height, log), width, height)


@given(numbers(st.integers(0, 200)), st.integers(1, 50))
@ANY
def test_counts_of_values(values: HostArray, bins: int) -> None:
    counts, edges = counted(values, bins)
    assert counts.shape == (bins,)
    assert edges.shape == (bins + 1,)
    assert counts.sum() == np.isfinite(values).sum()
    assert (np.diff(edges) >= 0).all()


@st.composite
def points(draw: st.DrawFn) -> tuple[HostArray, HostArray, HostArray]:
    size = draw(st.integers(0, 50))
    return draw(numbers(size)), draw(numbers(size)), draw(numbers(size))


@given(
    points(),
    WIDTHS,
    HEIGHTS,
    st.lists(TEXTS, max_size=10),
    st.none() | arrays.arrays(np.float64, SHAPES, elements=NUMBERS),
    st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
)
@ANY
def test_scatter(
    points: tuple[HostArray, HostArray, HostArray],
    width: int,
    height: int,
    names: list[str],
    field: HostArray | None,
    bounds: tuple[float, float, float, float] | None,
) -> None:
    check(draw_scatter(width, height, *points, names, field, bounds), width, height)


@given(NUMBERS, TEXTS, WIDTHS, HEIGHTS)
@ANY
def test_bar(share: float, text: str, width: int, height: int) -> None:
    check(draw_bar(share, text, width, height), width, height)


@given(st.lists(st.tuples(TEXTS, NUMBERS, TEXTS), max_size=20), WIDTHS, HEIGHTS)
@ANY
def test_bars(amounts: list[tuple[str, float, str]], width: int, height: int) -> None:
    check(draw_bars(amounts, width, height), width, height)


@given(numbers(st.integers(0, 5)), st.booleans(), MAYBE, MAYBE, st.integers(0, 20), st.booleans())
@ANY
def test_scales(values: HostArray, log: bool, low: float | None, high: float | None, most: int, rounded: bool) -> None:
    scale = scale_of(values, log, low, high)
    if rounded:
        scale = scale.rounded()
    assert scale.low < scale.high
    assert np.isfinite([scale.low, scale.high]).all()
    assert scale.low > 0 or not log
    shown = values[np.isfinite(values) & ((values > 0) | (not log))]
    if low is None and high is None:
        places = scale.place(shown)
        assert ((places >= -1e-6) & (places <= 1 + 1e-6)).all()
    ticks = scale.ticks(most)
    assert len(ticks) <= most
    assert ticks == sorted(ticks)
    assert all(-1e-6 <= float(scale.place(tick)) <= 1 + 1e-6 for tick in ticks)
    assert all(len(text) < LABEL for text in tick_labels(ticks))


@given(NUMBERS)
@ANY
def test_labels(value: float) -> None:
    assert 0 < len(label(value)) < LABEL


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@ANY
def test_places_and_values_are_each_others_inverse(low: float, high: float) -> None:
    scale = scale_of(np.array([low, high]))
    for place in (0.0, 0.25, 1.0):
        np.testing.assert_allclose(scale.place(scale.value(place)), place, atol=1e-6)
    assert isinstance(scale, Scale)
