"""Layers: settings, and beside them the object bound to arrays. Importing this package registers all of them."""

from tuilab.blocks.layers import (
    activation,
    containers,
    convolution,
    dense,
    depthwise,
    global_pooling,
    normalization,
    pooling,
    prelu,
    regularization,
    resizing,
    shaping,
    transposed,
    vgg,
)
from tuilab.blocks.layers.layer import Layer

__all__ = [
    "Layer",
    "activation",
    "containers",
    "convolution",
    "dense",
    "depthwise",
    "global_pooling",
    "normalization",
    "pooling",
    "prelu",
    "regularization",
    "resizing",
    "shaping",
    "transposed",
    "vgg",
]
