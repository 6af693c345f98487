"""Regularizers: penalties added to the loss that keep weights or outputs small or orthogonal."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tuilab.blocks.arrays import Array, Ops
from tuilab.blocks.block import Block

EPSILON = 1e-7


class Regularizer(Block, kind=True):
    """A penalty on a parameter (kernel, bias) or on a layer's output (activity)."""

    other_names: ClassVar[dict[str, str]] = {
        "elastic_net": "l1_l2",
        "lasso": "l1",
        "orthogonal_regularizer": "orthogonal",
        "ridge": "l2",
        "weight_decay": "l2, or set weight_decay of the optimizer",
    }

    def add_penalty(self, ops: Ops, w: Array, total: Array) -> None:
        """Add the penalty of `w` to `total`, an array of one element on the device."""
        raise NotImplementedError  # abstract

    def add_gradient(self, ops: Ops, w: Array, dw: Array) -> None:
        """Add the penalty's gradient to `dw`, which has the shape of `w`."""
        raise NotImplementedError  # abstract


class L1(Regularizer):
    """L1 penalty: pulls every weight towards zero with the same force, so that many end there: a sparse network
    (Tibshirani, 1996).

    penalty = l1 · Σ |w|,  gradient = l1 · sign(w)
    """

    l1: float = Field(0.01, ge=0, description="Strength of the penalty.")

    def add_penalty(self, ops: Ops, w: Array, total: Array) -> None:
        add_absolute_sum(ops, w, self.l1, total)

    def add_gradient(self, ops: Ops, w: Array, dw: Array) -> None:
        add_sign(ops, w, self.l1, dw)


class L2(Regularizer):
    """L2 penalty: pulls every weight towards zero in proportion to its size; the usual choice
    (Hoerl and Kennard, 1970).

    penalty = l2 · Σ w²,  gradient = 2 · l2 · w
    """

    l2: float = Field(0.01, ge=0, description="Strength of the penalty.")

    def add_penalty(self, ops: Ops, w: Array, total: Array) -> None:
        add_square_sum(ops, w, self.l2, total)

    def add_gradient(self, ops: Ops, w: Array, dw: Array) -> None:
        add_scaled(ops, w, 2 * self.l2, dw)


class L1L2(Regularizer):
    """L1 and L2 penalty together, the elastic net: sparse, but shared among inputs that say the same
    (Zou and Hastie, 2005).

    penalty = l1 · Σ |w| + l2 · Σ w²,  gradient = l1 · sign(w) + 2 · l2 · w
    """

    l1: float = Field(0.0, ge=0, description="Strength of the L1 penalty.")
    l2: float = Field(0.0, ge=0, description="Strength of the L2 penalty.")

    def add_penalty(self, ops: Ops, w: Array, total: Array) -> None:
        add_absolute_sum(ops, w, self.l1, total)
        add_square_sum(ops, w, self.l2, total)

    def add_gradient(self, ops: Ops, w: Array, dw: Array) -> None:
        add_sign(ops, w, self.l1, dw)
        add_scaled(ops, w, 2 * self.l2, dw)


class Orthogonal(Regularizer):
    """Penalty on rows (or columns) that point in similar or opposite directions: makes units look for different things.

    penalty = factor · mean of |uᵢ · uⱼ| over all pairs i ≠ j,  uᵢ = wᵢ / ‖wᵢ‖
    gradient of wᵢ = (gᵢ − (gᵢ · uᵢ) uᵢ) / ‖wᵢ‖,  gᵢ = factor / pairs · Σⱼ sign(uᵢ · uⱼ) uⱼ

    Weights with more than two axes are read as a matrix (product of the leading axes, last axis), a vector as one row.
    """

    factor: float = Field(0.01, ge=0, description="Strength of the penalty.")
    mode: Literal["rows", "columns"] = Field(
        "rows", description="What shall be orthogonal; of a dense kernel rows belong to inputs, columns to units."
    )

    def add_penalty(self, ops: Ops, w: Array, total: Array) -> None:
        matrix, size = self._matrix(w)
        if size < 2:
            return
        with (
            ops.scratch(matrix) as unit,
            ops.scratch(matrix, shape=self._norm_shape(matrix)) as norm,
            ops.scratch(matrix, shape=(size, size)) as product,
        ):
            self._products(ops, matrix, unit, norm, product)
            add_absolute_sum(ops, product, self.factor / (size * (size - 1)), total)  # which holds each pair twice

    def add_gradient(self, ops: Ops, w: Array, dw: Array) -> None:
        matrix, size = self._matrix(w)
        if size < 2:
            return
        xp, axis = ops.xp, self._axis
        with (
            ops.scratch(matrix) as unit,
            ops.scratch(matrix, shape=self._norm_shape(matrix)) as norm,
            ops.scratch(norm) as along,
            ops.scratch(matrix, shape=(size, size)) as product,
            ops.scratch(matrix) as gradient,
        ):
            self._products(ops, matrix, unit, norm, product)
            xp.sign(product, out=product)
            xp.multiply(product, 2 * self.factor / (size * (size - 1)), out=product)
            if axis:
                xp.matmul(product, unit, out=gradient)
            else:
                xp.matmul(unit, product, out=gradient)
            with ops.scratch(matrix) as rest:  # a step along wᵢ changes its length only, not uᵢ
                xp.multiply(gradient, unit, out=rest)
                xp.sum(rest, axis=axis, keepdims=True, out=along)
                xp.multiply(unit, along, out=rest)
                xp.subtract(gradient, rest, out=gradient)
            xp.divide(gradient, norm, out=gradient)
            xp.add(dw, gradient.reshape(w.shape), out=dw)

    @property
    def _axis(self) -> int:
        """The axis along which the vectors that shall be orthogonal lie."""
        return 1 if self.mode == "rows" else 0

    def _matrix(self, w: Array) -> tuple[Array, int]:
        """Return `w` as a matrix and the number of vectors in it."""
        matrix = w.reshape(-1, w.shape[-1])
        return matrix, matrix.shape[1 - self._axis]

    def _norm_shape(self, matrix: Array) -> tuple[int, int]:
        return (matrix.shape[0], 1) if self._axis else (1, matrix.shape[1])

    def _products(self, ops: Ops, matrix: Array, unit: Array, norm: Array, product: Array) -> None:
        """Write the vectors of length 1, their norms before, and the products of all pairs, 0 on the diagonal."""
        xp, axis = ops.xp, self._axis
        xp.multiply(matrix, matrix, out=unit)
        xp.sum(unit, axis=axis, keepdims=True, out=norm)
        xp.sqrt(norm, out=norm)
        xp.maximum(norm, EPSILON, out=norm)  # a vector of zeros has no direction
        xp.divide(matrix, norm, out=unit)
        if axis:
            xp.matmul(unit, unit.T, out=product)
        else:
            xp.matmul(unit.T, unit, out=product)
        product.reshape(-1)[:: product.shape[0] + 1] = 0


def add_absolute_sum(ops: Ops, w: Array, factor: float, total: Array) -> None:
    """total ← total + factor · Σ |w|"""
    with ops.scratch(w) as size:
        ops.xp.absolute(w, out=size)
        add_sum(ops, size, factor, total)


def add_square_sum(ops: Ops, w: Array, factor: float, total: Array) -> None:
    """total ← total + factor · Σ w²"""
    with ops.scratch(w) as square:
        ops.xp.multiply(w, w, out=square)
        add_sum(ops, square, factor, total)


def add_sum(ops: Ops, values: Array, factor: float, total: Array) -> None:
    """total ← total + factor · Σ values"""
    xp = ops.xp
    with ops.scratch(total) as penalty:
        xp.sum(values, out=penalty.reshape(()))
        xp.multiply(penalty, factor, out=penalty)
        xp.add(total, penalty, out=total)


def add_sign(ops: Ops, w: Array, factor: float, dw: Array) -> None:
    """dw ← dw + factor · sign(w)"""
    with ops.scratch(w) as sign:
        ops.xp.sign(w, out=sign)
        ops.xp.multiply(sign, factor, out=sign)
        ops.xp.add(dw, sign, out=dw)


def add_scaled(ops: Ops, w: Array, factor: float, dw: Array) -> None:
    """dw ← dw + factor · w"""
    with ops.scratch(w) as scaled:
        ops.xp.multiply(w, factor, out=scaled)
        ops.xp.add(dw, scaled, out=dw)
