"""Measure the reviews that a verifier and doubts about categories save in COCO, with errors put in.

    python reports/review_savings/verified.py --verifier FOLDER [--data FOLDER] [--work FOLDER]
        [--repetitions 5]

The verifier is ``coco_val2017_verifier`` of reports/verification/run.py, trained on the masks
before any errors. The errors, levels and counts are those of run.py; only images of the half for
reporting, that of reports/verification, are counted. Writes verified.csv and its tables in
README.md. With --work, what was audited and reviewed there before is used again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from loop import People, suspicion, turns
from measuring import RANDOM, Row, Runs
from missing import MissingRuns
from pages import ratio
from run import DATA, DRAWS, HERE, ON_MASKS
from sets import Masks, coco

from curate.common.arrays import FloatArray

from filling import fill_page, table  # isort: skip
from halves import is_reported  # isort: skip

KINDS = (*ON_MASKS, "any kind")
REVIEWS = (50, 2)
"""Masks reviewed between one model and the next, and how often: a hundred."""

DEFAULT, EVERYTHING = "no verifier", "verifier and encoder"
COLUMNS = {
    f"quality_score, {DEFAULT}": "default_score",
    "quality_score, verifier": "without_encoder_score",
    f"quality_score, {EVERYTHING}": "quality_score",
    "verifier_score alone": "verifier_score",
    "category_score alone": "category_score",
}
"""By an order: the column of the audit with everything that it sorts by."""


def learned(masks: Masks, work: Path, seed: int) -> FloatArray:
    """Return the order in which people go through all images' masks, learning twice on the way."""
    file = work / f"{masks.audit.stem} learned.json"
    originals = masks.injected.originals if masks.injected else {}
    if not file.exists():
        pairs = {k: v for k, v in originals.items() if k in masks.frame.index}
        people = People(
            frozenset(masks.frame.index[masks.truth()]),
            pairs | {v: k for k, v in pairs.items()},
            np.setdiff1d(masks.all_ids, [*masks.frame.index, *pairs.values()]),
        )
        batch, rounds = REVIEWS
        order = turns(masks.audit, work / "turns", people, batch=batch, rounds=rounds, seed=seed)
        file.write_text(json.dumps(order))
    return suspicion(masks.frame, json.loads(file.read_text()), originals)


def reported(masks: Masks) -> Masks:
    """Return the masks, images and errors of the half for reporting."""
    images = masks.images[masks.images["file_name"].map(is_reported)]
    frame = masks.frame[masks.frame["file_name"].map(is_reported)]
    assert masks.injected is not None
    gone = [one for one in masks.injected.missing if one["image_id"] in images.index]
    return replace(
        masks, frame=frame, images=images, injected=replace(masks.injected, missing=gone)
    )


def measure(
    data: Path, work: Path, verifier: Path, repetitions: int, *, learn: bool
) -> Iterator[Row]:
    """Yield a row of the results an order and kind of error."""
    runs = {kind: Runs() for kind in KINDS}
    lost = MissingRuns()
    for seed in range(repetitions):
        everything = coco(
            data, work, seed, name="_seen", verifier=str(verifier), encoder="handcrafted"
        )
        here = everything.frame["file_name"].map(is_reported).to_numpy(bool)
        orders = {
            name: -everything.frame[column].to_numpy(np.float64) for name, column in COLUMNS.items()
        }
        orders[f"priority, {EVERYTHING}"] = everything.frame["priority"].to_numpy(np.float64)
        plain = coco(data, work, seed)
        assert (plain.frame.index == everything.frame.index).all()
        orders[f"priority, {DEFAULT}"] = plain.frame["priority"].to_numpy(np.float64)
        if learn:
            orders[f"100 reviews, {DEFAULT}"] = learned(plain, work, seed)
            orders[f"100 reviews, {EVERYTHING}"] = learned(everything, work, seed)
        half = reported(everything)
        for kind, each in runs.items():
            mine = {name: order[here] for name, order in orders.items()}
            each.add(half.truth(kind), mine, half.frame["image_id"], 4 * DRAWS, seed)
        lost.add(half, None, 4 * DRAWS, seed)
        print(f"{seed + 1} of {repetitions}", flush=True)
    for kind, each in runs.items():
        yield from each.rows({"kind": kind})
    yield from lost.rows({"kind": "missing"})


def verified_reviews(results: pd.DataFrame) -> str:
    """Return every order's reviews for 80% of each kind, all kinds in one list."""
    here = results[~results["order"].isin([RANDOM]) & (results["kind"] != "missing")]
    by_order = here.set_index(["order", "kind"])
    names = [
        f"priority, {DEFAULT}",
        f"priority, {EVERYTHING}",
        *COLUMNS,
        *(name for name in here["order"].unique() if name.startswith("100 reviews")),
    ]
    rows = [[name, *(ratio(by_order.loc[(name, kind)]) for kind in KINDS)] for name in names]
    return table(["80% found", *KINDS], rows)


def verified_missing(results: pd.DataFrame) -> str:
    """Return the looks that show missing masks, of the half for reporting."""
    here = results[results["kind"] == "missing"].set_index("order")
    rows = [
        [str(name), *(ratio(row, share) for share in (0.5, 0.8, 0.95))]
        for name, row in here.iterrows()
    ]
    return table(["found", "50%", "80%", "95%"], rows)


def main() -> None:
    """Audit, review, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--verifier", type=Path, required=True, help="verifier of COCO")
    parser.add_argument("--work", type=Path, help="where audits go, to be used again")
    parser.add_argument("--repetitions", type=int, default=5, help="times errors are put in")
    parser.add_argument("--no-learning", action="store_true", help="leave out the 100 reviews")
    given = parser.parse_args()
    place = nullcontext(given.work) if given.work else tempfile.TemporaryDirectory()
    with place as folder:
        work = Path(folder).resolve()
        work.mkdir(parents=True, exist_ok=True)
        verifier, learn = given.verifier.resolve(), not given.no_learning
        rows = [*measure(given.data.resolve(), work, verifier, given.repetitions, learn=learn)]
    results = pd.DataFrame(rows).round(4)
    results.to_csv(HERE / "verified.csv", index=False)
    fill_page(HERE / "README.md", results, [verified_reviews, verified_missing])


if __name__ == "__main__":
    main()
