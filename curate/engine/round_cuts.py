"""The step of a round that chooses the cuts of its proposals, on the validation images.

The proposals of a segmenter with the cuts open are made once, and kept in the project's ``cuts/``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import orjson

from curate.common import files
from curate.common.arrays import FloatArray
from curate.dataset.notes import count_noun
from curate.dataset.table import MaskTable
from curate.engine.coco_writing import ListedImage, write_coco
from curate.engine.gathered_masks import gather_masks
from curate.engine.missed_objects import list_validation_masks
from curate.engine.pictures import refuse_changed
from curate.engine.proposal_cuts import (
    LEAST_MASKS,
    OPEN,
    OpenProposals,
    choose_cuts,
    find_price,
    list_cuts,
)
from curate.engine.proposing import GENERATED
from curate.engine.round_record import CutsRecord, RoundRecord, find_set_cuts
from curate.engine.settings import CUTS
from curate.engine.stage_two import list_searched_validation
from curate.formats.reading import read
from curate.scorers.counterparts import groups, mask_pairs
from curate.store import engine_folder
from curate.store.engine_folder import MISSED, PROPOSALS

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds, RunSettings

TRUTH = "truth.json"
"""People's masks of the validation images, beside the proposals that are matched with them; those
with objects that a round found to have been missed are in a file with its number."""


def wants_cuts(rounds: EngineRounds, record: RoundRecord) -> bool:
    """Return whether the cuts of a round are yet to be chosen.

    They are not where there is no segmenter, the user set both, or the round has its proposals; nor
    for the validation images, which nobody has annotated then.
    """
    if record.stage not in (1, 2, 3) or record.segmenter is None:
        return False
    is_open = not {"cuts", "propose"} & set(record.steps)
    return is_open and not set(CUTS) <= set(find_set_cuts(record, rounds.settings))


def choose_round_cuts(rounds: EngineRounds, record: RoundRecord, run: RunSettings) -> CutsRecord:
    """Choose the cuts of a round on the validation images that people searched.

    Args:
        rounds: Of the engine.
        record: Of the round.
        run: Of this run.

    Raises:
        SourceError: A picture is not as it was.
    """
    recipe, fixed = recipe_of(record), find_set_cuts(record, rounds.settings)
    values = {name: cast("float", recipe[name]) for name in fixed}
    tried = _with_values(find_trial_recipe(rounds, record), values)
    found = compare_open_proposals(rounds, record, tried, run)
    if isinstance(found, int):
        return _keep_own(recipe, found)
    path = found.path.relative_to(rounds.project).as_posix()
    return _choose(recipe, fixed, (found.proposals, found.truth), path)


@dataclass(frozen=True)
class ComparedProposals:
    """Proposals for the validation images with the cuts open, and people's masks of these.

    Attributes:
        path: The file of the proposals.
        proposals: A segmenter's.
        truth: People's masks.
    """

    path: Path
    proposals: MaskTable
    truth: MaskTable


def compare_open_proposals(
    rounds: EngineRounds, record: RoundRecord, recipe: dict[str, object], run: RunSettings
) -> ComparedProposals | int:
    """Return the proposals of a round's segmenter for the validation images that people searched.

    Args:
        rounds: Of the engine.
        record: Of the round; it has a segmenter.
        recipe: By which the proposals are made, with those cuts open that the user did not set.
        run: Of this run.

    Returns:
        The proposals, made where they are not there yet; the number of people's masks where it is
        under :data:`curate.engine.proposal_cuts.LEAST_MASKS`.

    Raises:
        SourceError: A picture is not as it was.
    """
    listed = list_searched_validation(rounds)
    paths = list_validation_masks(rounds.project)
    truth = gather_masks(paths, rounds.images)
    truth = truth[truth["image_id"].isin([one.image_id for one in listed])]
    if len(truth) < LEAST_MASKS:
        return len(truth)
    folder = _make_open_proposals(rounds, listed, record, recipe, run)
    known = folder / _name_truth(paths)
    if not known.is_file():
        write_coco(known, listed, truth.reset_index(drop=True), rounds.classes)
    path = folder / PROPOSALS
    return ComparedProposals(path, read(path, "coco"), read(known, "coco"))


def _name_truth(paths: list[Path]) -> str:
    """Return the name of the file of people's masks: with the round that last asked about some."""
    last = paths[-1].parent
    return f"truth-{last.name}.json" if last.parent.name == MISSED else TRUTH


def recipe_of(record: RoundRecord) -> dict[str, object]:
    """Return the recipe of a round's proposals, as it was set."""
    return cast("dict[str, object]", record.settings["recipe"])


def find_trial_recipe(rounds: EngineRounds, record: RoundRecord) -> dict[str, object]:
    """Return the recipe by which masks are proposed for the validation images as a trial: that of
    the round, but of the automatic stage that of the rounds before, which is cheaper."""
    return recipe_of(record) if record.stage in (1, 2) else rounds.settings.recipe


def with_cuts(recipe: dict[str, object], cuts: CutsRecord | None) -> dict[str, object]:
    """Return a recipe with the cuts of a round; None: its own."""
    if cuts is None:
        return recipe
    return _with_values(recipe, {"pred_iou": cuts["pred_iou"], "stability": cuts["stability"]})


def _with_values(recipe: dict[str, object], cuts: dict[str, float]) -> dict[str, object]:
    """Return a recipe with other cuts, which keeps the candidates that pass them."""
    keep = {
        f"keep_{name}": min(value, cast("float", recipe.get(f"keep_{name}", value)))
        for name, value in cuts.items()
    }
    return recipe | cuts | keep


def _own(recipe: dict[str, object]) -> tuple[float, float]:
    """Return the recipe's own cuts."""
    pred_iou, stability = (float(cast("float", recipe[name])) for name in CUTS)
    return pred_iou, stability


def _keep_own(recipe: dict[str, object], masks: int) -> CutsRecord:
    """Return that the recipe's own cuts stay: there are too few masks to choose others on."""
    pred_iou, stability = _own(recipe)
    some = count_noun(masks, "mask")
    return {
        "pred_iou": pred_iou,
        "stability": stability,
        "reason": f"people made {some} of the validation images, and it takes {LEAST_MASKS}",
        "masks": masks,
        "saved": None,
        "false": None,
        "own_saved": None,
        "own_false": None,
        "price": None,
        "proposals": None,
    }


def _make_open_proposals(
    rounds: EngineRounds,
    listed: list[ListedImage],
    record: RoundRecord,
    recipe: dict[str, object],
    run: RunSettings,
) -> Path:
    """Return the folder of the proposals with the cuts open; made where they are not there yet.

    It is named by all that they depend on, so that none is ever written over.
    """
    used = record.segmenter
    assert used is not None  # else nothing is proposed
    fixed = find_set_cuts(record, rounds.settings)
    free = {name: OPEN[name] for name in CUTS if name not in fixed}
    recipe = _with_values(recipe, free)
    key = [used["fingerprint"], recipe, [one.image_id for one in listed]]
    digest = hashlib.sha256(orjson.dumps(key, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    folder = rounds.project / engine_folder.CUTS / digest
    files.mkdir(folder, parents=True, exist_ok=True)
    files.remove_temporaries(folder)  # of runs that were killed
    if not (folder / PROPOSALS).is_file():
        rows = rounds.images["image_id"].isin([one.image_id for one in listed])
        refuse_changed(rounds.pictures, rounds.images[rows], "of the validation set")
        rounds.propose(folder, listed, record, run, first_id=1, recipe=recipe)
    if (folder / GENERATED).exists():
        files.remove_tree(folder / GENERATED, quiet=True)
    return folder


def _choose(
    recipe: dict[str, object],
    fixed: tuple[str, ...],
    compared: tuple[MaskTable, MaskTable],
    path: str,
) -> CutsRecord:
    """Choose the cuts that are not fixed by proposals and people's masks of the same images."""
    proposals, truth = compared
    pairs = mask_pairs(proposals, truth, groups(proposals, truth))
    predicted, stability = (
        find_scores(proposals, one) for one in ("predicted_iou", "stability_score")
    )
    found = OpenProposals(predicted, stability, pairs.first, pairs.second, pairs.iou)
    own = _own(recipe)
    sizes = truth.masks[["height", "width"]].to_numpy(np.float64).max(axis=1)
    price = find_price(truth.masks["area_px"].to_numpy(np.float64), sizes)
    tried = (
        list_cuts(name, value, is_set=name in fixed) for name, value in zip(CUTS, own, strict=True)
    )
    best, before = choose_cuts(found, price, *tried), found.measure(*own)
    return {
        "pred_iou": best.pred_iou,
        "stability": best.stability,
        "reason": "",
        "masks": len(truth),
        "saved": best.saved,
        "false": best.false,
        "own_saved": before.saved,
        "own_false": before.false,
        "price": round(price, 4),
        "proposals": path,
    }


def find_scores(proposals: MaskTable, name: str) -> FloatArray:
    """Return a score of all proposals.

    Args:
        proposals: The n proposals.
        name: Its column.

    Returns:
        Shape (n,); NaN where there is none.
    """
    if name not in proposals.masks:
        return np.full(len(proposals), np.nan)
    return np.asarray(proposals.masks[name], np.float64)


def describe_cuts(cuts: CutsRecord) -> str:
    """Return the cuts of a round's proposals, and what they come to, as a clause."""
    values = f"predicted IoU over {cuts['pred_iou']:g}, stability from {cuts['stability']:g}"
    if cuts["reason"]:
        return f"proposals are cut as the recipe has it ({values}): {cuts['reason']}"
    return (
        f"proposals are cut as is worth most on the validation images ({values}): there they save "
        f"{cuts['saved']:,} of {count_noun(cuts['masks'], 'mask')}, and {cuts['false']:,} are of "
        f"none; by the recipe's own cuts {cuts['own_saved']:,} and {cuts['own_false']:,}"
    )
