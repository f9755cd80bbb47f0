"""Pooling of an encoder's answer over masks: patch grids inside the mask, vectors as they are."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.common.arrays import AnyArray, ByteArray, Float32Array, IntArray
from curate.errors import SourceError
from curate.networks.encoders.mask_windows import MaskWindows, cut_windows
from curate.networks.runtime.devices import (
    AdaptiveBatches,
    Normalisation,
    check_rgb,
    refuse_output,
)
from curate.rle import Runs

MASK_BATCH = 32
"""Masks of one batch, at first."""

_MOST_NUMBERS = 1 << 16
"""Numbers of a vector that is taken."""


class WindowNetwork:
    """The part that all networks share: windows in, one vector a mask out.

    Args:
        name: Name given by the user.
        size: Height and width of its input in pixels.
        normal: Mean and deviation of each channel, of pixels in [0, 1].
        patch: Side of a patch in pixels; 0 where that is not known.

    Attributes:
        fingerprint: Hash of its files.
        device: torch's name of the device that it runs on.
        precision: Type that it computes in.
    """

    fingerprint: str
    device: str
    precision: str

    def __init__(
        self, name: str, size: tuple[int, int], normal: Normalisation, patch: int = 0
    ) -> None:
        self.name = name
        self.size = size
        self.normal = normal
        self.patch = patch
        self.batches = AdaptiveBatches(MASK_BATCH)

    def run(self, inputs: Float32Array) -> AnyArray:
        """Run the network on inputs of shape (n, 3, height, width)."""
        raise NotImplementedError

    def see(self, pixels: ByteArray) -> AnyArray:
        """Run the network on windows of pictures.

        Args:
            pixels: RGB, shape (n, height, width, 3), uint8, of the size of its input.
        """
        mean, std = (np.array(one, np.float32) for one in self.normal)
        inputs = (pixels.astype(np.float32) / 255 - mean) / std
        return self.run(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)))

    def encode(self, picture: ByteArray, runs: Runs) -> Float32Array:
        """Encode the masks of one picture.

        Where the network gives a grid of features, a vector is their mean inside the mask followed
        by their mean over the whole window; else it is what the network gives for the window.

        Args:
            picture: Shape (height, width, 3), uint8, RGB, of the masks' size.
            runs: The masks, each with a pixel at least.

        Returns:
            Shape (masks, numbers).

        Raises:
            SourceError: The network fails, its answer has no known form, or is not finite.
        """
        check_rgb(picture, self.name)
        drawn = Image.fromarray(picture)

        def run(rows: IntArray) -> Float32Array:
            windows = cut_windows(drawn, runs, rows, self.size)
            return pool(self.see(windows.pixels), windows, self.patch, self.name)

        found = np.concatenate(self.batches.run(run, np.arange(len(runs))))
        if not np.isfinite(found).all():
            refuse_output(self.name, "its answer for a mask is not finite (NaN or infinite)")
        return found


def pool(answer: AnyArray, windows: MaskWindows, patch: int, name: str) -> Float32Array:
    """Return one vector a window.

    Args:
        answer: Of shape (n, numbers), (n, tokens, numbers) or (n, numbers, rows, columns).
        windows: The n windows.
        patch: Side of a patch in pixels; 0 where that is not known.
        name: The model's, for errors.

    Raises:
        SourceError: The answer is of another shape.
    """
    n = len(windows.pixels)
    values = arrange(answer, n, windows.shares.shape[1:], patch, name)
    if values.ndim == 4:
        rows, columns = values.shape[2:]
        inside = np.stack([_shrink(one, (rows, columns)) for one in windows.shares])
        flat, weight = values.reshape(n, values.shape[1], -1), inside.reshape(n, -1)
        total = weight.sum(1)
        weight = np.where(total[:, None] > 0, weight, 1.0)
        within = np.einsum("ncp,np->nc", flat, weight) / weight.sum(1)[:, None]
        values = np.concatenate([within, flat.mean(2)], 1)
    if values.ndim == 3:  # tokens of no grid
        values = values.mean(1)
    if values.shape[1] > _MOST_NUMBERS:
        raise SourceError(f"its vectors have {values.shape[1]:,} numbers", name, "use its features")
    return np.asarray(values, np.float32)


def arrange(answer: AnyArray, n: int, size: tuple[int, ...], patch: int, name: str) -> Float32Array:
    """Return the answer for n windows, tokens of a grid as that grid.

    Args:
        answer: Of shape (n, numbers), (n, tokens, numbers) or (n, numbers, rows, columns).
        n: Windows.
        size: Height and width of a window in pixels.
        patch: Side of a patch in pixels; 0 where that is not known.
        name: The model's, for errors.

    Raises:
        SourceError: The answer is of another shape.
    """
    values = np.asarray(answer, np.float32)
    if values.ndim not in (2, 3, 4) or len(values) != n or not 0 < values.size < n << 28:
        what = f"its answer for {n} windows is of shape {values.shape}"
        do = "give an encoder whose first output is a vector, tokens or a grid for each image"
        raise SourceError(what, name, do)
    return _grid(values, size, patch) if values.ndim == 3 else values


def _grid(tokens: Float32Array, size: tuple[int, ...], patch: int) -> Float32Array:
    """Return tokens as a grid, the class token and registers before it left out.

    They come back as they are where they are no grid.
    """
    n, count, numbers = tokens.shape
    side = int(np.sqrt(count))
    rows, columns = (size[0] // patch, size[1] // patch) if patch else (side, side)
    if not 1 < rows * columns <= count:
        return tokens
    grid = tokens[:, count - rows * columns :].reshape(n, rows, columns, numbers)
    return np.asarray(grid.transpose(0, 3, 1, 2))


def _shrink(shares: Float32Array, size: tuple[int, int]) -> Float32Array:
    image = Image.fromarray(shares).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(image, np.float32)
