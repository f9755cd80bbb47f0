"""Measure what the category signal finds among wrong categories, alone and in the quality.

    python reports/categories/run.py [--data FOLDER] [--seeds N] [--encoder MODEL]

It swaps the category of one mask in ten of COCO val2017, and plants eleven kinds of errors of the
mask beside them, and writes results.csv and the tables of README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "_common"))

from halves import is_reported  # noqa: E402
from planted import KINDS, plant  # noqa: E402
from ranking import Order  # noqa: E402

import curate  # noqa: E402
from curate.common.arrays import BoolArray, FloatArray, IntArray  # noqa: E402
from curate.images import ImageFolder  # noqa: E402
from curate.networks.loading import load_encoder  # noqa: E402
from curate.quality import label_free  # noqa: E402
from curate.scorers import fit, score  # noqa: E402

DATA = HERE.parents[2] / "shared" / "data"
SET = "coco_val2017"
SWAPPED = 0.1
"""Share of the masks that get another category, drawn evenly among those of the set."""

EACH = 0.01
"""Share of the masks that gets each kind of error of the mask."""

DRAWS = 200
"""Resamples of images for an interval."""

ORDERS = ("category_score", "quality without", "quality with")
FIELDS = ("scenario", "planted", "order", "masks", "errors", "auc", "auc_low", "auc_high", "ap")
FIELDS = (*FIELDS, "ap_low", "ap_high", "reviews_80", "chance")


def swap(document: dict[str, Any], seed: int) -> set[int]:
    """Give a share of the masks another category; return their ids."""
    random = np.random.default_rng(seed)
    known = sorted({one["category_id"] for one in document["annotations"]})
    wrong = set()
    for one in document["annotations"]:
        if random.random() < SWAPPED and not one.get("iscrowd"):
            others = [k for k in known if k != one["category_id"]]
            one["category_id"] = int(others[random.integers(len(others))])
            wrong.add(one["id"])
    return wrong


_KEPT: dict[str, pd.DataFrame] = {}


def plain_scores(table: Any, data: Path) -> pd.DataFrame:
    """Return the scores of the untouched masks, which hardly depend on categories, once for all."""
    if SET not in _KEPT:
        images = ImageFolder(data / SET / "images")
        _KEPT[SET] = score(table, inputs={"images": images})
    return _KEPT[SET]


def judge(data: Path, work: Path, encoder: Any, seed: int, masks_too: bool) -> pd.DataFrame:
    """Return the masks of a planted dataset with their kind and three orders."""
    document = json.loads((data / SET / "instances.json").read_text())
    kinds: dict[int, str] = {}
    originals: dict[int, int] = {}
    if masks_too:
        document, kinds, originals = plant(document, seed, EACH * len(KINDS))
    wrong = swap(document, 1000 + seed) - set(kinds)
    kinds |= dict.fromkeys(wrong, "category")
    path = work / "planted.json"
    path.write_text(json.dumps(document))
    table = curate.read(path)
    images = ImageFolder(data / SET / "images")
    plain = plain_scores(table, data) if not masks_too else score(table, inputs={"images": images})
    judged = score(table, inputs={"images": images, "encoder": encoder}, only=["category"])
    features = judged[["category_features"]]
    worth = fit(pd.concat([table.masks, features], axis=1), only=["category"])["category"]
    weight = worth["held_out"]["weight"]  # type: ignore[index]
    frame = pd.concat([table.masks, plain, judged.drop(columns="category_features")], axis=1)
    frame = frame.loc[:, ~frame.columns.duplicated()]
    names = table.images["file_name"].reindex(frame["image_id"]).to_numpy(object)
    without = frame.drop(columns="category_score")
    kept = np.array([is_reported(str(name)) for name in names])
    kept &= ~frame.index.isin(list(originals.values()))
    result = pd.DataFrame(
        {
            "image": [f"{seed}:{name}" for name in names],
            "picture": names,
            "kind": [kinds.get(int(k), "") for k in frame.index],
            "category_score": frame["category_score"],
            "quality without": label_free.apply(without, label_free.fit(without)),
            "quality with": label_free.apply(
                frame, label_free.fit(frame, {"category_score": float(weight)})
            ),
            "seed": seed,
        },
        index=frame.index,
    )
    print(seed, worth["held_out"], flush=True)
    return result[kept]


def measure(frame: pd.DataFrame, scenario: str, kind: str) -> list[dict[str, Any]]:
    """Return a row an order: errors of one kind ("any" for all) against untouched masks."""
    rows = []
    chosen = frame if kind == "any" else frame[frame["kind"].isin((kind, ""))]
    wrong = (chosen["kind"] != "").to_numpy()
    seeds = chosen["seed"].to_numpy()
    pictures, of_picture = np.unique(chosen["picture"].to_numpy(str), return_inverse=True)
    random = np.random.default_rng(0)
    draws = [
        np.bincount(random.integers(len(pictures), size=len(pictures)), minlength=len(pictures))
        for _ in range(DRAWS)
    ]
    for name in ORDERS:
        doubt = -chosen[name].to_numpy(np.float64)
        value = summarise(wrong, doubt, seeds, None)
        spread = np.array([summarise(wrong, doubt, seeds, d[of_picture])[:2] for d in draws])
        low, high = np.nanpercentile(spread, (2.5, 97.5), axis=0)
        rows.append(
            {
                "scenario": scenario,
                "planted": kind,
                "order": name,
                "masks": len(chosen),
                "errors": int(wrong.sum()),
                "auc": value[0],
                "auc_low": low[0],
                "auc_high": high[0],
                "ap": value[1],
                "ap_low": low[1],
                "ap_high": high[1],
                "reviews_80": value[2],
                "chance": float(wrong.mean()),
            }
        )
    return rows


def summarise(
    wrong: BoolArray, doubt: FloatArray, seeds: IntArray, weights: IntArray | None
) -> tuple[float, float, float]:
    """Return AUC, average precision and share of the reviews by chance for 80%; means."""
    found = []
    for seed in np.unique(seeds):
        own = seeds == seed
        if not wrong[own].any():
            continue
        order = Order(wrong[own], doubt[own])
        each = np.ones(int(own.sum())) if weights is None else weights[own].astype(np.float64)
        if not (each * wrong[own]).any():
            continue
        reviews = order.reviews(0.8) / (0.8 * len(each)) if weights is None else 0.0
        found.append((auc(wrong[own], doubt[own], each), order.average_precision(each), reviews))
    mean = np.array(found).mean(0)
    return float(mean[0]), float(mean[1]), float(mean[2])


def auc(wrong: BoolArray, doubt: FloatArray, weight: FloatArray) -> float:
    """Return the weighted area under the ROC curve; masks without a score come last."""
    values = np.where(np.isnan(doubt), -np.inf, doubt)
    order = np.argsort(values, kind="stable")
    values, bad, weight = values[order], wrong[order], weight[order]
    good = np.cumsum(weight * ~bad)
    first = np.searchsorted(values, values, "left")
    last = np.searchsorted(values, values, "right") - 1
    before = np.where(first > 0, good[np.maximum(first - 1, 0)], 0.0)
    own = weight * bad
    total = own.sum() * good[-1]
    return float((own * (before + good[last]) / 2).sum() / total) if total else float("nan")


def show(rows: pd.DataFrame) -> str:
    """Return the tables of README.md."""

    def cell(row: pd.Series[Any], what: str) -> str:
        low, high = row[f"{what}_low"], row[f"{what}_high"]
        return f"{row[what]:.2f} [{low:.2f}, {high:.2f}]"

    parts = []
    for scenario, own in rows.groupby("scenario", sort=False):
        parts.append(f"### {scenario}\n")
        head = ["planted", "errors", *(f"{w}: {o}" for w in ("AUC", "AP") for o in ORDERS)]
        head += [f"reviews for 80%: {o}" for o in ORDERS]
        parts.append("| " + " | ".join(head) + " |")
        parts.append("| --- | ---: |" + " ---: |" * (len(head) - 2))
        for kind, same in own.groupby("planted", sort=False):
            by = same.set_index("order")
            cells = [str(kind), f"{int(by['errors'].iloc[0]):,}"]
            cells += [cell(by.loc[o], w) for w in ("auc", "ap") for o in ORDERS]
            cells += [f"{by.loc[o, 'reviews_80']:.2f}" for o in ORDERS]
            parts.append("| " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seeds-of-masks", type=int, default=10)
    parser.add_argument("--encoder", default="handcrafted")
    given = parser.parse_args()
    encoder = load_encoder(given.encoder)
    rows = []
    for scenario, masks_too in (("wrong categories alone", False), ("beside eleven kinds", True)):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as work:
            frames = [
                judge(given.data, Path(work), encoder, seed, masks_too)
                for seed in range(given.seeds_of_masks if masks_too else given.seeds)
            ]
        frame = pd.concat(frames)
        kinds = ["category", *(("any", *KINDS) if masks_too else ())]
        for kind in kinds:
            rows += measure(frame, scenario, kind)
        print(f"{scenario}: {time.monotonic() - began:.0f} s", flush=True)
    found = pd.DataFrame(rows)[list(FIELDS)]
    found.round(4).to_csv(HERE / "results.csv", index=False)
    text = (HERE / "README.md").read_text() if (HERE / "README.md").exists() else ""
    before, mark, after = text.partition("<!-- tables -->\n")
    after = after.partition("<!-- end of tables -->")[2]
    table = show(found)
    print(table)
    if mark:
        (HERE / "README.md").write_text(f"{before}{mark}{table}<!-- end of tables -->{after}")


if __name__ == "__main__":
    main()
