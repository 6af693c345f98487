"""Pictures seen through an affine map: every output pixel looks up a place of the input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.labels import class_numbers

Interpolation: TypeAlias = Literal["bilinear", "nearest"]
FillMode: TypeAlias = Literal["reflect", "wrap", "nearest", "constant"]

PORTION = 1 << 16
"""Pixels that are worked on at once: what lies between stays in a cache."""


def look_up(
    ops: Ops,
    x: Array,
    matrix: Array,
    out: Array,
    interpolation: Interpolation = "bilinear",
    fill_mode: FillMode = "reflect",
    fill_value: float = 0,
) -> None:
    """out[b, i, j] = x[b] at row m₀₀·i + m₀₁·j + m₀₂ and column m₁₀·i + m₁₁·j + m₁₂, m = matrix[b].

    x: (batch, height, width, channels), matrix: (batch, 2, 3), out: (batch, rows, columns, channels). Beyond the edges
    lies for reflect (d c b a | a b c d | d c b a), wrap (a b c d | a b c d | a b c d), nearest (a a | a b c d | d d),
    constant (v v | a b c d | v v).
    """
    together = max(1, PORTION // (out.shape[1] * out.shape[2]))
    for start in range(0, len(x), together):
        part = slice(start, start + together)
        _look_up(ops, x[part], matrix[part], out[part], interpolation, fill_mode, fill_value)


def _look_up(
    ops: Ops, x: Array, matrix: Array, out: Array, interpolation: Interpolation, fill_mode: FillMode, fill_value: float
) -> None:
    xp, shape = ops.xp, out.shape[:3]
    with ops.scratch(x, shape=shape) as rows, ops.scratch(x, shape=shape) as columns:
        _places(ops, matrix[:, 0], rows)
        _places(ops, matrix[:, 1], columns)
        if interpolation == "nearest":
            for places in (rows, columns):
                xp.add(places, 0.5, out=places)
                xp.floor(places, out=places)
            _gather(ops, x, rows, columns, fill_mode, fill_value, out)
            return
        out[...] = 0
        with (
            ops.scratch(x, shape=shape) as row,
            ops.scratch(x, shape=shape) as column,
            ops.scratch(x, shape=shape) as weight,
            ops.scratch(x, shape=shape) as across,
            ops.scratch(out) as corner,
        ):
            for below, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
                _corner(ops, rows, below, row)
                _corner(ops, columns, right, column)
                _nearness(ops, rows, row, weight)
                _nearness(ops, columns, column, across)
                xp.multiply(weight, across, out=weight)
                _gather(ops, x, row, column, fill_mode, fill_value, corner)
                xp.multiply(corner, weight[..., None], out=corner)
                xp.add(out, corner, out=out)


def _places(ops: Ops, line: Array, out: Array) -> None:
    """out[b, i, j] = line[b, 0] · i + line[b, 1] · j + line[b, 2]."""
    xp, (_, rows, columns) = ops.xp, out.shape
    with class_numbers(ops, out, rows) as numbers:
        xp.multiply(line[:, 0, None, None], numbers.reshape(1, -1, 1), out=out)
    with ops.scratch(out, shape=(len(out), 1, columns)) as term, class_numbers(ops, out, columns) as numbers:
        xp.multiply(line[:, 1, None, None], numbers, out=term)
        xp.add(term, line[:, 2, None, None], out=term)
        xp.add(out, term, out=out)


def _corner(ops: Ops, places: Array, further: int, out: Array) -> None:
    ops.xp.floor(places, out=out)
    if further:
        ops.xp.add(out, 1, out=out)


def _nearness(ops: Ops, places: Array, corner: Array, out: Array) -> None:
    """Write 1 − |places − corner|."""
    xp = ops.xp
    xp.subtract(places, corner, out=out)
    xp.absolute(out, out=out)
    xp.subtract(1, out, out=out)


def _gather(
    ops: Ops, x: Array, rows: Array, columns: Array, fill_mode: FillMode, fill_value: float, out: Array
) -> None:
    """Write the pixels at whole `rows` and `columns`, which are changed."""
    xp, (height, width, channels) = ops.xp, x.shape[1:]
    with ops.scratch(out, dtype="bool", shape=rows.shape) as outside:
        if fill_mode == "constant":
            _outside(ops, rows, columns, height, width, outside)
        _bring_in(ops, rows, height, fill_mode)
        _bring_in(ops, columns, width, fill_mode)
        with _numbers(ops, rows, columns, height, width) as numbers:
            ops.gather(x.reshape(-1, channels), numbers.reshape(-1), out=out.reshape(-1, channels))
        if fill_mode == "constant":
            xp.copyto(out, fill_value, where=outside[..., None])


def _outside(ops: Ops, rows: Array, columns: Array, height: int, width: int, out: Array) -> None:
    xp = ops.xp
    xp.less(rows, 0, out=out)
    with ops.scratch(out) as more:
        for places, size in ((rows, height), (columns, width)):
            xp.greater(places, size - 1, out=more)
            xp.logical_or(out, more, out=out)
        xp.less(columns, 0, out=more)
        xp.logical_or(out, more, out=out)


def _bring_in(ops: Ops, places: Array, size: int, fill_mode: FillMode) -> None:
    """Change whole `places` to those between 0 and size − 1 whose pixels stand there."""
    xp = ops.xp
    if fill_mode in ("reflect", "wrap"):
        period = 2 * size if fill_mode == "reflect" else size
        with ops.scratch(places) as periods:
            xp.add(places, 0.5, out=periods)  # so that rounding cannot lead into the next period
            xp.multiply(periods, 1 / period, out=periods)
            xp.floor(periods, out=periods)
            xp.multiply(periods, period, out=periods)
            xp.subtract(places, periods, out=places)
            if fill_mode == "reflect":
                xp.subtract(period - 1, places, out=periods)
                xp.minimum(places, periods, out=places)
    xp.clip(places, 0, size - 1, out=places)


@contextmanager
def _numbers(ops: Ops, rows: Array, columns: Array, height: int, width: int) -> Iterator[Array]:
    """Lend the number of each pixel among all of the batch."""
    xp = ops.xp
    with ops.scratch(rows, dtype="int64") as numbers, ops.scratch(rows, dtype="int64") as term:
        xp.copyto(numbers, rows, casting="unsafe")
        xp.multiply(numbers, width, out=numbers)
        xp.copyto(term, columns, casting="unsafe")
        xp.add(numbers, term, out=numbers)
        with class_numbers(ops, numbers, len(rows)) as samples:
            xp.multiply(samples, height * width, out=samples)
            xp.add(numbers, samples.reshape(-1, 1, 1), out=numbers)
        yield numbers
