"""Images that the engine's rule needs for an IoU, against those that chance needs (goal 5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from arms import ENGINE, RANDOM, Plan, round_folders
from goals import Results, Row
from measuring import Curve, mean_interval
from worth import fixed_iou


def choice_rows(results: Results, plan: Plan, work: Path) -> list[Row]:
    """Return the ratio of images to reach the same IoU on the fixed validation set.

    The IoU is that of the segmenter in force after each round, its images those of the rounds so
    far. The level is the highest that both reach. What is measured is kept beside the arms.

    Args:
        results: Finished arms.
        plan: Of the study.
        work: Folder of the study.
    """
    shared = sorted(set(results.get(ENGINE, {})) & set(results.get(RANDOM, {})))
    rows: list[Row] = []
    ratios = []
    for seed in shared:
        curves = [
            image_curve(plan, work / f"seed-{seed}" / arm, work / "start_iou.json")
            for arm in (ENGINE, RANDOM)
        ]
        level = min(one.iou[-1] for one in curves)
        mine, other = (one.seconds_at(level) for one in curves)
        ratios.append(mine / other if other else float("nan"))
        rows.append(_row("images, the engine's rule over chance", str(seed), ratios[-1]))
    if ratios:
        mean, low, high = mean_interval(ratios)
        about = _row("images, the engine's rule over chance", "mean", mean)
        rows.append(about | {"low": low, "high": high})
    return rows


def _row(what: str, seed: str, value: float) -> Row:
    return {"goal": "5", "what": what, "seed": seed, "value": value}


def image_curve(plan: Plan, folder: Path, start_note: Path) -> Curve:
    """Return the IoU on the fixed validation set over the images of the rounds so far."""
    images, ious = [0.0], [_noted(start_note, plan, plan.start)]
    for one in round_folders(folder / "project")[1:]:
        record: dict[str, Any] = json.loads((one / "round.json").read_text())
        kept = bool(record["result"] and record["result"]["kept"])
        iou = ious[-1]
        if kept and (one / "segmenter").is_dir():
            iou = _noted(folder / f"fixed_iou_{one.name}.json", plan, one / "segmenter")
        images.append(images[-1] + len((one / "images.txt").read_text().splitlines()))
        ious.append(iou)
    return Curve(np.array(images), np.maximum.accumulate(np.array(ious)))


def _noted(note: Path, plan: Plan, segmenter: Path) -> float:
    """Return a segmenter's IoU on the fixed validation set, measured once."""
    if not note.exists():
        note.write_text(json.dumps(fixed_iou(plan, segmenter)))
    return float(json.loads(note.read_text()))
