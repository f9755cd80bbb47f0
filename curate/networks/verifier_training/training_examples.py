"""Training examples of a verifier: a mask of the dataset, beside corruptions of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.common.arrays import BoolArray, Float32Array, IntArray
from curate.common.progress import Progress
from curate.networks.encoders.feature_grids import FeatureGrid
from curate.networks.encoders.grid_encoders import PictureGrids
from curate.networks.segmenter_training.training_masks import MaskedImage
from curate.networks.training.reading_ahead import READER_THREADS
from curate.networks.verifier_training.corruptions import (
    KINDS,
    OFTEN,
    UNSEEN_IN_IOU,
    CorruptedMask,
    MaskScene,
    corrupt,
)
from curate.networks.verifiers.crops import LEAST_AREA, CropJitter, MaskCrops, crop_mask, make_crops
from curate.networks.verifiers.mask_frames import ImageCover, MaskFrame
from curate.rle import area

CORRUPTED = 2
"""Corrupted masks beside each mask of the dataset."""

NEIGHBOUR_PX = 20
"""Farthest that the boxes of two masks lie apart for one to be merged into the other, in pixels."""

UNKNOWN_SHARE = 0.3
"""Share of masks that are trained on without the features of an image encoder, where there is one:
a network then judges as well without, and what the features add is measured fairly."""

WRONG_CATEGORY_SHARE = 0.06
"""Share of corruptions that only have another category."""

SHARP_IOU = 0.85
"""IoU up to which a corruption is plainly bad; from there to 1 it is so by degrees."""

_ELSEWHERE = {KINDS.index("in the wrong place") + 1, KINDS.index("not an object") + 1}
"""Kinds that leave unknown what is right at the place where the mask is."""

_SHARES = np.array([OFTEN.get(kind, 1.0) for kind in KINDS]) / (
    len(KINDS) + sum(times - 1 for times in OFTEN.values())
)
"""Chance of each kind to be drawn."""


@dataclass(frozen=True)
class VerifierObject:
    """A mask that a verifier is trained on.

    Attributes:
        picture: Of its image, RGB.
        frame: The mask with its surroundings.
        neighbour: The nearest other mask in that frame, if any is near.
        category: Its number, 0 where it is unknown.
        image: Position of its image.
        masks: All masks of that image.
        which: Its place among them.
        grids: Features of an image encoder; None without one.
    """

    picture: Image.Image
    frame: MaskFrame
    neighbour: BoolArray | None
    category: int
    image: int
    masks: ImageCover
    which: int
    grids: PictureGrids | None = None

    def grid(self) -> FeatureGrid | None:
        """Return the features of its picture; None without an encoder."""
        return None if self.grids is None else self.grids.of(np.asarray(self.picture))

    def scene(self, random: np.random.Generator) -> MaskScene:
        """Return the mask with its surroundings, for a corruption."""

        def look(left: int, top: int) -> BoolArray:
            side = round(len(self.frame.pixels) / self.frame.scale)
            window = (left, top, side, side)
            return self.masks.cut_others(self.which, window, len(self.frame.pixels))

        return MaskScene(self.frame, self.neighbour, random, look)


@dataclass(frozen=True)
class VerifierExample:
    """One mask, right or wrong, as a network is trained on it.

    Attributes:
        crops: Inputs.
        truth: The right mask in the close crop, at half its resolution.
        drawn: Whether the truth is known: it is not where a mask was put somewhere else.
        category: Number of the category that is stated.
        good: 1 for the dataset's own mask; for a wrong one by its IoU.
        iou: With the dataset's own mask.
        kind: 0 for none, else one more than its place in the kinds of error.
    """

    crops: MaskCrops
    truth: Float32Array
    drawn: bool
    category: int
    good: float
    iou: float
    kind: int


def collect_objects(
    images: Sequence[MaskedImage],
    categories: Sequence[Sequence[int]],
    progress: Progress | None = None,
) -> list[VerifierObject]:
    """Read pictures, and cut out all masks that are large enough to be trained on.

    Args:
        images: With their masks.
        categories: Number of the category of each mask of each image, 0 for unknown.
        progress: Called with progress.
    """

    def read(place: int) -> list[VerifierObject]:
        image = images[place]
        picture = Image.fromarray(image.picture())
        masks = ImageCover.of(image.runs)
        found = []
        for k in np.flatnonzero(area(image.runs) >= LEAST_AREA).tolist():
            near, cut = _nearest(masks.boxes, k), masks.cut(k)
            frame = cut.with_pixels(cut.pixels)
            if frame.pixels.any():
                other = None if near is None else masks.cut_beside(near, frame)
                own = categories[place][k]
                found.append(VerifierObject(picture, frame, other, own, place, masks, k))
        return found

    objects: list[VerifierObject] = []
    with ThreadPoolExecutor(READER_THREADS) as readers:
        for done, found in enumerate(readers.map(read, range(len(images))), 1):
            objects += found
            if progress:
                progress("cutting out masks", done, len(images), 0)
    return objects


def _nearest(boxes: IntArray, k: int) -> int | None:
    """Return which other box lies nearest to one, up to :data:`NEIGHBOUR_PX` apart."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    gaps = np.maximum(0, np.maximum(low[k] - high, low - high[k])).max(1).astype(float)
    gaps[k] = np.inf
    gaps[boxes[:, 2] == 0] = np.inf
    centres = np.abs((low + high) / 2 - (low[k] + high[k]) / 2).sum(1)
    best = int(np.lexsort((centres, gaps))[0])
    return best if gaps[best] <= NEIGHBOUR_PX else None


def draw_jitter(random: np.random.Generator) -> CropJitter:
    """Draw a change of a crop."""
    gains = 1 + random.uniform(-0.1, 0.1, 3)
    return CropJitter(
        zoom=float(np.exp(random.uniform(-0.12, 0.18))),
        right=float(random.uniform(-0.05, 0.05)),
        down=float(random.uniform(-0.05, 0.05)),
        flip=bool(random.random() < 0.5),
        turn=int(random.integers(4)) if random.random() < 0.2 else 0,
        gains=(float(gains[0]), float(gains[1]), float(gains[2])),
        gray=bool(random.random() < 0.15),
    )


def make_examples(
    item: VerifierObject, random: np.random.Generator, categories: int, *, change: bool = True
) -> list[VerifierExample]:
    """Return a mask of the dataset and :data:`CORRUPTED` corruptions of it.

    Args:
        item: The mask.
        random: Draws corruptions and changes of crops.
        categories: Categories that are known; a mask gets a wrong one only where there are two.
        change: Whether crops are changed, and features of an encoder left out at times; not where
            a network is tried.
    """
    wrong = [_corrupt_any(item, random) for _ in range(CORRUPTED)]
    seen = item.grids is not None and not (change and random.random() < UNKNOWN_SHARE)
    grid = item.grid() if seen else None
    found = []
    for made in (None, *wrong):
        frame = item.frame if made is None else made.frame
        jitter = draw_jitter(random) if change else CropJitter()
        category, good, iou, kind = item.category, 1.0, 1.0, 0
        if made is not None:
            kind, iou = made.kind + 1, made.iou
            good = 0.8 * max(0.0, (iou - SHARP_IOU) / (1 - SHARP_IOU))
            good = 0.0 if KINDS[made.kind] in UNSEEN_IN_IOU else good
            swaps = item.category and categories > 1 and random.random() < WRONG_CATEGORY_SHARE
            if swaps:
                category = 1 + (item.category + int(random.integers(categories - 1))) % categories
                frame, good, iou, kind = item.frame, 0.0, 1.0, len(KINDS) + 1
        found.append(_example(item, frame, jitter, (category, good, iou, kind), grid))
    return found


def _example(
    item: VerifierObject,
    frame: MaskFrame,
    jitter: CropJitter,
    facts: tuple[int, float, float, int],
    grid: FeatureGrid | None,
) -> VerifierExample:
    crops = make_crops(item.picture, frame, jitter, grid)
    category, good, iou, kind = facts
    drawn = kind not in _ELSEWHERE
    truth = crop_mask(item.frame, frame, jitter)
    return VerifierExample(crops, truth, drawn, category, good, iou, kind)


def _corrupt_any(item: VerifierObject, random: np.random.Generator) -> CorruptedMask:
    """Make a mask wrong in a way drawn at random; some ways cannot be done with some masks."""
    scene = item.scene(random)
    for kind in random.choice(len(KINDS), len(KINDS), replace=False, p=_SHARES).tolist():
        made = corrupt(scene, kind)
        if made is not None:
            return made
    # A mask that fills its image can hardly be made worse: a corner of it is left.
    rows, columns = np.nonzero(item.frame.pixels)
    part = item.frame.pixels.copy()
    part[rows[: len(rows) // 2], columns[: len(rows) // 2]] = False
    return CorruptedMask(item.frame.with_pixels(part), KINDS.index("part missing"), 0.5)
