"""The networks of our experiments in PyTorch: the same layers with the same parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tuilab.experiment.plan import PlannedLayer, in_line

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "linear": nn.Identity, "softmax": nn.Identity}
"""Softmax comes with PyTorch's loss."""


def network(layers: Sequence[PlannedLayer]) -> nn.Sequential:
    """Return planned layers one after another; images come as (batch, channels, height, width)."""
    made: list[nn.Module] = []
    for planned in in_line(layers):
        made.append(_layer(planned))
        activation = getattr(planned.layer, "activation", None)
        if activation is not None:
            made.append(ACTIVATIONS[activation.type_name()]())
    return nn.Sequential(*made)


def _layer(planned: PlannedLayer) -> nn.Module:
    layer: Any = planned.layer
    kind, inputs = layer.type_name(), planned.input_shape[-1]
    if kind == "dense":
        return nn.Linear(inputs, layer.units, bias=layer.use_bias)
    if kind == "conv2d":
        size, padding = layer.kernel_size, _padding(planned)
        return nn.Conv2d(inputs, layer.filters, size, layer.strides, padding, bias=layer.use_bias)
    if kind == "batch_normalization":
        return nn.BatchNorm2d(inputs, eps=layer.epsilon, momentum=1 - layer.momentum)
    if kind == "max_pooling2d":
        return nn.MaxPool2d(layer.pool_size)
    if kind == "global_average_pooling2d":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind == "residual":
        return Residual(planned)
    simple = {"dropout": lambda: nn.Dropout(layer.rate), "flatten": nn.Flatten, "activation": nn.Identity}
    return simple[kind]()


def _padding(planned: PlannedLayer) -> int:
    """Return what PyTorch adds on each side; where ours adds one more behind than before, so much on both: the same
    number of products."""
    layer: Any = planned.layer
    return layer.kernel_size[0] // 2 if layer.padding == "same" else 0


class Residual(nn.Module):
    """Layers beside a shortcut."""

    def __init__(self, planned: PlannedLayer) -> None:
        super().__init__()
        body, *projection = planned.branches
        self.body = network(body)
        self.projection = network(projection[0]) if projection else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.body(x) + self.projection(x)
        return total
