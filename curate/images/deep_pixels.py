"""Pixels that Pillow has no mode for: several channels of more than 8 bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.common.arrays import AnyArray


@dataclass(frozen=True)
class DeepPixels:
    """A piece of a picture, as far as it is used like a ``PIL.Image``.

    Attributes:
        values: Shape (height, width), or (height, width, 3); numbers of any kind.
    """

    values: AnyArray

    @property
    def mode(self) -> str:
        """A mode that says: more than 8 bit."""
        return "F"

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.values.shape[0])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.values.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as Pillow has it."""
        return self.width, self.height

    def crop(self, box: tuple[int, int, int, int]) -> DeepPixels:
        """Return a window: left, top, right and bottom, the ends exclusive."""
        left, top, right, bottom = box
        return DeepPixels(self.values[top:bottom, left:right])


def values_of(image: object) -> AnyArray:
    """Return the pixels of a piece, shape (height, width) or (height, width, 3)."""
    if isinstance(image, DeepPixels):
        return image.values
    return np.asarray(image)
