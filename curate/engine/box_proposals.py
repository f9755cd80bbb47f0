"""Proposals that the segmenter draws in the boxes of a round's detector, beside those of the grid.

A grid of points misses objects that lie between its points. The detector of a round of the second
stage sees some of them, and its boxes prompt the segmenter. Over which confidence a detection is
worth it, if over any, is chosen on the validation images by what the proposals save people there,
as the cuts are (:mod:`curate.engine.proposal_cuts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.dataset.notes import count_noun
from curate.engine.coco_writing import MASK_COLUMNS, ListedImage
from curate.engine.proposal_cuts import CutWorth, count_saved, find_price
from curate.engine.redrawing import load_picture
from curate.engine.round_record import BoxesRecord, RoundRecord
from curate.images import ImageFolder
from curate.networks.loading import load_detector
from curate.networks.segmenters.prompt_recipes import PromptRecipe, PromptsInUse
from curate.networks.segmenters.recipe_answers import answer_recipe
from curate.networks.segmenters.segmenter import Prompts, Segmenter
from curate.rle import Runs, area, concat, cross_overlaps, decode_counts, encode_counts
from curate.rle.nms import suppress

if TYPE_CHECKING:
    from curate.engine.rounds import RunSettings

CONFIDENCES = tuple(round(0.05 * k, 2) for k in range(2, 20))
"""Confidences from which on detections are tried as prompts: steps that a person would write."""

MOST_BOXES = 300
"""Detections of one image that are tried at most, the surest."""

BOX = PromptRecipe("box", box=0.0)
"""How a box is prompted with unless a search has found better."""

Add = Callable[[pd.DataFrame, Sequence[ListedImage], Segmenter, float], pd.DataFrame]


@dataclass(frozen=True)
class BoxProposals:
    """Box prompts of a round.

    Attributes:
        pictures: Folder of the pictures.
        detector: Folder of the round's detector.
        record: Of the round; what came of it is noted there.
        truth: People's masks of the validation images, with
            :data:`curate.engine.coco_writing.MASK_COLUMNS`.
        validation: Ids of the validation images that people searched.
        run: Of this run.
    """

    pictures: Path
    detector: Path
    record: RoundRecord
    truth: pd.DataFrame
    validation: frozenset[int]
    run: RunSettings

    def add(
        self,
        masks: pd.DataFrame,
        images: Sequence[ListedImage],
        segmenter: Segmenter,
        nms_iou: float,
    ) -> pd.DataFrame:
        """Return proposals with those that the detector's boxes add, if these are worth it.

        Args:
            masks: Proposals of the grid, with :data:`curate.engine.coco_writing.MASK_COLUMNS`.
            images: Images of the round, and the validation images.
            segmenter: The one of the round.
            nms_iou: Masks of an IoU over it are one object.

        Raises:
            AuditError: A picture cannot be read.
        """
        recipe = find_box_recipe(self.record)
        found = self._draw(masks, images, segmenter, recipe, nms_iou)
        sizes = {one.image_id: (one.height, one.width) for one in images}
        grid, new = (
            some[some["image_id"].isin(self.validation)].reset_index(drop=True)
            for some in (masks, found)
        )
        best, own = choose_confidence(grid, new, self.truth, sizes)
        wanted = found[found["confidence"] >= best.pred_iou]
        mine = ~wanted["image_id"].isin(self.validation)
        self.record.boxes = {
            "recipe": recipe.name,
            "confidence": best.pred_iou if len(wanted) else None,
            "tried": len(found),
            "added": int(mine.sum()),
            "masks": len(self.truth),
            "saved": best.saved,
            "false": best.false,
            "own_saved": own.saved,
            "own_false": own.false,
        }
        if not len(wanted):
            return masks
        both = pd.concat([part for part in (masks, wanted[list(MASK_COLUMNS)]) if len(part)])
        place = both["image_id"].map({one.image_id: k for k, one in enumerate(images)})
        return both.iloc[np.argsort(place.to_numpy(), kind="stable")].reset_index(drop=True)

    def _draw(
        self,
        masks: pd.DataFrame,
        images: Sequence[ListedImage],
        segmenter: Segmenter,
        recipe: PromptRecipe,
        nms_iou: float,
    ) -> pd.DataFrame:
        """Return the masks drawn in detections of all images that are not proposed already."""
        detector = load_detector(str(self.detector), device=self.run.device)
        folder = ImageFolder(self.pictures).exactly([one.file_name for one in images])
        parts = [pd.DataFrame(columns=[*MASK_COLUMNS, "confidence"])]
        for done, one in enumerate(images, 1):
            own = masks.loc[masks["image_id"] == one.image_id, "segmentation"]
            picture = load_picture(folder, one.file_name)
            detected = detector.detect([picture])[0][:MOST_BOXES]
            detected = detected[detected.scores >= CONFIDENCES[0]]
            if len(detected):
                boxes = _to_corners(detected.boxes, one)
                (embedding,) = segmenter.embed([picture])
                drawn = answer_recipe(segmenter, embedding, Prompts(boxes=boxes), recipe)
                runs = drawn.drawn.runs
                usable = drawn.drawn.finite & (drawn.drawn.area > 0)
                usable &= np.isfinite(drawn.predicted_iou)
                rows = _find_new(runs, usable, detected.scores, _decode(own, one), nms_iou)
                frame = pd.DataFrame(
                    {
                        "image_id": one.image_id,
                        "segmentation": [bytes(v) for v in encode_counts(runs[rows]).to_pylist()],
                        "category": None,
                        "predicted_iou": drawn.predicted_iou[rows].astype(np.float64),
                        "stability_score": drawn.drawn.stability[rows],
                        "confidence": detected.scores[rows],
                    }
                )
                parts.append(frame)
            if self.run.progress:
                self.run.progress("box prompts", done, len(images), len(detected))
        found = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
        return found.astype({"image_id": "int64", "confidence": "float64"})


def find_box_recipe(record: RoundRecord) -> PromptRecipe:
    """Return the recipe that a detector's box is prompted with: the best one found, else the box.

    Args:
        record: Of the round.
    """
    if record.prompts is None:
        return BOX
    return PromptsInUse.from_dict(record.prompts["in_use"]).box or BOX


def choose_confidence(
    grid: pd.DataFrame, new: pd.DataFrame, truth: pd.DataFrame, sizes: dict[int, tuple[int, int]]
) -> tuple[CutWorth, CutWorth]:
    """Choose from which confidence on detections are worth prompting with.

    Args:
        grid: Proposals of the grid for the validation images, with ``image_id`` and
            ``segmentation``.
        new: What is drawn in detections, with ``confidence`` too.
        truth: People's masks of these images.
        sizes: Height and width of each image, by id.

    Returns:
        The worth with the best confidence, which its ``pred_iou`` holds (infinite: with none, which
        is taken unless another is worth more), and that of the grid's proposals alone.
    """
    alone = CutWorth(np.inf, 0.0, 0, len(grid))
    if not len(truth):
        return alone, alone
    proposals = pd.concat([part[["image_id", "segmentation"]] for part in (grid, new)])
    runs, true = (_decode_all(part, sizes) for part in (proposals, truth))
    ids, true_ids = (part["image_id"].to_numpy(np.int64) for part in (proposals, truth))
    pairs = cross_overlaps(runs, ids, true, true_ids)
    areas, true_areas = area(runs), area(true)
    union = areas[pairs.first] + true_areas[pairs.second] - pairs.intersection
    iou = pairs.intersection / union
    confidence = np.concatenate([np.full(len(grid), np.inf), new["confidence"].to_numpy(float)])
    longest = np.array([max(sizes[int(k)]) for k in true_ids], np.float64)
    price = find_price(true_areas.astype(np.float64), longest)

    def measure(least: float) -> CutWorth:
        return CutWorth(
            least, 0.0, *count_saved(confidence >= least, pairs.first, pairs.second, iou)
        )

    tried = [measure(least) for least in (np.inf, *reversed(CONFIDENCES))]
    return max(tried, key=lambda one: one.worth(price)), tried[0]  # the first of equals


def _to_corners(boxes: FloatArray, image: ListedImage) -> np.ndarray:
    """Return boxes XYWH as XYXY on the image, a pixel wide and high at least."""
    limit = np.array([image.width, image.height], np.float64)
    low = np.clip(boxes[:, :2], 0, limit - 1)
    high = np.clip(np.maximum(boxes[:, :2] + boxes[:, 2:], low + 1), 1, limit)
    return np.hstack([low, high]).astype(np.float32)


def _decode(counts: pd.Series[bytes], image: ListedImage) -> Runs:
    sides = (np.full(len(counts), side) for side in (image.height, image.width))
    return decode_counts([bytes(one) for one in counts], *sides)[0]


def _decode_all(masks: pd.DataFrame, sizes: dict[int, tuple[int, int]]) -> Runs:
    ids = masks["image_id"].tolist()
    sides = (np.array([sizes[k][side] for k in ids], np.int64) for side in (0, 1))
    return decode_counts([bytes(one) for one in masks["segmentation"]], *sides)[0]


def _find_new(
    runs: Runs, usable: BoolArray, scores: FloatArray, proposed: Runs, nms_iou: float
) -> IntArray:
    """Return rows of masks that are no object of a proposal, nor of a surer detection."""
    rows = np.flatnonzero(usable)
    both = concat([proposed, runs[rows]])
    rank = np.concatenate([np.full(len(proposed), np.inf), scores[rows]])
    by = suppress(both, np.zeros(len(both), np.int64), (rank,), nms_iou).by
    kept: IntArray = rows[by[len(proposed) :] < 0]
    return kept


def describe_boxes(record: BoxesRecord) -> str:
    """Return the box prompts of a round and what they are worth, as a sentence."""
    masks = count_noun(record["masks"], "mask")
    alone = f"{record['own_saved']:,} of {masks} of the validation images"
    if record["confidence"] is None:
        return (
            "no proposals are drawn in the detector's boxes: none that it is surer of would save "
            f"more than it costs; the grid's points save {alone}"
        )
    added = count_noun(record["added"], "proposal")
    return (
        f"{added} more, drawn in the detector's boxes from a confidence of "
        f"{record['confidence']:g} on (by {record['recipe']!r}): with them {record['saved']:,} are "
        f"saved and {record['false']:,} are of none, by the grid's points {alone}, and "
        f"{record['own_false']:,}"
    )
