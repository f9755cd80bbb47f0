"""Measure what people's decisions add to a verifier, and a verifier to what is learned from them.

    python reports/verification/decisions.py [--data FOLDER] [--work FOLDER]

The nuclei as first published, with what people later changed as the truth. People have decided on
half of the images (every changed mask, and as many again of the others as make a thousand); all
numbers are of the other half. Writes decisions.csv and its table in README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from run import DATA, HERE, is_reported  # puts the folder of shared helpers on the path

import curate
from curate.common.arrays import BoolArray
from curate.quality.model_in_force import LABEL_FREE

from dsb2018 import judged, truths  # isort: skip
from filling import fill_page, table  # isort: skip
from ranking import describe  # isort: skip

TRAINING: dict[str, Any] = {"folds": 2, "rounds": 6, "device": "cpu"}

DECIDED = 1000
"""Masks that people decided on."""

DRAWS = 1000
"""Resamples of images for an interval."""


def decide(audit: Any, changed: BoolArray, masks: pd.DataFrame, file: Path) -> None:
    """Let people reject the changed masks of half of the images, and accept others by chance."""
    here = ~masks["file_name"].map(is_reported).to_numpy()
    bad = masks.index[here & changed]
    others = masks.index[here & ~changed].to_numpy()
    fine = np.random.default_rng(0).permutation(others)[: DECIDED - len(bad)]
    rows = pd.DataFrame({"mask_id": [*bad, *fine]})
    rows["action"] = ["reject"] * len(bad) + ["accept"] * len(fine)
    rows.to_csv(file, index=False)
    curate.import_decisions(file, audit, reviewer="truth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    arguments = parser.parse_args()
    data, work = arguments.data, arguments.work
    work.mkdir(parents=True, exist_ok=True)
    source, images = data / "dsb2018/instances_original.json", data / "dsb2018/images"

    def audit(name: str, verifier: Path | None) -> Any:
        path = work / f"{name}.audit"
        if (path / "report.html").is_file():
            return curate.open_audit(path)
        given = None if verifier is None else str(verifier)
        made = curate.audit(
            source,
            path,
            images=images,
            verifier=given,
            device="cpu",
            restart=not (path / "audit.json").is_file(),
        )
        masks = judged(data, made.masks(["file_name"]))
        decide(made, truths(data, masks)["changed"], masks, work / f"{name}.csv")
        return curate.open_audit(path)

    plain = curate.train_verifier(source, work / "plain", images=images, **TRAINING)
    print(plain.text(), flush=True)
    without = audit("without", None)
    tuned = curate.train_verifier(without, work / "tuned", images=images, **TRAINING)
    print(tuned.text(), flush=True)
    rows: list[dict[str, Any]] = []
    for name, made in (
        ("none", without),
        ("trained without decisions", audit("plain", plain.path)),
        ("tuned on decisions", audit("tuned", tuned.path)),
    ):
        without_labels = made.masks()  # before learning, which changes the audit in its place
        if LABEL_FREE in without_labels:  # an earlier run has learned in it
            without_labels["quality_score"] = without_labels[LABEL_FREE]
        learned = curate.learn(made)
        for order, frame in (
            ("`verifier_score`", without_labels),
            ("`quality_score`", without_labels),
            ("`quality_score`, learned", curate.open_audit(learned.audit.path).masks()),
        ):
            column = order.split("`")[1]
            if column not in frame:
                continue
            masks = judged(data, frame)
            masks = masks[masks["file_name"].map(is_reported)]
            score = masks[column].fillna(1.0).to_numpy(np.float64)
            for truth, wrong in truths(data, masks).items():
                numbers, _ = describe(wrong, 1 - score, masks["file_name"], DRAWS)
                rows.append({"verifier": name, "order": order, "truth": truth, **numbers})
                print(rows[-1], flush=True)
    results = pd.DataFrame(rows)
    results.to_csv(HERE / "decisions.csv", index=False, float_format="%.4f")
    record = tuned.record["decisions"]
    print(record)
    fill_page(HERE / "README.md", results, [decisions])


def decisions(results: pd.DataFrame) -> str:
    """Return the table of average precisions."""
    cells = []
    for (order, verifier), rows in results.groupby(["order", "verifier"], sort=False):
        by_truth = rows.set_index("truth")
        found = [
            f"{one['average_precision']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
            for _, one in by_truth.loc[["changed", "hard"]].iterrows()
        ]
        cells.append([str(order), str(verifier), *found])
    return table(["order", "verifier", "changed", "hard"], cells)


if __name__ == "__main__":
    main()
