"""How many reviews find the wrong masks, in the product's orders and in others?

    python reports/review_savings/run.py [--data FOLDER] [--work FOLDER] [--repetitions 20]

Writes results.csv, the figure and the tables of README.md. With --work, what was audited and
reviewed there before is used again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import RANDOM, Row, Runs, label_free, signals
from missing import MissingRuns
from noise import KINDS
from objectlab import ObjectLab, available
from pages import figures, fill
from sets import DETECTIONS, Masks, coco, nuclei

from curate.common.arrays import FloatArray

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
LEVEL = "medium"
OTHER_LEVELS = ("easy", "hard")
ON_MASKS = tuple(kind for kind in KINDS if kind != "missing")
TOGETHER, ALONE = "all kinds together", "one kind at a time"
LOOP = "learn, by turns"
DRAWS = 20
"""Data sets of as many images drawn from each repetition."""

TURNS = {"coco": (40, 8), "nuclei": (200, 10)}
"""Masks that are reviewed between one model and the next, and how often."""


@dataclass(frozen=True)
class Study:
    """Where the data is, where audits go, and how often errors are put in anew."""

    data: Path
    work: Path
    repetitions: int

    def objectlab(self, masks: Masks) -> ObjectLab | None:
        """Return what ObjectLab says, where it is installed."""
        if masks.injected is None or not available():
            return None
        return ObjectLab(masks.injected.document, self.data / "coco_val2017" / DETECTIONS)

    def loop(self, masks: Masks, kind: str, seed: int) -> FloatArray:
        """Return the order in which people and the model by turns go through masks."""
        from loop import People, suspicion, turns

        name = masks.audit.stem if kind in ("any kind", "hard") else f"{masks.audit.stem} {kind}"
        file = self.work / f"{name} {seed}.json"
        originals = masks.injected.originals if masks.injected else {}
        if not file.exists():
            pairs = {k: v for k, v in originals.items() if k in masks.frame.index}
            batch, rounds = TURNS["coco" if masks.injected else "nuclei"]
            people = People(
                frozenset(masks.frame.index[masks.truth()]),
                pairs | {v: k for k, v in pairs.items()},
                np.setdiff1d(masks.all_ids, [*masks.frame.index, *pairs.values()]),
            )
            order = turns(
                masks.audit, self.work / "turns", people, batch=batch, rounds=rounds, seed=seed
            )
            file.write_text(json.dumps(order))
        return suspicion(masks.frame, json.loads(file.read_text()), originals)


def coco_orders(masks: Masks, lab: ObjectLab | None) -> dict[str, FloatArray]:
    """Return the orders of COCO's masks that need no review."""
    orders = label_free(masks.frame) | signals(masks.frame, ON_MASKS)
    return orders | (lab.suspicion(masks.frame) if lab else {})


def injected(study: Study, level: str, repetitions: int, loops: bool) -> Iterator[Row]:
    """Measure COCO with errors put in, at one level of noise."""
    together = {kind: Runs() for kind in (*ON_MASKS, "any kind")}
    alone = {kind: Runs() for kind in ON_MASKS}
    lost = MissingRuns()
    for seed in range(repetitions):
        masks = coco(study.data, study.work, seed, level)
        lab = study.objectlab(masks)
        orders = coco_orders(masks, lab)
        lost.add(masks, lab, DRAWS, seed)
        for kind, runs in alone.items():
            here = masks.alone(kind)
            inside = masks.frame.index.isin(here.frame.index)
            mine = {name: order[inside] for name, order in orders.items()}
            if loops:
                mine[LOOP] = study.loop(here, kind, seed)
            runs.add(here.truth(kind), mine, here.frame["image_id"], DRAWS, seed)
        if loops:
            orders[LOOP] = study.loop(masks, "any kind", seed)
        for kind, runs in together.items():
            runs.add(masks.truth(kind), orders, masks.frame["image_id"], DRAWS, seed)
        print(f"coco, {level}: {seed + 1} of {repetitions}", flush=True)
    about = {"set": "coco", "level": level}
    for part, found in ((TOGETHER, together), (ALONE, alone)):
        for kind, runs in found.items():
            yield from runs.rows({**about, "part": part, "kind": kind})
    yield from lost.rows({**about, "part": TOGETHER, "kind": "missing"})


def corrected(study: Study) -> Iterator[Row]:
    """Measure the nuclei, reviewed by the people who corrected them."""
    masks = nuclei(study.data, study.work)
    orders = label_free(masks.frame)
    orders["hole_score"] = -masks.frame["hole_score"].to_numpy(np.float64)
    runs = {"any kind": Runs(), "hard": Runs()}
    for seed in range(5):
        orders[LOOP] = study.loop(masks, "any kind", seed)
        for kind, each in runs.items():
            each.add(masks.truth(kind), orders, masks.frame["image_id"], 4 * DRAWS, seed)
    for kind, each in runs.items():
        yield from each.rows({"set": "nuclei", "level": "", "part": "", "kind": kind})


def curves(study: Study) -> dict[str, Mapping[str, tuple[Any, FloatArray]]]:
    """Return truths and orders for the figure: of the nuclei, and of COCO's first repetition."""
    cells = nuclei(study.data, study.work)
    first = coco(study.data, study.work, 0, LEVEL)
    panels: dict[str, Mapping[str, tuple[Any, FloatArray]]] = {}
    for title, masks in (
        ("nuclei: changed by people", cells),
        ("COCO: five kinds of errors", first),
    ):
        truth = masks.truth()
        orders = label_free(masks.frame)
        orders = {key: orders[key] for key in ("smallest first", "priority")}
        orders[LOOP] = study.loop(masks, "any kind", 0)
        orders[RANDOM] = np.zeros(len(truth))
        panels[title] = {key: (truth, order) for key, order in orders.items()}
    return panels


def main() -> None:
    """Run the study and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--work", type=Path, help="where audits go, to be used again")
    parser.add_argument("--repetitions", type=int, default=20, help="times errors are put in")
    given = parser.parse_args()
    if not available():
        print("cleanlab is not installed: ObjectLab is left out")
    place = nullcontext(given.work) if given.work else tempfile.TemporaryDirectory()
    with place as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        study = Study(given.data.resolve(), Path(folder).resolve(), given.repetitions)
        rows = [*corrected(study), *injected(study, LEVEL, given.repetitions, loops=True)]
        for level in OTHER_LEVELS:
            rows += injected(study, level, max(1, given.repetitions // 4), loops=False)
        figures(HERE / "reviews_needed.svg", curves(study))
    results = pd.DataFrame(rows).round(4)
    results.to_csv(HERE / "results.csv", index=False)
    fill(HERE / "README.md", results)


if __name__ == "__main__":
    main()
