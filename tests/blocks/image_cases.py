"""The layers for images and sequences: rows of the table in test_layers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from tests.blocks.layer_bench import Case

Oracle: TypeAlias = Callable[[Any, Any, dict[str, Any]], Any]

SQUARE = [[[1], [2], [3]], [[4], [5], [6]], [[7], [8], [9]]]
"""An image of 3 × 3 pixels and one channel."""


def image(*lines: list[float]) -> list[Any]:
    """Return an image of one channel."""
    return [[[pixel] for pixel in line] for line in lines]


def around(torch: Any, x: Any, edges: tuple[int, int, int, int], value: float = 0) -> Any:
    """Return images as (batch, channels, height, width) with (left, right, top, bottom) around."""
    return torch.nn.functional.pad(x.permute(0, 3, 1, 2), edges, value=value)


def conv(
    edges: tuple[int, int, int, int] = (0, 0, 0, 0),
    activation: Callable[[Any, Any], Any] = lambda torch, z: z,
    kernel: str = "kernel",
    **settings: Any,
) -> Oracle:
    """conv2d, and of kernels (height, width, channels, multiplier) depthwise_conv2d."""

    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        weights = w[kernel]
        if settings.get("groups") == x.shape[-1]:
            weights = weights.reshape(*weights.shape[:2], 1, -1)
        bias = w.get("bias") if kernel == "kernel" else None
        z = torch.nn.functional.conv2d(
            around(torch, x, edges), weights.permute(3, 2, 0, 1).contiguous(), bias, **settings
        )
        return activation(torch, z.permute(0, 2, 3, 1))

    return oracle


def conv1d(left: int) -> Oracle:
    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        padded = torch.nn.functional.pad(x.permute(0, 2, 1), (left, 0))
        return torch.nn.functional.conv1d(padded, w["kernel"].permute(2, 1, 0), w["bias"]).permute(0, 2, 1)

    return oracle


def separable(torch: Any, x: Any, w: dict[str, Any]) -> Any:
    middle = conv(kernel="depthwise_kernel", groups=x.shape[-1])(torch, x, w)
    return torch.tanh(middle @ w["pointwise_kernel"][0, 0] + w["bias"])


def transposed(bias: bool = True, **settings: Any) -> Oracle:
    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        kernel = w["kernel"].permute(3, 2, 0, 1)
        z = torch.nn.functional.conv_transpose2d(x.permute(0, 3, 1, 2), kernel, w.get("bias"), **settings)
        return z.permute(0, 2, 3, 1)

    return oracle


def pool(
    name: str, size: tuple[int, int], edges: tuple[int, int, int, int] = (0, 0, 0, 0), stride: Any = None
) -> Oracle:
    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        if name == "max":
            padded = around(torch, x, edges, value=-np.inf)
            return torch.nn.functional.max_pool2d(padded, size, stride).permute(0, 2, 3, 1)
        averages = torch.nn.functional.avg_pool2d(around(torch, x, edges), size, stride)
        shares = torch.nn.functional.avg_pool2d(around(torch, torch.ones_like(x), edges), size, stride)
        return (averages / shares).permute(0, 2, 3, 1)

    return oracle


def pool1d(name: str, size: int, stride: int) -> Oracle:
    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        return getattr(torch.nn.functional, f"{name}_pool1d")(x.permute(0, 2, 1), size, stride).permute(0, 2, 1)

    return oracle


def interpolate(mode: str, size: tuple[int, int]) -> Oracle:
    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        return torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), scale_factor=size, mode=mode).permute(0, 2, 3, 1)

    return oracle


def group_norm(groups: int) -> Oracle:
    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        gamma = w.get("gamma", torch.ones(x.shape[-1], dtype=x.dtype))
        y = torch.nn.functional.group_norm(x.movedim(-1, 1), groups, gamma, w.get("beta"), eps=3)
        return y.movedim(1, -1)

    return oracle


def image_norm(training: bool = True) -> Oracle:
    def oracle(torch: Any, x: Any, w: dict[str, Any]) -> Any:
        mean, variance = (None, None) if training else (w["moving_mean"], w["moving_variance"])
        gamma, beta = w.get("gamma"), w.get("beta")
        first = x.permute(0, 3, 1, 2)
        return torch.nn.functional.batch_norm(first, mean, variance, gamma, beta, training, eps=3).permute(0, 2, 3, 1)

    return oracle


IMAGE_CASES = [
    Case(  # z = −1, 1, 5, 7
        "conv2d",
        {"filters": 1, "kernel_size": 2, "activation": "relu"},
        x=[SQUARE],
        y=[image([0, 1], [5, 7])],
        dy=[image([1, 2], [3, 4])],
        dx=[image([0, 2, 4], [3, 10, 6], [0, -3, -4])],
        values={"kernel": [[[[1]], [[2]]], [[[0]], [[-1]]]], "bias": [-1]},
        gradients={"kernel": [[[[36]], [[45]]], [[[63]], [[72]]]], "bias": [9]},
        oracle=conv(activation=lambda torch, z: torch.relu(z)),
        shape=(4, 3, 2),
    ),
    Case(  # the odd line of zeros comes after
        "conv2d",
        {"filters": 1, "kernel_size": [2, 2], "strides": 2, "padding": "same", "use_bias": False},
        x=[SQUARE],
        y=[image([37, 21], [23, 9])],
        dy=[image([1, 2], [3, 4])],
        dx=[image([1, 2, 2], [3, 4, 6], [3, 6, 4])],
        values={"kernel": [[[[1]], [[2]]], [[[3]], [[4]]]]},
        gradients={"kernel": [[[[64]], [[26]]], [[[16]], [[5]]]]},
        oracle=conv((0, 1, 0, 1), stride=2),
        shape=(5, 3, 2),
    ),
    Case(  # y = (1·1 + 3·3, 10·2 + 30·4); the activity adds 0.5 to dy
        "conv2d",
        {
            "filters": 2,
            "kernel_size": [1, 2],
            "dilation_rate": [1, 2],
            "groups": 2,
            "activity_regularizer": {"type": "l1", "l1": 0.5},
        },
        x=[[[[1, 10], [2, 20], [3, 30]]]],
        y=[[[[10, 140]]]],
        dy=[[[[1, 1]]]],
        dx=[[[[1.5, 3], [0, 0], [4.5, 6]]]],
        values={"kernel": [[[[1, 2]], [[3, 4]]]], "bias": [0, 0]},
        gradients={"kernel": [[[[1.5, 15]], [[4.5, 45]]]], "bias": [1.5, 1.5]},
        penalty=75,
        oracle=conv(dilation=(1, 2), groups=2),
        shape=(2, 4, 2),
    ),
    Case(
        "conv2d",
        {"filters": 2, "kernel_size": 1, "activation": "silu", "trainable": False},
        x=[[[[1, 2]]]],
        y=[[[[0, 1.76159416]]]],
        dy=[[[[1, 1]]]],
        dx=[[[[0.5, 1.09078425]]]],
        values={"kernel": [[[[1, 0], [0, 1]]]], "bias": [-1, 0]},
        oracle=conv(activation=lambda torch, z: torch.nn.functional.silu(z)),
        shape=(3, 2, 2),
    ),
    Case(
        "conv1d",
        {"filters": 1, "kernel_size": 2, "padding": "causal"},
        x=[[[1], [2], [4]]],
        y=[[[10.5], [21.5], [42.5]]],
        dy=[[[1], [2], [3]]],
        dx=[[[12], [23], [30]]],
        values={"kernel": [[[1]], [[10]]], "bias": [0.5]},
        gradients={"kernel": [[[8]], [[17]]], "bias": [6]},
        oracle=conv1d(1),
        shape=(5, 3),
    ),
    Case(
        "depthwise_conv2d",
        {"kernel_size": [1, 2], "depth_multiplier": 2},
        x=[[[[1, 2], [3, 4]]]],
        y=[[[[17, 20, 34, 39]]]],
        dy=[[[[1, 2, 3, 4]]]],
        dx=[[[[5, 25], [17, 53]]]],
        values={"kernel": [[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]], "bias": [1, 0, 0, -1]},
        gradients={"kernel": [[[[1, 2], [6, 8]], [[3, 6], [12, 16]]]], "bias": [1, 2, 3, 4]},
        oracle=conv(groups=3),
        shape=(4, 3, 3),
    ),
    Case(  # conv2d with strides and zeros, above, beside the same with twice the pixels
        "depthwise_conv2d",
        {"kernel_size": 2, "strides": 2, "padding": "same", "use_bias": False, "activation": "relu"},
        x=[[[[v, 2 * v] for (v,) in line] for line in SQUARE]],
        y=[[[[37, 74], [21, 42]], [[23, 46], [9, 18]]]],
        dy=[[[[1, 1], [2, 2]], [[3, 3], [4, 4]]]],
        dx=[[[[v, v] for v in line] for line in ([1, 2, 2], [3, 4, 6], [3, 6, 4])]],
        values={"kernel": [[[[1], [1]], [[2], [2]]], [[[3], [3]], [[4], [4]]]]},
        gradients={"kernel": [[[[64], [128]], [[26], [52]]], [[[16], [32]], [[5], [10]]]]},
        oracle=conv((0, 1, 0, 1), lambda torch, z: torch.relu(z), stride=2, groups=2),
        shape=(3, 5, 2),
    ),
    Case(  # between: 11, 1; tanh(0.21) = 0.20696650, slope 0.95716487
        "separable_conv2d",
        {"filters": 1, "kernel_size": [1, 2], "depth_multiplier": 2, "activation": "tanh"},
        x=[[[[2], [3]]]],
        y=[[[[0.20696650]]]],
        dy=[[[[2]]]],
        dx=[[[[0.40200924], [-0.13400308]]]],  # 0.42 and −0.14 times the slope
        values={
            "depthwise_kernel": [[[[1, 2]], [[3, -1]]]],
            "pointwise_kernel": [[[[0.01], [0.1]]]],
            "bias": [0],
        },
        gradients={
            "depthwise_kernel": [[[[0.03828659, 0.38286595]], [[0.05742989, 0.57429892]]]],
            "pointwise_kernel": [[[[21.05762707], [1.91432973]]]],
            "bias": [1.91432973],
        },
        oracle=separable,
        shape=(3, 4, 2),
    ),
    Case(
        "conv2d_transpose",
        {"filters": 1, "kernel_size": 2, "strides": 2},
        x=[image([1, 2])],
        y=[image([2, 3, 3, 5], [4, 5, 7, 9])],
        dy=[image([1, 1, 0, 0], [0, 0, 1, 2])],
        dx=[image([3, 11])],
        values={"kernel": [[[[1]], [[2]]], [[[3]], [[4]]]], "bias": [1]},
        gradients={"kernel": [[[[1]], [[1]]], [[[2]], [[4]]]], "bias": [5]},
        oracle=transposed(stride=2),
        shape=(2, 3, 2),
    ),
    Case(  # all that the kernel reaches is 1, 12, 124, 240, 400
        "conv2d_transpose",
        {"filters": 1, "kernel_size": [1, 3], "padding": "same", "use_bias": False},
        x=[image([1, 2, 4])],
        y=[image([12, 124, 240])],
        dy=[image([1, 0, 2])],
        dx=[image([10, 201, 20])],
        values={"kernel": [[[[1]], [[10]], [[100]]]]},
        gradients={"kernel": [[[[2]], [[9]], [[4]]]]},
        oracle=transposed(padding=(0, 1)),
        shape=(2, 4, 3),
    ),
    Case(  # of two equal values the first
        "max_pooling2d",
        {},
        x=[image([1, 5, 2, 2], [4, 3, 2, 0])],
        y=[image([5, 2])],
        dy=[image([1, 2])],
        dx=[image([0, 1, 2, 0], [0, 0, 0, 0])],
        oracle=pool("max", (2, 2)),
        shape=(5, 4, 2),
    ),
    Case(
        "max_pooling2d",
        {"pool_size": 2, "strides": 1, "padding": "same"},
        x=[image([-1, 3], [-2, -4])],
        y=[image([3, 3], [-2, -4])],
        dy=[image([1, 2], [3, 4])],
        dx=[image([0, 3], [3, 4])],
        oracle=pool("max", (2, 2), (0, 1, 0, 1), 1),
        shape=(3, 4, 2),
    ),
    Case(
        "max_pooling1d",
        {"pool_size": 2, "strides": 1},
        x=[[[1], [3], [2]]],
        y=[[[3], [3]]],
        dy=[[[1], [2]]],
        dx=[[[0], [3], [0]]],
        oracle=pool1d("max", 2, 1),
        shape=(5, 3),
    ),
    Case(  # what lies beyond the edges does not count
        "average_pooling2d",
        {"padding": "same"},
        x=[image([1, 3, 8])],
        y=[image([2, 8])],
        dy=[image([2, 1])],
        dx=[image([1, 1, 1])],
        oracle=pool("average", (2, 2), (0, 1, 0, 1)),
        shape=(3, 5, 2),
    ),
    Case(
        "average_pooling2d",
        {"pool_size": [1, 2], "strides": 1},
        x=[image([1, 3, 8])],
        y=[image([2, 5.5])],
        dy=[image([2, 4])],
        dx=[image([1, 3, 2])],
        oracle=pool("average", (1, 2), stride=1),
        shape=(2, 4, 2),
    ),
    Case(
        "average_pooling1d",
        {},
        x=[[[1], [3], [2]]],
        y=[[[2]]],
        dy=[[[4]]],
        dx=[[[2], [2], [0]]],
        oracle=pool1d("avg", 2, 2),
        shape=(5, 3),
    ),
    Case(
        "global_average_pooling2d",
        {},
        x=[[[[1, 5], [2, 6]], [[3, 7], [6, 2]]]],
        y=[[3, 5]],
        dy=[[4, 8]],
        dx=[[[[1, 2], [1, 2]], [[1, 2], [1, 2]]]],
        oracle=lambda torch, x, w: x.mean((1, 2)),
        shape=(3, 2, 4),
    ),
    Case(
        "global_average_pooling1d",
        {"keepdims": True},
        x=[[[1], [2], [6]]],
        y=[[[3]]],
        dy=[[[6]]],
        dx=[[[2], [2], [2]]],
        oracle=lambda torch, x, w: x.mean(1, keepdim=True),
        shape=(3, 4),
    ),
    Case(  # two equal values share the gradient
        "global_max_pooling2d",
        {"keepdims": True},
        x=[image([1, 4], [4, 3])],
        y=[[[[4]]]],
        dy=[[[[2]]]],
        dx=[image([0, 1], [1, 0])],
        oracle=lambda torch, x, w: x.amax((1, 2), keepdim=True),
        shape=(3, 2, 4),
    ),
    Case(
        "global_max_pooling1d",
        {},
        x=[[[1, 9], [5, 2], [3, 4]]],
        y=[[5, 9]],
        dy=[[2, 3]],
        dx=[[[0, 3], [2, 0], [0, 0]]],
        oracle=lambda torch, x, w: x.amax(1),
        shape=(3, 4),
    ),
    Case(
        "zero_padding2d",
        {"padding": [[1, 0], [0, 2]]},
        x=[image([1, 2])],
        y=[image([0, 0, 0, 0], [1, 2, 0, 0])],
        dy=[image([1, 2, 3, 4], [5, 6, 7, 8])],
        dx=[image([5, 6])],
        oracle=lambda torch, x, w: around(torch, x, (0, 2, 1, 0)).permute(0, 2, 3, 1),
        shape=(3, 2, 4),
    ),
    Case(
        "cropping2d",
        {"cropping": [[1, 0], [1, 0]]},
        x=[image([1, 2, 3], [4, 5, 6])],
        y=[image([5, 6])],
        dy=[image([1, 2])],
        dx=[image([0, 0, 0], [0, 1, 2])],
        oracle=lambda torch, x, w: x[:, 1:, 1:],
        shape=(3, 4, 2),
    ),
    Case(
        "up_sampling2d",
        {"size": [2, 1]},
        x=[image([1, 2])],
        y=[image([1, 2], [1, 2])],
        dy=[image([1, 2], [3, 4])],
        dx=[image([4, 6])],
        oracle=interpolate("nearest", (2, 1)),
        shape=(3, 2, 4),
    ),
    Case(  # a quarter and three quarters of the way between the pixels
        "up_sampling2d",
        {"size": [1, 2], "interpolation": "bilinear"},
        x=[image([0, 4])],
        y=[image([0, 1, 3, 4])],
        dy=[image([1, 2, 3, 4])],
        dx=[image([3.25, 6.75])],
        oracle=interpolate("bilinear", (1, 2)),
        shape=(3, 4, 2),
    ),
    Case(
        "up_sampling2d",
        {"size": 3, "interpolation": "bilinear"},
        x=[image([2])],
        y=[image([2, 2, 2], [2, 2, 2], [2, 2, 2])],
        dy=[image([1, 2, 3], [4, 5, 6], [7, 8, 9])],
        dx=[image([45])],
        oracle=interpolate("bilinear", (3, 3)),
        shape=(3, 1, 2),
    ),
    Case(  # drawn: 0.387, 0.592, 0.623, 0.410
        "spatial_dropout2d",
        {"rate": 0.4},
        x=[[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]],
        y=[[[[0, 3.33333333]], [[0, 6.66666667]]], [[[8.33333333, 10]], [[11.66666667, 13.33333333]]]],
        dy=[[[[1, 3]], [[1, 3]]], [[[3, 3]], [[6, 6]]]],
        dx=[[[[0, 5]], [[0, 5]]], [[[5, 5]], [[10, 10]]]],
        shape=(2, 3, 4),
    ),
    Case(
        "spatial_dropout1d",
        {"rate": 0.4},
        x=[[[1, 2], [3, 4]]],
        y=[[[0, 3.33333333], [0, 6.66666667]]],
        dy=[[[1, 3], [1, 3]]],
        dx=[[[0, 5], [0, 5]]],
        shape=(3, 4),
    ),
    Case(
        "spatial_dropout1d",
        {"rate": 0.0},
        x=[[[1]]],
        y=[[[1]]],
        dy=[[[3]]],
        dx=[[[3]]],
        oracle=lambda t, x, w: x,
        shape=(3, 4),
    ),
    Case(  # channel 1: mean 2, variance 1; channel 2: mean 5, variance 0
        "batch_normalization",
        {"epsilon": 3.0, "momentum": 0.75},
        x=[[[[1, 5]], [[3, 5]]]],
        y=[[[[-1, -1]], [[3, -1]]]],
        dy=[[[[1, 1]], [[2, 3]]]],
        dx=[[[[-0.75, -1.73205081]], [[0.75, 1.73205081]]]],
        values={"gamma": [4, 3], "beta": [1, -1], "moving_mean": [10, 1], "moving_variance": [5, 4]},
        gradients={"gamma": [0.5, 0], "beta": [3, 4]},
        after={"moving_mean": [8, 2], "moving_variance": [4, 3]},
        oracle=image_norm(),
        shape=(3, 4, 2),
    ),
    Case(
        "batch_normalization",
        {"epsilon": 3.0, "trainable": False},
        x=[image([1, 5])],
        y=[image([1, 9])],
        dy=[image([1, 2])],
        dx=[image([2, 4])],
        values={"gamma": [4], "beta": [1], "moving_mean": [1], "moving_variance": [1]},
        oracle=image_norm(training=False),
        shape=(3, 4, 2),
    ),
    Case(
        "layer_normalization",
        {"epsilon": 3.0},
        x=[[[[1, 3]], [[5, 5]]]],
        y=[[[[-1, 1]], [[1, 0]]]],
        dy=[[[[1, 1]], [[1, 3]]]],
        dx=[[[[0.375, -0.375]], [[-0.57735027, 0.57735027]]]],
        values={"gamma": [4, 2], "beta": [1, 0]},
        gradients={"gamma": [-0.5, 0.5], "beta": [2, 4]},
        oracle=lambda torch, x, w: torch.nn.functional.layer_norm(x, x.shape[-1:], w["gamma"], w["beta"], 3),
        shape=(3, 2, 4),
    ),
    Case(  # every channel by itself: what batch normalization gives for a batch of one
        "group_normalization",
        {"groups": -1, "epsilon": 3.0},
        x=[[[[1, 5]], [[3, 5]]]],
        y=[[[[-1, -1]], [[3, -1]]]],
        dy=[[[[1, 1]], [[2, 3]]]],
        dx=[[[[-0.75, -1.73205081]], [[0.75, 1.73205081]]]],
        values={"gamma": [4, 3], "beta": [1, -1]},
        gradients={"gamma": [0.5, 0], "beta": [3, 4]},
        oracle=group_norm(4),
        shape=(3, 2, 4),
    ),
    Case(  # one group: what layer normalization gives for one pixel
        "group_normalization",
        {"groups": 1, "epsilon": 3.0, "scale": False},
        x=[[1, 3], [5, 5]],
        y=[[-0.5, 0.75], [0, 0.25]],
        dy=[[1, 2], [0, 0]],
        dx=[[-0.1875, 0.1875], [0, 0]],
        values={"beta": [0, 0.25]},
        gradients={"beta": [1, 2]},
        oracle=group_norm(1),
        shape=(3, 2, 4),
    ),
    Case(
        "group_normalization",
        {"groups": 2, "epsilon": 3.0, "center": False, "trainable": False},
        x=[[[1, 3, 5, 5]]],
        y=[[[-1, 1, 0, 0]]],
        dy=[[[1, 3, 0, 0]]],
        dx=[[[-0.75, 0.75, 0, 0]]],
        values={"gamma": [2, 2, 1, 1]},
        oracle=group_norm(2),
        shape=(2, 3, 4),
    ),
]
