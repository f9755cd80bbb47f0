"""Measure what a verifier changes in what is learned from 500 reviews: are probabilities right?

    python reports/learning/verified.py --nuclei VERIFIER --coco VERIFIER [--data FOLDER]
        [--work FOLDER] [--draws 6]

The verifiers are folders of `curate train-verifier`: ``plain`` of
reports/verification/decisions.py, and ``coco_val2017_verifier`` of reports/verification/run.py. The
same audits, reviews and images with and without a verifier; only images of the half for reporting,
that of reports/verification, are measured. Writes verified.csv and its table in README.md; rows of
a set whose verifier is not given stay.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import describe
from run import (
    DATA,
    HERE,
    QUEUES,
    REVIEWS,
    Planted,
    Row,
    Study,
    coco_planted,
    halves,
    judge_held_out,
    labels_of,
    nuclei_masks,
    rows_of,
    shown_to_people,
)
from tables import shown, used

from curate.errors import CallError

from filling import fill_page, table  # isort: skip
from halves import is_reported  # isort: skip

PLANTINGS = 3
"""How often errors are planted into COCO."""

CHOSEN = (QUEUES[0], QUEUES[3])
"""Queues that are measured: by chance, and the mixed one."""


@dataclass(frozen=True)
class WithVerifier(Study):
    """A study whose audits have a verifier."""

    verifier: str = ""

    def audit(self, name: str, source: Path | dict[str, Any], **inputs: Any) -> Any:
        """Audit as ever, with the verifier."""
        return super().audit(f"{name}, verifier", source, verifier=self.verifier, **inputs)


def arms(study: Study, verifier: Path) -> Iterator[tuple[str, Study]]:
    """Yield the study without and with a verifier, each by its name."""
    yield "without", study
    yield "with", WithVerifier(study.data, study.work, study.draws, str(verifier))


def nuclei(study: Study, verifier: Path) -> Iterator[Row]:
    """Learn from 500 reviews in half of the images; look at the other half's reported images."""
    for word, arm in arms(study, verifier):
        audit, masks, truths = nuclei_masks(arm)
        bad, reported = truths["changed"], masks["file_name"].map(is_reported).to_numpy(bool)
        for seed, inside in halves(masks, study.draws):
            for queue in CHOSEN:
                people = shown_to_people(audit, masks[inside], queue, REVIEWS, seed)
                about = {"set": "nuclei", "queue": queue, "verifier": word, "draw": seed}
                try:
                    found = arm.learn(audit, labels_of(masks, bad, people), seed=seed)
                except CallError:  # fewer than five bad masks among 500 by chance
                    yield {**about, "outcome": "too few", "reviews": len(people)}
                    continue
                after = found.audit.masks(["quality_score"]).loc[masks.index]["quality_score"]
                looked_at = ~inside & reported
                before = masks["quality_score"].to_numpy()[looked_at]
                quality = after.to_numpy()[looked_at]
                yield rows_of(found, about) | describe(quality, before, bad[looked_at], seed)
        print("nuclei", word, "done", flush=True)


def coco(study: Study, verifier: Path) -> Iterator[Row]:
    """Learn from 500 reviews; look at a third of the images, all of the half for reporting."""
    for word, arm in arms(study, verifier):
        plantings = [
            replace(one, masks=_without_lists(one)) for one in coco_planted(arm, PLANTINGS)
        ]
        masks = plantings[0].masks
        names = np.unique(masks["image_id"])
        reported = np.unique(masks["image_id"][masks["file_name"].map(is_reported)])
        for seed in range(study.draws):
            here = plantings[seed % PLANTINGS]
            held = np.random.default_rng([seed, 5]).choice(reported, len(names) // 3, replace=False)
            open_to = here.masks[~here.masks["image_id"].isin(held)]
            for queue in CHOSEN:
                people = shown_to_people(here.audit, open_to, queue, REVIEWS, seed)
                found = arm.learn(here.audit, labels_of(here.masks, here.bad, people), seed=seed)
                about = {"set": "coco", "queue": queue, "verifier": word, "draw": seed}
                arrays = judge_held_out(plantings, held, found)
                yield rows_of(found, about) | describe(*arrays, seed)
        print("coco", word, "done", flush=True)


def _without_lists(planted: Planted) -> pd.DataFrame:
    return planted.masks.drop(columns=["segmentation", "stability_curve"], errors="ignore")


def verified_calibration(results: pd.DataFrame) -> str:
    """Return the calibration with and without a verifier."""
    rows = []
    for (name, queue), some in results.groupby(["set", "queue"], sort=False):
        by_arm = dict(list(some.groupby("verifier", sort=False)))
        errors = {k: one.reset_index()["calibration_error"] for k, one in by_arm.items()}
        for word in ("without", "with"):
            told = by_arm[word][by_arm[word]["calibration_error"].notna()]
            rows.append(
                [
                    f"{name}: {queue}, {word}",
                    shown(told["calibration_error"]),
                    f"{told['chance_error'].mean():.3f}",
                    shown(errors["with"] - errors["without"]) if word == "with" else "",
                    shown(told["average_precision"]),
                    f"{told['label_free_precision'].mean():.3f}",
                    used(told),
                    f"{len(told)} of {len(by_arm[word])}",
                ]
            )
    head = ["500 reviews", "calibration error", "by chance", "with minus without", "precision"]
    return table([*head, "label-free", "used", "enough"], rows)


def main() -> None:
    """Learn with and without a verifier, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--work", type=Path, help="folder for the audits")
    parser.add_argument("--nuclei", type=Path, help="verifier of the nuclei")
    parser.add_argument("--coco", type=Path, help="verifier of COCO")
    parser.add_argument("--draws", type=int, default=6, help="splits and draws")
    given = parser.parse_args()
    place = nullcontext(str(given.work)) if given.work else tempfile.TemporaryDirectory()
    path, rows = HERE / "verified.csv", []
    with place as folder:
        Path(folder).mkdir(exist_ok=True, parents=True)
        study = Study(given.data.resolve(), Path(folder), given.draws)
        if given.coco:
            rows += coco(study, given.coco.resolve())
        if given.nuclei:
            rows += nuclei(study, given.nuclei.resolve())
    results = pd.DataFrame(rows).round(4)
    if path.exists():
        earlier = pd.read_csv(path)
        results = pd.concat([earlier[~earlier["set"].isin(results["set"])], results])
    results.to_csv(path, index=False)
    fill_page(HERE / "README.md", results, [verified_calibration])


if __name__ == "__main__":
    main()
