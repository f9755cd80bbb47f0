"""Check the product on real sets whose right answer is known without any judgement.

    python reports/real_sets/run.py [--data FOLDER]

Writes results.csv beside this file; takes a minute.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pycocotools.mask as coco_mask
from PIL import Image
from pycocotools.coco import COCO

import curate
from curate.formats.reading import detect

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
PROMPT_REASON = "does not contain the point it was prompted with"
COCO_FILES = {
    "coco_val2017": "coco_val2017/instances.json",
    "coco_val2014_100": "coco_val2014_100/instances_val2014_100.json",
    "brain_tumour": "brain_tumour/valid/_annotations.coco.json",
    "dsb2018": "dsb2018/instances_original.json",
    "neurons": "neurons/FinalGT.json",
}

Row = dict[str, Any]


def says(data: str, what: str, found: object, expected: object) -> Row:
    """Return one check as a row."""
    return {"set": data, "check": what, "found": found, "expected": expected}


def missed_prompts(folder: Path) -> set[str]:
    """Return the masks of an amg.py folder that lack their own point, by looking at the pixel."""
    points = pd.read_csv(folder / "metadata.csv")
    missed = set()
    for name, x, y in zip(
        points["id"], points["point_input_x"], points["point_input_y"], strict=True
    ):
        pixels = np.asarray(Image.open(folder / f"{name}.png"))
        if not pixels[int(y), int(x)]:
            missed.add(str(name))
    return missed


def prompts(data: Path, work: Path) -> list[Row]:
    """Compare the masks that the audit says miss their prompt with those that do."""
    rows = []
    for name in ("displaced", "sound"):
        folder = data / "sam_amg_truck" / name
        masks = curate.audit(folder, work / name).masks()
        names = masks["source_key"].map(lambda key: Path(key.partition("#")[0]).stem)
        missed = missed_prompts(folder)
        flagged = masks["reasons"].str.contains(PROMPT_REASON, regex=False)
        acted = masks["action"] != "accept"
        found = set(names[flagged & acted])
        title = f"sam_amg_truck/{name}"
        rows += [
            says(title, "masks", len(masks), len(list(folder.glob("*.png")))),
            says(title, "flagged: misses its own prompt", len(found), len(missed)),
            says(title, "of these, masks that do contain it", len(found - missed), 0),
            says(title, "masks that miss it and are accepted", len(missed - set(names[acted])), 0),
            says(title, "flagged for another reason only", int((acted & ~flagged).sum()), ""),
        ]
        rows += [
            says(title, f"mask {key}: {reason}", action, "")
            for key, action, reason in zip(
                names[acted & ~flagged],
                masks.loc[acted & ~flagged, "action"],
                masks.loc[acted & ~flagged, "reasons"],
                strict=True,
            )
        ]
    return rows


def areas(data: Path, work: Path) -> list[Row]:
    """Compare every mask, its area and its box with those that pycocotools makes."""
    rows = []
    for name, file in COCO_FILES.items():
        masks = curate.read(data / file).masks
        reference = COCO(str(data / file))
        truth = {k: reference.annToRLE(a) for k, a in reference.anns.items()}
        area = pd.Series({k: int(coco_mask.area(r)) for k, r in truth.items()})
        # A stored compressed mask comes back as text, a drawn polygon as bytes.
        counts = {
            k: c if isinstance(c := r["counts"], bytes) else c.encode() for k, r in truth.items()
        }
        same = [masks.at[k, "segmentation"] == c for k, c in counts.items()]
        box = np.array([coco_mask.toBbox(r) for r in truth.values()])
        ours = masks.loc[list(truth), ["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy()
        n = len(truth)
        equal = int((masks.loc[list(truth), "area_px"] == area).sum())
        rows += [
            says(name, "masks read", len(masks), n),
            says(name, "areas equal annToRLE's", equal, n),
            says(name, "run lengths equal annToRLE's, byte by byte", sum(same), n),
            says(name, "boxes equal toBbox's", int((ours == box).all(axis=1).sum()), n),
        ]
    return rows


def pruning(data: Path, work: Path) -> list[Row]:
    """Prune what review and reject flagged, load the result in pycocotools, compare the rest."""
    rows = []
    for name, file in COCO_FILES.items():
        audit = curate.audit(data / file, work / f"{name}-audit")
        actions = audit.masks(["action"])["action"]
        out = work / f"{name}-pruned.json"
        curate.prune(audit.path, out, drop=("reject", "review"))
        kept = set(actions.index[actions == "accept"])
        loaded = COCO(str(out))
        before, after = json.loads((data / file).read_text()), json.loads(out.read_text())
        left = [a for a in before["annotations"] if a["id"] in kept]
        rest, others = ({k: v for k, v in d.items() if k != "annotations"} for d in (before, after))
        rows += [
            says(name, "pruned file loads in pycocotools, masks", len(loaded.anns), len(kept)),
            says(name, "kept annotations are as they were", after["annotations"] == left, True),
            says(name, "all else is as it was", others == rest, True),
        ]
        detect(data / file).prune(data / file, work / f"{name}-all.json", set())
        everything = json.loads((work / f"{name}-all.json").read_text())
        rows.append(says(name, "pruned of nothing, equal content", everything == before, True))
    return rows


CHECKS: tuple[Callable[[Path, Path], list[Row]], ...] = (prompts, areas, pruning)


def main() -> None:
    """Run every check, write the results, and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    data = parser.parse_args().data.resolve()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for check in CHECKS for row in check(data, Path(folder))]
    with (HERE / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["set", "check", "found", "expected"])
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        if row["expected"] != "" and row["found"] != row["expected"]:
            print("differs:", row)


if __name__ == "__main__":
    main()
