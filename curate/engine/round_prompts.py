"""The step of a round that takes up the prompts that a search found best.

A search (`curate engine prompts`) prompts the segmenter from people's own masks. Proposals are
drawn by a grid of points, without any mask to prompt from; so what was found is used for them as a
second look: each proposal is prompted for from itself, by its box, its points or its mask. Whether
that is better is not taken from the search but measured anew for the segmenter of each round, on
its proposals for the validation images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curate.common.arrays import FloatArray, IntArray
from curate.common.progress import Progress
from curate.dataset.notes import count_noun
from curate.dataset.table import MaskTable
from curate.engine.proposal_cuts import LEAST_MASKS, MATCH_IOU
from curate.engine.proposal_truth import match_pairs
from curate.engine.recipe_choice import choose_recipe
from curate.engine.redrawing import load_picture
from curate.engine.round_cuts import compare_open_proposals, find_scores, find_trial_recipe
from curate.engine.round_record import CutsRecord, PromptsRecord, RoundRecord
from curate.engine.training_round import check_segmenter
from curate.engine.tried_prompts import TriedPrompts, read_last_tried
from curate.images import ImageFolder
from curate.networks.loading import load_segmenter
from curate.networks.segmenter_training.validation import bootstrap_interval
from curate.networks.segmenters.prompt_recipes import PromptRecipe, PromptsInUse
from curate.networks.segmenters.prompting import pairwise_iou
from curate.networks.segmenters.recipe_answers import redraw_masks
from curate.networks.segmenters.segmenter import Segmenter
from curate.scorers.counterparts import groups, mask_pairs

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings

RISK = 0.05
"""Chance that proposals are drawn anew though that is no better."""


def wants_prompts(rounds: EngineRounds, record: RoundRecord) -> bool:
    """Return whether the prompts of a round are yet to be taken up.

    They are not where none were searched or are to be used, there is no segmenter, or the round has
    its proposals.

    Raises:
        AuditError: The file of the last search is damaged.
    """
    if not record.number or record.segmenter is None or {"prompts", "propose"} & set(record.steps):
        return False
    return find_used_prompts(rounds, record) is not None


def find_used_prompts(rounds: EngineRounds, record: RoundRecord) -> TriedPrompts | None:
    """Return the last search of prompts, if it is to be used; else None.

    Args:
        rounds: Of the engine.
        record: Of the round that would use it.

    Raises:
        AuditError: Its file is damaged.
    """
    found = read_last_tried(rounds.project, record.segmenter)
    return found if found is not None and found.use and found.in_use is not None else None


def choose_round_prompts(
    rounds: EngineRounds, record: RoundRecord, run: RunSettings
) -> PromptsRecord | None:
    """Take up the prompts of the last search, and try whether proposals are better drawn anew.

    Args:
        rounds: Of the engine.
        record: Of the round; its cuts are chosen.
        run: Of this run.

    Raises:
        AuditError: The file of the search is damaged.
        SourceError: A picture is not as it was.
    """
    tried = find_used_prompts(rounds, record)
    if tried is None or tried.in_use is None or record.segmenter is None:
        return None
    found: PromptsRecord = {
        "file": tried.file,
        "is_own": tried.in_force,
        "in_use": tried.in_use.as_dict(),
        "redraws": False,
        "reason": "",
        "masks": 0,
        "proposed": None,
        "redrawn": None,
        "low": None,
        "high": None,
    }
    recipe = find_trial_recipe(rounds, record)
    compared = compare_open_proposals(rounds, record, recipe, run)
    if isinstance(compared, int):
        some = count_noun(compared, "mask")
        why = f"people made {some} of the validation images, and it takes {LEAST_MASKS} to try it"
        return {**found, "reason": why}
    cuts = _find_cuts(record.cuts, recipe)
    pairs = _match(compared.proposals, compared.truth, cuts)
    if not len(pairs[0]):
        why = "no proposal for the validation images is of a mask that people made"
        return {**found, "reason": why}
    segmenter = load_segmenter(check_segmenter(record.segmenter, rounds.project), device=run.device)
    trial = RedrawTrial(compared.proposals, compared.truth, *pairs)
    iou = trial.measure(
        rounds.pictures, segmenter, tried.in_use.mask, rounds.settings.seed, run.progress
    )
    return _judge(found, trial, iou, rounds.settings.seed)


def _find_cuts(cuts: CutsRecord | None, recipe: dict[str, object]) -> tuple[float, float]:
    """Return the cuts that proposals pass: those of the round, else those of the recipe."""
    if cuts is not None:
        return cuts["pred_iou"], cuts["stability"]
    return float(str(recipe["pred_iou"])), float(str(recipe["stability"]))


def _match(
    proposals: MaskTable, truth: MaskTable, cuts: tuple[float, float]
) -> tuple[IntArray, IntArray]:
    """Return rows of the proposals that pass the cuts and have a mask of people, and of that."""
    predicted, stability = (
        find_scores(proposals, one) for one in ("predicted_iou", "stability_score")
    )
    passes = (predicted > cuts[0]) & (stability >= cuts[1])
    pairs = mask_pairs(proposals, truth, groups(proposals, truth))
    use = passes[pairs.first] & (pairs.iou >= MATCH_IOU)
    found, _ = match_pairs(pairs.first[use], pairs.second[use], pairs.iou[use], len(passes))
    rows = np.flatnonzero(found >= 0)
    return rows, found[rows]


@dataclass(frozen=True)
class RedrawTrial:
    """Proposals that are drawn anew as a trial, and people's masks of the same objects.

    They are matched by the IoU of the proposals as they are, which is a small advantage of these.

    Attributes:
        proposals: A segmenter's masks.
        truth: People's masks.
        first: Rows of ``proposals``, shape (n,).
        second: Rows of ``truth``, shape (n,).
    """

    proposals: MaskTable
    truth: MaskTable
    first: IntArray
    second: IntArray

    @property
    def images(self) -> IntArray:
        """Image ids of the n proposals."""
        return self.proposals.masks["image_id"].to_numpy(np.int64)[self.first]

    def measure(
        self,
        pictures: Path,
        segmenter: Segmenter,
        recipe: PromptRecipe,
        seed: int,
        progress: Progress | None,
    ) -> FloatArray:
        """Return the IoU of each proposal with people's mask: as it is, and drawn anew.

        Args:
            pictures: Folder of the pictures.
            segmenter: The one that proposed them.
            recipe: Of the prompts.
            seed: Of places by chance.
            progress: Called with progress.

        Returns:
            Shape (n, 2).

        Raises:
            AuditError: A picture cannot be read.
        """
        runs, true = self.proposals.runs[self.first], self.truth.runs[self.second]
        names = self.proposals.images["file_name"]
        folder = ImageFolder(pictures).exactly(names.tolist())
        iou, images = np.zeros((len(runs), 2)), self.images
        iou[:, 0] = pairwise_iou(runs, true)
        listed = np.unique(images)
        for done, image_id in enumerate(listed.tolist(), 1):
            rows = np.flatnonzero(images == image_id)
            picture = load_picture(folder, str(names.loc[image_id]))
            (embedding,) = segmenter.embed([picture])
            drawn = redraw_masks(segmenter, embedding, runs[rows], recipe, seed=seed)[0]
            iou[rows, 1] = pairwise_iou(drawn, true[rows])
            if progress:
                progress("prompts", done, len(listed), len(rows))
        return iou


def _judge(record: PromptsRecord, trial: RedrawTrial, iou: FloatArray, seed: int) -> PromptsRecord:
    """Return a record with what a trial came to: whether drawing anew is better, beyond chance."""
    owner = np.unique(trial.images, return_inverse=True)[1]
    columns = [np.asarray(np.bincount(owner, column), np.float64) for column in iou.T]
    sums: FloatArray = np.column_stack(columns)
    gains: FloatArray = columns[1] - columns[0]
    low, high = bootstrap_interval(gains, np.asarray(np.bincount(owner), np.float64))
    redraws = choose_recipe(sums, risk=RISK, seed=seed) == 1
    proposed, redrawn = (round(float(value), 6) for value in iou.mean(axis=0))
    return {
        **record,
        "redraws": redraws,
        "reason": "" if redraws else "that is not better beyond chance",
        "masks": len(iou),
        "proposed": proposed,
        "redrawn": redrawn,
        "low": low,
        "high": high,
    }


def find_redraw(record: RoundRecord) -> PromptRecipe | None:
    """Return the recipe that a round's proposals are drawn anew by; None: they stay as they are."""
    found = record.prompts
    if found is None or not found["redraws"]:
        return None
    return PromptsInUse.from_dict(found["in_use"]).mask


def describe_round_prompts(record: PromptsRecord) -> str:
    """Return the uses that a round has for the prompts that were found best, as a sentence."""
    in_use = PromptsInUse.from_dict(record["in_use"])
    by = f"prompts by {record['file']}{'' if record['is_own'] else ', with an earlier segmenter'}"
    found = f"{by}: a mask is redrawn by {in_use.mask.name!r}, a click by {in_use.click.name!r}"
    if record["proposed"] is None or record["redrawn"] is None:
        return f"{found}; proposals stay as points of a grid draw them: {record['reason']}"
    some = count_noun(record["masks"], "proposal")
    tried = (
        f"(mean IoU with people's masks {record['redrawn']:.3f}, as proposed "
        f"{record['proposed']:.3f}, on {some} for the validation images)"
    )
    if record["redraws"]:
        return f"{found}; proposals are drawn anew from themselves by it too {tried}"
    return (
        f"{found}; proposals stay as points of a grid draw them: to draw them anew from themselves "
        f"by it is not better beyond chance {tried}"
    )


def describe_use(tried: TriedPrompts, records: Sequence[RoundRecord]) -> tuple[str, ...]:
    """Return sentences on what the last search of prompts is used for.

    Args:
        tried: What it found.
        records: Of all rounds, in order.
    """
    if tried.in_use is None:
        return ("nothing is prompted by it: search again with `curate engine prompts`",)
    if not tried.use:
        return ("nothing is prompted by it, as was asked for: prompts are the usual ones",)
    used = [one for one in records if one.prompts is not None and one.prompts["file"] == tried.file]
    if not used or used[-1].prompts is None:
        click = f"a click is prompted by {tried.in_use.click.name!r}"
        mask = f"a mask is redrawn by {tried.in_use.mask.name!r}"
        again = "and so are proposals, if that is better on the validation images"
        return (f"from the next round on {click}, {mask}, {again}",)
    return (f"round {used[-1].number}: {describe_round_prompts(used[-1].prompts)}",)
