"""Choice among the segmenter's masks of a point, by the quality that people's decisions taught.

A point can mean a part, the thing or more, and a SAM answers with a mask for each. Of these that
one is proposed which people would most likely accept, by what they decided in earlier rounds,
instead of by the segmenter's own estimate.

What people decided on and the candidates are audited as one, so that signals that are relative to
a dataset compare. A proposal and the other masks of its point lie in different copies of their
image: in one, each would be the other's duplicate. Decisions on the validation images are left out:
lines and cuts are chosen on these, and a model that knows them would make them look better there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.api.auditing import audit as make_audit
from curate.common import files
from curate.common.arrays import FloatArray
from curate.dataset.notes import count_noun
from curate.engine.candidate_masks import read_candidate_masks
from curate.engine.coco_writing import MASK_COLUMNS, ListedImage, write_coco
from curate.engine.learned_quality import describe_too_few, gather_decisions, learn_or_explain
from curate.engine.people_work import REVIEW_ALL
from curate.engine.pictures import list_images
from curate.engine.round_record import ChoiceRecord, RoundRecord, find_mask_choice
from curate.networks.generation.recipe import Recipe
from curate.people.reviews.current_plan import open_audit
from curate.pipeline.deciding import finish_deciding
from curate.rle import decode_counts
from curate.rle.nms import suppress
from curate.store.engine_folder import AUDIT, PROPOSALS

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings

CHOICE = "choice"
"""Folder of a choice that is at work; it goes when the proposals are written."""

LEARNED, PREDICTED = "learned", "predicted"
"""What chooses among the masks of a point: one of :data:`curate.common.ranges.MASK_CHOICES`."""

Choose = Callable[[Path, Path, Sequence[ListedImage], Recipe], "pd.DataFrame | None"]


@dataclass(frozen=True)
class CandidateChoice:
    """A choice by what people decided in the rounds before.

    Attributes:
        rounds: Of the engine.
        record: Of the round; what came of it is noted there.
        run: Of this run.
    """

    rounds: EngineRounds
    record: RoundRecord
    run: RunSettings

    def choose(
        self, folder: Path, generated: Path, images: Sequence[ListedImage], recipe: Recipe
    ) -> pd.DataFrame | None:
        """Choose among the masks of each proposal's point.

        Args:
            folder: Where the proposals are to be written; a run that was killed goes on in it.
            generated: The directory of the generation.
            images: The images.
            recipe: By which it was made.

        Returns:
            The proposals, with :data:`curate.engine.coco_writing.MASK_COLUMNS`; None where people
            have not decided on enough to learn from, or no model is better than none.

        Raises:
            CurateError: A file cannot be read or written.
        """
        candidates = read_candidate_masks(generated, images, recipe.min_region_px)
        quality = self._judge(folder / CHOICE, candidates, images)
        if isinstance(quality, str):
            self.record.choice = begin_choice(quality)
            return None
        masks, self.record.choice = pick_candidates(candidates, quality, images, recipe.nms_iou)
        return masks

    def _judge(
        self, place: Path, candidates: pd.DataFrame, images: Sequence[ListedImage]
    ) -> FloatArray | str:
        """Return the chance that people accept each candidate, or why it cannot be learned."""
        rounds = self.rounds
        decided, labels = gather_decisions(rounds, validation=False)
        if not len(labels):
            return "people have decided on no proposal of a round yet"
        if why := describe_too_few(labels):
            return why
        if candidates["proposal"].nunique() == len(candidates):
            return "no point drew a second mask that passes the cuts"
        files.mkdir(place, exist_ok=True)
        files.remove_temporaries(place)  # of runs that were killed
        if not (place / PROPOSALS).is_file():
            before = list_images(rounds.images, sorted(set(decided["image_id"].tolist())))
            # Ids of all images of the engine lie under the copies'.
            step = int(rounds.images["image_id"].max()) + 1
            slots = range(1, int(candidates["slot"].max()) + 2)
            copies = [
                replace(one, image_id=one.image_id + k * step) for k in slots for one in images
            ]
            moved = candidates["image_id"] + (candidates["slot"] + 1) * step
            masks = pd.concat([decided, candidates.assign(image_id=moved)[list(MASK_COLUMNS)]])
            masks = masks.assign(category=rounds.classes[0])  # people judge them, not their class
            write_coco(place / PROPOSALS, [*before, *copies], masks, rounds.classes)
        finish_deciding(place / AUDIT)
        done = make_audit(
            place / PROPOSALS,
            place / AUDIT,
            format="coco",
            images=rounds.pictures,
            policy=REVIEW_ALL,
            trust_joins=True,
            progress=self.run.progress,
        )
        found = learn_or_explain(done.path, labels, rounds, self.run)
        if isinstance(found, str):
            return found
        first = len(decided) + 1
        ids = np.arange(first, first + len(candidates))
        scores = open_audit(done.path).masks(["quality_score"])["quality_score"]
        return scores.reindex(ids).to_numpy(np.float64, na_value=np.nan)


def find_choice(rounds: EngineRounds, record: RoundRecord, run: RunSettings) -> Choose | None:
    """Return the choice among the masks of a point; None: that of predicted IoU.

    Args:
        rounds: Of the engine.
        record: Of the round.
        run: Of this run.
    """
    if find_mask_choice(record, rounds.settings) != LEARNED or not record.number:
        return None
    return CandidateChoice(rounds, record, run).choose


def pick_candidates(
    candidates: pd.DataFrame, quality: FloatArray, images: Sequence[ListedImage], nms_iou: float
) -> tuple[pd.DataFrame, ChoiceRecord]:
    """Take of each proposal's candidates the best, and of those that are one object then the best.

    Args:
        candidates: Those of :func:`curate.engine.candidate_masks.read_candidate_masks`.
        quality: Of each, shape (n,), higher is better; NaN is the worst. Of equals the segmenter's
            own choice stays.
        images: Their images.
        nms_iou: Masks of an IoU over it are one object.

    Returns:
        The proposals, in the order of the images, and what came of it.
    """
    value = np.where(np.isnan(quality), -np.inf, quality)
    slot, proposal = (candidates[name].to_numpy(np.int64) for name in ("slot", "proposal"))
    order = np.lexsort([slot, -value, proposal])
    ranked = candidates.iloc[order].assign(value=value[order])
    best = ranked.drop_duplicates("proposal")
    sizes = {one.image_id: (one.height, one.width) for one in images}
    sides = [np.array([sizes[k][side] for k in best["image_id"]], np.int64) for side in (0, 1)]
    runs = decode_counts([bytes(one) for one in best["segmentation"]], *sides)[0]
    keys = (best["value"].to_numpy(), best["predicted_iou"].to_numpy())
    by = suppress(runs, best["image_id"].to_numpy(np.int64), keys, nms_iou).by
    record: ChoiceRecord = {
        "by": LEARNED,
        "reason": "",
        "proposals": len(best),
        "changed": int((best["slot"] > 0).sum()),
        "merged": int((by >= 0).sum()),
    }
    return best[by < 0][list(MASK_COLUMNS)].reset_index(drop=True), record


def begin_choice(reason: str) -> ChoiceRecord:
    """Return the record of a round in which the segmenter's own estimate chooses.

    Args:
        reason: Why.
    """
    return {"by": PREDICTED, "reason": reason, "proposals": 0, "changed": 0, "merged": 0}


def describe_choice(record: ChoiceRecord) -> str:
    """Return by what a round's proposals were chosen among the masks of a point, as a sentence."""
    if record["by"] == PREDICTED:
        why = record["reason"]
        return f"the segmenter's predicted IoU chooses among the masks of each point: {why}"
    proposals = count_noun(record["proposals"], "proposal")
    return (
        "of the masks of each point that one is proposed which people would most likely accept, by "
        f"what they decided in the rounds before: another one than by predicted IoU for "
        f"{record['changed']:,} of {proposals}; {record['merged']:,} were then the same object as "
        "another"
    )
