"""Measure what a verifier finds among errors planted into real datasets, alone and in the quality.

    python reports/verification/run.py [--data FOLDER] [--work FOLDER] [--set NAME ...]

It trains a verifier on each dataset as it is (or takes the one in the work folder), plants eleven
kinds of errors with several seeds, and writes results.csv and the tables of README.md beside this
file. Rows of sets that are not asked for stay.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "_common"))

from halves import is_reported  # noqa: E402
from planted import KINDS, as_rle, plant  # noqa: E402
from pycocotools import mask as coco_mask  # noqa: E402
from ranking import Order, interval  # noqa: E402

import curate  # noqa: E402
from curate.common.arrays import BoolArray, FloatArray  # noqa: E402
from curate.images import ImageFolder  # noqa: E402
from curate.networks.verifiers.verifier import load_verifier  # noqa: E402
from curate.quality import label_free  # noqa: E402
from curate.scorers import score  # noqa: E402

DATA = HERE.parents[2] / "shared" / "data"
SETS: dict[str, dict[str, Any]] = {
    "coco_val2017": {
        "masks": "coco_val2017/instances.json",
        "images": "coco_val2017/images",
        "training": {},
        "seeds": 20,
    },
    "dsb2018": {
        "masks": "dsb2018/instances_original.json",
        "images": "dsb2018/images",
        "training": {"folds": 2, "rounds": 10},
        "seeds": 5,
        "most_images": 100,
    },
    "brain_tumour": {
        "masks": "brain_tumour/valid/_annotations.coco.json",
        "images": "brain_tumour/valid",
        "training": {"folds": 2, "rounds": 10},
        "seeds": 20,
    },
}
"""Where each set is, how its verifier is trained where that is not the default, and seeds."""

SIX = ("shifted", "elsewhere", "too wide", "too tight", "five corners", "half")
"""The kinds that mask geometry hardly finds."""

EACH = 0.01
"""Share of the masks that gets each kind."""

DRAWS = 200
"""Resamples of images for an interval."""

ORDERS = ("quality without", "verifier_score", "quality with")
GAIN = "quality with minus without"


def read_document(place: dict[str, Any], data: Path) -> dict[str, Any]:
    """Read a set's annotations; of a large set some images, drawn by a hash of their names."""
    found: dict[str, Any] = json.loads((data / place["masks"]).read_text())
    most = place.get("most_images")
    if most:
        by_hash = sorted(
            found["images"], key=lambda one: hashlib.sha256(one["file_name"].encode()).digest()
        )
        found["images"] = by_hash[:most]
        kept = {one["id"] for one in found["images"]}
        found["annotations"] = [one for one in found["annotations"] if one["image_id"] in kept]
    return found


def train(name: str, place: dict[str, Any], data: Path, work: Path) -> Path:
    """Train the verifier of a set, or take the one that is there; return its folder."""
    document = work / f"{name}.json"
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(json.dumps(read_document(place, data)))
    done = curate.train_verifier(
        document, work / f"{name}_verifier", images=data / place["images"], **place["training"]
    )
    print(done.text(), flush=True)
    return done.path


def judge(
    name: str, place: dict[str, Any], data: Path, work: Path, verifier: Any, seed: int
) -> pd.DataFrame:
    """Return the masks of a planted dataset with their kind, true IoU and three orders."""
    clean = read_document(place, data)
    damaged, kinds, originals = plant(clean, seed, EACH * len(KINDS))
    path = work / f"{name}_planted.json"
    path.write_text(json.dumps(damaged))
    table = curate.read(path)
    inputs = {"images": ImageFolder(data / place["images"]), "verifier": verifier}
    plain = score(table, inputs={"images": inputs["images"]})
    began = time.process_time()
    judged = score(table, inputs=inputs, only=["verifier"])
    cost = 1000 * (time.process_time() - began) / max(1, len(table))
    frame = pd.concat([table.masks, plain, judged], axis=1)
    frame = frame.loc[:, ~frame.columns.duplicated()]
    own = ["verifier_score", "verifier_iou", "verifier_kind"]
    without = frame.drop(columns=own)
    found = frame[["image_id", "file_name", *own]].copy()
    found["quality without"] = label_free.apply(without, label_free.fit(without))
    reference = label_free.fit(frame, {"verifier_score": verifier.worth.weight})
    found["quality with"] = label_free.apply(frame, reference)
    found["kind"] = pd.Series(kinds)
    found["iou"] = true_ious(clean, damaged, {i for i in kinds if i not in originals})
    crowds = {a["id"] for a in clean["annotations"] if a.get("iscrowd")}
    twins = set(originals.values()) - set(kinds)  # neither right nor wrong: drawn twice
    found = found[~found.index.isin(crowds | twins) & found["verifier_score"].notna()]
    return found.assign(seed=seed, cpu_ms=cost)


def true_ious(clean: dict[str, Any], damaged: dict[str, Any], ids: set[int]) -> pd.Series[Any]:
    """Return the IoU of damaged masks with what they were."""
    sizes = {one["id"]: (one["height"], one["width"]) for one in clean["images"]}
    before = {one["id"]: one for one in clean["annotations"]}
    found = {}
    for one in damaged["annotations"]:
        if one["id"] in ids:
            size = sizes[one["image_id"]]
            pair = (as_rle(one, *size), as_rle(before[one["id"]], *size))
            found[one["id"]] = float(coco_mask.iou([pair[0]], [pair[1]], [0])[0, 0])
    return pd.Series(found, dtype=float)


def area_under_curve(bad: BoolArray, suspicion: FloatArray, weights: FloatArray) -> float:
    """Return the weighted chance that an error is more suspect than a good mask."""
    steps = Order(bad, suspicion)
    seen, hits = steps.found(weights)
    fine = seen - hits
    if not (hits[-1] > 0 and fine[-1] > 0):
        return float("nan")
    risen, before = np.diff(fine, prepend=0.0), np.concatenate([[0.0], hits[:-1]])
    return float((risen * (before + hits) / 2).sum() / (hits[-1] * fine[-1]))


def measure(judged: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    """Return AUC and average precision of every order for every kind, with intervals by image."""
    images, of_mask = np.unique(judged["file_name"].to_numpy(str), return_inverse=True)
    random = np.random.default_rng(0)
    drawn = [np.ones(len(images))]
    drawn += [
        np.bincount(random.integers(len(images), size=len(images)), minlength=len(images)) * 1.0
        for _ in range(DRAWS)
    ]
    by_seed = [np.flatnonzero(judged["seed"] == seed) for seed in judged["seed"].unique()]
    kind = judged["kind"].fillna("").to_numpy(str)
    values: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
    errors: dict[str, int] = {}
    for what in ("any", *KINDS):
        bad = kind != "" if what == "any" else kind == what
        chosen = bad | (kind == "")
        errors[what] = int(bad.sum())
        for order in ORDERS:
            suspicion = -judged[order].to_numpy(np.float64)
            found = np.full((len(drawn), len(by_seed), 2), np.nan)
            for s, rows in enumerate(by_seed):
                some = rows[chosen[rows]]
                if not bad[some].any():
                    continue
                steps = Order(bad[some], suspicion[some])
                for d, weights in enumerate(drawn):
                    each = weights[of_mask[some]]
                    found[d, s] = (
                        area_under_curve(bad[some], suspicion[some], each),
                        steps.average_precision(each),
                    )
            with np.errstate(invalid="ignore"):
                values[what, order] = np.nanmean(found, axis=1)
    for order in ORDERS:
        values["mean of six", order] = np.mean([values[what, order] for what in SIX], axis=0)
    errors["mean of six"] = sum(errors[what] for what in SIX)
    for what in errors:
        values[what, GAIN] = values[what, "quality with"] - values[what, "quality without"]
    rows = []
    for (what, order), found in values.items():
        row = {"set": name, "kind": what, "order": order, "seeds": len(by_seed)}
        row |= {"masks": len(judged) // len(by_seed), "errors": errors[what]}
        for k, measure_name in enumerate(("auc", "ap")):
            low, high = interval(found[1:, k])
            row |= {measure_name: found[0, k], f"{measure_name}_low": low}
            row |= {f"{measure_name}_high": high}
        rows.append(row)
    return [*rows, *correlate(judged, name, drawn, of_mask)]


def correlate(
    judged: pd.DataFrame, name: str, drawn: list[FloatArray], of_mask: npt.NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Return Pearson's r of the predicted IoU with the true one of planted masks."""
    planted = judged["iou"].notna().to_numpy() & (judged["kind"] != "duplicate").to_numpy()
    rows = []
    for what, chosen in (
        ("planted masks", planted),
        ("planted masks of the six kinds", planted & judged["kind"].isin(SIX).to_numpy()),
    ):
        pair = judged.loc[chosen, ["verifier_iou", "iou"]].to_numpy(np.float64)
        found = [pearson(pair, weights[of_mask[chosen]]) for weights in drawn]
        low, high = interval(np.array(found[1:]))
        rows.append(
            {"set": name, "kind": what, "order": "verifier_iou", "seeds": judged["seed"].nunique()}
            | {"masks": int(chosen.sum()), "errors": int(chosen.sum())}
            | {"pearson_r": found[0], "r_low": low, "r_high": high}
        )
    return rows


def pearson(pair: FloatArray, weights: FloatArray) -> float:
    """Return the weighted correlation of two columns."""
    if weights.sum() == 0:
        return float("nan")
    centred = pair - np.average(pair, axis=0, weights=weights)
    both = (weights[:, None] * centred).T @ centred
    return float(both[0, 1] / np.sqrt(both[0, 0] * both[1, 1]))


def tables(results: pd.DataFrame) -> dict[str, str]:
    """Return the tables of the README by the names of their places."""
    found = {}
    for name, some in results.groupby("set", sort=False):
        ranked = some[some["order"].isin(ORDERS) & some["auc"].notna()]
        lines = [
            "| planted | errors | AUC: quality without | verifier | quality with "
            "| AP: quality without | verifier | quality with |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for kind, rows in ranked.groupby("kind", sort=False):
            by_order = rows.set_index("order")
            cells = [str(kind), f"{rows['errors'].iloc[0]:,.0f}"]
            for measure_name in ("auc", "ap"):
                for order in ORDERS:
                    value, low, high = by_order.loc[
                        order, [measure_name, f"{measure_name}_low", f"{measure_name}_high"]
                    ]
                    cells.append(f"{value:.2f} [{low:.2f}, {high:.2f}]")
            lines.append(f"| {' | '.join(cells)} |")
        found[str(name)] = "\n".join(lines)
    with_iou = results[results["order"] == "verifier_iou"]
    lines = ["| set | of | masks | Pearson's r |", "| --- | --- | ---: | ---: |"]
    for row in with_iou.to_dict("records"):
        shown = f"{row['pearson_r']:.2f} [{row['r_low']:.2f}, {row['r_high']:.2f}]"
        lines.append(f"| `{row['set']}` | {row['kind']} | {row['masks']:,.0f} | {shown} |")
    costs = results[results["order"] == "cost"]
    spent = [f"| `{row['set']}` | {row['cpu_ms']:.1f} |" for row in costs.to_dict("records")]
    shown = ["| set | ms of one core a mask |", "| --- | ---: |", *spent]
    found |= {"predicted IoU": "\n".join(lines), "cost": "\n".join(shown)}
    return found | {"gains": gains(results)}


def gains(results: pd.DataFrame) -> str:
    """Return what a verifier adds to the average precision, every kind of every set."""
    here = results[results["order"] == GAIN]
    sets = list(here["set"].unique())
    lines = [f"| planted | {' | '.join(f'`{name}`' for name in sets)} |"]
    lines.append(f"| --- | {' | '.join(['---:'] * len(sets))} |")
    for kind, rows in here.groupby("kind", sort=False):
        by_set = rows.set_index("set")
        cells = [str(kind)]
        for name in sets:
            value, low, high = by_set.loc[name, ["ap", "ap_low", "ap_high"]]
            if value != value:  # no error of this kind fits into the set
                cells.append("-")
                continue
            shown = f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
            cells.append(f"**{shown}**" if high < 0 else shown)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_tables(made: dict[str, str]) -> None:
    """Put the tables into the README, between the comments that mark their places."""
    path = HERE / "README.md"
    text = path.read_text()
    for name, table in made.items():
        first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if first in text:
            before, _, rest = text.partition(first)
            text = f"{before}{first}\n\n{table}\n\n{last}{rest.partition(last)[2]}"
    path.write_text(text)


def main() -> None:
    """Train, plant, measure, and write the numbers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("verification_work"))
    parser.add_argument("--set", action="append", choices=list(SETS), dest="sets")
    parser.add_argument("--seeds", type=int, help="of planting; the set's own if omitted")
    chosen = parser.parse_args()
    path = HERE / "results.csv"
    results = pd.read_csv(path) if path.exists() else pd.DataFrame({"set": []})
    for name in chosen.sets or SETS:
        place = SETS[name]
        verifier = load_verifier(str(train(name, place, chosen.data, chosen.work)), device="cpu")
        seeds = range(chosen.seeds or place["seeds"])
        judged = []
        for seed in seeds:
            judged.append(judge(name, place, chosen.data, chosen.work, verifier, seed))
            print(name, "seed", seed, flush=True)
        frame = pd.concat(judged)
        frame = frame[frame["file_name"].map(is_reported)]
        rows = measure(frame, name)
        rows.append(
            {"set": name, "kind": "all masks", "order": "cost", "cpu_ms": frame["cpu_ms"].min()}
        )
        results = pd.concat([results[results["set"] != name], pd.DataFrame(rows)])
        results.to_csv(path, index=False, float_format="%.4f")
    write_tables(tables(results))


if __name__ == "__main__":
    main()
