"""Crops of an image, and a grid of prompt points on each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np

from curate.common.arrays import FloatArray
from curate.networks.generation.recipe import Recipe


@dataclass(frozen=True)
class Crop:
    """A crop of an image that is segmented by itself.

    Attributes:
        x: Left pixel.
        y: Top pixel.
        width: In pixels.
        height: In pixels.
        layer: 0 for the whole image, 1 for a quarter and so on.
    """

    x: int
    y: int
    width: int
    height: int
    layer: int

    @property
    def rows(self) -> slice:
        """Rows of the image."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the image."""
        return slice(self.x, self.x + self.width)


def make_crops(height: int, width: int, recipe: Recipe) -> list[Crop]:
    """Return the crops of an image, the whole one first, as SAM's generator cuts them.

    Layer i has 2**i crops along each side. Crops that an image of a few pixels has no room for, or
    that are one and the same, are left out.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        recipe: Says how many layers there are, and how far their crops overlap.
    """
    found = [Crop(0, 0, width, height, 0)]
    for layer in range(1, recipe.crop_layers + 1):
        n = 2**layer
        overlap = int(recipe.crop_overlap * min(height, width) * (2 / n))
        columns, rows = _split_side(width, n, overlap), _split_side(height, n, overlap)
        for (x, w), (y, h) in product(columns, rows):
            found.append(Crop(x, y, w, h, layer))
    boxes: dict[tuple[int, int, int, int], Crop] = {}
    for crop in found:
        boxes.setdefault((crop.x, crop.y, crop.width, crop.height), crop)
    return list(boxes.values())


def _split_side(length: int, n: int, overlap: int) -> list[tuple[int, int]]:
    """Return start and length of the crops along one side."""
    piece = ceil((overlap * (n - 1) + length) / n)
    starts = [(piece - overlap) * i for i in range(n)]
    return [(start, min(piece, length - start)) for start in starts if start < length]


def make_points(crop: Crop, recipe: Recipe) -> FloatArray:
    """Return the grid of points on a crop: shape (n, 2), x then y, in pixels of the crop.

    The grid spreads over both sides alike, whatever their proportions; a side of fewer pixels than
    points has a point a pixel.
    """
    n = recipe.points_of_layer(crop.layer)
    x, y = (_spaced(length, min(n, length)) for length in (crop.width, crop.height))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _spaced(length: int, n: int) -> FloatArray:
    return np.linspace(1 / (2 * n), 1 - 1 / (2 * n), n) * length
