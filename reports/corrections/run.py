"""Measure what the corrections gain that the review page suggests for masks planted wrong.

    python reports/corrections/run.py [--data FOLDER] [--work FOLDER] [--set NAME ...] [--seeds N]
    python reports/corrections/run.py --people [--data FOLDER]

It takes the sets, the verifiers (trained where the work folder holds none) and the planting of
reports/verification, audits each planted dataset, asks for what the page would suggest of each
mask, and writes results.csv and the table of README.md beside this file. Rows of sets that are not
asked for stay. ``--people`` measures the mechanical suggestions for the nuclei as first published
against the masks as people corrected them, which nobody planted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "_common"))

from planted import KINDS, as_rle, plant  # noqa: E402

import curate  # noqa: E402
from curate.people.reviews.suggested_fixes import (  # noqa: E402
    find_faults,
    suggest_fix,
)
from curate.people.webapp.filters import is_low, read_usual  # noqa: E402
from curate.pipeline.inputs import Inputs  # noqa: E402
from curate.pipeline.scoring import audit  # noqa: E402
from curate.quality import label_free  # noqa: E402
from curate.rle import decode_counts, encode_counts  # noqa: E402
from curate.scorers import score  # noqa: E402
from curate.store.mask_corrections import read_corrections  # noqa: E402

SUGGESTIONS = ("outline moved", "holes filled", "islands dropped", "both of these")
"""What is suggested: by the verifier, and mechanically."""

SCORES = ("hole_score",)

LEAST_SHOWN = 5
"""Suggestions that a row of the README's table is of, at least; results.csv has all."""

DRAWS = 400
"""Resamples of images for an interval."""


def load_verification() -> Any:
    """Return the study whose sets, verifiers and halves are used."""
    path = HERE.parent / "verification" / "run.py"
    spec = importlib.util.spec_from_file_location("verification_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verification_study"] = module
    spec.loader.exec_module(module)
    return module


def find_verifier(study: Any, name: str, data: Path, work: Path) -> Path:
    """Return a set's verifier, trained where there is none."""
    found = work / f"{name}_verifier"
    if not (found / "config.json").is_file():
        study.train(name, study.SETS[name], data, work)
    return found


def suggest(study: Any, name: str, data: Path, work: Path, seed: int) -> pd.DataFrame:
    """Return a row for each mask of a planted dataset: its kind, what is suggested, both IoUs."""
    place = study.SETS[name]
    clean = study.read_document(place, data)
    damaged, kinds, originals = plant(clean, seed, study.EACH * len(KINDS))
    path = work / f"{name}_planted.json"
    path.write_text(json.dumps(damaged))
    inputs = Inputs(
        images=data / place["images"], verifier=str(find_verifier(study, name, data, work))
    )
    done = audit(path, work / f"{name}_audit", inputs=inputs, restart=True)
    usual = read_usual(done.info.references)
    corrections = read_corrections(done.path)
    columns = ["mask_id", "file_name", "verifier_kind", "segmentation", "height", "width", *SCORES]
    frame = done.query(f"select {', '.join(columns)} from masks where area_px > 0 order by 1")
    twins = set(originals.values()) - set(kinds)  # neither right nor wrong: drawn twice
    before = {one["id"]: one for one in clean["annotations"]}
    crowds = {one["id"] for one in clean["annotations"] if one.get("iscrowd")}
    rows = []
    for row in frame.to_dict("records"):
        mask_id, size = int(row["mask_id"]), (int(row["height"]), int(row["width"]))
        if mask_id in twins | crowds or not study.is_reported(row["file_name"]):
            continue
        counts, source = None, ""
        if mask_id in corrections:
            counts, source = corrections[mask_id].segmentation, SUGGESTIONS[0]
        else:
            runs, _ = decode_counts([bytes(row["segmentation"])], [size[0]], [size[1]])
            low = {c: is_low(row[c], usual.get(c)) for c in SCORES if np.isfinite(row[c])}
            if fix := suggest_fix(runs, find_faults(low, declared=False)):
                counts = bytes(encode_counts(fix.mask).to_pylist()[0])
                source = name_source(fix.words)
        true = as_rle(before[originals.get(mask_id, mask_id)], *size)
        mine = {"size": size, "counts": bytes(row["segmentation"])}
        new = mine if counts is None else {"size": size, "counts": counts}
        rows.append(
            {
                "file_name": row["file_name"],
                "planted": kinds.get(mask_id, ""),
                "named": row["verifier_kind"],
                "source": source,
                "before": float(coco_mask.iou([mine], [true], [0])[0, 0]),
                "after": float(coco_mask.iou([new], [true], [0])[0, 0]),
            }
        )
    return pd.DataFrame(rows).assign(seed=seed)


def measure(found: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    """Return gains by source and by what was planted, with intervals by image."""
    rows = []
    random = np.random.default_rng(0)
    for source in SUGGESTIONS:
        offered = found[found["source"] == source]
        groups = {kind: offered[offered["planted"] == kind] for kind in KINDS}
        groups["any planted error"] = offered[offered["planted"] != ""]
        groups["nothing planted"] = offered[offered["planted"] == ""]
        groups["every mask"] = offered
        for what, some in groups.items():
            if what in KINDS and len(some) < 5:
                continue
            of = found if what == "every mask" else None
            if of is None:
                planted = what if what in KINDS else ""
                of = found[found["planted"] == planted]
                of = found[found["planted"] != ""] if what == "any planted error" else of
            gain = (some["after"] - some["before"]).to_numpy(float)
            images, codes = np.unique(some["file_name"].to_numpy(str), return_inverse=True)
            draws = []
            for _ in range(DRAWS if len(images) else 0):
                times = np.bincount(
                    random.integers(len(images), size=len(images)), minlength=len(images)
                )
                weights = times[codes]
                if weights.sum():
                    draws.append(float(np.average(gain, weights=weights)))
            low, high = np.quantile(draws, [0.025, 0.975]) if draws else (np.nan, np.nan)
            rows.append(
                {"set": name, "source": source, "of": what, "masks": len(of), "offered": len(some)}
                | {"iou_before": some["before"].mean(), "iou_after": some["after"].mean()}
                | {"gain_low": low, "gain_high": high}
                | {"improved": (gain > 0).mean() if len(gain) else np.nan}
                | {"worse": (gain < 0).mean() if len(gain) else np.nan}
                | {"seeds": found["seed"].nunique()}
            )
    return rows


def against_people(study: Any, data: Path) -> list[dict[str, Any]]:
    """Return the gains of mechanical suggestions against nuclei as people corrected them."""
    folder = data / "dsb2018"
    fixed = json.loads((folder / "instances_fixed.json").read_text())
    right = {one["id"]: one for one in fixed["annotations"]}
    images = {one["id"]: one for one in fixed["images"]}
    table = curate.read(folder / "instances_original.json")
    scores = score(table, inputs={})
    frame = pd.concat([table.masks, scores], axis=1)
    frame = frame.loc[:, ~frame.columns.duplicated()]
    usual = {name: float(one["usual"]) for name, one in label_free.fit(frame).items()}
    counts = encode_counts(table.runs).to_pylist()
    rows = []
    for k, mask_id in enumerate(table.masks.index):
        after = right.get(int(mask_id))
        image = images[after["image_id"]] if after else None
        if after is None or image is None or not study.is_reported(image["file_name"]):
            continue
        size = (image["height"], image["width"])
        if (int(table.runs.heights[k]), int(table.runs.widths[k])) != size:
            continue
        low = {
            c: is_low(scores[c].iloc[k], usual.get(c))
            for c in SCORES
            if np.isfinite(scores[c].iloc[k])
        }
        fix = suggest_fix(table.runs[k : k + 1], find_faults(low, declared=False))
        true = as_rle(after, *size)
        mine = {"size": size, "counts": bytes(counts[k])}
        new, source = mine, ""
        if fix is not None:
            new = {"size": size, "counts": bytes(encode_counts(fix.mask).to_pylist()[0])}
            source = name_source(fix.words)
        before = float(coco_mask.iou([mine], [true], [0])[0, 0])
        rows.append(
            {
                "file_name": image["file_name"],
                "planted": "corrected by people" if before < 1 else "",
                "source": source,
                "before": before,
                "after": float(coco_mask.iou([new], [true], [0])[0, 0]),
                "seed": 0,
            }
        )
    made = measure(pd.DataFrame(rows), "dsb2018 by people")
    words = {"any planted error": "a correction by people", "nothing planted": "none"}
    return [row | {"of": words.get(row["of"], row["of"])} for row in made]


def name_source(words: str) -> str:
    """Return which of :data:`SUGGESTIONS` a mechanical fix is."""
    did = ("filled" in words, "dropped" in words)
    return SUGGESTIONS[3 if all(did) else 1 if did[0] else 2]


def table(results: pd.DataFrame) -> str:
    """Return the table of the README."""
    lines = [
        "| set | suggestion | of masks with | masks | offered | mean IoU before | after "
        "| gain | better | worse |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results.to_dict("records"):
        if row["offered"] < LEAST_SHOWN:
            continue
        gain = row["iou_after"] - row["iou_before"]
        cells = [
            f"`{row['set']}`",
            row["source"],
            row["of"],
            f"{row['masks']:,.0f}",
            f"{row['offered']:,.0f}",
            f"{row['iou_before']:.2f}",
            f"{row['iou_after']:.2f}",
            f"{gain:+.2f} [{row['gain_low']:+.2f}, {row['gain_high']:+.2f}]",
            f"{100 * row['improved']:.0f}%",
            f"{100 * row['worse']:.0f}%",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Plant, audit, measure, and write the numbers."""
    study = load_verification()
    sets = ("coco_val2017", "dsb2018")
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=study.DATA)
    parser.add_argument("--work", type=Path, default=Path("corrections_work"))
    parser.add_argument("--set", action="append", choices=sets, dest="sets")
    parser.add_argument("--people", action="store_true", help="only nuclei against people")
    parser.add_argument("--seeds", type=int, default=6, help="of planting")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    path = HERE / "results.csv"
    results = pd.read_csv(path) if path.exists() else pd.DataFrame({"set": []})
    if chosen.people:
        rows = pd.DataFrame(against_people(study, chosen.data))
        results = pd.concat([results[results["set"] != rows["set"].iloc[0]], rows])
        results.to_csv(path, index=False, float_format="%.4f")
    for name in () if chosen.people else chosen.sets or sets:
        found = []
        for seed in range(chosen.seeds):
            found.append(suggest(study, name, chosen.data, chosen.work, seed))
            print(name, "seed", seed, len(found[-1]), flush=True)
        rows = pd.DataFrame(measure(pd.concat(found), name))
        results = pd.concat([results[results["set"] != name], rows])
        results.to_csv(path, index=False, float_format="%.4f")
    readme = HERE / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition("<!-- gains -->")
    _, _, after = rest.partition("<!-- end of gains -->")
    readme.write_text(f"{before}<!-- gains -->\n\n{table(results)}\n\n<!-- end of gains -->{after}")


if __name__ == "__main__":
    main()
