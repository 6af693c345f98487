"""Layers: settings, and beside them the object bound to arrays. Importing this package registers all of them."""

from tuilab.blocks.layers import activation, dense, normalization, prelu, regularization, shaping
from tuilab.blocks.layers.layer import Layer

__all__ = ["Layer", "activation", "dense", "normalization", "prelu", "regularization", "shaping"]
