"""Grids of an encoder's features over a picture, read where a window of the picture lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.common.arrays import AnyArray, Float32Array

PixelWindow = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of a picture; may reach outside of it."""


@dataclass(frozen=True)
class FeatureGrid:
    """Features of a picture in cells of equal size, the first one at its upper left corner.

    Attributes:
        values: Shape (channels, rows, columns), of any float type; cells beyond the picture are
            never read.
        step: Height and width of a cell, in pixels of the picture.
        size: Height and width of the picture.
    """

    values: AnyArray
    step: tuple[float, float]
    size: tuple[int, int]

    @property
    def channels(self) -> int:
        """Numbers of each cell."""
        return len(self.values)

    def on_picture(self) -> AnyArray:
        """Return the values of cells that lie on the picture, shape (channels, rows, columns)."""
        rows, columns = (
            _cells_on(length, step, count)
            for length, step, count in zip(self.size, self.step, self.values.shape[1:], strict=True)
        )
        return self.values[:, :rows, :columns]

    def sample(self, window: PixelWindow, side: int) -> Float32Array:
        """Return the features in a window, bilinear; where it is coarser than the grid, smoothed.

        Beyond the picture they are those of its nearest edge.

        Args:
            window: Where.
            side: Rows and columns of the result.

        Returns:
            Shape (channels, side, side).
        """
        values = self.on_picture()
        left, top, right, bottom = window
        down, rows = _weights(top, bottom, side, self.step[0], values.shape[1])
        across, columns = _weights(left, right, side, self.step[1], values.shape[2])
        part = values[:, rows, columns].astype(np.float32)
        return np.asarray(down @ (part @ across.T), np.float32)


def _cells_on(length: int, step: float, count: int) -> int:
    """Return how many of some cells lie on the picture, along one axis."""
    return max(1, min(count, int(np.ceil(length / step - 1e-6))))


def _weights(
    low: float, high: float, side: int, step: float, count: int
) -> tuple[Float32Array, slice]:
    """Return the weight of cells in each point of a window, along one axis, and which cells.

    Args:
        low: Where the window begins, in pixels.
        high: Where it ends.
        side: Points.
        step: Pixels of a cell.
        count: Cells.

    Returns:
        Weights, shape (side, cells), each row of sum 1, and the range of the cells.
    """
    spacing = (high - low) / side / step
    reach = max(1.0, spacing)
    centres = np.clip(low / step + (np.arange(side) + 0.5) * spacing - 0.5, 0, count - 1)
    first = max(0, int(np.floor(centres[0] - reach)))
    last = min(count, int(np.ceil(centres[-1] + reach)) + 1)
    cells = np.arange(first, last)
    weight = np.maximum(0, 1 - np.abs(cells[None, :] - centres[:, None]) / reach)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32), slice(first, last)
