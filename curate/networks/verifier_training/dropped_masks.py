"""Training examples of exhaustivity: images from which some of their masks are left out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.common.arrays import Float32Array
from curate.common.progress import Progress
from curate.networks.segmenter_training.training_masks import MaskedImage
from curate.networks.training.reading_ahead import READER_THREADS
from curate.networks.verifiers.exhaustivity_network import stack_channels
from curate.networks.verifiers.reduced_images import ReducedImage, reduce_image
from curate.rle import area

CROP = 192
"""Side of an example in pixels of the reduced picture."""

ZOOM = 0.4
"""Natural logarithm of the most that an example is enlarged or reduced."""

COMPLETE_SHARE = 0.2
"""Share of examples with all their masks."""

SINGLE_SHARE = 0.25
"""Share of examples with one mask dropped; from the others a random share is."""

COVERED_WEIGHT = 0.25
"""Weight of a pixel that a mask covers: there is little to learn there."""


@dataclass(frozen=True)
class DroppedExample:
    """A part of an image with some of its masks, and where the dropped ones lie.

    Attributes:
        inputs: Of the network, shape (channels, :data:`CROP`, :data:`CROP`).
        truth: Share of each pixel that dropped masks cover, at half the resolution.
        weights: Weight of each pixel, of the same shape; 0 outside of the picture.
    """

    inputs: Float32Array
    truth: Float32Array
    weights: Float32Array


def typical_side(images: Sequence[MaskedImage]) -> float:
    """Return the side that the median mask has as a square, in pixels."""
    areas = np.concatenate([area(image.runs) for image in images])
    return float(np.sqrt(np.median(areas)))


def reduce_images(
    images: Sequence[MaskedImage], object_side: float, progress: Progress | None = None
) -> list[ReducedImage]:
    """Read pictures, and reduce them and their masks.

    Args:
        images: With their masks.
        object_side: Side of the typical object, in pixels.
        progress: Called with progress.
    """

    def read(image: MaskedImage) -> ReducedImage:
        return reduce_image(image.picture(), image.runs, object_side)

    found: list[ReducedImage] = []
    with ThreadPoolExecutor(READER_THREADS) as readers:
        for one in readers.map(read, images):
            found.append(one)
            if progress:
                progress("reducing pictures", len(found), len(images), 0)
    return found


def draw_dropped(count: int, random: np.random.Generator) -> list[int]:
    """Draw which of an image's masks are dropped for an example.

    Args:
        count: Masks of the image.
        random: Draws them.
    """
    kind = random.random()
    if kind < COMPLETE_SHARE or not count:
        return []
    if kind < COMPLETE_SHARE + SINGLE_SHARE:
        return [int(random.integers(count))]
    dropped = np.flatnonzero(random.random(count) < random.random())
    return [int(k) for k in dropped]


def make_dropped_example(image: ReducedImage, random: np.random.Generator) -> DroppedExample:
    """Return a part of an image with some of its masks dropped, changed at random."""
    dropped = draw_dropped(len(image.masks), random)
    left_out = image.draw(dropped)
    cover = image.cover(dropped)
    side = CROP / float(np.exp(random.uniform(-ZOOM, ZOOM)))
    window = _draw_window(image, dropped, side, random)
    colours = _cut(image.colours(), window)
    colours *= 1 + random.uniform(-0.1, 0.1, 3).astype(np.float32)
    if random.random() < 0.15:
        colours[:] = colours.mean(-1, keepdims=True)
    inside = _cut(np.ones(image.shape, np.float32), window)
    covered = _cut(cover.astype(np.float32), window)
    missing = _cut((left_out & ~cover).astype(np.float32), window)
    turns = int(random.integers(4)) if random.random() < 0.2 else 0
    flip = random.random() < 0.5
    planes = [
        np.ascontiguousarray(np.rot90(one[:, ::-1] if flip else one, turns))
        for one in (colours, inside, covered, missing)
    ]
    colours, inside, covered, missing = planes
    weights = _halve(inside * np.where(covered >= 0.5, COVERED_WEIGHT, 1.0))
    inputs = stack_channels(colours, inside >= 0.5, covered >= 0.5)
    return DroppedExample(inputs, _halve(missing), weights)


def _draw_window(
    image: ReducedImage, dropped: Sequence[int], side: float, random: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw a square window of the reduced picture: left, top, right, bottom.

    Every second window of an image with dropped masks holds the middle of one of them.
    """
    height, width = image.shape
    corner = []
    wanted = None
    if dropped and random.random() < 0.5:
        mask = image.masks[dropped[int(random.integers(len(dropped)))]]
        rows, columns = mask.place
        wanted = ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
    for axis, length in enumerate((width, height)):
        room = length - side
        low, high = min(0.0, room), max(0.0, room)
        at = random.uniform(low, high)
        if wanted is not None:
            at = min(max(wanted[axis] - side * random.uniform(0.1, 0.9), low), high)
        corner.append(float(at))
    return corner[0], corner[1], corner[0] + side, corner[1] + side


def _cut(plane: Float32Array, window: tuple[float, float, float, float]) -> Float32Array:
    """Return a window of planes as :data:`CROP` pixels each way; 0 outside of them."""
    channels = plane[..., None] if plane.ndim == 2 else plane
    step = (window[2] - window[0]) / CROP
    cut = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(channels[..., k])).transform(
                (CROP, CROP),
                Image.Transform.AFFINE,
                (step, 0.0, window[0], 0.0, step, window[1]),
                Image.Resampling.BILINEAR,
            )
        )
        for k in range(channels.shape[-1])
    ]
    made = np.stack(cut, -1).astype(np.float32)
    return made[..., 0] if plane.ndim == 2 else made


def _halve(plane: Float32Array) -> Float32Array:
    """Return the means of two by two pixels."""
    height, width = plane.shape
    return np.asarray(plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3)), np.float32)
