"""Rank masks by how likely they are wrong, and compare with what people found wrong.

    python reports/nuclei_label_errors/run.py [--data FOLDER] [--draws 1000] [--study NAME ...]

Writes results.csv, the figures and the tables of README.md; takes a few minutes. Rows of studies
that are not asked for stay.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pycocotools.mask as coco_mask
from tables import fill

import curate

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from drawing import Panel, draw
from dsb2018 import judged, truths
from planted import KINDS, as_rle, plant
from ranking import Order, Row, rank, suspicions

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
SEED = 0


@dataclass(frozen=True)
class Study:
    """Where the data is, where audits go, and how many datasets are resampled."""

    data: Path
    work: Path
    draws: int

    def audit(self, name: str, source: Path | dict[str, Any], **inputs: Any) -> pd.DataFrame:
        """Audit a file, or a COCO document, as the product does, and return its masks."""
        if isinstance(source, dict):
            path = self.work / f"{name}.json"
            path.write_text(json.dumps(source))
            source = path
        return curate.audit(source, self.work / name, **inputs).masks()

    def document(self, name: str) -> dict[str, Any]:
        """Read a COCO document of the data folder."""
        return json.loads((self.data / name).read_text())


# --- nuclei --------------------------------------------------------------------------------------


def half_of_images(masks: pd.DataFrame) -> set[int]:
    """Draw half of the images: the development half; the rest is held out."""
    images = np.unique(masks["image_id"])
    drawn = np.random.default_rng(SEED).permutation(images)[: len(images) // 2]
    return set(drawn.tolist())


def nuclei(study: Study) -> list[Row]:
    """Rank the first published masks of the nuclei set, with and without its pictures."""
    source, pictures = study.data / "dsb2018/instances_original.json", study.data / "dsb2018/images"
    inputs: dict[str, dict[str, Any]] = {
        "masks alone": {},
        "masks alone, deep": {"deep": True},
        "pictures, deep": {"images": pictures, "deep": True},
    }
    rows: list[Row] = []
    for given, options in inputs.items():
        masks = judged(study.data, study.audit(f"nuclei {given}", source, **options))
        development = half_of_images(masks)
        here = masks["image_id"].isin(development).to_numpy()
        parts = {"all": np.ones(len(masks), bool), "development": here, "held out": ~here}
        for word, truth in truths(study.data, masks).items():
            for part, inside in parts.items():
                about = {"set": "nuclei", "given": given, "part": part, "truth": word}
                rows += rank(masks[inside], truth[inside], about, study.draws)
    figures(study, masks)
    document = study.document("dsb2018/instances_original.json")
    for part, inside_half in (("development", True), ("held out", False)):
        cut = {k: v for k, v in document.items() if k not in ("images", "annotations")}
        for key, name in (("images", "id"), ("annotations", "image_id")):
            cut[key] = [x for x in document[key] if (x[name] in development) == inside_half]
        alone = judged(study.data, study.audit(f"nuclei {part}", cut, images=pictures, deep=True))
        for word, truth in truths(study.data, alone).items():
            about = {"set": "nuclei", "given": "pictures, deep", "part": f"{part}, audited alone"}
            rows += rank(alone, truth, {**about, "truth": word}, study.draws)
    return rows


def figures(study: Study, masks: pd.DataFrame) -> None:
    """Draw precision against recall, and errors found against masks looked at."""
    orders = dict(suspicions(masks))
    shown = ("quality_score", "hole_score", "straight_score", "hairline_score")
    precision, reviews = [], []
    looks = np.arange(1, len(masks) + 1)
    for word, truth in truths(study.data, masks).items():
        curves, counts = {}, {}
        for name in shown:
            seen, hits = Order(truth, orders[name]).found()
            # Masks of equal score are looked at in random order: between steps, the expectation.
            hits = np.interp(looks, np.r_[0, seen], np.r_[0, hits])
            curves[name] = list(zip(hits / hits[-1], hits / looks, strict=True))
            counts[name] = list(zip(looks, hits / hits[-1], strict=True))
        curves["random"] = [(0.0, float(truth.mean())), (1.0, float(truth.mean()))]
        n = len(truth)
        counts["random"] = [(x, x / n) for x in np.geomspace(1, n, 200)]
        title = f"{word}: {truth.sum()} of {n:,} masks"
        precision.append(Panel(title, "share of them found (recall)", "precision", curves))
        reviews.append(Panel(title, "masks looked at", "share found", counts, float(n), log=True))
    draw(HERE / "precision_recall.svg", precision)
    draw(HERE / "reviews_needed.svg", reviews)


# --- other sets ----------------------------------------------------------------------------------


def neurons(study: Study) -> list[Row]:
    """Rank people's and programs' neurons; wrong are those far from any of the consensus."""
    folder, rows = study.data / "neurons", []
    people = ("Allen", "Grader3", "Grader4")
    programs = ("alg_Suite2p", "alg_SUNS", "alg_CaImAn_Batch", "alg_STNeuroNet")
    consensus = by_image(study.document("neurons/FinalGT.json"))
    for group in (people, programs):
        for who in group:
            wrong = {
                k
                for image, masks in by_image(study.document(f"neurons/{who}.json")).items()
                if image in consensus
                for k, iou in best_iou(masks, consensus[image]).items()
                if iou < 0.5
            }
            others = {name: folder / f"{name}.json" for name in group if name != who}
            for given, compare in (("masks alone", {}), ("the others' masks", others)):
                found = study.audit(
                    f"neurons {who} {given}", folder / f"{who}.json", compare=compare, deep=True
                )
                found = found[found["image_id"].isin(list(consensus))]
                truth = np.asarray(found.index.isin(list(wrong)))
                about = {"set": f"neurons, {who}", "given": given, "part": "all"}
                about["truth"] = "not in the consensus"
                rows += rank(found, truth, about, study.draws)
    return rows


def by_image(document: dict[str, Any]) -> dict[int, dict[int, Any]]:
    """Return pycocotools' RLE of every mask by image and id."""
    shapes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    result: dict[int, dict[int, Any]] = {}
    for a in document["annotations"]:
        result.setdefault(a["image_id"], {})[a["id"]] = as_rle(a, *shapes[a["image_id"]])
    return result


def best_iou(masks: dict[int, Any], others: dict[int, Any]) -> dict[int, float]:
    """Return each mask's highest IoU with any of the others."""
    ious = coco_mask.iou(list(masks.values()), list(others.values()), [0] * len(others))
    return dict(zip(masks, ious.max(axis=1).tolist(), strict=True))


def coco_inputs(study: Study) -> dict[str, dict[str, Any]]:
    """Return what the audits of COCO are given beside the masks."""
    folder = study.data / "coco_val2017"
    pictures = {"images": folder / "images", "deep": True}
    detector = {"detections": folder / "detections_yolov8n_seg_int8.json"}
    return {"pictures, deep": pictures, "pictures, deep, detections": pictures | detector}


def coco_removed(study: Study) -> list[Row]:
    """Rank COCO's own masks; wrong are the few that COCO-ReM's people removed."""
    decisions = study.document("coco_val2017/rem_decisions.json")["remove"]
    removed = [d["source_id"] for d in decisions if d["source"] == "coco"]
    rows = []
    for given, options in coco_inputs(study).items():
        source = study.data / "coco_val2017/instances.json"
        masks = study.audit(f"coco {given}", source, **options)
        masks = masks[masks["iscrowd"] != 1]
        about = {"set": "coco", "given": given, "part": "all", "truth": "removed by people"}
        rows += rank(masks, np.asarray(masks.index.isin(removed)), about, study.draws)
    return rows


def planted(study: Study, rounds: int = 3) -> list[Row]:
    """Rank good masks with errors planted, all kinds together and each among the untouched."""
    brain = {"images": study.data / "brain_tumour/valid", "deep": True}
    tumours = "brain_tumour/valid/_annotations.coco.json"
    rows = planted_in(study, tumours, "pictures, deep", brain, rounds)
    rows += planted_in(study, "neurons/FinalGT.json", "masks alone, deep", {"deep": True}, rounds)
    for given, options in coco_inputs(study).items():
        rows += planted_in(study, "coco_val2017/instances.json", given, options, rounds)
    return rows


def planted_in(
    study: Study, name: str, given: str, options: dict[str, Any], rounds: int
) -> list[Row]:
    """Plant errors in one file, a few times over, and rank the masks of all rounds together."""
    document, frames = study.document(name), []
    title = name.partition("/")[0]
    for seed in range(rounds):
        damaged, kinds, originals = plant(document, seed)
        masks = study.audit(f"{title} planted {seed} {given}", damaged, **options)
        masks = masks.assign(kind=masks.index.map(kinds))
        if "iscrowd" in masks:
            masks = masks[masks["iscrowd"].fillna(0) != 1]
        frames.append(one_of_each_pair(masks, originals))
    together = pd.concat(frames, ignore_index=True)
    bad = together["kind"].notna().to_numpy()
    about = {"set": f"{title}, planted", "given": given, "part": "all", "truth": "any kind"}
    rows = rank(together, bad, about, study.draws)
    for kind in KINDS:
        this = (together["kind"] == kind).to_numpy()
        inside = this | ~bad
        rows += rank(together[inside], this[inside], {**about, "truth": kind}, study.draws)
    return rows


def one_of_each_pair(masks: pd.DataFrame, originals: Mapping[int, int]) -> pd.DataFrame:
    """Let the more suspicious of two twins stand for both: either leads a person to the pair."""
    masks = masks.copy()
    for copy, original in originals.items():
        for column in masks.columns:
            if column.endswith("_score"):
                masks.loc[copy, column] = masks.loc[[copy, original], column].min()
        masks.loc[copy, "priority"] = masks.loc[[copy, original], "priority"].max()
    return masks.drop(index=list(originals.values()))


STUDIES: tuple[Callable[[Study], list[Row]], ...] = (nuclei, neurons, coco_removed, planted)


def together(earlier: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Return results in the place of earlier ones of the same sets."""
    first = earlier["set"].isin(results["set"]).to_numpy().argmax()
    kept = ~earlier["set"].isin(results["set"])
    return pd.concat([earlier[:first], results, earlier[first:][kept[first:]]], ignore_index=True)


def main() -> None:
    """Run the studies and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--draws", type=int, default=1000, help="datasets resampled an interval")
    names = {run.__name__: run for run in STUDIES}
    parser.add_argument("--study", action="append", choices=list(names), dest="studies")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Study(given.data.resolve(), Path(folder), given.draws)
        rows = [row for name in given.studies or names for row in names[name](study)]
    results = pd.DataFrame(rows).round(4)
    if given.studies:
        results = together(pd.read_csv(HERE / "results.csv"), results)
    results.to_csv(HERE / "results.csv", index=False)
    fill(HERE / "README.md", results)


if __name__ == "__main__":
    main()
