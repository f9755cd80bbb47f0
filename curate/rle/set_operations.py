"""Set operations on masks: union, intersection, IoU of all pairs, the band along the outline."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curate.common.arrays import FloatArray, Int32Array, IntArray
from curate.rle.mask_forms import Masks, as_runs
from curate.rle.overlap import area, cross_overlaps
from curate.rle.runs import Runs, kernel
from curate.rle.topology import column_segments, segment_capacity


def iou(masks: Masks, others: Masks, crowd: npt.ArrayLike | None = None) -> FloatArray:
    """Return the intersection over union of every mask with every other one.

    Args:
        masks: n masks of one image, in any form of :func:`as_runs`; detections, where there are
            crowds.
        others: k masks of the same image.
        crowd: Shape (k,), booleans: for these of the others the intersection is divided by the area
            of the mask alone, as COCO does for crowds. None for no crowd.

    Returns:
        Shape (n, k), in [0, 1]; 0 where one of both has no pixel.

    Raises:
        ValueError: The masks are not all of one image size, or ``crowd`` has another length.

    Source: Lin et al. 2014 (COCO), as in pycocotools 2 (``common/maskApi.c``, ``rleIou``).

    Example:
        >>> left, all_of_it = np.array([[1, 0]]), np.array([[1, 1]])
        >>> iou(left, [left, all_of_it]).tolist()
        [[1.0, 0.5]]
        >>> iou(left, [left, all_of_it], crowd=[False, True]).tolist()
        [[1.0, 1.0]]
    """
    a, b = as_runs(masks), as_runs(others)
    _check_one_size(np.append(a.heights, b.heights), np.append(a.widths, b.widths))
    is_crowd = np.zeros(len(b), np.bool_) if crowd is None else np.asarray(crowd, np.bool_)
    if is_crowd.shape != (len(b),):
        raise ValueError(f"crowd has shape {is_crowd.shape}, but there are {len(b)} other masks")
    pairs = cross_overlaps(a, np.zeros(len(a)), b, np.zeros(len(b)))
    mine, theirs = area(a)[pairs.first], area(b)[pairs.second]
    union = np.where(is_crowd[pairs.second], mine, mine + theirs - pairs.intersection)
    found = np.zeros((len(a), len(b)), np.float64)
    found[pairs.first, pairs.second] = pairs.intersection / union
    return found


def merge(masks: Masks, intersect: bool = False) -> Runs:
    """Return the union or the intersection of masks.

    Args:
        masks: n masks of one image, in any form of :func:`as_runs`; at least one.
        intersect: Whether a pixel must be in all of them, not in any.

    Returns:
        One mask; without a pixel where nothing is left.

    Raises:
        ValueError: There is no mask, or they are not all of one image size.

    Example:
        >>> a, b = np.array([[1, 1, 0]]), np.array([[0, 1, 1]])
        >>> area(merge([a, b])).tolist(), area(merge([a, b], intersect=True)).tolist()
        ([3], [1])
    """
    runs = as_runs(masks)
    if not len(runs):
        raise ValueError("there is no mask to merge, so no image size either")
    _check_one_size(runs.heights, runs.widths)
    edges, where = np.unique(np.concatenate([runs.starts, runs.ends]), return_inverse=True)
    steps = np.repeat([1, -1], len(runs.starts))
    depth = np.cumsum(np.bincount(where.ravel(), steps, len(edges)).astype(np.int64))
    inside = depth >= (len(runs) if intersect else 1)
    before = np.append(False, inside)[: len(inside)]
    starts, ends = edges[inside & ~before], edges[before & ~inside]
    return Runs(
        np.array([0, len(starts)], np.int64),
        starts.astype(np.int32),
        ends.astype(np.int32),
        runs.heights[:1].copy(),
        runs.widths[:1].copy(),
    )


def _check_one_size(heights: Int32Array, widths: Int32Array) -> None:
    if len(heights) and ((heights != heights[0]).any() or (widths != widths[0]).any()):
        raise ValueError("the masks are not all of one image size")


def boundary(masks: Masks, width: int = 1) -> Runs:
    """Return the band along the inner side of each mask's outline.

    A pixel of the mask is in the band if a square of ``2 * width + 1`` pixels around it holds one
    that is not of the mask; all beyond the border of the image is not. The band is the mask less
    its erosion by a 3 x 3 square, ``width`` times. Boundary IoU is
    ``iou(boundary(a, d), boundary(b, d))``, for which its paper takes a ``d`` of 2% of the image's
    diagonal.

    Args:
        masks: n masks in any form of :func:`as_runs`.
        width: Of the band, in pixels, at least 1.

    Returns:
        n masks of the same image sizes; a mask without a pixel has an empty band.

    Raises:
        ValueError: The width is under 1, or see :func:`as_runs`.

    Source: Cheng et al. 2021, Boundary IoU (arXiv 2103.16562), ``mask_to_boundary``.

    Example:
        >>> area(boundary(np.ones((5, 5)), 1)).tolist(), area(boundary(np.ones((5, 5)), 3)).tolist()
        ([16], [25])
    """
    if width < 1:
        raise ValueError(f"a band is at least 1 pixel wide, not {width}")
    runs = as_runs(masks)
    offsets = np.zeros(len(runs) + 1, np.int64)
    starts, ends = _boundary(
        runs.starts, runs.ends, runs.offsets, runs.heights, segment_capacity(runs), width, offsets
    )
    return Runs(offsets, starts, ends, runs.heights, runs.widths)


@kernel
def _boundary(
    starts: Int32Array,
    ends: Int32Array,
    offsets: IntArray,
    heights: Int32Array,
    capacity: int,
    width: int,
    out_offsets: IntArray,
) -> tuple[Int32Array, Int32Array]:
    """Erode each mask along its columns, then across them, and take the rest.

    A square is a column of rows times a row of columns, so both can be done one after the other.
    """
    segments = np.empty((3, capacity), np.int32)
    out = np.empty((2, 2 * len(starts) + 16), np.int32)
    used = 0
    for i in range(len(heights)):
        first, stop = offsets[i], offsets[i + 1]
        height = int(heights[i])
        n = column_segments(
            starts, ends, first, stop, height, segments[0], segments[1], segments[2]
        )
        kept = np.empty((2, n), np.int64)
        m = 0
        for k in range(n):
            low, high = segments[1, k] + width, segments[2, k] - width
            if low < high:
                kept[0, m] = segments[0, k] * height + low
                kept[1, m] = segments[0, k] * height + high
                m += 1
        # Pixels from which on `reach` columns are inside, until it is the width of the square.
        inner, reach, side = kept[:, :m], 1, 2 * width + 1
        while reach < side:
            step = min(reach, side - reach)
            inner = _common(inner, inner - step * height)
            reach += step
        inner = inner + width * height  # from the first column of the square to its middle
        room = used + (stop - first) + inner.shape[1]
        if room > out.shape[1]:
            larger = np.empty((2, 2 * room), np.int32)
            for k in range(used):
                larger[0, k], larger[1, k] = out[0, k], out[1, k]
            out = larger
        used = _subtract(starts[first:stop], ends[first:stop], inner, out, used)
        out_offsets[i + 1] = used
    return out[0, :used].copy(), out[1, :used].copy()


@kernel
def _common(a: IntArray, b: IntArray) -> IntArray:
    """Return the runs that two lists of runs, shape (2, runs), have in common."""
    found = np.empty((2, a.shape[1] + b.shape[1]), np.int64)
    n, i, j = 0, 0, 0
    while i < a.shape[1] and j < b.shape[1]:
        start, end = max(a[0, i], b[0, j]), min(a[1, i], b[1, j])
        if start < end:
            found[0, n], found[1, n] = start, end
            n += 1
        if a[1, i] < b[1, j]:
            i += 1
        else:
            j += 1
    return found[:, :n]


@kernel
def _subtract(
    starts: Int32Array, ends: Int32Array, inner: IntArray, out: Int32Array, used: int
) -> int:
    """Write runs without those of ``inner``, each of which lies within one of them."""
    j = 0
    for i in range(len(starts)):
        position = int(starts[i])
        while j < inner.shape[1] and inner[0, j] < ends[i]:
            if inner[0, j] > position:
                out[0, used], out[1, used] = position, inner[0, j]
                used += 1
            position = int(inner[1, j])
            j += 1
        if position < ends[i]:
            out[0, used], out[1, used] = position, ends[i]
            used += 1
    return used
