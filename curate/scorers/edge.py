"""Edge signal: image gradient at a mask's outline against that beside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import ByteArray, FloatArray, IntArray
from curate.dataset.table import MaskTable
from curate.images import ImageFolder
from curate.rle import Runs
from curate.scorers.kernels.edge_walk import Points, Walked, smooth, trace, walk
from curate.scorers.scorer import Column, Scorer, has_pixels

BAND_PIXELS = 6_000_000
"""Larger pictures are looked at so many pixels at a time; one takes nine bytes in colour."""

MASKS_AT_ONCE = 4_000
"""Masks of a large picture whose outlines are kept at the same time; 15 kB each."""

_MARGIN_PX = 12  # what is seen around an outline: 8 px of parallels, a step, and smoothing

COLUMNS = ("edge_score", "edge_offset_score", "edge_offset_px")


def edge(table: MaskTable, *, images: ImageFolder, points: int = 300) -> pd.DataFrame:
    """Compare the picture's gradient at the outline with that beside it.

    At points along the outline, the picture's change across the outline is measured there and at
    parallels 3 to 8 px inside and outside. The score is the share of parallels that the outline
    beats (ties count half), averaged over the points: 1 where the outline is the sharpest edge
    around at every point, about 0.5 where it lies anywhere. As only ranks count, it depends
    neither on contrast nor on the size of the mask.

    An outline may be parallel to the edge, but some pixels too wide or too tight. So for each
    parallel up to 4 px away, the change there less the change at the outline, as a share of the
    largest around, is averaged over the points; the largest of these averages is what speaks
    against the place of the outline. Own definitions.

    Args:
        table: Masks; rows in any order.
        images: Where the pictures are.
        points: Most points of an outline that are looked at, evenly spaced.

    Returns:
        Index ``mask_id``; NaN for a mask without pixels, for one whose outline is the image's
        border, and where the picture is missing, broken or of another size:

        - ``edge_score`` in [0, 1];
        - ``edge_offset_score`` in [0, 1]: 1 less that largest average; 1 where the outline is the
          best place;
        - ``edge_offset_px``: where the best parallel lies, outside (+) or inside (-); 0 for none.
    """
    found = np.full((len(table), len(COLUMNS)), np.nan)
    rows = np.flatnonzero(has_pixels(table))
    image_of = table.masks["image_id"].to_numpy()
    image_ids = image_of[rows]
    names = table.images["file_name"].to_dict()
    order = np.argsort(image_ids, kind="stable")
    for same in np.split(rows[order], np.flatnonzero(np.diff(image_ids[order])) + 1):
        if not len(same):
            continue
        first = int(same[0])
        size = (int(table.runs.heights[first]), int(table.runs.widths[first]))
        name = names.get(image_of[first])
        if size[0] * size[1] > BAND_PIXELS:
            for some in np.array_split(same, -(-len(same) // MASKS_AT_ONCE)):
                found[some] = _in_bands(table.runs, some, images, name, points)
            continue
        picture = images.load(name, size)
        if picture is not None:
            found[same] = edge_measures(table.runs, same, picture, points=points)
    return pd.DataFrame(found, index=table.masks.index, columns=list(COLUMNS))


def edge_measures(
    runs: Runs, rows: IntArray, picture: ByteArray, *, points: int = 300
) -> FloatArray:
    """Measure some masks of one picture.

    Args:
        runs: Masks.
        rows: Which of them belong to this picture; each has at least one pixel.
        picture: Shape (height, width) or (height, width, channels), 8 bit.
        points: Most points of an outline that are looked at.

    Returns:
        A row a mask, :data:`COLUMNS`; NaN where it is of another size than the picture.
    """
    fits = (runs.heights[rows] == picture.shape[0]) & (runs.widths[rows] == picture.shape[1])
    result = np.full((len(rows), len(COLUMNS)), np.nan)
    if not fits.any():
        return result
    size = picture.shape[0], picture.shape[1]
    walked = Walked.nothing(int(fits.sum()))
    traced = _trace_points(runs, rows[fits], size, points)
    walk(traced, _smooth(picture), (0, size[0], 0, len(traced.x)), walked)
    result[fits] = _measures(walked)
    return result


def _trace_points(runs: Runs, rows: IntArray, size: tuple[int, int], points: int) -> Points:
    masks = runs.starts, runs.ends, runs.offsets
    return trace(masks, rows.astype(np.int64), size, points)


def _in_bands(
    runs: Runs, rows: IntArray, images: ImageFolder, name: object, points: int
) -> FloatArray:
    """Measure some masks of one large picture; NaN where it is missing or broken."""
    size = (int(runs.heights[rows[0]]), int(runs.widths[rows[0]]))
    if images.find(name) is None:
        return np.full((len(rows), len(COLUMNS)), np.nan)
    traced = _trace_points(runs, rows, size, points)
    order = np.argsort(traced.y, kind="stable")
    traced = traced.take(order)
    walked = Walked.nothing(len(rows))
    for band in images.bands(name, size, pixels=BAND_PIXELS, margin=_MARGIN_PX):
        if band is None:
            return np.full((len(rows), len(COLUMNS)), np.nan)
        first, stop = np.searchsorted(traced.y, [band.low, band.high]).tolist()
        if first < stop:
            place = band.top, size[0], first, stop
            walk(traced, _smooth(band.pixels), place, walked)
    return _measures(walked)


def _measures(walked: Walked) -> FloatArray:
    found = walked.measures()
    found[:, 1] = 1 - np.minimum(found[:, 1], 1)
    return found


def _smooth(picture: ByteArray) -> npt.NDArray[np.uint16]:
    channels = picture[:, :, None] if picture.ndim == 2 else picture
    if channels.shape[2] == 3 and _is_gray(channels):
        channels = channels[:, :, :1]
    return smooth(np.ascontiguousarray(channels))


def _is_gray(channels: ByteArray) -> bool:
    red = channels[:, :, 0]
    return bool((red == channels[:, :, 1]).all() and (red == channels[:, :, 2]).all())


SCORERS = (
    Scorer(
        name="edge",
        function=edge,
        columns=(
            Column(
                "edge_score",
                "Edge evidence",
                low_means="its outline follows no edge in the picture",
                states="its outline follows the picture's edges less than is usual "
                "(edge score {edge_score:.2f}, by chance 0.50)",
                evidence="contradiction",
            ),
            Column(
                "edge_offset_score",
                "Edge in place",
                low_means="the picture's edge runs some pixels beside its outline",
                states="the picture changes more beside its outline "
                "({edge_offset_px} px, + outside, - inside)",
                # It looks at the picture, and counts as form all the same: outlines a pixel or two
                # beside an edge are common, and only far ones hint at an error (counted at any
                # size, it took a tenth of the precision away on nuclei and found no more in COCO).
                evidence="form",
            ),
            Column(
                "edge_offset_px",
                "Edge offset",
                "measure",
                "px",
                "how far outside (+) or inside (-) of the outline the picture changes most",
            ),
        ),
        question="does its outline follow an edge in the picture?",
        needs=("images",),
    ),
)
