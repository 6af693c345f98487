"""The CPU with fused kernels, compiled by numba: the fast form of what measurement shows to matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import Array, HostArray, Stream
from tuilab.blocks.crossentropies import BinaryCrossentropy, CategoricalCrossentropy
from tuilab.blocks.loss import Loss
from tuilab.blocks.metric import Metric, Outputs
from tuilab.blocks.metrics import Accuracy
from tuilab.blocks.optimizers import Optimizer
from tuilab.engine.kernels import fused_activations, fused_losses, fused_samples, fused_sums, fused_updates
from tuilab.engine.kernels.images import ImageKernels


class NumbaKernels(ImageKernels):
    """`NumpyKernels`, with several passes over memory made one.

    Which kernel runs follows from the blocks and the shapes alone, never from a measurement: a resumed training gives
    the same bytes.
    """

    compiles = True

    def __init__(self) -> None:
        super().__init__()
        self._constants: dict[tuple[int, float, str], Array] = {}
        self._settings = np.zeros(4)

    def activate(self, activation: Activation, x: Array, bias: Array | None, out: Array) -> None:
        number = fused_activations.NUMBERS.get(type(activation))
        if number is None or not out.flags.c_contiguous:
            super().activate(activation, x, bias, out)
            return
        units, slope = out.shape[-1], fused_activations.slope_of(activation)
        added = self._constant(units, 0, out) if bias is None else bias
        z, y = x.reshape(-1, units), out.reshape(-1, units)

        def work(first: int, last: int) -> None:
            if out is not x:
                np.copyto(y[first:last], z[first:last])
            fused_activations.activate(number, slope, added, y[first:last])

        self.over_rows(len(y), y.size, work)

    def activate_backward(
        self, activation: Activation, x: Array, y: Array, dy: Array, dbias: Array | None, out: Array
    ) -> None:
        number = fused_activations.NUMBERS.get(type(activation))
        if number is None or not out.flags.c_contiguous:
            super().activate_backward(activation, x, y, dy, dbias, out)
            return
        units, slope = out.shape[-1], fused_activations.slope_of(activation)
        activated, slopes, into = y.reshape(-1, units), dy.reshape(-1, units), out.reshape(-1, units)
        if dbias is not None:
            fused_activations.activate_backward(number, slope, activated, slopes, into, dbias)
            return
        nothing = self._constant(0, 0, out)

        def work(first: int, last: int) -> None:
            fused_activations.activate_backward(
                number, slope, activated[first:last], slopes[first:last], into[first:last], nothing
            )

        self.over_rows(len(into), into.size, work)

    def loss_from_logits(
        self,
        loss: Loss,
        activation: Activation,
        target: Array,
        logits: Array,
        prediction: Array,
        out: Array,
        gradient: Array,
    ) -> None:
        if type(loss) is CategoricalCrossentropy and target.ndim == 1:
            smoothing = loss.label_smoothing
            fused_losses.softmax_losses(target, smoothing, logits, prediction, out, gradient)
        elif type(loss) is BinaryCrossentropy:
            smoothing = loss.label_smoothing
            fused_losses.sigmoid_losses(smoothing, target, logits, prediction, out, gradient)
        else:
            super().loss_from_logits(loss, activation, target, logits, prediction, out, gradient)

    def add_to_metric(self, metric: Metric, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        if type(metric) is Accuracy and metric.kind == "auto" and outputs.one_of_many and outputs.units > 1:
            fused_losses.count_largest(labels, prediction, state)
        else:
            super().add_to_metric(metric, outputs, labels, prediction, state)

    def update(
        self,
        optimizer: Optimizer,
        w: Array,
        g: Array,
        slots: Sequence[Array],
        coefficients: Sequence[float | Array],
        kept: float | Array,
    ) -> None:
        rule = fused_updates.rule_of(optimizer)
        if rule is None:
            super().update(optimizer, w, g, slots, coefficients, kept)
            return
        number, settings = rule
        for index, value in enumerate((*settings, *coefficients)):
            self._settings[index : index + 1] = value
        s, t, u, *_ = (*slots, g, g, g)
        fused_updates.update(number, self._settings, kept, w, g, s, t, u)

    def draw_mask(self, stream: Stream, rate: float, out: Array) -> None:
        k0, k1 = map(np.uint64, stream.key)
        clock = stream.clock
        with self.scratch(out, "uint64", (-(-out.nbytes // 32) * 4,)) as words:
            fused_samples.draw_mask(k0, k1, clock.step, clock.epoch, rate, words, out.reshape(-1))

    def load(self, source: Array, rows: Array, offset: Array | None, scale: Array | None, out: Array) -> None:
        if offset is None and scale is None and source.dtype == out.dtype:
            self.gather(source, rows, out)
            return
        fused_samples.load_scaled(
            source.reshape(len(source), -1),
            rows,
            self._constant(1, 0, out) if offset is None else offset.reshape(-1),
            self._constant(1, 1, out) if scale is None else scale.reshape(-1),
            out.reshape(len(out), -1),
        )

    def norms(self, x: Array, minus: Array | None, places: HostArray, out: Array) -> None:
        fused_sums.norms(x, x if minus is None else minus, minus is not None, places, out)

    def count_flat(self, activation: Activation, x: Array, y: Array, least: float, dead: Array, flat: Array) -> None:
        number = fused_activations.NUMBERS.get(type(activation))
        if number is None:
            super().count_flat(activation, x, y, least, dead, flat)
            return
        units = y.shape[-1]
        with self.scratch(y, shape=(2, units)) as rows:
            rows[0].fill(1)
            slope = fused_activations.slope_of(activation)
            found = fused_activations.count_flat(number, slope, y.reshape(-1, units), least, rows)
        dead[...], flat[...] = found[0] / units, found[1] / y.size

    def mean_and_deviation(self, x: Array, mean: Array, deviation: Array) -> None:
        mean[...], deviation[...] = fused_sums.mean_and_deviation(x.reshape(-1))

    def _constant(self, size: int, value: float, like: Array) -> Array:
        """Return an array that holds one value; it is made once."""
        key = size, value, like.dtype.char
        if key not in self._constants:
            self._constants[key] = np.full(size, value, like.dtype)
        return self._constants[key]
