"""The layers for images and sequences beside those of Keras: settings, shapes, numbers; and what is refused."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tests.blocks.layer_bench import Bench
from tests.kernels import every_device
from tuilab.blocks.layers import Layer
from tuilab.engine.kernels import convolution

pytestmark = every_device

FORWARD, BACKWARD = 1e-5, 1e-4
"""How far from Keras and PyTorch, relative to the largest number."""

MODULES = (
    "convolution",
    "depthwise",
    "transposed",
    "pooling",
    "global_pooling",
    "resizing",
    "normalization",
    "regularization",
)
OURS = [
    name for name, layer in Layer.registry.items() if layer.__module__.removeprefix("tuilab.blocks.layers.") in MODULES
]
Settings = dict[str, Any]
NOT_HERE = {"self", "kwargs", "name", "dtype", "seed", "data_format", "axis", "noise_shape", "synchronized"} | {
    f"renorm{part}" for part in ("", "_clipping", "_momentum")
}
"""Settings of Keras that say what is the same everywhere here, or that nothing here has a use for."""
OPTIONAL_HERE = {"pool_size"}
NEEDED: Settings = {"filters": 4, "kernel_size": 3, "rate": 0.5}


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Keras over PyTorch, with a home of its own: it writes a file there when it is imported.

    Without oneDNN, because PyTorch 2.13's gradients of strided convolutions write beyond their memory with it; and with
    contiguous kernels, which PyTorch then asks for.
    """
    torch = pytest.importorskip("torch")
    patched = pytest.MonkeyPatch()
    patched.setenv("KERAS_BACKEND", "torch")
    patched.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    for name in ("conv1d", "conv2d", "conv_transpose2d"):
        patched.setattr(torch.nn.functional, name, with_contiguous_kernel(getattr(torch.nn.functional, name)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for settings that only other processors have
        before = torch.backends.mkldnn.set_flags(False)
    yield pytest.importorskip("keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.backends.mkldnn.set_flags(*before)
    patched.undo()


def with_contiguous_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, kernel, *args, **settings: function(x, kernel.contiguous(), *args, **settings)


def keras_name(name: str) -> str:
    """Return the name of Keras' class: `conv2d_transpose` → `Conv2DTranspose`."""
    words = (word.capitalize() for word in name.split("_"))
    return re.sub(r"\dd", lambda match: match.group().upper(), "".join(words))


@pytest.mark.parametrize("name", OURS)
def test_settings_and_defaults_are_those_of_keras(keras: Any, name: str) -> None:
    theirs = dict(inspect.signature(getattr(keras.layers, keras_name(name)).__init__).parameters)
    for unknown in NOT_HERE:
        theirs.pop(unknown, None)
    settings = Layer.registry[name].model_fields
    assert set(theirs) <= set(settings), "every setting of Keras"
    assert set(settings) - set(theirs) <= {"name", "trainable"}, "and no other"
    needed = {"type": name, **{setting: value for setting, value in NEEDED.items() if setting in theirs}}
    for setting, parameter in theirs.items():
        if parameter.default is inspect.Parameter.empty:
            assert settings[setting].is_required() or setting in OPTIONAL_HERE, setting
        else:
            default = "linear" if setting == "activation" else parameter.default
            assert Layer.choose({**needed, setting: default}) == Layer.choose(needed), setting


def run_keras(
    keras: Any, layer: Settings, x: np.ndarray, dy: np.ndarray | None, values: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return what Keras' layer gives, and with dy its gradients: of x and of each parameter."""
    import torch

    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in layer.items()}
    made = getattr(keras.layers, keras_name(settings.pop("type")))(**settings)
    made.build((None, *x.shape[1:]))
    made.set_weights(list(values.values()))
    inputs = torch.tensor(x, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns where backends may differ
        y = made(inputs, training=True) if "normalization" in layer["type"] else made(inputs)
    found = {"y": y.detach().numpy()}
    if dy is not None:
        (y * torch.tensor(dy)).sum().backward()
        trainable = zip(values, made.weights, strict=True)
        found |= {name: weight.value.grad.numpy() for name, weight in trainable if weight.trainable}
        found["x"] = inputs.grad.numpy()
    return found


def compare(keras: Any, layer: Settings, shape: tuple[int, ...]) -> None:
    """Run a layer on three samples of `shape` in float32, here and in Keras."""
    generator, block = np.random.default_rng(4), Layer.choose(layer)
    values = {
        parameter.name: generator.uniform(0.2, 1, parameter.shape).astype("float32")
        * (1 if parameter.name == "moving_variance" else generator.choice([-1, 1], parameter.shape).astype("float32"))
        for parameter in block.parameters(shape)
    }
    x = generator.normal(size=(3, *shape)).astype("float32")
    dy = generator.normal(size=(3, *block.output_shape(shape))).astype("float32")
    expected = run_keras(keras, layer, x, dy, values)
    bench = Bench(block, shape, values, "float32")
    y, dx = bench.run(x, dy)
    assert dx is not None
    for name, ours in {"y": y, "x": dx, **bench.gradients}.items():
        theirs, tolerance = expected.pop(name), FORWARD if name == "y" else BACKWARD
        assert ours.shape == theirs.shape, name
        assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max(), name
    assert not expected


PLACES: list[Settings] = [
    *({"strides": strides, "padding": padding} for strides, padding in product((1, 2, 3), ("valid", "same"))),
    {"strides": [1, 2], "padding": "same"},
    {"dilation_rate": 2, "padding": "same"},
    {"dilation_rate": [2, 1]},
    {"dilation_rate": [1, 3], "padding": "same"},
]
SHAPES = [(7, 7), (8, 8), (9, 6)]
"""Of images."""
KERNELS: list[Any] = [1, 2, 3, [1, 4], [4, 2]]
CHANNELS = [(1, 1, 1), (1, 5, 1), (3, 4, 1), (16, 24, 1), (4, 6, 2), (6, 6, 6)]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_conv2d(keras: Any, place: Settings, kernel: Any) -> None:
    for size, (channels, filters, groups) in product(SHAPES, CHANNELS):
        layer = {"type": "conv2d", "filters": filters, "kernel_size": kernel, "groups": groups, **place}
        compare(keras, layer, (*size, channels))


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_depthwise_conv2d(keras: Any, place: Settings) -> None:
    for size, kernel, channels, multiplier in product(SHAPES, (1, 2, 3), (1, 4), (1, 3)):
        layer = {"type": "depthwise_conv2d", "kernel_size": kernel, "depth_multiplier": multiplier, **place}
        compare(keras, layer, (*size, channels))


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_separable_conv2d(keras: Any, place: Settings) -> None:
    for size, channels, multiplier in product(SHAPES, (1, 4), (1, 2)):
        layer = {"type": "separable_conv2d", "filters": 5, "kernel_size": 3, "depth_multiplier": multiplier, **place}
        compare(keras, layer, (*size, channels))


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_conv1d(keras: Any, padding: str) -> None:
    for steps, kernel, strides, dilation, groups in product((8, 9), (1, 2, 3), (1, 2, 3), (1, 2), (1, 2)):
        if strides == 1 or dilation == 1:
            layer = {"type": "conv1d", "filters": 4, "kernel_size": kernel, "strides": strides, "padding": padding}
            compare(keras, {**layer, "dilation_rate": dilation, "groups": groups}, (steps, 6))


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_conv2d_transpose_valid(keras: Any, strides: int) -> None:
    for kernel, channels, more in product((1, 2, 3, 4), (1, 3), [None, *range(strides)]):
        layer = {"type": "conv2d_transpose", "filters": 2, "kernel_size": kernel, "strides": strides}
        compare(keras, {**layer, "output_padding": more}, (4, 5, channels))


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_conv2d_transpose_same_leads_back_from_conv2d_same(keras: Any, strides: int, kernel: int) -> None:
    """With PyTorch, Keras cannot cut off the edges as it wants to, and says so; as a gradient of its conv2d it can."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(2, 4, 5, 3)).astype("float32")
    values = {"kernel": generator.normal(size=(kernel, kernel, 2, 3)).astype("float32")}
    layer = {"type": "conv2d", "filters": 3, "kernel_size": kernel, "strides": strides, "padding": "same"}
    images = np.zeros((2, 4 * strides, 5 * strides, 2), "float32")
    expected = run_keras(keras, {**layer, "use_bias": False}, images, x, values)
    back = Layer.choose({**layer, "type": "conv2d_transpose", "filters": 2, "use_bias": False})
    y = Bench(back, x.shape[1:], values, "float32").bound.forward(x, training=True)
    np.testing.assert_allclose(y, expected["x"], rtol=0, atol=FORWARD * np.abs(expected["x"]).max())


def test_conv2d_transpose_same_with_output_padding(keras: Any) -> None:
    """Where PyTorch can cut off what Keras wants, and the shapes everywhere."""
    for kernel, strides, size in product((1, 2, 3, 4, 5), (1, 2, 3, 4), (4, 5)):
        for more in range(strides):
            layer = {"type": "conv2d_transpose", "filters": 2, "kernel_size": kernel, "strides": strides}
            layer |= {"padding": "same", "output_padding": more}
            theirs = keras.layers.Conv2DTranspose(**{k: v for k, v in layer.items() if k != "type"})
            shape = tuple(theirs.compute_output_shape((None, size, size, 3))[1:])
            assert Layer.choose(layer).output_shape((size, size, 3)) == shape
            if kernel % 2 and more in (0, strides - 1) and kernel > strides:
                compare(keras, layer, (size, size, 3))
    compare(keras, {**layer, "strides": 1, "output_padding": None, "dilation_rate": 2, "kernel_size": 3}, (4, 5, 3))


@pytest.mark.parametrize(
    ("name", "padding"), [("max_pooling", "valid"), ("max_pooling", "same"), ("average_pooling", "valid")]
)
def test_poolings(keras: Any, name: str, padding: str) -> None:
    for size, pool, strides in product(SHAPES, (1, 2, 3, [2, 3]), (None, 1, 2, 3, [3, 1])):
        layer = {"type": f"{name}2d", "pool_size": pool, "strides": strides, "padding": padding}
        compare(keras, layer, (*size, 4))
    for steps, pool, strides in product((7, 8), (1, 2, 3), (None, 1, 2, 3)):
        layer = {"type": f"{name}1d", "pool_size": pool, "strides": strides, "padding": padding}
        compare(keras, layer, (steps, 3))


def test_average_pooling_same(keras: Any) -> None:
    """Keras over PyTorch repeats the edges' pixels; over TensorFlow and JAX it counts those of the image alone, as the
    mean of its pixels with zeros around ÷ the mean of as many ones does."""
    generator = np.random.default_rng(1)
    for size, pool, strides in product(SHAPES, (2, 3), (1, 2, 3)):
        x, ones = generator.normal(size=(3, *size, 4)).astype("float32"), np.ones((3, *size, 4), "float32")
        total = [max(0, (-(-length // strides) - 1) * strides + pool - length) for length in size]
        around = [[edges // 2, edges - edges // 2] for edges in total]
        padded = [keras.ops.pad(array, [[0, 0], *around, [0, 0]]) for array in (x, ones)]
        sums, shares = (keras.ops.average_pool(array, pool, strides).numpy() for array in padded)
        layer = {"type": "average_pooling2d", "pool_size": pool, "strides": strides, "padding": "same"}
        y = Bench(Layer.choose(layer), x.shape[1:], {}, "float32").bound.forward(x, training=True)
        np.testing.assert_allclose(y, sums / shares, rtol=FORWARD, atol=FORWARD)


@pytest.mark.parametrize("name", ["global_max_pooling", "global_average_pooling"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_poolings(keras: Any, name: str, keepdims: bool) -> None:
    for channels in (1, 5):
        compare(keras, {"type": f"{name}2d", "keepdims": keepdims}, (5, 4, channels))
        compare(keras, {"type": f"{name}1d", "keepdims": keepdims}, (6, channels))


@pytest.mark.parametrize(
    "layer",
    [
        {"type": "zero_padding2d"},
        {"type": "zero_padding2d", "padding": 2},
        {"type": "zero_padding2d", "padding": [0, 3]},
        {"type": "zero_padding2d", "padding": [[1, 0], [2, 3]]},
        {"type": "cropping2d"},
        {"type": "cropping2d", "cropping": 1},
        {"type": "cropping2d", "cropping": [0, 2]},
        {"type": "cropping2d", "cropping": [[1, 0], [2, 1]]},
        {"type": "up_sampling2d"},
        {"type": "up_sampling2d", "size": 3},
        {"type": "up_sampling2d", "size": [1, 4]},
        {"type": "up_sampling2d", "interpolation": "bilinear"},
        {"type": "up_sampling2d", "size": 3, "interpolation": "bilinear"},
        {"type": "up_sampling2d", "size": [4, 1], "interpolation": "bilinear"},
        {"type": "batch_normalization"},
        {"type": "batch_normalization", "scale": False},
        {"type": "batch_normalization", "center": False},
        {"type": "layer_normalization"},
        {"type": "group_normalization", "groups": 2},
        {"type": "group_normalization", "groups": 1, "scale": False},
        {"type": "group_normalization", "groups": -1},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(5, 6, 4), (4, 5, 6), (7, 5, 2)], ids=str)
def test_resizing_and_normalization(keras: Any, layer: Settings, shape: tuple[int, ...]) -> None:
    compare(keras, layer, shape)


def test_a_frozen_batch_normalization_uses_its_moving_averages_as_in_keras(keras: Any) -> None:
    generator = np.random.default_rng(0)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    values = {name: generator.uniform(0.5, 2, 4).astype("float32") for name in names}
    x = generator.normal(size=(3, 5, 6, 4)).astype("float32")
    layer = {"type": "batch_normalization", "trainable": False}
    expected = run_keras(keras, layer, x, None, values)["y"]
    y = Bench(Layer.choose(layer), x.shape[1:], values, "float32").bound.forward(x, training=True)
    np.testing.assert_allclose(y, expected, rtol=FORWARD, atol=FORWARD)


@pytest.mark.parametrize("patch_bytes", [1, 500, 3000])
@pytest.mark.parametrize(
    "layer",
    [
        {"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same"},
        {"type": "conv2d", "filters": 4, "kernel_size": [3, 2], "strides": [2, 1], "groups": 2},
        {"type": "conv2d", "filters": 4, "kernel_size": 2, "dilation_rate": 3, "padding": "same"},
        {"type": "depthwise_conv2d", "kernel_size": 3, "strides": 2, "padding": "same"},
        {"type": "conv2d_transpose", "filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
    ],
    ids=str,
)
def test_how_an_image_is_cut_up_changes_nothing(
    layer: Settings, patch_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of an image, whole images or several at once: patches of any size give the same."""
    generator, block, shape = np.random.default_rng(6), Layer.choose(layer), (7, 8, 2)
    values = {parameter.name: generator.normal(size=parameter.shape) for parameter in block.parameters(shape)}
    x, dy = generator.normal(size=(4, *shape)), generator.normal(size=(4, *block.output_shape(shape)))
    whole = Bench(block, shape, values)
    expected = whole.run(x, dy)
    monkeypatch.setattr(convolution, "PATCH_BYTES", patch_bytes)
    cut = Bench(block, shape, values)
    found = (*cut.run(x, dy), *cut.gradients.values())
    for ours, theirs in zip(found, (*expected, *whole.gradients.values()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_a_convolution_borrows_no_more_than_its_patches() -> None:
    """1,000 images of 12 × 12 have patches of 10 MB; two gradients and the kernel's parts come beside them."""
    block, shape = Layer.choose({"type": "conv2d", "filters": 3, "kernel_size": 3, "padding": "same"}), (12, 12, 2)
    generator = np.random.default_rng(0)
    values = {parameter.name: generator.normal(size=parameter.shape) for parameter in block.parameters(shape)}
    bench = Bench(block, shape, values, "float32", batch_size=1000)
    x = generator.normal(size=(1000, *shape)).astype("float32")
    bench.run(x, generator.normal(size=(1000, 12, 12, 3)).astype("float32"))
    assert 2 * convolution.PATCH_BYTES < 1000 * 12 * 12 * 3 * 3 * 2 * 4
    assert bench.ops.memory.size <= 2 * 1.5 * convolution.PATCH_BYTES, "grown by doubling"


def test_max_pooling_of_large_windows_knows_every_position() -> None:
    """More positions than a byte can number: the largest value is the last of 400."""
    block, shape = Layer.choose({"type": "max_pooling2d", "pool_size": 20}), (20, 20, 1)
    x = np.arange(400.0).reshape(1, *shape)
    y, dx = Bench(block, shape, {}).run(x, np.ones((1, 1, 1, 1)))
    assert y.item() == 399
    assert dx is not None
    assert np.argmax(dx) == 399
    assert dx.sum() == 1


def test_infinity_and_nan_go_through_poolings() -> None:
    x = np.array([[[[np.nan], [1], [-np.inf], [-np.inf]]]])
    for name in ("max_pooling2d", "average_pooling2d"):
        bench = Bench(Layer.choose({"type": name, "pool_size": [1, 2]}), (1, 4, 1), {})
        y = bench.bound.forward(x, training=True)
        np.testing.assert_array_equal(y.ravel(), [np.nan, -np.inf])


@pytest.mark.parametrize("name", ["spatial_dropout2d", "spatial_dropout1d"])
def test_spatial_dropout_drops_its_share_of_channels(name: str) -> None:
    shape = (3, 2, 500) if name.endswith("2d") else (6, 500)
    bench = Bench(Layer.choose({"type": name, "rate": 0.3}), shape, {}, "float32", batch_size=20)
    y = bench.bound.forward(np.ones((20, *shape), "float32"), training=True).reshape(20, 6, 500)
    assert np.array_equal(y, np.broadcast_to(y[:, :1], y.shape)), "all pixels of a channel alike"
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    assert abs((y[:, 0] == 0).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 10_000)


CONV: Settings = {"type": "conv2d", "filters": 4, "kernel_size": 3}


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (CONV, (256,), "needs (height, width, channels), gets 256 values: add a reshape layer before it"),
        (CONV, (28, 28), "needs (height, width, channels), gets (28, 28): add a reshape layer before it"),
        (CONV, (), "needs (height, width, channels), gets single numbers: add a reshape layer before it"),
        ({**CONV, "type": "conv1d"}, (8, 8, 1), "needs (steps, channels), gets (8, 8, 1): add a reshape layer"),
        (CONV, (2, 9, 1), "needs images of at least 3 × 3 for its kernel_size, gets 2 × 9: choose a smaller"),
        ({**CONV, "dilation_rate": 4}, (8, 9, 1), "needs images of at least 9 × 9 for its kernel_size, gets 8 × 9"),
        ({**CONV, "type": "conv1d", "kernel_size": 4}, (3, 1), "needs sequences of at least 4 for its kernel_size"),
        ({"type": "max_pooling2d"}, (1, 1, 8), 'gets 1 × 1: choose a smaller pool_size, padding = "same", or less'),
        ({"type": "average_pooling1d"}, (1, 8), "needs sequences of at least 2 for its pool_size, gets 1: choose"),
        ({"type": "depthwise_conv2d", "kernel_size": 3}, (2, 2, 1), "needs images of at least 3 × 3"),
        ({**CONV, "type": "separable_conv2d"}, (2, 2, 1), "needs images of at least 3 × 3"),
        ({**CONV, "groups": 2}, (8, 8, 3), "needs channels that its 2 groups divide, gets 3: change groups, or the"),
        ({"type": "group_normalization"}, (8, 8, 48), "needs channels that its 32 groups divide, gets 48: change"),
        ({"type": "cropping2d", "cropping": 2}, (5, 4, 1), "leaves nothing of images of 5 × 4: choose a smaller"),
        ({"type": "global_max_pooling2d"}, (7,), "needs (height, width, channels), gets 7 values: add a reshape"),
        ({"type": "spatial_dropout1d", "rate": 0.5}, (7,), "needs (steps, channels), gets 7 values: add a reshape"),
        ({"type": "up_sampling2d"}, (7, 2), "needs (height, width, channels), gets (7, 2): add a reshape"),
        (
            {**CONV, "type": "conv2d_transpose", "kernel_size": 2, "padding": "same", "output_padding": 0},
            (1, 1, 1),
            "leaves nothing of its input: choose a larger output_padding",
        ),
    ],
)
def test_shapes_that_do_not_fit(layer: Settings, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Layer.choose(layer).output_shape(shape)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({**CONV, "kernel_size": 0}, "must be a number from 1 to 10000, or two of them: [height, width]"),
        ({**CONV, "kernel_size": [3, 3, 3]}, "must be a number from 1 to 10000, or two of them"),
        ({**CONV, "kernel_size": [3, True]}, "must be a number from 1 to 10000, or two of them"),
        ({**CONV, "kernel_size": 3.0}, "must be a number from 1 to 10000, or two of them"),
        ({**CONV, "kernel_size": 10_001}, "must be a number from 1 to 10000, or two of them"),
        ({**CONV, "strides": 2, "dilation_rate": 2}, "strides and dilation_rate cannot both be above 1"),
        ({**CONV, "type": "separable_conv2d", "strides": 2, "dilation_rate": 2}, "cannot both be above 1"),
        ({**CONV, "type": "conv1d", "strides": 2, "dilation_rate": 2}, "cannot both be above 1"),
        ({**CONV, "type": "conv1d", "kernel_size": [3]}, "valid integer"),
        ({**CONV, "filters": 6, "groups": 4}, "groups must divide filters: 4 does not divide 6"),
        ({**CONV, "padding": "causal"}, "'valid' or 'same'"),
        ({**CONV, "type": "conv2d_transpose", "output_padding": 1}, "output_padding must be below strides"),
        ({**CONV, "type": "conv2d_transpose", "groups": 2}, "Extra inputs"),
        ({"type": "group_normalization", "groups": 0}, "must be above 0, or -1 for every channel by itself"),
        ({"type": "zero_padding2d", "padding": -1}, "must be a number from 0 to 10000, or [vertical, horizontal], or"),
        ({"type": "cropping2d", "cropping": [[1, 2], 3, 4]}, "or [[top, bottom], [left, right]]"),
        ({"type": "cropping2d", "cropping": [[1, 2], [3]]}, "or [[top, bottom], [left, right]]"),
        ({"type": "up_sampling2d", "size": 0}, "must be a number from 1 to 10000"),
        ({"type": "max_pooling1d", "strides": 0}, "greater than 0"),
    ],
)
def test_settings_out_of_bounds(layer: Settings, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        Layer.choose(layer)


@pytest.mark.parametrize(
    ("layer", "shape", "adds"),
    [
        (CONV, (8, 9, 2), 6 * 7 * 4 * 3 * 3 * 2),
        ({**CONV, "strides": 2, "padding": "same", "groups": 2}, (8, 9, 2), 4 * 5 * 4 * 3 * 3),
        ({**CONV, "type": "conv1d"}, (9, 2), 7 * 4 * 3 * 2),
        ({"type": "depthwise_conv2d", "kernel_size": 3, "depth_multiplier": 2}, (8, 9, 5), 6 * 7 * 10 * 9),
        ({**CONV, "type": "separable_conv2d"}, (8, 9, 5), 6 * 7 * 5 * (9 + 4)),
        ({**CONV, "type": "conv2d_transpose", "strides": 2}, (8, 9, 2), 8 * 9 * 2 * 9 * 4),
        ({"type": "max_pooling2d"}, (8, 8, 2), 0),
    ],
)
def test_multiply_adds(layer: Settings, shape: tuple[int, ...], adds: int) -> None:
    assert Layer.choose(layer).multiply_adds(shape) == adds


def test_sizes_are_one_number_or_two() -> None:
    one, two = (Layer.choose({**CONV, "kernel_size": size}) for size in (3, [3, 3]))
    assert one == two
    assert one.table()["kernel_size"] == [3, 3]


@pytest.mark.parametrize("name", OURS)
def test_the_names_of_keras_lead_to_ours(name: str) -> None:
    short = keras_name(name).replace("Average", "Avg").replace("Pooling", "Pool")
    for written in (keras_name(name), short):
        with pytest.raises(PydanticCustomError, match=f"unknown layer '{written}', did you mean '{name}'?"):
            Layer.choose(written)
