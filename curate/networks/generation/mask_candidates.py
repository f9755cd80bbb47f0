"""Mask candidates of an image: a segmenter's answers to a grid of points on each of its crops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from math import ceil

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import rle
from curate.common.arrays import ByteArray, FloatArray, IntArray
from curate.networks.generation.recipe import Recipe
from curate.networks.runtime.devices import AdaptiveBatches
from curate.networks.segmenters.segmenter import Answer, Embedding, Prompts, Segmenter
from curate.rle.logits import ThresholdedMasks, draw

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("crop_layer", pa.int8()),
        *((f"crop_{side}", pa.int32()) for side in "xywh"),
        *((f"point_{side}", pa.float64()) for side in "xy"),
        ("mask", pa.int16()),
        ("predicted_iou", pa.float32()),
        ("drawn", pa.bool_()),
        ("finite", pa.bool_()),
        ("stability_score", pa.float64()),
        ("area_px", pa.int64()),
        *((f"bbox_{side}", pa.int32()) for side in "xywh"),
        ("segmentation", pa.large_binary()),
    ]
)
"""Columns of candidates.

``mask`` numbers the masks of one point; ``drawn`` is false where the predicted IoU alone ruled a
candidate out, and then all that follows is empty; ``finite`` is whether all its logits are;
``stability_score`` is NaN where nothing is over the lower cut; ``segmentation`` is COCO's
compressed counts as drawn, null where predicted IoU or stability are not over what is kept."""

ID_SHIFT = 20
"""A candidate's id is its image's, shifted by this, and its row."""


@dataclass(frozen=True)
class Crop:
    """A crop of an image that is segmented by itself.

    Attributes:
        x: Left pixel.
        y: Top pixel.
        width: In pixels.
        height: In pixels.
        layer: 0 for the whole image, 1 for a quarter and so on.
    """

    x: int
    y: int
    width: int
    height: int
    layer: int

    @property
    def rows(self) -> slice:
        """Rows of the image."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the image."""
        return slice(self.x, self.x + self.width)


def make_crops(height: int, width: int, recipe: Recipe) -> list[Crop]:
    """Return the crops of an image, the whole one first, as SAM's generator cuts them.

    Layer i has 2**i crops along each side. Crops that an image of a few pixels has no room for, or
    that are one and the same, are left out.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        recipe: Says how many layers there are, and how far their crops overlap.
    """
    found = [Crop(0, 0, width, height, 0)]
    for layer in range(1, recipe.crop_layers + 1):
        n = 2**layer
        overlap = int(recipe.crop_overlap * min(height, width) * (2 / n))
        columns, rows = _split_side(width, n, overlap), _split_side(height, n, overlap)
        for (x, w), (y, h) in product(columns, rows):
            found.append(Crop(x, y, w, h, layer))
    boxes: dict[tuple[int, int, int, int], Crop] = {}
    for crop in found:
        boxes.setdefault((crop.x, crop.y, crop.width, crop.height), crop)
    return list(boxes.values())


def _split_side(length: int, n: int, overlap: int) -> list[tuple[int, int]]:
    """Return start and length of the crops along one side."""
    piece = ceil((overlap * (n - 1) + length) / n)
    starts = [(piece - overlap) * i for i in range(n)]
    return [(start, min(piece, length - start)) for start in starts if start < length]


def make_points(crop: Crop, recipe: Recipe) -> FloatArray:
    """Return the grid of points on a crop: shape (n, 2), x then y, in pixels of the crop.

    The grid spreads over both sides alike, whatever their proportions; a side of fewer pixels than
    points has a point a pixel.
    """
    n = recipe.points_of_layer(crop.layer)
    x, y = (_space_evenly(length, min(n, length)) for length in (crop.width, crop.height))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _space_evenly(length: int, n: int) -> FloatArray:
    return np.linspace(1 / (2 * n), 1 - 1 / (2 * n), n) * length


@dataclass
class ImageTimings:
    """Seconds spent on one image.

    Attributes:
        network_s: In the network: embedding crops and answering prompts.
        rest_s: In all that follows it.
        read_s: Opening and decoding the picture.
    """

    network_s: float = 0.0
    rest_s: float = 0.0
    read_s: float = 0.0
    _begun: float = field(default_factory=time.perf_counter)

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        now = time.perf_counter()
        spent, self._begun = now - self._begun, now
        return spent


@dataclass
class PromptRun:
    """A segmenter, the recipe of prompts, and batch sizes.

    Attributes:
        segmenter: The network.
        recipe: Says where to ask and what to keep.
        crops: How many crops are embedded together.
        points: How many points are answered together.
    """

    segmenter: Segmenter
    recipe: Recipe
    crops: AdaptiveBatches
    points: AdaptiveBatches


def propose(image: ByteArray, image_id: int, asking: PromptRun, clock: ImageTimings) -> pa.Table:
    """Generate all candidates of an image.

    Args:
        image: Shape (height, width, 3), RGB.
        image_id: Its number; becomes part of the candidates' ids.
        asking: The segmenter, and what it is asked.
        clock: Takes the times.

    Returns:
        A table of :data:`SCHEMA`, crop by crop, point by point, mask by mask. Memory is bounded by
        the kept run lengths of one image and the logits of one batch of points.

    Raises:
        CallError: Even a single crop or point does not fit into the device's memory.
    """
    size = image.shape[0], image.shape[1]
    parts: list[pa.Table] = []
    clock.lap()
    for crop, embedding in _embed_crops(image, asking, clock):
        points = make_points(crop, asking.recipe)

        def answer(
            some: FloatArray, crop: Crop = crop, embedding: Embedding = embedding
        ) -> pa.Table:
            prompts = Prompts(
                points=some[:, None, :].astype(np.float32), labels=np.ones((len(some), 1), np.int8)
            )
            answered = asking.segmenter.segment(embedding, prompts, multimask=True)
            clock.network_s += clock.lap()
            table = _to_table(answered, some, crop, size, asking.recipe)
            clock.rest_s += clock.lap()
            return table

        parts += asking.points.run(answer, points)
    table = pa.concat_tables(parts).combine_chunks()
    ids = (np.int64(image_id) << ID_SHIFT) + np.arange(len(table))
    table = table.add_column(0, "id", pa.array(ids))
    clock.rest_s += clock.lap()
    return table


def _embed_crops(
    image: ByteArray, asking: PromptRun, clock: ImageTimings
) -> Iterator[tuple[Crop, Embedding]]:
    crops = iter(make_crops(image.shape[0], image.shape[1], asking.recipe))
    while some := list(islice(crops, asking.crops.size)):
        pictures = [np.ascontiguousarray(image[crop.rows, crop.columns]) for crop in some]
        embedded = asking.crops.run(asking.segmenter.embed, pictures)
        clock.network_s += clock.lap()
        yield from zip(some, (e for batch in embedded for e in batch), strict=True)


def _to_table(
    answer: Answer, points: FloatArray, crop: Crop, size: tuple[int, int], recipe: Recipe
) -> pa.Table:
    """Return the candidates of one batch of points, without ids."""
    masks_a_point = answer.logits.shape[1]
    predicted = np.asarray(answer.predicted_iou, np.float32).reshape(-1)
    rows = np.flatnonzero(predicted.astype(np.float64) > recipe.keep_pred_iou)
    logits = answer.logits.reshape(-1, *answer.logits.shape[2:])
    drawn = draw(
        logits[rows],
        answer.frame.taps(logits.shape[-1]),
        threshold=recipe.mask_threshold,
        offset=recipe.stability_offset,
        origin=(crop.x, crop.y),
        size=size,
    )
    n = len(predicted)
    shared = (crop.layer, crop.x, crop.y, crop.width, crop.height)
    spread = np.repeat(np.add(points, (crop.x, crop.y)), masks_a_point, axis=0)
    columns = [
        *(np.full(n, value) for value in shared),
        *(spread[:, 0], spread[:, 1]),
        np.tile(np.arange(masks_a_point), len(points)),
        predicted,
        *_measure(drawn, rows, n),
        _encode_kept(drawn, rows, n, recipe),
    ]
    fields = list(SCHEMA)[1:]
    arrays = [
        c if isinstance(c, pa.Array) else pa.array(c, f.type)
        for c, f in zip(columns, fields, strict=True)
    ]
    return pa.table(arrays, pa.schema(fields))


def _measure(drawn: ThresholdedMasks, rows: IntArray, n: int) -> list[npt.NDArray[np.generic]]:
    """Return drawn, finite, stability, area and box of all candidates."""
    made, finite = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    stability, areas, boxes = np.full(n, np.nan), np.zeros(n, np.int64), np.zeros((n, 4), np.int64)
    made[rows], finite[rows], stability[rows] = True, drawn.finite, drawn.stability
    areas[rows], boxes[rows] = rle.measure(drawn.runs)
    return [made, finite, stability, areas, *boxes.T]


def _encode_kept(drawn: ThresholdedMasks, rows: IntArray, n: int, recipe: Recipe) -> pa.Array:
    """Return the run lengths of all candidates, null where they are not kept."""
    keep = (drawn.area > 0) & (drawn.stability >= recipe.keep_stability)
    places = np.full(n, -1, np.int64)
    places[rows[keep]] = np.arange(keep.sum())
    return rle.encode_counts(drawn.runs[keep]).take(pa.array(places, mask=places < 0))
