"""Candidates for what a merged mask should be: other masks taken out of it, or itself cut in parts.

Own definition. A mask that holds most of another mask may have that one taken out: it loses those
pixels, and thin rims beside them. Or it is cut: into its pieces, where it falls apart; at the necks
of its shape, by a watershed of the distance to its outline; at edges of the picture, by a watershed
of the picture's gradient from the same centres; and into two halves by place, which finds the seam
of two bodies of one size that touch along a broad front. A cut of which a part is another mask
already is none: that mask is taken out, or stays as it is. Near-copies of another mask have no
candidates: they are one object twice. Nothing here says which candidate is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from curate.common.arrays import BoolArray, ByteArray, FloatArray
from curate.networks.verifiers.crops import LEAST_AREA
from curate.rle import Runs, area, bbox, concat, from_dense, paste, to_dense

Labels = npt.NDArray[np.int32]
"""Part of each pixel, 0 for none."""

MOST_PARTS = 4
"""Parts that a mask is cut into at most."""

MOST_CANDIDATES = 16
"""Candidates of one mask at most."""

MOST_TAKEN = 3
"""Masks that are each taken out for a candidate of its own, the largest first."""

LEAST_SHARE = 0.05
"""Share of the mask's area that each part has at least."""

HELD_SHARE = 0.9
"""Share of another mask's pixels that a mask covers where it holds it. At 0.7, masks that lay over
part of another object's were to lose that part, wrongly."""

SAME_IOU = 0.5
"""IoU with another mask of the image from which on a part is that mask: it is not cut off again."""

COPY_IOU = 0.8
"""IoU with another mask of the image from which on a mask is a near-copy of it, as the scorer of
duplicates has it; but not where it has a body beside that one."""

BODY_SHARE = 0.25
"""Depth of such a body, the farthest from its own outline, as a share of the mask's depth: what an
outline that was drawn a little otherwise leaves is thinner."""

RIM_PX = 2
"""How far from a mask that is taken out the rims and specks lie that go with it, in pixels."""

SIDE = 256
"""Longest side of a mask's box, in cells, at which cuts are looked for: large ones are reduced."""

NECKS = (0.3, 0.45, 0.6, 0.75, 0.9)
"""Distances to the outline, as shares of the largest, over which a part is a body of its own."""

_ALIKE = 0.9
"""IoU of all parts from which on two candidates are one."""

_TURNS = 15
"""Rounds of moving the centres of two halves."""

_EIGHT = np.ones((3, 3), np.bool_)


@dataclass(frozen=True)
class SplitCandidate:
    """A way to take a mask apart.

    Attributes:
        masks: Its parts, of the image's size, the largest first; one where others are taken out.
        taken_out: Rows of the masks of the image whose pixels were taken out, all of them.
        rim_px: Pixels that went with them: rims and specks beside them.
    """

    masks: Runs
    taken_out: tuple[int, ...] = ()
    rim_px: int = 0


def propose_splits(picture: ByteArray, runs: Runs, which: int) -> list[SplitCandidate]:
    """Return ways to take a mask apart, at most :data:`MOST_CANDIDATES`.

    Args:
        picture: Shape (height, width, 3), uint8, RGB.
        runs: The masks of the picture.
        which: The mask among them; it has pixels.
    """
    box = tuple(int(v) for v in bbox(runs[which : which + 1])[0])
    x, y, w, h = box
    mask = to_dense(runs, which, (x, y, w, h))
    least = max(LEAST_AREA, LEAST_SHARE * float(mask.sum()))
    others = _find_overlapping(runs, which, (x, y, w, h))
    areas = area(runs)
    if any(_is_copy(mask, shared, int(areas[row])) for row, shared in others.items()):
        return []
    kept: list[_Parts] = []
    for one in _list_all(mask, others, picture[y : y + h, x : x + w], least, areas):
        alike = (_is_alike(one.masks, known.masks) for known in kept)
        if len(kept) < MOST_CANDIDATES and not any(alike):
            kept.append(one)
    size = (int(runs.heights[which]), int(runs.widths[which]))
    return [
        SplitCandidate(_put_back(one.masks, (x, y), size), one.taken_out, one.rim_px)
        for one in kept
    ]


class _Parts(NamedTuple):
    """A candidate in the mask's box."""

    masks: list[BoolArray]
    taken_out: tuple[int, ...] = ()
    rim_px: int = 0


def _list_all(
    mask: BoolArray,
    others: dict[int, BoolArray],
    picture: ByteArray,
    least: float,
    areas: npt.NDArray[np.int64],
) -> Iterator[_Parts]:
    """Yield candidates in the mask's box, others' masks taken out first."""
    held = {
        row: pixels
        for row, pixels in others.items()
        if least <= pixels.sum() <= mask.sum() - least and pixels.sum() >= HELD_SHARE * areas[row]
    }
    largest = sorted(held, key=lambda row: -int(held[row].sum()))
    taken = [(row,) for row in largest[:MOST_TAKEN]]
    for rows in [*taken, *([tuple(largest)] if len(largest) > 1 else [])]:
        taken_out = np.logical_or.reduce([held[row] for row in rows])
        rest = _drop_rims(mask & ~taken_out, taken_out)
        if rest.sum() >= least:
            yield _Parts([rest], rows, int((mask & ~taken_out & ~rest).sum()))
    for labels in _cut(mask, picture, least):
        found = [labels == k for k in range(1, int(labels.max()) + 1)]
        parts = sorted((part for part in found if part.any()), key=lambda part: -int(part.sum()))
        some = 2 <= len(parts) <= MOST_PARTS
        if some and not any(_find_same(part, others, areas) for part in parts):
            yield _Parts(parts)


def _find_overlapping(
    runs: Runs, which: int, box: tuple[int, int, int, int]
) -> dict[int, BoolArray]:
    """Return the pixels of a mask that it shares with each other one, in its box, by row."""
    x, y, w, h = box
    mask = to_dense(runs, which, box)
    boxes = bbox(runs)
    near = (boxes[:, 0] < x + w) & (boxes[:, 0] + boxes[:, 2] > x)
    near &= (boxes[:, 1] < y + h) & (boxes[:, 1] + boxes[:, 3] > y)
    near[which] = False
    found = {row: to_dense(runs, row, box) & mask for row in np.flatnonzero(near).tolist()}
    return {row: pixels for row, pixels in found.items() if pixels.any()}


def _find_same(part: BoolArray, others: dict[int, BoolArray], areas: npt.NDArray[np.int64]) -> bool:
    """Return whether a part is a mask of the image already."""
    ious = (_find_iou(part, part & other, int(areas[row])) for row, other in others.items())
    return any(one >= SAME_IOU for one in ious)


def _is_copy(mask: BoolArray, shared: BoolArray, other: int) -> bool:
    """Return whether a mask is another one again, of so many pixels, with no body beside it."""
    if _find_iou(mask, shared, other) < COPY_IOU:
        return False
    return _find_depth(mask & ~shared) < BODY_SHARE * _find_depth(mask)


def _find_iou(mask: BoolArray, shared: BoolArray, other: int) -> float:
    """Return the IoU of a mask with another one of so many pixels, of which some are shared."""
    both = int(shared.sum())
    return both / (int(mask.sum()) + other - both)


def _find_depth(mask: BoolArray) -> float:
    """Return the distance to the outline of the pixel that is farthest from it."""
    return float(ndimage.distance_transform_edt(np.pad(mask, 1)).max())


def _drop_rims(rest: BoolArray, taken_out: BoolArray) -> BoolArray:
    """Drop what is left beside a mask taken out whose outline ran a little apart: rims, specks.

    What lies away from it stays as it was drawn, however thin or small.
    """
    near = ndimage.binary_dilation(taken_out, _EIGHT, iterations=RIM_PX)
    rest = rest & ~(near & ~ndimage.binary_opening(rest))
    labels, count = ndimage.label(rest, _EIGHT)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    dropped = np.zeros(count + 1, np.bool_)
    dropped[labels[near & rest]] = True
    dropped &= sizes < LEAST_SHARE * sizes[1:].max(initial=0)
    dropped[0] = False
    return np.asarray(rest & ~dropped[labels], np.bool_)


def _cut(mask: BoolArray, picture: ByteArray, least: float) -> Iterator[Labels]:
    """Yield partitions of a mask's pixels."""
    step = max(1, -(-max(mask.shape) // SIDE))
    coarse = _reduce(mask.astype(np.float64), step) >= 0.5
    if not coarse.any():
        return
    levels = np.stack([_reduce(picture[..., k].astype(np.float64), step) for k in range(3)], -1)
    for labels in _cut_cells(coarse, levels):
        full = np.repeat(np.repeat(labels, step, 0), step, 1)[: mask.shape[0], : mask.shape[1]]
        yield _fill(np.where(mask, full, 0).astype(np.int32), mask, least)


def _cut_cells(mask: BoolArray, levels: FloatArray) -> Iterator[Labels]:
    pieces, count = ndimage.label(mask, _EIGHT)
    if count > 1:
        yield pieces
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    inward = 1 - distance / distance.max()
    edges = _gradient(levels)
    edges = edges / max(1e-6, float(edges[mask].max()))
    for share in NECKS:
        centres, count = ndimage.label(distance > share * distance.max())
        if count > 1:
            yield _flood(inward, centres, mask)
            yield _flood(edges, centres, mask)
    if (halves := _halve(mask)) is not None:
        yield halves


def _flood(cost: FloatArray, centres: Labels, mask: BoolArray) -> Labels:
    """Grow centres over the mask's cells, the least cost first; what lies outside is a wall."""
    markers = np.where(mask, centres, -1).astype(np.int32)
    heights = np.clip(1000 * cost, 0, 1000).astype(np.uint16)
    grown = ndimage.watershed_ift(heights, markers)
    return np.where(mask, np.maximum(grown, 0), 0).astype(np.int32)


def _halve(mask: BoolArray) -> Labels | None:
    """Return two halves by place: the clusters of two means, from the longest axis on."""
    places = np.argwhere(mask).astype(np.float64)
    middle = places - places.mean(0)
    axis = np.linalg.eigh(middle.T @ middle)[1][:, -1]
    second = middle @ axis > 0
    for _ in range(_TURNS):
        if second.all() or not second.any():
            return None
        centres = (places[~second].mean(0), places[second].mean(0))
        away = [((places - centre) ** 2).sum(1) for centre in centres]
        second = away[1] < away[0]
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = 1 + second
    return labels


def _fill(labels: Labels, mask: BoolArray, least: float) -> Labels:
    """Give the pixels of parts that are too small, and of none, to the nearest other part."""
    sizes = np.bincount(labels.ravel())
    large = np.flatnonzero(sizes >= least)
    large = large[large > 0]
    if not len(large):
        return np.zeros_like(labels)
    numbers = np.zeros(len(sizes), np.int32)
    numbers[large] = np.arange(1, len(large) + 1)
    kept = numbers[labels]
    nearest = ndimage.distance_transform_edt(kept == 0, return_distances=False, return_indices=True)
    return np.where(mask, kept[tuple(nearest)], 0).astype(np.int32)


def _gradient(levels: FloatArray) -> FloatArray:
    """Return how steep a picture is at each cell, over its colours."""
    total = np.zeros(levels.shape[:2])
    for k in range(levels.shape[2]):
        smooth = ndimage.gaussian_filter(levels[..., k], 1.0)
        total += ndimage.sobel(smooth, 0) ** 2 + ndimage.sobel(smooth, 1) ** 2
    return np.sqrt(total)


def _reduce(plane: FloatArray, step: int) -> FloatArray:
    """Return the means of squares of step x step pixels; what lies beyond the border is 0."""
    if step == 1:
        return plane
    down, across = (-length % step for length in plane.shape)
    padded = np.pad(plane, ((0, down), (0, across)))
    rows, columns = padded.shape[0] // step, padded.shape[1] // step
    return np.asarray(padded.reshape(rows, step, columns, step).mean((1, 3)), np.float64)


def _is_alike(parts: list[BoolArray], known: list[BoolArray]) -> bool:
    if len(parts) != len(known):
        return False
    shares = ((a & b).sum() / (a | b).sum() for a, b in zip(parts, known, strict=True))
    return all(share >= _ALIKE for share in shares)


def _put_back(parts: list[BoolArray], corner: tuple[int, int], size: tuple[int, int]) -> Runs:
    """Return parts as masks of the image."""
    n = len(parts)
    masks = concat([from_dense(part) for part in parts])
    return paste(masks, [corner] * n, [size[0]] * n, [size[1]] * n)
