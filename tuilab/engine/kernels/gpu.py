"""A GPU: the operations of `Ops` as CUDA kernels of our own. What has none is done by the array module's functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from tuilab.blocks.activations import Activation
from tuilab.blocks.arrays import Array, ArrayModule, HostArray, Shape, Stream
from tuilab.blocks.crossentropies import BinaryCrossentropy, CategoricalCrossentropy
from tuilab.blocks.loss import Loss
from tuilab.blocks.metric import Metric, Outputs
from tuilab.blocks.metrics import Accuracy
from tuilab.blocks.optimizers import Optimizer
from tuilab.blocks.window import Window
from tuilab.engine.kernels import gpu_images
from tuilab.engine.kernels.cublas import CublasError
from tuilab.engine.kernels.cudnn import Cudnn, CudnnMissingError
from tuilab.engine.kernels.gpu_activations import form_of
from tuilab.engine.kernels.gpu_arrays import GpuModule
from tuilab.engine.kernels.gpu_convolutions import Convolutions
from tuilab.engine.kernels.launching import LaunchingKernels, Library, alike, rows_of
from tuilab.engine.kernels.optimizer_rules import rule_of
from tuilab.engine.kernels.sources import REALS
from tuilab.engine.kernels.types import type_number

HALVES = ("bfloat16", "float16")
"""Of PRECISIONS, those that memory holds in half the bytes."""
MOST_COEFFICIENTS = 4
"""Of any optimizer, with the share of the weights that is kept."""


class CudaKernels(LaunchingKernels):
    """The operations of a GPU, over an array module and a library of kernels."""

    def __init__(self, xp: ArrayModule, library: Library) -> None:
        super().__init__(GpuModule(xp, self), library)
        self._changing: dict[str, Array] = {}
        self._held: dict[str, bytes] = {}
        """What of it was last written, by precision."""
        self.exact = False
        self.convolutions = Convolutions(self)
        """Those that are left to cuDNN."""
        self._remarks: list[str] = []

    def prepare(self, sample: Shape, exact: bool) -> None:
        self.exact = exact

    @property
    def remarks(self) -> Sequence[str]:
        return self._remarks

    def remark(self, words: str) -> None:
        """Let whoever trains know something, once."""
        if words not in self._remarks:
            self._remarks.append(words)

    def room(self) -> int:
        """Return how many bytes of the device's memory are free."""
        raise NotImplementedError  # abstract

    def has_room(self, size: int) -> bool:
        """Whether it is half of the free memory or less: the rest is for what a training needs beside its samples."""
        fits = size <= self.room() // 2
        if not fits:
            self.remark("the samples take more than half of the GPU's free memory: it gets them batch by batch")
        return fits

    def address(self, array: Array) -> int:
        """Return where an array begins in the device's memory."""
        raise NotImplementedError  # abstract

    def open_cudnn(self) -> Cudnn:
        """Return cuDNN on this device's stream; raises CudnnError where it cannot be had."""
        raise CudnnMissingError

    # Random numbers and samples

    def uniform(self, stream: Stream, out: Array) -> None:
        self._draw("uniform", stream, out)

    def draw_mask(self, stream: Stream, rate: float, out: Array) -> None:
        self._draw("draw_mask", stream, out, float(rate))

    def _draw(self, name: str, stream: Stream, out: Array, *settings: float) -> None:
        self.set_clock(stream.clock.step, stream.clock.epoch)
        words = -(-out.nbytes // 32)
        if words:
            grid, key = (-(-words // 256), 1, 1), map(np.uint64, stream.key)
            self.start(name, out, grid, (256, 1, 1), out, out.size, *key, self.clock, *settings)

    def count_up(self, out: Array) -> None:
        real = out.dtype.name in REALS
        if (real or out.dtype == "int64") and out.flags.c_contiguous:
            self.over("count_up", out if real else self.clock.view("float64"), out.size, out, int(real), out.size)
        else:
            super().count_up(out)

    def gather(self, source: Array, rows: Array, out: Array) -> None:
        if rows.dtype != "int64" or not (source.flags.c_contiguous and out.flags.c_contiguous):
            self.xp.take(source, rows, axis=0, out=out)
            return
        width = out.nbytes // max(len(rows), 1)
        like = out if out.dtype.name in ("float32", "float64") else self.clock.view("float64")
        self.over("gather", like, -(-out.nbytes // 8), source, rows, out, len(rows), width)

    def load(self, source: Array, rows: Array, offset: Array | None, scale: Array | None, out: Array) -> None:
        number, count = type_number(source), len(rows)
        if (offset is None and scale is None and source.dtype == out.dtype) or number is None:
            super().load(source, rows, offset, scale, out)
            return
        self.over(
            "load",
            out,
            out.size,
            *(source, number, rows),
            *(offset, 0 if offset is None else offset.size),
            *(scale, 0 if scale is None else scale.size),
            *(out, count, out.size // max(count, 1)),
        )

    # Activations, losses, metrics

    def activate(self, activation: Activation, x: Array, bias: Array | None, out: Array) -> None:
        form = form_of(activation)
        if form is None or not alike(x, bias, out):
            super().activate(activation, x, bias, out)
            return
        self.over("activate", out, out.size, *form, x, bias, 0 if bias is None else bias.size, out, out.size)

    def activate_backward(
        self, activation: Activation, x: Array, y: Array, dy: Array, dbias: Array | None, out: Array
    ) -> None:
        form = form_of(activation)
        if form is None or not alike(x, y, dy, dbias, out):
            super().activate_backward(activation, x, y, dy, dbias, out)
        elif dbias is None:
            self.over("activate_backward", out, out.size, *form, x, y, dy, out, out.size)
        else:
            self.sum_columns("activate_backward_sums", rows_of(out), (*form, x, y, dy, out), dbias)

    def count_flat(self, activation: Activation, x: Array, y: Array, least: float, dead: Array, flat: Array) -> None:
        form = form_of(activation)
        if form is None or not alike(x, y):
            super().count_flat(activation, x, y, least, dead, flat)
            return
        rows, units = shape = rows_of(y)
        with self.scratch(y, "float64", self.parts_shape(shape)) as parts:
            self.start_columns("slope_counts", y, shape, (*form, x, y, float(least)), parts)
            self.in_one_block("slope_shares", y, parts, len(parts), units, rows, dead, flat)

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
        known = alike(logits, prediction, out, gradient) and target.flags.c_contiguous
        labels, shares = target.dtype == "int64" and target.ndim == 1, target.dtype == logits.dtype and target.ndim == 2
        rest = logits, prediction, out, gradient, *logits.shape
        if known and type(loss) is CategoricalCrossentropy and (labels or shares):
            targets = (target, None) if labels else (None, target)
            self.by_line("softmax_losses", logits, len(logits), *targets, float(loss.label_smoothing), *rest)
        elif known and type(loss) is BinaryCrossentropy and shares:
            self.by_line("sigmoid_losses", logits, len(logits), target, float(loss.label_smoothing), *rest)
        else:
            super().loss_from_logits(loss, activation, target, logits, prediction, out, gradient)

    def add_to_metric(self, metric: Metric, outputs: Outputs, labels: Array, prediction: Array, state: Array) -> None:
        kind = metric.kind if type(metric) is Accuracy and alike(prediction) and labels.flags.c_contiguous else None
        number, competing = type_number(labels), outputs.one_of_many
        if kind in ("auto", "categorical") and competing and outputs.units > 1 and labels.dtype == "int64":
            self.in_one_block("count_largest", prediction, labels, prediction, state, *prediction.shape)
        elif kind in ("auto", "binary") and not competing and number is not None:
            threshold = float(outputs.threshold)
            self.in_one_block("count_above", prediction, labels, number, prediction, threshold, state, prediction.size)
        else:
            super().add_to_metric(metric, outputs, labels, prediction, state)

    # Updates

    def update(
        self,
        optimizer: Optimizer,
        w: Array,
        g: Array,
        slots: Sequence[Array],
        coefficients: Sequence[float | Array],
        kept: float | Array,
    ) -> None:
        if isinstance(kept, (float, int)):
            self.set_changing(w, [kept, *(number for number in coefficients if isinstance(number, (float, int)))])
        changing, rule = self.changing_of(w), rule_of(optimizer)
        if rule is None or not alike(w, g, *slots):
            places = [changing[place : place + 1] for place in range(1 + len(coefficients))]
            super().update(optimizer, w, g, slots, places[1:], places[0])
            return
        number, (first, *rest) = rule
        s, t, u = (*slots, None, None, None)[:3]
        second = float(rest[0]) if rest else 0.0
        self.over("update", w, w.size, number, float(first), second, changing, w, g, s, t, u, w.size)

    def changing_of(self, like: Array) -> Array:
        """Return what updates read in the precision of `like`: (MOST_COEFFICIENTS,), the share of the weights that is
        kept, and the optimizer's coefficients."""
        name = like.dtype.name
        if name not in self._changing:
            self._changing[name] = self.xp.zeros(MOST_COEFFICIENTS, dtype=name)
        return self._changing[name]

    def set_changing(self, like: Array, values: Sequence[float]) -> None:
        """Let updates read these numbers, unless they do already."""
        host = np.zeros(MOST_COEFFICIENTS, like.dtype)
        host[: len(values)] = values
        if self._held.get(like.dtype.name) != host.tobytes():
            self.upload(host, self.changing_of(like))
            self._held[like.dtype.name] = host.tobytes()

    def forget_changing(self) -> None:
        """Something else writes where updates read."""
        self._held.clear()

    # Sums

    def norms(self, x: Array, minus: Array | None, places: HostArray, out: Array) -> None:
        if not len(places):
            out.fill(0)
            return
        table = self.table(places)
        with self.scratch(out, shape=(len(places),)) as squares:
            self.start("stretch_squares", x, (len(places), 1, 1), (256, 1, 1), x, minus, table, squares)
            self.over("group_norms", x, out.size, table, squares, len(places), out, out.size)

    def mean_and_deviation(self, x: Array, mean: Array, deviation: Array) -> None:
        if not alike(x):
            super().mean_and_deviation(x, mean, deviation)
            return
        for around, out in ((None, mean), (mean, deviation)):
            self._spread(x, around, x.size, out)

    def total(self, x: Array, out: Array) -> None:
        """out = Σ x, one number of any real type."""
        with self.scratch(x, "float64", ()) as total:
            self._spread(x, None, 1, total)
            self.xp.copyto(out, total, casting="same_kind")

    def _spread(self, x: Array, mean: Array | None, count: int, out: Array) -> None:
        """out = Σ x / count, or √(Σ (x − mean)² / count); out: one number of float64."""
        blocks = max(1, min(-(-x.size // 1024), 1024))
        with self.scratch(x, "float64", (blocks,)) as parts:
            self.start("spread_parts", x, (blocks, 1, 1), (256, 1, 1), x, mean, parts, x.size)
            self.in_one_block("spread_end", x, parts, blocks, count, int(mean is not None), out)

    # Normalization

    def moments(self, x: Array, mean: Array, variance: Array) -> None:
        share = 1 / max(len(x), 1)
        self.sum_columns("total_of_rows", rows_of(x), (x,), mean, scale=share)
        self.sum_columns("squares_of_rows", rows_of(x), (x, mean), variance, scale=share)

    def standardize(self, x: Array, mean: Array, scale: Array, shift: Array, out: Array) -> None:
        self.over("standardize", x, x.size, x, mean, scale, shift, out, x.size, x.shape[1])

    def standardize_sums(self, x: Array, mean: Array, dy: Array, total: Array, product: Array) -> None:
        self.sum_columns("standardize_sums", rows_of(x), (x, mean, dy), total, product)

    def standardize_backward(
        self, x: Array, mean: Array, dy: Array, scale: Array, level: Array, slope: Array, out: Array
    ) -> None:
        self.over("standardize_backward", x, x.size, x, mean, dy, scale, level, slope, out, x.size, x.shape[1])

    # Matrix products, convolutions, poolings

    def linear(self, x: Array, kernel: Array, bias: Array | None, out: Array) -> None:
        with self.rounded(x) as left, self.rounded(kernel) as right:
            self.product(left, right, out)
        if bias is not None:
            self.add_bias(bias, out)

    def product(self, a: Array, b: Array, out: Array) -> None:
        """out = a · b, of what `rounded` lends."""
        if not self.multiply(a, b, out, self.precision):
            self.xp.matmul(a, b, out=out)

    def multiply(self, a: Array, b: Array, out: Array, precision: str = "float32") -> bool:
        """out = a · b in one of PRECISIONS; returns False where this is left to the array module."""
        return False

    @contextmanager
    def rounded(self, x: Array) -> Iterator[Array]:
        """Lend x as products read it: the bits of 16-bit numbers, or x itself where `precision` has others."""
        if self.precision not in HALVES:
            yield x
        elif not alike(x):
            with self.scratch(x) as in_order:
                self.xp.copyto(in_order, x)
                with self.rounded(in_order) as narrow:
                    yield narrow
        else:
            with self.scratch(x, "uint16") as narrow:
                self.over("narrow", x, x.size, x, self.rounding, narrow, x.size)
                yield narrow

    def compute_in(self, precision: str) -> None:
        """Let products and convolutions multiply numbers that are rounded to one of PRECISIONS. Where a first product
        does not work nothing is rounded, and `remarks` says why."""
        self.precision = precision
        if precision == "float32":
            return
        x, found = self.xp.asarray(np.arange(4, dtype="float32").reshape(2, 2)), self.xp.zeros((2, 2), dtype="float32")
        try:
            self.linear(x, x, None, out=found)
            trouble = "" if self.to_host(found).tolist() == [[2, 3], [6, 11]] else "it multiplies wrongly"
        except CublasError as error:
            trouble = str(error)
        if trouble:
            self.precision = "float32"
            self.remark(f"products are computed in float32, not in {precision}: {trouble}")

    def add_bias(self, bias: Array, out: Array) -> None:
        """out ← out + bias along the last axis."""
        self.over("activate", out, out.size, 0, 0.0, 0.0, out, bias, bias.size, out, out.size)

    def linear_backward(
        self, x: Array, kernel: Array, dy: Array, dx: Array | None, dkernel: Array | None, dbias: Array | None
    ) -> None:
        with self.rounded(dy) as slopes:
            if dkernel is not None:
                with self.rounded(x) as left:
                    self.product(left.T, slopes, dkernel)
            if dx is not None:
                with self.rounded(kernel) as right:
                    self.product(slopes, right.T, dx)
        if dbias is not None:
            self.sum_rows(dy, dbias)

    def sum_rows(self, x: Array, out: Array) -> None:
        """out = Σ x over all axes but the last."""
        self.sum_columns("total_of_rows", rows_of(x), (x,), out)

    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window, out: Array) -> None:
        gpu_images.convolve(self, x, kernel, bias, window, out)

    def conv2d_backward(
        self,
        x: Array,
        kernel: Array,
        dy: Array,
        window: Window,
        dx: Array | None,
        dkernel: Array | None,
        dbias: Array | None,
    ) -> None:
        gpu_images.convolve_backward(self, x, kernel, dy, window, dx, dkernel)
        if dbias is not None:
            self.sum_rows(dy, dbias)

    def max_pool2d(self, x: Array, window: Window, out: Array, chosen: Array | None) -> None:
        place, width = gpu_images.place_of(self, window, x, out), 0 if chosen is None else chosen.dtype.itemsize
        self.over("max_pool", x, out.size, place, x, out, chosen, width, out.size)

    def max_pool2d_backward(self, chosen: Array, dy: Array, window: Window, dx: Array) -> None:
        place = gpu_images.place_of(self, window, dx, dy)
        self.over("max_pool_backward", dx, dx.size, place, chosen, chosen.dtype.itemsize, dy, dx, dx.size)

    def sum_pool2d(self, x: Array, window: Window, out: Array) -> None:
        self.over("sum_pool", x, out.size, gpu_images.place_of(self, window, x, out), x, out, out.size)

    def sum_pool2d_backward(self, dy: Array, window: Window, dx: Array) -> None:
        self.over("sum_pool_backward", dx, dx.size, gpu_images.place_of(self, window, dx, dy), dy, dx, dx.size)
