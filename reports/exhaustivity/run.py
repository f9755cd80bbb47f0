"""Measure what a verifier's networks find of masks that are missing, dropped or really so.

    python reports/exhaustivity/run.py [--data FOLDER] [--work FOLDER] [--set NAME ...]

It trains the networks on each dataset as it is, out of fold by image (or takes those in the work
folder), drops masks with several seeds, and writes results.csv and the tables of README.md beside
this file. Rows of sets that are not asked for stay.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import curate
from curate.common.arrays import BoolArray, FloatArray
from curate.dataset.table import MaskTable
from curate.networks.runtime.devices import Device
from curate.networks.segmenter_training.training_masks import (
    MaskedImage,
    _choose_masks,
    read_training_masks,
)
from curate.networks.training.image_split import split_into_folds
from curate.networks.verifier_training.exhaustivity_training import (
    ExhaustivitySettings,
    FittedExhaustivity,
    train_exhaustivity,
)
from curate.networks.verifiers.unmasked_objects import UnmaskedObjects
from curate.rle import as_runs, bbox, iou
from curate.scorers.detector import list_missing_detections
from curate.scorers.unmasked_objects import list_proposed, merge_entries

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "_common"))
from halves import is_reported  # noqa: E402

DATA = HERE.parents[2] / "shared" / "data"
SETS: dict[str, dict[str, Any]] = {
    "coco_val2017": {
        "masks": "coco_val2017/instances.json",
        "images": "coco_val2017/images",
        "folds": 3,
        "detections": {
            "YOLOv8n": "coco_val2017/detections_yolov8n_seg_int8.json",
            "YOLOX nano": "coco_val2017/detections_yolox_nano.json",
        },
        "additions": "coco_val2017/rem_decisions.json",
    },
    "dsb2018": {
        "masks": "dsb2018/instances_original.json",
        "images": "dsb2018/images",
        "folds": 2,
        "most_images": 100,
    },
}
"""Where each set is, and how many networks are trained on it."""

SHARE = 0.05
"""Share of the masks that is dropped at once, for the list of a whole dataset."""

SEEDS = 10
DRAWS = 500
KS = (1, 3, 5, 10)
CPU = Device("cpu", "float32")


def read_images(place: dict[str, Any], data: Path) -> list[MaskedImage]:
    """Read a set's images; of a large set some, drawn by a hash of their names."""
    found = read_training_masks([data / place["masks"]], [data / place["images"]], None, None)
    by_hash = sorted(found.images, key=lambda one: hashlib.sha256(one.file_name.encode()).digest())
    return by_hash[: place.get("most_images")]


def train(
    name: str, place: dict[str, Any], images: Sequence[MaskedImage], work: Path
) -> tuple[FittedExhaustivity, list[int]]:
    """Train the networks of a set, or take those of an earlier run; return them and the folds."""
    dealt = split_into_folds(images, place["folds"], seed=0)
    fold_of = {id(image): k for k, fold in enumerate(dealt) for image in fold}
    folds = [fold_of[id(image)] for image in images]
    began, checkpoints = time.process_time(), work / f"{name}_checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    settings = ExhaustivitySettings(None, 0, CPU, name, checkpoints, None, None)
    fitted = train_exhaustivity(images, folds, settings)
    print(name, "trained in", round(time.process_time() - began), "s of CPU", flush=True)
    print(fitted.as_record(), flush=True)
    return fitted, folds


class Finder:
    """Asks the network that was not trained on an image; of the images of one half.

    Args:
        fitted: The networks.
        folds: The fold of each image.
        half: Half of the images that is measured on, 0 or 1; the other one is for choosing.
    """

    def __init__(self, fitted: FittedExhaustivity, folds: Sequence[int], half: int) -> None:
        self.fitted, self.folds, self.half = fitted, folds, half
        self.pictures: dict[int, Any] = {}

    def takes(self, image: MaskedImage) -> bool:
        """Return whether an image is of the half that is measured on."""
        return is_reported(image.file_name) == self.half

    def find(self, images: Sequence[MaskedImage], k: int, kept: BoolArray) -> UnmaskedObjects:
        """Return what is proposed in an image with some of its masks."""
        if k not in self.pictures:
            self.pictures[k] = images[k].picture()
        network = self.fitted.fitted[self.folds[k]].network
        runs = images[k].runs[np.flatnonzero(kept)]
        return self.fitted.finder.find([network], self.pictures[k], runs, "cpu")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the middle 95% of resampled values."""
    low, high = np.nanquantile(np.array(values, float), [0.025, 0.975])
    return float(low), float(high)


def resample(count: int, measure: Callable[[FloatArray], float]) -> tuple[float, float, float]:
    """Return a measure of images, and its interval by drawing images with replacement."""
    random = np.random.default_rng(0)
    drawn = [
        measure(np.bincount(random.integers(count, size=count), minlength=count).astype(float))
        for _ in range(DRAWS)
    ]
    return (measure(np.ones(count)), *interval(drawn))


def auc(high: FloatArray, low: FloatArray, high_w: FloatArray, low_w: FloatArray) -> float:
    """Return the weighted chance that one value is above another, a tie counting half."""
    above = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    weights = high_w[:, None] * low_w
    return float((above * weights).sum() / max(weights.sum(), 1e-9))


def measure_single_drops(
    name: str, images: Sequence[MaskedImage], finder: Finder
) -> list[dict[str, Any]]:
    """Measure images with one mask dropped against whole ones, and where the mask is proposed."""
    random = np.random.default_rng(99)
    whole: list[float] = []
    rows: list[tuple[int, float, float, float]] = []
    number = 0
    for k, image in enumerate(images):
        if not finder.takes(image):
            continue
        count = len(image.runs)
        whole.append(finder.find(images, k, np.ones(count, bool)).any_probability)
        for dropped in random.permutation(count)[:3].tolist():
            kept = np.arange(count) != dropped
            found = finder.find(images, k, kept)
            truth = image.runs[np.array([dropped])]
            places = [
                first_over(iou(found.runs, truth)[:, 0] if len(found.runs) else [], least)
                for least in (0.5, 0.25)
            ]
            rows.append((number, found.any_probability, *places))
        number += 1
    table = np.array(rows)
    of = table[:, 0].astype(int)
    full = np.array(whole)
    results = [
        ("AUC of images", lambda w: auc(table[:, 1], full, w[of], w)),
        ("AUC within the image", lambda w: paired(table[:, 1], full[of], w[of])),
    ]
    for column, least in ((2, 0.5), (3, 0.25)):
        results += [
            (
                f"found in first {k} (IoU {least})",
                lambda w, c=column, k=k: float((w[of] * (table[:, c] < k)).sum() / w[of].sum()),
            )
            for k in KS
        ]
    rows_made = []
    for what, measured in results:
        value, low, high = resample(number, measured)
        rows_made.append(
            {"set": name, "study": "one mask dropped", "what": what, "by": "verifier"}
            | {"n": len(table), "value": value, "low": low, "high": high}
        )
    return rows_made


def paired(high: FloatArray, low: FloatArray, weights: FloatArray) -> float:
    """Return the weighted share of pairs in which the first is higher, a tie counting half."""
    return float((weights * ((high > low) + 0.5 * (high == low))).sum() / weights.sum())


def first_over(values: Any, least: float) -> float:
    """Return the place of the first value of at least so much; infinity for none."""
    places = np.flatnonzero(np.asarray(values) >= least)
    return float(places[0]) if len(places) else np.inf


def measure_dataset_drops(
    name: str, place: dict[str, Any], data: Path, images: Sequence[MaskedImage], finder: Finder
) -> list[dict[str, Any]]:
    """Drop one mask in twenty of the whole dataset, and go through lists of images and proposals.

    A list of images is gone through from the lowest ``exhaustive_score`` on; each is looked at as a
    whole, so that all of its dropped masks are found. A list of proposals is gone through from the
    most probable on; a dropped mask is found where its proposal has a box IoU of 0.5 or more.
    """
    chosen = [k for k, image in enumerate(images) if finder.takes(image)]
    table = curate.read(data / place["masks"])
    usable, _ = _choose_masks(table)
    rows_of = pd.Series(np.flatnonzero(usable)).groupby(table.masks["image_id"].to_numpy()[usable])
    rows = {image_id: np.array(some) for image_id, some in rows_of}
    detectors = {w: curate.read(data / path) for w, path in place.get("detections", {}).items()}
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        kept_of = {k: random.random(len(images[k].runs)) >= SHARE for k in chosen}
        lost_rows = [rows[images[k].image_id][~kept_of[k]] for k in chosen]
        left = np.setdiff1d(np.arange(len(table)), np.concatenate(lost_rows))
        lists = {w: list_seen(table[left], seen) for w, seen in detectors.items()}
        orders: dict[str, tuple[list[float], list[float], list[int]]] = {}
        lost = []
        for k in chosen:
            answer = finder.find(images, k, kept_of[k])
            truth = bbox(images[k].runs[np.flatnonzero(~kept_of[k])]).astype(float)
            lost.append(len(truth))
            own = list_proposed(answer)
            entries = {"verifier": own}
            score = {"verifier": answer.any_probability}
            for who, some in lists.items():
                both = f"{who} and verifier"
                entries[who] = some[images[k].image_id]
                entries[both] = merge_entries([{**one} for one in entries[who]], own)
                best = max((one["score"] for one in entries[who]), default=0.0)
                score[who] = best
                score[both] = 1 - (1 - best) * (1 - answer.any_probability)
            for who, some in entries.items():
                scores, sure, hits = orders.setdefault(who, ([], [], []))
                scores.append(score[who])
                some = sorted(some, key=lambda one: -one["score"])
                sure += [one["score"] for one in some]
                boxes = np.array([one["bbox"] for one in some], float).reshape(-1, 4)
                hits += new_hits(box_iou(boxes, truth))
        total = sum(lost)
        for who, (scores, sure, hits) in orders.items():
            lost_at = np.array(lost)[np.argsort(-np.array(scores), kind="stable")]
            hit_at = np.array(hits)[np.argsort(-np.array(sure), kind="stable")]
            for what, values in (("images", lost_at), ("proposals", hit_at)):
                for part, title in ((1 / 3, "third"), (1 / 2, "half"), (1.0, "whole")):
                    upto = round(part * len(values))
                    key = f"found in first {title} of {what}".replace("first whole", "all")
                    found.setdefault((key, who), []).append(values[:upto].sum() / total)
            upto = len(chosen)
            key = "found in as many proposals as there are images"
            found.setdefault((key, who), []).append(hit_at[:upto].sum() / total)
            needed = np.searchsorted(np.cumsum(lost_at), 0.8 * total) + 1
            key = "images until 80% are found, of random order's"
            found.setdefault((key, who), []).append(needed / len(lost_at) / 0.8)
    return [
        {"set": name, "study": "one mask in twenty dropped", "what": what, "by": who}
        | {"n": SEEDS, "value": float(np.mean(values))}
        | {"low": interval(values)[0], "high": interval(values)[1]}
        for (what, who), values in found.items()
        if what != "found in all of images"
    ]


def list_seen(table: MaskTable, seen: MaskTable) -> dict[int, list[Any]]:
    """Return what a detector sees in each image that no mask explains, the surest first."""
    frame = list_missing_detections(table, detections=seen, confidence=0.05)
    return {
        k: [one for one in json.loads(text or "[]") if one["counted"]]
        for k, text in frame["missing_detections_json"].fillna("[]").items()
    }


def new_hits(over: FloatArray) -> list[int]:
    """Return of each proposal, the surest first, how many objects it is the first to find.

    Args:
        over: IoU of proposals with objects, shape (n, m).
    """
    if not over.size:
        return [0] * len(over)
    first = np.where((over >= 0.5).any(0), (over >= 0.5).argmax(0), -1)
    return [int((first == k).sum()) for k in range(len(over))]


def measure_additions(
    name: str, place: dict[str, Any], data: Path, images: Sequence[MaskedImage], finder: Finder
) -> list[dict[str, Any]]:
    """Measure how many of the masks that people added to COCO are among k proposals an image."""
    said = json.loads((data / place["additions"]).read_text())["add"]
    by_image: dict[int, list[Any]] = {}
    for one in said:
        by_image.setdefault(int(one["image_id"]), []).append(one["segmentation"])
    table = curate.read(data / place["masks"])
    listed = {w: list_seen(table, curate.read(data / p)) for w, p in place["detections"].items()}
    chosen = [k for k, one in enumerate(images) if finder.takes(one) and one.image_id in by_image]
    random = np.random.default_rng(0)
    places: dict[str, list[list[float]]] = {}
    for k in chosen:
        image = images[k]
        answer = finder.find(images, k, np.ones(len(image.runs), bool))
        own = list_proposed(answer)
        shuffled = [own[i] for i in random.permutation(len(own))]
        lists = {"verifier": own, "verifier, random order": shuffled}
        for who, some in listed.items():
            lists[who] = some[image.image_id]
            lists[f"{who} and verifier"] = sorted(
                merge_entries([dict(one) for one in some[image.image_id]], own),
                key=lambda one: -one["score"],
            )
        truth = bbox(as_runs(by_image[image.image_id])).astype(float)
        for who, some in lists.items():
            boxes = np.array([one["bbox"] for one in some], float).reshape(-1, 4)
            over = box_iou(boxes, truth)
            places.setdefault(who, []).append(
                [first_over(over[:, j], 0.5) for j in range(len(truth))]
            )
    rows = []
    of = np.repeat(np.arange(len(chosen)), [len(one) for one in places["verifier"]])
    for who, found in places.items():
        flat = np.concatenate([np.array(one) for one in found])
        for k in KS:
            value, low, high = resample(
                len(chosen), lambda w, k=k, f=flat: float((w[of] * (f < k)).sum() / w[of].sum())
            )
            rows.append(
                {"set": name, "study": "masks that people added", "what": f"recall at {k}"}
                | {"by": who, "n": len(flat), "value": value, "low": low, "high": high}
            )
    return rows


def box_iou(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Return the IoU of boxes, XYWH, shape (n, m)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:])[:, None], (others[:, :2] + others[:, 2:])[None])
    both = np.maximum(0, high - low).prod(-1)
    areas = boxes[:, 2:].prod(-1)[:, None] + others[:, 2:].prod(-1)[None]
    return np.asarray(both / np.maximum(areas - both, 1e-9))


def write_tables(results: pd.DataFrame) -> None:
    """Put the tables into the README, between the comments that mark their places."""
    path = HERE / "README.md"
    text = path.read_text()
    for (name, study), some in results.groupby(["set", "study"], sort=False):
        lines = ["| what | by | n | value |", "| --- | --- | ---: | ---: |"]
        lines += [
            f"| {row['what']} | {row['by']} | {int(row['n']):,} | "
            f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] |"
            for row in some.to_dict("records")
        ]
        first, last = f"<!-- {name}: {study} -->", f"<!-- end of {name}: {study} -->"
        if first in text:
            before, _, rest = text.partition(first)
            table = "\n".join(lines)
            text = f"{before}{first}\n\n{table}\n\n{last}{rest.partition(last)[2]}"
    path.write_text(text)


def main() -> None:
    """Train, drop, measure, and write the numbers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("exhaustivity_work"))
    parser.add_argument("--set", action="append", choices=list(SETS), dest="sets")
    parser.add_argument("--choosing", action="store_true", help="the other half; print only")
    chosen = parser.parse_args()
    path = HERE / "results.csv"
    results = pd.read_csv(path) if path.exists() else pd.DataFrame({"set": []})
    for name in chosen.sets or SETS:
        place = SETS[name]
        images = read_images(place, chosen.data)
        fitted, folds = train(name, place, images, chosen.work)
        finder = Finder(fitted, folds, 0 if chosen.choosing else 1)
        rows = measure_single_drops(name, images, finder)
        rows += measure_dataset_drops(name, place, chosen.data, images, finder)
        if "additions" in place:
            rows += measure_additions(name, place, chosen.data, images, finder)
        print(pd.DataFrame(rows).to_string(), flush=True)
        if chosen.choosing:
            continue
        results = pd.concat([results[results["set"] != name], pd.DataFrame(rows)])
        results.to_csv(path, index=False, float_format="%.4f")
    if not chosen.choosing:
        write_tables(results)


if __name__ == "__main__":
    main()
