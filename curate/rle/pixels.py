"""Conversion between dense pixels and runs."""

from __future__ import annotations

import numpy as np

from curate.common.arrays import AnyArray, BoolArray, Int32Array, IntArray
from curate.rle.runs import MAX_PIXELS, Runs, kernel


def from_dense(mask: AnyArray) -> Runs:
    """Turn one mask of pixels into runs.

    Args:
        mask: Shape (height, width), any type; non-zero is foreground.

    Returns:
        One mask.

    Raises:
        ValueError: It has not two dimensions, or more than :data:`MAX_PIXELS` pixels.

    Example:
        >>> from_dense(np.array([[0, 1], [0, 1]])).starts.tolist()
        [2]
    """
    height, width = _check_image(mask)
    flat = np.zeros(height * width + 2, np.bool_)
    flat[1:-1] = (mask != 0).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]).astype(np.int32)
    return Runs(
        np.array([0, len(edges) // 2], np.int64),
        np.ascontiguousarray(edges[::2]),
        np.ascontiguousarray(edges[1::2]),
        np.array([height], np.int32),
        np.array([width], np.int32),
    )


def from_label_image(labels: AnyArray) -> tuple[IntArray, Runs]:
    """Turn a 2-D image of instance ids (0 is background) into one mask an id.

    Args:
        labels: Shape (height, width), integers.

    Returns:
        The ids in ascending order, and their masks in the same order.

    Raises:
        ValueError: It has not two dimensions, or more than :data:`MAX_PIXELS` pixels.

    Example:
        >>> ids, masks = from_label_image(np.array([[0, 3, 3], [7, 3, 0]]))
        >>> ids.tolist(), len(masks)
        ([3, 7], 2)
    """
    height, width = _check_image(labels)
    flat = labels.ravel(order="F").astype(np.int64)
    change = np.flatnonzero(np.diff(flat)) + 1 if flat.size else np.zeros(0, np.int64)
    starts = np.concatenate([[0], change]) if flat.size else change
    ends = np.concatenate([change, [flat.size]]) if flat.size else change
    values = flat[starts]
    keep = values != 0
    starts, ends, values = starts[keep], ends[keep], values[keep]
    order = np.argsort(values, kind="stable")
    ids, counts = np.unique(values, return_counts=True)
    n = len(ids)
    return ids, Runs(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        starts[order].astype(np.int32),
        ends[order].astype(np.int32),
        np.full(n, height, np.int32),
        np.full(n, width, np.int32),
    )


def _check_image(pixels: AnyArray) -> tuple[int, int]:
    """Check that an array can be an image, and return its height and width."""
    if pixels.ndim != 2:
        raise ValueError(f"an image has 2 dimensions, not {pixels.ndim}")
    height, width = pixels.shape
    if height * width > MAX_PIXELS:
        raise ValueError(f"an image of {height} x {width} pixels is too large")
    return height, width


@kernel
def _fill(starts: Int32Array, ends: Int32Array, height: int, box: IntArray, out: BoolArray) -> None:
    x0, y0, w, h = box[0], box[1], box[2], box[3]
    for r in range(len(starts)):
        position, end = int(starts[r]), int(ends[r])
        while position < end:
            x = position // height
            y = position - x * height
            stop = min(end - x * height, height)
            if x0 <= x < x0 + w:
                for yy in range(max(y, y0), min(stop, y0 + h)):
                    out[yy - y0, x - x0] = True
            elif x >= x0 + w:
                return
            position = (x + 1) * height


def to_dense(runs: Runs, index: int, box: tuple[int, int, int, int] | None = None) -> BoolArray:
    """Draw one mask as pixels, whole or cut to a box.

    Args:
        runs: The batch.
        index: Which mask.
        box: XYWH in pixels, may reach outside the image; the whole image if None.

    Returns:
        Booleans of shape (height, width) of the box; False outside of the image.

    Example:
        >>> to_dense(from_dense(np.eye(3)), 0, box=(1, 1, 3, 2)).astype(int).tolist()
        [[1, 0, 0], [0, 1, 0]]
    """
    height, width = int(runs.heights[index]), int(runs.widths[index])
    x, y, w, h = box or (0, 0, width, height)
    out = np.zeros((h, w), np.bool_)
    span = slice(runs.offsets[index], runs.offsets[index + 1])
    if height:
        _fill(runs.starts[span], runs.ends[span], height, np.array([x, y, w, h], np.int64), out)
    return out
