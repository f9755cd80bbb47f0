"""Measure what a verifier adds where people changed or removed masks: nuclei and COCO.

    python reports/nuclei_label_errors/verified.py --nuclei VERIFIER --coco VERIFIER [--data FOLDER]

The verifiers are folders of `curate train-verifier`: ``plain`` of
reports/verification/decisions.py, and ``coco_val2017_verifier`` of reports/verification/run.py.
Both were trained on the masks that are judged here, out of fold. Writes verified.csv and its tables
in README.md; rows of a set whose verifier is not given stay.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from run import DATA, HERE, Study

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from dsb2018 import judged, truths
from filling import fill_page, table
from halves import is_reported
from ranking import Row, by_chance, describe, interval

from curate.common.arrays import BoolArray
from curate.quality import label_free

JUDGED = ("verifier_score", "verifier_iou", "verifier_kind")
ORDERS = ("quality without", "verifier_score", "quality_score")
GAIN = "quality_score minus quality without"


def with_and_without(masks: pd.DataFrame) -> pd.DataFrame:
    """Add the quality that the same audit gives where nobody names a verifier."""
    plain = masks.drop(columns=[name for name in JUDGED if name in masks])
    return masks.assign(**{"quality without": label_free.apply(plain, label_free.fit(plain))})


def compare(
    masks: pd.DataFrame, truth: BoolArray, about: Mapping[str, str], draws: int
) -> Iterator[Row]:
    """Yield average precision of the orders, and of the gain by the same resampled datasets."""
    points, drawn = {}, {}
    for order in ORDERS:
        suspicion = 1 - masks[order].fillna(1.0).to_numpy(np.float64)
        numbers, drawn[order] = describe(truth, suspicion, masks["image_id"], draws)
        points[order] = numbers["average_precision"]
        yield {**about, "order": order, **numbers}
    low, high = interval(drawn["quality_score"] - drawn["quality without"])
    gain = points["quality_score"] - points["quality without"]
    yield {**about, "order": GAIN, "average_precision": gain, "low": low, "high": high}
    yield {**about, "order": "random (expected)", "average_precision": by_chance(truth)}


def parts_of(masks: pd.DataFrame) -> dict[str, BoolArray]:
    """Return which masks are of all images, and of the half for reporting."""
    here = masks["file_name"].map(is_reported).to_numpy(bool)
    return {"all": np.ones(len(masks), bool), "half for reporting": here}


def nuclei(study: Study, verifier: Path) -> Iterator[Row]:
    """Rank the first published nuclei: changed, hard."""
    folder = study.data / "dsb2018"
    given = {"images": folder / "images", "deep": True, "verifier": str(verifier)}
    found = study.audit("nuclei", folder / "instances_original.json", **given)
    masks = judged(study.data, with_and_without(found))
    for word, truth in truths(study.data, masks).items():
        for part, inside in parts_of(masks).items():
            about = {"set": "nuclei", "part": part, "truth": word}
            yield from compare(masks[inside], truth[inside], about, study.draws)


def coco(study: Study, verifier: Path) -> Iterator[Row]:
    """Rank COCO's own masks: those that COCO-ReM's people removed, with the place of each."""
    folder = study.data / "coco_val2017"
    said = study.document("coco_val2017/rem_decisions.json")["remove"]
    removed = [one["source_id"] for one in said if one["source"] == "coco"]
    given = {"images": folder / "images", "deep": True, "verifier": str(verifier)}
    masks = with_and_without(study.audit("coco", folder / "instances.json", **given))
    masks = masks[masks["iscrowd"] != 1]
    truth = np.asarray(masks.index.isin(removed), bool)
    about = {"set": "coco", "part": "all", "truth": "removed by people"}
    yield from compare(masks, truth, about, study.draws)
    places = {order: masks[order].fillna(1.0).rank(method="average") for order in ORDERS}
    halves = parts_of(masks)["half for reporting"]
    for key in masks.index[truth]:
        half = "reporting" if halves[masks.index.get_loc(key)] else "choosing"
        for order in ORDERS:
            row = {"set": "coco", "part": half, "truth": f"rank of {key}", "order": order}
            yield {**row, "masks": len(masks), "rank": places[order][key]}


def shown(row: pd.Series[Any]) -> str:
    """Return a number with its interval."""
    value = f"{row['average_precision']:.3f}"
    return value if row["low"] != row["low"] else f"{value} [{row['low']:.2f}, {row['high']:.2f}]"


def verified_precision(results: pd.DataFrame) -> str:
    """Return the average precision of the orders with and without a verifier."""
    here = results[results["average_precision"].notna()]
    cells = []
    for (name, part, truth), some in here.groupby(["set", "part", "truth"], sort=False):
        by_order = some.set_index("order")
        first = by_order.loc[ORDERS[0]]
        counts = f"{first['errors']:,.0f} of {first['masks']:,.0f}"
        cells.append(
            [f"{name}, {part}: {truth}", counts]
            + [shown(by_order.loc[order]) for order in ("random (expected)", *ORDERS, GAIN)]
        )
    head = ["", "errors of masks", "random", "quality without", "verifier alone", "quality with"]
    return table([*head, "gain"], cells)


def verified_removals(results: pd.DataFrame) -> str:
    """Return the place of every mask that people removed from COCO."""
    here = results[results["truth"].str.startswith("rank of ")]
    cells = []
    for (truth, part), some in here.groupby(["truth", "part"], sort=False):
        ranks = some.set_index("order")["rank"]
        cells.append(
            [truth.removeprefix("rank of "), part, *(f"{ranks[order]:,.0f}" for order in ORDERS)]
        )
    head = ["annotation", "half", "quality without", "verifier alone", "quality with"]
    return table(head, cells)


def main() -> None:
    """Audit, compare, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--nuclei", type=Path, help="verifier of the nuclei")
    parser.add_argument("--coco", type=Path, help="verifier of COCO")
    parser.add_argument("--draws", type=int, default=1000, help="datasets resampled an interval")
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        study = Study(given.data.resolve(), Path(folder), given.draws)
        if given.coco:
            rows += coco(study, given.coco.resolve())
        if given.nuclei:
            rows += nuclei(study, given.nuclei.resolve())
    results = pd.DataFrame(rows).round(4)
    path = HERE / "verified.csv"
    if path.exists():
        earlier = pd.read_csv(path)
        results = pd.concat([earlier[~earlier["set"].isin(results["set"])], results])
    results.to_csv(path, index=False)
    fill_page(HERE / "README.md", results, [verified_precision, verified_removals])


if __name__ == "__main__":
    main()
