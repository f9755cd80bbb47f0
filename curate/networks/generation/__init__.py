"""Mask generation with a segmenter: a grid of points on an image and its crops, filters, NMS."""

from curate.networks.generation.generating import Generation, generate, open_generation, reselect
from curate.networks.generation.recipe import PRESETS, Recipe, load_recipe

__all__ = [
    "PRESETS",
    "Generation",
    "Recipe",
    "generate",
    "load_recipe",
    "open_generation",
    "reselect",
]
