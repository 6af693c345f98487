"""Augmentations: numbers worked by hand on tiny pictures, Keras as oracle, what is drawn, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.blocks.test_image_layers import keras as keras
from tuilab.blocks.arrays import Clock, Stream
from tuilab.blocks.augmentations import Augmentation, Draw, Mixing
from tuilab.engine.kernels.numpy import NumpyKernels

BY_HAND: list[tuple[dict[str, Any], Any, Any]] = [
    # a quarter turn counterclockwise: the right column becomes the upper row
    ({"type": "random_rotation", "factor": [0.25, 0.25]}, [[1, 2], [3, 4]], [[2, 4], [1, 3]]),
    # one column to the right; beyond the edge the picture is mirrored
    (
        {"type": "random_translation", "height_factor": 0.0, "width_factor": [0.5, 0.5]},
        [[1, 2, 3, 4]],
        [[2, 1, 1, 2]],
    ),
    (
        {"type": "random_translation", "height_factor": 0.0, "width_factor": [-0.25, -0.25], "fill_mode": "wrap"},
        [[1, 2, 3, 4]],
        [[2, 3, 4, 1]],
    ),
    (
        {
            "type": "random_translation",
            "height_factor": [0.5, 0.5],
            "width_factor": 0.0,
            "fill_mode": "constant",
            "fill_value": 9.0,
        },
        [[1, 2], [3, 4]],
        [[9, 9], [1, 2]],
    ),
    (
        {
            "type": "random_translation",
            "height_factor": 0.0,
            "width_factor": [-0.125, -0.125],
            "fill_mode": "nearest",
        },
        [[1, 2, 3, 4]],
        [[1.5, 2.5, 3.5, 4]],
    ),
    # half as far from the middle: −½, ½ become −¼, ¼
    ({"type": "random_zoom", "height_factor": 0.0, "width_factor": [-0.5, -0.5]}, [[1, 3]], [[1.5, 2.5]]),
    ({"type": "random_brightness", "factor": [0.25, 0.25]}, [[0, 0.5, 0.9]], [[0.25, 0.75, 1]]),
    ({"type": "random_brightness", "factor": [-0.5, -0.5], "value_range": [0, 4]}, [[1, 4]], [[0, 2]]),
    ({"type": "random_contrast", "factor": [0.0, 0.0]}, [[0.25, 0.75]], [[0.25, 0.75]]),
    (
        {"type": "random_erasing", "factor": [1.0, 1.0], "scale": [1.0, 1.0], "fill_value": 0.5},
        [[1, 0], [0, 1]],
        [[0.5, 0.5], [0.5, 0.5]],
    ),
    ({"type": "random_erasing", "factor": [0.0, 0.0]}, [[1, 0], [0, 1]], [[1, 0], [0, 1]]),
    # crops of the picture itself, and one with nothing but padding to spare
    ({"type": "random_crop", "height": 2, "width": 2}, [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    ({"type": "random_crop", "height": 3, "width": 4, "padding": 1}, [[5, 6]], [[0, 0, 0, 0], [0, 5, 6, 0], [0] * 4]),
    ({"type": "rescaling", "scale": 2.0, "offset": -1.0}, [[0, 0.5], [1, 2]], [[-1, 0], [1, 3]]),
    ({"type": "normalization", "mean": 1.0, "variance": 4.0}, [[1, 2], [3, 5]], [[0, 0.5], [1, 2]]),
    ({"type": "normalization", "mean": [1.0], "variance": [0.0]}, [[1, 1 + 2**-20]], [[0, 2**-20 * 1e7]]),
    ({"type": "resizing", "height": 1, "width": 1}, [[1, 2], [3, 4]], [[2.5]]),
    ({"type": "resizing", "height": 1, "width": 4}, [[1, 3]], [[1, 1.5, 2.5, 3]]),
    ({"type": "resizing", "height": 1, "width": 4, "interpolation": "nearest"}, [[1, 3]], [[1, 1, 3, 3]]),
    ({"type": "center_crop", "height": 1, "width": 2}, [[1, 2, 3, 4], [5, 6, 7, 8]], [[2, 3]]),
]

KERAS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (name, {**drawn, **seen}, {})
    for name, drawn in [
        ("random_rotation", {"factor": [0.07, 0.07]}),
        ("random_rotation", {"factor": [-0.2, -0.2]}),
        ("random_zoom", {"height_factor": [0.4, 0.4], "width_factor": [-0.3, -0.3]}),
        ("random_zoom", {"height_factor": [-0.6, -0.6]}),
        ("random_translation", {"height_factor": [0.21, 0.21], "width_factor": [-0.9, -0.9]}),
    ]
    for seen in [
        {"fill_mode": mode, "interpolation": interpolation, "fill_value": 0.3}
        for mode in ("reflect", "wrap", "nearest", "constant")
        for interpolation in ("bilinear", "nearest")
    ]
] + [
    ("random_brightness", {"factor": [0.3, 0.3]}, {"value_range": (0, 1)}),
    ("random_contrast", {"factor": [0.0, 0.0]}, {"value_range": (0, 1)}),
    *(
        ("resizing", {"height": height, "width": width, "interpolation": interpolation}, {})
        for height, width in ((9, 4), (3, 13), (14, 12), (7, 6), (1, 1))
        for interpolation in ("bilinear", "nearest")
    ),
    ("center_crop", {"height": 4, "width": 3}, {}),
    ("center_crop", {"height": 3, "width": 6}, {}),
    ("rescaling", {"scale": 2.5, "offset": -1.0}, {}),
    ("normalization", {"mean": [0.1, 0.2, 0.3], "variance": [1.0, 4.0, 0.04]}, {}),
]

DRAWING: list[dict[str, Any]] = [
    {"type": "random_flip"},
    {"type": "random_crop", "height": 4, "width": 4},
    {"type": "random_crop", "height": 6, "width": 5, "padding": 2},
    {"type": "random_rotation", "factor": 0.2},
    {"type": "random_translation", "height_factor": 0.3, "width_factor": 0.3},
    {"type": "random_zoom", "height_factor": 0.4},
    {"type": "random_zoom", "height_factor": 0.4, "width_factor": 0.1},
    {"type": "random_brightness", "factor": 0.3},
    {"type": "random_contrast", "factor": 0.3},
    {"type": "random_erasing", "factor": [1.0, 1.0]},
]


def name_of(row: Any) -> str:
    return str(row["type"] if isinstance(row, dict) else row)


def draws(seed: int = 1, epoch: int = 1, step: int = 0) -> Draw:
    clock = Clock()
    clock.epoch, clock.step = epoch, step
    return lambda purpose: Stream(seed, purpose, clock)


def changed(settings: dict[str, Any], x: Any, draw: Draw | None = None) -> np.ndarray:
    """Return what an augmentation makes of pictures, which it must not touch."""
    block, before = Augmentation.choose(settings), x.copy()
    out = np.full((len(x), *block.output_shape(x.shape[1:])), np.nan, x.dtype)
    block.apply(NumpyKernels(), x, draw or draws(), out)
    assert np.array_equal(x, before)
    if block.in_place:
        block.apply(NumpyKernels(), before, draw or draws(), before)
        assert np.array_equal(before, out), "in place"
    return out


def pictures(rows: int = 4, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).random((rows, 7, 6, 3)).astype(dtype)


def test_every_augmentation_has_a_row() -> None:
    rows = {settings["type"] for settings, _, _ in BY_HAND} | {"random_flip", "mixup", "cutmix"}
    assert rows == set(Augmentation.registry)
    drawing = {name for name, block in Augmentation.registry.items() if block.random and not issubclass(block, Mixing)}
    assert {settings["type"] for settings in DRAWING} == drawing


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("settings", "x", "y"), BY_HAND, ids=name_of)
def test_numbers_worked_by_hand(settings: dict[str, Any], x: Any, y: Any, dtype: str) -> None:
    picture = np.array(x, dtype)[None, ..., None]
    out = changed(settings, np.concatenate([picture, picture]))
    assert out.dtype == dtype
    for each in out:
        np.testing.assert_allclose(each[..., 0], y, atol=1e-6 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize(("name", "settings", "more"), KERAS, ids=str)
def test_equal_to_keras(keras: Any, name: str, settings: dict[str, Any], more: dict[str, Any]) -> None:
    layer = getattr(keras.layers, "".join(word.capitalize() for word in name.split("_")))(**settings, **more)
    x = pictures()
    theirs = layer(keras.ops.convert_to_tensor(x), training=True).detach().numpy()
    np.testing.assert_allclose(changed({"type": name, **settings}, x), theirs, rtol=0, atol=2e-6)


def test_a_flip_mirrors_in_either_direction_half_of_the_pictures() -> None:
    x = pictures(400)
    for mode, ways in (
        ("horizontal", [x, x[:, :, ::-1]]),
        ("vertical", [x, x[:, ::-1]]),
        ("horizontal_and_vertical", [x, x[:, :, ::-1], x[:, ::-1], x[:, ::-1, ::-1]]),
    ):
        out = changed({"type": "random_flip", "mode": mode}, x)
        found = [sum(np.array_equal(ours, theirs) for ours, theirs in zip(out, way, strict=True)) for way in ways]
        assert sum(found) == 400
        assert min(found) > 0.6 * 400 / len(ways)


def test_a_crop_takes_every_place_and_no_other() -> None:
    x = np.arange(1, 13, dtype="float32").reshape(1, 3, 4, 1).repeat(500, axis=0)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = {padded[0, i : i + 4, j : j + 3].tobytes() for i in range(2) for j in range(4)}
    out = changed({"type": "random_crop", "height": 4, "width": 3, "padding": 1}, x)
    assert {each.tobytes() for each in out} == places


def test_outside_training_a_crop_is_the_middle() -> None:
    crop, x = Augmentation.choose({"type": "random_crop", "height": 2, "width": 9, "padding": 2}), pictures()
    assert crop.acts(False, (7, 6, 3))
    out = np.empty((4, 2, 9, 3), "float32")
    crop.apply(NumpyKernels(), x, None, out)
    assert np.array_equal(out[:, :, 2:8], x[:, 2:4])
    assert not out[:, :, :2].any()
    assert not out[:, :, 8:].any()
    same = Augmentation.choose({"type": "random_crop", "height": 7, "width": 6, "padding": 2})
    assert same.acts(True, (7, 6, 3))
    assert not same.acts(False, (7, 6, 3))


def test_contrast_is_about_the_mean_of_each_channel() -> None:
    x = pictures(300, "float64") * 0.2 + 0.4
    out = changed({"type": "random_contrast", "factor": [0.5, 0.25]}, x)
    mean = x.mean(axis=(1, 2), keepdims=True)
    factors = (out - mean) / (x - mean)
    one = factors[:, :1, :1, :1]
    np.testing.assert_allclose(factors, np.broadcast_to(one, x.shape), rtol=1e-6)
    assert 0.5 <= one.min() < 0.53
    assert 1.22 < one.max() <= 1.25


def test_erasing_covers_one_box_of_the_size_asked_for_in_some_pictures() -> None:
    x = np.full((400, 20, 30, 2), 2.0)
    out = changed({"type": "random_erasing", "scale": [0.1, 0.3], "value_range": [0, 1]}, x)
    covered = (out != 2).any(axis=-1)
    assert np.array_equal(covered, (out != 2).all(axis=-1))
    some = covered.any(axis=(1, 2))
    assert 0.42 < some.mean() < 0.58, "a probability drawn from 0 to 1"
    for mask in covered[some]:
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        assert np.array_equal(mask, np.outer(rows, columns))
        assert np.abs(np.diff(np.pad(rows.astype(int), 1))).sum() == 2
        assert np.abs(np.diff(np.pad(columns.astype(int), 1))).sum() == 2
        assert np.sqrt(0.1) * 20 - 1 < rows.sum() < np.sqrt(0.3) * 20 + 1
        assert np.sqrt(0.1) * 30 - 1 < columns.sum() < np.sqrt(0.3) * 30 + 1
    noise = out[out != 2]
    assert 0 <= noise.min() < 0.01
    assert 0.99 < noise.max() <= 1
    assert abs(noise.mean() - 0.5) < 0.01


@pytest.mark.parametrize("settings", DRAWING, ids=name_of)
def test_every_picture_draws_for_itself_and_the_same_again(settings: dict[str, Any]) -> None:
    x = pictures(1).repeat(16, axis=0)
    first = changed(settings, x)
    assert len({each.tobytes() for each in first}) > 2, "per sample"
    assert np.array_equal(first, changed(settings, x))
    for other in (draws(seed=2), draws(epoch=2), draws(step=1)):
        assert not np.array_equal(first, changed(settings, x, other))
    if settings["type"] != "random_erasing":  # whose noise fills the whole batch
        np.testing.assert_array_equal(changed(settings, x[:5])[0], first[0])
    np.testing.assert_allclose(changed(settings, x.astype("float64")), first, atol=1e-5)


def mixed(settings: dict[str, Any], x: np.ndarray, partners: Any) -> tuple[np.ndarray, np.ndarray]:
    block, out, share = Augmentation.choose(settings), np.empty_like(x), np.empty(len(x), x.dtype)
    assert isinstance(block, Mixing)
    block.mix(NumpyKernels(), x, np.asarray(partners), draws(), share, out)
    return out, share


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mixup_lays_one_sample_over_another(dtype: str) -> None:
    x, partners = pictures(50, dtype), np.roll(np.arange(50), 1)
    out, share = mixed({"type": "mixup", "alpha": 1.0}, x, partners)
    part = share[:, None, None, None]
    np.testing.assert_allclose(out, part * x + (1 - part) * x[partners], atol=1e-6)
    table = x.reshape(50, -1)
    np.testing.assert_array_equal(mixed({"type": "mixup", "alpha": 1.0}, table, partners)[0], out.reshape(50, -1))


@pytest.mark.parametrize("alpha", [1e-3, 0.2, 0.5, 1.0, 4.0, 1000.0])
def test_shares_have_the_distribution_of_their_formula(alpha: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    x = np.zeros((20_000, 1))
    _, share = mixed({"type": "mixup", "alpha": alpha}, x, np.zeros(len(x), int))
    assert share.min() >= 0
    assert share.max() <= 1
    if alpha >= 0.2:
        assert stats.kstest(share, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    else:
        assert np.mean((share < 1e-6) | (share > 1 - 1e-6)) > 0.95
        assert abs(share.mean() - 0.5) < 0.02


def test_cutmix_sets_a_box_of_another_picture_in_and_counts_its_pixels() -> None:
    x = np.zeros((300, 11, 13, 2), "float32") + np.arange(300, dtype="float32").reshape(-1, 1, 1, 1)
    partners = np.roll(np.arange(300), 1)
    out, share = mixed({"type": "cutmix"}, x, partners)
    of_partner = out == x[partners]
    assert np.array_equal(of_partner, out != x)
    np.testing.assert_allclose(share, 1 - of_partner.mean(axis=(1, 2, 3)), atol=1e-6)
    for mask in of_partner[..., 0]:
        assert np.array_equal(mask, np.outer(mask.any(axis=1), mask.any(axis=0)))
    assert share.min() < 0.2
    assert share.max() > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "random_rotation", "factor": 1.5}, "must lie between -1 and 1"),
        ({"type": "random_rotation", "factor": [0.2, 0.1]}, "two numbers, the smaller first"),
        ({"type": "random_rotation", "factor": [0.1]}, "two numbers, the smaller first"),
        ({"type": "random_zoom", "height_factor": -1.0}, "above -1, where nothing of the picture is left"),
        ({"type": "random_brightness", "factor": 0.1, "value_range": [1.0, 0.0]}, "the smaller first"),
        ({"type": "random_contrast", "factor": -0.1}, "must lie between 0 and 1"),
        ({"type": "random_erasing", "scale": [0.1, 0.2, 0.3]}, "one number or two"),
        ({"type": "normalization", "mean": 0.0, "variance": -1.0}, "must not be negative"),
        ({"type": "mixup", "alpha": 0.0}, "greater than 0"),
        ({"type": "cutmix", "factor": 2.0}, "less than or equal to 1"),
        ({"type": "resizing", "height": 0, "width": 3}, "greater than 0"),
    ],
    ids=str,
)
def test_settings_out_of_bounds(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Augmentation.choose(settings)


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"type": "random_flip"}, (4,), r"needs pictures, and a sample here has the shape \(4,\): take it out"),
        ({"type": "cutmix"}, (4,), "needs pictures"),
        ({"type": "center_crop", "height": 2, "width": 5}, (4, 4, 1), "cannot cut width 5 out of 4 pixels"),
        ({"type": "random_crop", "height": 7, "width": 2, "padding": 1}, (4, 4, 1), "7 out of 4 pixels with padding 1"),
        ({"type": "normalization", "mean": [0.0, 1.0], "variance": 1.0}, (4, 4, 3), "2 numbers in mean, .* 3 channels"),
    ],
    ids=str,
)
def test_samples_that_do_not_fit(settings: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation.choose(settings).output_shape(shape)


def test_other_names_lead_to_blocks() -> None:
    for other, remedy in Augmentation.other_names.items():
        assert other not in Augmentation.registry
        assert remedy.split()[0] in Augmentation.registry
