"""Edit real sets at random in eight ways, and see whether `curate diff` names every edit.

    python reports/diff/run.py --data ../shared/data

Writes results.csv and the tables of README.md; takes a few minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pycocotools.mask as coco_mask
from edits import Edited, edit, pixels_of, stored

import curate
from curate.dataset.difference import Difference

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "_common"))
from filling import fill_page, table  # noqa: E402

SETS = {
    "coco_val2017": "coco_val2017/instances.json",
    "coco_val2014_100": "coco_val2014_100/instances_val2014_100.json",
    "brain_tumour": "brain_tumour/valid/_annotations.coco.json",
    "dsb2018": "dsb2018/instances_original.json",
    "neurons": "neurons/FinalGT.json",
}
SEEDS = 3
Named = set[tuple[str, frozenset[int], frozenset[int]]]


def names_of(found: Difference) -> Named:
    """Return what a difference says, in the form of :attr:`Edited.truth`."""
    frame = found.masks
    named: Named = set()
    for change in ("split", "merged"):
        side, other = ("a", "b") if change == "split" else ("b", "a")
        for whole, parts in frame[frame["change"] == change].groupby(f"mask_id_{side}"):
            ids = {side: frozenset([int(whole)])}
            ids[other] = frozenset(int(n) for n in parts[f"mask_id_{other}"])
            named.add((change, ids["a"], ids["b"]))
    for row in frame[~frame["change"].isin(["split", "merged"])].itertuples():
        named.add((str(row.change), _one(row.mask_id_a), _one(row.mask_id_b)))
    return named


def _one(number: Any) -> frozenset[int]:
    return frozenset() if pd.isna(number) else frozenset([int(number)])


def script(made: Edited, *, by_id: bool) -> Named:
    """Compare as a script on pycocotools does: by id, or by the IoU of each image's masks."""
    sizes = {one["id"]: (one["height"], one["width"]) for one in made.before["images"]}
    sides: list[dict[int, list[dict[str, Any]]]] = []
    for content in (made.before, made.after):
        by_image: dict[int, list[dict[str, Any]]] = {}
        for one in content["annotations"]:
            mask = stored(pixels_of(one, sizes[one["image_id"]]))
            by_image.setdefault(one["image_id"], []).append(one | {"mask": mask})
        sides.append(by_image)
    named: Named = set()
    for image in sizes:
        old, new = (side.get(image, []) for side in sides)
        shared = np.zeros((len(old), len(new)))
        if old and new:
            masks = ([one["mask"] for one in side] for side in (old, new))
            shared = np.asarray(coco_mask.iou(*masks, [0] * len(new)))
        pairs: list[tuple[int, int]] = []
        if by_id:
            place = {one["id"]: k for k, one in enumerate(new)}
            pairs = [(k, place[one["id"]]) for k, one in enumerate(old) if one["id"] in place]
        else:
            left = shared.copy()
            while left.size and left.max() >= 0.5:
                i, j = np.unravel_index(int(left.argmax()), left.shape)
                pairs.append((int(i), int(j)))
                left[i], left[:, j] = -1, -1
        for i, j in pairs:
            ids = frozenset([old[i]["id"]]), frozenset([new[j]["id"]])
            if shared[i, j] < 1:
                named.add(("redrawn", *ids))
            elif old[i]["category_id"] != new[j]["category_id"]:
                named.add(("relabelled", *ids))
        mine, theirs = {i for i, _ in pairs}, {j for _, j in pairs}
        gone = [one["id"] for i, one in enumerate(old) if i not in mine]
        came = [one["id"] for j, one in enumerate(new) if j not in theirs]
        named |= {("removed", frozenset([number]), frozenset()) for number in gone}
        named |= {("added", frozenset(), frozenset([number])) for number in came}
    return named


def count(made: Edited, named: Named) -> dict[str, int]:
    """Return, by class, how many edits there are, and how many are named right."""
    found: Counter[str] = Counter()
    for change, old, new in made.truth:
        found[f"{change} edits"] += 1
        found[f"{change} right"] += (change, old, new) in named
    said_a = {n for _, old, _ in named for n in old}
    said_b = {n for _, _, new in named for n in new}
    found["unchanged edits"] = len(made.left)
    found["unchanged right"] = sum(
        a not in said_a and b not in said_b for a, b in made.left.items()
    )
    return dict(found)


def measure(name: str, content: dict[str, Any], work: Path) -> list[dict[str, Any]]:
    """Edit one set with every seed, with ids kept and with all ids new."""
    rows = []
    for keep_ids in (True, False):
        for seed in range(SEEDS):
            made = edit(content, seed, keep_ids=keep_ids)
            paths = work / "before.json", work / "after.json"
            for path, one in zip(paths, (made.before, made.after), strict=True):
                path.write_text(json.dumps(one))
            ways = {
                "curate diff": names_of(curate.diff(*paths)),
                "script": script(made, by_id=keep_ids),
            }
            for way, named in ways.items():
                counts = count(made, named)
                for change in sorted({key.rpartition(" ")[0] for key in counts}):
                    rows.append(
                        {
                            "set": name,
                            "ids": "kept" if keep_ids else "new",
                            "seed": seed,
                            "way": way,
                            "change": change,
                            "masks": counts[f"{change} edits"],
                            "right": counts[f"{change} right"],
                        }
                    )
    return rows


def corrected(data: Path) -> list[dict[str, Any]]:
    """Compare the nuclei as first published with the corrected ones, ids kept and shuffled."""
    folder = data / "dsb2018"
    truth = json.loads((folder / "changes.json").read_text())
    before = folder / "instances_original.json"
    content = json.loads((folder / "instances_fixed.json").read_text())
    rows = []
    with tempfile.TemporaryDirectory() as holder:
        for ids in ("kept", "new"):
            rng = np.random.default_rng(7)
            every = content["annotations"]
            masks = [every[k] for k in rng.permutation(len(every))]
            number = {m["id"]: m["id"] if ids == "kept" else k + 1 for k, m in enumerate(masks)}
            after = Path(holder) / "after.json"
            after.write_text(
                json.dumps({**content, "annotations": [m | {"id": number[m["id"]]} for m in masks]})
            )
            rows += _corrected_rows(curate.diff(before, after), truth, number, content, ids)
    return rows


def _corrected_rows(
    found: Difference,
    truth: dict[str, Any],
    number: dict[int, int],
    content: dict[str, Any],
    ids: str,
) -> list[dict[str, Any]]:
    frame = found.masks
    own = {new: old for old, new in number.items()}
    of = {change: frame[frame["change"] == change] for change in frame["change"].unique()}
    same = {
        (int(a), own[int(b)])
        for change in of
        for a, b in zip(of[change]["mask_id_a"], of[change]["mask_id_b"], strict=True)
        if not pd.isna(a) and not pd.isna(b)
    }
    kept = {one["id"] for one in content["annotations"]}
    told_a = {int(n) for n in frame["mask_id_a"].dropna()}
    told_b = {own[int(n)] for n in frame["mask_id_b"].dropna()}
    keys = ("modified", "removed", "added")
    modified, removed, added = ({int(n) for n in truth[key]} for key in keys)
    return [
        {
            "set": "dsb2018 corrected",
            "ids": ids,
            "seed": 0,
            "way": "curate diff",
            "change": change,
            "masks": len(every),
            "right": len(every & right),
        }
        for change, every, right in (
            ("redrawn", modified, {a for a, b in same if a == b}),
            ("removed", removed, told_a - kept),
            ("added", added, told_b - {a for a, b in same if a == b}),
            ("unchanged", kept - modified - added, kept - told_b),
        )
    ]


def planted(results: pd.DataFrame) -> str:
    """Return the table of planted edits: by class, over sets and seeds."""
    own = results[results["set"] != "dsb2018 corrected"]
    rows = []
    for (ids, change), some in own.groupby(["ids", "change"]):
        told = [f"{ids}", str(change)]
        for way in ("curate diff", "script"):
            one = some[some["way"] == way]
            told.append(f"{one['right'].sum():,} of {one['masks'].sum():,}")
            told.append(f"{one['right'].sum() / one['masks'].sum():.2%}")
        rows.append(told)
    head = ["ids", "class", "`curate diff`: right", "share"]
    return table([*head, "script on pycocotools: right", "share"], rows)


def by_set(results: pd.DataFrame) -> str:
    """Return the table by set: edits named right, and unchanged masks that are named changed."""
    own = results[results["way"] == "curate diff"]
    rows = []
    for (name, ids), some in own.groupby(["set", "ids"], sort=False):
        left = some[some["change"] == "unchanged"]
        edits = some[some["change"] != "unchanged"]
        right, every = edits["right"].sum(), edits["masks"].sum()
        wrong = (left["masks"] - left["right"]).sum()
        told = [f"{right:,} of {every:,}", f"{right / every:.2%}"]
        rows.append([f"`{name}`", str(ids), *told, f"{wrong:,} of {left['masks'].sum():,}"])
    return table(["set", "ids", "edits named right", "share", "unchanged, named changed"], rows)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as holder:
        for name, path in SETS.items():
            rows += measure(name, json.loads((data / path).read_text()), Path(holder))
            print(name, flush=True)
    rows += corrected(data)
    results = pd.DataFrame(rows)
    results.to_csv(HERE / "results.csv", index=False)
    fill_page(HERE / "README.md", results, [planted, by_set])


if __name__ == "__main__":
    main()
