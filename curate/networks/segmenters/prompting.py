"""Prompts made from masks, and the masks that a segmenter draws for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from curate.common.arrays import Float32Array, FloatArray, Int32Array
from curate.networks.segmenters.segmenter import Embedding, Frame, Prompts, Segmenter
from curate.rle import Runs, area, bbox, cross_overlaps, to_dense
from curate.rle.logits import ThresholdedMasks, concat_drawn, draw
from curate.rle.runs import kernel

PROMPT_KINDS = ("box", "wide", "tight", "point", "points", "mask")
"""How a mask is asked for: by its box; by a box a tenth wider, or narrower, on every side; by its
deepest point; by three points inside it; by itself, with its deepest point."""

POINTS_PER_PROMPT = 3
"""Points inside a mask, deepest first."""

MASK_LOGIT = 10.0
"""Logit of a pixel in a mask prompt, negative outside, as SAM 2 feeds masks back."""

_BOX_MARGIN = 0.1
_BATCH = 64
"""Masks asked for together: their low-res logits are what memory holds."""


@dataclass(frozen=True)
class PromptedMasks:
    """A segmenter's masks for n masks of one image, by one kind of prompt.

    Attributes:
        drawn: The masks and counts at full resolution, on the image.
        predicted_iou: Shape (n,): the model's own estimate.
    """

    drawn: ThresholdedMasks
    predicted_iou: Float32Array


def prompt_masks(
    segmenter: Segmenter,
    embedding: Embedding,
    runs: Runs,
    *,
    ways: tuple[str, ...] = PROMPT_KINDS,
    choose: Literal["closest", "predicted"] = "closest",
) -> dict[str, PromptedMasks]:
    """Prompt a segmenter from each of an image's masks, in several ways.

    A point alone may mean a part, the thing or more (SAM answers with three masks): the answer with
    the highest IoU with the prompting mask is taken, or the one that the model itself thinks best.

    Args:
        segmenter: The model.
        embedding: Of the image.
        runs: n masks of that image, each with a pixel at least.
        ways: Kinds of :data:`PROMPT_KINDS`.
        choose: Of three masks the "closest" to the prompting one, or that of the highest
            "predicted" IoU, which is chosen without knowing the mask.

    Returns:
        Masks by kind, in that order.
    """
    parts: dict[str, list[PromptedMasks]] = {way: [] for way in ways}
    for start in range(0, len(runs), _BATCH):
        some = runs[start : start + _BATCH]
        asked = make_prompts(some, embedding.frame, segmenter.low_side, ways)
        for way in ways:
            parts[way].append(_segment_kind(segmenter, embedding, some, asked[way], way, choose))
    return {
        way: PromptedMasks(
            concat_drawn([part.drawn for part in found]),
            np.concatenate([np.zeros(0, np.float32), *(part.predicted_iou for part in found)]),
        )
        for way, found in parts.items()
    }


def _segment_kind(
    segmenter: Segmenter,
    embedding: Embedding,
    runs: Runs,
    prompts: Prompts,
    way: str,
    choose: str,
) -> PromptedMasks:
    answer = segmenter.segment(embedding, prompts, multimask=way == "point")
    taps = answer.frame.taps(segmenter.low_side)
    n, masks = answer.predicted_iou.shape
    drawn = draw(answer.logits.reshape(n * masks, *answer.logits.shape[2:]), taps)
    best = np.arange(n) * masks
    if choose == "predicted":
        best += answer.predicted_iou.argmax(axis=1)
    elif masks > 1:
        closeness = pairwise_iou(runs[np.repeat(np.arange(n), masks)], drawn.runs)
        best += closeness.reshape(n, masks).argmax(axis=1)
    chosen = ThresholdedMasks(
        drawn.runs[best], drawn.area[best], drawn.over[best], drawn.under[best], drawn.finite[best]
    )
    return PromptedMasks(chosen, answer.predicted_iou.reshape(-1)[best])


def pairwise_iou(runs: Runs, others: Runs) -> FloatArray:
    """Return the IoU of mask k with mask k of another batch; shape (n,), NaN if both are empty."""
    rows = np.arange(len(runs))
    shared = np.zeros(len(runs))
    pairs = cross_overlaps(runs, rows, others, rows)
    shared[pairs.first] = pairs.intersection
    union = area(runs) + area(others) - shared
    iou: FloatArray = np.divide(shared, union, out=np.full(len(runs), np.nan), where=union > 0)
    return iou


def make_prompts(
    runs: Runs, frame: Frame, low_side: int, ways: tuple[str, ...] = PROMPT_KINDS
) -> dict[str, Prompts]:
    """Make prompts from masks of one image.

    Args:
        runs: n masks, each with a pixel at least.
        frame: How the image lies in the segmenter's input.
        low_side: Height and width of the segmenter's low-res logits.
        ways: Words of :data:`PROMPT_KINDS`.
    """
    boxes = bbox(runs).astype(np.float64)
    corners = np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    points = np.stack([sample_inside(runs, k, POINTS_PER_PROMPT) for k in range(len(runs))])
    labels = np.ones(points.shape[:2], np.int8)
    labels[:, 1:][(points[:, 1:] == points[:, :1]).all(axis=2)] = -1  # the mask has no more room
    one, certain = points[:, :1], labels[:, :1]
    made: dict[str, Prompts] = {}
    for way in ways:
        if way in ("box", "wide", "tight"):
            shake = {"box": 0.0, "wide": _BOX_MARGIN, "tight": -_BOX_MARGIN}[way]
            made[way] = Prompts(boxes=_grow_boxes(corners, shake, frame))
        elif way == "point":
            made[way] = Prompts(one, certain)
        elif way == "points":
            made[way] = Prompts(points, labels)
        else:
            masks = np.stack([low_res_logits(runs, k, frame, low_side) for k in range(len(runs))])
            made[way] = Prompts(one, certain, masks=masks)
    return made


def _grow_boxes(corners: FloatArray, share: float, frame: Frame) -> Float32Array:
    """Move each side of XYXY boxes outwards by a share of the box, within the image."""
    grow = (corners[:, 2:] - corners[:, :2]) * share
    limit = np.array([frame.width, frame.height])
    low = np.clip(corners[:, :2] - grow, 0, limit)
    high = np.clip(corners[:, 2:] + grow, 0, limit)
    return np.hstack([low, high]).astype(np.float32)


def sample_inside(runs: Runs, row: int, count: int) -> Float32Array:
    """Return points inside a mask, the deepest first, then others apart from those before.

    Deep is far from every pixel outside, the image's border counted as outside. A later point is
    as deep and as far from the earlier ones (half of it) as can be had; where the mask has no pixel
    left, the first is repeated.

    Args:
        runs: Masks.
        row: Which of them; it has a pixel at least.
        count: How many points.

    Returns:
        Shape (count, 2): pixels, x then y.
    """
    x, y, w, h = (int(v) for v in bbox(runs[row : row + 1])[0])
    pixels = np.pad(to_dense(runs, row, (x, y, w, h)), 1)
    depth = ndimage.distance_transform_edt(pixels)
    columns, rows = np.meshgrid(np.arange(w + 2), np.arange(h + 2))
    found: list[tuple[int, int]] = []
    room = depth.astype(np.float64)
    for _ in range(count):
        at = int(room.argmax())
        spot = (at % (w + 2), at // (w + 2)) if room.flat[at] > 0 else found[0]
        found.append(spot)
        room = np.minimum(room, np.hypot(columns - spot[0], rows - spot[1]) / 2)
    return np.array(found, np.float32) + np.array([x - 1, y - 1], np.float32)


def low_res_logits(runs: Runs, row: int, frame: Frame, low_side: int) -> Float32Array:
    """Return a mask as low-res logits, as a prompt takes them.

    Args:
        runs: Masks.
        row: Which of them.
        frame: How the image lies in the segmenter's input.
        low_side: Height and width of the logits.

    Returns:
        Shape (low_side, low_side): :data:`MASK_LOGIT` where the mask covers a cell whole, its
        negative where it does not touch it, in between by the share it covers.
    """
    mask = runs[row : row + 1]
    height, width = int(mask.heights[0]), int(mask.widths[0])
    scale = low_side / frame.side
    rows = _cell_edges(height, scale * frame.resized_height / frame.height, low_side)
    columns = _cell_edges(width, scale * frame.resized_width / frame.width, low_side)
    covered = np.zeros((low_side, low_side))
    _add_covered(mask.starts, mask.ends, rows, columns, covered)
    logits: Float32Array = (2 * MASK_LOGIT * np.clip(covered.T, 0, 1)).astype(np.float32)
    logits -= np.float32(MASK_LOGIT)
    return np.ascontiguousarray(logits)


def _cell_edges(length: int, scale: float, cells: int) -> FloatArray:
    """Return where the edges of ``length`` pixels lie among cells; shape (length + 1,)."""
    edges: FloatArray = np.clip(np.arange(length + 1) * scale, 0, cells)
    return edges


@kernel
def _add_covered(
    starts: Int32Array,
    ends: Int32Array,
    rows: FloatArray,
    columns: FloatArray,
    covered: FloatArray,
) -> None:
    """Add each run's share of each cell to ``covered``, which holds a column of cells in a row."""
    height = len(rows) - 1
    for k in range(len(starts)):
        at = int(starts[k])
        while at < ends[k]:
            x, y = at // height, at % height
            stop = min(int(ends[k]) - at + y, height)
            top, bottom = rows[y], rows[stop]
            for column in range(int(columns[x]), int(np.ceil(columns[x + 1]))):
                wide = min(columns[x + 1], column + 1) - max(columns[x], column)
                for cell in range(int(top), int(np.ceil(bottom))):
                    covered[column, cell] += wide * (min(bottom, cell + 1) - max(top, cell))
            at += stop - y
