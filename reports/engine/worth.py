"""The worth of a dataset: how well a segmenter does that was trained on it (goal 7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from arms import ENGINE, MANUAL, ONCE, ArmResult, Plan, finished_order, propose_all
from goals import Results, Row, over_seeds, timed
from measuring import mean_interval
from sets import images_of

import curate
from curate.demo_dataset import AnnotationTimes
from curate.networks.loading import load_segmenter
from curate.networks.segmenter_training.training_masks import read_training_masks
from curate.networks.segmenter_training.validation import validate

FINISHED, UNCORRECTED, BY_HAND = "the finished dataset", "the uncorrected proposals", "by hand"


def worth_rows(
    results: Results,
    plan: Plan,
    work: Path,
    training: dict[str, Any],
    most: int | None = None,
) -> list[Row]:
    """Return the IoU on the fixed validation set of segmenters trained on three datasets a seed.

    All start from the same weights. What was drawn by hand is as much as people do in the seconds
    that the engine took of them.

    Args:
        results: Finished arms.
        plan: Of the study.
        work: Where segmenters go; a finished one is not trained again.
        training: Arguments of :func:`curate.train_segmenter`.
        most: Seeds, at most; None: all.
    """
    rows: list[Row] = []
    found: dict[str, list[float]] = {}
    seeds = sorted(set(results.get(ENGINE, {})) & set(results.get(MANUAL, {})))[:most]
    for seed in seeds:
        folder = work / f"worth-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        engine, manual = results[ENGINE][seed], results[MANUAL][seed]
        sets = {
            FINISHED: [Path(one) for one in engine.about["dataset"]],
            BY_HAND: [_first_by_hand(manual, _seconds(engine), folder / "by_hand.json")],
        }
        if ONCE in results:
            sets[UNCORRECTED] = [propose_all(plan, work, engine.about["cuts"])]
        for name, datasets in sets.items():
            iou = _train_and_measure(
                plan, datasets, folder / name.replace(" ", "_"), seed, training
            )
            found.setdefault(name, []).append(iou)
            rows.append(
                {"goal": "7", "what": f"trained on {name}", "seed": str(seed), "value": iou}
            )
    for name, values in found.items():
        mean, low, high = mean_interval(values)
        about = {"goal": "7", "what": f"trained on {name}", "seed": "mean"}
        rows.append(about | {"value": mean, "low": low, "high": high})
    for other in (UNCORRECTED, BY_HAND):
        if other in found:
            gains = [mine - its for mine, its in zip(found[FINISHED], found[other], strict=True)]
            rows += over_seeds("7", f"gain of {FINISHED} over {other}", seeds, gains)
    return rows


def _seconds(result: ArmResult) -> float:
    return float(timed(result, AnnotationTimes())["seconds"].sum())


def _first_by_hand(manual: ArmResult, seconds: float, out: Path) -> Path:
    """Write the masks of the images that people finished by hand within some seconds."""
    actions = timed(manual, AnnotationTimes())
    spent = actions.groupby("file_name")["seconds"].sum()
    order = list(finished_order(actions))
    total = np.cumsum([spent[name] for name in order])
    names = set(order[: max(1, int((total <= seconds).sum()))])
    document = json.loads(Path(manual.about["dataset"][0]).read_text())
    images = [one for one in document["images"] if Path(one["file_name"]).name in names]
    ids = {one["id"] for one in images}
    masks = [one for one in document["annotations"] if one["image_id"] in ids]
    out.write_text(json.dumps(document | {"images": images, "annotations": masks}))
    return out


def _train_and_measure(
    plan: Plan, datasets: list[Path], out: Path, seed: int, training: dict[str, Any]
) -> float:
    """Return the mean IoU on the fixed validation set of a segmenter trained on datasets.

    It is kept beside the segmenter, and measured once.
    """
    note = out.with_name(f"{out.name}-iou.json")
    if note.exists():
        return float(json.loads(note.read_text()))
    made = curate.train_segmenter(
        datasets,
        out,
        start=str(plan.start),
        images=images_of(plan.sets.pool),
        seed=seed,
        device=plan.device,
        **training,
    )
    note.write_text(json.dumps(fixed_iou(plan, made.path)))
    return float(json.loads(note.read_text()))


def fixed_iou(plan: Plan, segmenter: Path) -> float:
    """Return a segmenter's mean IoU on the fixed validation set, from boxes and from points."""
    held = read_training_masks([plan.sets.fixed], [images_of(plan.sets.fixed)], None, None)
    model = load_segmenter(str(segmenter), device=plan.device)
    return validate(model, held.images, lambda image: model.embed([image.picture()])[0], 0).mean
