"""Crops of masks, and crops pasted back into their images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curate.common.arrays import Int32Array, IntArray
from curate.rle.mask_forms import Masks, as_runs
from curate.rle.runs import MAX_PIXELS, Runs, kernel


@kernel
def _move(
    source: tuple[IntArray, Int32Array, Int32Array, Int32Array],
    clips: IntArray,
    shifts: IntArray,
    heights: IntArray,
    offsets: IntArray,
    starts: Int32Array,
    ends: Int32Array,
    count_only: bool,
) -> None:
    """Clip each mask to XYWH ``clips``, move it by ``shifts`` to an image of another height."""
    old_offsets, old_starts, old_ends, old_heights = source
    n = np.int64(0)
    for k in range(len(heights)):
        first = n
        last = np.int64(-1)
        x0, y0 = clips[k, 0], clips[k, 1]
        x1, y1 = x0 + clips[k, 2], y0 + clips[k, 3]
        height = np.int64(old_heights[k])
        for r in range(old_offsets[k], old_offsets[k + 1]):
            position, end = np.int64(old_starts[r]), np.int64(old_ends[r])
            if position // height < x0:
                position = min(end, x0 * height)
            while position < end:  # a column at a time
                x = position // height
                if x >= x1:
                    break
                top = max(position - x * height, y0)
                bottom = min(end - x * height, height, y1)
                position = (x + 1) * height
                if top >= bottom:
                    continue
                base = (x + shifts[k, 0]) * heights[k] + shifts[k, 1]
                if n > first and base + top == last:  # goes on where the column before it ended
                    if not count_only:
                        ends[n - 1] = base + bottom
                else:
                    if not count_only:
                        starts[n], ends[n] = base + top, base + bottom
                    n += 1
                last = base + bottom
        offsets[k + 1] = n


def _clip_and_move(runs: Runs, clips: IntArray, shifts: IntArray, sizes: IntArray) -> Runs:
    offsets = np.zeros(len(runs) + 1, np.int64)
    source = (runs.offsets, runs.starts, runs.ends, runs.heights)
    heights = np.ascontiguousarray(sizes[:, 0])
    none = np.empty(0, np.int32)
    _move(source, clips, shifts, heights, offsets, none, none, True)
    starts, ends = (np.empty(int(offsets[-1]), np.int32) for _ in range(2))
    _move(source, clips, shifts, heights, offsets, starts, ends, False)
    height, width = sizes.T.astype(np.int32)
    return Runs(offsets, starts, ends, height.copy(), width.copy())


def crop(masks: Masks, boxes: npt.ArrayLike) -> Runs:
    """Return masks as seen through a window on their image.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        boxes: Shape (n, 4): the windows, XYWH in pixels, inside the images, with a pixel at least.

    Returns:
        n masks on images of the windows' sizes; without a pixel where the mask has none there.

    Raises:
        ValueError: A window is empty or reaches outside its image, or see :func:`as_runs`.

    Example:
        >>> seen = crop(np.eye(4), [(1, 1, 2, 2)])
        >>> seen.heights.tolist(), seen.widths.tolist(), area(seen).tolist()
        ([2], [2], [2])
    """
    runs = as_runs(masks)
    clips = np.ascontiguousarray(boxes, np.int64).reshape(-1, 4)
    corner, size = clips[:, :2], clips[:, 2:]
    limit = np.column_stack([runs.widths, runs.heights])
    if (corner < 0).any() or (size < 1).any() or (corner + size > limit).any():
        raise ValueError("a window is empty or reaches outside its image")
    return _clip_and_move(
        runs, clips, np.ascontiguousarray(-corner), np.ascontiguousarray(size[:, ::-1])
    )


def paste(
    masks: Masks, corners: npt.ArrayLike, heights: npt.ArrayLike, widths: npt.ArrayLike
) -> Runs:
    """Put pieces that :func:`crop` made back in their place.

    Args:
        masks: n pieces in any form of :func:`as_runs`.
        corners: Shape (n, 2): x and y of each one's top left pixel on the image.
        heights: Shape (n,): of the images, in pixels.
        widths: Shape (n,).

    Returns:
        n masks on the whole images.

    Raises:
        ValueError: A piece reaches outside its image, an image has more than :data:`MAX_PIXELS`
            pixels, or see :func:`as_runs`.

    Example:
        >>> bbox(paste(np.ones((2, 2)), [(3, 1)], heights=[8], widths=[8])).tolist()
        [[3, 1, 2, 2]]
    """
    runs = as_runs(masks)
    shifts = np.ascontiguousarray(corners, np.int64).reshape(-1, 2)
    sizes = np.column_stack([np.asarray(heights, np.int64), np.asarray(widths, np.int64)])
    piece = np.column_stack([runs.widths, runs.heights]).astype(np.int64)
    if (shifts < 0).any() or (shifts + piece > sizes[:, ::-1]).any():
        raise ValueError("a piece reaches outside its image")
    if (sizes.prod(axis=1) > MAX_PIXELS).any():
        raise ValueError("an image is too large")
    clips = np.column_stack([np.zeros_like(shifts), piece])
    return _clip_and_move(runs, clips, shifts, sizes)
