"""The mask of three that is taken: by learned quality or by predicted IoU (goal 6).

The engine proposes by predicted IoU. What its learned quality would choose is measured here: each
object of the fixed validation set is asked for by its deepest point, and the three masks that the
last segmenter answers with are scored by the quality that the engine learns from people's decisions
in its rounds, as it does for the automatic stage. The first masks of all points make up a dataset
of their own, and so do the second and the third (on copies of the pictures), as masks of one object
would count as duplicates of each other.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from arms import ENGINE, Plan
from goals import Results, Row, over_seeds
from PIL import Image
from sets import images_of

import curate
from curate import rle
from curate.common.clock import SYSTEM
from curate.engine.coco_writing import ListedImage, write_coco
from curate.engine.learned_quality import learn_from_rounds
from curate.engine.rounds import EngineRounds, RunSettings
from curate.engine.settings import read_settings
from curate.engine.training_round import check_segmenter
from curate.networks.loading import load_segmenter
from curate.networks.segmenter_training.training_masks import read_training_masks
from curate.networks.segmenters.prompting import make_prompts, pairwise_iou
from curate.networks.segmenters.segmenter import Segmenter
from curate.rle.logits import draw

MASKS_A_POINT = 3
PREDICTED, LEARNED, CLOSEST = "predicted IoU", "learned quality", "the truth"


def best_of_three_rows(results: Results, plan: Plan, work: Path) -> list[Row]:
    """Return the mean IoU of the masks that are chosen, by seed and over seeds.

    Args:
        results: Finished arms.
        plan: Of the study.
        work: Folder of the study; what is measured is kept there.
    """
    seeds = sorted(results.get(ENGINE, {}))
    found = {seed: _noted(plan, work / f"seed-{seed}", seed) for seed in seeds}
    for one in found.values():
        if one["unlearned"]:
            one[LEARNED] = float("nan")  # the engine has a label-free quality there
    rows: list[Row] = []
    for name in (PREDICTED, LEARNED, CLOSEST):
        values = [float(found[seed][name]) for seed in seeds]
        rows += over_seeds("6", f"mean IoU, best of three by {name}", seeds, values)
    gains = [float(found[seed][LEARNED] - found[seed][PREDICTED]) for seed in seeds]
    rows += over_seeds("6", "gain of learned quality over predicted IoU", seeds, gains)
    learned = [float(not found[seed]["unlearned"]) for seed in seeds]
    rows += over_seeds("6", "a quality could be learned, of runs", seeds, learned)
    return rows


def _noted(plan: Plan, folder: Path, seed: int) -> dict[str, Any]:
    """Return the mean IoU by the way of choosing, measured once."""
    note = folder / "best_of_three.json"
    if not note.exists():
        place = folder / "best-of-three"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        note.write_text(json.dumps(measure_choice(plan, folder / ENGINE / "project", place, seed)))
    found: dict[str, Any] = json.loads(note.read_text())
    return found


def measure_choice(plan: Plan, project: Path, place: Path, seed: int) -> dict[str, Any]:
    """Return the mean IoU of chosen masks with their objects, by the way of choosing.

    Args:
        plan: Of the study.
        project: An engine that is through.
        place: Where the masks and their audit go; empty.
        seed: Of the study.
    """
    rounds = EngineRounds(project, read_settings(project))
    used = rounds.in_force
    assert used is not None
    segmenter = load_segmenter(check_segmenter(used, project), device=plan.device)
    masks = ask_points(segmenter, plan.sets.fixed)
    usable = _write_candidates(masks, plan.sets.fixed, place)
    curate.audit(
        place / "proposals.json",
        place / "audit",
        format="coco",
        images=place / "images",
        trust_joins=True,
    )
    run = RunSettings(plan.device, SYSTEM)
    unlearned = learn_from_rounds(rounds, place, None, run)
    quality = curate.open_audit(place / "audit").masks(["quality_score"])["quality_score"]
    masks["quality"] = usable.map(quality)
    means: dict[str, Any] = {"unlearned": unlearned, "seed": seed}
    for name, column in ((PREDICTED, "predicted_iou"), (LEARNED, "quality"), (CLOSEST, "iou")):
        value = masks[column].where(masks["finite"]).fillna(-np.inf).to_numpy()
        best = value.reshape(-1, MASKS_A_POINT).argmax(axis=1)
        rows = np.arange(len(best)) * MASKS_A_POINT + best
        means[name] = float(masks["iou"].to_numpy()[rows].mean())
    return means


def ask_points(segmenter: Segmenter, source: Path) -> pd.DataFrame:
    """Return what a segmenter answers to the deepest point of each object.

    Args:
        segmenter: The model.
        source: COCO file of the objects.

    Returns:
        A row a mask, three a point: ``file_name``, ``candidate`` (0 to 2), ``predicted_iou``,
        ``stability_score``, ``finite``, ``area``, ``segmentation``, ``iou`` with the object.
    """
    held = read_training_masks([source], [images_of(source)], None, None)
    parts = []
    for image in held.images:
        embedding = segmenter.embed([image.picture()])[0]
        prompts = make_prompts(image.runs, embedding.frame, segmenter.low_side, ("point",))
        answer = segmenter.segment(embedding, prompts["point"], multimask=True)
        logits = answer.logits.reshape(-1, *answer.logits.shape[2:])
        drawn = draw(logits, answer.frame.taps(segmenter.low_side))
        of = np.repeat(np.arange(len(image.runs)), MASKS_A_POINT)
        columns = {
            "file_name": Path(image.file_name).name,
            "candidate": np.tile(np.arange(MASKS_A_POINT), len(image.runs)),
            "predicted_iou": answer.predicted_iou.reshape(-1).astype(np.float64),
            "stability_score": drawn.stability,
            "finite": drawn.finite,
            "area": rle.area(drawn.runs),
            "segmentation": [bytes(one) for one in rle.encode_counts(drawn.runs).to_pylist()],
            "iou": np.nan_to_num(pairwise_iou(image.runs[of], drawn.runs)),
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _write_candidates(masks: pd.DataFrame, source: Path, place: Path) -> pd.Series[int]:
    """Write the masks on copies of the pictures, one for each of the three; return their ids."""
    names = sorted(masks["file_name"].unique())
    listed, number = [], {}
    (place / "images").mkdir()
    for k in range(MASKS_A_POINT):
        for name in names:
            copy = f"{k}_{name}"
            shutil.copyfile(images_of(source) / name, place / "images" / copy)
            with Image.open(place / "images" / copy) as picture:
                size = picture.height, picture.width
            number[k, name] = len(listed) + 1
            listed.append(ListedImage(number[k, name], copy, *size))
    kept = masks[(masks["area"] > 0) & masks["finite"]]
    pairs = zip(kept["candidate"], kept["file_name"], strict=True)
    kept = kept.assign(image_id=[number[k, name] for k, name in pairs], category="nucleus")
    write_coco(place / "proposals.json", listed, kept, ("nucleus",))
    return pd.Series(np.arange(1, len(kept) + 1), kept.index).reindex(masks.index)
