"""Curves in braille: golden pictures, checked by eye, and what must hold for all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tui.widgets.pictures import lines_of, picture, styles_of
from tuilab.tui.widgets.braille import cells_in
from tuilab.tui.widgets.line_chart import Chart, Line, draw_line_chart
from tuilab.tui.widgets.scale import LABEL

X = np.arange(21.0)
FALLING = np.exp(-X / 6)
TRAIN = Line("train", X, FALLING)
VALIDATION = Line("validation", X[::5], FALLING[::5] + 0.1, "validation", "dashed")
BOTH = Chart((TRAIN, VALIDATION), "loss")
NAN, INFINITE = np.nan, np.inf


def of(*y: float, **options: object) -> Chart:
    """A chart of one line over 0, 1, 2, …"""
    return Chart((Line("a", np.arange(float(len(y))), np.array(y)),), **options)  # type: ignore[arg-type]


PICTURES = [
    (
        "two curves differ without colour",
        BOTH,
        (56, 12),
        """
        |loss               ━ train  0.0357  ╍ validation  0.1357
        |        ⠑⠤
        |    1.0 ⠑⢄ ⠢⡀
        |          ⠑⢄⠈ ⢄
        |            ⠑⢄ ⠉ ⡀
        |              ⠉⠢⣀⠈⠢
        |    0.5          ⠑⠤⣀⠉⠒ ⢄⣀
        |                    ⠉⠒⠤⢄  ⠑⠢ ⣀
        |                        ⠉⠑⠢⠤⢄⣀⣉ ⠒⠢ ⠤⢄ ⣀⡀
        |                               ⠉⠉⠑⠒⠢⠤⠤⣀⣈⡀⠉⠑ ⠒⠒ ⠒⠒ ⠤⠤ ⠤⠤
        |    0.0                                 ⠈⠉⠉⠉⠉⠒⠒⠒⠒⠒⠒⠒⠤⠤⠤⠤
        |        0           5          10         15          20
        """,
    ),
    (
        "logarithmic",
        replace(BOTH, log=True, unit="nats"),
        (56, 8),
        """
        |loss (nats, log)   ━ train  0.0357  ╍ validation  0.1357
        |      1 ⠒⠢⠤⢤⡤ ⣀⡀
        |            ⠈⠉⠑⠚⠢⠭⠭⣀⣒⡢ ⠤⠤ ⣀⡀
        |    0.3              ⠈⠉⠉⠒⠒⠤⠬⢄⣉⣉ ⠒⠒ ⠤⠤ ⣀⣀ ⣀
        |    0.1                        ⠉⠉⠑⠒⠢⠤⠤⣀⣀⡀ ⠉ ⠉⠉ ⠒⠒ ⠒⠒ ⠤⠤
        |                                        ⠈⠉⠉⠒⠒⠤⠤⢄⣀⣀
        |                                                  ⠉⠉⠑⠒⠢⠤
        |        0           5          10         15          20
        """,
    ),
    (
        "a cursor reads the values where it stands",
        replace(BOTH, cursor=0.5),
        (56, 8),
        """
        |loss  at 10        ━ train  0.1889  ╍ validation  0.2889
        |    1.0 ⢍⡢ ⡀                    │
        |         ⠈⠑⠬⣉ ⠤⡀                │
        |             ⠉⠢⠬⣀⠢⠤             │
        |    0.5          ⠉⠑⠢⠭⢕⣀⡒⠤ ⢄⣀    │
        |                       ⠈⠉⠉⠒⠒⠢⠭⠭⣀⣒⠒ ⠤⠤ ⠤⠤ ⣀⣀ ⣀⣀ ⣀⣀
        |    0.0                         │⠉⠉⠉⠉⠉⠒⠒⠒⠒⠒⠒⠒⠤⠤⠤⠤⠤⠭⠭⠤⠭⠭⠤
        |        0           5          10         15          20
        """,
    ),
    (
        "no line across a gap",
        of(1, 2, 3, NAN, 3, 2, INFINITE),
        (30, 5),
        """
        |                   ━ a       2
        |             ⢀⠔⠁      ⠈⠢⡀
        |            ⡠⠃          ⠘⢄
        |      2   ⡠⠊              ⠁
        |        ⡠⠊
        """,
    ),
    (
        "points between gaps",
        of(1, NAN, 2, NAN, 3),
        (30, 5),
        """
        |                   ━ a       3
        |                             ⠘
        |
        |      2            ⠛
        |        ⣀
        """,
    ),
    (
        "one point",
        Chart((Line("a", np.array([3.0]), np.array([7.0])),)),
        (30, 5),
        """
        |                   ━ a       7
        |
        |
        |      7            ⠛
        |
        """,
    ),
    (
        "always the same",
        of(2, 2, 2),
        (30, 5),
        """
        |                   ━ a       2
        |
        |
        |      2 ⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉
        |
        """,
    ),
    (
        "zero and less have no logarithm",
        of(1, 0, 0.1, -1, 0.01, log=True),
        (30, 6),
        """
        |(log)              ━ a  0.0100
        |      1 ⠛
        |
        |                   ⠛
        |   0.01                      ⢀
        |        0         2          4
        """,
    ),
    (
        "a line that crosses a window",
        Chart((Line("a", np.array([0.0, 10.0]), np.array([0.0, 10.0])),), window=(4, 6)),
        (30, 6),
        """
        |                   ━ a      10
        |      6                 ⢀⣀⠤⠔⠒⠉
        |                   ⣀⡠⠤⠒⠊⠁
        |             ⢀⡠⠤⠒⠊⠉
        |      4 ⣀⠤⠔⠒⠉⠁
        |        4         5          6
        """,
    ),
    (
        "the last of it",
        Chart((TRAIN,), last=5),
        (30, 6),
        """
        |               ━ train  0.0357
        |        ⠒⠤⣀
        |           ⠉⠒⠢⠤⣀
        |   0.05         ⠉⠑⠒⠤⢄⣀
        |                      ⠉⠉⠑⠒⠢⠤⢄⣀
        |           16       18      20
        """,
    ),
    (
        "room for what comes",
        Chart((TRAIN,), end=40),
        (30, 6),
        """
        |               ━ train  0.0357
        |      1 ⠱⡀
        |         ⠱⡀
        |          ⠈⠢⢄
        |      0      ⠉⠒⠢⠤⠤⠤⠄
        |        0        20         40
        """,
    ),
    (
        "a band",
        Chart((Line("a", X, X, least=X - 5, most=X + 5),)),
        (30, 8),
        """
        |                   ━ a      20
        |                             ⠂
        |     20                ⠂⠂⣀⠤⠤⠔⠉
        |                 ⠂⠂⠂⡠⠤⠒⠊⠉⠂⠂⠂⠂
        |           ⠂⠂⢀⠤⠤⠔⠉⠉⠉⠂⠂⠂
        |      0 ⡠⠤⠒⠒⠉⠁⠂⠂⠂
        |        ⠂⠂⠂
        |        0        10         20
        """,
    ),
    (
        "a fixed range cuts off what is beyond it",
        Chart((Line("a", X, X),), low=5, high=10),
        (30, 6),
        """
        |                   ━ a      20
        |     10          ⢀⠔⠁
        |                ⡠⠃
        |               ⡔⠁
        |      5      ⢀⠎
        |        0        10         20
        """,
    ),
    (
        "nothing to show",
        Chart((Line("a", X[:0], X[:0]),), "loss"),
        (30, 6),
        """
        |loss               ━ a       –
        |
        |
        |
        |
        |
        """,
    ),
    (
        "hardly any room",
        BOTH,
        (9, 3),
        """
        |loss
        |⠳⢄
        | ⠈⠑⠓⠶⠤⠤⣤⣀
        """,
    ),
    (
        "large negative numbers",
        Chart((Line("a", X, -1e12 * X),)),
        (30, 6),
        """
        |                   ━ a -2.0e13
        |      0 ⠉⠒⠢⠤⣀
        |             ⠉⠑⠒⠤⢄⡀
        |                  ⠈⠉⠉⠢⠤⠤⡀
        |  -2e13                 ⠈⠉⠒⠤⠤⢄
        |        0        10         20
        """,
    ),
    (
        "a long legend stands below the title",
        Chart(tuple(Line(f"run {n}", X, FALLING + n / 4, f"line-{n}") for n in range(1, 5)), "loss"),
        (44, 13),
        """
        |loss
        |          ━ run 1  ━ run 2  ━ run 3  ━ run 4
        |    2.0 ⠑⠤⡀
        |        ⠢⡀⠈⠢⡀
        |    1.5 ⡀⠈⠢⡀⠈⠑⠤⣀
        |        ⠈⠑⢄⠈⠑⠤⣀ ⠉⠑⠢⠤⣀⡀
        |        ⠑⢄ ⠑⠤⢄ ⠉⠢⠤⣀⡀ ⠈⠉⠑⠒⠤⠤⠤⠤⣀⣀⣀
        |    1.0   ⠑⠢⡀ ⠉⠢⠤⡀ ⠈⠉⠑⠒⠤⠤⢄⣀     ⠉⠉⠉⠉⠉⠉⠉⠑⠒⠒⠒⠒
        |            ⠈⠑⠤⡀ ⠈⠑⠢⠤⢄⣀    ⠉⠉⠉⠑⠒⠒⠒⠒⠢⠤⠤⠤⠤⠤⠤⠤⠤
        |               ⠈⠉⠒⠤⠤⣀⡀ ⠉⠉⠉⠉⠒⠢⠤⠤⠤⠤⠤⣀⣀⣀⣀⣀⣀⣀
        |    0.5              ⠈⠉⠑⠒⠤⠤⠤⠤⣀⣀⣀         ⠉⠉⠉
        |                                ⠉⠉⠉⠉⠉⠑⠒⠒⠒⠒⠒⠒
        |        0                10               20
        """,
    ),
]


@pytest.mark.parametrize(
    ("chart", "size", "expected"), [case[1:] for case in PICTURES], ids=[case[0] for case in PICTURES]
)
def test_picture(chart: Chart, size: tuple[int, int], expected: str) -> None:
    assert lines_of(draw_line_chart(chart, *size)) == picture(expected)


def plot_of(chart: Chart, width: int = 60, height: int = 20) -> np.ndarray:
    """Return the cells of the plot."""
    return cells_in(draw_line_chart(chart, width, height).characters)[:, LABEL:]


def test_every_curve_has_its_colour() -> None:
    rows = styles_of(draw_line_chart(BOTH, 56, 12))
    assert rows[0] == [
        ("loss", "title"),
        ("━", "train"),
        ("train", "axis"),
        ("0.0357", "title"),
        ("╍", "validation"),
        ("validation", "axis"),
        ("0.1357", "title"),
    ]
    plot = {style for row in rows[1:-1] for text, style in row if text[0] >= "⠀"}
    assert plot == {"train", "validation"}


@pytest.mark.parametrize("bad", [NAN, INFINITE, -INFINITE])
def test_a_single_bad_value_in_a_million_changes_nothing_but_its_column(bad: float) -> None:
    x = np.arange(1e6)
    y = np.sin(x / 1e5)
    with_gap = y.copy()
    with_gap[400_000] = bad
    columns = (plot_of(Chart((Line("a", x, y),))) != plot_of(Chart((Line("a", x, with_gap),)))).any(axis=0)
    assert columns.sum() <= 1


def test_a_spike_of_one_step_in_a_million_is_seen() -> None:
    x = np.arange(1e6)
    y = np.zeros(len(x))
    y[123_456], y[777_777] = 5, -5
    rows, columns = np.nonzero(plot_of(Chart((Line("a", x, y),)), 60, 22))
    assert {rows.min(), rows.max()} == {1, 20}
    assert columns[rows == 1].tolist() == [round(123_456 / 1e6 * 51)]
    assert columns[rows == 20].tolist() == [round(777_777 / 1e6 * 51)]


def test_labels_have_the_same_room_whatever_the_numbers() -> None:
    lefts = set()
    for factor in (1e-12, -0.01, 1.0, 1234.5, 1e5, -1e9, 1e100):
        rows = draw_line_chart(of(0, factor), 60, 12).text().split("\n")[1:-1]
        assert any(row[:LABEL].strip() for row in rows)
        assert all(row[LABEL - 1] == " " for row in rows)
        lefts.add(min(len(row) - len(row[LABEL:].lstrip()) for row in rows))
    assert lefts == {LABEL}


def test_the_axis_stands_still_while_values_come_in() -> None:
    generator = np.random.default_rng(0)
    y = 1 + 0.2 * generator.random(300)
    axes = set()
    for count in range(200, 300):
        rows = draw_line_chart(of(*y[:count], end=300), 60, 12).text().split("\n")
        axes.add((tuple(row[:LABEL] for row in rows[1:]), rows[-1]))
    assert len(axes) == 1


def test_steps_need_not_come_in_order() -> None:
    order = np.random.default_rng(1).permutation(len(X))
    mixed = Line("train", X[order], FALLING[order])
    assert draw_line_chart(Chart((mixed,)), 40, 10).text() == draw_line_chart(Chart((TRAIN,)), 40, 10).text()


def test_where_a_cursor_stands_is_read_from_every_line() -> None:
    at, values = BOTH.values_at(0.5)
    assert at == 10
    assert values == {"train": FALLING[10], "validation": FALLING[10] + 0.1}
    assert BOTH.values_at(1.0)[1]["validation"] == FALLING[20] + 0.1
    assert np.isnan(replace(BOTH, window=(-10, 0)).values_at(0.0)[1]["train"])


def test_a_smoothed_curve_has_its_points_as_a_band() -> None:
    y = np.where(X % 2 == 0, 1.0, 0.0)
    chart = Chart((Line("a", X, y),), smoothing=0.9, low=-0.5, high=1.5)
    plot = plot_of(chart, 60, 20)
    sparse = np.isin(plot, [0, 2])  # one dot, and always the same
    assert (plot[~sparse.all(axis=1)] != 0).any()
    assert (plot == 2).sum() > 20
    assert chart.values() == pytest.approx([0.5328], abs=1e-4)


def test_sixteen_curves_of_eight_runs() -> None:
    lines = [
        Line(f"{run}", X, FALLING * (1 + run / 8), f"line-{run + 1}", dash)
        for run in range(8)
        for dash in ("solid", "dashed")
    ]
    canvas = draw_line_chart(Chart(tuple(lines), "loss"), 80, 24)
    assert [row for row in lines_of(canvas) if "╍ 7" in row]
    assert {name for name in canvas.names if str(name).startswith("line-")} == {f"line-{n}" for n in range(1, 9)}
