"""Augmentations: what is done to samples before the network sees them. Importing this package registers all of them."""

from tuilab.blocks.augmentations import colour, fixed, geometry
from tuilab.blocks.augmentations.augmentation import Augmentation, Draw, drawn
from tuilab.blocks.augmentations.mixing import Mixing

__all__ = ["Augmentation", "Draw", "Mixing", "colour", "drawn", "fixed", "geometry"]
