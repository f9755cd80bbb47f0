"""Measure whether `--order seconds` finds planted errors in fewer seconds than the usual order.

    python reports/corrections/orders.py [--data FOLDER] [--work FOLDER] [--seeds N]

Prints the table of README.md. The seconds are those of the published times that the order itself
uses, with what was really planted: a look at each mask, and of a wrong one the drawing of the right
outline, but for a copy, which one key rejects.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "_common")]

from planted import KINDS, plant  # noqa: E402
from run import load_verification  # noqa: E402

from curate.common.arrays import FloatArray  # noqa: E402
from curate.people.queues.look_times import (  # noqa: E402
    LookTimes,
    finds_per_second,
    outline_length,
)
from curate.pipeline.inputs import Inputs  # noqa: E402
from curate.pipeline.scoring import audit  # noqa: E402

SHARES = (0.5, 0.8)
"""Shares of the planted errors that are to be found."""


def spend(study: Any, name: str, data: Path, work: Path, seed: int) -> list[dict[str, Any]]:
    """Return the share of all seconds that each order takes to find shares of the errors."""
    place = study.SETS[name]
    clean = study.read_document(place, data)
    damaged, kinds, _ = plant(clean, seed, study.EACH * len(KINDS))
    path = work / f"{name}_orders.json"
    path.write_text(json.dumps(damaged))
    inputs = Inputs(images=data / place["images"])
    done = audit(path, work / f"{name}_orders_audit", inputs=inputs, restart=True)
    masks = done.query("select * exclude (segmentation) from masks order by mask_id")
    masks = masks[masks["file_name"].map(study.is_reported)]
    times = LookTimes()
    bad = masks["mask_id"].isin(list(kinds)).to_numpy(bool)
    drawn = bad & (masks["mask_id"].map(kinds) != "duplicate").to_numpy(bool)
    right = {one["id"]: one["bbox"] for one in clean["annotations"]}
    boxes = pd.DataFrame(
        [right.get(int(i), (0, 0, 0, 0))[2:] for i in masks["mask_id"]],
        masks.index,
        ["bbox_w", "bbox_h"],
    ).assign(height=masks["height"], width=masks["width"])
    drawing = times.start_s + times.draw_s_per_px * outline_length(boxes)
    seconds = times.judge_s + np.where(drawn, drawing, 0.0)
    orders: dict[str, FloatArray] = {
        "priority": masks["priority"].to_numpy(np.float64),
        "seconds": finds_per_second(done, masks, times),
    }
    rows = []
    for order, value in orders.items():
        first = np.argsort(-value, kind="stable")
        found = np.cumsum(bad[first]) / bad.sum()
        spent = np.cumsum(seconds[first])
        for share in SHARES:
            at = int(np.argmax(found >= share))
            row = {"set": name, "order": order, "share": share, "seed": seed}
            rows.append(row | {"minutes": spent[at] / 60, "looks": at + 1})
    return rows


def main() -> None:
    """Plant, audit, add up the seconds, and print the table."""
    study = load_verification()
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=study.DATA)
    parser.add_argument("--work", type=Path, default=Path("corrections_work"))
    parser.add_argument("--seeds", type=int, default=6)
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in ("coco_val2017", "dsb2018"):
        for seed in range(chosen.seeds):
            rows += spend(study, name, chosen.data, chosen.work, seed)
            print(name, "seed", seed, file=sys.stderr, flush=True)
    frame = pd.DataFrame(rows)
    print("| set | errors found | order | minutes | looks |")
    print("| --- | ---: | --- | ---: | ---: |")
    for (name, share, order), some in frame.groupby(["set", "share", "order"], sort=False):
        minutes, looks = some["minutes"], some["looks"].mean()
        spread = f"{minutes.mean():.1f} [{minutes.min():.1f}, {minutes.max():.1f}]"
        print(f"| `{name}` | {share:.0%} | {order} | {spread} | {looks:.0f} |")


if __name__ == "__main__":
    main()
