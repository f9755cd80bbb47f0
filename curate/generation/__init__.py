"""Masks from a segmenter: a grid of points on an image and its crops, and what is kept of it."""

from curate.generation.recipe import PRESETS, Recipe, load_recipe
from curate.generation.run import Generation, generate, open_generation, reselect

__all__ = [
    "PRESETS",
    "Generation",
    "Recipe",
    "generate",
    "load_recipe",
    "open_generation",
    "reselect",
]
